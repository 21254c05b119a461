"""Reweighted least squares and Frank–Wolfe against SciPy, and what is proved of them."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch

import explorer as ex
from explorer.catalogue import SpecError, solvers
from tests import support
from tests.solvers import test_conformance as promises
from tests.solvers.test_greedy import gaussian, sparse


def last(steps, count):
    with torch.no_grad():
        return next(itertools.islice(steps, count - 1, None))


@pytest.mark.parametrize("name", ["irls_regression", "irls_sparse", "frank_wolfe"])
@pytest.mark.parametrize(
    "promise",
    [
        promises.test_other_samples_change_no_bit,
        promises.test_steps_carry_what_is_declared,
        promises.test_neither_the_data_nor_the_start_is_written_to,
        promises.test_no_value_is_read_on_the_host_and_everything_is_on_the_device,
        promises.test_a_step_costs_what_is_declared,
        lambda s: promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(s, torch.float32),
        lambda s: promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(s, torch.float64),
    ],
    ids=["isolation", "reports", "inputs", "device", "costs", "scale32", "scale64"],
)
def test_promises(name, promise):
    subject = promises.Subject(solvers[name])
    if promise is not promises.test_a_step_costs_what_is_declared and "inner" in subject.knobs:
        subject.knobs["inner"] = 4
    promise(subject)


@pytest.mark.parametrize(("name", "knob"), [("irls_sparse", "weight"), ("frank_wolfe", "radius")])
def test_one_value_a_sample_is_a_loop(name, knob):
    promises.test_a_batched_knob_is_a_loop(promises.Subject(solvers[name]), knob)


# --- reweighted least squares ---


@pytest.mark.parametrize("seed", support.SEEDS)
def test_least_absolute_deviations_are_those_of_a_linear_programme(seed):
    A, y = support.operator(support.decay(6, 3.0), 30, 6, seed), support.normal((30,), seed)
    matrix, m = A.matrix.numpy(), 30
    rows = np.block([[matrix, -np.eye(m)], [-matrix, -np.eye(m)]])
    bounds = [(None, None)] * 6 + [(0, None)] * m
    best = scipy.optimize.linprog(np.r_[np.zeros(6), np.ones(m)], rows, np.r_[y, -y], bounds=bounds).fun
    found = float(last(ex.solvers.irls_regression(A, y, inner=6), 150).scalars["objective"])
    assert best * (1 - 1e-12) <= found <= best * (1 + 1e-4)


@pytest.mark.parametrize("power", [1.3, 1.7, 2.0])
def test_powers_between_are_minimised(power):
    """Against BFGS, whose objective is known to about its gradient's square."""
    for seed in support.SEEDS:
        A, y = support.operator(support.decay(6, 3.0), 30, 6, seed), support.normal((30,), seed)
        matrix, data = A.matrix.numpy(), y.numpy()

        def objective(x, matrix=matrix, data=data):
            r = matrix @ x - data
            return (abs(r) ** power).sum() / power, matrix.T @ (np.sign(r) * abs(r) ** (power - 1))

        best = scipy.optimize.minimize(objective, np.zeros(6), jac=True, method="BFGS", options={"gtol": 1e-9}).fun
        found = float(last(ex.solvers.irls_regression(A, y, power=power, inner=6), 60).scalars["objective"])
        assert abs(found - best) <= 1e-7 * best


def test_outliers_do_not_matter_to_absolute_deviations():
    for seed in support.SEEDS:
        A, x = support.operator(support.decay(10, 3.0), 60, 10, seed), support.normal((5, 10), seed)
        y = A(x)
        y[:, :9] += 10 * support.normal((5, 9), seed + 1)
        one, two = (
            (last(ex.solvers.irls_regression(A, y, power=p, inner=10), 60).x - x).norm(dim=-1) for p in (1.0, 2.0)
        )
        assert (one < 1e-5 * x.norm(dim=-1)).all()
        assert (two > x.norm(dim=-1)).all()


def test_with_power_one_it_is_the_lasso():
    A, y = support.operator(support.decay(12, 3.0), 16, 12), support.normal((5, 16), 1)
    expected = promises.lasso(A.to_dense(), y, 0.3)
    value = lambda x: (A(x) - y).square().sum(-1) / 2 + 0.3 * x.abs().sum(-1)  # noqa: E731
    found = last(ex.solvers.irls_sparse(A, y, weight=0.3, inner=12), 150)
    support.assert_close(found.scalars["objective"], value(found.x), 100)
    assert (found.scalars["objective"] <= value(expected) * (1 + 1e-6)).all()
    assert (found.x - expected).norm() <= 1e-3 * expected.norm()


def test_with_power_two_it_is_tikhonov():
    A, y = support.operator(support.decay(12, 3.0), 16, 12), support.normal((5, 16), 0)
    found = last(ex.solvers.irls_sparse(A, y, power=2.0, weight=5.0), 3).x
    support.assert_close(found, promises.least_squares(A.to_dense(), y, 1.0), 1000)


@pytest.mark.parametrize("seed", support.SEEDS)
def test_a_power_below_one_finds_what_the_l1_norm_does_not(seed):
    """12 entries of 100 from 40 data, 20 draws: all are found with p = 1/2, and at most nine in ten with p = 1."""
    A, x = gaussian(40, 100, seed), sparse(100, 12, 20, seed)
    rate = {}
    for power in (0.5, 1.0):
        made = last(ex.solvers.irls_sparse(A, A(x), power=power, weight=1e-3), 40).x
        rate[power] = float(((made - x).norm(dim=-1) <= 0.01 * x.norm(dim=-1)).double().mean())
    assert rate[0.5] >= 0.95
    assert rate[1.0] <= 0.9


# --- Frank–Wolfe ---

SETS = ("l2_ball", "l1_ball", "simplex", "box")
#: squared diameters of the sets of size 1 in 8 dimensions
DIAMETER2 = {"l2_ball": 4, "l1_ball": 4, "simplex": 2, "box": 8}


def least(matrix, y, constraint, radius):
    """Return the least objective over the set by SciPy."""
    n = matrix.shape[1]
    half = lambda x: ((matrix @ x - y) ** 2).sum() / 2  # noqa: E731
    slope = lambda x: matrix.T @ (matrix @ x - y)  # noqa: E731
    if constraint == "box":
        return scipy.optimize.lsq_linear(matrix, y, (0, radius), method="bvls", tol=1e-14).cost
    if constraint == "l1_ball":  # differences of two points x₊, x₋ ≥ 0 with sum at most the radius
        signs = np.hstack([np.eye(n), -np.eye(n)])
        both = lambda z: half(signs @ z)  # noqa: E731
        limits = {"type": "ineq", "fun": lambda z: radius - z.sum(), "jac": lambda z: -np.ones_like(z)}
        start, jac, bounds = np.full(2 * n, radius / (4 * n)), lambda z: signs.T @ slope(signs @ z), [(0, None)] * 2 * n
    elif constraint == "simplex":
        both, jac, start, bounds = half, slope, np.full(n, radius / n), [(0, None)] * n
        limits = {"type": "eq", "fun": lambda x: x.sum() - radius, "jac": np.ones_like}
    else:
        both, jac, start, bounds = half, slope, np.zeros(n), None
        limits = {"type": "ineq", "fun": lambda x: radius**2 - x @ x, "jac": lambda x: -2 * x}
    options = {"ftol": 1e-14, "maxiter": 500}
    return scipy.optimize.minimize(
        both, start, jac=jac, bounds=bounds, constraints=limits, method="SLSQP", options=options
    ).fun


@pytest.mark.parametrize("seed", support.SEEDS)
@pytest.mark.parametrize("constraint", SETS)
def test_frank_wolfe_keeps_its_rate_its_set_and_its_certificate(constraint, seed):
    """``f(x_k) − f ≤ 2 L diam² / (k + 2)``, and the gap bounds it from above at every step."""
    A, y, radius = support.operator(support.decay(8, 3.0), 12, 8, seed), 3 * support.normal((12,), seed), 0.5
    best = least(A.matrix.numpy(), y.numpy(), constraint, radius)
    previous = None
    with torch.no_grad():
        made = itertools.islice(ex.solvers.frank_wolfe(A, y, constraint=constraint, radius=radius), 200)
        for k, step in enumerate(made, 1):
            x, excess = step.x, float(step.scalars["residual"]) ** 2 / 2 - best
            assert -1e-7 <= excess <= 2 * DIAMETER2[constraint] * radius**2 / (k + 2)
            assert previous is None or float(step.scalars["gap"]) >= previous - 1e-7
            previous = excess
            size = {"l2_ball": x.norm(), "l1_ball": x.abs().sum(), "simplex": x.sum(), "box": x.max()}[constraint]
            assert size <= radius * (1 + 1e-12)
            assert constraint not in ("simplex", "box") or x.min() >= 0
            assert constraint != "l1_ball" or (x != 0).sum() <= k


def test_balls_are_for_complex_unknowns_too():
    A, y = support.operator(support.decay(6, 2.0), dtype=torch.complex128), support.normal((2, 6), 0, torch.complex128)
    for constraint, power in (("l1_ball", 1), ("l2_ball", 2)):
        step = last(ex.solvers.frank_wolfe(A, y, constraint=constraint, radius=0.1), 300)
        assert (torch.linalg.vector_norm(step.x, power, dim=-1) <= 0.1 * (1 + 1e-12)).all()
        assert (step.scalars["gap"] <= 1e-2 * step.scalars["residual"] ** 2).all()
    with pytest.raises(SpecError, match="the unknown is complex"):
        last(ex.solvers.frank_wolfe(A, y, constraint="simplex"), 1)
