"""Operators of other libraries keep what ours promise."""

import itertools

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.sparse.linalg import LinearOperator as SciPyOperator
from scipy.sparse.linalg import aslinearoperator

import explorer as ex
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from explorer.operators.sparse import SparseMatrix
from tests.support import assert_close, assert_same_bits, every_seed, normal

M = normal((5, 4))
Z = normal((5, 4), 1, torch.complex128)


class Physics:
    """As a deepinv physics: NCHW in, NCHW out."""

    img_size = (1, 4, 6)

    def A(self, x):
        return x[..., ::2]

    def A_adjoint(self, y):
        x = y.new_zeros((*y.shape[:-1], 6))
        x[..., ::2] = y
        return x


class PyLops:
    """As a PyLops operator: vectors in and out, with the shapes of the elements beside."""

    dims, dimsd, shape, dtype = (2, 2), (5,), (5, 4), np.dtype("float64")

    def matvec(self, x):
        assert x.shape == (4,)
        return M.numpy() @ x

    def rmatvec(self, y):
        assert y.shape == (5,)
        return M.numpy().T @ y


REAL = {
    "tensor": M,
    "array": M.numpy(),
    "nested memory": np.asfortranarray(M.numpy()),
    "COO tensor": M.to_sparse_coo(),
    "CSC array": scipy.sparse.csc_array(M.numpy()),
    "COO matrix": scipy.sparse.coo_matrix(M.numpy()),
    "SciPy operator": aslinearoperator(M.numpy()),
    "PyLops": PyLops(),
}


@every_seed
@pytest.mark.parametrize("kind", REAL)
def test_everything_with_a_matrix_acts_as_it(kind, seed):
    A = ex.as_operator(REAL[kind])
    x, y = normal((2, 3, *A.domain.shape), seed), normal((2, 3, 5), seed + 1)
    assert A.domain.dtype == torch.float64
    assert_close(A(x), x.reshape(2, 3, 4) @ M.T, 8)
    assert_close(A.adjoint(y), (y @ M).reshape(x.shape), 8)
    assert_close(A.to_dense(), M, 8)
    if (diagonal := A.gram_diagonal()) is not None:
        assert_close(diagonal, (M**2).sum(0), 8)
    leaf = x.clone().requires_grad_()
    (A(leaf) * y).sum().backward()
    assert_close(leaf.grad, A.adjoint(y), 8)
    assert_close(torch.func.vmap(A.forward)(x[0]), A(x[0]), 8)
    assert_close(torch.func.jvp(A.forward, (x,), (x,))[1], A(x), 8)


@pytest.mark.parametrize("thing", [Z, Z.numpy(), scipy.sparse.csr_array(Z.numpy()), aslinearoperator(Z.numpy())])
def test_complex_matrices_have_their_conjugate_transpose(thing):
    A = ex.as_operator(thing)
    assert A.domain.dtype == torch.complex128
    x, y = normal((2, 4), 2, torch.complex128), normal((2, 5), 3, torch.complex128)
    assert_close(A(x), x @ Z.T, 8)
    assert_close(A.adjoint(y), y @ Z.conj(), 8)
    single = A.to(dtype=torch.float32)
    assert_close(single.adjoint(y.to(torch.complex64)), y @ Z.conj(), 8)


def test_a_real_sparse_matrix_acts_on_complex_elements():
    A = ex.as_operator(scipy.sparse.csr_array(M.numpy()), dtype=torch.complex128)
    x = normal((4,), 2, torch.complex128)
    assert_close(A(x), M.to(x) @ x, 8)


def test_the_kind_of_operator_is_kept():
    assert isinstance(ex.as_operator(M), DenseMatrix)
    assert isinstance(ex.as_operator(M.to_sparse_coo()), SparseMatrix)
    A = ex.operators.identity(Space((3,)))
    assert ex.as_operator(A) is A
    assert ex.as_operator(np.eye(3, dtype=int)).domain.dtype == torch.float32
    assert ex.as_operator(M, dtype=torch.float32, title="mine").title == "mine"


def test_the_wrapped_matrix_is_a_copy():
    for thing in (M.clone(), M.numpy().copy(), scipy.sparse.csr_array(M.numpy())):
        A = ex.as_operator(thing)
        thing *= 0
        assert_close(A(torch.ones(4, dtype=torch.float64)), M.sum(1), 8)


def test_a_read_only_array_is_taken():
    array = M.numpy().copy()
    array.setflags(write=False)
    assert_close(ex.as_operator(array[::-1]).to_dense(), M.flip(0), 0)


def test_shapes_may_be_given():
    A = ex.as_operator(M, domain=(2, 2), codomain=Space((5, 1), torch.float64))
    assert A(torch.ones(3, 2, 2, dtype=torch.float64)).shape == (3, 5, 1)


@pytest.mark.parametrize("numpy", [False, True])
def test_a_pair_of_functions_is_called_on_one_element_at_a_time(numpy):
    flip = np.flip if numpy else torch.flip
    first = (0,)
    shapes = []

    def forward(x):
        shapes.append(x.shape)
        return flip(x, first)

    A = ex.as_operator((forward, lambda y: flip(y, first)), (4, 3), (4, 3), dtype=torch.float64, numpy=numpy)
    x = normal((2, 4, 3))
    assert_close(A(x), x.flip(1), 0)
    assert set(shapes) == {(4, 3)}
    leaf = x.clone().requires_grad_()
    A(leaf)[:, 0].sum().backward()
    assert_close(leaf.grad.sum((0, 2)), torch.tensor([0.0, 0, 0, 6]), 0)


def test_a_function_may_write_into_what_it_is_given():
    def double(x):
        x *= 2
        return x

    A = ex.as_operator((double, double), 4, 4)
    x = torch.ones(3, 4)
    assert_close(A(x), 2 * x, 0)
    assert_same_bits(x, torch.ones(3, 4))


def test_a_physics_keeps_its_channels_and_finds_its_data_space():
    A = ex.as_operator(Physics())
    assert A.domain.shape == (1, 4, 6)
    assert A.codomain.shape == (1, 4, 3)
    x = normal((2, 1, 4, 6), dtype=torch.float32)
    assert_close(A(x), x[..., ::2], 0)


def test_a_mate_does_not_spoil_a_sample():
    A = ex.as_operator(aslinearoperator(M.numpy()))
    x = normal((3, 4))
    spoiled = x.clone()
    spoiled[[0, 2]] = float("nan")
    assert_same_bits(A(spoiled)[1], A(x)[1])


def test_it_can_be_inverted_like_any_other():
    A = ex.as_operator(aslinearoperator(M.numpy()))
    x = normal((4,))
    last = list(itertools.islice(ex.solvers.cgls(A, A(x)), 8))[-1]
    assert_close(last.x, x, 1e5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ex.as_operator("blur"), "a str is not a linear operator: give an array"),
        (lambda: ex.as_operator(torch.ones(3)), r"shape \(3,\), and a matrix must have two dimensions"),
        (lambda: ex.as_operator(M, domain=(3, 3)), r"shape \(5, 4\), and its spaces \(5,\) and \(3, 3\)"),
        (lambda: ex.as_operator(Z, dtype=torch.float64), "choose a complex dtype"),
        (lambda: ex.as_operator((torch.sin,), 3, 3), "a pair must be two functions"),
        (lambda: ex.as_operator((torch.clone, torch.clone), 3), r"codomain is not known: give it"),
        (lambda: ex.as_operator((lambda x: x[1:], torch.clone), 3, 3), r"returned shape \(2,\)"),
        (lambda: ex.as_operator((lambda x: 1j * x, torch.clone), 3, 3), "returned complex values for a real space"),
        (lambda: ex.as_operator((lambda x: 2 * x, torch.clone), 3, 3), "is not its adjoint"),
        (lambda: ex.as_operator(SciPyOperator((5, 4), matvec=lambda x: M.numpy() @ x)), "has no adjoint: give a pair"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(call, words):
    with pytest.raises(ex.SpecError, match=words):
        call()


def test_pylops_itself():
    pylops = pytest.importorskip("pylops")
    A = ex.as_operator(pylops.FirstDerivative((6, 5), axis=0, dtype="float64"))
    assert A.domain.shape == (6, 5)
    x = normal((2, 6, 5))
    assert_close(A(x)[:, 1:-1], (x[:, 2:] - x[:, :-2]) / 2, 8)
