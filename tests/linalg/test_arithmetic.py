"""Arithmetic per sample, on tensors and on blocks."""

import pytest
import torch

from explorer.linalg import (
    Blocks,
    Ledger,
    axpy,
    axpy_,
    copy_,
    lengths,
    matmul,
    safe_divide,
    safe_inverse,
    scale,
    scale_,
    where,
    xpay_,
)
from tests.support import assert_close, assert_same_bits, every_dtype, normal

BATCH = (3,)


def elements(dtype, seed=0):
    """Two tensors and two blocks with a batch dimension."""
    x, y = normal((*BATCH, 4), seed, dtype), normal((*BATCH, 4), seed + 1, dtype)
    u = Blocks((x, normal((*BATCH, 2, 2), seed + 2, dtype)))
    v = Blocks((y, normal((*BATCH, 2, 2), seed + 3, dtype)))
    return [(x, y), (u, v)]


def parts(x):
    return list(x) if isinstance(x, Blocks) else [x]


ALPHAS = [0.5, torch.tensor(0.5), torch.tensor([0.5, -1.0, 3.0])]


def times(alpha, b):
    return b * (alpha.reshape(-1, *(1,) * (b.ndim - 1)) if isinstance(alpha, torch.Tensor) and alpha.ndim else alpha)


@every_dtype
@pytest.mark.parametrize("alpha", ALPHAS, ids=["number", "scalar", "per sample"])
def test_functions_return_what_their_names_say(dtype, alpha):
    for x, y in elements(dtype):
        for result, expected in (
            (scale(alpha, x), lambda a, _: times(alpha, a)),
            (axpy(alpha, x, y), lambda a, b: times(alpha, a) + b),
        ):
            for r, a, b in zip(parts(result), parts(x), parts(y), strict=True):
                assert r.dtype == dtype
                assert_close(r, expected(a, b).to(dtype), 4, scale=10.0)


@every_dtype
@pytest.mark.parametrize("alpha", ALPHAS, ids=["number", "scalar", "per sample"])
def test_underscored_functions_write_into_their_first_element_only(dtype, alpha):
    for act, expected in (
        (lambda y, x: axpy_(y, alpha, x), lambda b, a: b + times(alpha, a)),
        (lambda y, x: xpay_(y, alpha, x), lambda b, a: a + times(alpha, b)),
        (lambda y, _: scale_(y, alpha), lambda b, _: times(alpha, b)),
        (copy_, lambda _, a: a),
    ):
        for x, y in elements(dtype):
            before = [b.clone() for b in parts(y)]
            untouched = [a.clone() for a in parts(x)]
            act(y, x)
            for b, old, a, kept in zip(parts(y), before, parts(x), untouched, strict=True):
                assert_close(b, expected(old, a).to(dtype), 4, scale=10.0)
                assert_same_bits(a, kept)


def test_where_chooses_sample_by_sample():
    mask = torch.tensor([True, False, True])
    for x, y in elements(torch.float64):
        for chosen, a, b in zip(parts(where(mask, x, y)), parts(x), parts(y), strict=True):
            assert_same_bits(chosen[0], a[0])
            assert_same_bits(chosen[1], b[1])


def test_a_scalar_in_double_precision_leaves_single_elements_single():
    x = torch.ones(3, 4)
    alpha = torch.ones(3, dtype=torch.float64)
    assert scale(alpha, x).dtype == axpy(alpha, x, x).dtype == torch.float32


@every_dtype
def test_safe_divide_is_division_but_for_zero_denominators(dtype):
    a, b = normal((20,), 0, dtype), normal((20,), 1, dtype)
    b[::3] = 0
    expected = torch.where(b == 0, torch.zeros_like(a), a / b)
    assert_same_bits(safe_divide(a, b), expected)
    assert_same_bits(safe_inverse(b), safe_divide(torch.ones_like(b), b))


def test_safe_divide_has_no_threshold():
    tiny = torch.tensor([1e-300, 1e-307], dtype=torch.float64)
    assert safe_divide(tiny, tiny).tolist() == [1.0, 1.0]


def test_safe_divide_passes_breakdown_on():
    assert safe_divide(torch.tensor([float("nan"), 1.0]), torch.tensor([1.0, float("nan")])).isnan().all()


def test_the_gradient_of_safe_divide_is_finite_at_zero():
    a, b = torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([0.0, 0.0], requires_grad=True)
    safe_divide(a, b).sum().backward()
    assert a.grad.tolist() == [0.0, 0.0]
    assert b.grad.tolist() == [0.0, 0.0]


def test_scaling_both_sides_by_a_power_of_two_changes_no_bit():
    a, b = normal((50,), 0, torch.float32), normal((50,), 1, torch.float32)
    assert_same_bits(safe_divide(a * 2.0**20, b * 2.0**20), safe_divide(a, b))


def test_matmul_is_booked():
    ledger = Ledger()
    with ledger.open():
        matmul(torch.ones(2, 2), torch.ones(2, 2))
    assert ledger.costs == {"matmul": 1}


@every_dtype
def test_lengths_are_norms_of_short_vectors_with_a_derivative_at_zero(dtype):
    z = normal((4, 2, 3, 5), 0, dtype)
    for dim in (-3, (-3, -1)):
        assert_close(lengths(z, dim), torch.linalg.vector_norm(z, dim=dim, keepdim=True), 10)
    zero = torch.zeros_like(z).requires_grad_()
    (slope,) = torch.autograd.grad(lengths(zero, -3).sum(), zero)
    assert not slope.any()
    if not dtype.is_complex:
        assert not torch.func.grad(lambda v: lengths(v, -3).sum())(torch.zeros_like(z)).any()
