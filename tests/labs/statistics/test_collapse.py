"""Row 270: models refitted to each other's labels, and inversions repeated on their own answers."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses
from explorer.labs.statistics.collapse import inputs_and_truth, ridge_error
from tests import support


def collapse(seed=0, **knobs):
    return analyses["model_collapse"].build(seed=seed, **knobs)


def test_row_270_every_generation_adds_the_error_of_the_first():
    """Slope σ² d/(T − d − 1) = .1282; the slope of 200 repeats scatters by 3 %, that of 600 by 1.7 %."""
    for seed in support.SEEDS:
        found = collapse(seed, repeats=600)
        assert found.slope == pytest.approx(0.25 * 20 / 39, rel=0.05)
        assert found.predicted == pytest.approx(0.25 * 20 / 39 * np.arange(1, 12))


POWER_LAW = {"unknowns": 60, "samples": 120, "sigma": 0.3, "decay": 1.5, "generations": 10, "repeats": 40}


def test_row_270_a_ridge_for_late_generations_undoes_part_of_the_collapse():
    for seed in support.SEEDS:
        start, each = (collapse(seed, tuned=t, **POWER_LAW).error for t in ("start", "each"))
        assert each[-1] <= 0.8 * start[-1]
        assert each[0] == start[0]


def test_theory_with_a_ridge_agrees_with_the_simulation():
    error, predicted = ([], [])
    for seed in support.SEEDS:
        found = collapse(seed, ridge=0.02, **POWER_LAW)
        error.append(found.error)
        predicted.append(found.predicted)
    assert np.mean(error, 0) == pytest.approx(predicted[0], rel=0.1)


def test_the_ridge_equivalent_reaches_the_exact_error_without_one():
    spectrum, w = inputs_and_truth(50, 1.0, 0.5)
    n = torch.arange(4, dtype=torch.float64)
    tiny = ridge_error(spectrum, w, 0.5, 1000, n, 1000, torch.full_like(n, 1e-9))
    exact = 0.25 * 50 * (n / 949 + 1 / 950)  # the equivalent has T − d where the exact last fit has T − d − 1
    support.assert_close(tiny, exact, 1e9)


def test_fewer_samples_than_unknowns_lose_the_truth_and_keep_the_noise():
    error = np.mean([collapse(s, unknowns=60, samples=40, generations=6).error for s in support.SEEDS], 0)
    predicted = collapse(unknowns=60, samples=40, generations=6).predicted
    assert error == pytest.approx(predicted, rel=0.05)
    assert predicted[1] > predicted[0]
    assert np.isnan(collapse(unknowns=60, samples=40, decay=1.0, repeats=2).predicted).all()


def test_repeated_inversion_is_what_the_solver_does():
    for seed in support.SEEDS:
        A = support.operator(support.decay(12, 100.0), 16, 12, seed)
        x = support.normal((12,), seed)
        found = analyses["repeated_inversion"].build(
            A=A, x_true=x, noise_norm=0.01 * 4, regularization=1e-3, generations=4
        )
        now = x.expand(4000, 12)
        for k in range(5):
            noise = 0.01 * support.normal((4000, 16), 100 * seed + k)
            now = ex.solvers.tikhonov(A, A(now) + noise, regularization=1e-3).x
            rms = float((A.domain.norm2(now - x).mean() / A.domain.norm2(x)).sqrt())
            assert found.error[k] == pytest.approx(rms, rel=0.02)
            mean = float(A.domain.norm(now.mean(0) - x) / A.domain.norm(x))
            assert found.bias[k] == pytest.approx(mean, rel=0.02)


def test_the_parameter_that_is_best_for_one_inversion_is_not_for_many():
    run = ex.run(ex.RunSpec(problem="blocks", noise={"name": "gaussian", "params": {"level": 0.1}}, dtype="float64"))
    one = ex.analyse(run.problem, "repeated_inversion")
    best = float(one.adapted_regularization[0])
    found = ex.analyse(run.problem, "repeated_inversion", regularization=best)
    assert found.error[0] == pytest.approx(found.adapted_error[0], rel=1e-9)
    assert found.adapted_error[-1] < 0.9 * found.error[-1]
    assert found.adapted_regularization[-1] < found.adapted_regularization[0]  # what damps compounds
    assert "10 further inversions" in found.sentence


def test_choices_that_make_no_sense_are_refused():
    with pytest.raises(ex.SpecError, match="differ from the number"):
        collapse(unknowns=20, samples=21)
    with pytest.raises(ex.SpecError, match="above"):
        collapse(unknowns=2000, samples=3000, repeats=1000)
    with pytest.raises(ex.SpecError, match="more samples than unknowns"):
        collapse(unknowns=60, samples=40, tuned="each")
