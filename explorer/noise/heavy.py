"""Noise with heavy tails: Laplace, outliers, and impulses that replace a datum."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, noise
from explorer.linalg import Rng, Space, expand
from explorer.noise.base import Level, Levelled, Scale, dims, element, total
from explorer.noise.levels import roughness


@noise(
    "Laplace noise",
    name="laplace",
    equation=r"y = A x + n,\; p(n_i) \propto e^{-\sqrt{2} |n_i| / \sigma}",
    smooth=False,
    works="Now and then a large error among small ones.",
    fails="Errors of one size, for which it is needlessly careful.",
)
class LaplaceNoise(Levelled):
    """Independent noise whose likelihood is the least absolute misfit: rarely zero, sometimes large.

    The level is its standard deviation σ; the scale of the exponential is ``b = σ / √2``.
    """

    title = "Laplace noise"
    accepts: ClassVar[tuple[str, ...]] = ("negative",)

    def __init__(self, *, level: Level = 0.02, scale: Scale = "relative") -> None:
        self.level, self.scale = level, scale

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + n`` by the inverse of the distribution function."""
        self.check(clean)
        u = 2 * rng.uniform(clean.shape, torch.float64, clean.device) - 1
        n = -u.sign() * torch.log1p(-u.abs().clamp(max=1 - 2.0**-53)) / math.sqrt(2)
        return clean + self.sigma(clean, element(clean)) * n.to(clean.dtype)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``√2 Σ |y − A x| / σ``."""
        return math.sqrt(2) * total((y - clean).abs(), space) / self.sigma(clean, space)


@noise(
    "Gaussian noise with outliers",
    name="outliers",
    equation=r"y = A x + n,\; n_i \sim (1 - \varepsilon) N(0, \sigma^2) + \varepsilon N(0, \kappa^2 \sigma^2)",
    papers=[
        "Tukey 1960: A survey of sampling from contaminated distributions",
        "Huber 1964: Robust estimation of a location parameter",
    ],
    works="Good data with a gross error here and there: glitches, interference, false matches.",
    fails="Least squares, which the few pull away; the discrepancy principle, as most of the noise norm is theirs.",
)
class OutlierNoise(Levelled):
    """Gaussian noise of standard deviation σ, which a share ε of the data has κ times as large.

    The level is that of the many; the expected noise norm is ``(1 − ε + ε κ²)^½`` times what they alone would have.
    """

    title = "Outlier noise"

    def __init__(
        self,
        *,
        level: Level = 0.02,
        fraction: Annotated[float, Linear(0, 1, help="ε: share of outliers")] = 0.05,
        factor: Annotated[float, Log(1, 1e3, help="κ: how many times larger their standard deviation is")] = 10.0,
        scale: Scale = "relative",
    ) -> None:
        self.level, self.fraction, self.factor, self.scale = level, fraction, factor, scale

    @property
    def spread(self) -> float:
        """Standard deviation of an entry of all, where that of the many is one."""
        return math.sqrt(1 - self.fraction + self.fraction * self.factor**2)

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + σ n``, of the outliers κ times that."""
        self.check(clean)
        space = element(clean)
        n = self.sigma(clean, space) * space.random(rng)
        hit = rng.uniform(clean.shape, torch.float64, clean.device) < self.fraction
        return clean + torch.where(hit, self.factor * n, n)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return minus the logarithm of the mixture of both densities, ``−Σ log((1 − ε) p₁ + ε p_κ)``."""
        degrees = 2 if space.is_complex else 1
        q = 0.5 * degrees * (y - clean).abs().square() / expand(self.sigma(clean, space), clean.abs()) ** 2
        few = torch.log(torch.full_like(q, self.fraction)) - q / self.factor**2 - degrees * math.log(self.factor)
        many = torch.log1p(torch.full_like(q, -self.fraction)) - q
        return -total(torch.stack((many, few)).logsumexp(0), space)

    def expected_norm(self, clean: Any, space: Any) -> Tensor:
        """Return ``σ (m (1 − ε + ε κ²))^½``."""
        return self.spread * super().expected_norm(clean, space)

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return the misfit in units of the standard deviation of all entries: white, and not Gaussian."""
        return super().whiten(y, clean, space) / self.spread


@noise(
    "Impulse noise: salt and pepper",
    name="impulse",
    equation=r"y_i = (A x)_i + n_i \;\text{or, a share}\; p,\; \min A x \;\text{or}\; \max A x",
    biased=True,
    whitening=None,
    works="Dead and hot pixels, broken bits.",
    fails="Least squares, in which one wild datum pulls at every unknown.",
)
class ImpulseNoise(Levelled):
    """A share of the data is replaced by the least or the largest clean value, the rest has Gaussian noise.

    A datum of exactly one of these two values has been hit, as others almost never have it, and tells nothing of the
    truth: the likelihood leaves it out. So does a mask.
    """

    title = "Impulse noise"
    accepts: ClassVar[tuple[str, ...]] = ("negative",)

    def __init__(
        self,
        *,
        fraction: Annotated[float, Linear(0, 1, help="share of the data that are replaced")] = 0.1,
        level: Annotated[float, Log(1e-6, 10, help="standard deviation of the others' noise")] = 0.01,
        scale: Scale = "relative",
    ) -> None:
        self.fraction, self.level, self.scale = fraction, level, scale
        self.known_extremes: tuple[Tensor, Tensor] | None = None

    def at(self, clean: Any, space: Any) -> Self:
        """Return noise of the extremes and the standard deviation that `clean` gives."""
        made = super().at(clean, space)
        made.known_extremes = self.extremes(clean, space)
        return made

    def extremes(self, clean: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        """Return pepper and salt, the least and the largest clean datum, per sample."""
        return self.known_extremes or (clean.amin(dims(space)), clean.amax(dims(space)))

    def estimate(self, y: Any, space: Any) -> Self:
        """Return noise of the most repeated value of each half of the data, how often they are, and the rest's level.

        Exact for data in which nothing else repeats.
        """
        self.check(y, noisy=True)
        flat = y.flatten(y.ndim - space.ndim).sort(-1).values
        half = flat.shape[-1] // 2
        made = copy.copy(self)
        made.known_extremes = flat[..., :half].mode(-1).values, flat[..., half:].mode(-1).values
        hit = self._hit(y, made.known_extremes)
        made.fraction = hit.sum(dims(space)) / space.size
        return made.absolute(roughness(torch.where(hit, torch.nan, y), space))

    @staticmethod
    def _hit(y: Tensor, extremes: tuple[Tensor, Tensor]) -> Tensor:
        pepper, salt = (expand(value, y) for value in extremes)
        return (y == pepper) | (y == salt)

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + σ n``, replaced by pepper or salt where a uniform number is below p / 2 or p."""
        self.check(clean)
        space = element(clean)
        pepper, salt = self.extremes(clean, space)
        y = clean + self.sigma(clean, space) * space.random(rng)
        u = rng.uniform(clean.shape, torch.float64, clean.device)
        return torch.where(u < self.fraction, torch.where(u < self.fraction / 2, pepper, salt), y)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``Σ (y − A x)² / (2 σ²)`` over the data that are not hit."""
        misfit = torch.where(self._hit(y, self.extremes(clean, space)), 0, y - clean)
        return 0.5 * space.norm2(misfit) / self.sigma(clean, space) ** 2

    def expected_norm(self, clean: Any, space: Any) -> Tensor:
        """Return ``(Σ (1 − p) σ² + p ((A x − pepper)² + (A x − salt)²) / 2)^½``."""
        away = sum(space.norm2(clean - expand(value, clean)) for value in self.extremes(clean, space)) / 2
        return ((1 - self.fraction) * space.size * self.sigma(clean, space) ** 2 + self.fraction * away).sqrt()

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Refuse.

        Raises
        ------
        SpecError
            Always: nothing is left of a datum that has been replaced.
        """
        raise SpecError(
            "Impulse noise cannot be whitened, as it replaces data: mask what is hit, or fit by ℓ1", "noise"
        )
