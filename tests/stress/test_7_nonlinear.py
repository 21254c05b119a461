"""The exponential of a blur, differentiated by torch.func, by Gauss–Newton."""

import math
from itertools import islice

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Rng, Space
from tests import support

EPS = support.eps(torch.float64)
BLUR = {"name": "gaussian_blur", "params": {"sigma": 0.5}}


def spec(*, steps=10, inner=30, strength=1.0, **rest):
    chosen = {
        "problem": {"name": "random_ellipses", "params": {"size": 8}},
        "operator": {"name": "exponential", "params": {"inside": BLUR, "strength": strength}},
        "noise": "none",
        "solver": {"name": "gauss_newton", "params": {"inner": inner}},
        "stop": {"name": "budget", "params": {"steps": steps}},
        "dtype": "float64",
    }
    return ex.RunSpec(**chosen | rest)


@pytest.mark.parametrize("strength", [1.0, -1.0], ids=["growth", "attenuation"])
def test_the_truth_is_recovered_from_clean_data(strength):
    problems = [build(spec(strength=strength, seed=seed)) for seed in support.SEEDS]
    F, truth = problems[0].F, torch.stack([problem.x_true for problem in problems])
    steps = list(islice(ex.solvers.gauss_newton(F, F(truth), inner=40), 12))
    blur = F.A.to_dense()
    # condition of the Jacobian at the truth: at most that of the blur times the range of the exponential
    for x, first, true in zip(steps[-1].x, steps[0].x, truth, strict=True):
        condition = float(torch.linalg.cond(blur)) * math.exp(float((blur @ true.flatten()).abs().max()))
        assert support.norm(first - true) > 1e-2 * support.norm(true)
        support.assert_close(x, true, 10 * condition)


@support.every_seed
def test_a_run_recovers_the_truth(seed):
    run = ex.run(spec(seed=seed))
    assert run.metrics["relative_error"] <= 1e3 * EPS
    assert run.reason is ex.Reason.STEPS


@support.every_seed
def test_the_jacobian_is_the_derivative(seed):
    F, rng = build(spec(seed=seed)).F, Rng(seed, "points")
    x, h = F.domain.random(rng), F.domain.random(rng)
    _, J = F.linearize(x)
    # the error of a central difference is O(t²): its ratio at t and t/2 is 4
    errors = [F.codomain.norm((F(x + t * h) - F(x - t * h)) / (2 * t) - J(h)) for t in (1e-2, 5e-3)]
    assert errors[1] <= 1e-4 * F.codomain.norm(J(h))
    assert 3.9 <= errors[0] / errors[1] <= 4.1


@support.every_seed
def test_the_jacobian_has_its_adjoint_on_any_batch(seed):
    F, rng = build(spec(seed=seed)).F, Rng(seed, "dot")
    x = F.domain.random(rng)
    batch = Rng(seed, "batch", 3)
    u, w = F.domain.random(batch), F.codomain.random(batch)
    _, J = F.linearize(x)
    left, right = F.codomain.inner(w, J(u)), F.domain.inner(J.adjoint(w), u)
    assert (abs(left - right) <= 10 * EPS * F.codomain.norm(J(u)) * F.codomain.norm(w)).all()
    for i in range(3):
        support.assert_close(J(u)[i], J(u[i]), 10)
        support.assert_close(J.adjoint(w)[i], J.adjoint(w[i]), 10)


def test_the_ledger_books_models_and_jacobians_apart():
    steps, inner = 4, 6
    run = ex.run(spec(steps=steps, inner=inner))
    assert run.costs == {"F": 2 * steps + 1, "J": steps * inner + 1, "Jᴴ": steps * (inner + 1) + 1}


def test_the_misfit_never_rises():
    hard = {"name": "blocks", "params": {"size": 32}}  # values up to 5, exponentials up to 150
    run = ex.run(spec(problem=hard, steps=15))
    assert (np.diff(run.history["residual"]) <= 0).all()
    assert run.history["residual"][-1] < run.history["residual"][0]


def test_draws_and_values_of_a_knob_run_as_one_batch():
    noise = {"name": "gaussian", "params": {"level": 0.01}}
    values = [0.0, 1e-3, 1.0]
    solver = {"name": "gauss_newton", "params": {"damping": values, "inner": 20}}
    together = ex.run(spec(noise=noise, draws=2, solver=solver, steps=6))
    assert together.x.shape == (3, 2, 8, 8)
    for i, value in enumerate(values):
        alone = ex.run(
            spec(
                noise=noise,
                draws=2,
                solver={"name": "gauss_newton", "params": {"damping": value, "inner": 20}},
                steps=6,
            )
        )
        support.assert_close(together.x[i], alone.x, 1e4)
        np.testing.assert_allclose(together.history["residual"][:, i], alone.history["residual"], rtol=1e-12)


def test_a_spoilt_sample_spoils_no_other():
    problem = build(spec(noise={"name": "gaussian", "params": {"level": 0.01}}, draws=4))
    function = ex.catalogue.solvers["gauss_newton"].function

    def last(y):
        return next(islice(function(problem.F, y, inner=15), 5, None)).x

    clean = last(problem.y)
    for value in (0.0, torch.nan, 1e20):
        spoilt = problem.y.clone()
        spoilt[1:3] = value
        support.assert_same_bits(last(spoilt)[[0, 3]], clean[[0, 3]])


def test_single_precision_stays_finite_long_past_convergence():
    run = ex.run(spec(dtype="float32", steps=40, inner=20))
    assert torch.isfinite(run.x).all()
    assert np.isfinite(run.history["residual"]).all()
    assert run.metrics["relative_error"] < 1e-2


def test_gauss_newton_on_a_linear_model_is_linear_least_squares():
    A = support.operator(support.decay(20, 50), m=40, n=20, seed=1)
    y = support.normal((40,), seed=7)
    x = next(islice(ex.solvers.gauss_newton(A, y, inner=60), 11, None)).x
    expected = torch.linalg.lstsq(A.matrix, y.unsqueeze(-1)).solution.squeeze(-1)
    support.assert_close(x, expected, 10 * 50**2)


def test_the_operator_inside_is_a_component_with_its_own_knobs():
    found = spec(operator={"name": "exponential", "params": {"inside": "identity"}})
    assert found.operator.as_dict()["params"] == {"inside": {"name": "identity", "params": {}}, "strength": 1.0}
    assert ex.RunSpec.from_json(found.to_json()) == found
    with pytest.raises(ex.SpecError, match="must be a linear operator"):
        build(spec(operator={"name": "exponential", "params": {"inside": {"name": "exponential"}}}))
    with pytest.raises(ex.SpecError, match=r"operator\.params\.inside\.params\.sigma: is -1"):
        spec(operator={"name": "exponential", "params": {"inside": {"name": "gaussian_blur", "params": {"sigma": -1}}}})


def test_linear_solvers_are_refused_in_one_sentence():
    found = ex.compatible(spec())
    assert found["gauss_newton"] is None
    assert found["cgls"] == "CGLS needs a linear operator, and there is none"


def test_a_teacher_calls_the_model_and_the_method_by_name():
    domain = Space((16,), torch.float64)
    F = ex.operators.exponential(domain, inside=BLUR)
    truth = support.normal((16,), seed=2)
    for step in islice(ex.solvers.gauss_newton(F, F(truth), inner=40), 12):
        x = step.x
    assert support.norm(x - truth) <= 1e-9 * support.norm(truth)


def test_no_value_is_read_on_the_host():
    problem = build(spec(device="meta"))
    step = next(islice(ex.solvers.gauss_newton(problem.F, problem.y, inner=2), 1, None))
    assert step.x.device.type == "meta"
    assert all(value.device.type == "meta" for value in step.scalars.values())
