"""A parameter rule wraps a solver: GCV and the discrepancy principle around Tikhonov and around LSQR."""

import numpy as np
import pytest

import explorer as ex
from explorer.catalogue import SpecError
from tests import support

#: an image: on a few hundred data or less the minimum of GCV is too flat to be relied upon
SPEC = ex.RunSpec(
    problem={"name": "shepp_logan", "params": {"size": 48}},
    operator={"name": "gaussian_blur", "params": {"sigma": 1.5}},
    noise={"name": "gaussian", "params": {"level": 0.05}},
    draws=len(support.SEEDS),
    dtype="float64",
)
BUDGET = {"name": "budget", "params": {"steps": 60}}


def errors(run):
    return run.metrics["relative_error"]


@pytest.fixture(scope="module")
def least_tikhonov():
    """Return the least error over 100 values of λ, one a draw, from one batched solve a draw."""
    weights = np.geomspace(1e-5, 1, 100).tolist()
    run = ex.run(SPEC.replace(solver={"name": "tikhonov", "params": {"regularization": weights}}))
    return errors(run).min(0)


@pytest.mark.parametrize(("rule", "factor"), [("gcv", 1.02), ("discrepancy", 1.05)])
def test_a_rule_around_tikhonov_is_near_the_best_weight(rule, factor, least_tikhonov):
    run = ex.run(SPEC.replace(solver="tikhonov", rule=rule))
    assert run.reason[0] is ex.Reason.SOLVED
    assert run.history["rule_resolved"].all()
    assert len(set(run.history["regularization"][0])) == len(support.SEEDS)
    assert (errors(run) <= factor * least_tikhonov).all()


@pytest.mark.parametrize(("rule", "factor"), [("gcv", 1.05), ("discrepancy", 1.08)])
@pytest.mark.parametrize("solver", ["lsqr", "cgls"])
def test_a_rule_around_a_krylov_method_is_near_the_best_step(solver, rule, factor):
    run = ex.run(SPEC.replace(solver=solver, rule=rule, stop=BUDGET, record={"keep_going": True}))
    least = run.history["error"].min(0)
    assert all(reason is ex.Reason.RULE for reason in run.reason)
    assert (errors(run) <= factor * least).all()
    assert (run.history["error"][-1] > 1.3 * least).all()  # without a rule the steps go past the optimum
    assert np.array_equal(run.best.step, run.history["error"].argmin(0) + 1)


@pytest.mark.parametrize("level", [0.02, 0.1])
def test_gcv_around_lsqr_knows_nothing_of_the_noise_level(level):
    for problem in ("shepp_logan", "camera"):
        run = ex.run(
            SPEC.replace(
                problem={"name": problem, "params": {"size": 48}}, solver="lsqr", rule="gcv",
                noise={"name": "gaussian", "params": {"level": level}},
                stop=BUDGET, record={"keep_going": True},
            )
        )  # fmt: skip
        assert (errors(run) <= 1.05 * run.history["error"].min(0)).all()


def test_only_a_rule_that_asks_for_degrees_of_freedom_pays_for_them():
    five = {"name": "budget", "params": {"steps": 5}}
    costs = {rule: ex.run(SPEC.replace(solver="lsqr", rule=rule, stop=five)).costs for rule in ("fixed", "gcv")}
    assert costs == {"fixed": {"A": 5, "Aᴴ": 6}, "gcv": {"A": 10, "Aᴴ": 12}}


def test_a_draw_is_stopped_at_the_same_step_alone_and_among_others():
    alone = ex.run(SPEC.replace(solver="lsqr", rule="gcv", draws=None))
    batch = ex.run(SPEC.replace(solver="lsqr", rule="gcv"))
    assert alone.stopped.step == batch.stopped.step[0]


def test_a_rule_without_what_it_needs_is_refused_in_one_sentence():
    with pytest.raises(SpecError, match="Monotone error rule needs"):
        ex.run(SPEC.replace(solver="lsqr", rule="monotone_error"))
