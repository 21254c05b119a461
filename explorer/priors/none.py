"""No prior."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import prior
from explorer.linalg import ProductSpace, Space
from explorer.priors.base import Prior


@prior("No prior", name="none", equation="R(x) = 0")
class NoPrior(Prior):
    """The zero penalty: its proximal map is the identity."""

    title = "no prior"
    has_prox = has_gradient = True

    def __init__(self, domain: Space | ProductSpace) -> None:
        super().__init__(domain)

    def value(self, x: Any) -> Tensor:
        """Return zero per sample."""
        return torch.zeros_like(self.domain.norm(x))

    def prox(self, x: Any, step: float | Tensor) -> Any:
        """Return `x`."""
        return x

    def gradient(self, x: Any) -> Any:
        """Return zero."""
        return x * 0

    def gradient_lipschitz(self) -> float:
        """Return zero."""
        return 0.0
