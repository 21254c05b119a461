r"""Relaxation parameters learnt over a sequence of systems, from nothing but the number of iterations that each took.

Khodak, Chow, Balcan & Talwalkar 2024: Learning to Relax: Setting Solver Parameters Across a Sequence of Linear System
Instances.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, problem, solver
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import POSITIVE
from explorer.operators.rows import HAS_ROWS, dense
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.problems.base import Truth
from explorer.solvers.cg import preconditioned_cg
from explorer.solvers.stationary import sor
from explorer.solvers.steps import Step
from explorer.solvers.sweeps import substitute, triangle

_PAPERS = [
    "row 198",
    "Khodak, Chow, Balcan & Talwalkar 2024: Learning to Relax: Setting Solver Parameters Across a Sequence of Linear "
    "System Instances",
]
POSITIVE_SYSTEMS = Capability(
    "a sequence of positive systems whose rows are at hand",
    lambda systems: all(POSITIVE.admits(A) and HAS_ROWS.admits(A) for A, _ in systems),
)

# --- policies -----------------------------------------------------------------------------------------------------


class TsallisInf:
    """Follow the regularised leader with the Tsallis entropy of power ½: sublinear regret to the best fixed arm.

    With importance-weighted losses L, ``p_i = 4 / (η_t (L_i − x))²``, where x makes them sum to 1 and
    ``η_t = rate / √t``.

    Zimmert & Seldin 2021: Tsallis-INF: an optimal algorithm for stochastic and adversarial bandits.

    Parameters
    ----------
    arms : int
    batch : tuple of int
        Independent learners, for experiments.
    rate : float
        2 in theory, for costs from 0 to 1; more where costs are mostly far below 1.
    """

    def __init__(self, arms: int, batch: tuple[int, ...] = (), rate: float = 2.0) -> None:
        self.losses, self.rate, self.time = np.zeros((*batch, arms)), rate, 0

    def probabilities(self, context: Any = None) -> NDArray[np.floating]:
        """Return the probability of each arm, shape ``(*batch, arms)``."""
        eta = self.rate / math.sqrt(self.time + 1)
        x = self.losses.min(-1, keepdims=True) - 2 / eta
        for _ in range(50):  # Newton from the right on a convex function: monotone
            root = 2 / (eta * (self.losses - x))
            excess = (root**2).sum(-1, keepdims=True) - 1
            x = x - excess / (eta * (root**3).sum(-1, keepdims=True))
            if (np.abs(excess) < 1e-12).all():
                break
        p = (2 / (eta * (self.losses - x))) ** 2
        return np.asarray(p / p.sum(-1, keepdims=True))

    def learn(self, arm: Any, cost: Any, probability: Any, context: Any = None) -> None:
        """Take note of the cost, from 0 to 1, of the arm that was drawn with that probability."""
        self.time += 1
        taken = np.arange(self.losses.shape[-1]) == np.expand_dims(arm, -1)
        self.losses += np.where(taken, np.expand_dims(cost / probability, -1), 0.0)


class ChebyshevBandit:
    """Predict the cost of each arm by a polynomial in the context, and explore by the inverse of the predicted gaps.

    Ridge regression on Chebyshev polynomials of the context, scaled to [−1, 1], one an arm. The arm of least prediction
    has what the others leave of the probability, ``p_i = 1 / (K + γ √t (ŷ_i − min ŷ))``. The source's ChebCB; Foster &
    Rakhlin 2020: Beyond UCB: optimal and efficient contextual bandits with regression oracles (SquareCB).

    Parameters
    ----------
    arms : int
    low, high : float
        Interval of the contexts.
    batch : tuple of int
        Independent learners, for experiments.
    degree : int
        Of the polynomials.
    exploitation : float
        γ: the larger, the less is explored.
    ridge : float
        Weight of the ridge.
    """

    def __init__(
        self,
        arms: int,
        low: float,
        high: float,
        batch: tuple[int, ...] = (),
        degree: int = 6,
        exploitation: float = 10.0,
        ridge: float = 1e-3,
    ) -> None:
        self.low, self.high, self.exploitation, self.time = low, high, exploitation, 0
        self.degree = degree
        self.gram = np.zeros((*batch, arms, degree + 1, degree + 1)) + ridge * np.eye(degree + 1)
        self.moments = np.zeros((*batch, arms, degree + 1))

    def _features(self, context: Any) -> NDArray[np.floating]:
        t = np.asarray((2 * np.asarray(context) - self.low - self.high) / max(self.high - self.low, 1e-300))
        return np.asarray(np.polynomial.chebyshev.chebvander(t, self.degree)).reshape(*t.shape, self.degree + 1)

    def probabilities(self, context: Any) -> NDArray[np.floating]:
        """Return the probability of each arm, shape ``(*batch, arms)``."""
        weights = np.linalg.solve(self.gram, self.moments[..., None])[..., 0]
        predicted = (weights * self._features(context)[..., None, :]).sum(-1)
        gaps = predicted - predicted.min(-1, keepdims=True)
        arms = gaps.shape[-1]
        p = 1 / (arms + self.exploitation * math.sqrt(self.time + 1) * gaps)
        best = np.arange(arms) == predicted.argmin(-1)[..., None]
        return np.where(best, 1 - np.where(best, 0, p).sum(-1, keepdims=True), p)

    def learn(self, arm: Any, cost: Any, probability: Any, context: Any) -> None:
        """Take note of the cost, from 0 to 1, of the arm that was drawn."""
        self.time += 1
        features = self._features(context)[..., None, :]
        taken = (np.arange(self.moments.shape[-2]) == np.expand_dims(arm, -1))[..., None] * features
        self.gram += taken[..., :, None] * features[..., None, :]
        self.moments += taken * np.expand_dims(cost, (-1, -2))


def drawn(probabilities: NDArray[np.floating], uniform: Any) -> Any:
    """Return the arm at which the cumulative probability exceeds numbers uniform on [0, 1)."""
    total = probabilities.cumsum(-1)
    return (total <= np.expand_dims(uniform, -1) * total[..., -1:]).sum(-1)


def best_relaxation(jacobi_radius: Any) -> Any:
    """Return Young's ``2 / (1 + √(1 − ρ²))`` for the spectral radius ρ of undamped Jacobi, consistently ordered."""
    return 2 / (1 + (1 - jacobi_radius**2) ** 0.5)


# --- the method ---------------------------------------------------------------------------------------------------


class SymmetricSweep(LinearOperator):
    """``(2 − ω)/ω (D/ω + L)⁻ᴴ D (D/ω + L)⁻¹``: one symmetric sweep of SOR from zero as a preconditioner."""

    title = "the SSOR preconditioner"
    self_adjoint = True
    positive = True

    def __init__(self, A: LinearOperator, relaxation: float) -> None:
        super().__init__(A.domain)
        matrix = dense(A)
        self.lower, self.upper = (triangle(matrix, relaxation, upper) for upper in (False, True))
        self.diagonal = (2 - relaxation) / relaxation * matrix.diagonal()

    def _forward(self, x: Tensor) -> Tensor:
        half = self.diagonal * substitute(self.lower, x.reshape(*self.domain.batch(x), -1))
        return substitute(self.upper, half, upper=True).reshape(x.shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)


@solver(
    "SOR with a learnt relaxation",
    papers=_PAPERS,
    equation=r"A_t x_t = b_t,\quad \omega_t \sim p_t(\cdot \mid \text{iterations so far})",
    reports=("residual", "iteration", "relaxation"),
    per_step={"A": 2},
    reads=1,
    solves="systems",
    works="Long sequences of positive systems that are alike, where the best ω is not known.",
    fails="Short sequences, whose first systems pay for trying; without contexts it learns one ω for all of them.",
)
def learned_relaxation(
    systems: Annotated[Sequence[tuple[LinearOperator, Tensor]], POSITIVE_SYSTEMS],
    rng: Rng,
    contexts: Tensor | None = None,
    *,
    policy: Annotated[
        Literal["tsallis", "chebyshev", "fixed"],
        Help("bandit without context, with the systems' contexts, or none: always the given relaxation"),
    ] = "tsallis",
    method: Annotated[Literal["sor", "ssor_cg"], Help("SOR itself, or conjugate gradients with SSOR")] = "sor",
    arms: Annotated[int, Linear(2, 50, help="values of ω to choose from, evenly from 1 to the largest")] = 8,
    largest: Annotated[float, Linear(1.01, 1.99, help="largest ω to choose from")] = 1.95,
    relaxation: Annotated[float, Linear(0.01, 1.99, help="ω, where it is fixed")] = 1.0,
    rate: Annotated[float, Log(0.01, 1e4, help="learning rate: c in η = c/√t, or γ for the contextual bandit")] = 30.0,
    degree: Annotated[int, Linear(0, 20, help="degree of the cost as a polynomial in the context")] = 6,
    tolerance: Annotated[float, Log(1e-15, 0.1, help="‖r‖ / ‖b‖ at which a system is solved")] = 1e-6,
    limit: Annotated[int, Log(1, 100_000, unit="steps", help="largest number of steps a system")] = 1000,
) -> Iterator[Step]:
    """Solve one system after the other by SOR, drawing ω for each from what the iterations before have cost.

    The cost that the learner sees is the number of iterations over the limit, and of the ω that was tried alone. The
    bandit's mean cost approaches that of the best fixed ω, the contextual one's that of the best ω for each system, as
    far as the cost is a polynomial in the context. Steps carry the number of their system; `iteration` counts from 1 in
    each. The tolerance is compared on the host, once a step.

    Raises
    ------
    SpecError
        If the policy needs contexts and there are none.
    """
    grid, learner = np.linspace(1, largest, arms), _learner(policy, arms, contexts, rate, degree)
    for number, (A, b) in enumerate(systems):
        context = None if contexts is None else float(contexts[number])
        omega, arm, p = relaxation, 0, np.ones(1)
        if learner is not None:
            p = learner.probabilities(context)
            arm = int(drawn(p, rng.uniform((), torch.float64).item()))
            omega = float(grid[arm])
        goal = tolerance * A.codomain.norm(b)
        for iteration, step in enumerate(_iterates(method, A, b, omega), 1):
            residual = step.scalars["residual"]
            yield Step(step.x, system=number, residual=residual, iteration=float(iteration), relaxation=omega)
            if iteration >= limit or bool(residual <= goal):
                break
        if learner is not None:
            learner.learn(arm, iteration / limit, p[arm], context)


def _learner(policy: str, arms: int, contexts: Tensor | None, rate: float, degree: int) -> Any:
    if policy == "fixed":
        return None
    if policy == "tsallis":
        return TsallisInf(arms, rate=rate)
    if contexts is None:
        raise SpecError("the contextual bandit needs a context of every system: use 'tsallis'", "policy")
    low, high = float(contexts.min()), float(contexts.max())
    return ChebyshevBandit(arms, low, high, degree=degree, exploitation=rate)


def _iterates(method: str, A: LinearOperator, b: Tensor, omega: float) -> Iterator[Step]:
    if method == "sor":
        return sor(A, b, relaxation=omega)
    return preconditioned_cg(A, b, SymmetricSweep(A, omega))


# --- a sequence ---------------------------------------------------------------------------------------------------


@problem("Shifted systems, a sequence", papers=_PAPERS, equation=r"(A + c_t I)\, x_t = b_t")
def shifted_sequence(
    rng: Rng,
    *,
    count: Annotated[int, Linear(1, 5000, unit="systems", help="number of systems")] = 30,
    size: Annotated[int, Log(2, 1000, help="unknowns of a system")] = 100,
    smallest: Annotated[float, Log(1e-6, 10, help="smallest shift c; they are log-uniform")] = 2e-3,
    largest: Annotated[float, Log(1e-6, 10, help="largest shift c")] = 0.4,
) -> Truth:
    """One tridiagonal matrix (−1, 2, −1), a new shift and a random right-hand side each time; the shift is the context.

    Implicit time steps of different length of the heat equation are of this form.

    Raises
    ------
    SpecError
        If the smallest shift is above the largest.
    """
    from scipy.linalg import solveh_banded
    from scipy.sparse import diags_array

    if smallest > largest:
        raise SpecError(f"is {smallest:g}, above the largest shift {largest:g}", "problem.params.smallest")
    domain = Space((size,), torch.float64)
    shifts = smallest * (largest / smallest) ** rng.fork("shifts").uniform((count,), torch.float64)
    data = rng.fork("data").normal((count, size), torch.float64)
    systems, solutions = [], []
    for c, b in zip(shifts.tolist(), data, strict=True):
        bands = np.vstack([np.full(size, -1.0), np.full(size, 2 + c)])
        solutions.append(torch.from_numpy(solveh_banded(bands, b.numpy())))
        parts = [np.full(size - 1, -1.0), np.full(size, 2 + c), np.full(size - 1, -1.0)]
        matrix = SharedMatrix(lambda parts=parts: diags_array(parts, offsets=[-1, 0, 1]))  # type: ignore[misc]
        A = SparseMatrix(domain, domain, matrix)
        A.title, A.counts_as, A.self_adjoint, A.positive = "the shifted operator", "A", True, True
        systems.append((A, b))
    return Truth(torch.stack(solutions), {"systems": tuple(systems), "contexts": shifts}, domain=domain)
