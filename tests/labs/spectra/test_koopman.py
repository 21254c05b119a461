"""Row 142: Koopman factors of full-rank weights."""

import math

import numpy as np
import torch

from explorer.catalogue import analyses
from explorer.labs.spectra.koopman import log_bounds, log_factor
from tests import support


def test_in_one_dimension_the_factor_is_the_norm_of_composition():
    """‖h(w ·)‖ / ‖h‖ in the Sobolev space of order 1, of functions ``exp(−x²/2) cos(kx)``, by quadrature."""
    frequency = torch.linspace(-60, 60, 200_001, dtype=torch.float64)

    def norm(k, w):
        """Of h(w x), whose Fourier transform is ĥ(ω/w)/w."""
        at = frequency / w
        transform = (torch.exp(-0.5 * (at - k) ** 2) + torch.exp(-0.5 * (at + k) ** 2)) / w
        return math.sqrt(float(torch.trapezoid(transform**2 * (1 + frequency**2), frequency)))

    for w in (0.3, 0.8, 1.0, 1.5, 3.0):
        bound = math.exp(float(log_factor(torch.tensor([[w]], dtype=torch.float64))))
        ratios = [norm(k, w) / norm(k, 1.0) for k in (0.0, 0.3, 1.0, 3.0, 10.0, 18.0)]
        assert max(ratios) <= bound * (1 + 1e-9)
        # it is reached by high frequencies where the layer raises them, else by low ones
        assert (max(ratios) >= 0.98 * bound) == (w >= 1)
        assert max(ratios) >= 0.8 * bound


def test_factors_of_known_spectra_and_of_a_layer_that_is_not_injective():
    s = support.decay(6, 10.0) * 2
    found = log_factor(support.matrix(s, 9, 6), 0.5)
    support.assert_close(found, 5 * s.max().log() - 0.5 * s.log().sum(), 1e3)
    assert log_factor(support.matrix(s, 6, 9)) == math.inf
    small = log_factor(0.1 * support.isometry(6, 6))
    support.assert_close(small, torch.tensor(-3 * math.log(0.1), dtype=torch.float64), 1e3)


def test_row_142_orthogonal_weights_cost_nothing_at_any_width():
    widths, bounds = [16, 32, 64, 128, 256], []
    for width in widths:
        factors = torch.stack(log_bounds([support.isometry(width, width, seed) for seed in range(3)]))
        assert abs(float(factors[0])) <= 1e-10
        bounds.append(float(factors[2]))
    slope = np.polyfit(np.log(widths), bounds, 1)[0]
    assert abs(slope - 3 / 2) <= 1e-10
    found = analyses["koopman_factor"].build(weights="orthogonal", draws=5)
    assert np.abs(found.koopman).max() <= 1e-10
    assert math.isnan(found.correlation)


def test_row_142_gaussian_weights_cost_more_the_worse_their_condition():
    for seed in support.SEEDS:
        found = analyses["koopman_factor"].build(seed=seed)
        assert len(found.koopman) == 50
        assert found.correlation >= 0.9
        # square ones alone are all badly conditioned, and all singular values have their say
        assert 0.3 < analyses["koopman_factor"].build(seed=seed, tallest=1.0).correlation < 0.9


def test_row_142_a_penalty_lowers_the_factor_and_not_the_quality():
    found = analyses["koopman_training"].build()
    assert (found.koopman[:, 0] - found.koopman[:, 1] >= math.log(10)).all()
    assert (found.condition[:, 1] < found.condition[:, 0]).all()
    gap = found.test - found.train
    assert (gap[:, 1] <= gap[:, 0]).all()
    assert (found.test[:, 1] <= found.test[:, 0]).all()
