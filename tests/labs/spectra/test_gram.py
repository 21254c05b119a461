"""Repeated squaring of the Gram matrix bounds the spectral norm from above (row 154)."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses, operators
from explorer.labs.spectra.gram import gram_bounds
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix
from tests import support


def bound(A, **knobs):
    return analyses["gram_iteration"].build(A=A, **knobs)


def convolution(seed, shape=(3, 7, 6), **knobs):
    return operators["channel_convolution"].build(domain=Space(shape, torch.float64), rng=Rng(seed, "c"), **knobs)


def test_row_154_the_bound_is_never_too_small_and_converges_faster_than_any_fixed_rate():
    """Seven squarings give 1e-4 where the first two singular values differ by 1.5 %, as they mostly do; else eight."""
    G = torch.stack([support.normal((200, 150), seed) for seed in support.SEEDS])
    s = torch.linalg.svdvals(G)
    gap = gram_bounds(G, 12) / s[:, 0] - 1
    assert gap.min() >= -1e-12
    apart = s[:, 1] / s[:, 0] < 0.985
    assert apart.sum() >= 3
    assert gap[7, apart].max() <= 1e-4
    assert gap[8].max() <= 1e-4
    # from the exact singular values
    for t in range(13):
        expected = (s / s[:, :1]).pow(2 ** (t + 1)).sum(-1) ** (0.5 ** (t + 1)) - 1
        assert (gap[t] - expected).abs().max() < 1e-11
    ratio = gap[1:9] / gap[:8]
    assert (ratio[3:] < ratio[2:-1]).all()
    for seed in support.SEEDS:
        A = DenseMatrix(Space((150,), torch.float64), Space((200,), torch.float64), G[seed])
        found, exact = bound(A, steps=7, seed=seed), float(s[seed, 0])
        assert (found.lower <= exact * (1 + 1e-12)).all()
        assert 1 - found.lower[7] / exact > float(gap[5, seed])
        assert found.step_size == pytest.approx(1 / exact**2, rel=1e-3)


@support.every_seed
def test_row_154_a_circular_convolution_against_its_dense_matrix(seed):
    A = convolution(seed, channels=4)
    exact = float(torch.linalg.svdvals(A.to_dense())[0])
    found = bound(A, steps=16)
    assert found.upper[-1] == pytest.approx(exact, rel=1e-8)
    assert (found.upper >= exact * (1 - 1e-12)).all()


@support.every_seed
def test_zeros_outside_are_bounded_too_but_not_sharply(seed):
    A = convolution(seed, channels=4, boundary="zero")
    exact = float(torch.linalg.svdvals(A.to_dense())[0])
    upper = bound(A, steps=16).upper[-1]
    assert exact < upper < 1.6 * exact


def test_the_convolution_is_that_of_torch():
    """With zeros outside, against ``conv2d``, which correlates; circular against the same after wrapping."""
    A, B = convolution(0, channels=2, boundary="zero"), convolution(0, channels=2)
    x = support.normal((5, 3, 7, 6))
    flipped = A.kernel.flip((2, 3))
    support.assert_close(A(x), torch.nn.functional.conv2d(x, flipped, padding=1), 100)
    wrapped = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
    support.assert_close(B(x), torch.nn.functional.conv2d(wrapped, flipped), 100)


def test_its_derivative_is_that_of_the_spectral_norm():
    """``u₁ v₁ᵀ``, with twelve squarings."""
    G = support.matrix(support.decay(8, 20), 12, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(gram_bounds(G, 12)[-1], G)
    u, _, vh = torch.linalg.svd(G.detach())
    support.assert_close(gradient, torch.outer(u[:, 0], vh[0]), 1e4)


def test_zero_complex_and_large_matrices_and_refusals():
    assert not gram_bounds(torch.zeros(3, 4), 5).any()
    G = support.normal((6, 9), dtype=torch.complex128)
    exact = torch.linalg.svdvals(G)[0]
    for scale in (1e-150, 1.0, 1e150):
        assert float(gram_bounds(scale * G, 14)[-1] / (scale * exact)) == pytest.approx(1, rel=1e-8)
    spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, operator="gaussian_blur")
    found = ex.analyse(ex.run(spec), "gram_iteration")
    assert found.lower[-1] <= found.upper[-1]
    assert np.all(np.diff(found.upper) <= 1e-12)
    assert "squarings" in found.sentence
    with pytest.raises(ex.SpecError, match="none may be above the grid"):
        convolution(0, shape=(3, 2, 6))
    with pytest.raises(ex.SpecError, match="more than"):
        convolution(0, shape=(3, 1000, 1000), channels=100)
