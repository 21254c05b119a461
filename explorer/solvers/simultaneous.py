"""All equations at once, each in its own measure: Cimmino, SIRT, and MLEM (Richardson–Lucy) for counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, solver
from explorer.linalg import axpy, clone, safe_divide
from explorer.operators.base import Diagonal, LinearOperator
from explorer.operators.capabilities import NONNEGATIVE, REAL_ONLY
from explorer.operators.rows import HAS_ROWS, HAS_SUMS, absolute_sums, squared_norms
from explorer.solvers.steps import Step
from explorer.solvers.sweeps import Sweeps


def _root(weights: Tensor) -> Tensor:
    """Return ``w^(−½)``, and 0 where w is."""
    return safe_divide(torch.ones_like(weights), weights).sqrt()


@solver(
    "Cimmino",
    papers=["Cimmino 1938: Calcolo approssimato per le soluzioni dei sistemi di equazioni lineari"],
    solves="consistent",
    equation=r"x_{k+1} = x_k + \tfrac{\omega}{\rho} A^H D^{-1} (y - A x_k),\quad D = \mathrm{diag}(\|a_i\|^2)",
    reports=("residual",),
    per_step={"A": 1, "Aᴴ": 1},
    filter=lambda s, k, norm, knobs: 1 - (1 - knobs["relaxation"] * (s / norm) ** 2) ** k,
    weighted=lambda A, _: (_root(squared_norms(A)), None),
    differentiable=True,
    works="Equations of unlike scale that deserve the same trust: each is divided by its norm.",
    fails="Equations with small rows bring their noise in magnified; hundreds of steps where CGLS takes ten.",
)
def cimmino(
    A: Annotated[LinearOperator, HAS_ROWS],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    relaxation: Annotated[float, Linear(0.01, 1.95, unit="1/ρ", help="relaxation ω; converges for 0 < ω < 2")] = 1.0,
) -> Iterator[Step]:
    """Project on all equations at once and average. Out of place.

    The limit is least squares with equations scaled to unit norm. ``ρ = ‖D^{-1/2} A‖²`` is computed once at the start.
    """
    sweeps, norms2 = Sweeps(A, y, x0), squared_norms(A)
    weight = safe_divide(torch.ones_like(norms2), norms2)
    step = relaxation / (Diagonal(A.codomain, weight.sqrt()) @ A).norm() ** 2
    while True:
        yield sweeps.move(axpy(sweeps.moving() * step, A.adjoint(weight * sweeps.r), sweeps.x))


@solver(
    "SIRT",
    papers=[
        "Gilbert 1972: Iterative methods for the three-dimensional reconstruction of an object from projections",
        "Gregor & Benson 2008: Computational analysis and improvement of SIRT",
    ],
    solves="consistent",
    equation=r"x_{k+1} = x_k + \omega\, C A^H R\,(y - A x_k),\quad c_j = 1/\textstyle\sum_i |a_{ij}|,\; "
    r"r_i = 1/\textstyle\sum_j |a_{ij}|",
    reports=("residual",),
    per_step={"A": 1, "Aᴴ": 1},
    filter=lambda s, k, _norm, knobs: 1 - (1 - knobs["relaxation"] * s**2) ** k,
    weighted=lambda A, knobs: None if knobs.get("nonnegative") else tuple(map(_root, absolute_sums(A))),
    differentiable=True,
    works="Tomography: even steps over all data, and bounds at no cost.",
    fails="Tens to hundreds of steps; run on, it too fits the noise.",
)
def sirt(
    A: Annotated[LinearOperator, HAS_SUMS],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    relaxation: Annotated[float, Linear(0.01, 1.95, help="relaxation ω; it converges below 2")] = 1.0,
    nonnegative: Annotated[bool, Help("set negative values to zero after every step")] = False,
) -> Iterator[Step]:
    """Back-project the residual, each ray divided by its length and each pixel by its rays. Out of place.

    The weights make every eigenvalue of ``C AᴴRA`` at most 1: no norm is needed. The iteration solves
    ``min ‖R^½ (Ax − y)‖`` and its number of steps regularises.
    """
    sweeps, (over_rows, over_columns) = Sweeps(A, y, x0), absolute_sums(A)
    R, C = (safe_divide(torch.ones_like(total), total) for total in (over_rows, over_columns))
    while True:
        x = axpy(sweeps.moving() * relaxation, C * A.adjoint(R * sweeps.r), sweeps.x)
        yield sweeps.move(x.clamp(min=0) if nonnegative and not x.is_complex() else x)


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
    works="Counts, with an operator and an unknown that are not negative.",
    fails="Data that are no counts; run on, it breaks up into spikes.",
)
def mlem(A: Annotated[LinearOperator, NONNEGATIVE, REAL_ONLY], y: Tensor, x0: Tensor | None = None) -> Iterator[Step]:
    """Expectation maximisation for counts: every step raises the Poisson likelihood and keeps x ≥ 0. Out of place.

    Negative data count as zero. It starts from a constant with the total of the data, unless a start is given; pixels
    that are zero there stay zero. `divergence` is ``Σ y log(y / Ax) − y + Ax``, the negative log-likelihood but for a
    constant. For blurs this is Richardson–Lucy.
    """
    sensitivity = A.adjoint(_ones(A.codomain))
    pixel = safe_divide(torch.ones_like(sensitivity), sensitivity)
    y, x = counts_and_start(A, y, x0, sensitivity)
    predicted = A(x)
    while True:
        x = x * pixel * A.adjoint(safe_divide(y, predicted))
        predicted = A(x)
        yield counted(A, x, y, predicted)


def counts_and_start(A: LinearOperator, y: Tensor, x0: Tensor | None, sensitivity: Tensor) -> tuple[Tensor, Tensor]:
    """Return data and start without negative entries; without a start, flat and of as many counts as the data."""
    y = y.clamp(min=0)
    if x0 is not None:
        return y, clone(x0).clamp(min=0)
    level = safe_divide(y.flatten(-A.codomain.ndim).sum(-1), sensitivity.sum())
    return y, _ones(A.domain) * level.reshape(*level.shape, *(1,) * A.domain.ndim)


def counted(A: LinearOperator, x: Tensor, y: Tensor, predicted: Tensor) -> Step:
    """Return the step at `x` with ``predicted = A x`` and its divergence from the counts."""
    divergence = _divergence(y, predicted).flatten(-A.codomain.ndim).sum(-1)
    return Step(x, residual=A.codomain.norm(predicted - y), divergence=divergence)


def _ones(space: object) -> Tensor:
    return torch.ones(space.shape, dtype=space.dtype, device=space.device)  # type: ignore[attr-defined]


def _divergence(y: Tensor, predicted: Tensor) -> Tensor:
    """Return ``y log(y / p) − y + p`` entry by entry, without a logarithm of zero."""
    ratio = torch.where(y > 0, safe_divide(y, predicted), 1)
    return y * torch.where(ratio > 0, ratio, 1).log() - y + predicted
