r"""PROPELLER imaging off resonance: what precesses at another frequency moves along the readout of every blade.

After "Volumetric Reconstruction Resolves Off-Resonance Artifacts in Static and Dynamic PROPELLER MRI".
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, operator, problem
from explorer.labs.linear.dynamic_mri import FRAMES
from explorer.linalg import Space
from explorer.linalg.spaces import complex_dtype, real_dtype
from explorer.operators.base import LinearOperator
from explorer.problems.base import Truth

_PAPERS = ["row 65"]
#: largest number of entries of one of the two factors of the Fourier sums
MAX_ENTRIES = 2**23


class Propeller(LinearOperator):
    """``y_k = (1/√(mn)) Σ_f e^{−2πi f t_k} Σ_x m(f, x) e^{−2πi k·x}``.

    Parameters
    ----------
    domain : Space
        Image ``(m, n)``, or volume ``(F, m, n)`` over off-resonance; pixel coordinates count from the middle.
    blades : Space-shaped
        Shape ``(blades, lines, samples)`` of the data.
    k : Tensor
        Frequencies in cycles a pixel along rows and columns, shape ``(2, number of data)``.
    off_resonance : Tensor
        f of every slice in cycles over the readout, shape ``(F,)``.
    time : Tensor
        When each datum is taken, in readouts from the middle, shape ``(number of data,)``.
    """

    title = "PROPELLER"

    def __init__(
        self, domain: Space, blades: tuple[int, int, int], k: Tensor, off_resonance: Tensor, time: Tensor
    ) -> None:
        made = complex_dtype(domain.dtype)
        super().__init__(domain, Space(blades, made, domain.device))
        rows, columns = domain.shape[-2:]
        wave = lambda phase: torch.polar(torch.ones_like(phase), -2 * math.pi * phase).to(made)  # noqa: E731
        at = lambda n: torch.arange(n, dtype=torch.float64, device=domain.device) - n // 2  # noqa: E731
        self.down = wave(k[0][:, None] * at(rows)) / math.sqrt(rows * columns)
        self.across = wave(k[1][:, None] * at(columns))
        self.turn = wave(off_resonance[:, None] * time)

    def _forward(self, x: Tensor) -> Tensor:
        batch = self.domain.batch(x)
        volume = x.reshape(*batch, -1, *self.domain.shape[-2:]).to(self.codomain.dtype)
        lines = volume @ self.across.mT  # (*batch, F, rows, data)
        slices = (lines * self.down.mT).sum(-2)
        return (slices * self.turn).sum(-2).reshape(*batch, *self.codomain.shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = self.codomain.batch(y)
        slices = y.reshape(*batch, 1, -1) * self.turn.conj()
        lines = slices.unsqueeze(-2) * self.down.mH
        x = (lines @ self.across.conj()).reshape(*batch, *self.domain.shape)
        return x if self.domain.is_complex else x.real

    def gram_diagonal(self) -> Tensor:
        """Return the number of data over that of pixels: every entry has the same modulus."""
        share = self.codomain.size / math.prod(self.domain.shape[-2:])
        return torch.full(self.domain.shape, share, dtype=real_dtype(self.domain.dtype), device=self.domain.device)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Blade, line, time."""
        return ("blade", ""), ("line", ""), ("readout", "samples")

    def picture(self, y: Tensor) -> Tensor:
        """Return the back-projection, all slices together."""
        x = self._adjoint(y)
        return x.sum(-3) if self.domain.ndim == 3 else x


@operator(
    "PROPELLER, off resonance",
    name="propeller",
    papers=_PAPERS,
    equation=r"y(k) = \sum_f \sum_x m(x, f)\, e^{-2\pi i (k \cdot x + f\, t(k))}",
    works="MRI of water and fat, which every blade moves apart in another direction.",
    fails="A single blade does not tell the slices apart; one image as the unknown shows the fat smeared.",
)
def propeller(
    domain: Annotated[Space, FRAMES],
    *,
    blades: Annotated[int, Linear(1, 200, help="blades, evenly over half a turn")] = 10,
    lines: Annotated[int, Linear(1, 128, help="parallel lines of a blade")] = 7,
    shift: Annotated[
        float, Linear(-20, 20, unit="cycles", help="off-resonance of the last slice over a readout: pixels it moves")
    ] = 3.0,
) -> Propeller:
    """Fourier transform along rotated blades, while slices of a volume precess at their own frequencies.

    The slices have frequencies evenly from 0 to the given one, so that water and fat are two slices; one image alone is
    on resonance. Within a blade, a slice is moved along the readout by as many pixels as it has cycles; the blades move
    it in different directions, which tells the slices apart. A single image (the domain of an image, or a shift of 0,
    with the volume as the simulator) is what is reconstructed usually.

    The source fits a coordinate network to such data, and adds time for moving objects; here the volume itself is the
    unknown, for any solver and prior.

    Raises
    ------
    SpecError
        If the factors of the Fourier sums would be too large.
    """
    rows, columns = domain.shape[-2:]
    samples = max(rows, columns)
    if blades * lines * samples * samples > MAX_ENTRIES:
        raise SpecError(
            f"there would be {blades * lines * samples:,} data for {samples} pixels a side, and at most "
            f"{MAX_ENTRIES // samples:,} are taken: choose fewer blades or lines, or a smaller image"
        )
    exact: Any = {"dtype": torch.float64, "device": domain.device}
    angle = (torch.arange(blades, **exact) * (math.pi / blades))[:, None, None]
    along = (torch.arange(samples, **exact) - samples // 2) / samples
    beside = ((torch.arange(lines, **exact) - (lines - 1) / 2) / samples)[:, None]
    k = torch.stack((along * angle.sin() + beside * angle.cos(), along * angle.cos() - beside * angle.sin()))
    slices = domain.shape[0] if domain.ndim == 3 else 1
    off_resonance = torch.arange(slices, **exact) * (shift / max(slices - 1, 1))
    time = along.expand(blades, lines, samples).reshape(-1)
    return Propeller(domain, (blades, lines, samples), k.reshape(2, -1), off_resonance, time)


@problem("Water and fat", papers=_PAPERS)
def water_fat(*, size: Annotated[int, Log(8, 128, unit="px", help="rows and columns of an image")] = 32) -> Truth:
    """Two slices: the water of an oval body with organs, and the ring of fat around it; values 0 to 1."""
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    oval = lambda a, b, cx=0.0, cy=0.0: (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1).to(torch.float64)  # noqa: E731
    inside = oval(0.62, 0.52)
    water = 0.6 * inside + 0.4 * oval(0.2, 0.25, -0.25, 0.0) - 0.4 * oval(0.15, 0.1, 0.3, -0.1)
    fat = 0.9 * (oval(0.8, 0.7) - inside)
    return Truth(torch.stack((water.clamp(0, 1), fat)))
