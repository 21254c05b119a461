"""A bilinear model ``y_l = diag(d) A_l x`` on blocks, by alternating least squares and by Gauss–Newton."""

from itertools import islice

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Blocks, Rng
from tests import support

PROBLEM = {"name": "gains_and_signal", "params": {"channels": 16, "size": 32}}
SOLVERS = {"alternating_least_squares": 100, "gauss_newton": 10}
both_solvers = pytest.mark.parametrize("solver", SOLVERS)
real_and_complex = pytest.mark.parametrize("phases", [False, True], ids=["real", "complex"])


def spec(solver="gauss_newton", *, phases=False, steps=None, params=None, **rest):
    """Return noiseless data, four times as many as the signal has samples."""
    chosen = {
        "problem": {"name": PROBLEM["name"], "params": {**PROBLEM["params"], "phases": phases}},
        "operator": {"name": "gain_calibration", "params": {"snapshots": 8}},
        "noise": "none",
        "solver": {"name": solver, "params": params or {}},
        "stop": {"name": "budget", "params": {"steps": steps or SOLVERS[solver]}},
        "dtype": "float64",
    }
    return ex.RunSpec(**chosen | rest)


@both_solvers
@real_and_complex
@support.every_seed
def test_the_truth_is_recovered_up_to_scale(solver, phases, seed):
    run = ex.run(spec(solver, phases=phases, seed=seed))
    assert run.metrics["relative_error"] <= 20 * support.eps(torch.float64)
    assert run.history["error"][0] > 1e-2


@support.every_seed
def test_undamped_gauss_newton_squares_its_error(seed):
    run = ex.run(spec(params={"damping": 0.0, "inner": 60}, seed=seed))
    error = run.history["error"]
    floor = 20 * support.eps(torch.float64)
    assert error[6] <= floor
    near = np.flatnonzero(error[:-1] < 0.1)
    assert (error[near + 1] <= 2 * error[near] ** 2 + floor).all()


@real_and_complex
def test_the_jacobian_and_the_partial_operators_have_their_adjoints(phases):
    problem = build(spec(phases=phases))
    F, rng = problem.F, Rng(1, "dot")
    x, h = F.domain.random(rng), F.domain.random(rng)
    w = F.codomain.random(rng)
    _, J = F.linearize(x)
    for operator, u in ((J, h), (F.partial(0, x), h[0]), (F.partial(1, x), h[1])):
        image = operator(u)
        left, right = operator.codomain.inner(w, image), operator.domain.inner(operator.adjoint(w), u)
        bound = 10 * support.eps(torch.float64) * operator.codomain.norm(image) * operator.codomain.norm(w)
        assert abs(left - right) <= bound


@real_and_complex
def test_the_model_is_its_linearisation_plus_the_product_of_the_changes(phases):
    F, rng = build(spec(phases=phases)).F, Rng(2, "points")
    x, h = F.domain.random(rng), F.domain.random(rng)
    value, J = F.linearize(x)
    support.assert_close(value, F(x), 10)
    support.assert_close(F(x + h), value + J(h) + F(h), 20)


@real_and_complex
@support.every_seed
def test_the_distance_does_not_see_the_scale(phases, seed):
    problem = build(spec(phases=phases, seed=seed))
    x = problem.x_true + 0.1 * problem.domain.random(Rng(seed, "error"))
    distance = problem.distance(x)
    for c in (-1.0, 1e-3, 40.0, *([2.0 * np.exp(1.2j)] if phases else [])):
        moved = Blocks((x[0] * c, x[1] / c))
        support.assert_close(problem.distance(moved), distance, 50)


@real_and_complex
@support.every_seed
def test_no_other_scale_is_nearer_to_the_truth(phases, seed):
    problem = build(spec(phases=phases, seed=seed))
    x, truth = problem.domain.random(Rng(seed, "far")), problem.x_true
    radius = torch.logspace(-2, 2, 2001, dtype=torch.float64)
    turns = torch.exp(2j * torch.pi * torch.arange(64) / 64) if phases else torch.tensor([1.0, -1.0])
    c = (radius * turns.unsqueeze(-1)).flatten().unsqueeze(-1).to(truth[0].dtype)
    every = Blocks((c * x[0], x[1] / c)) - truth
    nearest = problem.domain.norm(every).min() / problem.domain.norm(truth)
    assert problem.distance(x) <= nearest * (1 + 10 * support.eps(torch.float64))


def test_the_ledger_books_what_each_method_applies():
    steps, inner = 5, 7
    run = ex.run(spec("alternating_least_squares", steps=steps, params={"inner": inner}))
    # the signal's start residual and the gains' data take one product each, CGLS one more adjoint than steps
    assert run.costs == {"A": steps * (inner + 2), "Aᴴ": steps * (inner + 1)}
    run = ex.run(spec("gauss_newton", steps=steps, params={"inner": inner}))
    assert run.costs == {"F": steps, "A": steps + 1, "J": steps * inner + 1, "Jᴴ": steps * (inner + 1) + 1}
    assert "A" in run.watching or run.watching == {}


@both_solvers
def test_draws_run_as_one_batch_and_a_spoilt_sample_spoils_no_other(solver):
    problem = build(spec(noise={"name": "gaussian", "params": {"level": 0.01}}, draws=4))
    component = ex.catalogue.solvers[solver]

    def last(y):
        start = problem.domain.expand(problem["x0"], (4,))
        return next(islice(component.function(problem.F, y, start), 9, None)).x

    clean = last(problem.y)
    for value in (0.0, torch.nan, 1e20):
        spoilt = problem.y.clone()
        spoilt[1:3] = value
        x = last(spoilt)
        for block, expected in zip(x, clean, strict=True):
            support.assert_same_bits(block[0], expected[0])
            support.assert_same_bits(block[3], expected[3])


def test_both_methods_reach_the_same_least_misfit_on_noisy_data():
    noise = {"name": "gaussian", "params": {"level": 0.02}}
    runs = [ex.run(spec(s, noise=noise, draws=3, steps=n)) for s, n in SOLVERS.items()]
    first, second = (run.history["residual"][-1] for run in runs)
    np.testing.assert_allclose(first, second, rtol=1e-10)
    assert (runs[0].metrics["relative_error"] < 0.02).all()


@both_solvers
def test_single_precision_stays_finite_long_past_convergence(solver):
    run = ex.run(spec(solver, dtype="float32", steps=100, params={"inner": 10}))
    assert all(torch.isfinite(block).all() for block in run.x)
    assert np.isfinite(run.history["residual"]).all()
    assert run.metrics["relative_error"] <= 20 * support.eps(torch.float32)


def test_a_run_on_blocks_is_written_and_read_back(tmp_path):
    run = ex.run(spec(phases=True, steps=3))
    run.save(tmp_path)
    again = ex.Run.load(tmp_path)
    for block, expected in zip(again.x, run.x, strict=True):
        support.assert_same_bits(block, expected)
    assert again.spec == ex.RunSpec.from_json(run.spec.to_json())


def test_what_does_not_fit_is_refused_in_one_sentence():
    linear = ex.compatible(ex.RunSpec())
    assert "a bilinear forward model" in linear["alternating_least_squares"]
    found = ex.compatible(spec())
    assert found["alternating_least_squares"] is None
    assert found["gauss_newton"] is None
    assert "a linear operator" in found["cgls"]
    assert "a product of spaces" in ex.compatible(ex.RunSpec(), "operator")["gain_calibration"]


@both_solvers
def test_no_value_is_read_on_the_host(solver):
    problem = build(spec(device="meta", draws=2))
    start = problem.domain.expand(problem["x0"], (2,))
    step = next(islice(ex.catalogue.solvers[solver].function(problem.F, problem.y, start, inner=2), 1, None))
    assert [block.device.type for block in step.x] == ["meta", "meta"]
    assert all(value.device.type == "meta" for value in step.scalars.values())
