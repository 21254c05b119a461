"""The Radon transform with parallel beams.

Joseph 1982: An improved algorithm for reprojecting rays through pixel images.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.capabilities import SQUARE_IMAGE
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.operators.transforms import on_real_parts

#: bytes that the sparse matrix and its transpose may take; beyond, the weights are computed anew each time
MEMORY_LIMIT = 2**29


class Rays:
    """The weights of the rays at each angle, by Joseph's interpolation.

    A ray is ``x cos θ + y sin θ = s``, with x to the right, y upwards, the origin in the middle of the image and unit
    pixels. Where it is nearer to the vertical, it is sampled once a row, between the two nearest pixels of the row,
    with the path length ``1/|cos θ|``; otherwise once a column, with ``1/|sin θ|``.

    Parameters
    ----------
    size : int
        Pixels a side.
    angles : Tensor
        θ in degrees.
    bins : int
        Detector bins, one pixel wide, centred.
    """

    def __init__(self, size: int, angles: Tensor, bins: int) -> None:
        self.size, self.angles, self.bins = size, angles, bins

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return len(self.angles) * self.bins, self.size**2

    def at(self, angle: float, device: Any = "cpu") -> tuple[Tensor, Tensor]:
        """Return pixels and weights, both of shape ``(bins, size, 2)``; weights outside the image are 0."""
        n, middle = self.size, (self.size - 1) / 2
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        s = torch.arange(self.bins, dtype=torch.float64, device=device)[:, None] - (self.bins - 1) / 2
        along = torch.arange(n, device=device)
        if abs(cos) >= abs(sin):
            crossing = (s - (middle - along) * sin) / cos + middle  # column, where the ray crosses row `along`
            steps, across, path = n, 1, 1 / abs(cos)
        else:
            crossing = middle - (s - (along - middle) * cos) / sin  # row, where it crosses column `along`
            steps, across, path = 1, n, 1 / abs(sin)
        lower = crossing.floor()
        between = torch.stack((lower, lower + 1), dim=-1)
        weight = path * (1 - (crossing.unsqueeze(-1) - between).abs())
        inside = (between >= 0) & (between < n)
        pixel = along[:, None] * steps + between.clamp(0, n - 1).long() * across
        return pixel, torch.where(inside, weight, 0)

    def matrix(self) -> Any:
        """Return the sparse matrix in double precision, one row a ray, angle by angle."""
        from scipy.sparse import csr_array

        pixels, weights, counts = [], [], []
        for angle in self.angles.tolist():
            pixel, weight = self.at(angle)
            used = weight != 0
            pixels.append(pixel[used].to(torch.int32))
            weights.append(weight[used])
            counts.append(used.sum((1, 2)))
        ends = torch.cat((torch.zeros(1, dtype=torch.int64), torch.cat(counts).cumsum(0)))
        parts = (torch.cat(weights), torch.cat(pixels), ends.to(torch.int32))
        return csr_array(tuple(part.numpy() for part in parts), self.shape)


class Radon(SparseMatrix):
    """Line integrals of a square image; the matrix is made at first use and shared by all copies of the operator.

    Above :data:`MEMORY_LIMIT` (with at most ``2 · angles · size²`` weights, in the matrix and in its transpose) the
    same weights are computed anew in every application.
    """

    title = "Radon transform"
    nonnegative = True

    def __init__(self, domain: Space, angles: Tensor, bins: int, *, matrix_free: bool | None = None) -> None:
        self.rays = Rays(domain.shape[0], angles, bins)
        codomain = Space((len(angles), bins), domain.dtype, domain.device)
        super().__init__(domain, codomain, SharedMatrix(self.rays.matrix))
        needed = 2 * (2 * len(angles) * domain.size) * (real_dtype(domain.dtype).itemsize + 4)
        self.matrix_free = needed > MEMORY_LIMIT if matrix_free is None else matrix_free

    def _forward(self, x: Tensor) -> Tensor:
        if not self.matrix_free or x.device.type == "meta":
            return super()._forward(x)
        return on_real_parts(self._project, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        if not self.matrix_free or y.device.type == "meta":
            return super()._adjoint(y)
        return on_real_parts(self._back_project, y)

    def _project(self, x: Tensor) -> Tensor:
        flat = x.reshape(*self.domain.batch(x), self.domain.size)
        return torch.stack([(flat[..., pixel] * weight).sum((-2, -1)) for pixel, weight in self._each(x.dtype)], dim=-2)

    def _back_project(self, y: Tensor, power: int = 1) -> Tensor:
        flat = y.reshape(-1, *self.codomain.shape)
        x = flat.new_zeros(len(flat), self.domain.size)
        for k, (pixel, weight) in enumerate(self._each(y.dtype)):
            shares = flat[:, k, :, None, None] * weight**power
            x.index_add_(1, pixel.reshape(-1), shares.reshape(len(flat), -1))
        return x.reshape(*self.codomain.batch(y), *self.domain.shape)

    def _each(self, dtype: torch.dtype) -> Any:
        for angle in self.rays.angles.tolist():
            pixel, weight = self.rays.at(angle, self.domain.device)
            yield pixel, weight.to(dtype)

    def gram_diagonal(self) -> Tensor:
        """Return the sum of the squared weights of each pixel."""
        if not self.matrix_free or self.domain.device.type == "meta":
            return super().gram_diagonal()
        ones = torch.ones(self.codomain.shape, dtype=real_dtype(self.domain.dtype), device=self.domain.device)
        return self._back_project(ones, power=2)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Angle and detector bin."""
        return (("angle", "°"), ("detector", "px"))


@operator(
    "Radon transform",
    papers=["Joseph 1982: An improved algorithm for reprojecting rays through pixel images"],
    equation=r"(Ax)(\theta, s) = \int x(s\cos\theta - t\sin\theta,\; s\sin\theta + t\cos\theta)\, dt",
)
def radon(
    domain: Annotated[Space, SQUARE_IMAGE],
    *,
    angles: Annotated[int, Log(1, 2000, help="number of angles")] = 60,
    arc: Annotated[float, Linear(1, 360, unit="°", help="range of the angles: 180 is full, less is limited")] = 180.0,
    bins: Annotated[int | None, Log(2, 8192, unit="px", help="detector bins; if not set, to the corners")] = None,
) -> Radon:
    """Line integrals along parallel beams, at angles spread evenly from 0° over an arc, its end left out."""
    size = domain.shape[0]
    if bins is None:
        bins = size + 2 * math.ceil((math.sqrt(2) - 1) * size / 2)
    return Radon(domain, torch.arange(angles, dtype=torch.float64) * (arc / angles), bins)
