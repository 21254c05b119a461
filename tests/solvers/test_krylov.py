"""Krylov methods against SciPy and the textbook, and what they do when rounding or the problem stops them."""

import itertools

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from explorer.linalg import Space
from explorer.operators import gaussian_blur
from explorer.solvers import cgls, conjugate_gradient, lsqr, preconditioned_cg, preconditioned_cgls
from tests import support

SPECTRA = {
    "geometric": support.decay(40, 1e2),
    "arithmetic": support.decay(40, 1e3, "arithmetic"),
    "cliff": support.decay(40, 10.0, "cliff"),
}
every_spectrum = pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)


def scalars(steps, name, count):
    return np.array([float(s.scalars[name]) for s in itertools.islice(steps, count)])


def last(steps, count):
    return next(itertools.islice(steps, count - 1, None))


def assert_history(actual, expected, multiple):
    """Fail unless the histories differ by at most so many eps of their first entry."""
    assert np.abs(actual - expected).max() <= multiple * np.finfo(float).eps * expected[0]


@support.every_seed
@every_spectrum
def test_cg_has_scipys_residuals(spectrum, seed):
    """The first eight steps to 1000 eps; rounding then parts any two implementations where Ritz values converge."""
    A = support.self_adjoint_operator(spectrum, seed)
    y, matrix = support.normal((40,), seed), A.matrix.numpy()
    iterates = []
    scipy.sparse.linalg.cg(matrix, y.numpy(), rtol=0, atol=0, maxiter=8, callback=lambda x: iterates.append(x.copy()))
    expected = np.array([np.linalg.norm(y.numpy() - matrix @ x) for x in iterates])
    assert_history(scalars(conjugate_gradient(A, y), "residual", len(expected)), expected, 1000)


@support.every_seed
@every_spectrum
@pytest.mark.parametrize("damping", [0.0, 1e-2])
def test_lsqr_has_scipys_residuals(spectrum, seed, damping):
    """The first eight steps to 1000 eps."""
    A = support.operator(spectrum, 50, 40, seed)
    y = support.normal((50,), seed)
    run = lambda k: scipy.sparse.linalg.lsqr(A.matrix.numpy(), y.numpy(), damping**0.5, 0, 0, iter_lim=k)  # noqa: E731
    answers = [run(k) for k in range(1, 9)]
    steps = list(itertools.islice(lsqr(A, y, damping=damping), 8))
    expected = np.array([np.linalg.norm(y.numpy() - A.matrix.numpy() @ a[0]) for a in answers])
    assert_history(scalars(steps, "residual", 8), expected, 1000)
    assert_history(scalars(steps, "gradient", 8), np.array([a[7] for a in answers]), 1000)
    support.assert_close(steps[-1].x, torch.from_numpy(answers[-1][0]), 1000)


def textbook_cgls(A, y, damping, count):
    """Hestenes & Stiefel's recurrence, in NumPy."""
    x, r = np.zeros(A.shape[1]), y.copy()
    s = A.T @ r
    p, gamma, residuals = s, s @ s, []
    for _ in range(count):
        q = A @ p
        alpha = gamma / (q @ q + damping * p @ p)
        x, r = x + alpha * p, r - alpha * q
        s = A.T @ r - damping * x
        gamma, before = s @ s, gamma
        p = s + gamma / before * p
        residuals.append(np.linalg.norm(r))
    return x, np.array(residuals)


@support.every_seed
@every_spectrum
@pytest.mark.parametrize("damping", [0.0, 1e-2])
@pytest.mark.parametrize("method", [cgls, preconditioned_cgls], ids=lambda m: m.__name__)
def test_cgls_is_the_textbooks(method, spectrum, seed, damping):
    """The first eight steps to 1000 eps."""
    A = support.operator(spectrum, 50, 40, seed)
    y = support.normal((50,), seed)
    x, residuals = textbook_cgls(A.matrix.numpy(), y.numpy(), damping, 8)
    steps = list(itertools.islice(method(A, y, damping=damping), 8))
    assert_history(scalars(steps, "residual", 8), residuals, 1000)
    support.assert_close(steps[-1].x, torch.from_numpy(x), 1000)


@support.every_seed
def test_cgls_and_lsqr_take_the_same_steps(seed):
    A = support.operator(SPECTRA["geometric"], 50, 40, seed)
    y, x0 = support.normal((50,), seed), support.normal((40,), seed + 50)
    for one, other in itertools.islice(zip(cgls(A, y, x0), lsqr(A, y, x0), strict=True), 8):
        support.assert_close(one.x, other.x, 1000)


@pytest.mark.parametrize("method", [cgls, lsqr], ids=lambda m: m.__name__)
def test_damped_deblurring_in_single_precision_keeps_its_answer_for_2000_steps(method):
    """To 10 eps cond² of the damped system; with the textbook's step length the error of CGLS grows without bound."""
    A = gaussian_blur(Space((16, 16)), sigma=1.5)
    y = support.normal((5, 16, 16), 1, torch.float32)
    dampings = [1e-2, 0.1, 1.0]
    end = last(method(A, y.expand(3, 5, 16, 16), damping=torch.tensor(dampings)[:, None].expand(3, 5)), 2000)
    matrix = A.to_dense().double()
    for x, damping in zip(end.x, dampings, strict=True):
        system = matrix.T @ matrix + damping * torch.eye(256, dtype=torch.float64)
        expected = torch.linalg.solve(system, matrix.T @ y.double().reshape(5, -1).T).T.reshape(5, 16, 16)
        support.assert_close(x, expected, 10 * (1 + damping) / damping)


@pytest.mark.parametrize("method", [cgls, lsqr, conjugate_gradient], ids=lambda m: m.__name__)
def test_a_converged_sample_freezes_to_the_bit(method):
    A = support.self_adjoint_operator(support.decay(20, 10.0), dtype=torch.float32)
    y = support.normal((5, 20), 1, torch.float32)
    steps = method(A, y)
    before = last(steps, 300).x
    support.assert_same_bits(last(steps, 300).x, before)


@pytest.mark.parametrize("method", [cgls, lsqr, conjugate_gradient], ids=lambda m: m.__name__)
def test_data_outside_the_range_of_a_singular_operator_leave_it_finite(method):
    A = gaussian_blur(Space((16, 16)), sigma=4.0)
    end = last(method(A, support.normal((5, 16, 16), 1, torch.float32)), 1000)
    assert torch.isfinite(end.x).all()
    assert all(torch.as_tensor(v).isfinite().all() for v in end.scalars.values())


@pytest.mark.parametrize("method", [cgls, lsqr, conjugate_gradient, preconditioned_cgls], ids=lambda m: m.__name__)
def test_zero_data_give_zero(method):
    A = support.self_adjoint_operator(support.decay(8, 10.0))
    end = last(method(A, torch.zeros(8, dtype=torch.float64)), 3)
    assert not end.x.any()
    assert float(end.scalars["residual"]) == 0


@support.every_seed
def test_lsqr_penalises_the_distance_from_its_start_and_cgls_the_norm(seed):
    A = support.operator(support.decay(12, 5.0), 16, 12, seed)
    y, x0 = support.normal((16,), seed), support.normal((12,), seed + 50)
    system = A.matrix.T @ A.matrix + 0.5 * torch.eye(12, dtype=torch.float64)
    norm = torch.linalg.solve(system, A.matrix.T @ y)
    distance = torch.linalg.solve(system, A.matrix.T @ y + 0.5 * x0)
    support.assert_close(last(cgls(A, y, x0, damping=0.5), 40).x, norm, 50)
    end = last(lsqr(A, y, x0, damping=0.5), 40)
    support.assert_close(end.x, distance, 50)
    support.assert_close(end.scalars["residual"], (y - A(distance)).norm(), 50)


@support.every_seed
def test_the_exact_inverse_as_preconditioner_converges_in_one_step(seed):
    A = support.self_adjoint_operator(support.decay(12, 1e3), seed)
    y = support.normal((12,), seed)
    inverse = support.self_adjoint_operator(1 / support.decay(12, 1e3), seed)
    expected = torch.linalg.solve(A.matrix, y)
    support.assert_close(last(preconditioned_cg(A, y, inverse), 1).x, expected, 1e4)
    gram = support.self_adjoint_operator(support.decay(12, 1e3) ** -2, seed)
    support.assert_close(last(preconditioned_cgls(A, y, preconditioner=gram), 1).x, expected, 1e7)


def test_a_preconditioner_saves_steps():
    """Rows of unlike scale, which Jacobi's inverse levels: a quarter of the steps to the same error."""
    scales = torch.logspace(0, 3, 40, dtype=torch.float64)
    well = support.hermitian(support.decay(40, 3.0), 1)
    A = support.self_adjoint_operator(support.decay(40, 3.0), 1)
    A.matrix = scales[:, None] * well * scales
    M = support.self_adjoint_operator(support.decay(40, 3.0), 1)
    M.matrix = torch.diag(scales**-2)
    y = support.normal((40,), 2)
    expected = torch.linalg.solve(A.matrix, y)

    def needed(steps):
        errors = (A.domain.inner(s.x - expected, A(s.x - expected)) for s in itertools.islice(steps, 1000))
        bound = 1e-12 * A.domain.inner(expected, A(expected))
        return next(k for k, e in enumerate(errors) if e < bound)

    assert needed(preconditioned_cg(A, y, M)) < needed(conjugate_gradient(A, y)) / 4
