"""Laws of random matrices against drawn ones, and what sticks out of them."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.analyses.random_matrices import random_matrix_law
from explorer.linalg import random_matrices as laws
from explorer.linalg.random_matrices import marchenko_pastur, marchenko_pastur_edges, semicircle
from tests import support
from tests.analyses.test_spectrum import hidden


@pytest.mark.parametrize("ratio", [0.2, 0.5, 2.0])
def test_laws_integrate_to_what_they_should(ratio):
    low, high = marchenko_pastur_edges(ratio, 1.3)
    at = torch.linspace(low, high, 200001, dtype=torch.float64)
    whole = torch.trapezoid(marchenko_pastur(at, ratio, 1.3), at)
    mean = torch.trapezoid(at * marchenko_pastur(at, ratio, 1.3), at)
    assert float(whole) == pytest.approx(min(1, 1 / ratio), rel=1e-4)
    assert float(mean) == pytest.approx(1.3, rel=1e-4)
    at = torch.linspace(-2, 2, 200001, dtype=torch.float64)
    assert float(torch.trapezoid(semicircle(at, 2.0), at)) == pytest.approx(1, rel=1e-6)
    assert float(torch.trapezoid(at**2 * semicircle(at, 2.0), at)) == pytest.approx(1, rel=1e-6)


@support.every_seed
@pytest.mark.parametrize("shape", [(600, 200), (200, 400)])
def test_chance_follows_the_law_and_a_spike_sticks_out(seed, shape):
    m, n = shape
    X = support.normal(shape, seed)
    found = random_matrix_law(hidden(X))
    assert found.law == "Marchenko–Pastur"
    assert found.outliers == 0
    assert found.distance < 0.03
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=0.01)
    strong = 3 * math.sqrt(m) * (1 + math.sqrt(n / m))
    spike = torch.outer(support.isometry(m, 1, seed)[:, 0], support.isometry(n, 1, seed + 9)[:, 0]) * strong
    assert random_matrix_law(hidden(X + spike)).outliers == 1


@support.every_seed
def test_a_symmetric_matrix_of_chance_has_the_semicircle(seed):
    X = support.normal((300, 300), seed)
    A = hidden((X + X.T) / 2)
    A.self_adjoint = True
    found = random_matrix_law(A)
    assert found.law == "semicircle"
    assert found.outliers == 0
    assert found.distance < 0.03


def test_a_blur_is_not_chance():
    problem = ex.build(ex.RunSpec(problem={"name": "camera", "params": {"size": 16}}, dtype="float64"))
    found = ex.analyse(problem, "random_matrix_law")
    assert found.distance > 0.2
    assert not len(found.spikes)
    assert "not a matrix of independent entries" in found.sentence


def test_strengths_and_places_are_inverse_to_each_other_and_meet_the_edge():
    for ratio in (0.3, 1.0, 2.5):
        t = torch.linspace(math.sqrt(ratio), 9, 50, dtype=torch.float64)
        support.assert_close(laws.spike_strength(laws.spiked_value(t, ratio), ratio)[1:], t[1:], 1e3)
        weak = laws.spiked_value(torch.tensor([0.1, math.sqrt(ratio)], dtype=torch.float64), ratio)
        support.assert_close(weak, weak.new_full((2,), marchenko_pastur_edges(ratio)[1]), 10)
        assert all(float(o[0]) == pytest.approx(0, abs=1e-14) for o in laws.spike_overlaps(t, ratio))
    t = torch.tensor([-3.0, -1.0, 1.0, 0.2, 5.0], dtype=torch.float64)
    at = laws.spiked_eigenvalue(t, 2.0)
    support.assert_close(at, torch.tensor([-10 / 3, -2.0, 2.0, 2.0, 5.2], dtype=torch.float64), 10)
    support.assert_close(laws.spike_of_eigenvalue(at, 2.0)[[0, 4]], t[[0, 4]], 10)
    assert float(laws.spike_overlap(t, 2.0)[3]) == 0


@pytest.mark.parametrize("shape", [(800, 240), (240, 480)])
def test_strong_components_are_measured_and_weak_ones_hide(shape):
    m, n = shape
    ratio, found = n / m, []
    strengths = math.sqrt(ratio) * torch.tensor([6.0, 3.0, 0.5], dtype=torch.float64)
    for seed in support.SEEDS:
        U, V = support.isometry(m, 3, 2 * seed), support.isometry(n, 3, 2 * seed + 1)
        X = 0.7 * (support.normal(shape, seed + 40) + (U * (m * strengths).sqrt()) @ V.T)
        report = random_matrix_law(hidden(X))
        assert report.outliers == len(report.spikes) == 2
        assert report.threshold == pytest.approx(0.49 * math.sqrt(ratio), rel=5 * math.sqrt(2 / (m * n)))
        assert "would hide in the bulk" in report.sentence
        u, _, vh = torch.linalg.svd(X, full_matrices=False)
        seen = torch.stack(((vh[:2] * V[:, :2].T).sum(1) ** 2, (u[:, :2] * U[:, :2]).sum(0) ** 2), -1)
        found.append((report.spikes / 0.49, report.overlaps, seen.numpy()))
        assert float((vh[2] @ V[:, 2]) ** 2) < 0.2  # and its direction is lost
    spikes, overlaps, seen = (np.stack(part) for part in zip(*found, strict=True))
    # fluctuations of a spike are of order 1/√m; so are those of the cosines
    assert np.abs(spikes / strengths[:2].numpy() - 1).max() < 4 / math.sqrt(min(shape)) + 0.05
    assert np.abs(overlaps - seen).max() < 0.1
    assert np.abs(overlaps.mean(0) - seen.mean(0)).max() < 0.04


@support.every_seed
def test_eigenvalues_added_to_a_symmetric_matrix_of_chance_are_measured_on_both_sides(seed):
    n = 400
    X = support.normal((n, n), seed)
    V = support.isometry(n, 3, seed + 9)
    theta = math.sqrt(n) * torch.tensor([3.0, -2.0, 0.5], dtype=torch.float64)
    A = hidden((X + X.T) / math.sqrt(2) + (V * theta) @ V.T)
    A.self_adjoint = True
    found = random_matrix_law(A)
    assert found.outliers == 2
    np.testing.assert_allclose(found.spikes, theta[:2], rtol=0.06)
    assert found.threshold == pytest.approx(math.sqrt(n), rel=0.01)
    vectors = torch.linalg.eigh(A.matrix)[1]
    seen = [float((vectors[:, -1] @ V[:, 0]) ** 2), float((vectors[:, 0] @ V[:, 1]) ** 2)]
    np.testing.assert_allclose(found.overlaps[:, 0], seen, atol=0.06)
