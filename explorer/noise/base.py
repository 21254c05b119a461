"""What every noise model can do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.linalg import Rng, Space, convert


class NoiseModel:
    """A distribution of data `y` around clean data ``A x``.

    Attributes
    ----------
    title : str
        Name for sentences and figures.
    """

    says = "a noise model"
    title = "this noise"
    _movable = True

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return noisy data, shape ``(*rng.draws, *clean.shape)``."""
        raise NotImplementedError

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return the negative log-likelihood of `y` given `clean`, up to a constant, per sample."""
        raise NotImplementedError

    def expected_norm(self, clean: Tensor, space: Space) -> Tensor:
        """Return the root mean square of ‖y − clean‖, what the discrepancy principle aims at; per sample."""
        raise NotImplementedError

    def whiten(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return ``y − clean`` scaled to unit variance an entry."""
        raise NotImplementedError

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Any:
        """Return the model on another device or in another precision."""
        return convert(self, device, dtype)
