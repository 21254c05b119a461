"""Random measurements: their matrices, their moments, and that sparse unknowns are found from few of them."""

import math

import pytest
import scipy.linalg
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.sensing import power_of_two, walsh_hadamard
from tests.support import SEEDS, assert_close, every_seed, normal

DOUBLE = torch.float64
ops = ex.operators
KINDS = ["gaussian_sensing", "hadamard_sensing", "sparse_binary"]


def make(name, n, seed=0, **knobs):
    return getattr(ops, name)(Space((n,), DOUBLE), Rng(seed, name), **knobs)


@pytest.mark.parametrize("n", [1, 2, 16, 128])
def test_the_fast_transform_is_the_matrix_of_sylvester(n):
    H = torch.from_numpy(scipy.linalg.hadamard(n)).double() / math.sqrt(n)
    x = normal((3, n))
    assert_close(walsh_hadamard(x), x @ H, 32)


def test_hadamard_measurements_are_rows_of_the_matrix_with_random_signs():
    A = make("hadamard_sensing", 16, share=0.5)
    H = torch.from_numpy(scipy.linalg.hadamard(16)).double() / 4
    assert_close(A.to_dense(), H[A.kept] * A.signs, 32)
    assert A.coisometry
    assert A.has_svd
    assert len(A.kept) == 8


def test_other_lengths_are_filled_up_with_zeros():
    A = make("hadamard_sensing", 12, scramble=False)
    H = torch.from_numpy(scipy.linalg.hadamard(16)).double() / 4
    assert_close(A.to_dense(), H[A.kept, :12], 32)
    assert not A.coisometry
    assert [power_of_two(n) for n in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]


@every_seed
def test_every_column_of_a_sparse_binary_matrix_has_as_many_ones(seed):
    M = make("sparse_binary", 200, seed, share=0.3, ones=7).to_dense()
    assert ((M == 0) | (M == 1)).all()
    assert (M.sum(0) == 7).all()
    # the rows are shared out evenly: 60 of them, with 23.3 ones on average
    assert M.sum(1).max() < 50
    assert M.sum(1).min() > 5


def test_more_ones_than_rows_are_refused():
    with pytest.raises(ex.SpecError, match="a column has 9 ones, and there are 4 rows only"):
        make("sparse_binary", 10, ones=9)


def test_gaussian_entries_have_variance_one_over_m():
    M = make("gaussian_sensing", 1000, share=0.3).to_dense()
    assert M.shape == (300, 1000)
    assert abs(M.var() * 300 - 1) < 0.02
    assert abs(M.mean()) < 5 / math.sqrt(300 * M.numel())


@pytest.mark.parametrize("name", KINDS)
def test_sparse_unknowns_are_found_from_few_measurements(name):
    """Orthogonal matching pursuit: 8 of 256 unknowns from 102 measurements, in every one of the draws."""
    for seed in SEEDS:
        A = make(name, 256, seed)
        M = A.to_dense()
        x = torch.zeros(256, dtype=DOUBLE)
        places = torch.randperm(256, generator=torch.Generator().manual_seed(seed))[:8]
        x[places] = normal((8,), seed).sign() + 0.5 * normal((8,), seed + 10)
        residual, chosen = A(x), []
        while len(chosen) < 8:
            chosen.append(int(((M.T @ residual).abs() / torch.linalg.vector_norm(M, dim=0)).argmax()))
            coefficients = torch.linalg.lstsq(M[:, chosen], A(x)[:, None]).solution[:, 0]
            residual = A(x) - M[:, chosen] @ coefficients
        assert set(chosen) == set(places.tolist())


def test_without_signs_hadamard_measurements_miss_what_is_smooth():
    smooth = torch.exp(-(((torch.arange(256, dtype=DOUBLE) - 100) / 60) ** 2))
    share = {
        scramble: torch.stack(
            [make("hadamard_sensing", 256, s, scramble=scramble, share=0.25)(smooth).square().sum() for s in SEEDS]
        )
        / smooth.square().sum()
        for scramble in (True, False)
    }
    assert ((share[True] > 0.1) & (share[True] < 0.4)).all()
    assert share[False].max() > 10 * share[False].min()  # it depends on whether a large coefficient is kept
