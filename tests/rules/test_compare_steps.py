"""Every rule side by side on the steps of an iteration: what is compared is what a run with the rule does."""

import numpy as np
import pytest

import explorer as ex
from explorer.catalogue import rules

SPEC = ex.RunSpec(
    problem={"name": "camera", "params": {"size": 32}}, operator="gaussian_blur", solver="cgls", dtype="float64",
    noise={"name": "gaussian", "params": {"level": 0.03}}, draws=5, stop={"name": "budget", "params": {"steps": 60}},
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return ex.compare_rules(SPEC, along="steps")


def test_every_rule_is_there_or_says_why_not(found):
    assert set(found.chosen) | set(found.refused) == set(rules) - {"fixed"}
    assert {"discrepancy", "gcv", "oracle", "upre", "ncp"} <= set(found.chosen)
    assert all(found.refused.values())
    assert found.parameter == "step"
    np.testing.assert_array_equal(found.values, np.arange(1, 61))


@pytest.mark.parametrize("rule", ["discrepancy", "gcv", "ncp", "oracle"])
def test_a_choice_is_the_iterate_at_which_a_run_with_the_rule_ends(found, rule):
    run = ex.run(SPEC.replace(rule=rule))
    np.testing.assert_array_equal(found.value(rule), run.stopped.step)
    x, truth = run.stopped.x.numpy(), run.problem.x_true.numpy()
    error = np.linalg.norm((x - truth).reshape(5, -1), axis=1) / np.linalg.norm(truth)
    np.testing.assert_allclose(found.error(rule), error, rtol=1e-10)


def test_no_rule_beats_the_oracle_and_most_come_near(found):
    np.testing.assert_allclose(found.error("oracle"), found.least_error)
    ratios = {name: float(np.nanmedian(found.error(name) / found.least_error)) for name in found.chosen}
    assert min(ratios.values()) >= 1
    assert sum(ratio < 1.3 for ratio in ratios.values()) > len(ratios) / 2, ratios
    assert "oracle" in repr(found)


def test_a_rule_that_is_never_met_has_chosen_nothing():
    few = SPEC.replace(noise={"name": "gaussian", "params": {"level": 0.001}}, stop=ex.Choice("budget", steps=3))
    never = ex.compare_rules(few, {"discrepancy": {}}, along="steps")
    assert (never.chosen["discrepancy"] == -1).all()
    assert np.isnan(never.error("discrepancy")).all()


def test_the_figure_marks_every_choice_on_an_axis_of_steps(found):
    figure = ex.figures.rules(found)
    assert len(figure.data) == 2 + sum(int(np.reshape(at, -1)[0]) >= 0 for at in found.chosen.values())
    assert figure.layout.xaxis.title.text.startswith("step")
    assert 10 ** figure.layout.xaxis.range[1] == pytest.approx(60)
    for other in (ex.figures.l_curve, ex.figures.scores):
        with pytest.raises(ex.SpecError, match="neither scores nor norms"):
            other(found)


def test_a_direct_method_has_no_steps_to_choose_from():
    with pytest.raises(ex.SpecError, match="no steps of which a residual is known"):
        ex.compare_rules(SPEC.replace(solver="tikhonov"), along="steps")


def test_a_problem_alone_has_no_steps():
    with pytest.raises(ex.SpecError, match="give a specification"):
        ex.compare_rules(ex.build(SPEC), along="steps")


def test_an_unknown_axis_is_refused():
    with pytest.raises(ex.SpecError, match="must be 'parameter', 'steps', or a number"):
        ex.compare_rules(SPEC, along="step")
