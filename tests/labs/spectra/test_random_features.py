"""Row 349: what shallow networks with bounded random hidden weights can represent."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from explorer.catalogue import SpecError, analyses, operators
from explorer.labs.spectra.random_features import amplification, features, reach
from explorer.linalg import Rng, Space
from tests import support


def found(**knobs):
    return analyses["feature_range"].build(**knobs)


def test_features_are_as_defined_and_nested():
    F = features(30, 11, 3.0, Rng(1, "x"))
    assert F.shape == (11, 30)
    support.assert_close(F[:, :7], features(7, 11, 3.0, Rng(1, "x")), 0)
    # a feature is tanh of a line: its slope and intercept are within the radius
    line = torch.atanh(F)
    support.assert_close(line.diff(n=2, dim=0), torch.zeros(9, 30, dtype=torch.float64), 1e6, scale=1.0)
    slope, intercept = (line[-1] - line[0]) / 2, line[5]
    assert 2 < slope.abs().max() <= 3
    assert 2 < intercept.abs().max() <= 3


def test_the_operator_maps_weights_to_values():
    A = operators["random_features"].build(domain=Space((4, 5), torch.float64), rng=Rng(0, "a"), samples=31)
    w = support.normal((3, 4, 5))
    support.assert_close(A(w), w.flatten(1) @ features(20, 31, 10.0, Rng(0, "a")).mT, 100)
    with pytest.raises(SpecError, match="at most 256"):
        operators["random_features"].build(domain=Space((65_536,), torch.float64), rng=Rng(0, "a"), samples=257)


@pytest.mark.parametrize(("a", "omega"), [(1.0, 0.5), (1.0, 4.0), (2.5, 6.0)])
def test_amplification_is_one_over_the_fourier_transform_of_the_slope_of_a_feature(a, omega):
    """``∫ a sech²(ax) cos ωx dx`` is 2 over the amplification at the radius a."""
    transform = quad(lambda x: a / math.cosh(a * x) ** 2 * math.cos(omega * x), 0, 40 / a, epsabs=1e-13, limit=500)[0]
    found = float(amplification(torch.tensor(omega, dtype=torch.float64), a))
    assert 1 / transform == pytest.approx(found, rel=1e-8)
    assert reach(a, 1 / found) == pytest.approx(omega, abs=2e-3 * a)


def test_row_349_a_small_radius_has_a_floor_and_a_large_one_needs_more_features():
    for seed in support.SEEDS:
        small, right, large = (found(seed=seed, radius=radius) for radius in (2.0, 10.0, 60.0))
        assert small.count.tolist() == [50, 100, 200, 400, 800]
        assert (small.error >= 0.8).all()
        assert (right.error[2:] <= 1e-2).all()
        assert right.weights[-1] < 1e4 < small.weights[-1]
        assert large.error[0] > 0.2
        assert large.error[2] > right.error[2]
        assert large.error[-1] <= 1e-2


def test_the_floor_is_that_of_the_cutoff_and_missing_frequencies_begin_where_weights_pass_it():
    floors = []
    for cutoff in (1e-4, 1e-7, 1e-10, 1e-13):
        report = found(cutoff=cutoff, half_waves=14, most=400)
        floors.append(report.error[-1])
        first = report.frequency[report.missing > 0.5][0]
        assert 0.7 * report.edge <= first <= 1.1 * report.edge
    assert (np.diff(floors) < 0).all()
