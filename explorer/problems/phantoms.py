"""Phantoms: test images made by formula."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, problem
from explorer.problems.base import Truth

#: intensity, half axes, centre, rotation in degrees: the modified (higher contrast) head phantom
_HEAD = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def _ellipses(size: int, ellipses: Tensor) -> Tensor:
    """Return the sum of ellipses (rows: intensity, a, b, x, y, degrees) on a grid over [−1, 1]²."""
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(-grid, grid, indexing="ij")
    image = torch.zeros(size, size, dtype=torch.float64)
    for intensity, a, b, cx, cy, degrees in ellipses.tolist():
        angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
        u = (x - cx) * angle.cos() + (y - cy) * angle.sin()
        v = (y - cy) * angle.cos() - (x - cx) * angle.sin()
        image += intensity * ((u / a) ** 2 + (v / b) ** 2 <= 1)
    return image


@problem(
    "Shepp–Logan phantom",
    papers=[
        "Shepp & Logan 1974: The Fourier reconstruction of a head section",
        "Toft 1996: The Radon transform: theory and implementation",
    ],
)
def shepp_logan(*, size: Annotated[int, Log(8, 2048, unit="px", help="pixels a side")] = 128) -> Truth:
    """The head phantom with Toft's higher contrast: ten ellipses, values 0 to 1."""
    return Truth(_ellipses(size, torch.tensor(_HEAD, dtype=torch.float64)).clamp(0, 1))
