"""Primal–dual methods and the variants of FISTA: closed forms, SciPy, rates, and what their papers claim."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch

import explorer as ex
from explorer.catalogue import SpecError, solvers
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix, Identity
from tests import support
from tests.solvers import test_conformance as promises


def last(steps, count):
    with torch.no_grad():
        return next(itertools.islice(steps, count - 1, None))


def prior(name, domain, **params):
    return ex.catalogue.priors[name].build(domain=domain, **params)


def square(n, norm, seed):
    matrix = support.normal((n, n), seed)
    space = Space((n,), torch.float64)
    return DenseMatrix(space, space, matrix * norm / torch.linalg.matrix_norm(matrix, 2))


@pytest.mark.parametrize("behind", ["l1", "tikhonov", "box"])
@pytest.mark.parametrize("name", ["accelerated_pdhg", "accelerated_primal_dual"])
@pytest.mark.parametrize(
    "promise",
    [
        promises.test_other_samples_change_no_bit,
        promises.test_steps_carry_what_is_declared,
        promises.test_neither_the_data_nor_the_start_is_written_to,
        promises.test_the_start_is_where_it_begins,
        promises.test_no_value_is_read_on_the_host_and_everything_is_on_the_device,
        promises.test_a_step_costs_what_is_declared,
        lambda s: promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(s, torch.float32),
        lambda s: promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(s, torch.float64),
    ],
    ids=["isolation", "reports", "inputs", "start", "device", "costs", "scale32", "scale64"],
)
def test_promises(name, behind, promise):
    promise(promises.Subject(solvers[name], behind))


# --- FISTA ---


def lasso(seed):
    """Return a problem of five samples and their least objectives."""
    A = support.operator(support.decay(40, 30.0), 50, 40, seed)
    y = A.factors[0].T[12:17] + 0.01 * support.normal((5, 50), seed)
    l1 = prior("l1", A.domain, weight=1e-3)
    return A, y, l1, last(ex.solvers.fista(A, y, l1, restart=True), 500)


def objectives(name, problem, count, **knobs):
    A, y, l1, best = problem
    with torch.no_grad():
        made = itertools.islice(getattr(ex.solvers, name)(A, y, l1, **knobs), count)
        return torch.stack([step.scalars["objective"] / best.scalars["objective"] - 1 for step in made])


def test_monotone_fista_never_raises_the_objective_and_keeps_the_rate():
    problem = lasso(0)
    least, size2 = problem[-1].scalars["objective"], problem[0].domain.norm2(problem[-1].x)
    plain, monotone = (objectives("fista", problem, 300, monotone=m) for m in (False, True))
    assert (plain.diff(dim=0) > 1e-9).any(0).all()
    assert (monotone.diff(dim=0) <= 0).all()
    k = torch.arange(1, 301, dtype=torch.float64)[:, None]
    assert (monotone * least <= 2 * size2 * (1 + 1e-12) / (k + 1) ** 2).all()


@support.every_seed
def test_greedy_fista_is_ahead_of_fista_with_and_without_restarts(seed):
    """The steps to a relative gap of 1e-6, for the slowest of five samples."""
    problem, needed = lasso(seed), {}
    for name, knobs in (("greedy_fista", {}), ("fista", {"restart": True}), ("fista", {})):
        gap = objectives(name, problem, 300, **knobs).amax(-1)
        needed[name, bool(knobs)] = int((gap > 1e-6).sum())
    assert needed["greedy_fista", False] < needed["fista", True] < needed["fista", False]


def test_steps_of_greedy_fista_shrink_but_never_below_those_of_fista():
    A, y, l1, _ = lasso(1)
    made = itertools.islice(ex.solvers.greedy_fista(A, y, l1, step_size=1.3), 100)
    steps = torch.stack([step.scalars["step_size"] for step in made]) * A.norm() ** 2
    assert (steps.diff(dim=0) <= 0).all()
    assert ((steps >= 1 - 1e-12) & (steps <= 1.3 + 1e-12)).all()


# --- PDHG ---


def test_accelerated_pdhg_keeps_the_bound_of_its_paper():
    """``‖x_k − x‖² ≤ (1 + ε)/k² (‖x‖²/(γ²τ²) + ‖K‖²‖v‖²/γ²)`` of theorem 2, for a step denoised by total variation.

    The levels move towards each other by weight / n; the only entry of the dual variable that is not zero off the
    step's two sides rises to the weight.
    """
    space, n, weight = Space((32,), torch.float64), 16, 4.0
    ones, height = torch.ones(5, n, dtype=torch.float64), torch.arange(5.0, 10.0, dtype=torch.float64)[:, None]
    y = torch.cat([0 * ones, height * ones], -1)
    best = torch.cat([weight / n * ones, height * ones - weight / n], -1)
    tv = prior("tv", space, weight=weight)
    ramp = torch.linspace(0, weight, n + 1, dtype=torch.float64)[1:]
    dual2 = 2 * (ramp**2).sum() - weight**2
    bound = 1.1 * (space.norm2(best) + tv.operator.norm() ** 2 * dual2)
    with torch.no_grad():
        made = itertools.islice(ex.solvers.accelerated_pdhg(Identity(space), y, tv), 400)
        for k, step in enumerate(made, 1):
            assert k < 20 or (space.norm2(step.x - best) <= bound / k**2).all()
    assert float(step.scalars["step_size"]) * 400 == pytest.approx(1, rel=0.05)  # γ τ_k → 1/k


def test_without_strong_convexity_the_steps_of_accelerated_pdhg_stay():
    A = support.operator(support.decay(8, 2.0), 8, 12)
    made = itertools.islice(ex.solvers.accelerated_pdhg(A, support.normal((8,), 0), prior("l1", A.domain)), 20)
    assert len({float(step.scalars["step_size"]) for step in made}) == 1


@pytest.mark.parametrize("name", ["tikhonov", "l1", "box"])
def test_accelerated_pdhg_finds_the_oracles_answer(name):
    """The squared error falls as 1/k²."""
    subject = promises.Subject(solvers["accelerated_pdhg"], name)
    A = subject.operator()
    y = subject.data(A, 5)
    expected = promises.oracle(subject, A.to_dense(), y)
    assert support.norm(subject.run(subject.offers(A, y), 1000).x - expected) <= 1e-3 * support.norm(expected)


@pytest.mark.parametrize("balance", [1e-4, 1.0, 1e4])
def test_adaptive_pdhg_forgets_its_first_step_length(balance):
    """To 1e-6 in 200 steps from any first step; fixed steps as far from the right length are not under way by then."""
    subject = promises.Subject(solvers["adaptive_pdhg"], "l1")
    A = subject.operator()
    y = subject.data(A, 5)
    expected = promises.oracle(subject, A.to_dense(), y)
    assert support.norm(subject.run(subject.offers(A, y), 200, balance=balance).x - expected) <= 1e-6
    fixed = promises.Subject(solvers["pdhg"], "l1")
    if balance != 1:
        far = fixed.run(fixed.offers(A, y), 200, balance=min(max(balance, 1e-3), 1e3)).x
        assert support.norm(far - expected) > 0.1 * support.norm(expected)


# --- Condat–Vũ ---


@pytest.mark.parametrize("seed", support.SEEDS)
def test_condat_vu_with_a_sign_constraint_is_non_negative_least_squares(seed):
    """``½‖Ax − y‖² + λ‖x‖₁`` over x ≥ 0 is least squares with ``Aᵀy − λ`` in place of ``Aᵀy``, by SciPy's NNLS."""
    A, weight = support.operator(support.decay(12, 3.0), 16, 12, seed), 0.1
    y = support.normal((5, 16), seed)
    made = last(ex.solvers.condat_vu(A, y, prior("l1", A.domain, weight=weight), nonnegative=True), 500).x
    matrix = A.matrix.numpy()
    R = np.linalg.qr(matrix, mode="r")
    for x, data in zip(made, y.numpy(), strict=True):
        expected = scipy.optimize.nnls(R, np.linalg.solve(R.T, matrix.T @ data - weight))[0]
        support.assert_close(x, torch.from_numpy(expected), 1e4)


def test_condat_vu_and_pdhg_agree_on_total_variation():
    space = Space((12, 12), torch.float64)
    A = ex.catalogue.operators["gaussian_blur"].build(domain=space, sigma=1.0)
    y = A(torch.kron(torch.eye(2), torch.ones(6, 6)).double()) + 0.05 * support.normal((5, 12, 12), 1)
    tv = prior("tv", space, weight=0.02)
    value = lambda x: space.norm2(A(x) - y) / 2 + tv.value(x)  # noqa: E731
    one, other = (value(last(getattr(ex.solvers, n)(A, y, tv), 800).x) for n in ("condat_vu", "pdhg"))
    assert ((one - other).abs() < 1e-4 * other).all()


def test_a_complex_unknown_has_no_sign():
    A = support.operator(support.decay(4, 2.0), dtype=torch.complex128)
    tikhonov = prior("tikhonov", A.domain)
    with pytest.raises(SpecError, match="a complex unknown has no sign"):
        last(ex.solvers.condat_vu(A, support.normal((4,), 0, torch.complex128), tikhonov, nonnegative=True), 1)


# --- row 228 ---


@pytest.mark.parametrize("accelerated", [True, False])
def test_the_smoothed_tikhonov_prior_has_a_closed_form(accelerated):
    """The envelope of ``λ/2 ‖·‖²`` with μ is ``λ/(1 + λμ)/2 ‖·‖²``."""
    A = support.operator(support.decay(12, 2.0), 16, 12)
    y, weight, smoothing = support.normal((5, 16), 0), 0.8, 0.5
    expected = promises.least_squares(A.to_dense(), y, weight / (1 + weight * smoothing))
    tikhonov = prior("tikhonov", A.domain, weight=weight)
    made = ex.solvers.accelerated_primal_dual(A, y, tikhonov, smoothing=smoothing, accelerated=accelerated)
    assert support.norm(last(made, 1000).x - expected) <= 1e-5 * support.norm(expected)


def test_the_smoothed_l1_prior_is_hubers():
    A, weight, smoothing = support.operator(support.decay(12, 3.0), 16, 12), 0.3, 0.7
    y, matrix = support.normal((5, 16), 1), A.matrix.numpy()

    def objective(x, data):
        residual, modulus = matrix @ x - data, abs(x)
        small = modulus <= smoothing * weight
        huber = np.where(small, x**2 / (2 * smoothing), weight * (modulus - smoothing * weight / 2))
        slope = np.where(small, x / smoothing, weight * np.sign(x))
        return residual @ residual / 2 + huber.sum(), matrix.T @ residual + slope

    made = ex.solvers.accelerated_primal_dual(A, y, prior("l1", A.domain, weight=weight), smoothing=smoothing)
    for x, data in zip(last(made, 2000).x.numpy(), y.numpy(), strict=True):
        options = {"gtol": 1e-10}
        best = scipy.optimize.minimize(objective, 0 * x, (data,), jac=True, method="BFGS", options=options).x
        np.testing.assert_allclose(x, best, rtol=0, atol=1e-5 * abs(best).max())


@pytest.mark.parametrize("seed", support.SEEDS)
def test_averaged_gradients_need_a_quarter_of_the_steps(seed):
    """Least squares of rank 60 in 100 unknowns, L = 900, a quadratic dual, to a relative gap of 1e-4."""
    matrix, K = support.normal((60, 100), seed), square(100, 5.0, seed + 3)
    matrix = 30 * matrix / torch.linalg.matrix_norm(matrix, 2)
    A = DenseMatrix(Space((100,), torch.float64), Space((60,), torch.float64), matrix)
    y, weight = support.normal((60,), seed + 1), 1e6
    dual = prior("tikhonov", A.domain, weight=weight)
    dual.operator = K
    hessian = matrix.T @ matrix + weight / (1 + weight) * K.matrix.T @ K.matrix
    best = torch.linalg.solve(hessian, matrix.T @ y)
    gap = lambda x: float((x - best) @ hessian @ (x - best))  # noqa: E731 - quadratic, twice the gap
    needed = []
    for accelerated in (True, False):
        made = ex.solvers.accelerated_primal_dual(A, y, dual, smoothing=1.0, accelerated=accelerated)
        with torch.no_grad():
            needed.append(next(k for k, step in enumerate(made, 1) if gap(step.x) <= 1e-4 * gap(0 * best)))
    assert needed[0] <= needed[1] / 4


def test_the_gap_of_averaged_gradients_falls_as_one_over_k_squared():
    """``F(x_k) − F ≤ 4 (L + κ) ‖x‖² / (k (k + 1))``, what the weights of the method sum to."""
    A, K = support.operator(support.decay(60, 1e3)), square(60, 1.0, 1)
    x = support.normal((5, 60), 0)
    y, weight = A(x), 1e6
    dual = prior("tikhonov", A.domain, weight=weight)
    dual.operator = K
    hessian = A.matrix.T @ A.matrix + weight / (1 + weight) * K.matrix.T @ K.matrix
    best = torch.linalg.solve(hessian, (y @ A.matrix).T).T
    with torch.no_grad():
        for k, step in zip(range(1, 400), ex.solvers.accelerated_primal_dual(A, y, dual), strict=False):
            error = step.x - best
            gap = (error @ hessian * error).sum(-1) / 2
            assert (gap <= 4 * 2 * (best**2).sum(-1) / (k * (k + 1))).all()
