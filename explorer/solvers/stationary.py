"""Stationary methods for positive systems ``A x = y``: Richardson, Jacobi, Gauss–Seidel, SOR, SSOR.

Young 1971: Iterative Solution of Large Linear Systems. All converge for the relaxation parameters that they admit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Capability, Linear, SpecError, solver
from explorer.linalg import axpy, count, safe_divide
from explorer.operators.base import Diagonal, LinearOperator
from explorer.operators.capabilities import POSITIVE
from explorer.operators.rows import HAS_ROWS, dense, part, rows
from explorer.solvers.bidiagonal import log_lost
from explorer.solvers.steps import Step
from explorer.solvers.sweeps import Sweeps, groups, substitute, triangle

HAS_DIAGONAL = Capability("an operator whose diagonal is cheap", lambda A: A.main_diagonal() is not None)
Relaxation = Annotated[float, Linear(0.01, 1.99, help="relaxation ω; it converges for 0 < ω < 2")]
Matrix = Annotated[LinearOperator, POSITIVE, HAS_ROWS]


@solver(
    "Richardson",
    papers=["Richardson 1911: The approximate arithmetical solution by finite differences"],
    solves="least_squares",
    equation=r"x_{k+1} = x_k + \tfrac{\omega}{\|A\|} (y - A x_k)",
    reports=("residual",),
    on_request=("inner", "log_lost"),
    per_step={"A": 1},
    shrinks="relaxation",
    filter=lambda s, k, norm, knobs: 1 - (1 - knobs["relaxation"] * s / norm) ** k,
    differentiable=True,
    works="Positive self-adjoint operators, one product a step; so slow that a step more or less does no harm.",
    fails="Operators that are not positive; steps grow with the condition number, and run on it fits the noise.",
)
def richardson(
    A: Annotated[LinearOperator, POSITIVE],
    y: Tensor,
    x0: Tensor | None = None,
    probe: Tensor | None = None,
    *,
    relaxation: Annotated[float, Linear(0.01, 1.95, unit="1/‖A‖", help="step ω; it converges for 0 < ω < 2")] = 1.0,
) -> Iterator[Step]:
    """Add a multiple of the residual. Out of place.

    With a `probe` every step tells what the evidence needs, for which ``log det(I − ω A / ‖A‖)`` is estimated at the
    start.

    Raises
    ------
    SpecError
        If there is a `probe` and ω is not below 1, where a direction is filtered by 1 or more.
    """
    if probe is not None and relaxation >= 1:
        raise SpecError(f"is {relaxation:g}, and evidence needs filter factors below 1: lower it", "relaxation")
    system, step = Sweeps(A, y, x0), relaxation / A.norm()
    shrinks = None if probe is None else log_lost(A, probe, lambda squares: step * squares.sqrt())
    start, k = system.r, 0
    while True:
        made = system.move(axpy(system.moving() * step, system.r, system.x))
        k += 1
        if shrinks is not None:
            made.scalars |= {"inner": A.codomain.inner(start, system.r).real, "log_lost": k * shrinks}
        yield made


@solver(
    "Jacobi",
    papers=["Jacobi 1845: Ueber eine neue Auflösungsart der bei der Methode der kleinsten Quadrate vorkommenden …"],
    solves="least_squares",
    equation=r"x_{k+1} = x_k + \tfrac{\omega}{\rho} D^{-1}(y - A x_k),\quad \rho = \rho(D^{-1}A)",
    reports=("residual",),
    per_step={"A": 1},
    differentiable=True,
    works="Positive systems whose large entries lie on the diagonal, with unknowns of unlike scales.",
    fails="Smooth error hardly shrinks: twice as fine a grid takes four times as many steps.",
)
def jacobi(
    A: Annotated[LinearOperator, POSITIVE, HAS_DIAGONAL],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    relaxation: Annotated[
        float, Linear(0.01, 1.95, unit="1/ρ", help="relaxation ω; it converges for 0 < ω < 2, and ω = ρ is undamped")
    ] = 1.0,
) -> Iterator[Step]:
    """Solve each equation for its own unknown, all at once. Out of place.

    Undamped (ω = ρ) it diverges where ρ > 2, although A is positive; in units of 1/ρ it never does. The largest
    eigenvalue ρ is computed once at the start.
    """
    diagonal: Any = A.main_diagonal()
    scaling = Diagonal(A.domain, safe_divide(torch.ones_like(diagonal), diagonal).sqrt(), positive=True)
    system, step = Sweeps(A, y, x0), relaxation / (scaling @ A @ scaling).norm()
    inverse = scaling.diagonal**2
    while True:
        yield system.move(axpy(system.moving() * step, inverse * system.r, system.x))


def _sweeps(A: LinearOperator, relaxation: float, upper: bool = False) -> list[tuple[Tensor, LinearOperator, Tensor]]:
    """Return the groups of unknowns in the order of a sweep: their indices, their rows, their triangle."""
    length, width = A.domain.shape[0], math.prod(A.domain.shape[1:])
    made = []
    for index in groups(length, width, A.domain.device):
        some = rows(A, index)
        flat = (index[:, None] * width + torch.arange(width, device=index.device)).reshape(-1)
        made.append((index, some, triangle(dense(some).index_select(1, flat), relaxation, upper)))
    return made[::-1] if upper else made


def _swept(system: Sweeps, sweep: list[tuple[Tensor, LinearOperator, Tensor]], upper: bool = False) -> Tensor:
    """Return the iterate after one sweep: each unknown in turn, with what its predecessors have become."""
    A, x, moving = system.A, system.x, system.moving()
    count("A")
    for index, some, coupling in sweep:
        change = substitute(coupling, part(A, system.y, index) - some(x), upper)
        old = x.index_select(-A.domain.ndim, index)
        x = x.index_copy(-A.domain.ndim, index, axpy(moving, change, old))
    return x


@solver(
    "SOR",
    papers=["Young 1954: Iterative methods for solving partial difference equations of elliptic type"],
    solves="least_squares",
    equation=r"x_{k+1} = x_k + (D/\omega + L)^{-1} (y - A x_k)",
    reports=("residual",),
    per_step={"A": 2},
    differentiable=True,
    works="Grid equations such as Poisson's, with ω near Young's best: far fewer steps than Gauss–Seidel.",
    fails="Below the best ω it crawls, and above it a sweep leaves a share ω − 1 of the error.",
)
def sor(A: Matrix, y: Tensor, x0: Tensor | None = None, *, relaxation: Relaxation = 1.5) -> Iterator[Step]:
    r"""Successive over-relaxation: solve each equation in turn for its own unknown, and go ω times as far.

    Out of place. Half of the cost is the residual of the new iterate. For consistently ordered matrices the best
    ``ω = 2 / (1 + √(1 − ρ²))``, with ρ of undamped Jacobi, has the rate ω − 1.
    """
    system, sweep = Sweeps(A, y, x0), _sweeps(A, relaxation)
    while True:
        yield system.move(_swept(system, sweep))


@solver(
    "Gauss–Seidel",
    name="gauss_seidel",
    papers=["Seidel 1874: Über ein Verfahren, die Gleichungen, auf welche die Methode der kleinsten Quadrate führt, …"],
    solves="least_squares",
    equation=r"x_{k+1} = x_k + (D + L)^{-1} (y - A x_k)",
    reports=("residual",),
    per_step={"A": 2},
    differentiable=True,
    works="Positive systems with neighbours coupled, without a knob: about half the steps of Jacobi.",
    fails="Smooth error hardly shrinks, so steps grow as the square of the grid points in a line.",
)
def gauss_seidel(A: Matrix, y: Tensor, x0: Tensor | None = None) -> Iterator[Step]:
    """Solve each equation in turn for its own unknown. Out of place; half of the cost is the residual."""
    yield from sor(A, y, x0, relaxation=1.0)


@solver(
    "SSOR",
    papers=["Sheldon 1955: On the numerical solution of elliptic difference equations"],
    solves="least_squares",
    equation=r"x_{k+1/2} = x_k + (D/\omega + L)^{-1} (y - A x_k),\quad x_{k+1} = x_{k+1/2} + (D/\omega + L^H)^{-1}"
    r"(y - A x_{k+1/2})",
    reports=("residual",),
    per_step={"A": 3},
    differentiable=True,
    works="Grid equations whose best ω is not known: it depends on ω less than SOR does.",
    fails="A step costs two sweeps, and at the best ω SOR alone needs less work.",
)
def ssor(A: Matrix, y: Tensor, x0: Tensor | None = None, *, relaxation: Relaxation = 1.5) -> Iterator[Step]:
    """A sweep of SOR forwards and one backwards: the error is multiplied by a symmetric operator. Out of place."""
    system = Sweeps(A, y, x0)
    forwards, backwards = _sweeps(A, relaxation), _sweeps(A, relaxation, upper=True)
    while True:
        start = system.x
        system.x = _swept(system, forwards)
        x, system.x = _swept(system, backwards, upper=True), start
        yield system.move(x)
