"""The leading singular values are between their bounds, whatever the spectrum."""

import pytest
import torch

from explorer.linalg import Rng, Space
from explorer.linalg.block_krylov import Flat, leading, norm_bound
from explorer.operators.base import DenseMatrix
from tests.support import SEEDS, decay, every_dtype, isometry, matrix, norm, normal, operator


@pytest.mark.parametrize("kind", ["geometric", "arithmetic", "cliff"])
@pytest.mark.parametrize("condition", [1e1, 1e3, 1e10])
def test_every_value_is_between_its_bounds(kind, condition):
    s = decay(300, condition, kind)
    for seed in SEEDS:
        found = leading(operator(s, 350, seed=seed), Rng(seed, "t"), 64, 8)
        true, rounding = s[: len(found.values)], 1e-14
        assert (found.values <= true + rounding).all()
        assert (true <= found.values + found.error + rounding).all()
        assert found.rest >= s[len(found.values)] - rounding


def test_some_value_is_as_near_as_the_residual_says_and_the_bound_is_tight_where_values_fall_fast():
    s = decay(300, 1e8)
    for seed in SEEDS:
        found = leading(operator(s, 320, seed=seed), Rng(seed, "t"), 80, 8)
        gap = (found.values[:, None] - s).abs().amin(1)
        assert (gap <= found.nearby + 1e-14).all()
        assert (found.error[:20] <= 1e-6 * found.values[:20]).all()


@every_dtype
def test_vectors_are_those_of_the_dense_decomposition(dtype):
    s = decay(200, 1e6)
    A = operator(s, 230, seed=1, dtype=dtype)
    found = leading(A, Rng(0, "t"), 64, 8)
    u, _, v = A.factors
    eps = torch.finfo(dtype).eps
    for mine, dense in ((found.left, u), (found.right, v)):
        overlap = (mine[:8].conj() @ dense[:, :8]).abs().diagonal()
        assert (1 - overlap).abs().max() < 1e4 * eps
        gram = mine.conj() @ mine.mT
        assert norm(gram - torch.eye(len(mine), dtype=dtype)) < 1e3 * eps
    assert norm(A(found.right[:8]) - found.left[:8] * found.values[:8, None]) < 1e4 * eps


@pytest.mark.parametrize("shape", [(12, 9), (9, 12), (7, 7)])
def test_a_space_as_large_as_the_operator_gives_everything_to_rounding(shape):
    m, n = shape
    s = decay(min(shape), 1e3)
    found = leading(operator(s, m, n, seed=2), Rng(0, "t"), 50, 4)
    assert len(found.values) == min(shape)
    assert (found.values - s).abs().max() < 1e-14
    assert found.error.max() < 1e-14


def test_values_of_high_multiplicity_and_a_low_rank_are_found_by_starting_anew():
    s = torch.cat((torch.ones(20), 0.5 * torch.ones(3), torch.zeros(77))).double()
    A = DenseMatrix(Space((100,), torch.float64), Space((120,), torch.float64), matrix(s, 120, seed=3))
    found = leading(A, Rng(0, "t"), 60, 8)
    assert len(found.values) == 23
    assert (found.values - s[:23]).abs().max() < 1e-13
    assert found.rest < 1e-13


def test_complex_data_of_a_real_unknown_are_pairs_of_real_ones():
    dense = torch.complex(normal((40, 30), 1), normal((40, 30), 2))
    A = RealUnknown(dense)
    both = torch.cat((dense.real, dense.imag))
    found = leading(A, Rng(0, "t"), 30, 5)
    assert (found.values - torch.linalg.svdvals(both)[: len(found.values)]).abs().max() < 1e-12
    assert found.left.is_complex()
    assert not found.right.is_complex()
    assert norm(A(found.right) - found.left * found.values[:, None]) < 1e-11


class RealUnknown(DenseMatrix):
    def __init__(self, dense):
        m, n = dense.shape
        super().__init__(Space((n,), torch.complex128), Space((m,), torch.complex128), dense)
        self.domain = Space((n,), torch.float64)

    has_svd = False

    def _forward(self, x):
        return x.to(torch.complex128) @ self.matrix.mT

    def _adjoint(self, y):
        return (y @ self.matrix.conj()).real


@pytest.mark.parametrize("spectrum", [decay(200, 10, "arithmetic"), decay(200, 1e3), torch.ones(200).double()])
def test_the_bound_of_a_norm_is_above_it_and_near(spectrum):
    A = Flat(operator(spectrum, seed=1))
    for seed in range(20):
        assert 1 - 1e-14 <= norm_bound(A, Rng(seed, "n")) < 1.05


def test_isometries_are_done_at_once():
    A = DenseMatrix(Space((50,), torch.float64), Space((80,), torch.float64), isometry(80, 50, 1))
    found = leading(A, Rng(0, "t"), 20, 5)
    assert (found.values - 1).abs().max() < 1e-13
    assert found.nearby.max() < 1e-12
