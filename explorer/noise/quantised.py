"""Data from a converter: a few levels, and none beyond its range."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, noise
from explorer.linalg import Rng, Space, expand, safe_divide
from explorer.noise.base import NoiseModel, dims, element, total


@noise(
    "Quantisation and saturation",
    name="quantised",
    equation=r"y_i = a + \Delta\, \mathrm{clip}(\mathrm{round}(((A x)_i - a) / \Delta + n_i), 0, 2^b - 1)",
    papers=[
        "Widrow, Kollar & Liu 1996: Statistical theory of quantization",
        "Tobin 1958: Estimation of relationships for limited dependent variables",
    ],
    biased=True,
    whitening=None,
    works="Converters of few bits, and sensors that saturate.",
    fails="Least squares, which takes a clipped datum for measured, so that highlights come out too dark.",
)
class QuantisedNoise(NoiseModel):
    """What an analogue-to-digital converter of b bits gives: data with Gaussian noise, rounded to a level and clipped.

    Its range starts at the least clean datum (at zero where none is negative); a range below one cuts off the
    brightest. A little noise before the rounding, the dither, makes the mean of many data right between the levels. A
    datum says that the noisy truth was within half a step of it; one at an end of the range, that it was there or
    beyond.
    """

    title = "Quantisation"
    accepts: ClassVar[tuple[str, ...]] = ("negative",)

    def __init__(
        self,
        *,
        bits: Annotated[int, Linear(1, 24, unit="bits", help="b: the converter has 2^b levels")] = 8,
        span: Annotated[float, Linear(0.05, 4, help="range of the converter over that of the clean data")] = 0.9,
        dither: Annotated[
            float, Log(0.05, 4, unit="steps", help="standard deviation of the noise before rounding")
        ] = 0.5,
    ) -> None:
        self.bits, self.span, self.dither = bits, span, dither
        self.known_scale: tuple[Tensor, Tensor, Tensor] | None = None

    def at(self, clean: Any, space: Any) -> Self:
        """Return a converter of the range that `clean` gives."""
        self.check(clean)
        return self.known(*self.converter(clean, space))

    def known(self, least: Tensor, step: Tensor, top: Tensor) -> Self:
        """Return a converter of these levels, each of shape ``(*batch,)``."""
        made = copy.copy(self)
        made.known_scale = least, step, top
        return made

    def converter(self, clean: Tensor, space: Space) -> tuple[Tensor, Tensor, Tensor]:
        """Return the least level, the step between levels and the number of the last, per sample."""
        if self.known_scale is not None:
            return self.known_scale
        least, top = clean.amin(dims(space)).clamp(max=0), 2**self.bits - 1
        return least, self.span * (clean.amax(dims(space)) - least) / top, torch.full_like(least, top)

    def estimate(self, y: Any, space: Any) -> Self:
        """Return a converter of the levels that the data have: their extremes and the smallest gap between them."""
        self.check(y, noisy=True)
        flat = y.flatten(y.ndim - space.ndim).sort(-1).values
        gap = flat.diff(dim=-1)
        same = gap <= 8 * torch.finfo(y.dtype).eps * flat.abs().amax(-1, keepdim=True)
        step = torch.where(same, torch.inf, gap).amin(-1)
        step = torch.where(step.isinf(), 0, step)
        return self.known(flat[..., 0], step, safe_divide(flat[..., -1] - flat[..., 0], step).round())

    def _in_steps(self, values: Tensor, clean: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        """Return `values` in steps from the least level, and the number of the last level."""
        least, step, top = (expand(t, clean) for t in self.converter(clean, space))
        return safe_divide(values - least, step), top

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return the level nearest to ``clean + dither · n``."""
        self.check(clean)
        space = element(clean)
        least, step, _ = self.converter(clean, space)
        u, top = self._in_steps(clean, clean, space)
        level = (u + self.dither * space.random(rng)).round()
        return least + step * torch.minimum(level.clamp(min=0), top)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``−Σ log P(y)``, P the probability that rounding gives y."""
        u, top = self._in_steps(clean, clean, space)
        k, _ = self._in_steps(y, clean, space)
        return -total(self._log_probability(k, u, top), space)

    def _log_probability(self, k: Tensor, u: Tensor, top: Tensor) -> Tensor:
        """Return ``log(Φ((k + ½ − u) / d) − Φ((k − ½ − u) / d))``, without the side where level k has no end."""
        half, centre = 0.5 / self.dither, (k - u) / self.dither
        sign = torch.where(centre > 0, -1, 1)  # mirrored to the lower tail, where logarithms are exact
        upper, lower = sign * centre + half, sign * centre - half
        first, last = k < 0.5, k > top - 0.5
        open_below, open_above = torch.where(sign > 0, first, last), torch.where(sign > 0, last, first)
        high = torch.where(open_above, 0, torch.special.log_ndtr(upper))
        low = torch.special.log_ndtr(torch.where(open_below, upper - 1, lower))
        inside = high + torch.log1p(-torch.exp(low - high))
        return torch.where(open_below, high, inside)

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``(Σ_i Σ_k P(k) (level_k − (A x)_i)²)^½``, over all levels that the dither reaches."""
        u, top = (t.double() for t in self._in_steps(clean, clean, space))
        _, step, _ = self.converter(clean, space)
        nearest = torch.minimum(u.round().clamp(min=0), top)
        second, below = torch.zeros_like(u), torch.zeros_like(u)  # below: probability of the levels before
        reach = math.ceil(9 * self.dither) + 1
        for k in (nearest + j for j in range(-reach, reach + 1)):
            until = torch.special.ndtr((k + 0.5 - u) / self.dither)
            until = torch.where(k >= top, 1, torch.where(k < 0, 0, until))
            second, below = second + (until - below) * (k - u).square(), until
        return step * total(second, space).sqrt().to(clean.dtype)

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Refuse.

        Raises
        ------
        SpecError
            Always: of a saturated datum only a bound is known.
        """
        raise SpecError(
            "Quantised and saturated data cannot be whitened, as a clipped datum is but a bound: use their likelihood",
            "noise",
        )
