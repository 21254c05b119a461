"""Row 279: confidence regions for principal subspaces."""

import math

import pytest
import torch
from scipy.stats import chi2, kstest

from explorer.catalogue import SpecError, analyses
from explorer.labs.spectra.principal import covariance_pairs, log_volume, p_value, subspace_statistic
from tests import support


def infer(**knobs):
    return analyses["subspace_inference"].build(**knobs)


def test_row_279_the_region_holds_the_truth_as_often_as_it_says():
    found = [infer(seed=seed) for seed in support.SEEDS]
    for one in found:
        assert 0.92 <= one.coverage <= 0.975
        assert kstest(one.p_values, "uniform").pvalue > 1e-4
    assert 0.935 <= sum(one.coverage for one in found) / 5 <= 0.965


def test_small_gaps_and_few_samples_are_outside_the_asymptotics():
    coverage = [infer(seed=seed, gap=1.05, samples=100).coverage for seed in support.SEEDS]
    assert max(coverage) < 0.9


def test_the_region_shrinks_as_the_gap_grows_and_with_the_samples():
    wide, narrow, more = infer(gap=1.5), infer(gap=10.0), infer(gap=1.5, samples=8000)
    assert narrow.log_volume < wide.log_volume - 5
    assert more.log_volume - wide.log_volume == pytest.approx(-6 * math.log(4), abs=0.5)  # n^(−f/2) of f = 12
    assert narrow.angle < wide.angle


@support.every_seed
def test_the_statistic_does_not_depend_on_the_basis_and_sees_a_turn(seed):
    samples = support.normal((1000, 6), seed) * torch.tensor([4.0, 3, 1, 1, 1, 1], dtype=torch.float64)
    values, vectors = covariance_pairs(samples)
    Q, mix = support.isometry(6, 2, seed), support.normal((2, 2), 50 + seed)
    same = subspace_statistic(values, vectors, Q, 1000)
    support.assert_close(subspace_statistic(values, vectors, Q @ mix, 1000), same, 1e5)
    assert float(subspace_statistic(values, vectors, vectors[:, :2], 1000)) < 1e-20
    turned = vectors[:, :2].clone()
    turned[:, 1] = math.cos(0.3) * vectors[:, 1] + math.sin(0.3) * vectors[:, 4]
    l1, l4 = values[1], values[4]
    expected = 1000 * (l1 - l4) ** 2 / (l1 * l4) * math.tan(0.3) ** 2
    support.assert_close(subspace_statistic(values, vectors, turned, 1000), expected, 1e4)


def test_probabilities_and_volumes_against_scipy():
    at = torch.tensor([1.0, 12.0, 30.0], dtype=torch.float64)
    assert p_value(at, 2, 8).numpy() == pytest.approx(chi2.sf(at.numpy(), 12))
    values = torch.tensor([4.0, 1.0, 0.5], dtype=torch.float64)  # k = 1: an ellipse
    radius2 = chi2.ppf(0.95, 2) / 100
    expected = math.pi * radius2 * (2 / 3) * (math.sqrt(2) / 3.5)
    assert math.exp(float(log_volume(values, 1, 100, 0.95))) == pytest.approx(expected)


def test_impossible_settings_are_refused():
    for knobs, field in (({"kept": 8}, "kept"), ({"samples": 8}, "samples"), ({"samples": 100_000}, "repeats")):
        with pytest.raises(SpecError, match=field):
            infer(**knobs)
