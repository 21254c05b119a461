"""What every noise model can do."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from explorer.linalg import Rng, Space, convert


class NoiseModel:
    """A distribution of data `y` around clean data ``A x``.

    A level may be given relative to the clean data; :meth:`at` makes it absolute, and the engine does so before it
    offers the model. Without that, every method takes the clean data of its own call as the reference.

    Attributes
    ----------
    title : str
        Name for sentences and figures.
    """

    says = "a noise model"
    title = "this noise"
    _movable = True

    def at(self, clean: Any, space: Any) -> Self:
        """Return the model with its level made absolute by the clean data, shape ``(*batch, *space.shape)``."""
        return self

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

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Any:
        """Return the model on another device or in another precision."""
        return convert(self, device, dtype)
