"""Radio interferometry: the spatial frequencies that pairs of antennas see while the Earth turns.

Thompson, Moran & Swenson 2017: Interferometry and Synthesis in Radio Astronomy, chapter 4.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.operators.capabilities import IMAGE
from explorer.operators.drawing import Drawing, Stroke
from explorer.operators.fourier import MaskedFourier

Layout = Literal["arms", "ring", "random"]


def antennas(count: int, layout: Layout, rng: Rng) -> Tensor:
    """Return positions on the ground, east and north of the middle, shape ``(count, 2)``, float64.

    Parameters
    ----------
    layout : {"arms", "ring", "random"}
        Three arms, 120° apart and 5° off north, along which distances grow as ``k^1.716`` (the Very Large Array); a
        circle; normally distributed.
    """
    k = torch.arange(count, dtype=torch.float64)
    if layout == "random":
        return rng.fork("antennas").normal((count, 2), torch.float64)
    if layout == "ring":
        radius, azimuth = torch.ones_like(k), k * (2 * math.pi / count)
    else:
        radius = (k // 3 + 1) ** 1.716
        azimuth = (k % 3) * (2 * math.pi / 3) - math.radians(5)
    return radius[:, None] * torch.stack((azimuth.sin(), azimuth.cos()), dim=1)


def tracks(positions: Tensor, hours: Tensor, declination: float, latitude: float) -> Tensor:
    """Return the baselines of all pairs of antennas as a source sees them, projected on its sky.

    Parameters
    ----------
    positions : Tensor
        East and north, shape ``(a, 2)``.
    hours : Tensor
        Hour angles, 0 on the meridian, shape ``(t,)``.
    declination, latitude : float
        Of the source and of the antennas, in degrees.

    Returns
    -------
    Tensor
        u towards the east and v towards the north, in the unit of the positions, shape ``(t, a (a−1)/2, 2)``.
    """
    first, second = torch.triu_indices(len(positions), len(positions), 1)
    east, north = (positions[second] - positions[first]).unbind(-1)
    phi, delta = math.radians(latitude), math.radians(declination)
    # equatorial coordinates: towards the meridian on the equator, east, and the pole
    x, y, z = -math.sin(phi) * north, east, math.cos(phi) * north
    turn = (hours * (math.pi / 12))[:, None]
    sin, cos = turn.sin(), turn.cos()
    u = sin * x + cos * y
    v = -math.sin(delta) * cos * x + math.sin(delta) * sin * y + math.cos(delta) * z
    return torch.stack((u, v), dim=-1)


def gridded(uv: Tensor, shape: tuple[int, ...], reach: float) -> Tensor:
    """Return the points of the frequency grid of an image nearest to `uv` and to ``−uv``, ascending, each once.

    Parameters
    ----------
    uv : Tensor
        Shape ``(…, 2)``; the longest lies at `reach` times the highest frequency of the image.
    shape : tuple of int
        Rows, from north to south, and columns.
    """
    scale = reach / 2 / float(torch.linalg.vector_norm(uv, dim=-1).max().clamp_min(1e-300))
    rows, columns = shape
    column = (uv[..., 0] * scale * columns).round().long().reshape(-1)
    row = -(uv[..., 1] * scale * rows).round().long().reshape(-1)
    seen = (row != 0) | (column != 0)  # two antennas cannot be in one place
    row, column = torch.cat((row[seen], -row[seen])), torch.cat((column[seen], -column[seen]))
    return ((row % rows) * columns + column % columns).unique()


class Interferometer(MaskedFourier):
    """The unitary Fourier transform where pairs of antennas measure it.

    Parameters
    ----------
    domain : Space
    kept : Tensor
        As for :class:`MaskedFourier`.
    positions : Tensor
        Of the antennas, east and north, shape ``(a, 2)``.
    """

    title = "Radio interferometer"

    def __init__(self, domain: Space, kept: Tensor, positions: Tensor) -> None:
        super().__init__(domain, kept)
        self.positions = positions.tolist()

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the frequencies that are seen, and the antennas on the ground."""
        (seen,) = super().drawings(datum)
        seen = dataclasses.replace(seen, title="Frequencies that are seen (uv-coverage)")
        east, north = torch.tensor(self.positions, dtype=torch.float64).unbind(-1)
        reach = float(torch.maximum(east.abs().max(), north.abs().max()).clamp_min(1e-300))
        places = torch.stack((-north, east), dim=-1) * (45 / reach)
        said = f"{len(places)} antennas on the ground, north at the top. Every pair measures one frequency at a time."
        ground = Drawing("Antennas", said, strokes=(Stroke("antenna", places),), view=(-50.0, -50.0, 50.0, 50.0))
        return seen, ground


@operator(
    "Radio interferometer",
    papers=[
        "Thompson, Moran & Swenson 2017: Interferometry and Synthesis in Radio Astronomy",
        "Wiaux et al. 2009: Compressed sensing imaging techniques for radio interferometry",
    ],
    equation=r"A = M F,\quad \begin{pmatrix} u \\ v \end{pmatrix} = \begin{pmatrix} \sin H & \cos H & 0 \\"
    r" -\sin\delta \cos H & \sin\delta \sin H & \cos\delta \end{pmatrix} b",
    works="Compact sources on a dark sky, with many antennas and hours of the Earth's turning.",
    fails="The mean and sources broader than the shortest baseline shows are lost; gaps between tracks make sidelobes.",
)
def radio_interferometer(
    domain: Annotated[Space, IMAGE],
    rng: Rng,
    *,
    number: Annotated[int, Linear(2, 64, help="number of antennas")] = 27,
    layout: Annotated[Layout, Help("three arms, a circle, or scattered")] = "arms",
    hours: Annotated[float, Linear(0, 24, unit="h", help="length of the observation, around the meridian")] = 6.0,
    snapshots: Annotated[int, Log(1, 1000, help="measurements in that time")] = 40,
    declination: Annotated[float, Linear(-90, 90, unit="°", help="declination of the source")] = 45.0,
    latitude: Annotated[float, Linear(-90, 90, unit="°", help="latitude of the antennas")] = 34.08,
    reach: Annotated[float, Linear(0.05, 1, help="longest baseline, relative to what the pixels can show")] = 0.8,
) -> Interferometer:
    """Unitary Fourier transform where pairs of antennas measure it, each along an ellipse as the Earth turns.

    Baselines are taken to the nearest point of the frequency grid, and each point counts once. The mean brightness is
    not among them. The field is small and the antennas lie in a plane; whether the source has set is not asked.
    """
    times = ((torch.arange(snapshots, dtype=torch.float64) + 0.5) / snapshots - 0.5) * hours
    positions = antennas(number, layout, rng)
    kept = gridded(tracks(positions, times, declination, latitude), domain.shape, reach)
    if not len(kept):
        raise SpecError("no baseline is as long as one point of the frequency grid: choose a larger reach", "reach")
    return Interferometer(domain, kept.to(domain.device), positions)
