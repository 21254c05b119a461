"""Runs: direct methods whose parameter a rule chooses, lists of values, and what a run refuses."""

import dataclasses
import functools

import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError
from explorer.engine import run as module
from explorer.engine.reasons import Reason, reasons
from explorer.engine.run import prepare, run
from explorer.engine.spec import Choice, RunSpec
from tests.support import assert_close, assert_same_bits, every_seed

SPEC = RunSpec(problem={"name": "blocks", "params": {"size": 32}}, dtype="float64", stop=Choice("budget", steps=9))


@pytest.mark.parametrize("draws", [None, 3])
@pytest.mark.parametrize("rule", ["discrepancy", "gcv"])
@pytest.mark.parametrize("solver", ["tikhonov", "tsvd"])
def test_a_chosen_parameter_is_the_same_however_many_candidates_are_solved_at_a_time(solver, rule, draws, monkeypatch):
    spec = SPEC.replace(solver=solver, rule=rule, draws=draws)
    together = run(spec)
    monkeypatch.setattr(module, "_TUNED_AT_ONCE", 5 * 32)
    apart = run(spec)
    knob = ex.catalogue.solvers[solver].traits["tunes"][0]
    assert_close(torch.from_numpy(apart.history[knob]), torch.from_numpy(together.history[knob]), 1e4)
    assert_close(apart.x, together.x, 1e4)
    assert together.history[knob].shape == (1,) if draws is None else (1, draws)


def test_candidates_never_take_more_memory_than_allowed(monkeypatch):
    monkeypatch.setattr(module, "_TUNED_AT_ONCE", 4 * 32)
    component, most = ex.catalogue.solvers["tikhonov"], []

    @functools.wraps(component.function)
    def watched(A, y, **knobs):
        most.append(y.numel())
        return component.function(A, y, **knobs)

    monkeypatch.setitem(ex.catalogue.solvers._items, "tikhonov", dataclasses.replace(component, function=watched))
    run(SPEC.replace(solver="tikhonov", rule="gcv"))
    assert max(most) == 4 * 32


@every_seed
def test_the_discrepancy_principle_meets_the_level_of_the_noise(seed):
    result = run(SPEC.replace(solver="tikhonov", rule=Choice("discrepancy", tau=1.0), seed=seed))
    level = float(result.problem["noise_norm"])
    assert float(result.history["residual"][0]) == pytest.approx(level, rel=2e-3)  # as fine as the last grid
    assert result.history["rule_resolved"][0] == 1.0


def test_draw_j_is_solved_as_if_it_were_alone():
    few = SPEC.replace(stop=Choice("budget", steps=4))  # later steps magnify rounding
    many, one = run(few.replace(draws=4)), run(few)
    assert_close(many.x[0], one.x, 1e4)
    assert_same_bits(many.y[0], one.y)


def test_a_solver_without_a_declared_result_is_refused():
    from explorer.catalogue import Component, solvers

    def silent(y):
        yield y

    solvers.add(Component("solver", "silent", "Silent", silent))
    try:
        with pytest.raises(SpecError, match="Silent must declare what it gives"):
            prepare(SPEC.replace(solver="silent"))
    finally:
        solvers.remove("silent")


def test_every_reason_has_a_sentence():
    for reason in Reason:
        assert reason.sentence.endswith(".")
        assert reasons(torch.tensor(int(reason)).numpy()) is reason
    with pytest.raises(ValueError, match="99"):
        reasons(torch.tensor([1, 99]).numpy())
