"""Preconditioners against their formulas written out in NumPy and SciPy, and against what their papers promise."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix, Identity
from explorer.operators.gradient import Gradient
from explorer.operators.sobolev import Sobolev
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.preconditioners.spectral import symmetric_polynomials
from tests.support import SEEDS, assert_close, hermitian, normal


def make(name, A, **params):
    return ex.catalogue.preconditioners[name].build(A=A, **params)


def space(*shape, dtype=torch.float64):
    return Space(shape, dtype)


def dense(domain, matrix):
    return DenseMatrix(domain, domain, matrix, self_adjoint=True, positive=True)


def laplacian(*shape, shift=0.0, periodic=False):
    """Return ``−Δ + shift``, positive."""
    G = Gradient(space(*shape), periodic=periodic)
    return G.H @ G + shift * Identity(space(*shape))


def condition(M, A):
    """Return the ratio of the largest to the least eigenvalue of ``M A``, with ``A = L Lᴴ`` from ``Lᴴ M L``."""
    lower = torch.linalg.cholesky(A.to_dense())
    values = torch.linalg.eigvalsh(lower.mH @ M.to_dense() @ lower)
    return float(values.max() / values.min())


# --- from the matrix ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("relaxation", [0.5, 1.0, 1.7])
def test_ssor_is_a_sweep_forwards_and_one_backwards(dtype, relaxation):
    H = hermitian(torch.logspace(0, -2, 20, dtype=torch.float64), 1, dtype).numpy()
    M = make("ssor", dense(space(20, dtype=dtype), torch.from_numpy(H)), relaxation=relaxation)
    b, x = normal((20,), dtype=dtype), np.zeros(20, H.dtype)
    for i in itertools.chain(range(20), reversed(range(20))):
        x[i] += relaxation * (b[i].numpy() - H[i] @ x) / H[i, i]
    assert_close(M(b), torch.from_numpy(x), 1e3)


def test_ssor_lowers_the_condition_of_poissons_equation_to_its_root():
    """With the best ω the condition number is of order 1/h where that of the Laplacian is 1/h². Axelsson 1972."""
    for n in (8, 16):
        A = laplacian(n, n, shift=1e-2)
        best = min(condition(make("ssor", A, relaxation=w), A) for w in (1.0, 1.4, 1.6, 1.8))
        assert best <= 2 * condition(Identity(A.domain), A) ** 0.5


def stencil(n):
    """Return the five-point Laplacian with zeros beyond the border, as a SciPy array."""
    line = scipy.sparse.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])
    return scipy.sparse.kron(line, scipy.sparse.eye_array(n)) + scipy.sparse.kron(scipy.sparse.eye_array(n), line)


def stored(n):
    domain, matrix = space(n, n), scipy.sparse.csr_array(stencil(n))
    A = SparseMatrix(domain, domain, SharedMatrix(lambda: matrix))
    A.self_adjoint = A.positive = True
    return A


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_factors_without_drops_are_the_inverse(dtype):
    H = hermitian(torch.logspace(0, -2, 30, dtype=torch.float64), 2, dtype)
    A = dense(space(6, 5, dtype=dtype), H)
    x = normal((4, 6, 5), dtype=dtype)
    assert_close(make("incomplete", A, drop=0.0, shift=0.0, fill=100.0)(A(x)), x, 1e4)
    shifted = A(x) + 0.1 * H.diagonal().abs().max() * x
    assert_close(make("incomplete", A, drop=0.0, shift=0.1, fill=100.0)(shifted), x, 1e4)


def test_incomplete_factors_of_a_sparse_matrix_help_in_proportion_to_what_is_kept():
    A = stored(20)
    bare = condition(Identity(A.domain), A)
    some, more = (condition(make("incomplete", A, drop=drop), A) for drop in (1e-1, 1e-3))
    assert some <= bare / 4
    assert more <= bare / 40
    assert more < some


def test_a_sparse_matrix_too_large_to_be_made_dense_is_factored_as_it_is():
    A = stored(64)  # 4096 unknowns: dense it would have 16 million entries
    b = A(normal((64, 64)))
    for M in (make("incomplete", A, drop=0.0, shift=0.0), make("incomplete", A, system="gram", drop=0.0, shift=0.0)):
        wanted = b if M.system is A else A(b)
        assert_close(M(wanted), normal((64, 64)), 1e8)
    with pytest.raises(ex.SpecError, match="would have 16,777,216 entries"):
        make("ssor", A)


def test_factors_that_are_not_positive_are_refused_at_first_use():
    H = hermitian(torch.tensor([1.0, 0.5, -0.3, -0.8], dtype=torch.float64), 0)
    M = make("incomplete", dense(space(4), H), shift=0.0, drop=0.0)
    with pytest.raises(ex.SpecError, match="are not positive: raise the shift or the fill"):
        M(normal((4,)))


# --- from a transform ---


def test_the_optimal_circulant_has_the_means_of_the_wrapped_diagonals():
    n = 12
    t = 0.6 ** np.arange(n)
    A = dense(space(n), torch.from_numpy(scipy.linalg.toeplitz(t)))
    k = np.arange(n)
    c = ((n - k) * t[k] + k * np.append(0, t[:0:-1])) / n  # T. Chan 1988
    expected = torch.from_numpy(np.linalg.inv(scipy.linalg.circulant(c)))
    assert_close(make("optimal_circulant", A).to_dense(), expected, 1e3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_no_other_circulant_is_nearer(dtype):
    H = hermitian(torch.logspace(0, -1, 20, dtype=torch.float64), 3, dtype)
    C = torch.linalg.inv(make("optimal_circulant", dense(space(4, 5, dtype=dtype), H)).to_dense())
    for i, j in itertools.product(range(4), range(5)):
        shift = torch.from_numpy(np.kron(np.roll(np.eye(4), i, 0), np.roll(np.eye(5), j, 0))).to(dtype)
        assert abs((shift.mH @ (H - C)).trace()) <= 1e-12  # the error is orthogonal to every circulant


def test_where_the_matrix_is_too_large_an_impulse_gives_the_same_means():
    n = 1100
    t = np.zeros(n)
    t[:4] = [4.0, -1.0, 0.5, 0.2]
    A = SparseMatrix(space(n), space(n), SharedMatrix(lambda: scipy.sparse.csr_array(scipy.linalg.toeplitz(t))))
    A.self_adjoint = A.positive = True
    k = np.arange(n)
    c = ((n - k) * t[k] + k * np.append(0, t[:0:-1])) / n
    x = normal((n,))
    expected = np.fft.ifft(np.fft.fft(x.numpy()) / np.fft.fft(c)).real
    assert_close(make("optimal_circulant", A)(x), torch.from_numpy(expected), 1e3)


def test_circulants_gather_the_spectrum_of_a_toeplitz_matrix():
    """Both for a generating function that is positive and smooth: all but a few eigenvalues of M H are near 1."""
    n = 128
    H = torch.from_numpy(scipy.linalg.toeplitz(1 / (1.0 + np.arange(n)) ** 2))
    A = dense(space(n), H)
    for M in (make("optimal_circulant", A), make("fourier", A, shift=0.0)):
        values = torch.linalg.eigvals(M.to_dense() @ H).real
        assert ((values - 1).abs() > 0.05).sum() <= 6
    assert ((torch.linalg.eigvalsh(H) / H[0, 0] - 1).abs() > 0.05).sum() >= 100


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_poissons_inverse_is_exact_for_a_multiple_of_the_laplacian(boundary):
    L = laplacian(9, 7, periodic=boundary == "periodic")
    M = make("poisson", 3.0 * L, boundary=boundary, shift=0.0)
    x = normal((9, 7))
    assert_close(M(3.0 * L(x)), x - x.mean(), 1e4)
    assert_close(M(torch.ones(9, 7, dtype=torch.float64)), torch.zeros(9, 7, dtype=torch.float64), 1e3, scale=1.0)


# --- multigrid ---


@pytest.mark.parametrize(
    ("shape", "periodic"), [((64,), False), ((16, 16), False), ((24, 24), False), ((24, 24), True), ((19, 22), False)]
)
def test_a_v_cycle_is_as_good_for_many_pixels_as_for_few(shape, periodic):
    boundary, shift = "periodic" if periodic else "neumann", 1e-4
    A = laplacian(*shape, shift=4 * len(shape) * shift, periodic=periodic)
    M = make("multigrid", A, boundary=boundary, shift=shift)
    assert condition(M, A) <= 3.0
    assert condition(Identity(A.domain), A) >= 1000
    assert condition(make("multigrid", A, boundary=boundary, shift=shift, smoothing=3), A) <= 1.6


def test_conjugate_gradients_with_multigrid_take_as_many_steps_at_any_size():
    steps = []
    for n in (16, 32, 64, 128):
        A = laplacian(n, n, shift=1e-3)
        M = make("multigrid", A, shift=1e-3 / 8)
        b = normal((n, n))
        run = ex.catalogue.solvers["preconditioned_cg"](A=A, y=b, precond=M)
        with torch.no_grad():
            steps.append(next(k for k, s in enumerate(run) if float((A(s.x) - b).norm()) <= 1e-8 * float(b.norm())))
    assert max(steps) <= min(steps) + 2
    assert max(steps) <= 14


# --- polynomials: row 122 ---


def spectrum(seed):
    """Row 122: three large eigenvalues with gaps above 97 small ones."""
    small = 0.1 + 0.9 * Rng(seed, "spectrum").uniform((97,), torch.float64)
    return torch.cat((torch.tensor([1e4, 3e3, 1e3], dtype=torch.float64), small))


def test_symmetric_polynomials_are_the_coefficients_of_a_product():
    values = normal((13,)).abs()
    expected = np.poly(-values.numpy())[:6]
    assert_close(symmetric_polynomials(values, 5), torch.from_numpy(expected.copy()), 20)
    assert symmetric_polynomials(torch.ones(3, dtype=torch.float64), 5).tolist() == [1, 3, 3, 1, 0, 0]


def test_the_polynomial_is_that_of_the_recursion_by_traces():
    B = hermitian(torch.tensor([5.0, 2.0, 1.0, 0.5, 0.2], dtype=torch.float64)).numpy()
    U = [np.trace(np.linalg.matrix_power(B, i)) * np.eye(5) - np.linalg.matrix_power(B, i) for i in range(5)]
    P = [np.eye(5)]
    for t in range(1, 5):
        P.append(sum((-1) ** (i - 1) * P[t - i] @ U[i] for i in range(1, t + 1)) / t)
    for t in range(5):
        M = make("polynomial", dense(space(5), torch.from_numpy(B)), degree=t).to_dense().numpy()
        assert abs(np.trace(M @ B) - 5) <= 1e-10
        assert np.abs(M - P[t] * (5 / np.trace(P[t] @ B))).max() <= 1e-10 * np.abs(M).max()
    assert np.abs(M @ B - np.eye(5)).max() <= 1e-9  # the last one is the adjugate


def test_the_polynomial_removes_the_gaps_of_the_largest_eigenvalues():
    for seed in SEEDS:
        values = spectrum(seed)
        A = dense(space(100), hermitian(values, seed))
        conditions, iterations = [], []
        error = Rng(seed, "error").normal((100,), torch.float64)
        s, vectors = A.svd().s, A.svd().V.to_dense()
        for t in range(4):
            M = make("polynomial", A, degree=t)
            product = (vectors.mT @ M.to_dense() @ vectors).diagonal() * s  # eigenvalues of M A
            conditions.append(float(product.max() / product.min()))
            rate = 1 - product / product.max()
            ks = torch.logspace(0, 7, 1000, dtype=torch.float64)[:, None]
            energy = (s * (error * rate**ks) ** 2).sum(-1) / (s * error**2).sum()  # after k steps of x −= M ∇f / max
            iterations.append(float(ks[energy <= 1e-6][0]))
        assert conditions[3] <= conditions[0] / 100
        assert conditions == sorted(conditions, reverse=True)
        assert iterations[3] <= iterations[1] / 50


# --- Nyström and deflation ---


def test_nystrom_inverts_a_low_rank_part_and_a_multiple_of_the_identity():
    """Exact for rank r: H + μ is then a multiple of the inverse of M."""
    for seed in SEEDS:
        values = torch.cat((torch.logspace(0, -2, 8, dtype=torch.float64), torch.zeros(32, dtype=torch.float64)))
        H = dense(space(40), hermitian(values, seed))
        shifted = dense(space(40), H.to_dense() + 1e-3 * torch.eye(40, dtype=torch.float64))
        assert condition(make("nystrom", H, rank=12, shift=1e-3), shifted) <= 1 + 1e-6


def test_nystrom_makes_the_condition_of_a_decaying_spectrum_small():
    """Frangella, Tropp & Udell: at twice the effective dimension the condition number is below 28 on average."""
    found = []
    for seed in SEEDS:
        values, mu = 1 / torch.arange(1, 201, dtype=torch.float64) ** 2, 1e-3
        rank = 2 * int(1.5 * float((values / (values + mu)).sum()) + 1)
        H = dense(space(200), hermitian(values, seed))
        shifted = dense(space(200), H.to_dense() + mu * torch.eye(200, dtype=torch.float64))
        rng = Rng(seed, "nystrom")
        M = ex.catalogue.preconditioners["nystrom"].build(A=H, rng=rng, rank=rank, shift=mu)
        found.append(condition(M, shifted))
        assert condition(Identity(H.domain), shifted) >= 900
    assert np.mean(found) <= 28


@pytest.mark.parametrize("which", ["blocks", "cosines"])
def test_deflation_solves_for_its_space_at_once(which):
    A = laplacian(12, 9, shift=1e-3)
    M = make("deflation", A, space=which, parts=3)
    Z = M._vectors().reshape(-1, 12, 9)
    assert len(Z) == 9
    assert_close(M(A(Z)), Z, 1e4)
    flat = Z.reshape(9, -1)
    assert_close(flat @ flat.T, torch.eye(9, dtype=torch.float64), 20)


@pytest.mark.parametrize(("which", "gain"), [("blocks", 8), ("cosines", 12)])
def test_deflation_lowers_the_condition_of_poissons_equation(which, gain):
    A = laplacian(16, 16, shift=1e-2)
    assert condition(make("deflation", A, space=which), A) <= condition(Identity(A.domain), A) / gain


def test_deflation_is_the_formula():
    A = dense(space(20), hermitian(torch.logspace(0, -2, 20, dtype=torch.float64), 4))
    M = make("deflation", A, parts=5)
    H, Z = A.to_dense(), M._vectors().T
    Q = Z @ torch.linalg.inv(Z.T @ H @ Z) @ Z.T
    one = torch.eye(20, dtype=torch.float64)
    assert_close(M.to_dense(), Q + (one - Q @ H) @ (one - H @ Q) / H[10, 10], 1e4)


# --- row 81 ---


def test_a_sobolev_weight_is_a_misfit_in_a_sobolev_norm():
    domain = space(16, 12)
    A = ex.catalogue.operators["gaussian_blur"].build(domain=domain, boundary="periodic", sigma=1.5)
    r = normal((16, 12))
    half = Sobolev(domain, -1.0, periodic=True)
    M = make("sobolev", A, system="gram", order=-1.0)
    ratio = M(A.adjoint(r)) / (half @ A).adjoint(half(r))
    assert_close(ratio, ratio.mean().expand(16, 12), 1e6)


def test_row_81_the_order_of_the_norm_regularises():
    """Deblurring by gradient descent on the misfit in H^s: below 0 it hardly semi-converges within 3000 steps."""
    domain = space(128, 128)
    A = ex.catalogue.operators["gaussian_blur"].build(domain=domain, boundary="periodic", sigma=1.0)
    x = ex.catalogue.problems["camera"].build(size=128).x.double()
    impulse = domain.zeros()
    impulse[0, 0] = 1
    h = torch.fft.fft2(A(impulse)).real
    counts = torch.unique(torch.logspace(0, 3.4771213, 60).round())
    for seed in SEEDS:
        y = A(x)
        noise = Rng(seed, "noise").normal((128, 128), torch.float64)
        Y = torch.fft.fft2(y + 0.05 * y.norm() * noise / noise.norm())
        errors = {}
        for order in (-1.0, -0.5, 0.0):
            half = Sobolev(domain, order, periodic=True)
            transfer = torch.fft.fft2((half @ A)(impulse)).real  # gradient descent with step 1/‖B‖² for B = Λ^{s/2} A
            rate = 1 - (transfer / transfer.abs().max()) ** 2
            steps = counts.double()[:, None, None]
            estimates = torch.where(h.abs() > 1e-300, (1 - rate**steps) * Y / h, 0)
            errors[order] = (estimates - torch.fft.fft2(x)).flatten(1).norm(dim=1) / torch.fft.fft2(x).norm()
        best = {order: float(e.min()) for order, e in errors.items()}
        when = {order: float(counts[e.argmin()]) for order, e in errors.items()}
        final = {order: float(e[-1]) for order, e in errors.items()}
        assert max(best.values()) <= 1.05 * min(best.values())
        assert when[-0.5] >= 5 * when[0.0]
        assert final[-1.0] <= 0.2
        assert final[0.0] >= 0.9  # the row has seen 1.37
