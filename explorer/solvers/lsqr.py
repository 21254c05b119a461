"""Least squares by Golub–Kahan bidiagonalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import axpy_, clone, safe_divide, safe_inverse, scale_, xpay_
from explorer.operators.base import AnySpace, LinearOperator
from explorer.solvers.freedom import Influence
from explorer.solvers.rounding import settled
from explorer.solvers.steps import Step


@solver(
    "LSQR",
    papers=["Paige & Saunders 1982: LSQR: An algorithm for sparse linear equations and sparse least squares"],
    solves="least_squares",
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|x - x_0\|_2^2",
    reports=("residual", "alpha", "beta", "gradient", "dof"),
    per_step={"A": 1, "Aᴴ": 1},
    weighs="damping",
    krylov=("bidiagonal", "AᴴA"),
    works="Any linear operator; more accurate than CGLS where it is ill-conditioned.",
    fails="Run on, it fits the noise, as CGLS does; once orthogonality is lost, copies of Ritz values cost steps.",
)
def lsqr(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    probe: Tensor | None = None,
    bases: bool = False,
    *,
    damping: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 0.0,
) -> Iterator[Step]:
    """Golub–Kahan bidiagonalization of A from y, its least-squares problem solved by plane rotations; in place.

    In exact arithmetic the iterates of CGLS, more accurate where A is ill-conditioned. `alpha` and `beta` of step k are
    column k of the lower bidiagonal matrix B; its singular values approximate those of A. As in the paper, damping
    penalises the distance from `x0`, which is 0 unless given. The residual comes from recurrences, not from a product.
    With `bases` every step tells the next Lanczos vector, normalised.
    `dof` is the number of steps, or with a `probe` an estimate of the effective degrees of freedom at twice the cost.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    u = clone(y) if x0 is None else y - A(x)
    beta = normalize_(u, Y)
    v = A.adjoint(u)
    alpha = normalize_(v, X)
    w = clone(v)
    phi_bar, rho_bar = beta, alpha
    data2, norm2, psi2, alpha2 = Y.norm2(y), torch.zeros_like(beta), torch.zeros_like(beta), alpha**2
    frozen, all2 = torch.zeros_like(beta, dtype=torch.bool), beta**2  # ‖r‖² + λ‖x − x0‖²
    damped = isinstance(damping, Tensor) or damping > 0
    influence, gradient = None if probe is None else Influence(A, probe, damping), alpha * beta
    k = 0
    while True:
        # bidiagonalization: β u = A v − α u, α v = Aᴴ u − β v
        xpay_(u, -alpha, A(v))
        diagonal, beta = alpha, normalize_(u, Y)
        xpay_(v, -beta, A.adjoint(u))
        alpha = normalize_(v, X)
        column2, alpha2 = torch.addcmul(alpha2, beta, beta), alpha * alpha
        # a rotation that eliminates the damping, then one that eliminates β
        rho_hat, phi_hat = rho_bar, phi_bar
        if damped:
            column2 = column2 + damping
            rho_hat = (rho_bar**2 + damping).sqrt()
            phi_hat = phi_bar * safe_divide(rho_bar, rho_hat)
            psi2 = psi2 + damping * safe_divide(phi_bar, rho_hat) ** 2
        rho = torch.hypot(rho_hat, beta)
        inverse = safe_inverse(rho)
        c, s = rho_hat * inverse, beta * inverse
        theta, rho_bar = s * alpha, -c * alpha
        phi, phi_bar = c * phi_hat, s * phi_hat
        length = (phi * inverse).masked_fill_(frozen, 0)
        axpy_(x, length, w)
        xpay_(w, -theta * inverse, v)
        # norms by recurrence; a sample that has reached rounding keeps its x
        gradient, before = (phi_bar * c).abs() * alpha, gradient
        all2 = torch.where(frozen, all2, torch.addcmul(psi2, phi_bar, phi_bar))
        norm2, residual2 = torch.maximum(norm2, column2), all2
        if damped:
            residual2 = (all2 - damping * X.norm2(x if x0 is None else x - x0)).clamp(min=0)
        frozen = frozen | settled(gradient * gradient, all2, norm2, data2, X.eps)
        k += 1
        dof: float | Tensor = float(k)
        if influence is not None:  # the step lengths of conjugate gradients, in terms of these rotations
            dof = influence.follow(safe_divide(length.abs(), before), safe_divide(gradient, before) ** 2)
        scalars: dict[str, Any] = {
            "residual": residual2.sqrt(),
            "gradient": gradient,
            "alpha": diagonal,
            "beta": beta,
        }
        yield Step(x, arrays={"v": v} if bases else None, dof=dof, **scalars)


def normalize_(u: Any, space: AnySpace) -> Tensor:
    """Scale `u` to norm 1 in place and return its norm."""
    norm = space.norm(u)
    scale_(u, safe_inverse(norm))
    return norm
