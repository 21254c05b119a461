"""Counting noise."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Log, SpecError, noise
from explorer.linalg import Blocks, Rng, Space, expand, safe_divide
from explorer.noise.base import NoiseModel


@noise(
    "Poisson noise",
    name="poisson",
    equation=r"y = N / g,\; N \sim \mathrm{Poisson}(g\, A x)",
    papers=["Anscombe 1948: The transformation of Poisson, binomial and negative-binomial data"],
)
class PoissonNoise(NoiseModel):
    """Counts of quanta, in the units of the clean data: the gain g makes `peak` counts of their largest value.

    The variance of an entry is ``A x / g``. Counts are drawn in double precision, whatever the precision of the data.
    """

    title = "Poisson noise"

    def __init__(
        self, *, peak: Annotated[float, Log(1, 1e9, unit="counts", help="mean counts at the brightest datum")] = 1000.0
    ) -> None:
        self.peak = peak
        self.known_gain: Tensor | None = None

    def at(self, clean: Any, space: Any) -> PoissonNoise:
        """Return noise of the gain that `clean` gives."""
        _refuse(clean)
        made = copy.copy(self)
        made.known_gain = self.gain(clean, space)
        return made

    def gain(self, clean: Tensor, space: Space) -> Tensor:
        """Return the counts a unit of the data, per sample; 0 where the clean data are."""
        if self.known_gain is not None:
            return self.known_gain
        peak = clean.amax(_dims(space)).clamp(min=0)
        return safe_divide(torch.full_like(peak, self.peak), peak)

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``N / g``.

        Raises
        ------
        SpecError
            If the clean data are blocks, complex, or negative beyond rounding (a thousandth of the largest).
        """
        _refuse(clean)
        gain = self.gain(clean, Space(tuple(clean.shape), clean.dtype, clean.device)).double()
        counts = rng.poisson(gain * clean.double().clamp(min=0))
        return safe_divide(counts, gain).to(clean.dtype)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``Σ g (A x − y + y log(y / A x))``: zero at ``A x = y``, infinite where y > 0 = A x."""
        gain = expand(self.gain(clean, space), clean)
        counts, rate = gain * y, gain * clean.clamp(min=0)
        some = counts > 0
        logarithm = torch.where(some, counts, 1).log() - torch.where(some, rate, 1).log()
        return (rate - counts + counts * logarithm).sum(_dims(space))

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``(Σ A x / g)^½``."""
        return safe_divide(clean.clamp(min=0).sum(_dims(space)), self.gain(clean, space)).sqrt()

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return the difference of ``2 √(N + ⅜)``, of unit variance but for a few percent below ten counts."""
        gain = expand(self.gain(clean, space), clean)
        return 2 * ((gain * y + 0.375).sqrt() - (gain * clean.clamp(min=0) + 0.375).sqrt())


def _dims(space: Space) -> tuple[int, ...]:
    return tuple(range(-space.ndim, 0))


def _refuse(clean: Any) -> None:
    if isinstance(clean, Blocks) or clean.is_complex():
        kind = "blocks" if isinstance(clean, Blocks) else "complex"
        raise SpecError(
            f"Poisson noise counts a single set of real data, and these are {kind}: use Gaussian noise", "noise"
        )
    if not clean.is_meta and bool(clean.amin() < -1e-3 * clean.amax()):
        raise SpecError(
            f"Poisson noise needs data that are not negative, and their least value is {float(clean.amin()):.3g}: "
            "use Gaussian noise, or an operator and a problem without negative values",
            "noise",
        )
