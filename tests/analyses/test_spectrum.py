"""Singular values and Picard's condition against matrices of a prescribed spectrum."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import explorer as ex
from explorer.catalogue import SpecError, analyses
from explorer.linalg import Rng, Space
from explorer.operators.algebra import Kronecker
from explorer.operators.base import Identity, LinearOperator
from tests import support


class Opaque(LinearOperator):
    """A matrix whose structure is hidden."""

    def __init__(self, matrix: Tensor, domain: Space, codomain: Space) -> None:
        super().__init__(domain, codomain)
        self.matrix = matrix

    def _forward(self, x: Tensor) -> Tensor:
        return (x.to(self.matrix.dtype) @ self.matrix.mT).to(self.codomain.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        x = y @ self.matrix.conj()
        return x if self.domain.is_complex else x.real


def hidden(matrix: Tensor) -> Opaque:
    return Opaque(matrix, Space((matrix.shape[1],), matrix.dtype), Space((matrix.shape[0],), matrix.dtype))


@support.every_dtype
def test_structure_and_the_dense_matrix_give_the_prescribed_values(dtype):
    prescribed = support.decay(20, 1e2)
    A = support.operator(prescribed, 30, seed=3, dtype=dtype)
    for operator in (A, hidden(A.matrix)):
        found = ex.analyses.singular_values(operator)
        assert isinstance(found.values, np.ndarray)
        support.assert_close(torch.from_numpy(found.values), prescribed.to(torch.from_numpy(found.values).dtype), 60)
        assert found.condition == pytest.approx(1e2, rel=1e4 * support.eps(dtype))
        assert found.rank == 20


def test_values_of_a_grid_are_sorted_and_zeros_are_counted():
    factor = torch.diag(torch.tensor([1.0, 3.0, 0.0, 2.0], dtype=torch.float64))
    found = ex.analyses.singular_values(Kronecker(Space((4, 4), torch.float64), (factor, factor)))
    assert np.array_equal(found.values, [9, 6, 6, 4, 3, 3, 2, 2, 1, *[0] * 7])
    assert found.rank == 9
    assert found.condition == math.inf
    assert "7 of 16 directions are lost" in found.sentence


def test_a_complex_observation_of_a_real_unknown_counts_real_directions():
    matrix = support.matrix(support.decay(8, 10), 12, dtype=torch.complex128)
    A = Opaque(matrix, Space((8,), torch.float64), Space((12,), torch.complex128))
    gram = torch.stack([A.gram(e) for e in torch.eye(8, dtype=torch.float64)])
    found = ex.analyses.singular_values(A)
    support.assert_close(torch.from_numpy(found.values**2), torch.linalg.eigvalsh(gram).flip(0), 100)


def test_an_operator_out_of_reach_is_refused_in_one_sentence():
    space = Space((64, 64))
    A = Opaque(torch.zeros(1, 1), space, space)
    with pytest.raises(SpecError, match="too large for a dense decomposition: choose a size"):
        ex.analyses.singular_values(A)
    with pytest.raises(SpecError, match="Singular values needs an operator whose singular values structure gives"):
        analyses["singular_values"].build(A=A)


def test_picard_coefficients_are_those_of_the_dense_decomposition():
    u, s, v = support.factors(support.decay(20, 1e2), 30, seed=1)
    y = support.normal((5, 30), 2)
    for operator in (support.operator(s, 30, seed=1), hidden((u * s) @ v.mT)):
        found = ex.analyses.picard(operator, y, noise_norm=0.3)
        assert found.coefficients.shape == (5, 20)
        support.assert_close(torch.from_numpy(found.coefficients), (y @ u).abs(), 2000)
        assert np.allclose(found.ratio, found.coefficients / found.values)
        assert found.floor == pytest.approx(0.3 / math.sqrt(30))


@pytest.mark.parametrize("level", [1e-2, 1e-4, 1e-6])
def test_the_condition_fails_where_the_signal_sinks_below_the_noise(level):
    n, seeds = 200, 8
    u, s, _ = support.factors(support.decay(n, 1e8), seed=4)
    sigma = level / math.sqrt(n)
    signal = s  # coefficients that decay like the singular values
    truth = int((signal > sigma).sum())
    noise = Rng(0, "noise", seeds).normal((n,), torch.float64)
    found = ex.analyses.picard(support.operator(s, seed=4), (u * signal).sum(1) + sigma * noise, level)
    decade = n / 8
    assert np.all(np.abs(found.fails - truth) <= decade / 2)
    assert f"of {n} directions" in found.sentence
    assert "outweighs signal" in found.sentence


def test_without_noise_the_floor_is_rounding():
    n = 64
    u, s, _ = support.factors(support.decay(n, 1e4), seed=5)
    found = ex.analyses.picard(support.operator(s, seed=5), (u * s).sum(1))
    assert found.fails == n
    assert "determine all 64" in found.sentence


def test_coefficients_under_the_identity_are_the_data_themselves():
    y = support.normal((6,), 0)
    found = ex.analyses.picard(Identity(Space((6,), torch.float64)), y, noise_norm=torch.tensor(1e-3))
    assert np.array_equal(found.coefficients, y.abs().numpy())
    assert found.fails.shape == ()


def test_both_are_offered_by_the_catalogue():
    component = analyses["picard"]
    assert [(n.name, n.optional) for n in component.needs] == [("A", False), ("y", False), ("noise_norm", True)]
    assert set(ex.catalogue.analyses) >= {"singular_values", "picard"}
