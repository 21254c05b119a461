"""Solutions of integral equations: each is the truth for the operator of the same name.

Hansen 2007: Regularization Tools version 4.0 for Matlab 7.3.
"""

from __future__ import annotations

from typing import Annotated, Literal

from explorer.catalogue import Help, Log, problem
from explorer.operators import fredholm
from explorer.operators.hansen import PAPER
from explorer.problems.base import Truth

Size = Annotated[int, Log(8, 1024, unit="samples", help="number of samples")]
LaplaceSize = Annotated[int, Log(8, fredholm.MAX_LAPLACE, unit="samples", help="number of nodes")]


@problem("Baart", papers=[PAPER])
def baart(*, size: Size = 64) -> Truth:
    """The sine on [0, π], for the operator baart."""
    return Truth(fredholm.baart_solution(size))


@problem("Fox & Goodwin", papers=[PAPER])
def foxgood(*, size: Size = 64) -> Truth:
    """A straight line on [0, 1], for the operator foxgood."""
    return Truth(fredholm.foxgood_solution(size))


@problem("Wing", papers=[PAPER])
def wing(*, size: Size = 64) -> Truth:
    """A box from 1/3 to 2/3, for the operator wing."""
    return Truth(fredholm.wing_solution(size))


@problem("Laplace transform", papers=[PAPER])
def laplace(
    *,
    size: LaplaceSize = 64,
    case: Annotated[Literal[1, 2, 3, 4], Help("1: exp(−t/2), 2: 1 − exp(−t/2), 3: t² exp(−t/2), 4: a step at 2")] = 1,
) -> Truth:
    """A function on [0, ∞) at the nodes of Gauss and Laguerre, for the operator laplace."""
    return Truth(fredholm.laplace_solution(size, case))


@problem("Radial profile")
def abel(*, size: Size = 64) -> Truth:
    """A core and a shell around it, for the operator abel."""
    return Truth(fredholm.abel_solution(size))


@problem("Temperatures of a rod")
def backward_heat(*, size: Size = 64) -> Truth:
    """A hot spot and a warm plateau, for the operator backward_heat."""
    return Truth(fredholm.heat_profile(size))
