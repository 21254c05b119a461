"""Every registered preconditioner is positive, self-adjoint, and lowers the condition number where theory says so."""

import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import ProductSpace, Rng, Space
from explorer.operators.base import DenseMatrix, Diagonal, Identity
from tests.support import SEEDS, assert_close, every_dtype, hermitian, isometry, normal
from tests.support import operator as rectangular

IMAGE = Space((12, 10), torch.float64)
NAMES = [name for name in ex.catalogue.preconditioners if name != "none"]
BASES = ["fourier", "cosine"]


def blur(domain=IMAGE, boundary="periodic", sigma=1.0):
    return ex.catalogue.operators["gaussian_blur"].build(domain=domain, boundary=boundary, sigma=sigma)


def dense(domain, matrix, positive=True):
    return DenseMatrix(domain, domain, matrix, self_adjoint=positive, positive=positive)


def random_positive(domain, seed=0):
    spectrum = torch.logspace(0, -3, domain.size, dtype=torch.float64)
    return dense(domain, hermitian(spectrum, seed, domain.dtype))


def make(name, A, **params):
    return ex.catalogue.preconditioners[name].build(A=A, **params)


def condition(M, A):
    """Return the ratio of the largest to the least eigenvalue of ``M A``."""
    values = torch.linalg.eigvals(M.to_dense() @ A.to_dense()).real
    return float(values.max() / values.min())


# --- conformance ---


@pytest.mark.parametrize("name", NAMES)
@every_dtype
def test_a_preconditioner_is_self_adjoint_and_positive(name, dtype):
    for seed in SEEDS:
        domain = Space((6, 5), dtype)
        A = random_positive(domain, seed)
        M = make(name, A)
        assert M.self_adjoint
        assert M.positive
        assert M.domain == M.codomain == A.domain
        x, z = (Rng(s, "x").normal((20, 6, 5), dtype) for s in (seed, seed + 9))
        scale = float(M.norm() * x.norm() * z.norm())
        assert_close(domain.inner(M(x), z), domain.inner(x, M(z)), 50, scale=scale)
        assert (domain.inner(x, M(x)).real > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_scaling_the_operator_scales_the_inverse(name):
    A = random_positive(IMAGE)
    x = normal(IMAGE.shape)
    assert_close(make(name, 8.0 * A)(x), make(name, A)(x) / 8, 50)


@pytest.mark.parametrize("name", NAMES)
def test_the_gram_system_is_that_of_the_product(name):
    A = rectangular(torch.logspace(0, -2, 20, dtype=torch.float64), m=30)
    x = normal((20,))
    assert_close(make(name, A, system="gram")(x), make(name, A.H @ A)(x), 50)
    with pytest.raises(ex.SpecError, match="not positive and self-adjoint: set the preconditioner's system to 'gram'"):
        make(name, A)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_are_refused(name):
    with pytest.raises(ex.SpecError, match="acts on blocks"):
        make(name, Identity(ProductSpace((IMAGE, IMAGE))))


@pytest.mark.parametrize("name", ex.catalogue.preconditioners)
def test_every_preconditioner_builds_without_data(name):
    small = {"name": "shepp_logan", "params": {"size": 32}}  # so that matrices can be made
    problem = build(ex.RunSpec(problem=small, operator="identity", precond=name, device="meta"))
    M = problem.offers.get("precond")
    assert (M is None) == (name == "none")
    if M is not None:
        assert M(problem.y).is_meta


@pytest.mark.parametrize("name", NAMES)
def test_a_preconditioner_moves_to_another_precision(name):
    M = make(name, random_positive(IMAGE)).to(dtype=torch.float32)
    assert M(normal(IMAGE.shape, dtype=torch.float32)).dtype == torch.float32


# --- what theory promises ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_jacobi_undoes_unlike_scales(dtype):
    """M A is similar to the equilibrated matrix; van der Sluis: within a factor n of the best diagonal scaling."""
    for seed in SEEDS:
        domain, n = Space((30,), dtype), 30
        good = hermitian(torch.linspace(1, 3, n, dtype=torch.float64), seed, dtype)
        scales = torch.logspace(-3, 3, n, dtype=torch.float64)
        A = dense(domain, scales[:, None] * good * scales)
        M = make("jacobi", A)
        assert_close((M.to_dense() @ A.to_dense()).diagonal(), torch.ones(n, dtype=dtype), 10)
        assert condition(M, A) <= n * 3
        assert condition(Identity(domain), A) >= 1e10


def test_jacobi_of_the_gram_equilibrates_columns():
    for seed in SEEDS:
        matrix = isometry(40, 20, seed) * torch.logspace(-3, 3, 20, dtype=torch.float64)
        A = DenseMatrix(Space((20,), torch.float64), Space((40,), torch.float64), matrix)
        scaled = matrix * make("jacobi", A, system="gram").main_diagonal().sqrt()
        assert_close(scaled.T @ scaled, torch.eye(20, dtype=torch.float64), 100)


def test_jacobi_leaves_out_what_the_operator_does_not_see():
    mask = torch.tensor([2.0, 0.0, 4.0])
    M = make("jacobi", Diagonal(Space((3,)), mask, positive=True))
    assert M(torch.ones(3)).tolist() == [0.5, 0, 0.25]


def test_jacobi_refuses_an_operator_without_a_cheap_diagonal():
    class Positive(Identity):
        title = "an operator that says nothing of its diagonal"

        def main_diagonal(self):
            return None

    with pytest.raises(ex.SpecError, match="is not known cheaply: try the preconditioner 'fourier'"):
        make("jacobi", Positive(IMAGE))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("basis", "boundary"), [("fourier", "periodic"), ("cosine", "reflexive")])
@pytest.mark.parametrize("system", ["A", "gram"])
def test_the_fourier_inverse_of_a_convolution_is_exact(dtype, basis, boundary, system):
    domain = Space((24, 20), dtype)
    A = blur(domain, boundary, sigma=0.8)
    H = A.H @ A if system == "gram" else A
    x = normal(domain.shape, dtype=dtype)
    assert_close(make("fourier", A, system=system, basis=basis, shift=0.0)(H(x)), x, 1e6)


@pytest.mark.parametrize("basis", BASES)
def test_a_shift_relative_to_the_largest_eigenvalue_solves_the_shifted_system(basis):
    A = 3.0 * blur(Space((24, 20), torch.float64), {"fourier": "periodic", "cosine": "reflexive"}[basis])
    x = normal((24, 20))
    assert_close(make("fourier", A, basis=basis, shift=0.01)(A(x) + 0.01 * 3 * x), x, 1e5)


@pytest.mark.parametrize("basis", BASES)
def test_fourier_helps_where_the_border_is_another(basis):
    """A blur with zeros beyond the border and a Tikhonov term: M gathers the spectrum at 1."""
    domain = Space((16, 16), torch.float64)
    A = blur(domain, "zero", sigma=1.0)
    H = A.H @ A + 1e-3 * Identity(domain)
    M = make("fourier", H, basis=basis, shift=0.0)
    assert condition(M, H) <= condition(Identity(domain), H) / {"fourier": 3, "cosine": 30}[basis]
    values = torch.linalg.eigvals(M.to_dense() @ H.to_dense()).real
    assert ((values - 1).abs() < 0.5).double().mean() > 0.8


@pytest.mark.parametrize("basis", BASES)
def test_eigenvalues_below_zero_count_as_zero(basis):
    line = Space((16,), torch.float64)
    box = torch.zeros(16, dtype=torch.float64)
    box[:7] = 1 / 7  # a box blur has negative eigenvalues, and this one claims to be positive
    A = dense(line, torch.stack([box.roll(i - 3) for i in range(16)]))
    M = make("fourier", A, basis=basis, shift=0.0)
    assert (M.svd().s >= 0).all()
    assert (line.inner(normal((9, 16)), M(normal((9, 16)))) >= 0).all()
