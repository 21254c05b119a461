"""What a solver gives: steps, a solution, or draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from explorer.linalg import Blocks

Element = Tensor | Blocks


class Step:
    """One iteration of a method.

    Parameters
    ----------
    x : Tensor or Blocks
        Estimate of the unknown, borrowed until the next step.
    system : int, optional
        Index of the system, for a sequence of systems.
    cost : mapping, optional
        Hidden work by name, beyond what operators and denoisers enter themselves.
    arrays : mapping, optional
        Bases or matrices, only where asked for.
    **scalars : Tensor or float
        Per-sample scalars, shape ``(*batch,)``, left on the device: ``residual``, ``objective``, ``alpha``, ….
    """

    __slots__ = ("arrays", "cost", "scalars", "system", "x")

    def __init__(
        self,
        x: Any,
        *,
        system: int | None = None,
        cost: Mapping[str, int] | None = None,
        arrays: Mapping[str, Tensor] | None = None,
        **scalars: Tensor | float,
    ) -> None:
        self.x, self.system, self.cost, self.arrays, self.scalars = x, system, cost, arrays, scalars


class Solution(Step):
    """The answer of a direct method, with the same fields as a step."""

    __slots__ = ()


class Draw(Step):
    """One state of a sampler's chains; `x` has shape ``(chains, *batch, *shape)``."""

    __slots__ = ()
