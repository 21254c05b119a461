"""What every noise model can do."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, SpecError
from explorer.linalg import Blocks, Rng, Space, convert, expand
from explorer.noise.levels import roughness

Level = Annotated[float, Log(0, 10, help="standard deviation; relative: ‖n‖ / ‖A x‖")]
Scale = Annotated[Literal["relative", "absolute"], Help("what the level is measured in")]


class NoiseModel:
    """A distribution of data `y` around clean data ``A x``.

    A level may be given relative to the clean data; :meth:`at` makes it absolute, and the engine does so before it
    offers the model. Without that, every method takes the clean data of its own call as the reference.

    What is not so is declared by the decorator: ``biased=True`` where the mean of `y` is not the clean data,
    ``smooth=False`` where the likelihood has no second derivative, ``whitening`` how far the variance of whitened
    noise may be from one at bright data (None: no whitening), ``estimates`` how far the noise norm by :meth:`estimate`
    may be from the truth (None: no estimate; 0.15 unless it says so).

    Attributes
    ----------
    title : str
        Name for sentences and figures.
    accepts : tuple of str
        Beyond one set of data that are real and not negative: ``"negative"``, ``"complex"``, ``"blocks"``.
    """

    says = "a noise model"
    title = "this noise"
    accepts: ClassVar[tuple[str, ...]] = ("negative", "complex")
    _movable = True

    def check(self, data: Any, *, noisy: bool = False) -> None:
        """Refuse data that the model is not for; noise may have made `noisy` ones negative.

        Raises
        ------
        SpecError
            If they are blocks, complex, or negative beyond rounding (a thousandth of the largest).
        """
        kind = "blocks" if isinstance(data, Blocks) else "complex" if data.is_complex() else ""
        if kind and kind not in self.accepts:
            what = "data" if "complex" in self.accepts else "real data"
            raise SpecError(
                f"{self.title} needs a single set of {what}, and these are {kind}: use Gaussian noise", "noise"
            )
        if not (noisy or "negative" in self.accepts or data.is_meta) and bool(data.amin() < -1e-3 * data.amax()):
            raise SpecError(
                f"{self.title} needs data that are not negative, and their least value is {float(data.amin()):.3g}: "
                "use Gaussian noise, or an operator and a problem without negative values",
                "noise",
            )

    def at(self, clean: Any, space: Any) -> Self:
        """Return the model with its level made absolute by the clean data, shape ``(*batch, *space.shape)``."""
        self.check(clean)
        return self

    def estimate(self, y: Any, space: Any) -> Self:
        """Return the model with its level made absolute by noisy data alone, shape ``(*batch, *space.shape)``.

        Most neighbouring data have to be alike, as in a picture or a sinogram, not in a spectrum.

        Raises
        ------
        SpecError
            If the noise leaves no trace by which it could be told from the data, or the data are too few.
        """
        raise SpecError(f"{self.title} cannot be told from the data alone: give its level", "noise")

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return noisy data of one clean element, shape ``(*rng.draws, *clean.shape)``."""
        raise NotImplementedError

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return the negative log-likelihood of `y` given `clean`, up to a constant, per sample."""
        raise NotImplementedError

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return the root mean square of ‖y − clean‖, what the discrepancy principle aims at; per sample."""
        raise NotImplementedError

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``y − clean`` transformed to unit variance an entry."""
        raise NotImplementedError

    def tells(self, y: Tensor) -> Tensor:
        """Return which data tell of the truth, shape of `y`: all, unless some are missing."""
        return torch.ones_like(y, dtype=torch.bool)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Any:
        """Return the model on another device or in another precision."""
        return convert(self, device, dtype)


class Levelled(NoiseModel):
    """Noise of one standard deviation σ an entry, given in data units or relative to the clean data.

    ``relative``: σ = level · ‖A x‖ / √m, so that the expected noise norm is `level` times that of the clean data.
    Complex data get circular noise: variance σ² an entry, half of it in the real part.
    """

    level: float | Tensor
    scale: str

    def at(self, clean: Any, space: Any) -> Self:
        """Return absolute noise of the standard deviation that `clean` gives."""
        self.check(clean)
        return self.absolute(self.sigma(clean, space))

    def absolute(self, sigma: Tensor) -> Self:
        """Return noise of this standard deviation in data units, shape ``(*batch,)``."""
        made = copy.copy(self)
        made.level, made.scale = sigma, "absolute"
        return made

    def estimate(self, y: Any, space: Any) -> Self:
        """Return absolute noise as rough as the data; how rough the model is at σ = 1 is found from draws of it."""
        self.check(y, noisy=True)
        own = self.absolute(torch.ones((), device=y.device)).sample(space.zeros(), Rng(0, "own roughness", 4))
        return self.absolute(roughness(y, space) / roughness(own, space).mean())

    def sigma(self, clean: Any, space: Any) -> Tensor:
        """Return the standard deviation of an entry, per sample."""
        norm = space.norm(clean)
        if self.scale == "absolute":
            return torch.zeros_like(norm) + self.level
        return self.level * norm / math.sqrt(space.size)

    def expected_norm(self, clean: Any, space: Any) -> Tensor:
        """Return ``σ √m``."""
        return self.sigma(clean, space) * math.sqrt(space.size)

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``(y − clean) / σ``."""
        return (y - clean) / expand(self.sigma(clean, space), clean)


def element(clean: Tensor) -> Space:
    """Return the space of which `clean` is one element."""
    return Space(tuple(clean.shape), clean.dtype, clean.device)


def total(values: Tensor, space: Space) -> Tensor:
    """Return the sum over the entries of an element, per sample."""
    return values.sum(dims(space))


def dims(space: Space) -> tuple[int, ...]:
    """Return the trailing dimensions of an element."""
    return tuple(range(-space.ndim, 0))
