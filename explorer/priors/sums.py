"""Sums of priors."""

from __future__ import annotations

import math
from typing import Annotated, Any

from torch import Tensor

from explorer.catalogue import Log, Part, prior
from explorer.linalg import Blocks, Space, axpy
from explorer.operators.algebra import Stack
from explorer.priors.base import Prior


@prior(
    "Sum of two priors",
    name="sum",
    equation="R(x) = R_1(x) + R_2(x)",
    papers=[
        "Bauschke & Combettes 2008: A Dykstra-like algorithm for two monotone operators",
        "Chambolle & Pock 2015: A remark on accelerated block coordinate descent for computing the proximity operators "
        "of a sum of convex functions",
    ],
    works="Two things known at once, such as sparsity and positivity.",
    fails="Two weights to choose; beyond priors that act entry by entry, few rounds leave the proximal map inexact.",
)
class Sum(Prior):
    """Two priors at once, with what both of them can do.

    For splittings the operator stacks both: ``K x = (K_1 x, K_2 x)``. The proximal map alternates between both maps,
    each corrected by what the other has moved: Dykstra's method, accelerated as FISTA is, on the dual problem. A few
    rounds are exact where both act on entries one by one, such as sparsity and bounds, and else converge.
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
        """Return what `rounds` rounds give: ``u = prox₂(x − p)`` with the dual variable p of the first prior."""
        if not self.has_prox:
            return super().prox(x, step)
        p = r = x * 0
        t = 1.0
        for _ in range(self.rounds):
            p_old, t_old = p, t
            moved = r + self.second.prox(x - r, step)
            p = moved - self.first.prox(moved, step)
            t = (1 + math.sqrt(1 + 4 * t**2)) / 2
            r = axpy((t_old - 1) / t, p - p_old, p)
        return self.second.prox(x - p, step)

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
