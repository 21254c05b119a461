"""How well a sketch keeps the distances between points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, SpecError, analysis
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.operators.sketch import SparseSketch

#: largest number of entries of all the points together
MAX_ENTRIES = 2**25
SINGLE_SPACES = Capability(
    "an operator between single spaces", lambda A: isinstance(A.domain, Space) and isinstance(A.codomain, Space)
)


@dataclass(frozen=True)
class Distortion:
    """What an operator does to the distances between points.

    Attributes
    ----------
    ratio : NDArray
        Distance after over distance before, one a pair of points, shape ``(pairs,)``.
    largest : float
        Largest relative error ``|ratio − 1|``.
    nonzeros : int or None
        Nonzero entries of the projection of a sparse sketch.
    sentence : str
        What this means.
    """

    ratio: NDArray[np.floating]
    largest: float
    nonzeros: int | None
    sentence: str


@analysis(
    "Distortion of distances",
    papers=["row 153", "Johnson & Lindenstrauss 1984: Extensions of Lipschitz mappings into a Hilbert space"],
    equation=r"\max_{i<j} \left| \frac{\|S x_i - S x_j\|_2}{\|x_i - x_j\|_2} - 1 \right|",
)
@torch.no_grad()
def distance_distortion(
    A: Annotated[LinearOperator, SINGLE_SPACES],
    *,
    points: Annotated[int, Log(2, 2000, help="number of points")] = 300,
    spiky: Annotated[float, Linear(0, 1, help="fraction of the points with at most four nonzero entries")] = 0.5,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the points")] = 0,
) -> Distortion:
    """Compare all distances between random points before and after; spiky points are the hard ones.

    Raises
    ------
    SpecError
        If the points would be too large together.
    """
    X = A.domain
    if points * max(X.size, A.codomain.size) > MAX_ENTRIES:
        raise SpecError(f"{points} points of {X} are above {MAX_ENTRIES:,} entries: choose fewer points", "points")
    x = _points(X, points, round(spiky * points), Rng(seed, "points"))
    before, after = (_distances(z.reshape(points, -1)) for z in (x, A(x)))
    ratio = (after / before)[before > 0]
    largest = float((ratio - 1).abs().max())
    projection = getattr(A, "projection", A)
    nonzeros = projection.nonzeros if isinstance(projection, SparseSketch) else None
    cost = "" if nonzeros is None else f", with {nonzeros:,} of {X.size * A.codomain.size:,} entries in the projection"
    sentence = f"{X.size} numbers become {A.codomain.size}, and the worst of {len(ratio):,} distances is wrong by "
    return Distortion(ratio.cpu().numpy(), largest, nonzeros, f"{sentence}{100 * largest:.3g} %{cost}.")


def _points(space: Space, number: int, spiky: int, rng: Rng) -> Tensor:
    """Return normal points, of which the last `spiky` keep one to four of their entries at random places."""
    x = rng.fork("values").normal((number, space.size), space.dtype, space.device)
    place = (rng.fork("places").uniform((spiky, 4), torch.float64, space.device) * space.size).long()
    used = torch.arange(4, device=space.device) <= torch.arange(spiky, device=space.device).unsqueeze(-1) % 4
    x[number - spiky :] *= torch.zeros_like(x[:spiky].real).scatter_(-1, torch.where(used, place, place[:, :1]), 1.0)
    return x.reshape(number, *space.shape)


def _distances(x: Tensor) -> Tensor:
    """Return the distances of all pairs of rows."""
    i, j = torch.triu_indices(len(x), len(x), 1, device=x.device)
    size2 = torch.linalg.vecdot(x, x).real
    return (size2[i] + size2[j] - 2 * (x.conj() @ x.mT).real[i, j]).clamp(min=0).sqrt()
