"""The gradient against NumPy and its analytic norm; the dense matrix against the spectrum asked for."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.gradient import Gradient
from explorer.operators.matrix import dense_matrix, spectrum
from tests.support import assert_close, every_dtype, every_seed, normal

every_shape = pytest.mark.parametrize("shape", [(1,), (2,), (9,), (1, 5), (6, 7), (3, 4, 5)], ids=str)


@every_shape
@pytest.mark.parametrize("periodic", [False, True])
def test_differences_are_those_of_numpy(shape, periodic):
    x = normal(shape)
    y = Gradient(Space(shape, torch.float64), periodic=periodic)(x)
    for d in range(len(shape)):
        end = np.take(x.numpy(), [0 if periodic else -1], axis=d)
        assert_close(y[d], torch.from_numpy(np.diff(x.numpy(), axis=d, append=end)), 0)


@every_shape
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_its_norm_is_exact_and_at_most_two_root_d(shape, periodic, dtype):
    A = Gradient(Space(shape, dtype), periodic=periodic)
    exact = torch.linalg.matrix_norm(A.to_dense(), 2)
    assert abs(A.norm() - exact) <= 16 * 2**-52 * 2
    assert A.norm() <= 2 * math.sqrt(len(shape))
    d = A.gram_svd()
    V = d.V.to_dense()
    assert_close((V * d.s.reshape(-1)) @ V.mH, A.to_dense().mH @ A.to_dense(), 32, scale=8)
    assert_close(A.gram_diagonal(), (A.to_dense().abs() ** 2).sum(0).reshape(shape), 0)


def test_a_shifted_laplacian_has_a_decomposition():
    domain = Space((5, 4), torch.float64)
    A = Gradient(domain)
    B = A.H @ A + 0.5 * ex.operators.identity(domain)
    assert B.positive
    d = B.svd()
    V = d.V.to_dense()
    assert_close((V * d.s.reshape(-1)) @ V.T, B.to_dense(), 32)


def test_its_picture_is_the_length():
    A = Gradient(Space((4, 4)))
    y = A(normal((4, 4), dtype=torch.float32))
    assert_close(A.picture(y), (y**2).sum(0).sqrt(), 8)
    assert A.data_axes == (("component", ""), ("row", "px"), ("column", "px"))


@every_dtype
@every_seed
@pytest.mark.parametrize("decay", ["geometric", "algebraic", "clustered"])
@pytest.mark.parametrize("rows", [None, 5, 30])
def test_a_dense_matrix_has_the_spectrum_asked_for(dtype, seed, decay, rows):
    A = dense_matrix(Space((4, 3), dtype), Rng(seed, "A"), rows=rows, condition=100.0, decay=decay)
    k = min(12, rows or 12)
    assert A.to_dense().shape == (rows or 12, 12)
    expected = spectrum(k, 100.0, decay)
    assert_close(torch.linalg.svdvals(A.to_dense()), expected, 16)
    assert_close(A.svd().s, expected, 1)
    assert_close(A.norm(), expected[0], 1)


@pytest.mark.parametrize("decay", ["geometric", "algebraic", "clustered"])
@pytest.mark.parametrize("k", [2, 3, 12, 100])
def test_a_spectrum_falls_from_one_to_its_end(decay, k):
    s = spectrum(k, 1e6, decay)
    assert s[0] == 1
    assert abs(s[-1] * 1e6 - 1) < 1e-12
    assert (s.diff() <= 0).all()
    if decay == "clustered":
        assert len(s.unique()) == min(k, 5)
    assert spectrum(1, 1e6, decay).tolist() == [1]


def test_a_matrix_that_is_too_large_is_refused():
    with pytest.raises(ex.SpecError, match="16384 × 16384 entries, and at most 4,194,304"):
        dense_matrix(Space((128, 128)), Rng(0, "A"))
