"""Conjugate gradients for least squares, plain and preconditioned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Log, Part, SpecError, solver
from explorer.linalg import axpy, axpy_, clone, safe_divide, xpay_
from explorer.operators.base import Identity, LinearOperator
from explorer.solvers.freedom import Influence
from explorer.solvers.rounding import settled
from explorer.solvers.steps import Step


@solver(
    "CGLS",
    papers=["Hestenes & Stiefel 1952: Methods of conjugate gradients for solving linear systems"],
    solves="least_squares",
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|x\|_2^2",
    reports=("residual", "alpha", "beta", "gradient", "dof"),
    on_request=("iterated",),
    per_step={"A": 1, "Aᴴ": 1},
    weighs="damping",
    krylov=("lengths", "AᴴA + λI"),
    works="Any linear operator; with noisy data, where a rule stops it in time.",
    fails="Run on, it fits the noise: the error turns after the best step. Bounds and edges it does not know.",
)
def cgls(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    probe: Tensor | None = None,
    bases: bool = False,
    details: bool = False,
    *,
    damping: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 0.0,
) -> Iterator[Step]:
    """Conjugate gradients on the normal equations ``(AᴴA + λ I) x = Aᴴy``, without forming them; in place.

    Iterates minimise the objective over growing Krylov spaces; on ill-posed problems the number of steps regularises.
    The step length is the exact line search ⟨p, s⟩ / ‖Ap‖², which equals the textbook's ‖s‖² / ‖Ap‖² but for rounding:
    with the latter, a gradient s that rounding keeps from falling makes the directions p grow without bound.
    With `bases` every step tells the next Lanczos vector, up to its length.
    `dof` is the number of steps, or with a `probe` an estimate of the effective degrees of freedom at twice the cost.
    With `details` every step looks at the next one, for the monotone error rule: directions are then also kept as
    ``p = Aᴴ w``.

    Raises
    ------
    SpecError
        If `details` are asked for with damping, where there is no such w.
    """
    if details and (isinstance(damping, Tensor) or damping > 0):
        raise SpecError("is not 0, and the monotone error rule is for plain CGLS: set it to 0", "solver.params.damping")
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = clone(y) if x0 is None else y - A(x)
    s = axpy(-damping, x, A.adjoint(r))
    p = clone(s)
    gamma = slope = X.norm2(s)
    data2, norm2 = Y.norm2(y), torch.zeros_like(gamma)
    influence = None if probe is None else Influence(A, probe, damping)
    w: Any = clone(r) if details else None
    ahead: Any = None
    k = 0
    while True:
        q = A(p) if ahead is None else ahead
        length2 = X.norm2(p)
        curvature = Y.norm2(q) + damping * length2
        norm2 = torch.maximum(norm2, safe_divide(curvature, length2))
        alpha = safe_divide(slope, curvature)
        axpy_(x, alpha, p)
        axpy_(r, -alpha, q)
        s = axpy(-damping, x, A.adjoint(r))
        gradient2, residual2 = X.norm2(s), Y.norm2(r)
        # γ = 0 freezes a sample: from then on α = β = 0
        frozen = settled(gradient2, residual2, norm2, data2, X.eps)
        gamma, before = torch.where(frozen, 0, gradient2), gamma
        beta = safe_divide(gamma, before)
        xpay_(p, beta, s)
        slope = torch.where(frozen, 0, X.inner(p, s).real)
        k += 1
        dof = float(k) if influence is None else influence.follow(alpha, beta)
        scalars: dict[str, Any] = {"residual": residual2.sqrt(), "gradient": gradient2.sqrt(), "dof": dof}
        if details:  # ⟨r + r⁺, w⟩ / (2 ‖w‖) with the residual r⁺ = r − α A p of the next step
            ahead, w = A(p), xpay_(w, beta, r)
            both = axpy(-safe_divide(slope, Y.norm2(ahead)), ahead, 2 * r)
            scalars["iterated"] = safe_divide(Y.inner(both, w).real, 2 * Y.norm(w))
        yield Step(x, arrays={"v": s} if bases else None, alpha=alpha, beta=beta, **scalars)


@solver(
    "Preconditioned CGLS",
    papers=["Björck 1996: Numerical methods for least squares problems"],
    solves="least_squares",
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|x\|_2^2,\quad M \approx (A^*A + \lambda I)^{-1}",
    reports=("residual", "alpha", "beta", "gradient"),
    per_step={"A": 1, "Aᴴ": 1},
    weighs="damping",
    krylov=("lengths", "M (AᴴA + λI)"),
    works="Any linear operator with a preconditioner that carries what is known of the unknown.",
    fails="Run on, it fits the noise; a preconditioner that lifts small singular values brings the noise in early.",
)
def preconditioned_cgls(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    damping: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 0.0,
    preconditioner: Annotated[
        LinearOperator | None, Part("preconditioner", help="M, made for the system 'gram'; none: plain CGLS")
    ] = None,
) -> Iterator[Step]:
    """CGLS in the inner product of a preconditioner M, positive and self-adjoint, that is part of the method; in place.

    Step length and freezing are those of CGLS.
    """
    X, Y = A.domain, A.codomain
    M = Identity(X) if preconditioner is None else preconditioner
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = clone(y) if x0 is None else y - A(x)
    s = axpy(-damping, x, A.adjoint(r))
    p = clone(M(s))
    gamma = slope = X.inner(s, p).real
    data2, norm2 = Y.norm2(y), torch.zeros_like(gamma)
    while True:
        q = A(p)
        length2 = X.norm2(p)
        curvature = Y.norm2(q) + damping * length2
        norm2 = torch.maximum(norm2, safe_divide(curvature, length2))
        alpha = safe_divide(slope, curvature)
        axpy_(x, alpha, p)
        axpy_(r, -alpha, q)
        s = axpy(-damping, x, A.adjoint(r))
        z = M(s)
        gradient2, residual2 = X.norm2(s), Y.norm2(r)
        frozen = settled(gradient2, residual2, norm2, data2, X.eps)
        gamma, before = torch.where(frozen, 0, X.inner(s, z).real), gamma
        beta = safe_divide(gamma, before)
        xpay_(p, beta, z)
        slope = torch.where(frozen, 0, X.inner(p, s).real)
        yield Step(x, residual=residual2.sqrt(), gradient=gradient2.sqrt(), alpha=alpha, beta=beta)
