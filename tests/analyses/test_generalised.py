"""Generalised singular values against the dense pencil, by structure and from matrices."""

import numpy as np
import pytest
import scipy.linalg
import torch

import explorer as ex
from explorer.analyses.generalised import generalised_singular_values
from explorer.linalg import Space
from explorer.operators.base import Diagonal
from tests import support
from tests.analyses.test_spectrum import hidden


def pair(seed, m=20, p=11, n=12):
    return support.normal((m, n), seed), support.normal((p, n), seed + 100)


@support.every_seed
@pytest.mark.parametrize("shape", [(20, 11), (8, 14), (20, 30)])
def test_generalised_values_are_those_of_the_pencil(seed, shape):
    top, bottom = pair(seed, *shape)
    A, L = hidden(top), hidden(bottom)
    found = ex.analyses.generalised_singular_values(A, operator=L)
    a, b = (top.T @ top).numpy(), (bottom.T @ bottom).numpy()
    c2 = scipy.linalg.eigvalsh(a, a + b)[::-1]
    np.testing.assert_allclose(found.c**2, c2, atol=1e-11)
    np.testing.assert_allclose(found.c**2 + found.s**2, 1, atol=1e-14)
    X = found.patterns.numpy().T
    np.testing.assert_allclose(X.T @ a @ X, np.diag(found.c**2), atol=1e-11)
    np.testing.assert_allclose(X.T @ b @ X, np.diag(found.s**2), atol=1e-11)
    assert found.free == max(0, 12 - shape[1])
    assert found.hidden == 0


def test_tikhonov_with_a_prior_has_the_filter_factors_of_the_generalised_values():
    top, bottom = pair(3, 20, 14)
    y, weight = support.normal((20,), 9), 0.3
    found = ex.analyses.generalised_singular_values(hidden(top), operator=hidden(bottom))
    direct = torch.linalg.solve(top.T @ top + weight * bottom.T @ bottom, top.T @ y)
    X = found.patterns.reshape(-1, 12).T
    # A = U diag(c) X⁻¹, so that Xᴴ Aᴴ y = c · Uᴴ y
    factors = torch.from_numpy(found.c**2 / (found.c**2 + weight * found.s**2))
    rebuilt = X @ (factors * (X.T @ (top.T @ y)) / torch.from_numpy(found.c) ** 2)
    support.assert_close(rebuilt, direct, 1e5)


def test_the_constant_is_free_under_a_gradient_and_what_neither_sees_is_counted():
    problem = ex.build(ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, dtype="float64"))
    found = ex.analyse(problem, "generalised_singular_values")
    assert found.free == 1
    assert np.isinf(found.values[0])
    assert (np.diff(found.values[1:]) <= 0).all()
    constant = found.patterns[0]
    assert float(constant.std() / constant.mean().abs()) < 1e-10
    blind = hidden(torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)))
    lost = ex.analyses.generalised_singular_values(blind, operator=blind)
    assert lost.hidden == 1
    assert "seen by neither" in lost.sentence


def pencil(A, L):
    """Return both dense Gram matrices and the values c², descending, of all that either sees."""
    a, b = (M.conj().T @ M for M in (A.to_dense().numpy().astype(complex), L.to_dense().numpy().astype(complex)))
    return a, b, scipy.linalg.eigvalsh(a, a + b)[::-1]


def blur(shape, boundary, dtype=torch.float64, name="gaussian_blur", **knobs):
    """Return a blur and the gradient with the same boundary."""
    domain = Space(shape, dtype)
    around = {"periodic": "periodic", "reflexive": "neumann"}[boundary]
    made = getattr(ex.operators, name)(domain, boundary=boundary, **knobs)
    return made, ex.operators.gradient(domain, boundary=around)


@pytest.mark.parametrize("shape", [(40,), (9, 8)])
@pytest.mark.parametrize("boundary", ["periodic", "reflexive"])
@pytest.mark.parametrize("knobs", [{"sigma": 0.8}, {"name": "motion_blur", "length": 3.0, "angle": 0.0}])
def test_one_transform_for_both_gives_the_values_of_the_pencil(shape, boundary, knobs):
    A, L = blur(shape, boundary, **knobs)
    found = generalised_singular_values(A, operator=L, count=72)
    assert found.exact
    assert (found.free, found.hidden) == (1, 0)
    a, b, c2 = pencil(A, L)
    np.testing.assert_allclose(found.c**2, c2, atol=2000 * support.eps(torch.float64))
    np.testing.assert_allclose(found.c**2 + found.s**2, 1, rtol=4 * support.eps(torch.float64))
    X = found.patterns.reshape(len(found.index), -1).numpy().T
    tolerance = 2000 * support.eps(torch.float64)
    np.testing.assert_allclose(X.T @ a @ X, np.diag(found.c**2), atol=tolerance)
    np.testing.assert_allclose(X.T @ b @ X, np.diag(found.s**2), atol=tolerance)
    dense = generalised_singular_values(hidden(A.to_dense()), operator=hidden(L.to_dense()), count=1)
    assert not dense.exact
    np.testing.assert_allclose(found.c, dense.c, atol=1e-7)  # roots of the above
    assert (dense.free, dense.hidden) == (1, 0)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_signals_have_fourier_waves(dtype):
    A, L = blur((6, 5), "periodic", dtype, name="motion_blur", length=2.5, angle=30.0)
    found = generalised_singular_values(A, operator=L)
    a, b, c2 = pencil(A, L)
    np.testing.assert_allclose(found.c**2, c2, atol=2000 * support.eps(dtype))
    X = found.patterns.reshape(30, -1).numpy().T
    np.testing.assert_allclose(X.conj().T @ a @ X, np.diag(found.c**2), atol=2000 * support.eps(dtype))
    np.testing.assert_allclose(X.conj().T @ b @ X, np.diag(found.s**2), atol=2000 * support.eps(dtype))


def test_the_identity_is_diagonal_in_any_basis_and_zeros_of_both_are_hidden():
    L = ex.operators.gradient(Space((12,), torch.float64))
    one = ex.operators.identity(L.domain)
    smooth = generalised_singular_values(one, operator=L)
    assert smooth.exact
    _, _, c2 = pencil(one, L)
    np.testing.assert_allclose(smooth.c**2, c2, atol=1e-13)
    A, _ = blur((12,), "periodic", sigma=1.0)
    plain = generalised_singular_values(A, operator=one)
    np.testing.assert_allclose(plain.values, A.svd().s.sort(descending=True).values, rtol=1e-13)
    d = torch.tensor([3.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    e = torch.tensor([0.0, 0.0, 2.0, 1.0], dtype=torch.float64)
    space = Space((4,), torch.float64)
    both = generalised_singular_values(Diagonal(space, d), operator=Diagonal(space, e))
    assert both.values.tolist() == [np.inf, 0.5, 0.0]
    assert (both.free, both.hidden) == (1, 1)
    assert "1 are seen by neither" in both.sentence


@support.every_seed
def test_tikhonov_with_a_prior_at_a_size_that_no_matrix_has(seed):
    A, L = blur((96, 96), "reflexive", sigma=1.5)
    y, weight = support.normal((96, 96), seed), 0.2
    found = generalised_singular_values(A, operator=L, count=1)
    assert len(found.values) == 96**2
    system = lambda x: A.gram(x) + weight * L.gram(x)  # noqa: E731
    g = L.gram_svd()
    assert np.isclose(found.values[1] ** 2, float((A.svd().s.reshape(-1)[1:] ** 2 / g.s.reshape(-1)[1:]).max()))
    x = g.V(A.svd().s * g.V.adjoint(y) / (A.svd().s ** 2 + weight * g.s))
    support.assert_close(system(x), A.adjoint(y), 1e4)
    # degrees of freedom are the sum of γ² / (γ² + λ): the trace of A (AᴴA + λLᴴL)⁻¹ Aᴴ, estimated by one probe
    z = torch.where(support.normal((96, 96), seed + 50) > 0, 1.0, -1.0).double()
    w = g.V(A.svd().s ** 2 * g.V.adjoint(z) / (A.svd().s ** 2 + weight * g.s))
    dof = (found.c**2 / (found.c**2 + weight * found.s**2)).sum()
    assert float((z * w).sum()) == pytest.approx(dof, abs=5 * np.sqrt(2 * dof))


def test_any_window_of_patterns_and_a_pair_without_a_basis_in_common():
    A, L = blur((16, 16), "periodic", sigma=1.0)
    some = generalised_singular_values(A, operator=L, first=100, count=3)
    assert some.index.tolist() == [100, 101, 102]
    every = generalised_singular_values(A, operator=L, count=256)
    support.assert_close(some.patterns, every.patterns[99:102], 10)
    with pytest.raises(ex.SpecError, match="is 300, and there are 256 patterns"):
        generalised_singular_values(A, operator=L, first=300)
    mirrored = ex.operators.gradient(A.domain)
    mixed = generalised_singular_values(A, operator=mirrored)
    assert not mixed.exact
    np.testing.assert_allclose(mixed.c**2, pencil(A, mirrored)[2], atol=1e-11)
    large, _ = blur((64, 64), "periodic", sigma=1.0)
    with pytest.raises(ex.SpecError, match="choose the same boundary for both"):
        generalised_singular_values(large, operator=ex.operators.gradient(large.domain))
