"""Sweeps of any number of a method: one run a value, in a batch where it can be, and the rules that runs can tell."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import priors
from explorer.engine.along import candidates_of
from explorer.engine.compare_rules import path
from explorer.engine.presets import presets
from explorer.linalg import Rng
from explorer.linalg.quadrature import random_signs

SPEC = ex.RunSpec(
    problem={"name": "camera", "params": {"size": 24}}, operator="gaussian_blur", solver="fista", prior="tv",
    noise={"name": "gaussian", "params": {"level": 0.03}}, dtype="float64",
    stop={"name": "budget", "params": {"steps": 40}},
)  # fmt: skip
WEIGHT = "prior.params.weight"


@pytest.fixture(scope="module")
def found():
    return ex.compare_rules(SPEC.replace(draws=5), along=WEIGHT, values=13)


@pytest.mark.parametrize("at", [0, 6, 12])
def test_a_value_of_the_sweep_is_a_run_with_it(found, at):
    one = ex.run(SPEC.replace(draws=5, prior={"name": "tv", "params": {"weight": found.values[at]}}))
    along = path(found)
    x = along.x[12 - at]
    assert along.indices[12 - at] == at
    assert float((one.x - x).norm()) <= 1e-12 * float(one.x.norm())
    np.testing.assert_allclose(found.curves["error"][at], one.history["error"][-1], rtol=1e-12)
    residual = (one.problem.A(one.x) - one.y).flatten(1).norm(dim=1)
    np.testing.assert_allclose(found.curves["residual"][at], residual, rtol=1e-12)
    assert float((one.problem.A(one.x) - along.fit[12 - at]).norm()) <= 1e-12 * float(one.x.norm())


def test_rules_choose_what_runs_can_tell_and_say_why_not_else(found):
    assert set(found.chosen) == {"discrepancy", "gcv", "weighted_gcv", "upre", "ncp", "oracle"}
    assert all(found.refused.values())
    limit = 1.02 * found.problem.offers["noise_norm"].numpy()
    for draw in range(5):
        met = np.flatnonzero(found.curves["residual"][:, draw] <= limit[draw])
        assert found.chosen["discrepancy"][draw] == (met[0] if met.size else -1)
    np.testing.assert_allclose(found.error("oracle"), found.least_error)


def test_monte_carlo_risk_finds_a_weight_of_total_variation_near_the_best(found):
    assert (found.error("upre") <= 1.1 * found.least_error).all(), found
    assert found.least_error.max() < 0.6 * found.curves["error"][0].min()  # and the choice matters


def test_degrees_of_freedom_are_those_of_the_influence_matrix():
    spec = ex.RunSpec(
        problem={"name": "blocks", "params": {"size": 32}}, operator="gaussian_blur", prior="tikhonov",
        solver="fista", noise={"name": "gaussian", "params": {"level": 0.05}}, dtype="float64",
        stop={"name": "budget", "params": {"steps": 700}},
    )  # fmt: skip
    found = ex.compare_rules(spec, along=WEIGHT, values=[1.0, 0.1])
    problem = ex.build(spec)
    A = problem.A.to_dense()
    w = random_signs(problem.codomain, Rng(spec.seed, "rule/probe"))
    noise, m = float(problem.offers["noise_norm"]), problem.offers["data_size"]
    for i, weight in enumerate(found.values):
        prior = ex.build(spec.replace(prior={"name": "tikhonov", "params": {"weight": weight}})).prior
        x = torch.randn(32, dtype=torch.float64)
        share = float(prior.value(x) / x.square().sum())  # weight, or half of it
        H = A @ torch.linalg.solve(A.T @ A + 2 * share * torch.eye(32), A.T)
        dof = (found.scores["upre"][i] - found.curves["residual"][i] ** 2) * m / (2 * noise**2)
        assert dof == pytest.approx(float(w @ H @ w), rel=1e-5)


def test_a_knob_that_is_no_weight_has_the_oracle_alone_and_takes_a_run_a_value():
    found = ex.compare_rules(SPEC, along="prior.params.inner", values=[1, 5, 20])
    np.testing.assert_array_equal(found.values, [20, 5, 1])
    assert set(found.chosen) == {"oracle"}
    assert "is no such weight" in found.refused["gcv"]
    one = ex.run(SPEC.replace(prior={"name": "tv", "params": {"inner": 5}}))
    assert float((one.x - path(found).x[1]).norm()) == 0


@pytest.mark.parametrize("field", ["seed", "noise.params.level", "prior", "prior.params.nothing", "", "solver.params"])
def test_what_is_no_number_of_the_method_is_refused(field):
    with pytest.raises(ex.SpecError, match="must be 'parameter', 'steps', or a number"):
        ex.compare_rules(SPEC, along=field)


def test_values_out_of_range_are_refused():
    with pytest.raises(ex.SpecError, match="a number from 0"):
        ex.compare_rules(SPEC, along=WEIGHT, values=[-1.0, 1.0])


@pytest.mark.parametrize("along", [WEIGHT, "parameter"])
@pytest.mark.parametrize("values", [0, -3, 10**9, [], [np.nan], [[1.0], [2.0]]])
def test_values_that_are_none_are_refused_in_one_sentence(along, values):
    spec = SPEC if along == WEIGHT else SPEC.replace(solver="tikhonov", prior="none")
    with pytest.raises(ex.SpecError, match=r"values: is .*, and must be finite numbers, or how many from 1 to 4096"):
        ex.compare_rules(spec, along=along, values=values)


def test_an_array_of_values_is_as_good_as_a_list():
    short = SPEC.replace(stop={"name": "budget", "params": {"steps": 2}})
    found = ex.compare_rules(short, {"oracle": {}}, along=WEIGHT, values=np.geomspace(0.01, 1, 3))
    np.testing.assert_allclose(found.values, [1, 0.1, 0.01])


@pytest.mark.parametrize("along", [WEIGHT, "prior.params.inner", "steps"])
def test_progress_rises_to_the_end_and_what_watches_can_end_it(along):
    told = []
    spec = SPEC.replace(stop={"name": "budget", "params": {"steps": 4}})
    spec = spec.replace(solver="cgls", prior="none") if along == "steps" else spec
    values = None if along == "steps" else [1, 2, 4]
    ex.compare_rules(spec, {"gcv": {}, "oracle": {}}, along=along, values=values, watch=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < 0.5
    assert told[-1] == pytest.approx(1)

    def end(_part):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ex.compare_rules(spec, along=along, values=values, watch=end)


def test_candidates_lie_around_the_present_value_and_in_the_range():
    weight, inner = (priors["tv"].knobs[name] for name in ("weight", "inner"))
    around = candidates_of(weight, 0.5)
    assert len(around) == 25
    assert around[12] == pytest.approx(0.5)
    assert around[[0, -1]] == pytest.approx([500, 5e-4])
    assert candidates_of(weight, 0.0)[12] == pytest.approx(weight.default)
    whole = candidates_of(inner, 20)
    assert (np.diff(whole) < 0).all()
    assert (whole == whole.round()).all()
    assert (whole[0], whole[-1]) == (200, 2)  # how much work it is, a decade either way


def test_the_figure_of_a_sweep_marks_the_choices(found):
    figure = ex.figures.rules(found)
    assert figure.layout.xaxis.title.text == "weight (log)"
    assert len(figure.data) == 2 + sum(int(at.reshape(-1)[0]) >= 0 for at in found.chosen.values())
    short = SPEC.replace(stop={"name": "budget", "params": {"steps": 2}})
    linear = ex.compare_rules(short, along="prior.params.inner", values=[18, 19, 20])
    assert ex.figures.rules(linear).layout.xaxis.type == "linear"


@pytest.mark.parametrize("word", ["blindly", "sequence", "matrix"])
def test_what_has_no_single_unknown_or_no_data_is_not_walked_along(word):
    spec = next(s for t, s in presets().items() if word in t)
    with pytest.raises(ex.SpecError, match="one set of data"):
        ex.compare_rules(spec, along="steps")


def test_no_rule_picks_a_step_of_a_sequence_of_systems():
    spec = next(s for t, s in presets().items() if "sequence" in t).replace(rule="oracle")
    with pytest.raises(ex.SpecError, match="system after system"):
        ex.run(spec)


def test_a_nonlinear_model_is_walked_along_too():
    spec = presets()["Nonlinear attenuation"].replace(stop={"name": "budget", "params": {"steps": 3}})
    damping = ex.compare_rules(spec, along="solver.params.damping", values=[1e-2, 1e2])
    assert damping.curves["error"][0] != damping.curves["error"][1]
    steps = ex.compare_rules(spec, {"discrepancy": {}, "ncp": {}}, along="steps")
    along = path(steps)
    assert along.x.shape[0] == 3
    fit = steps.problem.F.forward(along.x[2])
    assert torch.equal(fit, along.fit[2])
    assert "needs a linear operator" in steps.refused["ncp"]


@pytest.mark.parametrize("solver", ["cgls", "lsqr", "lsmr", "hybrid_lsqr"])
def test_without_a_decomposition_the_damping_of_an_iteration_is_the_parameter_of_tikhonov(solver):
    """Where there is one the direct method has the same curves; degrees of freedom come from a probe, no matrix."""
    values, fifty = np.geomspace(1, 1e-2, 5).tolist(), {"name": "budget", "params": {"steps": 50}}
    knob, params = ("regularization", {"choice": "fixed"}) if solver == "hybrid_lsqr" else ("damping", {})
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 16}},
        operator="gaussian_blur",
        solver={"name": solver, "params": params},
        dtype="float64",
        stop=fifty,
    )
    found = ex.compare_rules(spec, along=f"solver.params.{knob}", values=values)
    assert {"discrepancy", "gcv", "weighted_gcv", "upre", "ncp", "oracle"} == set(found.chosen)
    run = ex.run(spec.replace(solver={"name": "tikhonov", "params": {"regularization": values}}))
    direct = {name: run.history[name][-1] for name in ("residual", "error", "dof")}
    np.testing.assert_allclose(found.curves["residual"], direct["residual"], rtol=1e-6)
    np.testing.assert_allclose(found.curves["error"], direct["error"], rtol=1e-5)
    dof = 256 - direct["residual"] / np.sqrt(found.scores["gcv"])
    assert (abs(dof - direct["dof"]) < 4 * (2 * direct["dof"]) ** 0.5).all()  # one probe


def test_the_damping_is_chosen_for_a_tomograph_too():
    spec = SPEC.replace(operator="radon", solver="lsqr", prior="none")
    found = ex.compare_rules(spec, along="solver.params.damping", values=7)
    assert (found.error("discrepancy") < 1.5 * found.least_error).all()
    chosen = {"name": "hybrid_lsqr", "params": {"choice": "gcv"}}
    few = spec.replace(solver=chosen, stop={"name": "budget", "params": {"steps": 5}})
    hybrid = ex.compare_rules(few, along="solver.params.regularization", values=[0.1, 1.0])
    assert set(hybrid.chosen) == {"oracle"}  # the method chooses it itself
