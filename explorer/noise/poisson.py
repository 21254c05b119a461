"""Counting noise."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from explorer.catalogue import Log, noise
from explorer.linalg import Rng, Space, expand, safe_divide
from explorer.noise.base import NoiseModel, dims, element, total
from explorer.noise.levels import noise_curve, roughness


@noise(
    "Poisson noise",
    name="poisson",
    whitening=0.02,  # Anscombe: 1 + O(1 / counts²), and the test has 20 counts at least
    equation=r"y = N / g,\; N \sim \mathrm{Poisson}(g\, A x)",
    papers=["Anscombe 1948: The transformation of Poisson, binomial and negative-binomial data"],
    works="Photons and other counts.",
    fails="Counts with noise of the read-out beside: there is a model of both.",
)
class PoissonNoise(NoiseModel):
    """Counts of quanta, in the units of the clean data: the gain g makes `peak` counts of their largest value.

    The variance of an entry is ``A x / g``. Counts are drawn in double precision, whatever the precision of the data.
    """

    title = "Poisson noise"
    accepts: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, *, peak: Annotated[float, Log(1, 1e9, unit="counts", help="mean counts at the brightest datum")] = 1000.0
    ) -> None:
        self.peak = peak
        self.known_gain: Tensor | None = None

    def at(self, clean: Any, space: Any) -> Self:
        """Return noise of the gain that `clean` gives."""
        self.check(clean)
        return self.known(self.gain(clean, space))

    def known(self, gain: Tensor) -> Self:
        """Return noise of this gain, shape ``(*batch,)``."""
        made = copy.copy(self)
        made.known_gain = gain
        return made

    def estimate(self, y: Any, space: Any) -> Self:
        """Return noise of the gain by which mean and variance go together in most of the data."""
        self.check(y, noisy=True)
        return self.known(roughness(y, space, torch.sqrt) ** -2)

    def gain(self, clean: Tensor, space: Space) -> Tensor:
        """Return the counts a unit of the data, per sample; 0 where the clean data are."""
        if self.known_gain is not None:
            return self.known_gain
        peak = clean.amax(dims(space)).clamp(min=0)
        return safe_divide(torch.full_like(peak, self.peak), peak)

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``N / g``."""
        self.check(clean)
        gain = self.gain(clean, element(clean)).double()
        counts = rng.poisson(gain * clean.double().clamp(min=0))
        return safe_divide(counts, gain).to(clean.dtype)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``Σ g (A x − y + y log(y / A x))``: zero at ``A x = y``, infinite where y > 0 = A x."""
        gain = expand(self.gain(clean, space), clean)
        counts, rate = gain * y, gain * clean.clamp(min=0)
        some = counts > 0
        logarithm = torch.where(some, counts, 1).log() - torch.where(some, rate, 1).log()
        return total(rate - counts + counts * logarithm, space)

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``(Σ A x / g)^½``."""
        return safe_divide(total(clean.clamp(min=0), space), self.gain(clean, space)).sqrt()

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return the difference of ``2 √(N + ⅜)``, of unit variance but for a few percent below ten counts."""
        gain = expand(self.gain(clean, space), clean)
        return 2 * ((gain * y + 0.375).sqrt() - (gain * clean.clamp(min=0) + 0.375).sqrt())


@noise(
    "Poisson and Gaussian noise",
    name="poisson_gaussian",
    equation=r"y = (N + r\, n) / g,\; N \sim \mathrm{Poisson}(g\, A x),\; n \sim N(0, I)",
    papers=[
        "Snyder, Hammoud & White 1993: Image recovery from data acquired with a charge-coupled-device camera",
        "Murtagh, Starck & Bijaoui 1995: Image restoration with noise suppression using a multiresolution support",
    ],
    whitening=0.02,
    works="Cameras at low light: counts of photons, with noise of the read-out on top.",
    fails="Methods for pure counts: the read-out makes dark data negative, which no count can be.",
)
class PoissonGaussianNoise(PoissonNoise):
    """Counts with Gaussian noise of the electronics on top, as a camera reads them.

    The variance of an entry is ``A x / g + (r / g)²`` with the read noise r in counts.
    """

    title = "Poisson–Gaussian noise"
    read: float | Tensor

    def __init__(
        self,
        *,
        peak: Annotated[float, Log(1, 1e9, unit="counts", help="mean counts at the brightest datum")] = 1000.0,
        read: Annotated[float, Log(0.1, 10, unit="counts", help="r: standard deviation of the electronics")] = 3.0,
    ) -> None:
        super().__init__(peak=peak)
        self.read = read

    def estimate(self, y: Any, space: Any) -> Self:
        """Return noise whose variance is the line that fits the variance in groups of like data best.

        A variance found in a group is accurate in proportion to itself, and weighed so.
        """
        self.check(y, noisy=True)
        m, s = noise_curve(y, space)
        weight, variance = s**-4, s**2
        weight = weight / weight.sum(-1, keepdim=True)
        mean, level = ((weight * t).sum(-1) for t in (m, variance))
        away = m - mean.unsqueeze(-1)
        slope = (weight * away * variance).sum(-1) / (weight * away.square()).sum(-1)
        slope = torch.maximum(slope, 1e-6 * level / mean)
        made = self.known(1 / slope)
        made.read = (level - slope * mean).clamp(min=0).sqrt() / slope
        return made

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``(N + r n) / g``."""
        space = element(clean)
        read = self.read * space.random(rng.fork("read noise"))
        return super().sample(clean, rng) + safe_divide(read, self.gain(clean, space))

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``−Σ log Σ_N Poisson(N; λ) exp(−(g y − N)² / (2 r²))`` with ``λ = g A x``, to rounding.

        The sum over counts runs over ±8.5 r about its largest term, from where it falls at least as fast as the normal
        density. Its value and its first two derivatives by the clean data, for a known gain, are those of
        ``λ − log Σ``: ``1 − E N / λ`` and ``(E N − Var N) / λ²`` given the datum.
        """
        gain = expand(self.gain(clean, space), clean.double())
        rate, read = gain * clean.double().clamp(min=0), expand(self.read, clean.double())
        at, counts = rate.detach().clamp(min=1e-6), (gain * y.double()).detach()
        most = _largest_term(at, counts, read)
        widest = float(self.read.max()) if isinstance(self.read, Tensor) else self.read
        terms, mean, variance = _sums(at, counts, read, most, math.ceil(8.5 * widest) + 2)
        largest = most * at.log() - torch.lgamma(most + 1) - ((counts - most) / read).square() / 2
        slope, curvature = 1 - mean / at, (mean - variance) / at**2
        step = rate - at  # zero but for its gradient, and below a millionth of a count
        return total(at - largest - terms.log() + slope * step + 0.5 * curvature * step**2, space).to(clean.dtype)

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``(Σ A x / g + m r² / g²)^½``."""
        read = safe_divide(self.read * torch.ones_like(space.norm(clean)), self.gain(clean, space))
        return (super().expected_norm(clean, space) ** 2 + space.size * read**2).sqrt()

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return the difference of ``2 √(g y + ⅜ + r²)``, of unit variance but for a few percent below ten counts."""
        gain, offset = expand(self.gain(clean, space), clean), 0.375 + expand(self.read, clean) ** 2
        return 2 * ((gain * y + offset).clamp(min=0).sqrt() - (gain * clean.clamp(min=0) + offset).sqrt())


def _largest_term(rate: Tensor, counts: Tensor, read: float | Tensor) -> Tensor:
    """Return the N at which ``λ^N / N! · exp(−(counts − N)² / (2 r²))`` is largest, or its neighbour.

    Newton's method on ``log λ − u − (e^u − ½ − counts) / r² = 0`` with ``u = log(N + ½)``: concave and falling, so
    that from the right it comes down by about one a step, and then doubles its digits.
    """
    u, target = torch.maximum(rate, counts).add(0.5).log(), rate.log()
    for _ in range(30):
        n = u.exp()
        u = u + (target - u - (n - 0.5 - counts) / read**2) / (1 + n / read**2)
    return (u.exp() - 0.5).round().clamp(min=0)


def _sums(
    rate: Tensor, counts: Tensor, read: float | Tensor, most: Tensor, reach: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sum over N of the terms in units of the one at `most`, and the mean and the variance of N in it.

    Neighbouring terms have the ratio ``λ / N · exp((counts − N + ½) / r²)``, whose last factor falls geometrically.
    """
    zeroth, first, second = torch.ones_like(rate), torch.zeros_like(rate), torch.zeros_like(rate)
    fall = -1 / torch.as_tensor(read, dtype=rate.dtype, device=rate.device) ** 2
    for side in (1, -1):
        start = most + 1 if side > 0 else most  # the larger N of the first pair
        term, factor = (
            torch.ones_like(rate),
            ((start - counts - 0.5) * (side * fall)).clamp(max=700).exp(),
        )  # finite at N = 0
        for j in range(reach):
            larger = start + side * j
            term = term * factor * (rate / larger if side > 0 else larger.clamp(min=0) / rate)
            factor = factor * fall.exp()
            n = side * (j + 1)
            zeroth, first, second = zeroth + term, first + n * term, second + n**2 * term
    shift = first / zeroth
    return zeroth, most + shift, second / zeroth - shift**2
