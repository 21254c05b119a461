"""Shares of several materials at every place."""

from __future__ import annotations

from torch import Tensor

from explorer.catalogue import prior
from explorer.priors.sets import Simplex


@prior(
    "Fractions",
    equation=r"R(x) = 0 \text{ if } x \ge 0,\ \textstyle\sum_k x_{kp} = s \text{ for all } p,\; \infty \text{ else}",
    papers=[
        "Heinz & Chang 2001: Fully constrained least squares linear spectral mixture analysis method for material "
        "quantification in hyperspectral imagery"
    ],
    works="Shares of materials at every pixel, which add up to a whole.",
    fails="A material that is not in the list, or light that is uneven: the fixed sum moves the error to other shares.",
)
class Fractions(Simplex):
    """Non-negative shares that have a given sum along the first dimension, at every place of the others."""

    title = "the prior of fractions"

    def value(self, x: Tensor) -> Tensor:
        """Return 0 for a sample of shares to rounding, else infinity."""
        places = self._excess(x.movedim(-self.domain.ndim, -1))
        return places.flatten(x.ndim - self.domain.ndim).sum(-1) if self.domain.ndim > 1 else places

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the nearest shares at every place."""
        first = -self.domain.ndim
        return self._projected(x.movedim(first, -1)).movedim(-1, first)
