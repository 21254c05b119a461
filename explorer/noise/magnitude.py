"""Noise of what is measured as an intensity or a magnitude: speckle, and the modulus of complex data."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from explorer.catalogue import Log, noise
from explorer.linalg import Rng, Space, expand, safe_divide
from explorer.linalg.spaces import complex_dtype
from explorer.noise.base import Level, Levelled, NoiseModel, Scale, element, total
from explorer.noise.levels import noise_curve, roughness


@noise(
    "Gamma speckle",
    name="speckle",
    equation=r"y_i = (A x)_i\, s_i,\; s_i \sim \mathrm{Gamma}(L, 1 / L)",
    papers=["Goodman 1976: Some fundamental properties of speckle"],
    works="Intensities of coherent waves, as in radar and ultrasound, whose error grows with the signal.",
    fails="Least squares trusts bright data too much; with one look the error of a datum is as large as the datum.",
)
class SpeckleNoise(NoiseModel):
    """Multiplicative noise of coherent intensities (radar, ultrasound): the mean of L looks at exponential speckle.

    The standard deviation of a datum is its clean value divided by √L.
    """

    title = "Speckle noise"
    accepts: ClassVar[tuple[str, ...]] = ()
    looks: float | Tensor

    def __init__(self, *, looks: Annotated[float, Log(1, 1e6, help="L: number of independent looks")] = 10.0) -> None:
        self.looks = looks

    def estimate(self, y: Any, space: Any) -> Self:
        """Return noise of as many looks as make most of the data as rough as they are, relative to their mean."""
        self.check(y, noisy=True)
        made = copy.copy(self)
        made.looks = roughness(y, space, lambda mean: mean) ** -2
        return made

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean · s``."""
        self.check(clean)
        looks = self.looks * torch.ones(clean.shape, dtype=torch.float64, device=clean.device)
        return clean * (rng.gamma(looks) / self.looks).to(clean.dtype)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``L Σ (y / A x + log A x)``; a datum that is zero, and must be, says nothing."""
        sure = (clean == 0) & (y == 0)
        clean = torch.where(sure, 1, clean)
        return self.looks * total(y / clean + clean.log(), space)

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``‖A x‖ / √L``."""
        return space.norm(clean) * self.looks**-0.5

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``√L (y − A x) / A x``."""
        return safe_divide(y - clean, clean) * expand(self.looks, clean) ** 0.5


@noise(
    "Rician noise",
    name="rician",
    equation=r"y = |A x + n|,\; \mathrm{Re}\, n, \mathrm{Im}\, n \sim N(0, \sigma^2 I)",
    papers=[
        "Rice 1944: Mathematical analysis of random noise",
        "Gudbjartsson & Patz 1995: The Rician distribution of noisy MRI data",
    ],
    biased=True,
    estimates=0.2,
    works="Magnitude images of magnetic resonance, whose phase is thrown away.",
    fails="Least squares where the signal is weak: noise raises the mean there, and averaging does not lower it again.",
)
class RicianNoise(Levelled):
    """The modulus of data with complex Gaussian noise, as in magnitude images of magnetic resonance.

    Noise of standard deviation σ in the real and in the imaginary part raises the mean: by ``σ² / (2 A x)`` where the
    data are bright, to ``σ √(π / 2)`` where there is no signal.
    """

    title = "Rician noise"
    accepts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, level: Level = 0.05, scale: Scale = "relative") -> None:
        self.level, self.scale = level, scale

    def bias(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``E y − A x`` of every entry, in double precision.

        With ``q = (A x)² / (4 σ²)`` the mean is ``σ √(π / 2) e^−q ((1 + 2 q) I₀(q) + 2 q I₁(q))``; of bright data, two
        terms of its asymptotic series.
        """
        x, sigma = clean.double(), expand(self.sigma(clean, space).double(), clean.double())
        q = safe_divide(x**2, 4 * sigma**2)
        mean = sigma * math.sqrt(math.pi / 2) * ((1 + 2 * q) * torch.special.i0e(q) + 2 * q * torch.special.i1e(q))
        series = safe_divide(sigma**2, 2 * x) * (1 + safe_divide(sigma**2, 4 * x**2))
        return torch.where(x**2 > 1e6 * sigma**2, series, mean - x)

    def second(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``E (y − A x)²`` of every entry, in double precision: ``2 σ² − 2 A x (E y − A x)``."""
        sigma = expand(self.sigma(clean, space).double(), clean.double())
        return 2 * sigma**2 - 2 * clean.double() * self.bias(clean, space)

    def estimate(self, y: Any, space: Any) -> Self:
        """Return absolute noise as rough as the brighter half of the data, where the noise is almost Gaussian."""
        self.check(y, noisy=True)
        _, deviation = noise_curve(y, space)
        return self.absolute(deviation[..., deviation.shape[-1] // 2 :].mean(-1))

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``|clean + √2 σ n|`` with circular n."""
        self.check(clean)
        n = rng.normal(clean.shape, complex_dtype(clean.dtype), clean.device)
        return (clean + math.sqrt(2) * self.sigma(clean, element(clean)) * n).abs()

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``Σ (y − A x)² / (2 σ²) − log(e^−z I₀(z))`` with ``z = y A x / σ²``."""
        sigma = expand(self.sigma(clean, space), clean)
        z = y * clean / sigma**2
        return total((y - clean).square() / (2 * sigma**2) - torch.special.i0e(z).log(), space)

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return the root of the sum of second moments about the clean data, bias included."""
        return total(self.second(clean, space), space).clamp(min=0).sqrt().to(clean.dtype)

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``(y − E y)`` divided by the standard deviation of every entry."""
        bias = self.bias(clean, space)
        deviation = (self.second(clean, space) - bias**2).sqrt()
        return ((y - clean - bias) / deviation).to(clean.dtype)
