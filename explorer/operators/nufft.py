"""Fourier transforms at any frequencies, and radial magnetic resonance imaging with them; by FINUFFT, an extra.

Barnett, Magland & af Klinteberg 2019: A parallel nonuniform fast Fourier transform library based on an "exponential of
semicircle" kernel.
"""

from __future__ import annotations

import importlib.util
import math
import threading
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, SpecError, operator
from explorer.linalg import Space
from explorer.linalg.spaces import complex_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import IMAGE
from explorer.operators.coils import SENSE, Coils, Count, Distance, Parallel, birdcage
from explorer.operators.drawing import Drawing, Stroke, spread

#: relative accuracy that is asked for, by the precision of the data
ACCURACY = {torch.complex64: 1e-6, torch.complex128: 1e-14}
#: the angle of golden ratio between spokes, in radians: 111.246°
GOLDEN = math.pi * (math.sqrt(5) - 1) / 2


class _Plans:
    """Plans of FINUFFT for one set of frequencies, made at first use and shared by every copy of their operator.

    Parameters
    ----------
    points : ndarray
        Frequencies in radians a pixel, along rows and columns, shape ``(2, m)``, float64.
    shape : (int, int)
        Of the image.
    """

    def __init__(self, points: np.ndarray, shape: tuple[int, int]) -> None:
        self.points, self.shape = points, shape
        self._lock = threading.Lock()
        self._made: dict[tuple[int, int, torch.dtype], Any] = {}

    def execute(self, kind: int, x: Tensor) -> np.ndarray:
        """Return the transforms of a batch, of images (kind 2) or their adjoints of data (kind 1)."""
        key = (kind, len(x), x.dtype)
        with self._lock:  # a plan works in memory of its own
            if key not in self._made:
                self._made[key] = self._plan(*key)
            return self._made[key].execute(x.numpy())

    def _plan(self, kind: int, count: int, dtype: torch.dtype) -> Any:
        from finufft import Plan

        name = str(dtype).removeprefix("torch.")
        sign = -1 if kind == 2 else 1
        # one thread: the order in which spreading adds, and with it the bits, stay the same
        plan = Plan(kind, self.shape, count, ACCURACY[dtype], sign, dtype=name, nthreads=1)
        plan.setpts(*self.points.astype(np.float32 if name == "complex64" else np.float64))
        return plan


class NonuniformFourier(LinearOperator):
    """``y_j = n^{-1/2} Σ_p x_p e^{−i ω_j·p}`` with pixels p counted from the middle of the image.

    Works on the CPU; elements on other devices travel there and back.

    Parameters
    ----------
    domain : Space
        An image, complex.
    frequencies : Tensor
        ω in radians a pixel, along rows and columns, each in [−π, π], shape ``(*data, 2)``, on the CPU.

    Raises
    ------
    SpecError
        If FINUFFT is not installed.
    """

    title = "Non-uniform Fourier transform"

    def __init__(self, domain: Space, frequencies: Tensor) -> None:
        if importlib.util.find_spec("finufft") is None:
            raise SpecError("frequencies off the grid need FINUFFT: pip install 'explorer-inverse[mri]'")
        super().__init__(domain, Space(tuple(frequencies.shape[:-1]), domain.dtype, domain.device))
        points = np.ascontiguousarray(frequencies.reshape(-1, 2).T.numpy())
        self.plans = _Plans(points, (domain.shape[0], domain.shape[1]))

    def _forward(self, x: Tensor) -> Tensor:
        return self._apply(2, x, self.domain, self.codomain)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._apply(1, y, self.codomain, self.domain)

    def _apply(self, kind: int, x: Tensor, source: Space, target: Space) -> Tensor:
        batch = source.batch(x)
        if x.device.type == "meta":
            return x.new_empty((*batch, *target.shape))
        if not math.prod(batch):
            return target.zeros(batch)
        shape = self.domain.shape if kind == 2 else (self.codomain.size,)
        given = x.detach().cpu().resolve_conj().reshape(-1, *shape).contiguous()
        made = torch.from_numpy(self.plans.execute(kind, given)).to(x.device)
        return (made / math.sqrt(self.domain.size)).reshape(*batch, *target.shape)

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the lines along which frequencies are measured, zero in the middle."""
        rows, columns = self.domain.shape
        scale = torch.tensor([rows, columns], dtype=torch.float64) / (2 * math.pi)
        places = torch.from_numpy(self.plans.points.T.copy()) * scale + torch.tensor([rows // 2, columns // 2])
        length = self.codomain.shape[-1]
        drawn = spread(self.codomain.size // length, 96)
        strokes = [Stroke("spoke", places[i * length : (i + 1) * length][[0, -1]], i * length, length) for i in drawn]
        strokes.append(Stroke("chosen", places[datum : datum + 1], datum))
        said = f"Lines of frequencies, {len(drawn):,} of {self.codomain.size // length:,} drawn; the dot is the datum."
        title, view = "Frequencies that are measured (k-space)", (-1.0, -1.0, float(rows), float(columns))
        return (Drawing(title, said, strokes=tuple(strokes), view=view),)

    def picture(self, y: Tensor) -> Tensor:
        """Return the back-projection."""
        return self._adjoint(y)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Spokes and samples along them, for a table of both."""
        return (("spoke", ""), ("sample", "")) if self.codomain.ndim == 2 else super().data_axes


def lines(count: int, samples: int, golden: bool) -> Tensor:
    """Return frequencies along lines through zero, in radians a pixel, shape ``(count, samples, 2)``, float64.

    Parameters
    ----------
    golden : bool
        Whether each line is turned by 111.25° from the one before, or by 180°/count.
    """
    turn = torch.arange(count, dtype=torch.float64) * (GOLDEN if golden else math.pi / count)
    along = (torch.arange(samples, dtype=torch.float64) - samples // 2) * (2 * math.pi / samples)
    direction = torch.stack((-turn.sin(), turn.cos()), dim=-1)  # rows run downwards
    return direction[:, None] * along[:, None]


@operator(
    "Radial MRI",
    name="radial_mri",
    papers=[
        "Lauterbur 1973: Image formation by induced local interactions: examples employing nuclear magnetic resonance",
        "Winkelmann, Schaeffter, Koehler, Eggers & Doessel 2007: An optimal radial profile order based on the golden "
        "ratio for time-resolved MRI",
        SENSE,
        "Barnett, Magland & af Klinteberg 2019: A parallel nonuniform fast Fourier transform library based on an "
        "exponential of semicircle kernel",
    ],
    equation=r"y_{cj} = n^{-1/2} \sum_p s_c(p)\, x_p\, e^{-i \omega_j \cdot p}",
    works="Moving bodies: every line passes the middle, and gaps between a few lines make only mild streaks.",
    fails="Frequencies in the corners are never measured; too few lines make streaks, and least squares is slow.",
)
def radial_mri(
    domain: Annotated[Space, IMAGE],
    *,
    coils: Count = 4,
    spokes: Annotated[int, Linear(1, 2048, help="number of lines through zero frequency")] = 32,
    readout: Annotated[float, Linear(0.1, 4, help="samples along a line for each pixel of the longer side")] = 2.0,
    order: Annotated[Literal["golden", "even"], Help("each line turned by 111.25°, or all evenly spread")] = "golden",
    distance: Distance = 1.5,
) -> Parallel:
    """Fourier transform along lines through zero, off the grid, as every coil sees the image.

    An image of n pixels a side is fully sampled by πn/2 lines. Low frequencies are measured far more often than high
    ones: the adjoint is a blurred picture, and least squares sharpens it slowly. FINUFFT works on the CPU.

    Raises
    ------
    SpecError
        If FINUFFT is not installed.
    """
    space, size = Space(domain.shape, complex_dtype(domain.dtype), domain.device), (domain.shape[0], domain.shape[1])
    frequencies = lines(spokes, max(1, round(readout * max(size))), order == "golden")
    maps = birdcage(size, coils, distance, domain.device)
    return Parallel(NonuniformFourier(space, frequencies), Coils(domain, maps), "Radial MRI")
