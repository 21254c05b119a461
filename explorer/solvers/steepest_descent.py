"""Steepest descent for least squares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Part, solver
from explorer.linalg import axpy_, clone, safe_divide
from explorer.operators.base import LinearOperator
from explorer.solvers.rounding import settled
from explorer.solvers.steps import Step


@solver(
    "Steepest descent",
    papers=[
        "Cauchy 1847: Méthode générale pour la résolution des systèmes d'équations simultanées",
        "Knyazev & Lashuk 2007: Steepest descent and conjugate gradient methods with variable preconditioning",
    ],
    solves="least_squares",
    equation=r"x \leftarrow x + \alpha M A^*(y - Ax)",
    reports=("residual", "alpha", "gradient"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Well-conditioned problems.",
    fails="It zigzags, and crawls where the condition number is large.",
)
def steepest_descent(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    preconditioner: Annotated[Any, Part("preconditioner", help="approximate inverse M of the Gram operator")] = "none",
) -> Iterator[Step]:
    """Go down the gradient as far as the misfit falls, the gradient being taken in the metric of a preconditioner.

    In place. The error falls by the factor ``(κ − 1) / (κ + 1)`` a step, κ the condition number of ``M AᴴA``.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = clone(y) if x0 is None else y - A(x)
    s = A.adjoint(r)
    gradient2, residual2, data2 = X.norm2(s), Y.norm2(r), Y.norm2(y)
    norm2 = torch.zeros_like(data2)
    while True:
        p = s if preconditioner is None else preconditioner(s)
        q = A(p)
        curvature = Y.norm2(q)
        norm2 = torch.maximum(norm2, safe_divide(curvature, X.norm2(p)))
        frozen = settled(gradient2, residual2, norm2, data2, X.eps)
        alpha = torch.where(frozen, 0, safe_divide(X.inner(p, s).real, curvature))
        axpy_(x, alpha, p)
        axpy_(r, -alpha, q)
        s = A.adjoint(r)
        gradient2, residual2 = X.norm2(s), Y.norm2(r)
        yield Step(x, residual=residual2.sqrt(), alpha=alpha, gradient=gradient2.sqrt())
