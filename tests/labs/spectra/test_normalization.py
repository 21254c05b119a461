"""Row 288: batch normalisation between random layers, and what it does to a batch and its gradients with depth."""

import torch

from explorer.catalogue import analyses
from explorer.labs.spectra.normalization import back, isometry_gap, layer
from tests import support


def depth(**knobs):
    return analyses["normalized_depth"].build(**knobs)


def test_gradients_are_those_of_automatic_differentiation():
    W, X = (support.normal((3, 6, 6), s).requires_grad_() for s in (0, 1))
    gradient = support.normal((3, 6, 6), 2)
    Z, scale = layer(W, X)
    expected = torch.autograd.grad(Z, (W, X), gradient)
    for found, value in zip(back(W, X, Z, scale, gradient), expected, strict=True):
        support.assert_close(found.detach(), value, 100)


def test_the_isometry_gap_is_zero_for_isometries_alone():
    support.assert_close(isometry_gap(3 * support.isometry(8, 8)), torch.tensor(0.0, dtype=torch.float64), 100)
    s = support.decay(8, 100.0)
    expected = s.square().mean().log() - s.square().log().mean()
    support.assert_close(isometry_gap(support.matrix(s)), expected, 1000)


def test_row_288_orthogonal_weights_keep_gradients_and_normal_ones_do_not():
    found, other = depth(), depth(weights="gaussian")
    assert found.gap.shape == (5, 601)
    assert (found.explosion <= 5).all()
    assert (found.gap[:, -1] <= 1e-3).all()
    assert (other.gradient[:, 0] / other.gradient[:, -1] >= 1e3).all()
    assert (other.gap[:, -1] > 10).all()
