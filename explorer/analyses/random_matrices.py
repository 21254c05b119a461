"""Is a spectrum that of chance? The laws of random matrices, and what sticks out of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import DECOMPOSABLE, decompose
from explorer.catalogue import SpecError, analysis
from explorer.linalg import random_matrices as laws
from explorer.operators.base import LinearOperator

#: points of a density, and points at which it is integrated
GRID, FINE = 400, 4000
#: how far beyond the edge a value must be to stick out, in fluctuations of the last one: n^(−2/3) of the width
SLACK = 3.0
#: share of the values that may stick out, and difference of the distributions, up to which the rest is called chance
MOST, ALIKE = 0.25, 0.1


@dataclass(frozen=True)
class RandomLaw:
    """A spectrum beside that of a matrix of independent entries with the same size and the norm of the bulk.

    Attributes
    ----------
    law : str
        ``Marchenko–Pastur`` for eigenvalues of ``AᴴA / m``, or ``semicircle`` for those of a self-adjoint A.
    values : NDArray
        The eigenvalues, descending; zeros that the shape alone makes are left out.
    grid, density : NDArray
        The law, of integral one over the values that do not stick out.
    edges : tuple of float
        The ends of the bulk.
    outliers : int
        Values beyond them by more than three times the fluctuation of the last one, ``n^(−2/3)`` of the width.
    spikes : NDArray
        For each outlier above (for the semicircle on either side) the component that makes it, descending: its squared
        singular value over m, or its eigenvalue. None where the rest is not chance, its `distance` being above 0.1.
    overlaps : NDArray
        Squared cosines between that component's right and left vectors and the observed ones, shape ``(spikes, 2)``.
    threshold : float
        A component below it leaves no outlier, and its direction is lost (Baik, Ben Arous & Péché).
    distance : float
        Largest difference of the distribution functions of bulk and law (Kolmogorov & Smirnov).
    sentence : str
    """

    law: str
    values: NDArray[np.floating]
    grid: NDArray[np.floating]
    density: NDArray[np.floating]
    edges: tuple[float, float]
    outliers: int
    spikes: NDArray[np.floating]
    overlaps: NDArray[np.floating]
    threshold: float
    distance: float
    sentence: str


@dataclass(frozen=True)
class _Law:
    """A law fitted to a bulk: its name, ends, density, and what components do to it."""

    name: str
    edges: tuple[float, float]
    density: Callable[[Tensor], Tensor]
    strength: Callable[[Tensor], Tensor]
    overlaps: Callable[[Tensor], tuple[Tensor, Tensor]]
    threshold: float


def _semicircle(values: Tensor, kept: Tensor) -> _Law:
    count, left = len(values), int(kept.sum())
    radius = 2 * math.sqrt(count * float((values[kept] ** 2).sum())) / left

    def overlaps(spikes: Tensor) -> tuple[Tensor, Tensor]:
        one = laws.spike_overlap(spikes, radius)
        return one, one

    return _Law(
        "semicircle",
        (-radius, radius),
        lambda at: laws.semicircle(at, radius),
        lambda value: laws.spike_of_eigenvalue(value, radius),
        overlaps,
        radius / 2,
    )


def _marchenko_pastur(values: Tensor, kept: Tensor, m: int, n: int) -> _Law:
    gone, ratio = int((~kept).sum()), n / m
    variance = float(values[kept].sum()) * m / ((m - gone) * (n - gone))
    return _Law(
        "Marchenko–Pastur",
        laws.marchenko_pastur_edges(ratio, variance),
        lambda at: laws.marchenko_pastur(at, ratio, variance) * max(1.0, ratio),
        lambda value: variance * laws.spike_strength(value / variance, ratio),
        lambda spikes: laws.spike_overlaps(spikes / variance, ratio),
        variance * math.sqrt(ratio),
    )


@analysis(
    "Random-matrix law",
    papers=[
        "Marchenko & Pastur 1967: Distribution of eigenvalues for some sets of random matrices",
        "Wigner 1958: On the distribution of the roots of certain symmetric matrices",
        "Baik, Ben Arous & Péché 2005: Phase transition of the largest eigenvalue for nonnull complex sample "
        "covariance matrices",
        "Benaych-Georges & Nadakuditi 2012: The singular values and vectors of low rank perturbations of large "
        "rectangular random matrices",
    ],
    equation=r"\rho(\lambda) = \frac{\sqrt{(\lambda_+ - \lambda)(\lambda - \lambda_-)}}{2\pi\sigma^2\gamma\lambda}"
    r",\quad \lambda(t) = \sigma^2\frac{(1+t)(\gamma+t)}{t},\; t > \sqrt\gamma",
)
@torch.no_grad()
def random_matrix_law(A: Annotated[LinearOperator, DECOMPOSABLE]) -> RandomLaw:
    """Is this spectrum that of pure chance? What sticks out of the bulk is structure.

    The variance of the entries is that of the bulk: values that stick out are left out, and the law is fitted again.
    An outlier tells how strong the component is that makes it, and how well its direction is known.

    Raises
    ------
    SpecError
        If all singular values are zero.
    """
    m, n = A.codomain.size, A.domain.size
    wigner = A.self_adjoint and not A.has_svd
    if wigner:
        matrix = A.to_dense()
        values = torch.linalg.eigvalsh((matrix + matrix.mH) / 2).double().flip(0)
    else:
        values = decompose(A)[0].double() ** 2 / m
    if not float(values.abs().max()):
        raise SpecError(f"{A.title} is zero, and has no spectrum to compare", "A")
    count = len(values)
    fit: Callable[[Tensor], _Law] = lambda kept: (  # noqa: E731
        _semicircle(values, kept) if wigner else _marchenko_pastur(values, kept, m, n)
    )
    every = torch.ones(count, dtype=torch.bool, device=values.device)
    law, out = fit(every), ~every
    while True:
        found = out | _beyond(values, law)
        if int(found.sum()) > MOST * count:
            law = fit(every)
            out = _beyond(values, law)
            break
        if bool((found == out).all()):
            break
        out, law = found, fit(~found)
    low, high = law.edges
    angle = torch.linspace(0, math.pi, FINE + 1, dtype=torch.float64, device=values.device)
    fine = (high + low) / 2 - (high - low) / 2 * torch.cos(angle)
    distance = _distance(values[~out], fine, law.density(fine))
    chance = distance <= max(ALIKE, 3 / count)
    sticking = out & ((values > high) | ((values < low) if wigner else torch.zeros_like(out)))
    spikes = law.strength(values[sticking]) if chance else values[:0]
    overlaps = torch.stack(law.overlaps(spikes), -1)
    grid = fine[:: max(1, FINE // GRID)]
    said = (
        f"{int(out.sum())} of {count} eigenvalues stick out of the bulk [{low:.3g}, {high:.3g}] of the {law.name} law; "
        f"the distributions differ by at most {100 * distance:.2g} %."
    )
    if not chance:
        said += " This is not a matrix of independent entries."
    elif len(spikes):
        strong, weak = int(spikes.abs().argmax()), int(spikes.abs().argmin())
        said += (
            f" They are components of strength {float(spikes[strong]):.3g} to {float(spikes[weak]):.3g}, whose right "
            f"vectors are known to a squared cosine of {float(overlaps[strong, 0]):.2g} to "
            f"{float(overlaps[weak, 0]):.2g}; any below {law.threshold:.3g} would hide in the bulk."
        )
    drawn = [t.cpu().numpy() for t in (values, grid, law.density(grid), spikes, overlaps)]
    return RandomLaw(
        law.name, drawn[0], drawn[1], drawn[2], law.edges, int(out.sum()), drawn[3], drawn[4], law.threshold, distance,
        said,
    )  # fmt: skip


def _beyond(values: Tensor, law: _Law) -> Tensor:
    low, high = law.edges
    slack = SLACK * (high - low) * len(values) ** (-2 / 3)
    return (values > high + slack) | (values < low - slack)


def _distance(values: Tensor, fine: Tensor, density: Tensor) -> float:
    """Return the largest difference between the distribution of values, descending, and that of a density."""
    cumulative = torch.cat((fine.new_zeros(1), torch.cumulative_trapezoid(density, fine)))
    rising, count = values.flip(0), len(values)
    places = torch.searchsorted(fine, rising).clamp(max=len(fine) - 1)
    predicted = torch.where(rising >= fine[-1], 1.0, cumulative[places])
    steps = torch.arange(1, count + 1, dtype=torch.float64, device=values.device) / count
    return float(torch.maximum((predicted - steps).abs(), (predicted - steps + 1 / count).abs()).max())
