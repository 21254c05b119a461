"""The spectral norm by Golub–Kahan bidiagonalization."""

import pytest
import torch

from explorer.linalg import Blocks, ProductSpace, Rng, Space
from explorer.linalg.golub_kahan import largest_singular_value
from explorer.operators.algebra import Stack
from tests.support import assert_close, decay, every_dtype, every_seed, normal, operator


@every_seed
@every_dtype
def test_all_steps_give_the_norm_of_a_small_matrix(seed, dtype):
    A = operator(3 * decay(8, 100), 12, 8, seed, dtype)
    assert_close(largest_singular_value(A, normal((8,), seed, dtype), 8), torch.linalg.matrix_norm(A.matrix, 2), 100)


@every_seed
@pytest.mark.parametrize("kind", ["geometric", "cliff"])
def test_thirty_steps_give_three_digits_from_below(seed, kind):
    A = operator(decay(200, 1e4, kind), 300, 200, seed)
    estimate = float(largest_singular_value(A, normal((200,), seed), 30))
    assert 0.999 < estimate < 1 + 1e-12


def test_the_zero_operator_has_norm_zero():
    A = operator(torch.zeros(5, dtype=torch.float64))
    assert float(largest_singular_value(A, normal((5,)), 30)) == 0.0


def test_a_start_of_zero_gives_zero_and_no_nan():
    A = operator(decay(5))
    assert float(largest_singular_value(A, torch.zeros(5, dtype=torch.float64), 5)) == 0.0


def test_one_row_takes_one_step():
    A = operator(torch.tensor([2.0], dtype=torch.float64), 1, 6)
    assert_close(largest_singular_value(A, A.adjoint(torch.ones(1, dtype=torch.float64)), 30), torch.tensor(2.0), 10)


@every_seed
def test_it_works_on_blocks(seed):
    space = Space((6,), torch.float64)
    A = Stack(operator(decay(6), seed=seed), operator(2 * decay(6), seed=seed + 50))
    dense = torch.cat([part.matrix for part in A.operators])
    assert isinstance(A.codomain, ProductSpace)
    assert isinstance(A(space.zeros()), Blocks)
    assert_close(largest_singular_value(A, space.random(Rng(seed, "v")), 6), torch.linalg.matrix_norm(dense, 2), 100)


@every_seed
def test_a_wide_matrix_is_exact_after_as_many_steps_as_it_has_rows(seed):
    A = operator(decay(4, 10), 4, 15, seed=seed)
    start = normal((15,), seed)
    assert_close(largest_singular_value(A, start, 4), torch.ones((), dtype=torch.float64), 64)
