"""Every solver of the catalogue, found by itself, keeps the promises that its declarations make.

A solver that works on a linear operator `A` is checked here against an oracle of what it ``solves``; every other
solver is named by a test of its own, so that a new solver without a check fails.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from explorer.catalogue import Component, priors, solvers
from explorer.linalg import Blocks, Ledger
from explorer.operators.algebra import BlockDiagonal, Stack
from explorer.operators.base import Diagonal, LinearOperator
from explorer.priors import Prior
from explorer.solvers.steps import Solution, Step
from tests import support

#: priors with an independent reference for ``½ ‖Ax − y‖² + R(x)``, and their knobs in these tests
PRIORS: dict[str, dict[str, Any]] = {
    "none": {},
    "tikhonov": {"weight": 0.3},
    "l1": {"weight": 0.3},
    "box": {"lower": -0.3, "upper": 0.5},
}
#: of these, the ones whose reference is for one real unknown
REAL = ("l1", "box")
CONDITION, ROWS, COLUMNS = 2.0, 16, 12
#: allowed error of an answer in units of eps
TOLERANCE = 10 * CONDITION**2
#: the slowest (FISTA without a prior) has then reached the precision of fp64
STEPS = 300
#: likewise of the methods that find what solves the equations, where they can be solved
LONG = 3000


class Subject:
    """A solver with a prior, where it needs one."""

    def __init__(self, component: Component, prior: str | None = None) -> None:
        self.component, self.prior = component, prior
        self.direct = component.gives is Solution
        self.consistent = component.traits.get("solves") == "consistent"
        self.knobs = {name: knob.default for name, knob in component.knobs.items()}

    def __repr__(self) -> str:
        return self.component.name + (f"-{self.prior}" if self.prior else "")

    def need(self, name: str) -> Any:
        return next((n for n in self.component.needs if n.name == name), None)

    def operator(self, dtype: torch.dtype = torch.float64, condition: float = CONDITION) -> LinearOperator:
        """Return the first operator that the solver admits: rectangular, else positive."""
        spectrum = support.decay(COLUMNS, condition)
        rectangular = support.operator(spectrum, ROWS, COLUMNS, dtype=dtype)
        positive = support.self_adjoint_operator(spectrum, dtype=dtype)
        return next(A for A in (rectangular, positive) if self.need("A").lacks(A) is None)

    def offers(self, A: LinearOperator, y: Any, scale: float = 1.0, **more: Any) -> dict[str, Any]:
        """Return what the solver needs; `scale` is that of the data."""
        everything = {"A": A, "y": y, **more}
        if self.need("precond"):
            everything["precond"] = jacobi(A)
        if self.prior:
            everything["prior"] = prior(self.prior, A, scale)
        return {name: thing for name, thing in everything.items() if self.need(name)}

    def steps(self, offers: dict[str, Any], **knobs: Any) -> Iterator[Step]:
        made = self.component(**offers, **{**self.knobs, **knobs})
        return iter((made,)) if self.direct else made

    @torch.no_grad()
    def run(self, offers: dict[str, Any], steps: int, **knobs: Any) -> Step:
        """Return the last of so many steps."""
        return next(itertools.islice(self.steps(offers, **knobs), 0 if self.direct else steps - 1, None))

    def data(self, A: LinearOperator, draws: int, seed: int = 7) -> Tensor:
        """Return random data, in the range of the operator where the solver asks for that."""
        return A(start(A, draws)) if self.consistent else data(A, draws, seed)

    def exact(self) -> dict[str, Any]:
        """Return knobs with which a direct method solves the least-squares problem, the others as they are."""
        return {self.component.traits["tunes"][0]: 0.0} if self.direct else {}


def prior(name: str, A: LinearOperator, scale: float = 1.0) -> Prior:
    """Return a prior whose knobs follow the scale of the data by their degrees."""
    component = priors[name]
    params = component.check(PRIORS[name])
    params |= {k: v * scale ** component.knobs[k].degree for k, v in params.items() if component.knobs[k].degree}
    return component.bind({"domain": A.domain}, params)()


def jacobi(A: LinearOperator) -> LinearOperator:
    """Return a positive diagonal with entries of different size."""
    if isinstance(A, BlockDiagonal):
        return BlockDiagonal(*(jacobi(part) for part in A.operators))
    size = A.domain.size
    return Diagonal(A.domain, torch.linspace(0.5, 2, size, device=A.domain.device).to(A.domain.dtype), positive=True)


def data(A: LinearOperator, draws: int, seed: int = 7) -> Tensor:
    return support.normal((draws, A.codomain.size), seed, A.codomain.dtype)


def start(A: LinearOperator, draws: int) -> Tensor:
    return support.normal((draws, A.domain.size), 3, A.domain.dtype)


@torch.no_grad()
def scan(subject: Subject, offers: dict[str, Any], steps: int = 60, **knobs: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Return copies of every iterate and of its per-sample scalars, on the way to convergence and past it."""
    return [
        (step.x.clone(), {name: v for name, v in step.scalars.items() if isinstance(v, Tensor) and v.ndim})
        for step in itertools.islice(subject.steps(offers, **knobs), steps)
    ]


#: what there is an oracle for
SOLVED = ("least_squares", "consistent", "tikhonov", "tsvd", "map")


def generic(component: Component) -> bool:
    """Whether a solver works on a linear operator and solves what there is an oracle for."""
    required = {n.name for n in component.needs if not n.optional}
    solves = component.traits.get("solves") in SOLVED
    return solves and "A" in required and required <= {"A", "y", "prior", "precond"}


def subjects() -> list[Subject]:
    made = []
    for component in solvers.values():
        if not generic(component):
            continue
        plain = Subject(component)
        if (need := plain.need("prior")) is None:
            made.append(plain)
            continue
        A = plain.operator()
        fitting = [name for name in PRIORS if need.lacks(prior(name, A)) is None]
        made += [Subject(component, name) for name in fitting]
    return made


SUBJECTS = subjects()
ITERATIVE = [s for s in SUBJECTS if not s.direct]
every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=repr)
every_iterative = pytest.mark.parametrize("subject", ITERATIVE, ids=repr)
BATCHED = [(s, k) for s in SUBJECTS for k, knob in s.component.knobs.items() if knob.batched]


# --- oracles ------------------------------------------------------------------------------------------------------


def least_squares(A: Tensor, y: Tensor, weight: float = 0.0) -> Tensor:
    """Return the minimiser of ``‖Ax − y‖² + weight ‖x‖²``, one a row of `y`."""
    augmented = torch.cat([A, weight**0.5 * torch.eye(A.shape[1], dtype=A.dtype)])
    return torch.linalg.lstsq(augmented, torch.cat([y.mT, y.new_zeros(A.shape[1], len(y))])).solution.mT


def box_constrained(A: Tensor, y: Tensor, lower: float, upper: float) -> Tensor:
    """Return the minimiser of ``‖Ax − y‖`` with entries between the bounds, by SciPy's active-set method."""
    solve = functools.partial(scipy.optimize.lsq_linear, bounds=(lower, upper), method="bvls", tol=1e-15)
    return torch.from_numpy(np.stack([solve(A.numpy(), row.numpy()).x for row in y]))


def lasso(A: Tensor, y: Tensor, weight: float) -> Tensor:
    """Return the minimiser of ``½ ‖Ax − y‖² + weight ‖x‖₁`` from its dual: least squares with bounds."""
    q, r = torch.linalg.qr(A)
    dual = box_constrained(torch.linalg.inv(r).mT, y @ q, -weight, weight)
    return torch.linalg.solve_triangular(r, (y @ q - dual @ torch.linalg.inv(r)).mT, upper=True).mT


def oracle(subject: Subject, A: Tensor, y: Tensor) -> Tensor:
    """Return the answer that the subject should find, in double precision."""
    params = PRIORS.get(subject.prior or "none", {})
    if subject.prior == "tikhonov":
        return least_squares(A, y, params["weight"])
    if subject.prior == "l1":
        return lasso(A, y, **params)
    if subject.prior == "box":
        return box_constrained(A, y, **params)
    return least_squares(A, y)


def test_every_solver_has_a_check():
    for name, component in solvers.items():
        if generic(component):
            assert any(s.component is component for s in SUBJECTS), f"{name} fits none of the priors here"
        else:
            tests = [f.read_text(encoding="utf-8") for f in Path(__file__).parents[1].rglob("test_*.py")]
            assert any(f'"{name}"' in text for text in tests), f"{name} has no oracle here: write a check that names it"


@pytest.mark.parametrize(
    ("subject", "dtype"),
    [(s, torch.float64) for s in SUBJECTS] + [(s, torch.complex128) for s in SUBJECTS if s.prior not in REAL],
    ids=str,
)
def test_the_answer_is_the_oracles(subject, dtype):
    A = subject.operator(dtype)
    y = subject.data(A, 5)
    expected = oracle(subject, A.to_dense(), y)
    support.assert_close(
        subject.run(subject.offers(A, y), LONG if subject.consistent else STEPS, **subject.exact()).x,
        expected,
        TOLERANCE,
    )


@pytest.mark.parametrize("subject", [s for s in ITERATIVE if s.prior in (None, "l1")], ids=repr)
def test_single_precision_from_any_start_keeps_the_answer_long_past_convergence(subject):
    A = subject.operator(torch.float32)
    y, x0 = subject.data(A, 5), start(A, 5)
    expected = oracle(subject, A.to_dense().double(), y.double())
    last = subject.run(subject.offers(A, y, x0=x0), 2000)
    support.assert_close(last.x, expected, TOLERANCE)


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if s.prior not in REAL], ids=repr)
def test_blocks_are_solved_as_one_unknown(subject):
    A = subject.operator()
    diagonal, stack = BlockDiagonal(A, 0.9 * A), Stack(A, 0.9 * A)
    if subject.need("A").lacks(diagonal) is not None:
        assert subject.need("A").capabilities, f"{subject} refuses blocks"
        return
    y1, y2 = subject.data(A, 3), subject.data(A, 3, seed=8)
    last = subject.run(subject.offers(diagonal, Blocks((y1, y2))), STEPS)
    expected = Blocks((oracle(subject, A.to_dense(), y1), oracle(subject, 0.9 * A.to_dense(), y2)))
    support.assert_close(last.x, expected, TOLERANCE)
    if subject.need("A").lacks(stack) is None:
        last = subject.run(subject.offers(stack, Blocks((y1, y2))), STEPS)
        joint = oracle(subject, torch.cat([A.to_dense(), 0.9 * A.to_dense()]), torch.cat([y1, y2], -1))
        support.assert_close(last.x, joint, TOLERANCE)


# --- promises -----------------------------------------------------------------------------------------------------


@every_subject
def test_other_samples_change_no_bit(subject):
    A = subject.operator(torch.float32)
    y = subject.data(A, 3)
    alone = scan(subject, subject.offers(A, y))
    for mate in (0.0, torch.nan, 1e20):
        crowd = y.clone()
        crowd[0] = crowd[2] = mate
        for step, (x, scalars) in enumerate(scan(subject, subject.offers(A, crowd))):
            support.assert_same_bits(x[1], alone[step][0][1])
            for name, value in scalars.items():
                support.assert_same_bits(value[1], alone[step][1][name][1])


@support.every_precision
@every_subject
def test_scaling_the_data_scales_every_iterate_bit_for_bit(subject, dtype):
    assert subject.component.traits.get("homogeneous", True)
    A = subject.operator(dtype)
    y, x0 = subject.data(A, 2), start(A, 2)
    plain = scan(subject, subject.offers(A, y, x0=x0))
    for factor in (2.0**-20, 2.0**20):
        degrees = {name: knob.degree for name, knob in subject.component.knobs.items() if knob.degree}
        knobs = {name: subject.knobs[name] * factor**degree for name, degree in degrees.items()}
        scaled = scan(subject, subject.offers(A, factor * y, factor, x0=factor * x0), **knobs)
        for (x, _), (other, _) in zip(plain, scaled, strict=True):
            support.assert_same_bits(factor * x, other)


@every_subject
def test_steps_carry_what_is_declared(subject):
    A = subject.operator()
    for y in (subject.data(A, 3), subject.data(A, 3)[0]):
        step = subject.run(subject.offers(A, y), 3)
        batch = A.codomain.batch(y)
        assert A.domain.batch(step.x) == batch
        assert set(step.scalars) == set(subject.component.traits["reports"])
        for name, value in step.scalars.items():
            assert isinstance(value, float) or tuple(value.shape) in (batch, ()), name
            assert isinstance(value, float) or not value.is_complex(), name
        if "residual" in step.scalars:
            support.assert_close(step.scalars["residual"], A.codomain.norm(y - A(step.x)), 10, scale=support.norm(y))


@every_subject
def test_neither_the_data_nor_the_start_is_written_to(subject):
    A = subject.operator()
    y, x0 = subject.data(A, 3), start(A, 3)
    y_before, x0_before, matrix = y.clone(), x0.clone(), A.to_dense().clone()
    subject.run(subject.offers(A, y, x0=x0), 3)
    support.assert_same_bits(y, y_before)
    support.assert_same_bits(x0, x0_before)
    support.assert_same_bits(A.to_dense(), matrix)


@every_iterative
def test_the_start_is_where_it_begins(subject):
    A = subject.operator()
    y, x0 = subject.data(A, 2), start(A, 2)
    first, from_zero = (subject.run(subject.offers(A, y, x0=x), 1).x for x in (x0, A.domain.zeros((2,))))
    assert support.norm(first - from_zero) > 1e-4 * support.norm(x0)  # one step of a fast method leaves little
    support.assert_close(subject.run(subject.offers(A, y), 1).x, from_zero, 1)


@every_subject
def test_no_value_is_read_on_the_host_and_everything_is_on_the_device(subject):
    assert subject.component.traits.get("reads", 0) == 0
    A = subject.operator(torch.float32).to("meta")
    step = subject.run(subject.offers(A, torch.empty(3, A.codomain.size, device="meta")), 3)
    assert step.x.device.type == "meta"
    assert step.x.dtype == torch.float32
    for name, value in step.scalars.items():
        assert isinstance(value, float) or value.device.type == "meta", name
        assert isinstance(value, float) or value.dtype == torch.float32, name


@every_subject
def test_a_step_costs_what_is_declared(subject):
    A = subject.operator()
    ledger, seen = Ledger({id(A): "A"}), []
    with ledger.open():
        for _ in itertools.islice(subject.steps(subject.offers(A, subject.data(A, 2))), 4):
            seen.append(ledger.costs.copy())
    declared = subject.component.traits.get("per_step", {})
    for before, after in itertools.pairwise(seen):
        assert after - before == declared
    assert not subject.direct or seen[0] == declared


@pytest.mark.parametrize(("subject", "knob"), BATCHED, ids=str)
def test_a_batched_knob_is_a_loop(subject, knob):
    A = subject.operator()
    y, values = subject.data(A, 1)[0], [0.003, 0.01, 0.1, 0.3, 1.0]
    together = subject.run(subject.offers(A, y.expand(5, -1)), 6, **{knob: torch.tensor(values, dtype=y.dtype)})
    for i, value in enumerate(values):
        alone = subject.run(subject.offers(A, y), 6, **{knob: value})
        support.assert_close(together.x[i], alone.x, TOLERANCE)
        for name in {"residual", "objective", "dof", "solution_norm"} & alone.scalars.keys():
            if isinstance(alone.scalars[name], Tensor):
                support.assert_close(together.scalars[name][i], alone.scalars[name], TOLERANCE)


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if s.component.traits.get("differentiable")], ids=repr)
def test_derivatives_are_right(subject):
    A = subject.operator()
    y = subject.data(A, 2).requires_grad_()

    def answer(y: Tensor) -> Tensor:
        return next(itertools.islice(subject.steps(subject.offers(A, y)), 0 if subject.direct else 2, None)).x

    assert torch.autograd.gradcheck(answer, y)
