"""Kronecker products and sums against NumPy, and Sylvester's equation against SciPy."""

import numpy as np
import pytest
import scipy.linalg
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from tests.support import assert_close, normal

DOUBLE = torch.float64
SQUARE = Space((8, 8), DOUBLE)
LINE = Space((8,), DOUBLE)


def factor(name):
    """Return an operator on signals, dense."""
    return ex.catalogue.operators[name].bind({"domain": LINE, "rng": Rng(0, "test")}, {})().to_dense()


@pytest.mark.parametrize(("down", "across"), [("gravity", "phillips"), ("shaw", "vandermonde")])
def test_the_product_is_numpys(down, across):
    A = ex.operators.kronecker_product(SQUARE, Rng(0, "test"), down=down, across=across)
    B, C = factor(down), factor(across)
    assert_close(A.to_dense(), torch.from_numpy(np.kron(B, C)), 32)
    x = normal((8, 8), 1)
    assert_close(A(x), B @ x @ C.mT, 32)
    assert_close(A.norm(), torch.linalg.matrix_norm(torch.kron(B, C), 2), 1e3)


@pytest.mark.parametrize(("down", "across"), [("poisson_equation", "poisson_equation"), ("toeplitz", "hilbert")])
def test_the_sum_is_numpys(down, across):
    A = ex.operators.kronecker_sum(SQUARE, Rng(0, "test"), down=down, across=across)
    B, C = factor(down), factor(across)
    assert_close(A.to_dense(), torch.from_numpy(np.kron(B, np.eye(8)) + np.kron(np.eye(8), C)), 32)


def test_with_poissons_equation_on_both_sides_the_sum_is_that_on_the_square():
    A = ex.operators.kronecker_sum(SQUARE, Rng(0, "test"))
    assert_close(A.to_dense(), ex.operators.poisson_equation(SQUARE).to_dense(), 32)
    assert A.self_adjoint
    assert A.positive


def test_solving_with_the_sum_is_sylvesters_equation():
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 8}},
        operator={"name": "kronecker_sum", "params": {"down": "hilbert", "across": "toeplitz"}},
        noise="none",
        solver="gmres",
        dtype="float64",
    )
    run = ex.run(spec)
    found = scipy.linalg.solve_sylvester(factor("hilbert").numpy(), factor("toeplitz").numpy().T, run.y.numpy())
    np.testing.assert_allclose(run.x.numpy(), found, atol=1e-6)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ex.SpecError, match="has to stay in one space"):
        ex.operators.kronecker_sum(SQUARE, Rng(0, "test"), down="gradient")
    with pytest.raises(ex.SpecError, match="needs a square image"):
        ex.catalogue.operators["kronecker_product"].bind({"domain": Space((6, 9), DOUBLE), "rng": Rng(0, "test")}, {})
