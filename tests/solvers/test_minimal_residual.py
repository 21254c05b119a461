"""LSMR, MINRES and GMRES against SciPy and against dense minimisation over the Krylov space."""

import itertools

import numpy as np
import pytest
import scipy.sparse.linalg as sla
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from tests import support

STEPS = 12
every_seed = pytest.mark.parametrize("seed", support.SEEDS)


def steps(name, A, y, count=STEPS, **knobs):
    return list(itertools.islice(getattr(ex.solvers, name)(A, y, **knobs), count))


def square(seed, dtype=torch.float64, low=0.1):
    """Return a square operator that is not normal, with eigenvalues away from zero."""
    n = 30
    space = Space((n,), dtype)
    matrix = support.normal((n, n), seed, dtype) / n**0.5 + (1.5 + low) * torch.eye(n, dtype=dtype)
    return DenseMatrix(space, space, matrix)


def least_residuals(matrix, y, count, start=None):
    """Return the least ‖Ax − y‖ over the Krylov spaces of growing dimension, by dense least squares."""
    basis, found = [], []
    v = y.copy() if start is None else start
    for _ in range(count):
        for _ in range(2):
            for b in basis:
                v = v - b * np.vdot(b, v)
        basis.append(v / np.linalg.norm(v))
        K = np.stack(basis, 1)
        t = np.linalg.lstsq(matrix @ K, y, rcond=None)[0]
        found.append(np.linalg.norm(matrix @ K @ t - y))
        v = matrix @ basis[-1]
    return np.array(found)


@every_seed
@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_lsmr_is_scipys(seed, damping):
    A = support.operator(support.decay(30, 1e2), 40, seed=seed)
    y = support.normal((40,), seed)
    for k, step in enumerate(steps("lsmr", A, y, 6, damping=damping), 1):
        x, _, _, norm_r, norm_ar, *_ = sla.lsmr(
            A.matrix.numpy(), y.numpy(), damp=damping**0.5, maxiter=k, atol=0, btol=0, conlim=0
        )
        support.assert_close(step.x, torch.from_numpy(x), 2 * 1e2**2)
        whole = (step.scalars["residual"] ** 2 + damping * step.x.norm() ** 2).sqrt()
        assert float(whole) == pytest.approx(norm_r, rel=1e-10)
        assert float(step.scalars["gradient"]) == pytest.approx(norm_ar, rel=1e-8)


@every_seed
def test_the_gradient_of_lsmr_falls_at_every_step_and_lies_below_that_of_lsqr(seed):
    A = support.operator(support.decay(60, 1e4), 80, seed=seed)
    y = support.normal((80,), seed)
    mine, other = (np.array([float(s.scalars["gradient"]) for s in steps(n, A, y, 40)]) for n in ("lsmr", "lsqr"))
    assert (np.diff(mine) <= 0).all()
    assert (mine <= other * (1 + 1e-10)).all()


@every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_minres_takes_the_least_residual_also_where_the_operator_is_indefinite(seed, dtype):
    spectrum = torch.cat((support.decay(15, 10.0), -support.decay(15, 20.0)))
    q = torch.linalg.qr(support.normal((30, 30), seed, dtype))[0]
    space = Space((30,), dtype)
    A = DenseMatrix(space, space, (q * spectrum) @ q.mH, self_adjoint=True)
    y = support.normal((30,), seed + 1, dtype)
    made = steps("minres", A, y)
    expected = least_residuals(A.matrix.numpy(), y.numpy(), STEPS)
    np.testing.assert_allclose([float(s.scalars["residual"]) for s in made], expected, rtol=1e-9)
    np.testing.assert_allclose([float((A(s.x) - y).norm()) for s in made], expected, rtol=1e-9)


@every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gmres_takes_the_least_residual(seed, dtype):
    A, y = square(seed, dtype), support.normal((30,), seed + 1, dtype)
    made = steps("gmres", A, y)
    expected = least_residuals(A.matrix.numpy(), y.numpy(), STEPS)
    np.testing.assert_allclose([float(s.scalars["residual"]) for s in made], expected, rtol=1e-9)
    np.testing.assert_allclose([float((A(s.x) - y).norm()) for s in made], expected, rtol=1e-9)


@every_seed
def test_restarted_gmres_is_scipys(seed):
    A, y = square(seed), support.normal((30,), seed + 1)
    made, past = steps("gmres", A, y, 20, restart=5), []
    sla.gmres(A.matrix.numpy(), y.numpy(), restart=5, maxiter=4, rtol=0, callback=past.append, callback_type="pr_norm")
    found = np.array([float(s.scalars["residual"] / y.norm()) for s in made])
    np.testing.assert_allclose(found, past[: len(found)], rtol=1e-8)


@every_seed
def test_minres_reaches_the_least_residual_of_singular_data_in_as_many_steps_as_eigenvalues(seed):
    spectrum = torch.cat((support.decay(10, 5.0), torch.zeros(5, dtype=torch.float64)))
    q = torch.linalg.qr(support.normal((15, 15), seed))[0]
    space = Space((15,), torch.float64)
    A = DenseMatrix(space, space, (q * spectrum) @ q.T, self_adjoint=True)
    y = support.normal((15,), seed + 20)
    last = steps("minres", A, y, 10)[-1]
    outside = float((q[:, 10:].T @ y).norm())
    assert float((A(last.x) - y).norm()) == pytest.approx(outside, rel=1e-10)
    assert float(last.x.norm()) < 100
