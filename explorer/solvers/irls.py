"""Iteratively reweighted least squares for powers of moduli."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, solver
from explorer.linalg import axpy, clone, safe_divide
from explorer.linalg.arithmetic import expand
from explorer.operators.base import Diagonal, LinearOperator
from explorer.solvers.columns import SINGLE_SPACES
from explorer.solvers.steps import Step

Operator = Annotated[LinearOperator, SINGLE_SPACES]
Inner = Annotated[int, Log(1, 1000, unit="steps", help="conjugate-gradient steps of each weighted fit")]
#: what is left of the smoothing after each reweighting; it ends at the root of the rounding unit
FALL = 0.8


@solver(
    "IRLS for lp regression",
    name="irls_regression",
    papers=[
        "Lawson 1961: Contributions to the theory of linear least maximum approximations",
        "Holland & Welsch 1977: Robust regression using iteratively reweighted least-squares",
    ],
    solves="lp_regression",
    equation=r"\min_x \tfrac1p \sum_i |(Ax-y)_i|^p,\quad w_i = \max(|r_i|, \epsilon)^{p-2}",
    reports=("residual", "objective"),
    per_step={"A": 21, "Aᴴ": 20},
    works="Data with outliers, whose weights fall from step to step.",
    fails="Exponents below 1, with which the answer depends on the start; every step solves a linear problem.",
)
def irls_regression(
    A: Operator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    power: Annotated[float, Linear(1, 2, help="p: 1 is least absolute deviations, 2 least squares")] = 1.0,
    inner: Inner = 20,
) -> Iterator[Step]:
    """Fit by least squares, each of the data weighted by its own residual, so that outliers count less. Out of place.

    Every fit is warm-started conjugate gradients. ε falls from the mean residual to the root of the rounding unit
    times that, which is how near to the minimum it comes for p = 1.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r, k = y - A(x), 0
    while True:
        modulus = r.abs()
        epsilon = expand(modulus.flatten(-Y.ndim).mean(-1) * max(FALL**k, X.eps**0.5), modulus)
        w = safe_divide(torch.maximum(modulus, epsilon), epsilon.expand_as(modulus)) ** (power - 2)
        # where nothing is left, nothing is weighted
        w = torch.where(epsilon > 0, w, 0)
        x = _fitted(A, x, r, w, 0.0, inner)
        r, k = y - A(x), k + 1
        yield Step(x, residual=Y.norm(r), objective=(r.abs() ** power).flatten(-Y.ndim).sum(-1) / power)


@solver(
    "IRLS for sparse unknowns",
    name="irls_sparse",
    papers=[
        "Chartrand & Yin 2008: Iteratively reweighted algorithms for compressive sensing",
        "Daubechies, DeVore, Fornasier & Güntürk 2010: Iteratively reweighted least squares minimization for sparse "
        "recovery",
    ],
    solves="lp_penalty",
    equation=r"\min_x \tfrac12\|Ax-y\|_2^2 + \tfrac{\lambda^{2-p}}{p} \sum_j |x_j|^p,\quad "
    r"w_j = (|x_j|^2 + \epsilon^2)^{p/2-1}",
    reports=("residual", "objective"),
    per_step={"A": 21, "Aᴴ": 20},
    works="Sparse unknowns from few data: p below 1 finds supports that the l1 norm misses.",
    fails="Below p = 1 it can end in a local minimum; entries get small but not zero; a step is 40 products.",
)
def irls_sparse(
    A: Operator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    power: Annotated[float, Linear(0.1, 2, help="p: 1 is the l1 norm; below, local minima that are sparser")] = 1.0,
    weight: Annotated[
        float | Tensor, Log(0, 1e6, help="weight λ, for p = 1 that of l1", degree=1, batched=True)
    ] = 1e-2,
    inner: Inner = 20,
) -> Iterator[Step]:
    """Least squares in which small entries are penalised more, and ever more sharply. Out of place.

    With ``x = D v``, ``D² = W^{-1}``, every fit is a damped one in v, by warm-started conjugate gradients. ε falls from
    the largest entry of ``Aᴴy/‖A‖²``, which is also the start, to the root of the rounding unit times that.
    """
    X, Y = A.domain, A.codomain
    first = A.adjoint(y) / A.norm() ** 2
    scale = first.abs().flatten(-X.ndim).amax(-1)
    penalty = torch.as_tensor(weight, dtype=scale.dtype, device=scale.device).expand(scale.shape)
    damping = safe_divide(penalty, scale) ** (2 - power)
    x, k = first if x0 is None else clone(x0), 0
    r = y - A(x)
    while True:
        # in units of the largest entry, so that powers do not depend on the scale
        relative = safe_divide(x.abs(), expand(scale, x).expand_as(x).real)
        d = (relative**2 + max(FALL**k, X.eps**0.5) ** 2) ** ((2 - power) / 4)
        x = d * _fitted(A @ Diagonal(X, d), x / d, r, 1.0, damping, inner)
        r, k = y - A(x), k + 1
        total = (x.abs() ** power).flatten(-X.ndim).sum(-1) * penalty ** (2 - power) / power
        yield Step(x, residual=Y.norm(r), objective=Y.norm2(r) / 2 + total)


def _fitted(A: LinearOperator, x: Tensor, r: Tensor, w: Tensor | float, damping: Tensor | float, steps: int) -> Tensor:
    """Return `x`, whose residual is `r`, improved for ``‖W^½ (Ax − y)‖² + damping ‖x‖²`` by conjugate gradients."""
    X, Y = A.domain, A.codomain
    s = axpy(-damping, x, A.adjoint(w * r))
    p, gamma = s, X.norm2(s)
    floor = X.eps**2 * gamma
    for left in reversed(range(steps)):
        q = A(p)
        curvature = Y.inner(q, w * q).real + damping * X.norm2(p)
        alpha = safe_divide(torch.where(gamma > floor, gamma, 0), curvature)
        x, r = axpy(alpha, p, x), axpy(-alpha, q, r)
        if left:
            s = axpy(-damping, x, A.adjoint(w * r))
            gamma, before = X.norm2(s), gamma
            p = axpy(safe_divide(gamma, before), p, s)
    return x
