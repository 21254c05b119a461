"""What momentum and splittings are proved to do."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from tests import support

CONDITION = 10.0


def errors(name, A, y, x, steps, **knobs):
    made = getattr(ex.solvers, name)(A, y, **knobs)
    return np.array([float(support.norm(step.x - x)) for step in itertools.islice(made, steps)])


@pytest.mark.parametrize("seed", support.SEEDS)
def test_chebyshev_keeps_its_bound_and_heavy_ball_its_rate(seed):
    A = support.operator(support.decay(30, CONDITION), 40, seed=seed)
    x = support.normal((30,), seed)
    y, k = A(x), np.arange(1, 61)
    t = (1 + CONDITION**-2) / (1 - CONDITION**-2)
    bound = float(support.norm(x)) / np.cosh(k * np.arccosh(t))
    found = errors("chebyshev", A, y, x, 60, lower=CONDITION**-2)
    assert (found <= bound * (1 + 1e-9)).all()
    rate = (CONDITION - 1) / (CONDITION + 1)
    ball = errors("heavy_ball", A, y, x, 60, step_size=min((2 / (1 + 1 / CONDITION)) ** 2, 1.95), momentum=rate**2)
    plain = errors("landweber", A, y, x, 60)
    assert ball[-1] < 0.1 * plain[-1]
    assert found[-1] < 0.1 * plain[-1]


def test_nesterov_keeps_its_rate_where_gradient_descent_is_slower():
    for seed in support.SEEDS:
        A = support.operator(support.decay(60, 1e4), 60, seed=seed)
        x = support.normal((60,), seed)
        y = A(x)
        made = itertools.islice(ex.solvers.nesterov(A, y), 200)
        misfit = np.array([float(step.scalars["residual"]) ** 2 / 2 for step in made])
        k = np.arange(1, 201)
        assert (misfit <= 2 * float(A.norm() ** 2 * support.norm(x) ** 2) / (k + 1) ** 2).all()
        slow = [float(s.scalars["residual"]) ** 2 / 2 for s in itertools.islice(ex.solvers.landweber(A, y), 200)]
        assert misfit[-1] < 0.5 * slow[-1]


SPEC = ex.RunSpec(
    problem={"name": "shepp_logan", "params": {"size": 24}},
    operator={"name": "gaussian_blur", "params": {"sigma": 1.0}},
    noise={"name": "gaussian", "params": {"level": 0.05}}, prior={"name": "tv", "params": {"weight": 0.02}},
    dtype="float64", stop={"name": "budget", "params": {"steps": 400}},
)  # fmt: skip


def objective(run):
    A, prior = run.problem.A, run.problem.prior
    return float(A.codomain.norm2(A(run.x) - run.y) / 2 + prior.value(run.x))


@pytest.mark.parametrize(("solver", "gap"), [("admm", 1e-3), ("douglas_rachford", 5e-3), ("ista", 2e-3)])
def test_every_splitting_comes_near_the_total_variation_minimum_in_400_steps(solver, gap):
    least = objective(ex.run(SPEC.replace(solver="pdhg", stop={"name": "budget", "params": {"steps": 2000}})))
    run = ex.run(SPEC.replace(solver=solver))
    assert least * (1 - 1e-4) <= objective(run) <= least * (1 + gap)


def test_ista_never_raises_the_objective_and_fista_is_faster():
    for seed in support.SEEDS:
        spec = SPEC.replace(prior={"name": "l1", "params": {"weight": 0.01}}, seed=seed)
        ista, fista = (ex.run(spec.replace(solver=name)).history["objective"] for name in ("ista", "fista"))
        assert (np.diff(ista) <= 1e-12 * ista[0]).all()
        assert fista[100] < ista[100]


def test_the_constraint_of_admm_is_met_in_the_end():
    run = ex.run(SPEC.replace(solver="admm"))
    gap = run.history["gap"]
    assert gap[-1] < 5e-3 * gap[0]
    assert torch.isfinite(run.x).all()
