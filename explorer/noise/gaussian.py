"""Independent Gaussian noise, and none."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, noise
from explorer.linalg import Rng, Space, expand
from explorer.noise.base import Level, Levelled, NoiseModel, Scale, element, total
from explorer.noise.levels import noise_curve, roughness


@noise("No noise", name="none", equation="y = A x")
class NoNoise(NoiseModel):
    """Clean data."""

    title = "no noise"
    accepts: ClassVar[tuple[str, ...]] = ("negative", "complex", "blocks")

    def __init__(self) -> None:
        return

    def estimate(self, y: Any, space: Any) -> Self:
        """Return the model itself."""
        return self

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return the clean data, once a draw."""
        return clean.clone() if rng.draws is None else clean.expand(rng.draws, *clean.shape).clone()

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return half the squared misfit, the limit of small Gaussian noise."""
        return 0.5 * space.norm2(y - clean)

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return zero."""
        return torch.zeros_like(space.norm(clean))

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return the misfit itself."""
        return y - clean


@noise(
    "Gaussian white noise",
    name="gaussian",
    equation=r"y = A x + n,\; n \sim N(0, \sigma^2 I)",
    works="Electronic noise, and many small causes together.",
    fails="Counts at low light; single wild data.",
)
class GaussianNoise(Levelled):
    """White noise of one standard deviation, given in data units or relative to the clean data.

    ``relative``: σ = level · ‖A x‖ / √m, so that the expected noise norm is `level` times that of the clean data.
    Complex data get circular noise: variance σ² an entry, half of it in the real part.
    """

    title = "Gaussian noise"
    accepts: ClassVar[tuple[str, ...]] = ("negative", "complex", "blocks")

    def __init__(self, *, level: Level = 0.02, scale: Scale = "relative") -> None:
        self.level, self.scale = level, scale

    def estimate(self, y: Any, space: Any) -> Self:
        """Return absolute noise by the median modulus of the data's second differences."""
        self.check(y, noisy=True)
        return self.absolute(roughness(y, space))

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + σ n``."""
        space = element(clean)
        return clean + self.sigma(clean, space) * space.random(rng)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``‖y − clean‖² / (2 σ²)``; for complex data without the 2."""
        return (1 if space.is_complex else 0.5) * space.norm2(y - clean) / self.sigma(clean, space) ** 2


@noise(
    "Heteroscedastic Gaussian noise",
    name="heteroscedastic",
    equation=r"y = A x + n,\; n_i \sim N(0, s_i^2),\; s_i = \sigma + \gamma |A x|_i",
    works="Instruments with an error in percent on top of a floor.",
    fails="Least squares with equal weights: it trusts the bright data too much and the dark ones too little.",
)
class HeteroscedasticNoise(Levelled):
    """Independent Gaussian noise whose standard deviation grows with the datum: a floor, and a share of its modulus.

    The floor σ is in data units or relative to the clean data, as in white noise.
    """

    title = "Heteroscedastic noise"
    growth: float | Tensor

    def __init__(
        self,
        *,
        level: Annotated[float, Log(1e-6, 10, help="the floor σ, where the datum is zero")] = 0.01,
        growth: Annotated[float, Linear(0, 1, help="γ: standard deviation gained a unit of the datum")] = 0.05,
        scale: Scale = "relative",
    ) -> None:
        self.level, self.growth, self.scale = level, growth, scale

    def deviation(self, clean: Tensor, space: Space) -> Tensor:
        """Return the standard deviation of every entry, ``σ + γ |clean|``, of the shape of `clean`."""
        return expand(self.sigma(clean, space), clean.abs()) + expand(self.growth, clean.abs()) * clean.abs()

    def estimate(self, y: Any, space: Any) -> Self:
        """Return noise whose deviation is the line that fits the noise in groups of like data best."""
        self.check(y, noisy=True)
        m, s = noise_curve(y, space)
        centred = m - m.mean(-1, keepdim=True)
        growth = ((centred * s).sum(-1) / centred.square().sum(-1)).clamp(min=0)
        made = self.absolute((s.mean(-1) - growth * m.mean(-1)).clamp(min=0))
        made.growth = growth
        return made

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + s n``."""
        self.check(clean)
        space = element(clean)
        return clean + self.deviation(clean, space) * space.random(rng)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``Σ |y − clean|² / (2 s²) + log s``, twice that for complex data: the noise tells of the datum too."""
        s = self.deviation(clean, space)
        return (1 if space.is_complex else 0.5) * total(((y - clean).abs() / s).square() + 2 * s.log(), space)

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``(Σ s²)^½``."""
        return space.norm(self.deviation(clean, space))

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``(y − clean) / s``."""
        return (y - clean) / self.deviation(clean, space)
