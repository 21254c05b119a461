"""Coherence, restricted isometry, the phase transition, and the anatomy of errors over draws."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import explorer as ex
from explorer import figures
from explorer.analyses.sensing import l1_dimension, phase_transition, sensing
from explorer.linalg import Rng, Space
from explorer.operators.transforms import Cosine
from tests import support
from tests.analyses.test_spectrum import Mirrored, hidden


@support.every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_coherence_and_isometry_are_those_of_all_supports_of_a_small_matrix(seed, dtype):
    M = support.normal((8, 12), seed, dtype)
    found = sensing(hidden(M), most=3, supports=400, seed=seed)
    unit = M / torch.linalg.vector_norm(M, dim=0)
    gram = (unit.mH @ unit - torch.eye(12)).abs()
    assert found.coherence == pytest.approx(float(gram.max()), rel=1e-12)
    assert found.welch <= found.coherence
    for s, delta, above in zip(found.sparsity, found.delta, found.gershgorin, strict=True):
        sets = torch.tensor(list(itertools.combinations(range(12), int(s))))
        values = torch.linalg.svdvals(unit[:, sets].movedim(1, 0)) ** 2
        true = float((values - 1).abs().max())
        assert 0.999 * true - 1e-12 <= delta <= true + 1e-12 <= above + 2e-12


def test_orthonormal_columns_have_neither():
    found = sensing(hidden(support.isometry(20, 9, 1)))
    assert found.coherence < 1e-14
    assert found.delta.max() < 1e-14


@support.every_seed
def test_gaussian_columns_are_a_better_sensor_than_a_blur(seed):
    gauss = sensing(hidden(support.normal((64, 128), seed)), seed=seed)
    problem = ex.build(ex.RunSpec(problem={"name": "camera", "params": {"size": 16}}, dtype="float64"))
    blur = ex.analyse(problem, "sensing", seed=seed)
    assert gauss.coherence < 0.7 < 0.8 < blur.coherence
    assert gauss.typical[-1] < 1.2
    assert "nonzero entries can be told for sure" in gauss.sentence


def test_of_a_large_operator_some_columns_are_compared_and_a_blind_one_is_refused():
    found = sensing(Mirrored(support.decay(5000, 2), 1), columns=50, supports=20)
    assert found.pairs == 50
    assert "50 of 5,000 columns" in found.sentence
    with pytest.raises(ex.SpecError, match="does not see 1 of its unknowns"):
        sensing(hidden(torch.diag(torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64))))


def square(n, seed):
    return hidden(support.normal((n, n), seed))


@support.every_seed
def test_least_l1_recovers_exactly_the_signals_that_a_linear_programme_recovers(seed):
    A = square(20, seed)
    found = phase_transition(A, shares=2, levels=4, trials=3, steps=1000, seed=seed)
    rng = Rng(seed, "analysis/phase_transition")
    shape = (len(found.sparsity), 3, 20)
    places = rng.fork("places").uniform(shape, torch.float64).argsort(-1).argsort(-1)
    signs = torch.where(rng.fork("signs").uniform(shape, torch.float64) < 0.5, -1.0, 1.0)
    truth = (signs * (places < torch.from_numpy(found.sparsity * 20).round()[:, None, None])).double().numpy()
    for share, row in zip(found.shares, found.success, strict=True):
        m = round(20 * share)
        B = A.matrix[rng.fork(f"rows/{m}").permutation(20)[:m]].numpy()
        for signals, p in zip(truth, row, strict=True):
            back = 0
            for x in signals:
                split = linprog(np.ones(40), A_eq=np.concatenate((B, -B), 1), b_eq=B @ x, bounds=(0, None))
                back += np.linalg.norm(split.x[:20] - split.x[20:] - x) < 0.02 * np.linalg.norm(x)
            assert p == back / 3


def test_the_border_is_where_the_statistical_dimension_says():
    gaps = []
    for seed in support.SEEDS:
        found = phase_transition(square(96, seed), shares=3, levels=12, trials=10, seed=seed)
        expected = np.interp(found.shares, found.predicted, found.sparsity)
        gaps.append(found.half - expected)
        assert (found.success[1:, 0] == 1).all()
        assert (found.success[:, -1] == 0)[:2].all()
        assert found.success.shape == (3, 12)
    # ± one trial in ten at the steep part of the map, whose levels are 0.05 apart
    assert np.abs(gaps).max() < 0.05
    assert np.abs(np.mean(gaps, 0)).max() < 0.025
    assert "come back" in found.sentence


def test_rows_of_a_cosine_transform_have_the_same_border_and_pursuit_an_earlier_one():
    domain = Space((96,), torch.float64)
    cosines = phase_transition(Cosine(domain), shares=3, levels=12, trials=10)
    gauss = phase_transition(square(96, 0), shares=3, levels=12, trials=10)
    assert np.abs(cosines.half - gauss.half).max() < 0.06  # universality, of Donoho & Tanner
    greedy = phase_transition(square(96, 0), method="omp", shares=3, levels=12, trials=10)
    assert (greedy.half[1:] < gauss.half[1:]).all()
    assert greedy.success.sum() < gauss.success.sum()
    point = phase_transition(ex.operators.identity(domain), shares=3, levels=4, trials=5)
    assert point.success.max() <= 0.2  # a row of the identity sees one entry
    assert np.isnan(point.half).all()
    with pytest.raises(ex.SpecError, match="is zero, and recovers nothing"):
        phase_transition(hidden(torch.zeros(4, 4, dtype=torch.float64)))


def test_the_statistical_dimension_is_that_of_the_integral():
    for rho in (0.05, 0.3, 0.8):
        tau = np.linspace(0, 6, 40001)
        g = np.linspace(-12, 12, 20001)
        bell = np.exp(-(g**2) / 2) / np.sqrt(2 * np.pi)
        best = min(
            rho * (1 + t**2) + (1 - rho) * np.trapezoid(np.maximum(np.abs(g) - t, 0) ** 2 * bell, g) for t in tau[::400]
        )
        assert l1_dimension(rho) == pytest.approx(best, rel=1e-3)
    assert l1_dimension(1.0) == 1
    assert l1_dimension(1e-9) < 1e-6


def anatomy(draws, seed=0, **changes):
    spec = ex.RunSpec(
        problem={"name": "camera", "params": {"size": 32}},
        noise={"name": "gaussian", "params": {"level": 0.05}},
        solver="cgls",
        stop={"name": "budget", "params": {"steps": 30}},
        draws=draws,
        dtype="float64",
        seed=seed,
        **changes,
    )
    return ex.run(spec)


@support.every_seed
def test_squared_bias_and_variance_are_the_mean_squared_error(seed):
    run = anatomy(40, seed)
    found = ex.analyse(run, "error_anatomy")
    assert len(found.kept) > 3
    mean2 = (run.history["error"][found.kept - 1] ** 2).mean(1)
    np.testing.assert_allclose(found.bias**2 + found.deviation**2, mean2, rtol=1e-10)
    assert (np.diff(found.deviation) > 0).all()
    assert found.bias[-1] < found.bias[0]
    inside = ((run.history["error"] >= found.low[:, None]) & (run.history["error"] <= found.high[:, None])).mean()
    assert 0.78 < inside < 0.86
    np.testing.assert_array_equal(found.best_steps, run.history["error"].argmin(0) + 1)
    assert "variance is larger than bias" in found.sentence


def test_one_draw_has_no_band_and_the_figure_has_all_curves():
    with pytest.raises(ex.SpecError, match="run with draws=20"):
        ex.analyse(anatomy(None), "error_anatomy")
    figure = figures.bands(ex.analyse(anatomy(5), "error_anatomy"))
    assert [t.name for t in figure.data][1:] == ["most draws", "median error", "bias", "variance (root)"]


def test_densities_are_drawn():
    problem = ex.build(ex.RunSpec(problem={"name": "camera", "params": {"size": 16}}, dtype="float64"))
    assert len(figures.density(ex.analyse(problem, "density_of_states", steps=10)).data) == 1
    assert len(figures.density(ex.analyse(problem, "random_matrix_law")).data) == 3
