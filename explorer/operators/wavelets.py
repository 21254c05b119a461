"""Orthonormal wavelet transforms with periodic borders, in every dimension.

Mallat 1989: A theory for multiresolution signal decomposition: the wavelet representation. Daubechies 1988: Orthonormal
bases of compactly supported wavelets. The filters are those of PyWavelets; the transform itself runs on any device.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv_transpose1d, pad

from explorer.catalogue import Help, Linear, SpecError, operator
from explorer.linalg import Space
from explorer.operators.base import LinearOperator
from explorer.operators.transforms import on_real_parts

Family = Literal["haar", "db2", "db4", "db8", "sym4", "sym8", "coif1", "coif3"]
FAMILIES = get_args(Family)


class Wavelet(LinearOperator):
    """Averages and details by one orthonormal filter pair, in every dimension and again on the averages.

    The coefficients have the shape of the domain: averages in the first half of a dimension, details in the second;
    the coarsest averages are in the corner. Only dimensions whose length is even are split at a level.

    Parameters
    ----------
    domain : Space
    wavelet : str
        Name of an orthogonal family in PyWavelets.
    levels : int
        Most levels; fewer where no dimension is even any more.

    Raises
    ------
    SpecError
        If no dimension has an even length.
    """

    title = "the wavelet transform"
    isometry = True
    coisometry = True

    def __init__(self, domain: Space, wavelet: str = "db4", levels: int = 20) -> None:
        super().__init__(domain)
        self.shapes = _shapes(domain.shape, levels)
        if len(self.shapes) == 1:
            sizes = " × ".join(map(str, domain.shape))
            raise SpecError(f"the size {sizes} has no even dimension: wavelets need one, at best a power of two")
        self.filters = torch.tensor(_filters(wavelet), dtype=torch.float64, device=domain.device)

    def _forward(self, x: Tensor) -> Tensor:
        return on_real_parts(self._analyse, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return on_real_parts(self._synthesise, y)

    def _analyse(self, x: Tensor) -> Tensor:
        return self._level(x, 0)

    def _level(self, x: Tensor, level: int) -> Tensor:
        if level == len(self.shapes) - 1:
            return x
        for axis in self._axes(level):
            x = _split(x.movedim(axis, -1), self.filters.to(x)).movedim(-1, axis)
        return _with_corner(x, self._level(_corner(x, self.shapes[level + 1]), level + 1))

    def _synthesise(self, y: Tensor) -> Tensor:
        for level in reversed(range(len(self.shapes) - 1)):
            x = _corner(y, self.shapes[level])
            for axis in self._axes(level):
                x = _join(x.movedim(axis, -1), self.filters.to(x)).movedim(-1, axis)
            y = _with_corner(y, x)
        return y

    def _axes(self, level: int) -> list[int]:
        """Return the dimensions, from the end, that are split at a level."""
        d = self.domain.ndim
        return [i - d for i in range(d) if self.shapes[level][i] != self.shapes[level + 1][i]]

    def scales(self) -> Tensor:
        """Return the scale of each coefficient, 0 for the coarsest details and up, −1 for the averages."""
        made = torch.full(self.domain.shape, -1, device=self.domain.device)
        for level in reversed(range(len(self.shapes) - 1)):
            outer = torch.full(self.shapes[level], len(self.shapes) - 2 - level, device=self.domain.device)
            made = _with_corner(made, _with_corner(outer, _corner(made, self.shapes[level + 1])))
        return made


@functools.cache
def _filters(name: str) -> list[list[float]]:
    """Return the averaging and the differencing filter of a family, orthonormal to rounding.

    Some tables hold twelve digits: the least change that meets ``Σ_i h_i h_{i+2k} = δ_k`` adds the others, in a step of
    Gauss and Newton.
    """
    import pywt

    h = np.array(pywt.Wavelet(name).dec_lo[::-1])
    m = len(h)
    shifted = lambda k: np.r_[h[2 * k :], np.zeros(2 * k)]  # noqa: E731
    products = np.array([h @ shifted(k) for k in range(m // 2)])
    slopes = np.array([shifted(k) + np.r_[np.zeros(2 * k), h[: m - 2 * k]] for k in range(m // 2)])
    h = h + np.linalg.pinv(slopes) @ (np.eye(m // 2)[0] - products)
    return [h.tolist(), (h[::-1] * (-1.0) ** np.arange(m)).tolist()]


def _shapes(shape: tuple[int, ...], levels: int) -> list[tuple[int, ...]]:
    """Return the shape of the averages before and after each level."""
    shapes = [shape]
    while len(shapes) <= levels and any(n % 2 == 0 for n in shapes[-1]):
        shapes.append(tuple(n // 2 if n % 2 == 0 else n for n in shapes[-1]))
    return shapes


def _corner(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    index: Any = (..., *(slice(n) for n in shape))
    return x[index]


def _with_corner(x: Tensor, corner: Tensor) -> Tensor:
    """Return `x` with its corner replaced."""
    if corner.shape == x.shape:
        return corner
    made, index = x.clone(), cast(Any, (..., *(slice(n) for n in corner.shape)))
    made[index] = corner
    return made


def _split(x: Tensor, filters: Tensor) -> Tensor:
    """Return averages, then details, of the last dimension: ``y_k = Σ_i f_i x_{2k+i+1−m/2}`` with indices modulo n."""
    n, m = x.shape[-1], filters.shape[-1]
    start = torch.arange(n - 2 + m, device=x.device) + 1 - m // 2
    around = x[..., start.remainder(n)].reshape(-1, 1, n - 2 + m)
    return conv1d(around, filters[:, None], stride=2).reshape(x.shape)


def _join(y: Tensor, filters: Tensor) -> Tensor:
    """Return the transpose of :func:`_split`, its inverse."""
    n, m = y.shape[-1], filters.shape[-1]
    spread = conv_transpose1d(y.reshape(-1, 2, n // 2), filters[:, None], stride=2)
    turns = -(-spread.shape[-1] // n)
    folded = pad(spread, (0, turns * n - spread.shape[-1])).reshape(-1, turns, n).sum(1)
    return folded.roll(1 - m // 2, -1).reshape(y.shape)


@operator(
    "Wavelet coefficients",
    name="wavelet",
    papers=[
        "Mallat 1989: A theory for multiresolution signal decomposition: the wavelet representation",
        "Daubechies 1988: Orthonormal bases of compactly supported wavelets",
    ],
    equation=r"A = W,\quad W^* W = I",
    works="Denoising by thresholds: sparse coefficients stand out of noise that is alike in all of them.",
    fails="Nothing needs inverting; ends that do not match make large coefficients, as borders are periodic.",
)
def wavelet(
    domain: Space,
    *,
    wavelet: Annotated[Family, Help("family, with its number of moments")] = "db4",
    levels: Annotated[int, Linear(1, 20, help="most scales; fewer where the size is not even so often")] = 20,
) -> Wavelet:
    """Observe orthonormal wavelet coefficients: white noise in them is white in the unknown."""
    return Wavelet(domain, wavelet, levels)
