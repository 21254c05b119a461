"""Gaussian noise, and none."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, noise
from explorer.linalg import Rng, Space, expand
from explorer.noise.base import NoiseModel


@noise("No noise", name="none", equation="y = A x")
class NoNoise(NoiseModel):
    """Clean data."""

    title = "no noise"

    def __init__(self) -> None:
        return

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


@noise("Gaussian white noise", name="gaussian", equation=r"y = A x + n,\; n \sim N(0, \sigma^2 I)")
class GaussianNoise(NoiseModel):
    """White noise of one standard deviation, given in data units or relative to the clean data.

    ``relative``: σ = level · ‖A x‖ / √m, so that the expected noise norm is `level` times that of the clean data.
    Complex data get circular noise: variance σ² an entry, half of it in the real part.
    """

    title = "Gaussian noise"
    level: float | Tensor

    def __init__(
        self,
        *,
        level: Annotated[float, Log(0, 10, help="standard deviation; relative: ‖n‖ / ‖A x‖")] = 0.02,
        scale: Annotated[Literal["relative", "absolute"], Help("what the level is measured in")] = "relative",
    ) -> None:
        self.level, self.scale = level, scale

    def at(self, clean: Any, space: Any) -> GaussianNoise:
        """Return absolute noise of the standard deviation that `clean` gives."""
        made = copy.copy(self)
        made.level, made.scale = self.sigma(clean, space), "absolute"
        return made

    def sigma(self, clean: Any, space: Any) -> Tensor:
        """Return the standard deviation of an entry, per sample."""
        norm = space.norm(clean)
        if self.scale == "absolute":
            return torch.zeros_like(norm) + self.level
        return self.level * norm / math.sqrt(space.size)

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + σ n``."""
        space = Space(tuple(clean.shape), clean.dtype, clean.device)
        return clean + self.sigma(clean, space) * space.random(rng)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``‖y − clean‖² / (2 σ²)``; for complex data without the 2."""
        return (1 if space.is_complex else 0.5) * space.norm2(y - clean) / self.sigma(clean, space) ** 2

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``σ √m``."""
        return self.sigma(clean, space) * math.sqrt(space.size)

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``(y − clean) / σ``."""
        return (y - clean) / expand(self.sigma(clean, space), clean)
