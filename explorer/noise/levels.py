"""How much noise there is, from noisy data alone.

What is smooth cancels in second differences and what has edges is rare, so that the median of their moduli is that of
the noise: the median of the finest wavelet coefficients, with a mask that lines and ramps pass without a trace.

References: Donoho & Johnstone 1994, Ideal spatial adaptation by wavelet shrinkage; Immerkær 1996, Fast noise variance
estimation; Foi, Trimeche, Katkovnik & Egiazarian 2008, Practical Poissonian–Gaussian noise modeling and fitting for
single-image raw-data.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from explorer.catalogue import SpecError
from explorer.linalg import Space

#: medians of the modulus of real and of circular complex normal entries of unit variance
_MEDIAN = {False: 0.674489750196082, True: math.sqrt(math.log(2))}


def differences(y: Tensor, space: Space) -> Tensor:
    """Return the second differences along every axis in turn; white noise keeps its variance.

    Axes of fewer than three entries are left alone.

    Raises
    ------
    SpecError
        If there is no longer axis.
    """
    if max(space.shape, default=0) < 3:
        raise SpecError(
            f"the data have shape {space.shape}, and an axis of at least 3 entries tells noise from data", "noise"
        )
    return _stencil(y, space, 1 / math.sqrt(6), -2 / math.sqrt(6))


def neighbours(y: Tensor, space: Space) -> Tensor:
    """Return the means over the entries that :func:`differences` compares; of white noise, both are uncorrelated."""
    return _stencil(y, space, 1 / 3, 1 / 3)


def _stencil(y: Tensor, space: Space, side: float, middle: float) -> Tensor:
    for axis in range(-space.ndim, 0):
        if (n := y.shape[axis]) >= 3:
            left, centre, right = (y.narrow(axis, i, n - 2) for i in range(3))
            y = side * (left + right) + middle * centre
    return y


def roughness(y: Tensor, space: Space, unit: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return the standard deviation of white Gaussian noise in `y`, shape ``(*batch,)``; NaN are left out.

    With a `unit`, the standard deviation of an entry is measured in ``unit(x)``, where x is the mean near by.
    """
    d = differences(y, space).abs()
    d = d if unit is None else d / unit(neighbours(y, space))
    return d.flatten(d.ndim - space.ndim).nanmedian(-1).values / _MEDIAN[space.is_complex]


def noise_curve(y: Tensor, space: Space, bins: int = 16) -> tuple[Tensor, Tensor]:
    """Return how the standard deviation of noise grows with the data.

    Parameters
    ----------
    y : Tensor
        Noisy data, shape ``(*batch, *space.shape)``.
    space : Space
        Their space.
    bins : int
        Number of groups of entries of like moduli, of one size.

    Returns
    -------
    tuple of Tensor
        Median modulus and standard deviation of the noise in each group, each of shape ``(*batch, bins)``.
    """
    d, m = (f(y, space).abs().flatten(y.ndim - space.ndim) for f in (differences, neighbours))
    bins = min(bins, d.shape[-1])
    size = d.shape[-1] // bins
    m, order = m.sort(-1)
    d = d.gather(-1, order)
    d, m = (t[..., : bins * size].unflatten(-1, (bins, size)).median(-1).values for t in (d, m))
    return m, d / _MEDIAN[space.is_complex]
