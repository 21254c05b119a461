"""Row 291: which directions of diffusion to measure, and the solver "population_estimate" that fills in the others."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses, solvers
from explorer.engine.build import build
from explorer.labs.statistics.qspace import (
    crossings,
    estimate,
    greedy,
    harmonic_fit,
    harmonics,
    hemisphere,
    learned,
    uniform,
)
from explorer.linalg import Rng
from tests import support


def compared(seed, **knobs):
    return analyses["sampling_design"].build(seed=seed, **knobs)


def test_row_291_design_and_reconstruction_together():
    """Seen .75 of random subsets and .48 of harmonics; here .76 to .79 and .55 to .59 at b = 1000 s/mm².

    As the row says, most of the gain is the reconstruction's: directions far apart are within 5 % of the greedy ones.
    """
    for seed in support.SEEDS:
        found = compared(seed)
        assert found.joint <= 0.85 * found.random
        assert found.joint <= 0.6 * found.harmonic
        assert 0.9 <= found.joint / found.uniform <= 1.02
        assert found.joint == pytest.approx(found.foretold, rel=0.06)


def test_at_high_diffusion_weighting_less_is_gained():
    """The regime where .6 of harmonics does not hold: signals of b = 3000 s/mm² are sharper than ten numbers tell."""
    for seed in support.SEEDS:
        found = compared(seed, b=3000.0, subsets=5)
        assert 0.7 <= found.joint / found.harmonic <= 0.9
        assert found.joint < 0.9 * found.random


def test_noise_leaves_less_to_gain():
    """Robust to noise as the row says, by comparison with random subsets; harmonics come nearer, being stiff."""
    for seed in support.SEEDS:
        low, high = (compared(seed, level=level, subsets=5) for level in (0.01, 0.1))
        assert high.joint <= 0.92 * high.random
        assert high.joint <= 0.92 * high.harmonic
        assert low.joint / low.harmonic < high.joint / high.harmonic


def test_the_greedy_choice_is_that_of_posterior_covariances():
    """Against dense inverses, step by step."""
    g = hemisphere(20)
    _, C = learned(g, 1000.0)
    found, chosen = greedy(C, 4, 0.01), []

    def trace(some):
        P = torch.eye(20, dtype=torch.float64)[some]
        return float(torch.linalg.inv(torch.linalg.inv(C + 1e-9 * torch.eye(20)) + P.mT @ P / 0.01).trace())

    for j in found:
        best = min((k for k in range(20) if k not in chosen), key=lambda k: trace([*chosen, k]))
        assert trace([*chosen, j]) == pytest.approx(trace([*chosen, best]), rel=1e-6)
        chosen.append(j)


def test_the_estimate_has_least_error_among_linear_ones():
    rng, g = Rng(1, "test"), hemisphere(30)
    x = crossings(rng, 3000, g, 1000.0)
    y = (x + 0.02 * rng.normal(x.shape, torch.float64))[:, :6]
    kept = list(range(6))
    ones = torch.cat((y, torch.ones(3000, 1, dtype=torch.float64)), 1)
    best = (ones @ torch.linalg.lstsq(ones, x).solution - x).square().mean()
    found = (estimate(y, kept, x.mean(0), x.mT.cov(), 0.02**2) - x).square().mean()
    assert float(found) == pytest.approx(float(best), rel=0.01)


def test_harmonics_are_orthonormal_and_fit_smooth_signals():
    g = torch.cat((hemisphere(4000), -hemisphere(4000)))
    B, degree = harmonics(g, 6)
    assert B.shape[1] == 28
    assert float((4 * np.pi * B.mT @ B / 8000 - torch.eye(28, dtype=torch.float64)).norm()) < 0.01  # by 4000 points
    assert degree.unique().tolist() == [0, 2, 4, 6]
    g = hemisphere(90)
    smooth = (harmonics(g, 2)[0] @ support.normal((6,))).unsqueeze(0)
    kept = uniform(g, 40)
    assert float((harmonic_fit(smooth[:, kept], kept, g, weight=1e-6) - smooth).norm() / smooth.norm()) < 1e-3


def test_signals_are_those_of_diffusion():
    g = hemisphere(50)
    x = crossings(Rng(0, "x"), 200, g, 1000.0)
    assert float(x.max()) <= np.exp(-0.3) + 1e-12
    assert float(x.min()) >= np.exp(-1.7) - 1e-12
    support.assert_close(crossings(Rng(0, "x"), 200, -g, 1000.0), x, 10)
    support.assert_close(g.norm(dim=-1), torch.ones(50, dtype=torch.float64), 4)


def test_a_run_of_it_and_its_operator():
    noise = {"name": "gaussian", "params": {"level": 0.03}}
    spec = ex.RunSpec(
        problem="crossing_fibres", operator=None, noise=noise, solver="population_estimate", dtype="float64"
    )
    errors = {}
    for design in ("greedy", "uniform", "random"):
        run = ex.run(spec.replace(problem={"name": "crossing_fibres", "params": {"design": design}}))
        errors[design] = run.metrics["relative_error"]
        A = run.problem.A
        x, y = support.normal(A.domain.shape, 1), support.normal(A.codomain.shape, 2)
        support.assert_close(A.codomain.inner(A(x), y), A.domain.inner(x, A.adjoint(y)), 100)
        assert A.codomain.shape == (64, 10)
    assert max(errors.values()) < 0.1
    assert errors["greedy"] < errors["random"]
    P = build(spec)
    batch = solvers["population_estimate"].function(P["A"], torch.stack([P.y, P.y + 0.1]))
    support.assert_close(batch.x[0], solvers["population_estimate"].function(P["A"], P.y).x, 1e4)
    with pytest.raises(ex.SpecError, match="there are 90"):
        compared(0, kept=91)
    with pytest.raises(ex.SpecError, match="there are 90"):
        build(spec.replace(problem={"name": "crossing_fibres", "params": {"kept": 91}}))
