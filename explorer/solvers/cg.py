"""Conjugate gradients for positive operators, plain and preconditioned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import solver
from explorer.linalg import axpy_, clone, safe_divide, xpay_
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import POSITIVE, PRECONDITIONER
from explorer.solvers.steps import Step


@solver(
    "Conjugate gradients",
    papers=["Hestenes & Stiefel 1952: Methods of conjugate gradients for solving linear systems"],
    solves="least_squares",
    equation=r"A x = y,\quad A = A^* \succeq 0",
    reports=("residual", "alpha", "beta"),
    per_step={"A": 1},
    krylov=("lengths", "A"),
    works="Self-adjoint positive operators, the more clustered their eigenvalues the better.",
    fails="Indefinite or unsymmetric operators; noisy data of ill-posed problems, unless it is stopped in time.",
)
def conjugate_gradient(A: Annotated[LinearOperator, POSITIVE], y: Tensor, x0: Tensor | None = None) -> Iterator[Step]:
    """Conjugate gradients on ``A x = y`` for a positive self-adjoint A; in place.

    A sample freezes where its residual is rounding of its data, ``‖r‖ ≤ eps ‖y‖``, or where its direction has no
    curvature but rounding, ``⟨p, Ap⟩ ≤ eps ‖A‖ ‖p‖²``: data outside the range of a singular A end like that.
    """
    X = A.domain
    x = X.zeros(X.batch(y)) if x0 is None else clone(x0)
    r = clone(y) if x0 is None else y - A(x)
    p = clone(r)
    gamma = length2 = X.norm2(r)
    data2, shortest = X.norm2(y), torch.full_like(gamma, torch.inf)  # the shortest step estimates 1/‖A‖
    while True:
        q = A(p)
        curvature = X.inner(p, q).real
        alpha = gamma / torch.where(curvature * shortest > X.eps * length2, curvature, torch.inf)
        shortest = torch.minimum(shortest, alpha)
        axpy_(x, alpha, p)
        axpy_(r, -alpha, q)
        residual2 = X.norm2(r)
        # γ = 0 freezes a sample: from then on α = β = 0
        moving = (alpha > 0) & (residual2 > X.eps**2 * data2)
        gamma, before = torch.where(moving, residual2, 0), gamma
        beta = safe_divide(gamma, before)
        xpay_(p, beta, r)
        length2 = gamma + beta**2 * length2  # ‖p‖², since r ⟂ p
        yield Step(x, residual=residual2.sqrt(), alpha=alpha, beta=beta)


@solver(
    "Preconditioned conjugate gradients",
    papers=[
        "Concus, Golub & O'Leary 1976: A generalized conjugate gradient method for the numerical solution of "
        "elliptic partial differential equations"
    ],
    solves="least_squares",
    equation=r"A x = y,\quad M \approx A^{-1}",
    reports=("residual", "alpha", "beta"),
    per_step={"A": 1},
    krylov=("lengths", "M A"),
    works="Self-adjoint positive operators with a cheap approximate inverse that clusters the spectrum.",
    fails="A preconditioner that is not positive; one that lifts small eigenvalues brings the noise in early.",
)
def preconditioned_cg(
    A: Annotated[LinearOperator, POSITIVE],
    y: Tensor,
    precond: Annotated[LinearOperator, PRECONDITIONER],
    x0: Tensor | None = None,
) -> Iterator[Step]:
    """Conjugate gradients on ``A x = y`` in the inner product of a preconditioner M; in place.

    Samples freeze as they do without preconditioner, with ‖p‖ in the norm of M⁻¹.
    """
    X = A.domain
    x = X.zeros(X.batch(y)) if x0 is None else clone(x0)
    r = clone(y) if x0 is None else y - A(x)
    p = clone(precond(r))
    gamma = length2 = X.inner(r, p).real
    data2, shortest = X.norm2(y), torch.full_like(gamma, torch.inf)
    while True:
        q = A(p)
        curvature = X.inner(p, q).real
        alpha = gamma / torch.where(curvature * shortest > X.eps * length2, curvature, torch.inf)
        shortest = torch.minimum(shortest, alpha)
        axpy_(x, alpha, p)
        axpy_(r, -alpha, q)
        z = precond(r)
        residual2 = X.norm2(r)
        moving = (alpha > 0) & (residual2 > X.eps**2 * data2)
        gamma, before = torch.where(moving, X.inner(r, z).real, 0), gamma
        beta = safe_divide(gamma, before)
        xpay_(p, beta, z)
        length2 = gamma + beta**2 * length2
        yield Step(x, residual=residual2.sqrt(), alpha=alpha, beta=beta)
