"""The algebra against dense matrices, and the properties that it carries along."""

import itertools

import pytest
import torch

import explorer as ex
from explorer.linalg import Blocks, Ledger, ProductSpace, Rng, Space
from explorer.operators.algebra import BlockDiagonal, Kronecker, Stack
from explorer.operators.base import DenseMatrix, Diagonal, Identity
from explorer.operators.transforms import Cosine, Fourier, Hartley
from tests.support import assert_close, decay, every_seed, hermitian, normal, operator, self_adjoint_operator

R12, C12 = Space((12,), torch.float64), Space((12,), torch.complex128)


def dense(m, n, seed=0, dtype=torch.float64):
    return DenseMatrix(Space((n,), dtype), Space((m,), dtype), normal((m, n), seed, dtype))


def fourier(seed=0, domain=C12):
    return ex.operators.masked_fourier(domain, Rng(seed, "mask"), acceleration=2.0)


def assert_has_svd(A):
    assert A.has_svd
    d, M = A.svd(), A.to_dense()
    U, V = d.U.to_dense(), d.V.to_dense()
    identity = torch.eye(d.s.numel(), dtype=U.dtype)
    assert_close(U.mH @ U, identity, 64)
    assert_close(V.mH @ V, identity.to(V.dtype), 64)
    assert (d.s >= 0).all()
    assert_close((U * d.s.reshape(-1)) @ V.mH.to(U.dtype), M, 64)
    assert_close(A.norm(), d.s.max(), 4)


@every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_expressions_are_their_matrices(seed, dtype):
    A, B, C = dense(5, 4, seed, dtype), dense(5, 4, seed + 10, dtype), dense(4, 3, seed + 20, dtype)
    a, b, c = A.matrix, B.matrix, C.matrix
    factor = 2 - 0.5j if dtype.is_complex else -1.5
    for made, expected in (
        (A.H, a.mH),
        (A + B, a + b),
        (A - B, a - b),
        (-A, -a),
        (factor * A, factor * a),
        (torch.tensor(factor) * A, factor * a),
        (A * factor, factor * a),
        (A @ C, a @ c),
        ((A + factor * B) @ C, (a + factor * b) @ c),
        ((A @ C).H, (a @ c).mH),
        ((factor * A).H, (factor * a).mH),
        ((torch.tensor(factor) * A).H, (factor * a).mH),
        (A.H @ B + 3 * Identity(A.domain), a.mH @ b + 3 * torch.eye(4, dtype=dtype)),
    ):
        assert_close(made.to_dense(), expected, 32)
        y = normal((2, *made.codomain.shape), seed, dtype)
        assert_close(made.adjoint(y), y @ expected.conj(), 32)
    x = normal((4,), seed, dtype)
    assert_close(A @ x, a @ x, 32)


def test_properties_follow_the_structure():
    A, B = dense(5, 4), dense(5, 4, 1)
    S = self_adjoint_operator(decay(4))
    N = DenseMatrix(S.domain, S.domain, hermitian(decay(4) - 0.5), self_adjoint=True)
    W = self_adjoint_operator(decay(5))
    eye = Identity(A.domain)
    for made, self_adjoint, positive in (
        (A.H @ A, True, True),
        (A @ A.H, True, True),
        (A.H @ B, False, False),
        (S @ S, True, True),
        (N @ N, True, True),
        (S @ N, False, False),
        (A.H @ W @ A, True, True),
        (A.H @ (W @ A), True, True),
        (A @ N @ A.H, True, False),
        ((A @ S).H @ (A @ S), True, True),
        ((A @ S).H @ A @ S, True, True),
        (S + eye, True, True),
        (S + N, True, False),
        (2 * S, True, True),
        (-1 * S, True, False),
        (A.H @ A + 0.1 * eye, True, True),
        (A.H @ A - 0.1 * eye, True, False),
        (BlockDiagonal(S, N), True, False),
        (BlockDiagonal(S, eye), True, True),
        (Kronecker(Space((4, 4), torch.float64), [S, S]), True, True),
    ):
        assert (made.self_adjoint, made.positive) == (self_adjoint, positive), made.title
        assert (made.H is made) == self_adjoint


@every_seed
def test_decompositions_follow_the_structure(seed):
    A = operator(decay(4), 6, 4, seed)
    S = self_adjoint_operator(decay(6), seed)
    H, C = Hartley(Space((6,), torch.float64)), Cosine(Space((6,), torch.float64))
    for made in (
        A.H,
        -2 * A,
        torch.tensor(-3.0) * A,
        A.H @ A,
        A @ A.H,
        H @ A,
        A.H @ C,
        C.H @ S @ C,
        C.H @ H,
        S + 0.5 * Identity(S.domain),
        3 * Identity(S.domain) + S,
        A.H @ A + Identity(A.domain),
        Diagonal(S.domain, normal((6,), seed)),
        Kronecker(Space((4, 6), torch.float64), [A, S]),
    ):
        assert_has_svd(made)
    for made in (A @ A.H + 0.1 * Identity(S.domain), S @ A, A + A, S - 0.5 * Identity(S.domain)):
        assert not made.has_svd
        with pytest.raises(ex.SpecError, match="no cheap singular value decomposition"):
            made.svd()


def test_isometries_compose():
    F, M = Fourier(C12), fourier()
    assert (M.isometry, M.coisometry) == (False, True)
    assert (M.H.isometry, M.H.coisometry) == (True, False)
    assert (M @ F).coisometry
    assert (F @ M.H).isometry
    assert not (M.H @ M).isometry
    for made in (M, M.H, M @ F, M.H @ M, M @ F @ Diagonal(C12, normal((12,), dtype=torch.complex128)).H):
        if made.has_svd:
            assert_has_svd(made)
    assert (M.H @ M).has_svd


def test_between_real_and_complex_the_inner_product_is_a_real_part():
    A = fourier(domain=R12)
    x, y = normal((12,)), normal(A.codomain.shape, 1, torch.complex128)
    for made in (A, (1 + 2j) * A, A + 1j * A, Stack(A, 2j * A)):
        data = Blocks((y, 3j * y)) if isinstance(made, Stack) else y
        gap = made.codomain.inner(made(x), data).real - made.domain.inner(x, made.adjoint(data))
        assert abs(gap) < 1e-13
        assert not made.adjoint(data).is_complex()
    with pytest.raises(ex.SpecError, match="no complex matrix"):
        A.H.to_dense()
    with pytest.raises(ex.SpecError, match=r"complex, and .* is real"):
        1j * dense(3, 3)


@every_seed
def test_stacks_and_block_diagonals(seed):
    A, B = dense(5, 4, seed), dense(3, 4, seed + 10)
    x = normal((2, 4), seed)
    stack = Stack(A, B)
    image = stack(x)
    assert_close(torch.cat(tuple(image), -1), x @ torch.cat((A.matrix, B.matrix)).T, 32)
    assert_close(stack.gram(x), x @ (A.matrix.T @ A.matrix + B.matrix.T @ B.matrix), 64)
    assert_close(stack.gram_diagonal(), A.gram_diagonal() + B.gram_diagonal(), 8)
    assert_close(stack.norm(), torch.linalg.matrix_norm(torch.cat((A.matrix, B.matrix)), 2), 64)
    both = BlockDiagonal(A, B)
    image = both(Blocks((x, -x)))
    assert_close(image[0], A(x), 0)
    assert_close(image[1], -B(x), 0)
    assert_close(both.adjoint(image)[1], B.adjoint(image[1]), 0)
    assert_close(both.norm(), torch.maximum(A.norm(), B.norm()), 8)
    assert isinstance(both.domain, ProductSpace)
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(stack.codomain.norm2(stack(leaf)).sum(), leaf)[0]
    assert_close(gradient, 2 * stack.gram(x), 64)


@every_seed
def test_kronecker_products_of_matrices_and_operators(seed):
    a, b, c = (normal(s, seed + i) for i, s in enumerate([(3, 2), (4, 5), (2, 3)]))
    K = Kronecker(Space((2, 5, 3), torch.float64), (a, b, c))
    assert K.codomain.shape == (3, 4, 2)
    assert_close(K.to_dense(), torch.kron(torch.kron(a, b), c), 32)
    y = normal((2, 2, 3, 4, 2), seed)
    assert_close(K.adjoint(y).reshape(2, 2, -1), y.reshape(2, 2, -1) @ K.to_dense(), 64)
    assert_close(K.gram_diagonal().reshape(-1), (K.to_dense() ** 2).sum(0), 32)
    assert_has_svd(K)
    image = Space((3, 4), torch.float64)
    L = Kronecker(Space((2, 3, 4), torch.float64), (dense(3, 2, seed), ex.operators.gaussian_blur(image)))
    assert_close(L.to_dense(), torch.kron(normal((3, 2), seed), ex.operators.gaussian_blur(image).to_dense()), 32)
    assert_has_svd(L)


def test_norms_of_parts_are_used():
    A = dense(40, 30)
    exact = torch.linalg.matrix_norm(A.matrix, 2)
    for made, expected in ((A.H @ A, exact**2), (3 * A, 3 * exact), (-A.H, exact), (A @ Hartley(A.domain), exact)):
        assert_close(made.norm(), expected, 64)


def test_pictures_and_axes_are_those_of_what_is_applied_last():
    domain = Space((8, 8))
    R, B = ex.operators.radon(domain, angles=5), ex.operators.gaussian_blur(domain)
    M = ex.operators.random_mask(domain, Rng(0, "mask"))
    assert (2 * R @ B).data_axes == (("angle", "°"), ("detector", "px"))
    assert B.data_axes == (("row", "px"), ("column", "px"))
    assert (M @ B).picture((M @ B)(torch.ones(8, 8))).shape == (8, 8)


def test_the_ledger_sees_the_parts_of_a_product():
    A = dense(5, 4)
    gram = A.H @ A
    ledger = Ledger({id(A): "A"})
    with ledger.open():
        gram(torch.ones(4, dtype=torch.float64))
    assert dict(ledger.costs) == {"A": 1, "Aᴴ": 1}


def test_moving_a_product_moves_each_part_once():
    A = dense(5, 4)
    moved = (A.H @ A).to(dtype=torch.float32)
    assert moved.left.operator is moved.right
    assert moved.right.matrix.dtype == torch.float32
    assert A.matrix.dtype == torch.float64


@pytest.mark.parametrize(
    ("combine", "words"),
    [
        (lambda A, B: A @ B, "acts on ℝ\\^\\(4\\), and is given ℝ\\^\\(5\\)"),
        (lambda A, _: A + A.H, "cannot be added"),
        (lambda A, _: Stack(A, A.H), "share their domain"),
        (lambda A, B: Stack(Stack(A, B), A), "blocks of blocks"),
        (lambda A, _: torch.ones(3) * A, "must be a single number"),
        (lambda A, B: Kronecker(Space((3, 3), torch.float64), [A, B]), "the domain has \\(3, 3\\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(combine, words):
    with pytest.raises((ex.SpecError, TypeError), match=words):
        combine(dense(5, 4), dense(5, 4, 1))


def test_every_pair_of_registered_square_operators_can_be_combined():
    domain = Space((8, 8), torch.float64)
    made = [ex.operators.gaussian_blur(domain), ex.operators.motion_blur(domain), ex.operators.identity(domain)]
    x = normal((8, 8))
    for A, B in itertools.product(made, repeat=2):
        assert_close((A @ B + 2 * A)(x), A(B(x)) + 2 * A(x), 16)
