"""Gaussian noise, and none."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, noise
from explorer.linalg import Rng, Space
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

    def whiten(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return the misfit itself."""
        return y - clean


@noise("Gaussian white noise", name="gaussian", equation=r"y = A x + n,\; n \sim N(0, \sigma^2 I)")
class GaussianNoise(NoiseModel):
    """White noise of one standard deviation, given in data units or relative to the clean data.

    ``relative``: σ = level · ‖A x‖ / √m, so that the expected noise norm is `level` times that of the clean data.
    Complex data get circular noise of variance σ² an entry.
    """

    title = "Gaussian noise"

    def __init__(
        self,
        *,
        level: Annotated[float, Log(0, 10, help="standard deviation; relative: ‖n‖ / ‖A x‖")] = 0.02,
        scale: Annotated[Literal["relative", "absolute"], Help("what the level is measured in")] = "relative",
    ) -> None:
        self.level, self.scale = level, scale

    def sigma(self, clean: Tensor, space: Space) -> Tensor:
        """Return the standard deviation of an entry, per sample."""
        norm = space.norm(clean)
        return (
            torch.full_like(norm, self.level) if self.scale == "absolute" else self.level * norm / math.sqrt(space.size)
        )

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + σ n``."""
        space = Space(tuple(clean.shape), clean.dtype, clean.device)
        return clean + self.sigma(clean, space) * space.random(rng)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``‖y − clean‖² / (2 σ²)``."""
        return 0.5 * space.norm2(y - clean) / self.sigma(clean, space) ** 2

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return ``σ √m``."""
        return self.sigma(clean, space) * math.sqrt(space.size)

    def whiten(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return ``(y − clean) / σ``."""
        return (y - clean) / self.sigma(clean, Space(tuple(clean.shape), clean.dtype, clean.device))
