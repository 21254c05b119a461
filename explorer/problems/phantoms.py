"""Phantoms: test images made by formula, fixed or drawn at random."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, problem
from explorer.linalg import Rng
from explorer.problems.base import Truth
from explorer.problems.images import Size

#: intensity, half axes, centre, rotation in degrees: the modified (higher contrast) head phantom
HEAD = (
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

#: intensity, left, right, top, bottom of the rectangles, as fractions of the side
_RECTANGLES = (
    (0.2, 0.05, 0.95, 0.05, 0.95),
    (0.5, 0.12, 0.47, 0.12, 0.61),
    (0.3, 0.2, 0.36, 0.23, 0.4),
    (-0.2, 0.58, 0.88, 0.15, 0.33),
    (0.8, 0.55, 0.72, 0.45, 0.82),
    (-0.5, 0.61, 0.66, 0.5, 0.76),
    (0.4, 0.15, 0.42, 0.72, 0.76),
    (0.6, 0.15, 0.42, 0.82, 0.84),
    (0.6, 0.8, 0.88, 0.6, 0.68),
)


def ellipses(size: int, rows: Tensor) -> Tensor:
    """Return the sum of ellipses (rows: intensity, a, b, x, y, degrees) on a grid over [−1, 1]²."""
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(-grid, grid, indexing="ij")
    image = torch.zeros(size, size, dtype=torch.float64)
    for intensity, a, b, cx, cy, degrees in rows.tolist():
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
def shepp_logan(*, size: Size = 128) -> Truth:
    """The head phantom with Toft's higher contrast: ten ellipses, values 0 to 1."""
    return Truth(ellipses(size, torch.tensor(HEAD, dtype=torch.float64)).clamp(0, 1))


@problem("Random ellipses", papers=["Adler & Öktem 2018: Learned Primal-Dual Reconstruction"])
def random_ellipses(
    rng: Rng, *, size: Size = 128, count: Annotated[int, Linear(1, 100, help="number of ellipses")] = 12
) -> Truth:
    """Overlapping ellipses drawn at random inside the unit disc, values 0 to 1."""
    intensity, a, b, x, y, turn = rng.uniform((6, count), torch.float64)
    shapes = (0.1 + 0.9 * intensity, 0.04 + 0.21 * a, 0.04 + 0.21 * b, x - 0.5, y - 0.5, 180 * turn)
    image = ellipses(size, torch.stack(shapes, dim=1))
    return Truth(image / image.max().clamp_min(0.1))


@problem("Blocks image")
def blocks_image(*, size: Size = 128) -> Truth:
    """A piecewise constant image of nine rectangles, large and thin, values 0 to 1."""
    t = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    image = torch.zeros(size, size, dtype=torch.float64)
    for intensity, left, right, top, bottom in _RECTANGLES:
        image += intensity * torch.outer((t > top) & (t < bottom), (t > left) & (t < right))
    return Truth(image.clamp(0, 1))
