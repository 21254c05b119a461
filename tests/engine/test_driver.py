"""The driver: stops, rules, budgets, breakdown, cancel."""

import itertools
import threading
import time

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError
from explorer.engine.build import build
from explorer.engine.driver import PATIENCE
from explorer.engine.fit import refuse_stop
from explorer.engine.reasons import Reason
from explorer.engine.run import finish, run
from explorer.engine.spec import Choice
from explorer.engine.stops import CAP, compile_stop, largest_step
from explorer.linalg import count
from explorer.solvers.steps import Solution, Step
from tests.engine.driving import RELATIVE, N, drive, driven, falling, spec
from tests.support import assert_same_bits

# --- stop rules ---


def test_a_run_stops_at_the_exact_step_with_the_iterate_of_that_step():
    result = driven(falling(1.0, 0.5, 0.09, 0.01), stop=RELATIVE)
    assert result.reason is Reason.RESIDUAL
    assert result.stopped.step == 3
    assert_same_bits(result.x, torch.full((N,), 3.0))
    assert len(result.history["residual"]) == 3


def test_or_stops_at_the_first_and_and_at_the_last_of_two():
    rules_ = Choice("relative_residual", tolerance=0.3), Choice("discrepancy", tau=1.2)  # at steps 4 and 2
    values = 1.0, 0.6, 0.5, 0.25, 0.1
    either = driven(falling(*values), stop=rules_[0] | rules_[1])
    assert (either.stopped.step, either.reason) == (2, Reason.DISCREPANCY)
    both = driven(falling(*values), stop=rules_[0] & rules_[1])
    assert (both.stopped.step, both.reason) == (4, Reason.DISCREPANCY)


@pytest.mark.parametrize("order", [0, 1])
def test_a_budget_composes_with_a_residual_in_either_order(order):
    few = Choice("budget", steps=3)
    one, two = (few, RELATIVE) if order else (RELATIVE, few)
    early = driven(falling(1.0, 0.05), stop=one | two)
    assert (early.stopped.step, early.reason) == (2, Reason.RESIDUAL)
    late = driven(falling(1.0), stop=one | two)
    assert (late.stopped.step, late.reason) == (3, Reason.STEPS)
    least = driven(falling(1.0, 0.05), stop=one & two)
    assert least.stopped.step == 3
    longer = driven(falling(*[1.0] * 5, 0.05), stop=one & two)
    assert longer.stopped.step == 6


def test_stagnation_compares_with_the_residual_a_window_ago():
    values = [1 / 2**k for k in range(6)] + [1 / 2**5]
    result = driven(falling(*values), stop=Choice("stagnation", window=3, tolerance=0.5) | Choice("budget", steps=40))
    assert (result.stopped.step, result.reason) == (8, Reason.STAGNATION)  # 2⁻⁵ at steps 6, 7, 8; 2⁻⁴ at step 5


def test_every_sample_stops_at_its_own_step():
    values = [1.0, 1.0, 1.0], [1.0, 0.05, 1.0], [1.0, 0.01, 0.05], [0.05, 0.01, 0.01]
    result = driven(falling(*values, batch=(3,)), stop=RELATIVE, draws=3)
    assert result.stopped.step.tolist() == [4, 2, 3]
    assert_same_bits(result.x[:, 0], torch.tensor([4.0, 2.0, 3.0]))
    assert (result.reason == np.array([Reason.RESIDUAL] * 3, dtype=object)).all()
    assert len(result.history["residual"]) == 4


def test_samples_that_never_stop_have_the_last_iterate():
    values = [1.0, 1.0], [0.05, 1.0]
    result = driven(falling(*values, batch=(2,)), stop=RELATIVE | Choice("budget", steps=5), draws=2)
    assert result.stopped.step.tolist() == [2, 5]
    assert result.x[:, 0].tolist() == [2.0, 5.0]
    assert result.reason.tolist() == [Reason.RESIDUAL, Reason.STEPS]


def test_going_on_keeps_the_stopped_iterate_and_the_best():
    problem = build(spec())

    def approaching():
        x = torch.empty(N)
        for k in itertools.count(1):
            torch.mul(problem.x_true, 1 + abs(k - 6) / 10, out=x)  # the nearest at step 6
            yield Step(x, residual=torch.tensor(1.0 / k))

    result = driven(approaching(), stop=Choice("discrepancy", tau=0.5) | Choice("budget", steps=12), keep_going=True)
    assert len(result.history["error"]) == 12
    assert (result.stopped.step, result.reason) == (4, Reason.DISCREPANCY)
    assert_same_bits(result.x, problem.x_true * 1.2)
    assert result.best.step == 6
    assert_same_bits(result.best.x, problem.x_true)
    assert result.history["error"].argmin() == 5


def test_a_stop_rule_without_a_budget_ends_at_the_cap(monkeypatch):
    monkeypatch.setattr("tests.engine.driving.largest_step", lambda _: 30)
    result = driven(falling(1.0), stop=RELATIVE)
    assert (result.reason, result.stopped.step) == (Reason.STEPS, 30)
    assert result.x[0] == 30


@pytest.mark.parametrize(
    ("stop", "last"),
    [
        (Choice("budget", steps=7), 7),
        (Choice("budget", steps=7) | Choice("budget", steps=5), 5),
        (Choice("budget", steps=7) & Choice("budget", steps=5), CAP),
        (Choice("discrepancy"), CAP),
    ],
)
def test_the_largest_number_of_steps_is_known_beforehand(stop, last):
    assert largest_step(spec(stop=stop).stop.as_dict()) == last


def test_a_method_that_finishes_by_itself_says_so():
    result = driven(itertools.islice(falling(1.0), 4))
    assert (result.reason, result.stopped.step) == (Reason.FINISHED, 4)


def test_a_method_without_any_step_has_no_answer_and_still_a_reason():
    result = driven(iter(()))
    assert result.reason is Reason.FINISHED
    assert result.x is None
    assert result.metrics == {}
    assert "finished" in repr(result)


def test_a_direct_method_is_solved_whatever_the_stop_rule():
    for stop in (RELATIVE, Choice("budget", steps=9)):
        result = run(spec(solver="tikhonov", stop=stop))
        assert result.reason is Reason.SOLVED
        assert result.stopped.step == 1


def test_a_stop_rule_that_needs_more_than_is_known_is_refused():
    with pytest.raises(SpecError, match="needs the residual, which this solver does not report"):
        compile_stop(spec(stop="discrepancy").stop.as_dict(), ("objective",))
    with pytest.raises(SpecError, match="needs the expected norm of the noise, which is not known"):
        compile_stop(spec(stop=RELATIVE | Choice("discrepancy")).stop.as_dict(), ("residual",), {"data_norm": 1})
    with pytest.raises(SpecError, match="stop: "):
        refuse_stop(spec(stop="relative_residual"), {})


# --- budgets ---


def test_a_budget_of_cost_counts_what_the_method_costs_and_nothing_else():
    def costly():
        for step in falling(1.0):
            count("A", 3)
            step.cost = {"denoise": 1}
            yield step

    result = driven(costly(), stop=Choice("budget", cost=10))
    assert (result.reason, result.stopped.step) == (Reason.COST, 3)
    assert result.costs == {"A": 9, "denoise": 3}
    assert result.history["A"].tolist() == [3.0, 6.0, 9.0]
    assert result.history["denoise"].tolist() == [1.0, 2.0, 3.0]


def test_watching_is_booked_apart_from_the_costs():
    chosen, made = drive(falling(1.0), stop=Choice("budget", steps=3))
    align = made.problem.truth.align

    def counted(x, reference):
        count("A", 5)
        return align(x, reference)

    object.__setattr__(made.problem.truth, "align", counted)
    for _ in made:
        pass
    result = finish(chosen, made)
    assert result.costs == {}
    assert result.watching == {"A": 15}


def test_a_budget_of_seconds_counts_the_solver_and_not_the_watcher():
    def slow():
        for step in falling(1.0):
            time.sleep(0.02)
            yield step

    chosen, made = drive(slow(), stop=Choice("budget", seconds=0.05))
    begun = time.perf_counter()
    for _ in made:
        time.sleep(0.03)
    elapsed = time.perf_counter() - begun
    result = finish(chosen, made)
    seconds = result.history["seconds"]
    assert result.reason is Reason.SECONDS
    assert seconds[-1] >= 0.05 > seconds[:-1].max(initial=0)
    assert (np.diff(seconds) >= 0.02).all()
    assert elapsed - seconds[-1] >= 0.03 * len(seconds)


def test_progress_is_the_part_of_the_budget_nearest_to_its_end():
    chosen, made = drive(falling(1.0), stop=Choice("budget", steps=10) | Choice("discrepancy", tau=0.1))
    fractions = [s.fraction for s in made]
    np.testing.assert_allclose(fractions, np.arange(1, 11) / 10)

    def costly():
        for step in falling(1.0):
            count("A")
            yield step

    _, made = drive(costly(), stop=Choice("budget", steps=100, cost=4))
    assert [s.fraction for s in made] == [0.25, 0.5, 0.75, 1.0]
    assert chosen.stop.name == "or"


# --- breakdown ---


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_residual_that_is_not_finite_ends_the_sample_alone(bad):
    values = [1.0, 1.0], [1.0, bad], [0.5, bad]
    result = driven(falling(*values, batch=(2,)), stop=Choice("budget", steps=6), draws=2)
    assert result.reason.tolist() == [Reason.STEPS, Reason.BREAKDOWN]
    assert result.stopped.step.tolist() == [6, 2]
    alone = driven(falling(1.0, bad))
    assert (alone.reason, alone.stopped.step) == (Reason.BREAKDOWN, 2)


def test_an_objective_that_is_not_finite_is_a_breakdown_too():
    steps = (Step(torch.zeros(N), objective=torch.tensor(v)) for v in (1.0, float("inf"), 1.0))
    assert driven(steps).reason is Reason.BREAKDOWN


def test_a_direct_answer_that_is_not_finite_is_a_breakdown():
    solution = Solution(torch.zeros(N), residual=torch.tensor(float("nan")))
    assert driven(solution).reason is Reason.BREAKDOWN


# --- parameter rules ---


def gcv_steps(minimum, batch=()):
    """Steps whose GCV score falls to the step `minimum` and rises again."""
    lowest = torch.as_tensor(minimum, dtype=torch.float32).expand(batch)
    x = torch.zeros(*batch, N)
    for k in itertools.count(1):
        x.fill_(k)
        yield Step(x, residual=((k - lowest).abs() + 1), dof=0.0)


def test_a_rule_that_looks_for_a_minimum_is_believed_after_some_patience():
    result = driven(gcv_steps(5), rule="gcv", stop=Choice("budget", steps=100))
    assert (result.stopped.step, result.reason) == (5, Reason.RULE)
    assert len(result.history["residual"]) == 5 + PATIENCE
    assert result.x[0] == 5


def test_every_sample_has_its_own_minimum():
    result = driven(gcv_steps([5, 9, 60], (3,)), rule="gcv", stop=Choice("budget", steps=50), draws=3)
    assert result.stopped.step.tolist() == [5, 9, 50]
    assert result.x[:, 0].tolist() == [5.0, 9.0, 50.0]
    assert result.reason.tolist() == [Reason.RULE, Reason.RULE, Reason.STEPS]


def test_going_on_past_a_minimum_keeps_it():
    result = driven(gcv_steps(5), rule="gcv", stop=Choice("budget", steps=60), keep_going=True)
    assert (result.stopped.step, result.reason, len(result.history["residual"])) == (5, Reason.RULE, 60)
    assert result.x[0] == 5


def test_a_rule_that_never_found_a_minimum_gives_the_last_iterate():
    nan = float("nan")
    steps = (
        Step(torch.full((2, N), float(k)), residual=torch.ones(2), dof=torch.tensor([0.0, nan])) for k in range(1, 100)
    )
    result = driven(steps, rule="gcv", stop=Choice("budget", steps=30), draws=2)
    assert result.x[1, 0] == 30
    assert result.stopped.step[1] == 30


def test_a_rule_that_takes_the_first_stops_at_it():
    result = driven(falling(1.0, 0.8, 0.45, 0.2), rule="discrepancy")
    assert (result.stopped.step, result.reason) == (3, Reason.RULE)


# --- cancel ---


def test_a_cancel_between_steps_keeps_the_iterate():
    flag = threading.Event()
    chosen, made = drive(falling(1.0), cancelled=flag)
    for snapshot in made:
        if snapshot.step == 4:
            flag.set()
    result = finish(chosen, made)
    assert (result.reason, result.stopped.step) == (Reason.CANCELLED, 4)
    assert result.x[0] == 4
    assert len(result.history["residual"]) == 4


def test_a_cancel_within_a_long_step_keeps_the_iterate_of_the_step_before():
    flag, products = threading.Event(), []

    def long():
        x = torch.zeros(N)
        for k in itertools.count(1):
            for _ in range(40):
                products.append(k)
                count("A")
                time.sleep(0.005)
                x += 1  # in place, as a solver may
            yield Step(x, residual=torch.tensor(1.0))
            if k == 2:
                threading.Timer(0.05, flag.set).start()

    chosen, made = drive(long(), cancelled=flag)
    for _ in made:
        pass
    assert 80 < len(products) < 120
    result = finish(chosen, made)
    assert result.reason is Reason.CANCELLED
    assert_same_bits(result.x, torch.full((N,), 80.0))


def test_a_cancel_before_the_first_step_has_no_answer_and_a_reason():
    flag = threading.Event()
    flag.set()

    def start():
        time.sleep(0.12)
        count("A")
        yield Step(torch.zeros(N))

    chosen, made = drive(start(), cancelled=flag)
    assert list(made) == []
    result = finish(chosen, made)
    assert result.reason is Reason.CANCELLED
    assert result.x is None


def test_samples_that_had_stopped_before_a_cancel_keep_their_reason():
    flag = threading.Event()
    chosen, made = drive(falling([0.05, 1.0], batch=(2,)), stop=RELATIVE, draws=2, cancelled=flag)
    for snapshot in made:
        if snapshot.step == 3:
            flag.set()
    assert finish(chosen, made).reason.tolist() == [Reason.RESIDUAL, Reason.CANCELLED]
