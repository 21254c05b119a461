"""Resolution, null space and posterior against dense matrices."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.analyses.resolution import Basis, diagonal_of, point_response
from explorer.catalogue import SpecError
from explorer.linalg import Rng, Space
from tests import support
from tests.analyses.test_spectrum import Mirrored, hidden

CASES = {
    "structure": {"problem": {"name": "camera", "params": {"size": 16}}},
    "dense": {
        "problem": {"name": "shepp_logan", "params": {"size": 12}},
        "operator": {"name": "radon", "params": {"angles": 9}},
    },
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES)


def driven(case, solver, steps=6, **changes):
    stop = {"name": "budget", "params": {"steps": steps}}
    return ex.run(ex.RunSpec(**CASES[case], dtype="float64", solver=solver, stop=stop, **changes))


def tikhonov(M, weight):
    return torch.linalg.solve(M.T @ M + weight * torch.eye(M.shape[1]), M.T)


@every_case
def test_points_and_diagonals_are_those_of_the_dense_method(case):
    damped = {"name": "cgls", "params": {"damping": 0.5}}
    run = driven(case, damped, 400)  # long past convergence: Tikhonov's method
    found = ex.analyse(run, "resolution", points=3)
    M = run.problem.A.to_dense()
    K = tikhonov(M, 0.5)
    R, N = K @ M, M @ K
    n = run.problem.domain.shape[0]
    at = found.points[:, 0] * n + found.points[:, 1]
    support.assert_close(found.responses.reshape(3, -1), R[:, at].T, 1e7)
    np.testing.assert_allclose(found.gain, R.diagonal()[at], rtol=1e-8)
    support.assert_close(found.model.reshape(-1), R.diagonal(), 1e7)
    support.assert_close(found.data.reshape(-1), N.diagonal(), 1e7)
    assert found.dof == pytest.approx(float(R.trace()), rel=1e-8)
    assert found.error == (0.0, 0.0)


def test_more_steps_see_points_more_sharply():
    run = driven("structure", "cgls", 30)
    early, late = (ex.analyse(run, "resolution", step=k) for k in (2, 30))
    assert (early.gain < late.gain).all()
    assert (early.width > 1.5 * late.width).all()
    assert "degrees of freedom" in late.sentence


@every_case
@pytest.mark.parametrize("solver", ["cgls", "landweber", "chebyshev", "lsqr"])
def test_a_point_response_is_a_column_of_the_dense_resolution(case, solver):
    run = driven(case, solver, 6)
    A, at = run.problem.A, (5, 7)
    found = point_response(A, run.history, solver, run.spec.solver.params, at)
    M = A.to_dense()
    _, s, Vh = torch.linalg.svd(M, full_matrices=False)  # descending, as the factors
    factors = torch.tensor(ex.analyse(run, "filter_factors").factors[: len(s)])
    R = Vh.T @ (factors[:, None] * Vh)
    column = R[:, at[0] * A.domain.shape[1] + at[1]]
    support.assert_close(found.response.reshape(-1), column, 1e5)
    assert found.gain == pytest.approx(float(abs(column[at[0] * A.domain.shape[1] + at[1]])), rel=1e-8)
    earlier = point_response(A, run.history, solver, run.spec.solver.params, at, 2)
    assert earlier.gain < found.gain
    assert f"{100 * found.gain:.2g} % of its height" in found.sentence


def test_a_method_that_is_not_linear_has_no_point_response():
    run = driven("structure", "pdhg", 3, prior="tv")
    with pytest.raises(SpecError, match="no linear method"):
        point_response(run.problem.A, run.history, "pdhg", run.spec.solver.params, (5, 7))
    run = driven("structure", "cgls", 3)
    with pytest.raises(SpecError, match="no point"):
        point_response(run.problem.A, run.history, "cgls", run.spec.solver.params, (16, 0))


@support.every_seed
def test_cgls_on_a_large_operator_is_run_again_on_points(seed):
    A = Mirrored(support.decay(1100, 20), seed)
    y, k = support.normal((1100,), seed), 5
    rows = [step.scalars for step, _ in zip(ex.solvers.cgls(A, y), range(k), strict=False)]
    history = {name: np.array([float(row[name]) for row in rows]) for name in ("alpha", "beta", "residual")}
    found = ex.analyses.resolution(A, history, "cgls", {"damping": 0.0}, points=4, probes=400, seed=seed)
    # the method as a matrix in the right singular basis, from its filter factors
    factors = torch.from_numpy(ex.analyses.filters.factors_at(A.s.numpy(), history, "cgls", {"damping": 0.0}, k))
    V = A.mirror(A.v, torch.eye(1100, dtype=torch.float64))
    R = V * factors @ V.T
    at = found.points[:, 0]
    support.assert_close(found.responses, R[:, at].T, 1e5)
    off = (found.model.double() - R.diagonal()).square().mean().sqrt()
    assert 0 < off < 1.2 * found.error[0] < 0.05
    probed, error = diagonal_of(lambda x: x @ R, A.domain, 400, Rng(seed, "p"), exact=10)
    assert 0 < float((probed - R.diagonal()).square().mean().sqrt()) < 1.2 * error


def test_a_large_operator_with_another_method_is_refused_in_a_sentence():
    A = Mirrored(support.decay(1100, 20), 0)
    with pytest.raises(ex.SpecError, match="too large for the filter factors of 'landweber': run 'cgls'"):
        ex.analyses.resolution(A, {"residual": np.ones(3)}, "landweber", {"step_size": 1.0})


@every_case
def test_what_is_hidden_is_the_projection_on_the_null_space(case):
    run = driven(case, "cgls", 1)
    found = ex.analyse(run, "null_space", cutoff=1e-3)
    M, x = run.problem.A.to_dense(), run.x_true
    pinv = torch.linalg.pinv(M, rtol=1e-3)
    support.assert_close(
        found.hidden.reshape(-1), x.reshape(-1) - pinv @ (M @ x.reshape(-1)), 1e8, scale=support.norm(x)
    )
    assert found.share == pytest.approx(support.norm(found.hidden) / support.norm(x))
    assert found.rank == torch.linalg.matrix_rank(M, rtol=1e-3)


def test_a_cutoff_hides_more_and_cgls_finds_what_is_seen_of_a_large_operator():
    x = support.normal((1100,), 1)
    s = torch.cat((torch.linspace(1, 2, 700), torch.zeros(400))).double()
    A = Mirrored(s, 2)
    found = ex.analyses.null_space(A, x, steps=60)
    inside = A.mirror(A.v, torch.where(s > 0, A.mirror(A.v, x), 0.0))
    support.assert_close(found.seen, inside, 1e6)
    run = driven("structure", "cgls", 1)
    assert ex.analyse(run, "null_space", cutoff=0.3).share > ex.analyse(run, "null_space", cutoff=0.1).share > 0


@every_case
def test_the_posterior_is_that_of_the_dense_matrices(case):
    run = driven(case, "cgls", 1)
    found = ex.analyse(run, "posterior", prior_deviation=0.7, draws=2000)
    M, n = run.problem.A.to_dense(), run.problem.domain.size
    sigma = float(run.problem.offers["noise_norm"]) / math.sqrt(M.shape[0])
    C = torch.linalg.inv(M.T @ M / sigma**2 + torch.eye(n, dtype=torch.float64) / 0.7**2)
    support.assert_close(found.deviation.reshape(-1), C.diagonal().sqrt(), 1e7)
    support.assert_close(found.mean.reshape(-1), C @ (M.T @ run.y.reshape(-1)) / sigma**2, 1e9)
    assert found.error == 0.0
    off = (found.samples - found.mean).reshape(2000, -1)
    empirical = off.T @ off / 2000
    assert support.norm(empirical - C) < 1.2 * float(C.trace()) / math.sqrt(2000)


@support.every_seed
def test_draws_of_a_large_posterior_have_its_deviation_within_the_stated_error(seed):
    A = Mirrored(support.decay(1100, 30), seed)
    x = support.normal((1100,), seed)
    found = ex.analyses.posterior(A, A(x), torch.tensor(0.1 * math.sqrt(1100)), draws=200, seed=seed)
    V = A.mirror(A.v, torch.eye(1100, dtype=torch.float64))
    variance = (V**2) @ (1 / (A.s**2 / 0.01 + 1))
    ratio = found.deviation / variance.sqrt() - 1
    assert found.error == pytest.approx(1 / math.sqrt(398))
    assert float(ratio.square().mean().sqrt()) < 1.15 * found.error
    assert float(ratio.abs().max()) < 5 * found.error


@support.every_dtype
def test_the_basis_takes_elements_apart_and_together(dtype):
    A = hidden(support.matrix(support.decay(8, 10), 11, seed=1, dtype=dtype))
    basis = Basis(A)
    x = support.normal((3, 8), 2, dtype)
    support.assert_close(basis.unknown(basis.of_unknown(x)), x, 100)
    support.assert_close(basis.data(basis.s * basis.of_unknown(x)), A(x), 100)
    support.assert_close(basis.of_data(A(x)), basis.s * basis.of_unknown(x), 100)


def test_complex_data_of_a_real_unknown_have_a_basis_too():
    from tests.linalg.test_block_krylov import RealUnknown

    A = RealUnknown(torch.complex(support.normal((20, 9), 1), support.normal((20, 9), 2)))
    basis = Basis(A)
    x = support.normal((2, 9), 3)
    support.assert_close(basis.data(basis.s * basis.of_unknown(x)), A(x), 100)
    assert Space((9,), torch.float64) == A.domain
