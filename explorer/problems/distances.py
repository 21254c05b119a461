"""Matrices of distances."""

from __future__ import annotations

from typing import Annotated

import torch

from explorer.catalogue import Linear, Log, problem
from explorer.linalg import Rng
from explorer.problems.base import Truth


@problem("Distances of points", name="point_distances", equation=r"x_{ij} = \|p_i - p_j\|_2")
def point_distances(
    rng: Rng,
    *,
    size: Annotated[int, Log(3, 512, unit="points", help="number of points")] = 24,
    dimension: Annotated[int, Linear(1, 20, help="dimension of the cube in which they lie")] = 2,
) -> Truth:
    """Distances between points that are uniform in the unit cube: a symmetric matrix that keeps every triangle."""
    points = rng.uniform((size, dimension), torch.float64)
    return Truth((points[:, None] - points).norm(dim=-1))
