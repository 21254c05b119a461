"""Sums of priors."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from explorer.catalogue import Log, Part, prior
from explorer.linalg import Blocks, Space
from explorer.operators.algebra import Stack
from explorer.priors.base import Prior


@prior(
    "Sum of two priors",
    name="sum",
    equation="R(x) = R_1(x) + R_2(x)",
    papers=[
        "Bauschke & Combettes 2008: A Dykstra-like algorithm for two monotone operators",
        "Combettes & Pesquet 2011: Proximal splitting methods in signal processing",
    ],
)
class Sum(Prior):
    """Two priors at once, with what both of them can do.

    For splittings the operator stacks both: ``K x = (K_1 x, K_2 x)``. The proximal map alternates between both maps,
    each corrected by what the other has moved (Dykstra's method): a few rounds are exact where both act on entries one
    by one, such as sparsity and bounds, and else converge.
    """

    title = "a sum of priors"

    def __init__(
        self,
        domain: Space,
        *,
        first: Annotated[Prior, Part("prior", help="one prior")] = "l1",  # type: ignore[assignment]
        second: Annotated[Prior, Part("prior", help="the other")] = "nonnegative",  # type: ignore[assignment]
        rounds: Annotated[int, Log(1, 10_000, help="rounds of each proximal map")] = 10,
    ) -> None:
        both = all(p.splits and isinstance(p.operator.codomain, Space) for p in (first, second))
        super().__init__(domain, 1.0, Stack(first.operator, second.operator) if both else None)
        self.first, self.second, self.rounds = first, second, rounds
        self.splits = both
        self.has_prox = first.has_prox and second.has_prox
        self.has_gradient = first.has_gradient and second.has_gradient
        self.convex = first.convex and second.convex
        self.title = f"the sum of {first.title} and {second.title}"

    def value(self, x: Any) -> Tensor:
        """Return the sum of both."""
        return self.first.value(x) + self.second.value(x)

    def prox(self, x: Any, step: float | Tensor) -> Any:
        """Return what `rounds` rounds of Dykstra's method give."""
        if not self.has_prox:
            return super().prox(x, step)
        p = q = x * 0
        for _ in range(self.rounds):
            y = self.first.prox(x + p, step)
            p = x + p - y
            x = self.second.prox(y + q, step)
            q = y + q - x
        return x

    def gradient(self, x: Any) -> Any:
        """Return the sum of both."""
        return self.first.gradient(x) + self.second.gradient(x)

    def gradient_lipschitz(self) -> Tensor | float:
        """Return the sum of both."""
        return self.first.gradient_lipschitz() + self.second.gradient_lipschitz()

    def dual_prox(self, z: Blocks, step: float | Tensor) -> Blocks:
        """Return each block's."""
        if not self.splits:
            return super().dual_prox(z, step)
        return Blocks((self.first.dual_prox(z[0], step), self.second.dual_prox(z[1], step)))
