"""Solutions of Regularization Tools: each is the truth for the operator of the same name.

Hansen 2007: Regularization Tools version 4.0 for Matlab 7.3.
"""

from __future__ import annotations

from typing import Annotated, Literal

from explorer.catalogue import Help, Log, problem
from explorer.operators import hansen
from explorer.problems.base import Truth

Size = Annotated[int, Log(8, hansen.MAX_SIZE, unit="samples", help="number of samples")]
Case = Literal[1, 2, 3]


@problem("Shaw", papers=[hansen.PAPER])
def shaw(*, size: Size = 64) -> Truth:
    """Two Gaussian bumps, for the operator shaw."""
    return Truth(hansen.shaw_solution(size))


@problem("Phillips", papers=[hansen.PAPER])
def phillips(*, size: Size = 64) -> Truth:
    """A raised cosine, for the operator phillips, which needs a multiple of 4."""
    return Truth(hansen.phillips_solution(size))


@problem("Second derivative", papers=[hansen.PAPER])
def deriv2(*, size: Size = 64, case: Annotated[Case, Help("1: t, 2: exp t, 3: a hat")] = 1) -> Truth:
    """A simple function on [0, 1], for the operator deriv2."""
    return Truth(hansen.deriv2_solution(size, case))


@problem("Inverse heat equation", papers=[hansen.PAPER])
def heat(*, size: Size = 64) -> Truth:
    """A pulse in the first half, for the operator heat."""
    return Truth(hansen.heat_solution(size))


@problem("Gravity surveying", papers=[hansen.PAPER])
def gravity(
    *, size: Size = 64, case: Annotated[Case, Help("1: two sines, 2: piecewise linear, 3: piecewise constant")] = 1
) -> Truth:
    """A mass density on [0, 1], for the operator gravity."""
    return Truth(hansen.gravity_solution(size, case))
