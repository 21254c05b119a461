"""Volumes and stacks of maps."""

from __future__ import annotations

from typing import Annotated

import torch

from explorer.catalogue import Linear, Log, problem
from explorer.linalg import Rng
from explorer.operators.darcy import smooth_field
from explorer.problems.base import Truth
from explorer.problems.phantoms import HEAD, ellipses

Side = Annotated[int, Log(8, 512, unit="px", help="pixels a side")]

#: half height and height of the middle of the ten ellipsoids of the head, whose sections through it are the ellipses
_UPRIGHT = (
    (0.81, 0.0),
    (0.78, 0.0),
    (0.22, 0.0),
    (0.28, 0.0),
    (0.41, -0.15),
    (0.05, 0.25),
    (0.05, 0.25),
    (0.05, 0.0),
    (0.02, 0.0),
    (0.02, 0.0),
)


@problem(
    "Head in slices",
    papers=["Kak & Slaney 1988: Principles of Computerized Tomographic Imaging"],
)
def head_volume(*, side: Side = 64, slices: Annotated[int, Linear(1, 256, help="number of slices")] = 16) -> Truth:
    """The head phantom in three dimensions, upright ellipsoids, values 0 to 1; slices from height −0.5 to 0.5.

    Shape ``(slices, side, side)``. In the slice through the middle the ellipsoids are the ellipses of the flat phantom.
    """
    head, (half, middle) = torch.tensor(HEAD, dtype=torch.float64), torch.tensor(_UPRIGHT, dtype=torch.float64).T
    images = []
    for height in ((torch.arange(slices, dtype=torch.float64) + 0.5) / slices - 0.5).tolist():
        section = (1 - ((height - middle) / half) ** 2).clamp(min=0).sqrt()
        cut = head[section > 0]
        cut[:, 1:3] *= section[section > 0, None]
        images.append(ellipses(side, cut).clamp(0, 1))
    return Truth(torch.stack(images))


@problem("Abundances", papers=["Keshava & Mustard 2002: Spectral unmixing"])
def abundances(
    rng: Rng,
    *,
    side: Side = 48,
    materials: Annotated[int, Linear(2, 16, help="number of materials")] = 4,
    purity: Annotated[float, Linear(0, 10, help="0: all alike everywhere; 10: hardly a pixel is mixed")] = 3.0,
) -> Truth:
    """Shares of several materials in every pixel, positive and with sum one: exponentials of smooth random fields.

    Shape ``(materials, side, side)``: the unknown of hyperspectral mixing.
    """
    fields = [smooth_field(rng.fork(f"material {k}"), (side, side)) for k in range(materials)]
    return Truth(torch.softmax(purity * torch.stack(fields), dim=0))
