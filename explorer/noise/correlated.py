"""Gaussian noise whose entries know of each other: coloured noise, and stripes."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, noise
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.noise.base import Level, Levelled, Scale, dims, element


class CorrelatedNoise(Levelled):
    """Gaussian noise of mean zero and covariance σ² C, with ones on the diagonal of C."""

    def root(self, x: Tensor, space: Space, *, inverse: bool = False) -> Tensor:
        """Return ``C^½ x``, or ``C^−½ x``."""
        raise NotImplementedError

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + σ C^½ n``."""
        self.check(clean)
        space = element(clean)
        return clean + self.sigma(clean, space) * self.root(space.random(rng), space)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``⟨y − clean, C⁻¹(y − clean)⟩ / (2 σ²)``; for complex data without the 2."""
        return (1 if space.is_complex else 0.5) * space.norm2(self.whiten(y, clean, space))

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``C^−½ (y − clean) / σ``."""
        return self.root(super().whiten(y, clean, space), space, inverse=True)


@noise(
    "Coloured Gaussian noise",
    name="coloured",
    equation=r"y = A x + n,\; n \sim N(0, \sigma^2 C),\; \hat C(f) \propto (1 + (2 \pi \ell |f|)^2)^{-\beta / 2}",
    papers=["Matérn 1960: Spatial variation", "Timmer & König 1995: On generating power law noise"],
    works="Errors that neighbouring data share: drifts, background, pink noise of electronics.",
    fails="Rules that take noise for white, such as GCV: slow errors pass for signal and are fitted.",
)
class ColouredNoise(CorrelatedNoise):
    """Stationary noise of a power law: white at β = 0, pink at 1, brown at 2, blue where β is negative.

    Below the frequency ``1 / (2π ℓ)`` the spectrum is flat, so that entries further apart than the correlation length
    ℓ are almost independent. The data are taken as periodic; any number of dimensions, with the spectrum isotropic.
    """

    title = "Coloured noise"

    def __init__(
        self,
        *,
        level: Level = 0.02,
        exponent: Annotated[float, Linear(-2, 4, help="β: how fast the power falls with frequency")] = 2.0,
        length: Annotated[float, Log(0.1, 100, unit="samples", help="correlation length ℓ")] = 5.0,
        scale: Scale = "relative",
    ) -> None:
        self.level, self.exponent, self.length, self.scale = level, exponent, length, scale

    def spectrum(self, space: Space) -> Tensor:
        """Return the power at the frequencies of the discrete Fourier transform, of mean one."""
        axes = [torch.fft.fftfreq(n, dtype=torch.float64, device=space.device) for n in space.shape]
        squared = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0)
        power = (1 + (2 * math.pi * self.length) ** 2 * squared) ** (-self.exponent / 2)
        return (power / power.mean()).to(real_dtype(space.dtype))

    def root(self, x: Tensor, space: Space, *, inverse: bool = False) -> Tensor:
        gain = self.spectrum(space) ** (-0.5 if inverse else 0.5)
        found = torch.fft.ifftn(torch.fft.fftn(x, dim=dims(space)) * gain, dim=dims(space))
        return found if space.is_complex else found.real


@noise(
    "Stripes",
    name="stripes",
    equation=r"y_{ij} = (A x)_{ij} + \sigma (\sqrt{\rho}\, s_j + \sqrt{1 - \rho}\, n_{ij}),\; s, n \sim N(0, I)",
    papers=["Münch, Trtik, Marone & Stampanoni 2009: Stripe and ring artifact removal"],
    works="Detectors of unequal offset: stripes in a sinogram, rings in the reconstruction.",
    fails="What takes data for independent: an offset does not average out along a stripe, and passes for signal.",
)
class StripeNoise(CorrelatedNoise):
    """Offsets that a whole column or row of the data shares, and white noise: detectors of unequal dark current.

    A column of a sinogram is a detector, and its offset becomes a ring in the reconstruction. Data of more than two
    dimensions are a stack of independent pictures.
    """

    title = "Stripe noise"

    def __init__(
        self,
        *,
        level: Level = 0.02,
        share: Annotated[float, Linear(0, 0.9999, help="ρ: share of the variance that is in the stripes")] = 0.8,
        along: Annotated[Literal["columns", "rows"], Help("what has an offset of its own")] = "columns",
        scale: Scale = "relative",
    ) -> None:
        self.level, self.share, self.along, self.scale = level, share, along, scale

    def check(self, data: Any, *, noisy: bool = False) -> None:
        """Refuse data without rows and columns.

        Raises
        ------
        SpecError
            If the data have fewer than two dimensions, or are blocks.
        """
        super().check(data, noisy=noisy)
        if data.ndim < 2:
            raise SpecError(
                "Stripe noise needs data with rows and columns, and these have one dimension: use coloured noise",
                "noise",
            )

    def root(self, x: Tensor, space: Space, *, inverse: bool = False) -> Tensor:
        axis, power = (-2 if self.along == "columns" else -1), (-0.5 if inverse else 0.5)
        rest = 1 - self.share
        mean = x.mean(axis, keepdim=True)
        return rest**power * (x - mean) + (rest + self.share * x.shape[axis]) ** power * mean
