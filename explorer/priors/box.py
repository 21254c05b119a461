"""Bounds."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, SpecError, prior
from explorer.linalg import Space
from explorer.operators.capabilities import REAL
from explorer.priors.base import Prior


@prior(
    "Box",
    name="box",
    equation=r"R(x) = 0 \text{ if } a \le x \le b,\; \infty \text{ else}",
    works="Values between known bounds.",
    fails="Bounds that are wrong: the answer sticks to them.",
)
class Box(Prior):
    """Values between two bounds, all else excluded.

    Raises
    ------
    SpecError
        If the lower bound is above the upper one.
    """

    title = "the box constraint"
    has_prox = splits = True

    def __init__(
        self,
        domain: Annotated[Space, REAL],
        *,
        lower: Annotated[float, Linear(-1e6, 1e6, help="smallest value", degree=1)] = 0.0,
        upper: Annotated[float, Linear(-1e6, 1e6, help="largest value; 1e6 leaves it open", degree=1)] = 1.0,
    ) -> None:
        if lower > upper:
            raise SpecError(f"the lower bound {lower:g} is above the upper bound {upper:g}: exchange them", "prior")
        super().__init__(domain)
        self.lower, self.upper = lower, upper

    def value(self, x: Tensor) -> Tensor:
        """Return 0 for a sample within the bounds, else infinity."""
        within = ((x >= self.lower) & (x <= self.upper)).flatten(x.ndim - self.domain.ndim).all(-1)
        return torch.zeros_like(within, dtype=x.dtype).masked_fill(~within, torch.inf)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return `x` cut at the bounds."""
        return x.clamp(self.lower, self.upper)
