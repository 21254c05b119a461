"""Travel times of waves along straight rays.

Siddon 1985: Fast calculation of the exact radiological path for a three-dimensional CT array.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Log, operator
from explorer.linalg import Space
from explorer.operators.capabilities import IMAGE
from explorer.operators.drawing import Drawing, Stroke, spread
from explorer.operators.sparse import SharedMatrix, SparseMatrix


def path_lengths(rows: int, columns: int, start: Tensor, ends: Tensor) -> Any:
    """Return the length of straight rays in every cell of a grid of unit cells.

    Parameters
    ----------
    rows, columns : int
        The grid covers ``[0, rows] × [0, columns]``.
    start : Tensor
        Depth and distance of the source, shape ``(2,)``, float64.
    ends : Tensor
        Those of the receivers, shape ``(k, 2)``.

    Returns
    -------
    scipy.sparse.csr_array
        Shape ``(k, rows · columns)``. A ray along the border of two cells belongs to the one below or to the right.
    """
    from scipy.sparse import csr_array

    way = ends - start
    crossings = [torch.zeros(len(ends), 1), torch.ones(len(ends), 1)]
    for axis, n in enumerate((rows, columns)):
        lines = torch.arange(n + 1, dtype=torch.float64)
        crossings.append((lines - start[axis]) / way[:, axis, None])
    # a ray along an axis crosses no line of the other: 0/0 and ±∞ become an end of the ray
    t = torch.cat(crossings, dim=1).nan_to_num(0.0).clamp(0, 1).sort(dim=1).values
    share = t.diff(dim=1)
    middle = start + ((t[:, 1:] + t[:, :-1]) / 2).unsqueeze(-1) * way[:, None]
    cell = middle.floor().long()
    row, column = cell[..., 0].clamp(0, rows - 1), cell[..., 1].clamp(0, columns - 1)
    used = share > 0
    length = (share * torch.linalg.vector_norm(way, dim=1)[:, None])[used]
    ray = torch.arange(len(ends))[:, None].expand_as(used)[used]
    index = (ray.to(torch.int32).numpy(), (row * columns + column)[used].to(torch.int32).numpy())
    return csr_array((length.numpy(), index), (len(ends), rows * columns))


class TravelTime(SparseMatrix):
    """Integrals of the slowness along straight rays, exact for cells of constant slowness.

    Parameters
    ----------
    domain : Space
        Slowness in each cell, the first row at the surface.
    sources, receivers : Tensor
        Depth and distance in cells, shapes ``(s, 2)`` and ``(r, 2)``, float64.
    cell : float
        Side of a cell in the unit of length.
    """

    title = "Travel times"
    nonnegative = True

    def __init__(self, domain: Space, sources: Tensor, receivers: Tensor, cell: float = 1.0) -> None:
        self.sources, self.receivers, self.cell = sources.tolist(), receivers.tolist(), cell
        codomain = Space((len(sources), len(receivers)), domain.dtype, domain.device)
        super().__init__(domain, codomain, SharedMatrix(self._lengths))

    def _lengths(self) -> Any:
        from scipy.sparse import vstack

        starts, ends = (torch.tensor(places, dtype=torch.float64) for places in (self.sources, self.receivers))
        rows, columns = self.domain.shape
        return vstack([path_lengths(rows, columns, s, ends) for s in starts], format="csr") * self.cell

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return sources, receivers, and the rays of one source."""
        source, chosen = divmod(datum, len(self.receivers))
        starts, ends = (torch.tensor(places, dtype=torch.float64) - 0.5 for places in (self.sources, self.receivers))
        ray = lambda kind, i: Stroke(kind, torch.stack((starts[source], ends[i])), source * len(ends) + i)  # noqa: E731
        strokes = [ray("ray", i) for i in spread(len(ends), 16)] + [ray("chosen", chosen)]
        strokes += [Stroke("source", starts), Stroke("receiver", ends)]
        said = (
            f"Sources on the left, receivers on the right and at the surface; rays of source {source}, a few of "
            f"{len(ends):,} drawn. The thick one is the chosen datum."
        )
        rows, columns = self.domain.shape
        view = (-0.05 * rows, -0.05 * columns, 1.05 * rows, 1.05 * columns)
        return (Drawing("Sources, receivers and rays", said, over=True, strokes=tuple(strokes), view=view),)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Source and receiver."""
        return (("source", ""), ("receiver", ""))


@operator(
    "Travel-time tomography",
    papers=[
        "Siddon 1985: Fast calculation of the exact radiological path for a three-dimensional CT array",
        "Hansen & Jørgensen 2018: AIR Tools II: algebraic iterative reconstruction methods, improved implementation",
    ],
    finer={"cell": -1},
    equation=r"(Ax)_{sr} = \int_{\text{ray from } s \text{ to } r} x(t)\, dt",
    works="Slowness that varies smoothly between a borehole and receivers, where rays cross at many angles.",
    fails="Deep cells and corners see few, nearly parallel rays: bodies smear along them; real rays bend.",
)
def travel_time(
    domain: Annotated[Space, IMAGE],
    *,
    sources: Annotated[int, Log(1, 1000, help="sources in a borehole on the left")] = 32,
    receivers: Annotated[
        int, Log(1, 2000, help="receivers, half in a borehole on the right, half at the surface")
    ] = 64,
    cell: Annotated[float, Log(1e-3, 1e3, unit="km", help="side of a cell")] = 1.0,
) -> TravelTime:
    """Times of seismic waves along straight rays from sources on the left to receivers on the right and at the top.

    The unknown is the slowness in s/km; rows are depths, the first at the surface. Sources and receivers are spread
    evenly; deep layers are seen by few rays.
    """
    rows, columns = domain.shape
    even = lambda count, length: (torch.arange(count, dtype=torch.float64) + 0.5) * (length / max(count, 1))  # noqa: E731
    left = torch.stack((even(sources, rows), torch.zeros(sources).double()), dim=1)
    depth, distance = even(receivers - receivers // 2, rows), even(receivers // 2, columns)
    right = torch.stack((depth, torch.full_like(depth, columns)), dim=1)
    top = torch.stack((torch.zeros_like(distance), distance), dim=1)
    made = TravelTime(domain, left, torch.cat((right, top)), cell)
    made.title = "Travel-time tomography"
    return made
