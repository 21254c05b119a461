"""Filters on generalised singular values against dense normal equations, limits and constrained least squares."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import operators, solvers
from explorer.linalg import Rng
from explorer.linalg.generalised import generalised_svd
from tests import support

N, M = 20, 26
WEIGHTS = torch.tensor([1e-6, 1e-3, 1e-1, 10.0, 0.0], dtype=torch.float64)


def case(seed, dtype=torch.float64):
    A = support.operator(support.decay(N, 1e3), M, N, seed=seed, dtype=dtype)
    L = operators["gradient"].bind({"domain": A.domain, "rng": Rng(0, "test")}, {"boundary": "neumann"})()
    return A, L, support.normal((5, M), seed + 7, dtype)


@support.every_seed
@pytest.mark.parametrize("rows", [26, 12])
def test_the_decomposition_is_one(seed, rows):
    A, L = support.normal((rows, N), seed), support.normal((15, N), seed + 9)
    d = generalised_svd(A, L)
    support.assert_close(A @ d.X, d.U * d.c, 1e4)
    support.assert_close((L @ d.X).mT @ (L @ d.X), torch.diag(d.s**2), 1e5, scale=support.norm(d.X) ** 2)
    support.assert_close(d.c**2 + d.s**2, torch.ones(N, dtype=torch.float64), 1e3)


@support.every_seed
def test_general_tikhonov_solves_its_normal_equations(seed):
    A, L, y = case(seed)
    found = solvers["general_tikhonov"].function(A, y, operator=L, regularization=WEIGHTS)
    M_, G = A.to_dense(), L.to_dense()
    for i, weight in enumerate(WEIGHTS):
        left = M_.mT @ M_ + weight * G.mT @ G
        expected = torch.linalg.solve(left, M_.mT @ y[i])
        support.assert_close(found.x[i], expected, 1e8)
        influence = M_ @ torch.linalg.solve(left, M_.mT)
        assert float(found.scalars["dof"][i]) == pytest.approx(float(influence.trace()), rel=1e-8)
        assert float(found.scalars["residual"][i]) == pytest.approx(float((y[i] - M_ @ expected).norm()), rel=1e-8)
        assert float(found.scalars["solution_norm"][i]) == pytest.approx(float((G @ expected).norm()), rel=1e-6)


@support.every_seed
def test_tgsvd_is_least_squares_on_the_patterns_that_are_kept(seed):
    """The span of the patterns of γ > θ, from SciPy-like dense algebra: eigenvectors of ``(AᴴA, LᴴL)``."""
    A, L, y = case(seed)
    M_, G = A.to_dense().numpy(), L.to_dense().numpy()
    # eigenpairs of the pencil (LᴴL, AᴴA) ascending are γ⁻² ascending
    root = np.linalg.cholesky(M_.T @ M_)
    inner = np.linalg.solve(root, np.linalg.solve(root, G.T @ G).T)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    patterns = np.linalg.solve(root.T, vectors)
    gamma = 1 / np.sqrt(np.maximum(values, 1e-300))
    for kept in (1, 4, 9):
        theta = float(np.sqrt(gamma[kept - 1] * gamma[kept])) if kept > 1 else float(2 * gamma[1])
        found = solvers["tgsvd"].function(A, y, operator=L, threshold=theta)
        basis = patterns[:, :kept]
        # the patterns are orthogonal in AᴴA: coefficients are those of least squares
        z = np.linalg.lstsq(M_ @ basis, y.numpy().T, rcond=None)[0]
        np.testing.assert_allclose(found.x.numpy(), (basis @ z).T, rtol=1e-6, atol=1e-7)
        assert (found.scalars["dof"] == kept).all()


def test_without_a_threshold_it_is_least_squares():
    A, L, y = case(0)
    expected = torch.linalg.lstsq(A.to_dense(), y.mT).solution.mT
    for name, knob in (("tgsvd", "threshold"), ("general_tikhonov", "regularization")):
        support.assert_close(solvers[name].function(A, y, operator=L, **{knob: 0.0}).x, expected, 1e7)


def test_in_single_precision_they_are_rounded_from_double():
    A, L, y = case(0, torch.float32)
    wide = A.to(dtype=torch.float64)
    for name in ("tgsvd", "general_tikhonov"):
        x = solvers[name].function(A, y, operator=L).x
        assert x.dtype == torch.float32
        support.assert_close(x, solvers[name].function(wide, y.double(), operator=L.to(dtype=torch.float64)).x, 8)


@pytest.mark.parametrize("name", ["tgsvd", "general_tikhonov"])
def test_batch_mates_change_no_bit(name):
    A, L, y = case(0)
    other = y.clone()
    other[1], other[2] = torch.nan, 1e20
    one, two = (solvers[name].function(A, data, operator=L).x for data in (y, other))
    for i in (0, 3, 4):
        support.assert_same_bits(one[i], two[i])


@pytest.mark.parametrize(("solver", "plain"), [("general_tikhonov", "tikhonov"), ("tgsvd", "tsvd")])
@pytest.mark.parametrize("rule", ["gcv", "discrepancy", "oracle"])
def test_a_penalty_on_slopes_is_better_for_what_is_smooth(solver, plain, rule):
    """deriv2 with a solution that does not vanish at the ends: least errors at least halved by L, rules likewise."""
    spec = ex.RunSpec(
        problem={"name": "deriv2", "params": {"size": 48}},
        operator="deriv2",
        noise={"name": "gaussian", "params": {"level": 0.01}},
        dtype="float64",
        draws=5,
        rule=rule,
    )
    errors = [ex.run(spec.replace(solver=name)).metrics["relative_error"] for name in (solver, plain)]
    assert np.median(errors[0]) < 0.5 * np.median(errors[1])


def test_a_penalty_on_another_space_is_refused():
    A, _, y = case(0)
    B = support.operator(support.decay(9), 9, 9)
    with pytest.raises(ex.SpecError, match="has to be linear, real and on"):
        solvers["tgsvd"].function(A, y, operator=B)


@support.every_seed
def test_the_slope_for_the_l_curve_is_that_by_differences(seed):
    A, L, y = case(seed)
    h, many, weights = 1e-5, y.expand(4, 5, M), WEIGHTS[:4, None].expand(4, 5)
    solve = lambda w, details=False: (  # noqa: E731
        solvers["general_tikhonov"].function(A, many, details, operator=L, regularization=w).scalars
    )
    up, down = (solve(weights * np.exp(t))["solution_norm"] ** 2 for t in (h, -h))
    told = solve(weights, True)
    np.testing.assert_allclose(told["growth"], (up - down) / (2 * h), rtol=1e-5, atol=1e-7)
    assert torch.equal(told["regularization"], weights)


@support.every_seed
def test_until_the_monotone_error_rule_stops_what_is_penalised_comes_nearer_to_the_truth(seed):
    """``‖L(x_λ − x)‖`` falls with λ as long as the rule, told the exact norm of the noise, goes on: a theorem."""
    A, L, _ = case(seed)
    truth = torch.linspace(0, 2, N).double().cos()
    noise = 0.02 * support.normal((M,), seed + 11)
    weights = torch.logspace(2, -8, 120, dtype=torch.float64)
    y = (A(truth) + noise).expand(len(weights), -1)
    found = solvers["general_tikhonov"].function(A, y, details=True, operator=L, regularization=weights)
    going = int((found.scalars["iterated"] <= noise.norm()).int().argmax())
    error = L(found.x - truth).norm(dim=-1)
    assert going > 20
    assert (error[: going + 1].diff() < 0).all()
