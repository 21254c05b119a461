"""A rod that has been heated, for the backward heat equation."""

from __future__ import annotations

from typing import Annotated

from explorer.catalogue import Log, problem
from explorer.operators.backward_heat import heat_profile
from explorer.problems.base import Truth

Size = Annotated[int, Log(8, 1024, unit="samples", help="number of samples")]


@problem("Temperatures of a rod")
def backward_heat(*, size: Size = 64) -> Truth:
    """A hot spot and a warm plateau, for the operator backward_heat."""
    return Truth(heat_profile(size))
