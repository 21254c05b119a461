"""Simultaneous reconstruction for operators without negative entries: SIRT (SART) and MLEM (Richardson–Lucy)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, solver
from explorer.linalg import axpy, clone, safe_divide
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import NONNEGATIVE
from explorer.solvers.steps import Step


@solver(
    "SIRT",
    papers=[
        "Gilbert 1972: Iterative methods for the three-dimensional reconstruction of an object from projections",
        "Andersen & Kak 1984: Simultaneous algebraic reconstruction technique (SART)",
    ],
    solves="weighted_least_squares",
    equation=r"x_{k+1} = x_k + \omega\, C A^* R\,(y - A x_k),\quad R = \mathrm{diag}(1/A\mathbf 1),\ "
    r"C = \mathrm{diag}(1/A^*\mathbf 1)",
    reports=("residual",),
    per_step={"A": 1, "Aᴴ": 1},
    differentiable=True,
)
def sirt(
    A: Annotated[LinearOperator, NONNEGATIVE],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    relaxation: Annotated[float, Linear(0.01, 1.95, help="relaxation ω; it converges below 2")] = 1.0,
    nonnegative: Annotated[bool, Help("set negative values to zero after every step")] = False,
) -> Iterator[Step]:
    """Back-project the residual, each ray divided by its length and each pixel by its rays. Out of place.

    With all data in one sweep this is SART. The weights make every eigenvalue of ``C Aᴴ R A`` at most 1: no norm
    is needed. The iteration solves ``min ‖R^½ (Ax − y)‖`` and its number of steps regularises.
    """
    X, Y = A.domain, A.codomain
    rows, columns = A(_ones(X)), A.adjoint(_ones(Y))
    ray, pixel = safe_divide(torch.ones_like(rows), rows), safe_divide(torch.ones_like(columns), columns)
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = y if x0 is None else y - A(x)
    while True:
        x = axpy(relaxation, pixel * A.adjoint(ray * r), x)
        if nonnegative:
            x = x.clamp(min=0)
        r = y - A(x)
        yield Step(x, residual=Y.norm(r))


@solver(
    "MLEM (Richardson–Lucy)",
    papers=[
        "Richardson 1972: Bayesian-based iterative method of image restoration",
        "Lucy 1974: An iterative technique for the rectification of observed distributions",
        "Shepp & Vardi 1982: Maximum likelihood reconstruction for emission tomography",
    ],
    solves="poisson_likelihood",
    equation=r"x_{k+1} = \frac{x_k}{A^*\mathbf 1}\, A^* \frac{y}{A x_k}",
    reports=("residual", "divergence"),
    per_step={"A": 1, "Aᴴ": 1},
    differentiable=True,
)
def mlem(A: Annotated[LinearOperator, NONNEGATIVE], y: Tensor, x0: Tensor | None = None) -> Iterator[Step]:
    """Expectation maximisation for counts: every step raises the Poisson likelihood and keeps x ≥ 0. Out of place.

    Negative data count as zero. It starts from a constant with the total of the data, unless a start is given; pixels
    that are zero there stay zero. `divergence` is ``Σ y log(y / Ax) − y + Ax``, the negative log-likelihood but for a
    constant. For blurs this is Richardson–Lucy.
    """
    X, Y = A.domain, A.codomain
    y = y.clamp(min=0)
    sensitivity = A.adjoint(_ones(Y))
    pixel = safe_divide(torch.ones_like(sensitivity), sensitivity)
    if x0 is None:
        level = safe_divide(y.flatten(-Y.ndim).sum(-1), sensitivity.sum())
        x = _ones(X) * level.reshape(*level.shape, *(1,) * X.ndim)
    else:
        x = x0.clamp(min=0)
    predicted = A(x)
    while True:
        x = x * pixel * A.adjoint(safe_divide(y, predicted))
        predicted = A(x)
        yield Step(x, residual=Y.norm(predicted - y), divergence=_divergence(y, predicted).flatten(-Y.ndim).sum(-1))


def _ones(space: object) -> Tensor:
    return torch.ones(space.shape, dtype=space.dtype, device=space.device)  # type: ignore[attr-defined]


def _divergence(y: Tensor, predicted: Tensor) -> Tensor:
    """Return ``y log(y / p) − y + p`` entry by entry, without a logarithm of zero."""
    ratio = torch.where(y > 0, safe_divide(y, predicted), 1)
    return y * torch.where(ratio > 0, ratio, 1).log() - y + predicted
