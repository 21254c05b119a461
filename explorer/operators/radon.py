"""The Radon transform with parallel and fan beams.

Joseph 1982: An improved algorithm for reprojecting rays through pixel images.
Kak & Slaney 1988: Principles of Computerized Tomographic Imaging, chapter 3.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.capabilities import SQUARE_IMAGE
from explorer.operators.drawing import Drawing, Stroke, spread
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.operators.transforms import on_real_parts

#: bytes that the sparse matrix and its transpose may take; beyond, the weights are computed anew each time
MEMORY_LIMIT = 2**29


class Rays:
    """The weights of the rays at each angle, by Joseph's interpolation.

    A ray is ``x cos θ + y sin θ = s``, with x to the right, y upwards and the origin in the middle of the image. Where
    it is nearer to the vertical, it is sampled once a row, between the two nearest pixels of the row, with the path
    length ``1/|cos θ|``; otherwise once a column, with ``1/|sin θ|``.

    The detector at angle β is the line through the origin along ``(cos β, sin β)``. Parallel rays meet it at right
    angles, ``θ = β``, ``s = u``. Those of a fan start from ``D (sin β, −cos β)`` and have ``γ = arctan(u/D)``,
    ``θ = β − γ``, ``s = D sin γ``.

    Parameters
    ----------
    size : int
        Pixels a side.
    angles : Tensor
        β in degrees.
    bins : int
        Detector bins, centred.
    spacing : float
        Width of a bin, in pixels.
    centre : float
        Where the axis of rotation falls on the detector, in pixels from its middle.
    source : float, optional
        Distance D of the source from the axis, in pixels; without one, rays are parallel.
    per_bin : int
        Rays a bin, evenly spread, whose mean the bin measures.
    pixel : float
        Side of a pixel in the unit of length; weights have that unit.
    """

    def __init__(
        self,
        size: int,
        angles: Tensor,
        bins: int,
        *,
        spacing: float = 1.0,
        centre: float = 0.0,
        source: float | None = None,
        per_bin: int = 1,
        pixel: float = 1.0,
    ) -> None:
        self.size, self.angles, self.bins, self.spacing, self.centre = size, angles, bins, spacing, centre
        self.source, self.per_bin, self.pixel = source, per_bin, pixel

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return len(self.angles) * self.bins, self.size**2

    @property
    def most_weights(self) -> float:
        """Most weights that there can be: two for every ray and every row that it crosses inside the image."""
        crossing = self.bins if self.source is not None else min(self.bins, self.size / self.spacing)
        return 2 * len(self.angles) * self.size * self.per_bin * crossing

    def lines(self, angle: float, device: Any = "cpu") -> tuple[Tensor, Tensor]:
        """Return θ in radians and s in pixels of every ray, both of shape ``(bins · per_bin,)``."""
        count, beta = self.bins * self.per_bin, math.radians(angle)
        u = torch.arange(count, dtype=torch.float64, device=device) - (count - 1) / 2
        u = u * (self.spacing / self.per_bin)
        if self.source is None:
            return torch.full_like(u, beta), u - self.centre
        gamma = torch.atan(u / self.source)
        return beta - gamma, self.source * gamma.sin() - self.centre * gamma.cos()

    def ends(self, angle: float, reach: float) -> tuple[Tensor, Tensor]:
        """Return where the ray in the middle of every bin begins, and where it meets a detector beyond the image.

        Parameters
        ----------
        reach : float
            Distance of that detector from the axis, and of the beginning of parallel rays, in pixels.

        Returns
        -------
        tuple of Tensor
            Row and column in pixels, shapes ``(bins, 2)``.
        """
        beta = math.radians(angle)
        across = torch.tensor([-math.sin(beta), math.cos(beta)], dtype=torch.float64)  # rows run downwards
        onward = torch.tensor([-math.cos(beta), -math.sin(beta)], dtype=torch.float64)
        u = (torch.arange(self.bins, dtype=torch.float64) - (self.bins - 1) / 2)[:, None] * self.spacing
        middle = (self.size - 1) / 2 - self.centre * across
        if self.source is None:
            return middle + u * across - reach * onward, middle + u * across + reach * onward
        start = (middle - self.source * onward).expand(self.bins, 2)
        return start, middle + u * (1 + reach / self.source) * across + reach * onward

    def at(self, angle: float, device: Any = "cpu") -> tuple[Tensor, Tensor]:
        """Return pixels and weights, both of shape ``(bins, per_bin · size, 2)``; weights outside the image are 0."""
        n, middle = self.size, (self.size - 1) / 2
        theta, s = (t[:, None] for t in self.lines(angle, device))
        # along rows and columns rays are exact, so that nothing is left of the neighbours' weights
        cos, sin = (torch.where(t.abs() < 1e-15, 0, t) for t in (theta.cos(), theta.sin()))
        steep = cos.abs() >= sin.abs()
        along = torch.arange(n, device=device)
        # the column where a steep ray crosses row `along`, the row where another crosses column `along`
        slope = torch.where(steep, sin / cos, cos / sin)
        crossing = (along - middle).to(slope.dtype) * slope + (torch.where(steep, s / cos, -s / sin) + middle)
        lower = crossing.floor()
        between = torch.stack((lower, lower + 1), dim=-1)
        path = self.pixel / self.per_bin / torch.maximum(cos.abs(), sin.abs())
        weight = path.unsqueeze(-1) * (1 - (crossing.unsqueeze(-1) - between).abs())
        inside = (between >= 0) & (between < n)
        steps, across = torch.where(steep, n, 1), torch.where(steep, 1, n)
        pixel = (along * steps).unsqueeze(-1) + between.clamp(0, n - 1).long() * across.unsqueeze(-1)
        shape = (self.bins, self.per_bin * n, 2)
        return pixel.reshape(shape), torch.where(inside, weight, 0).reshape(shape)

    def rows(self, angle: float) -> Any:
        """Return the sparse matrix of one angle in double precision, one row a bin."""
        from scipy.sparse import csr_array

        pixel, weight = self.at(angle)
        used = weight != 0
        ends = torch.cat((torch.zeros(1, dtype=torch.int64), used.sum((1, 2)).cumsum(0)))
        parts = (weight[used], pixel[used].to(torch.int32), ends.to(torch.int32))
        made = csr_array(tuple(part.numpy() for part in parts), (self.bins, self.size**2))
        if self.per_bin > 1:
            made.sum_duplicates()
        return made

    def matrix(self) -> Any:
        """Return the sparse matrix in double precision, one row a bin, angle by angle."""
        from scipy.sparse import vstack

        return vstack([self.rows(angle) for angle in self.angles.tolist()], format="csr")


class Symmetry:
    """Which angles look at a turned or mirrored image as others look at the image itself.

    Turning the image by a quarter moves an angle by 90°. Mirroring it changes the sign of the angle and reverses the
    detector, and so do 180° more where rays are parallel. One angle of those that are so related is enough to keep.

    Parameters
    ----------
    rays : Rays
        Those of all angles; `kept` has the smallest of every related set.

    Attributes
    ----------
    turns : list of (int, bool)
        Quarter turns clockwise, then whether to mirror.
    index : Tensor
        For every angle, its turn and its kept angle as one number, shape ``(angles,)``.
    reversed : Tensor
        Whether its detector is reversed, shape ``(angles,)``.
    """

    _movable = True

    def __init__(self, rays: Rays, device: torch.device) -> None:
        parallel, mirrors = rays.source is None, [False] if rays.centre else [False, True]
        quarters = [[0], [0, 2], [0, 1, 2, 3]] if rays.centre or not parallel else [[0], [0, 1]]
        best: Any = None
        for turns in ([(q, m) for q in some for m in both] for some in quarters for both in ([False], mirrors)):
            found = [self._smallest(beta, turns, parallel and not rays.centre) for beta in rays.angles.tolist()]
            kept = sorted({beta for beta, _, _ in found})
            # a turn is worth its work if nearly all its angles are asked for
            if best is None or (len(kept) < len(best[0]) and len(kept) * len(turns) <= 1.15 * len(found)):
                best = kept, turns, found
        kept, self.turns, found = best
        if len(self.turns) == 1:  # nothing is related: all angles as they are
            kept = rays.angles.tolist()
            found = [(beta, 0, False) for beta in kept]
        place = {beta: i for i, beta in enumerate(kept)}
        self.index = torch.tensor([turn * len(kept) + place[beta] for beta, turn, _ in found], device=device)
        self.reversed = torch.tensor([back for _, _, back in found], device=device)
        self.kept = copy.copy(rays)
        self.kept.angles = torch.tensor(kept, dtype=torch.float64)

    @staticmethod
    def _smallest(beta: float, turns: list[tuple[int, bool]], halves: bool) -> tuple[float, int, bool]:
        """Return the smallest related angle, which turn leads there, and whether it reverses the detector."""
        related = []
        for turn, (quarters, mirror) in enumerate(turns):
            angle = round((-1 if mirror else 1) * (beta - 90 * quarters), 9) % 360
            back = mirror
            if halves and angle >= 180:
                angle, back = round(angle - 180, 9), not mirror
            related.append((angle, turn, back))
        return min(related)

    def images(self, x: Tensor) -> Tensor:
        """Return the turned images, shape ``(*batch, turns, n, n)``."""
        turned = [x.rot90(-quarters, (-2, -1)) for quarters, _ in self.turns]
        return torch.stack([t.flip(-1) if m else t for t, (_, m) in zip(turned, self.turns, strict=True)], dim=-3)

    def gather(self, images: Tensor) -> Tensor:
        """Return the sum of the images, each turned back: the adjoint of :meth:`images`."""
        parts = [t.flip(-1) if m else t for t, (_, m) in zip(images.unbind(-3), self.turns, strict=True)]
        total = parts[0].rot90(self.turns[0][0], (-2, -1))
        for part, (quarters, _) in zip(parts[1:], self.turns[1:], strict=True):
            total = total + part.rot90(quarters, (-2, -1))
        return total

    def select(self, data: Tensor) -> Tensor:
        """Return the data of all angles from those of the turned images, shape ``(*batch, turns, kept, bins)``."""
        y = data.flatten(-3, -2).index_select(-2, self.index)
        return torch.where(self.reversed[:, None], y.flip(-1), y)

    def spread(self, y: Tensor) -> Tensor:
        """Return the adjoint of :meth:`select`."""
        shape = (*y.shape[:-2], len(self.turns) * len(self.kept.angles), y.shape[-1])
        y = torch.where(self.reversed[:, None], y.flip(-1), y)
        return y.new_zeros(shape).index_add_(-2, self.index, y).unflatten(-2, (len(self.turns), -1))


class Radon(SparseMatrix):
    """Line integrals of a square image; matrices are made at first use and shared by all copies of the operator.

    Of angles that are related by a symmetry of the square, one only is applied, to the turned and mirrored images at
    once. Above :data:`MEMORY_LIMIT` its weights are computed anew in every application; `matrix_free` says the same of
    the matrix of all angles, which methods that need its rows ask for.

    Parameters
    ----------
    domain : Space
    angles : Tensor
        In degrees.
    bins : int
        Detector bins.
    matrix_free : bool, optional
        Whether to do without the matrix; if not given, decided by its size.
    **geometry : Any
        As for :class:`Rays`.
    """

    title = "Radon transform"
    nonnegative = True

    def __init__(
        self, domain: Space, angles: Tensor, bins: int, *, matrix_free: bool | None = None, **geometry: Any
    ) -> None:
        self.rays = Rays(domain.shape[0], angles, bins, **geometry)
        self.symmetry = Symmetry(self.rays, domain.device)
        kept = self.symmetry.kept
        super().__init__(
            domain, Space((len(angles), bins), domain.dtype, domain.device), SharedMatrix(self.rays.matrix)
        )
        self.stored = Space((len(kept.angles), bins), domain.dtype, domain.device)
        related = len(self.symmetry.turns) > 1
        self.core = SparseMatrix(domain, self.stored, SharedMatrix(kept.matrix) if related else self.matrix)
        too_large = lambda rays: 2 * rays.most_weights * (real_dtype(domain.dtype).itemsize + 4) > MEMORY_LIMIT  # noqa: E731
        self.matrix_free = too_large(self.rays) if matrix_free is None else matrix_free
        self.anew = too_large(kept) if matrix_free is None else matrix_free

    def _forward(self, x: Tensor) -> Tensor:
        images = self.symmetry.images(x)
        if not self.anew or x.device.type == "meta":
            return self.symmetry.select(self.core._forward(images))
        return self.symmetry.select(on_real_parts(self._project, images))

    def _adjoint(self, y: Tensor) -> Tensor:
        data = self.symmetry.spread(y)
        if not self.anew or y.device.type == "meta":
            return self.symmetry.gather(self.core._adjoint(data))
        return self.symmetry.gather(on_real_parts(self._back_project, data))

    def _project(self, x: Tensor) -> Tensor:
        flat = x.reshape(*self.domain.batch(x), self.domain.size)
        return torch.stack([(flat[..., pixel] * weight).sum((-2, -1)) for pixel, weight in self._each(x.dtype)], dim=-2)

    def _back_project(self, y: Tensor) -> Tensor:
        flat = y.reshape(-1, *self.stored.shape)
        x = flat.new_zeros(len(flat), self.domain.size)
        for k, (pixel, weight) in enumerate(self._each(y.dtype)):
            shares = flat[:, k, :, None, None] * weight
            x.index_add_(1, pixel.reshape(-1), shares.reshape(len(flat), -1))
        return x.reshape(*self.stored.batch(y), *self.domain.shape)

    def _each(self, dtype: torch.dtype) -> Any:
        for angle in self.symmetry.kept.angles.tolist():
            pixel, weight = self.symmetry.kept.at(angle, self.domain.device)
            yield pixel, weight.to(dtype)

    def gram_diagonal(self) -> Tensor:
        """Return the sum of the squared weights of each pixel."""
        dtype, device, turns = real_dtype(self.domain.dtype), self.domain.device, len(self.symmetry.turns)
        if device.type == "meta":
            return torch.empty(self.domain.shape, dtype=dtype, device=device)
        kept = self.symmetry.kept
        squares = np.stack([kept.rows(angle).power(2).sum(0) for angle in kept.angles.tolist()])
        uses = torch.bincount(self.symmetry.index.cpu(), minlength=turns * len(squares)).reshape(turns, -1)
        sums = uses.to(torch.float64) @ torch.from_numpy(squares)
        return self.symmetry.gather(sums.reshape(turns, *self.domain.shape)).to(device, dtype)

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the rays and the detector of one view."""
        view, chosen = divmod(datum, self.rays.bins)
        angle, size, source = float(self.rays.angles[view]), self.rays.size, self.rays.source
        reach = 0.75 * size
        start, end = self.rays.ends(angle, reach)
        ray = lambda kind, i: Stroke(kind, torch.stack((start[i], end[i])), view * self.rays.bins + i)  # noqa: E731
        angles = [float(self.rays.angles[i]) for i in spread(len(self.rays.angles), 180)]
        around = torch.tensor([[-math.cos(math.radians(a)), -math.sin(math.radians(a))] for a in angles])
        middle = (size - 1) / 2
        strokes = [Stroke("view", middle + reach * around.double()), Stroke("detector", end[[0, -1]])]
        strokes += [Stroke("source", start[:1])] if source is not None else []
        strokes += [ray("ray", i) for i in spread(self.rays.bins, 13)] + [ray("chosen", chosen)]
        half = 1.08 * min(max(reach, source or 0.0), 1.6 * size)
        said = (
            f"Rays of the view at {angle:.4g}°, {'one' if len(angles) == 1 else 'a few'} of "
            f"{self.rays.bins:,} drawn; the thick one is the chosen datum. The heavy line is the detector, dots are "
            f"where its middle is in the {len(self.rays.angles):,} views."
        )
        view_box = (middle - half, middle - half, middle + half, middle + half)
        return (Drawing("Rays and detector", said, over=True, strokes=tuple(strokes), view=view_box),)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Angle and detector bin."""
        return (("angle", "°"), ("detector", "px"))


Image = Annotated[Space, SQUARE_IMAGE]
Angles = Annotated[int, Log(1, 2000, help="number of angles; few are a sparse-angle problem")]
Start = Annotated[float, Linear(-360, 360, unit="°", help="first angle")]
Bins = Annotated[int | None, Log(2, 8192, unit="px", help="detector bins; if not set, to the corners")]
Pixel = Annotated[float, Log(0.01, 100, unit="mm", help="side of a pixel")]
Spacing = Annotated[float, Log(0.01, 100, unit="mm", help="width of a detector bin")]
Centre = Annotated[float, Linear(-100, 100, unit="mm", help="axis of rotation, from the middle of the detector")]
Jitter = Annotated[float, Linear(0, 10, unit="°", help="standard deviation of random errors of the angles")]
PerBin = Annotated[int, Linear(1, 64, help="rays a detector bin, which measures their mean")]


def _angles(count: int, arc: float, start: float, jitter: float, rng: Rng | None) -> Tensor:
    """Return angles in degrees, spread evenly, the end of the arc left out, each with its error."""
    angles = start + torch.arange(count, dtype=torch.float64) * (arc / count)
    if jitter == 0:
        return angles
    if rng is None:
        raise SpecError(f"the jitter is {jitter}°, and there is no random stream to draw it from: pass rng", "jitter")
    return angles + jitter * rng.fork("jitter").normal((count,), torch.float64)


@operator(
    "Radon transform",
    papers=["Joseph 1982: An improved algorithm for reprojecting rays through pixel images"],
    finer={"pixel": -1, "rays": 1},
    equation=r"(Ax)(\theta, s) = \int x(s\cos\theta - t\sin\theta,\; s\sin\theta + t\cos\theta)\, dt",
    works="Many angles over half a turn: mildly ill-posed.",
    fails="Few or missing angles: streaks, and edges that no ray runs along are lost.",
)
def radon(
    domain: Image,
    rng: Rng | None = None,
    *,
    angles: Angles = 60,
    arc: Annotated[float, Linear(1, 360, unit="°", help="range of the angles: 180 is full, less is limited")] = 180.0,
    start: Start = 0.0,
    bins: Bins = None,
    pixel: Pixel = 1.0,
    spacing: Spacing = 1.0,
    centre: Centre = 0.0,
    jitter: Jitter = 0.0,
    rays: PerBin = 1,
) -> Radon:
    """Line integrals along parallel beams, at angles spread evenly over an arc, its end left out.

    An axis beside the middle of the detector, or angles with errors, make data that do not fit the ideal geometry.
    """
    width = round(domain.shape[0] * pixel / spacing, 9)  # rounded, or a finer grid might need one bin more
    if bins is None:
        bins = math.ceil(width) + 2 * max(0, math.ceil((math.sqrt(2) * width - math.ceil(width)) / 2))
    geometry: dict[str, Any] = {"spacing": spacing / pixel, "centre": centre / pixel, "per_bin": rays, "pixel": pixel}
    return Radon(domain, _angles(angles, arc, start, jitter, rng), bins, **geometry)


@operator(
    "Fan-beam tomography",
    papers=["Kak & Slaney 1988: Principles of Computerized Tomographic Imaging"],
    finer={"pixel": -1, "rays": 1},
    equation=r"(Ax)(\beta, u) = (Rx)(\beta - \gamma,\; D \sin\gamma),\quad \gamma = \arctan(u/D)",
    works="Scanners with one point source: many angles of a full turn, mildly ill-posed.",
    fails="Few angles make streaks; an arc below half a turn plus the fan's opening leaves edges unseen.",
)
def fan_beam(
    domain: Image,
    rng: Rng | None = None,
    *,
    angles: Angles = 120,
    arc: Annotated[float, Linear(1, 360, unit="°", help="range of the angles: 360 is full, less is limited")] = 360.0,
    start: Start = 0.0,
    bins: Bins = None,
    source: Annotated[
        float | None, Log(1, 1e4, unit="mm", help="source to axis; if not set, twice the width of the image")
    ] = None,
    detector: Annotated[float, Linear(0, 1000, unit="mm", help="axis to detector; 0 is a virtual one at the axis")] = 0,
    pixel: Pixel = 1.0,
    spacing: Spacing = 1.0,
    centre: Centre = 0.0,
    jitter: Jitter = 0.0,
    rays: PerBin = 1,
) -> Radon:
    """Line integrals along the rays of a fan from a point source to a flat detector; both turn around the image.

    At angle 0 the source is below the image and the detector runs from left to right.
    """
    width = domain.shape[0] * pixel
    reach = width / math.sqrt(2)
    source = 2 * width if source is None else source
    if source <= reach:
        raise SpecError(f"the source is {source:g} mm from the axis, and must be beyond the corners, {reach:g} mm away")
    seen = spacing * source / (source + detector)  # a bin as the source sees it, in the plane of the axis
    if bins is None:
        bins = 2 * math.ceil(round(source * math.tan(math.asin(reach / source)) / seen, 9))
    lengths = {"spacing": seen, "centre": centre, "source": source}
    geometry: dict[str, Any] = {name: length / pixel for name, length in lengths.items()}
    made = Radon(domain, _angles(angles, arc, start, jitter, rng), bins, per_bin=rays, pixel=pixel, **geometry)
    made.title = "Fan-beam tomography"
    return made
