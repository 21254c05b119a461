"""Convex sets: what lies in them costs nothing, all else is excluded, and the proximal map is the projection."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, prior
from explorer.linalg import Space, expand, safe_divide
from explorer.operators.capabilities import REAL
from explorer.priors.base import Prior
from explorer.priors.sparse import onto_ball

#: how far rounding may carry a projection out of its set, in units of eps
_ROUNDING = 32


def _excluded(within: Tensor, x: Tensor) -> Tensor:
    """Return 0 where a sample is within, else infinity."""
    return torch.zeros_like(within, dtype=x.real.dtype).masked_fill(~within, torch.inf)


@prior(
    "Non-negativity",
    name="nonnegative",
    equation=r"R(x) = 0 \text{ if } x \ge 0,\; \infty \text{ else}",
    works="Intensities, densities, concentrations.",
    fails="Unknowns with a sign; far above zero it does nothing against noise.",
)
class Nonnegative(Prior):
    """No entry below zero."""

    title = "non-negativity"
    has_prox = splits = True

    def __init__(self, domain: Annotated[Space, REAL]) -> None:
        super().__init__(domain)

    def value(self, x: Tensor) -> Tensor:
        """Return 0 for a sample without negative entries, else infinity."""
        return _excluded((x >= 0).flatten(x.ndim - self.domain.ndim).all(-1), x)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return `x` with negative entries set to zero."""
        return x.clamp(min=0)


@prior(
    "Simplex",
    name="simplex",
    equation=r"R(x) = 0 \text{ if } x \ge 0,\ \textstyle\sum_i x_i = s,\; \infty \text{ else}",
    papers=["Held, Wolfe & Crowder 1974: Validation of subgradient optimization"],
    works="Unknowns of a known total: probabilities, mixing weights, a mass to be distributed.",
    fails="A total that is only guessed, as it is met exactly; an l1 penalty on the entries then changes nothing.",
)
class Simplex(Prior):
    """Non-negative entries with a given sum: a distribution of mass."""

    title = "the simplex"
    has_prox = splits = True

    def __init__(
        self,
        domain: Annotated[Space, REAL],
        *,
        total: Annotated[float | Tensor, Log(0, 1e12, help="sum s of the entries", degree=1, batched=True)] = 1.0,
    ) -> None:
        super().__init__(domain)
        self.total = total

    def value(self, x: Tensor) -> Tensor:
        """Return 0 for a sample in the simplex to rounding, else infinity."""
        return self._excess(x.flatten(x.ndim - self.domain.ndim))

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return ``max(x − θ, 0)`` with the θ for which it sums to s, found by sorting."""
        return self._projected(x.reshape(*self.domain.batch(x), self.domain.size)).reshape(x.shape)

    def _excess(self, x: Tensor) -> Tensor:
        """Return 0 where the last dimension is in the simplex to rounding, else infinity."""
        total = self._total(x)[..., 0]
        error = (x.sum(-1) - total).abs()
        return _excluded((x >= 0).all(-1) & (error <= _ROUNDING * self.domain.eps * total), x)

    def _projected(self, x: Tensor) -> Tensor:
        x = x - x.amax(-1, keepdim=True)  # only what is within s of the largest entry is kept
        total = self._total(x)
        sums = x.sort(-1, descending=True).values.cumsum(-1)
        counts = torch.arange(1, x.shape[-1] + 1, device=x.device).to(x.dtype)
        theta = ((sums - total) / counts).amax(-1, keepdim=True)
        kept = (x - theta).clamp(min=0)
        return kept * safe_divide(total, kept.sum(-1, keepdim=True))

    def _total(self, x: Tensor) -> Tensor:
        """Return s, one value a sample, with as many dimensions as `x`."""
        total = torch.as_tensor(expand(self.total, x), dtype=x.dtype, device=x.device)
        return total.expand(*x.shape[:-1], 1)


@prior(
    "Ball",
    name="ball",
    equation=r"R(x) = 0 \text{ if } \|x\|_2 \le r,\; \infty \text{ else}",
    works="Unknowns whose norm is known: Tikhonov's prior with a radius in place of λ.",
    fails="Too large a radius lets the noise through, too small a one shrinks everything; edges are blurred.",
)
class Ball(Prior):
    """No element longer than the radius: regularisation in the form of Ivanov."""

    title = "the ball"
    has_prox = splits = True

    def __init__(
        self,
        domain: Space,
        *,
        radius: Annotated[float | Tensor, Log(0, 1e12, help="largest norm r", degree=1, batched=True)] = 1.0,
    ) -> None:
        super().__init__(domain)
        self.radius = radius

    def value(self, x: Tensor) -> Tensor:
        """Return 0 for a sample in the ball to rounding, else infinity."""
        return _excluded(self.domain.norm(x) <= self.radius * (1 + _ROUNDING * self.domain.eps), x)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return `x`, scaled down to the radius if longer."""
        return onto_ball(x, expand(self.domain.norm(x), x), self.radius)


__all__ = ["Ball", "Nonnegative", "Simplex"]
