"""Conjugate gradients for least squares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import axpy, axpy_, clone, safe_divide, xpay_
from explorer.operators.base import LinearOperator
from explorer.solvers.steps import Step


@solver(
    "CGLS",
    papers=["Hestenes & Stiefel 1952: Methods of conjugate gradients for solving linear systems"],
    solves="least_squares",
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|x\|_2^2",
    reports=("residual", "alpha", "beta", "gradient", "dof"),
    per_step={"A": 1, "Aᴴ": 1},
)
def cgls(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    damping: Annotated[float, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 0.0,
) -> Iterator[Step]:
    """Conjugate gradients on the normal equations ``(AᴴA + λ I) x = Aᴴy``, without forming them.

    Iterates minimise the objective over growing Krylov spaces; on ill-posed problems the number of steps regularises.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = clone(y) if x0 is None else y - A(x)
    s = axpy(-damping, x, A.adjoint(r))
    p = clone(s)
    gamma = X.norm2(s)
    k = 0
    while True:
        q = A(p)
        alpha = safe_divide(gamma, Y.norm2(q) + damping * X.norm2(p))
        axpy_(x, alpha, p)
        axpy_(r, -alpha, q)
        s = axpy(-damping, x, A.adjoint(r))
        gamma, before = X.norm2(s), gamma
        beta = safe_divide(gamma, before)
        xpay_(p, beta, s)
        k += 1
        yield Step(x, residual=Y.norm(r), gradient=gamma.sqrt(), alpha=alpha, beta=beta, dof=float(k))
