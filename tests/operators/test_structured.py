"""Structured matrices against SciPy and NumPy, and what their theory promises."""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.sparse.csgraph
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.graph import adjacency
from explorer.operators.toeplitz import Hankel, circulant_operator, toeplitz_operator
from explorer.operators.transforms import Sine
from tests.support import assert_close, every_seed, normal

DOUBLE, COMPLEX = torch.float64, torch.complex128
ops = ex.operators


def signal(n, dtype=DOUBLE):
    return Space((n,), dtype)


# --- constant diagonals ---


@pytest.mark.parametrize("dtype", [DOUBLE, COMPLEX])
@pytest.mark.parametrize("n", [1, 2, 9, 16])
@every_seed
def test_toeplitz_circulant_and_hankel_are_the_matrices_of_scipy(n, dtype, seed):
    c, r, h = normal((n,), seed, dtype), normal((n,), seed + 10, dtype), normal((2 * n - 1,), seed + 20, dtype)
    theirs = scipy.linalg
    for ours, expected in [
        (toeplitz_operator(signal(n, dtype), c, r), theirs.toeplitz(c.numpy(), r.numpy())),
        (circulant_operator(signal(n, dtype), c), theirs.circulant(c.numpy())),
        (Hankel(signal(n, dtype), h), theirs.hankel(h[:n].numpy(), h[n - 1 :].numpy())),
    ]:
        assert_close(ours.to_dense(), torch.from_numpy(expected), 32)


def test_without_a_row_a_toeplitz_matrix_is_hermitian():
    c = normal((7,), dtype=COMPLEX)
    c[0] = 2
    A = toeplitz_operator(signal(7, COMPLEX), c)
    assert A.self_adjoint
    assert_close(A.to_dense(), torch.from_numpy(scipy.linalg.toeplitz(c.numpy())), 32)


def test_the_registered_ones_have_their_formulas():
    i = np.arange(1, 13)
    difference, total = i[:, None] - i, i[:, None] + i
    expected = {
        "toeplitz": 0.9 ** abs(difference),
        "circulant": 0.9 ** (difference % 12),
        "hankel": (total - 1.0) ** -0.5,
        "hilbert": scipy.linalg.hilbert(12),
        "vandermonde": np.vander(np.cos((i - 0.5) * np.pi / 12), increasing=True),
    }
    for name, matrix in expected.items():
        assert_close(getattr(ops, name)(signal(12)).to_dense(), torch.from_numpy(matrix), 64)
    A = ops.toeplitz(signal(12), ratio=0.5, upper=-0.25)
    assert_close(A.to_dense(), torch.from_numpy(scipy.linalg.toeplitz(0.5 ** (i - 1), (-0.25) ** (i - 1))), 64)
    assert not A.self_adjoint
    assert not A.nonnegative


def test_the_inverse_of_a_markov_covariance_is_tridiagonal_and_of_a_fading_memory_bidiagonal():
    inverse = torch.linalg.inv(ops.toeplitz(signal(10), ratio=0.6).to_dense())
    assert (inverse.triu(2).abs().max(), inverse.tril(-2).abs().max()) < (1e-13, 1e-13)
    ring = torch.linalg.inv(ops.circulant(signal(10), ratio=0.6).to_dense())
    expected = torch.eye(10, dtype=DOUBLE) - 0.6 * torch.eye(10, dtype=DOUBLE).roll(1, 0)
    assert_close(ring, expected / (1 - 0.6**10), 256)


def test_eigenvalues_of_the_hankel_matrices_fall_exponentially():
    values = torch.linalg.eigvalsh(ops.hankel(signal(64)).to_dense())
    assert values[-12] < 1e-6 * values[-1]
    assert values.min() > -64 * 2.3e-16 * values.max()


def test_a_long_toeplitz_matrix_is_applied_without_being_made():
    n = 2**18
    A = ops.toeplitz(signal(n), ratio=0.5)
    y = A(torch.ones(n, dtype=DOUBLE))
    assert abs(y[n // 2] - 3) < 1e-12
    assert abs(y[0] - 2) < 1e-12


def test_the_inverse_of_the_hilbert_matrix_has_whole_numbers():
    exact = torch.from_numpy(scipy.linalg.invhilbert(6))
    assert_close(ops.hilbert(signal(6)).to_dense() @ exact, torch.eye(6, dtype=DOUBLE), 1e7)


def test_a_cauchy_matrix_has_the_determinant_of_cauchy():
    A = ops.cauchy(signal(5), gap=0.3).to_dense().numpy()
    t = (1 - np.cos((np.arange(5) + 0.5) * np.pi / 5)) / 2
    above = np.prod([(t[j] - t[i]) ** 2 for i in range(5) for j in range(i)])
    below = np.prod(t[:, None] + t + 0.3)
    assert abs(np.linalg.det(A) / (above / below) - 1) < 1e-9


@pytest.mark.parametrize("nodes", ["chebyshev", "equispaced"])
def test_a_vandermonde_matrix_evaluates_polynomials(nodes):
    A = ops.vandermonde(signal(6), rows=9, nodes=nodes)
    x = normal((6,))
    t = A.to_dense()[:, 1].numpy()
    assert_close(A(x), torch.from_numpy(np.polynomial.polynomial.polyval(t, x.numpy())), 32)
    assert (t[0] == 1, t[-1] == -1) == (nodes == "equispaced",) * 2


def test_equispaced_nodes_are_worse_than_those_of_chebyshev():
    conditions = [np.linalg.cond(ops.vandermonde(signal(20), nodes=k).to_dense()) for k in ("chebyshev", "equispaced")]
    assert conditions[1] > 5 * conditions[0] > 1e6


# --- the sine transform ---


@pytest.mark.parametrize("shape", [(1,), (7,), (6, 9)], ids=str)
def test_the_sine_transform_is_scipys(shape):
    x = normal((3, *shape))
    axes = tuple(range(1, x.ndim))
    assert_close(Sine(Space(shape, DOUBLE))(x), torch.from_numpy(scipy.fft.dstn(x, 1, axes=axes, norm="ortho")), 32)
    S = Sine(Space(shape, DOUBLE)).to_dense()
    assert_close(S @ S, torch.eye(len(S), dtype=DOUBLE), 32)


# --- graphs ---

every_graph = pytest.mark.parametrize("graph", ["neighbours", "ring", "random"])


@every_graph
@every_seed
def test_the_laplacian_sums_differences_along_edges(graph, seed):
    n, rng = 40, Rng(seed, "test")
    W = adjacency(n, graph, 6, rng).toarray()
    assert (W == W.T).all()
    assert (np.diag(W) == 0).all()
    assert (W >= 0).all()
    assert 3 < (W > 0).sum(1).mean() < 12
    A, x = ops.graph_laplacian(signal(n), rng, graph=graph), normal((n,), seed)
    energy = (W * (x[:, None] - x).numpy() ** 2).sum() / 2
    assert abs(float(x @ A(x)) / energy - 1) < 1e-12
    parts = scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(W))[0]
    assert (torch.linalg.eigvalsh(A.to_dense()) < 1e-10).sum() == parts


@every_graph
def test_the_normalized_laplacian_has_eigenvalues_from_0_to_2(graph):
    A = ops.graph_laplacian(signal(40), Rng(0, "test"), graph=graph, normalized=True)
    values = torch.linalg.eigvalsh(A.to_dense())
    assert values.min() > -1e-14
    assert values.max() <= 2
    assert values.max() > 1


def test_a_ring_has_the_eigenvalues_of_a_circulant():
    A = ops.graph_laplacian(signal(12), Rng(0, "test"), graph="ring", degree=4, shift=0.5)
    k = torch.arange(12, dtype=DOUBLE) * (2 * torch.pi / 12)
    expected = 4.5 - 2 * k.cos() - 2 * (2 * k).cos()
    assert_close(torch.linalg.eigvalsh(A.to_dense()), expected.sort().values, 64)
    assert_close(A.main_diagonal(), torch.full((12,), 4.5, dtype=DOUBLE), 1)


def test_a_graph_is_the_same_in_every_precision():
    A = ops.graph_laplacian(signal(40), Rng(0, "test"), graph="random")
    A.to_dense()
    assert_close(A.to(dtype=torch.float32).to_dense(), A.to_dense(), 1)
