"""The entropy of a spectrum and what it does to codes as a penalty (row 156)."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses
from explorer.labs.spectra.entropy import autocorrelation, budget, entropy, unevenness
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from tests import support


def rows(matrix):
    m, n = matrix.shape
    A = DenseMatrix(Space((n,), torch.float64), Space((m,), torch.float64), matrix)
    return analyses["row_entropy"].build(A=A)


def test_row_156_codes_of_sixteen_dimensions_of_data_of_four():
    """Five networks; the smallest eigenvalue is at least three times larger than with the Frobenius norm."""
    found = analyses["entropy_control"].build()
    none, more, less, frobenius = found.effective_rank
    assert more.min() >= 12
    assert less.max() <= 5
    assert (less < none).all()
    assert np.abs(found.error[1:3] / found.error[0] - 1).max() <= 0.05
    smallest = found.values[:, :, 0]
    assert (smallest[1] >= 3 * smallest[3]).all()
    assert (frobenius < more).all()
    # nothing is below the error of the best possible answer, of which 4000 samples have 1.5 %
    assert found.error.min() >= 0.2 * 0.985


@support.every_seed
def test_row_156_gradients_against_differences(seed):
    H = support.normal((9, 5), seed).requires_grad_()
    for function in (entropy, unevenness):
        assert torch.autograd.gradcheck(lambda x, f=function: f(autocorrelation(x)), H, eps=1e-6, atol=1e-6)


def test_the_gradient_is_minus_log_c_minus_one_even_where_eigenvalues_are_the_same():
    C = (torch.eye(6, dtype=torch.float64) / 6).requires_grad_()
    (gradient,) = torch.autograd.grad(entropy(C), C)
    support.assert_close(gradient, (math.log(6) - 1) * torch.eye(6, dtype=torch.float64), 100)
    spectrum = support.decay(6, 50.0)
    C = support.hermitian(spectrum / spectrum.sum()).requires_grad_()
    (gradient,) = torch.autograd.grad(entropy(C), C)
    values, vectors = torch.linalg.eigh(C.detach())
    support.assert_close(gradient, -(vectors * (1 + values.log())) @ vectors.mT, 1000)


def test_entropy_of_known_spectra():
    assert rows(torch.eye(7, dtype=torch.float64)).effective_rank == pytest.approx(7)
    assert rows(torch.ones(7, 3, dtype=torch.float64)).effective_rank == pytest.approx(1)
    # lengths do not count, and rows of zeros neither
    Q = support.isometry(9, 4).mT
    scaled = torch.cat((Q * torch.tensor([[1.0], [2.0], [1e-3], [50.0]]), torch.zeros(2, 9))).double()
    found = rows(scaled)
    assert found.effective_rank == pytest.approx(4)
    assert found.values == pytest.approx([0.25] * 4 + [0] * 5, abs=1e-12)
    assert found.values.sum() == pytest.approx(1)


def test_batches_are_loops():
    H = support.normal((3, 20, 6))
    support.assert_close(entropy(autocorrelation(H)), torch.stack([entropy(autocorrelation(h)) for h in H]), 10)
    support.assert_close(budget(H), torch.cat([budget(h[None]) for h in H]), 100)


def test_on_a_problem_and_refused():
    spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, operator="gaussian_blur")
    assert "of 64 dimensions" in ex.analyse(ex.run(spec), "row_entropy").sentence
    with pytest.raises(ex.SpecError, match="no direction"):
        rows(torch.zeros(4, 4, dtype=torch.float64))
