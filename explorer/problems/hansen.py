"""Solutions of integral equations: each is the truth for the operator of the same name.

Hansen 2007: Regularization Tools version 4.0 for Matlab 7.3. Where the publication has data of its own, those of the
integral equation and not of its matrix, a switch takes them in place of simulated ones.
"""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from explorer.catalogue import Help, Linear, Log, problem
from explorer.linalg import Space
from explorer.operators import hansen, integral
from explorer.problems.base import Truth

Size = Annotated[int, Log(8, hansen.MAX_SIZE, unit="samples", help="number of samples")]
Case = Literal[1, 2, 3]
Published = Annotated[bool, Help("take the exact data of the integral equation: no noise, but discretisation error")]


def _truth(x: Tensor, y: Tensor, published: bool) -> Truth:
    return Truth(x, {"y": y} if published else {})


@problem("Shaw", papers=[hansen.PAPER])
def shaw(*, size: Size = 64) -> Truth:
    """Two Gaussian bumps, for the operator shaw."""
    return Truth(hansen.shaw_solution(size))


@problem("Phillips", papers=[hansen.PAPER])
def phillips(*, size: Size = 64, published: Published = False) -> Truth:
    """A raised cosine, for the operator phillips, which needs a multiple of 4."""
    return _truth(hansen.phillips_solution(size), hansen.phillips_data(size), published)


@problem("Second derivative", papers=[hansen.PAPER])
def deriv2(
    *,
    size: Size = 64,
    case: Annotated[Case, Help("1: t, 2: exp t, 3: a hat")] = 1,
    published: Published = False,
) -> Truth:
    """A simple function on [0, 1], for the operator deriv2."""
    return _truth(hansen.deriv2_solution(size, case), hansen.deriv2_data(size, case), published)


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


@problem("Baart", papers=[hansen.PAPER])
def baart(*, size: Size = 64, published: Published = False) -> Truth:
    """Half a sine, for the operator baart, which needs an even number."""
    return _truth(integral.baart_solution(size), integral.baart_data(size), published)


@problem("Fox & Goodwin", papers=[hansen.PAPER])
def foxgood(*, size: Size = 64, published: Published = False) -> Truth:
    """A straight line on [0, 1], for the operator foxgood."""
    return _truth(integral.foxgood_solution(size), integral.foxgood_data(size), published)


@problem("Inverse Laplace transform", papers=[hansen.PAPER])
def i_laplace(
    *,
    size: Size = 64,
    case: Annotated[Literal[1, 2, 3, 4], Help("1: a decay, 2: its complement, 3: a hump, 4: a step")] = 1,
    published: Published = False,
) -> Truth:
    """A function on t > 0 at the nodes of Gauss–Laguerre quadrature, for the operator i_laplace."""
    return _truth(integral.i_laplace_solution(size, case), integral.i_laplace_data(size, case), published)


@problem("Spike train", papers=[hansen.PAPER])
def spike_train(
    *, size: Size = 64, duration: Annotated[int, Linear(1, 20, help="number of spikes, as the operator's duration")] = 5
) -> Truth:
    """A step and spikes of falling height, for the operator spike_train: the problem "spikes"."""
    return Truth(integral.spike_train_solution(size, duration))


@problem("Ursell", papers=[hansen.PAPER])
def ursell(*, cells: Annotated[int, Log(8, hansen.MAX_SIZE, help="number of unknowns")] = 64) -> Truth:
    """Data without a solution, for the operator ursell: the right-hand side is 1."""
    return Truth(None, {"y": integral.ursell_data(cells)}, domain=Space((cells,)))


@problem("Wing", papers=[hansen.PAPER])
def wing(*, size: Size = 64, published: Published = False) -> Truth:
    """A function that is 1 in the middle third of [0, 1] and 0 elsewhere, for the operator wing."""
    return _truth(integral.wing_solution(size), integral.wing_data(size), published)


@problem("Stellar parallax", papers=["Smart 1938: Stellar Dynamics", hansen.PAPER])
def parallax(*, cells: Annotated[int, Log(8, hansen.MAX_SIZE, help="number of unknowns")] = 26) -> Truth:
    """Observed parallaxes of stars, for the operator parallax; nobody knows the true ones."""
    return Truth(None, {"y": integral.parallax_data()}, domain=Space((cells,)))


@problem("Abel transform")
def abel(
    *,
    size: Size = 64,
    case: Annotated[Case, Help("1: half an ellipse, 2: smooth, 3: a disc")] = 1,
    published: Published = False,
) -> Truth:
    """A density that depends on the radius alone, for the operator abel."""
    return _truth(integral.abel_solution(size, case), integral.abel_data(size, case), published)
