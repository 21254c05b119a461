"""Row 275: several tasks at once, "multi_task_ridge", and its risk foretold without held-out data."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import solvers
from explorer.engine.build import build
from explorer.labs.statistics.multitask import candidates, coupling, moments, predicted_risk
from tests import support

#: six pairs of (λ, γ) about the best one
PAIRS = [(0.02, 0.002), (0.02, 0.01), (0.05, 0.005), (0.05, 0.01), (0.2, 0.01), (0.5, 0.02)]


def problem(seed=0, level=0.5, draws=None, **params):
    noise = {"name": "gaussian", "params": {"level": level}}
    spec = ex.RunSpec(problem={"name": "related_tasks", "params": params}, operator=None, noise=noise, draws=draws)
    return build(spec.replace(seed=seed, dtype="float64"))


def variance(P):
    return float(torch.as_tensor(P["noise_norm"]).mean()) ** 2 / P["A"].codomain.size


def measured(P, **knobs):
    """Return the mean squared error of each task at fresh features, noise included, averaged over draws."""
    x = solvers["multi_task_ridge"].function(P["A"], P.y, **knobs).x
    return (x - P.x_true).square().sum(-1).reshape(-1, len(P.x_true)).mean(0) + variance(P)


def foretold(P):
    n, d = torch.tensor(P["A"].samples, dtype=torch.float64), P["A"].domain.shape[1]
    lam, gam = torch.tensor(PAIRS, dtype=torch.float64).unbind(-1)
    return predicted_risk(coupling(lam, gam, len(n)), n, d, P.x_true @ P.x_true.mT, variance(P)).mean(-1)


def test_row_275_the_predicted_risk_is_the_empirical_one():
    """Within 5 % on six pairs of (λ, γ) at each of five seeds; measured 2.1 % at one."""
    for seed in support.SEEDS:
        P = problem(seed, draws=10)
        for (shared, own), expected in zip(PAIRS, foretold(P), strict=True):
            found = float(measured(P, choose="given", shared=shared, own=own).mean())
            assert found == pytest.approx(float(expected), rel=0.05)


def test_with_little_regularisation_the_risk_is_foretold_for_many_unknowns_only():
    """The regime where 5 % does not hold: nearly interpolating, a hundred unknowns scatter by up to a fifth."""
    pair = (torch.tensor([0.0]).double(), torch.tensor([0.1]).double())
    scatter = {}
    for factor in (1, 4):
        away = []
        for seed in support.SEEDS:
            P = problem(seed, unknowns=100 * factor, fewest=60 * factor, most=240 * factor)
            n = torch.tensor(P["A"].samples, dtype=torch.float64)
            C = P.x_true @ P.x_true.mT
            expected = predicted_risk(coupling(*pair, 2), n, 100 * factor, C, variance(P))[0]
            away.append(float((measured(P, choose="given", shared=0.0, own=0.1) / expected - 1).abs().max()))
        scatter[factor] = np.mean(away)
    assert scatter[1] > 0.05
    assert scatter[4] < 0.75 * scatter[1]


def test_row_275_the_predicted_best_pair_beats_single_tasks():
    """Measured .51 of the best single-task risk; here .34 to .58, and up to .70 with sizes taken from the data.

    Noise of a fifth of the signal: with two fifths the data's own estimate no longer reaches .75 at every seed.
    """
    for seed in support.SEEDS:
        P = problem(seed, level=0.2)
        found = ex.analyse(P, "multi_task_risk")
        alone = min(
            float(measured(P, choose="given", shared=0.0, own=float(g)).mean()) for g in found.own[found.shared == 0]
        )
        for knobs in ({"choose": "given", "shared": found.best[0], "own": found.best[1]}, {"choose": "risk"}):
            assert float(measured(P, **knobs).mean()) <= 0.75 * alone
        assert found.joint < 0.75 * found.single
        assert "Together the tasks" in found.sentence


def test_for_unrelated_tasks_the_shared_part_is_of_no_use():
    for seed in support.SEEDS:
        found = ex.analyse(problem(seed, correlation=0.0), "multi_task_risk")
        assert found.joint >= 0.97 * found.single


def test_the_closed_form_minimises_the_penalised_misfit():
    """Against the normal equations in (w_0, v_1, …, v_T)."""
    P = problem(unknowns=5, tasks=3, fewest=4, most=9)
    A, y, lam, gam = P["A"], P.y, 0.7, 0.3
    X = torch.zeros(len(y), 20, dtype=torch.float64)
    start = 0
    for t, part in enumerate(A.features):
        rows = slice(start, start + len(part))
        X[rows, :5] = X[rows, 5 * t + 5 : 5 * t + 10] = part
        start += len(part)
    weight = torch.tensor([1 / lam] * 5 + [1 / gam] * 15, dtype=torch.float64)
    whole = torch.linalg.solve(X.mT @ X + torch.diag(weight), X.mT @ y)
    x = solvers["multi_task_ridge"].function(A, y, choose="given", shared=lam, own=gam).x
    support.assert_close(x, whole[:5] + whole[5:].reshape(3, 5), 1e3)
    support.assert_close(A.domain.inner(A.adjoint(y), x), A.codomain.inner(y, A(x)), 100)


def test_moments_are_unbiased():
    estimates = [moments(P["A"], P.y) for P in (problem(s, tasks=2) for s in range(40))]
    truths = [(P.x_true @ P.x_true.mT, variance(P)) for P in (problem(s) for s in range(40))]
    difference = torch.stack([e[0] - t[0] for e, t in zip(estimates, truths, strict=True)])
    assert difference[:, 0, 1].mean().abs() < 3 * difference[:, 0, 1].std() / 40**0.5
    assert difference[:, 1, 1].mean().abs() < 3 * difference[:, 1, 1].std() / 40**0.5
    noise = np.array([float(e[1]) - t[1] for e, t in zip(estimates, truths, strict=True)])
    assert abs(noise.mean()) < 0.1 * truths[0][1] + 3 * noise.std() / 40**0.5


def test_a_batch_is_a_loop_and_a_batched_knob_too():
    P = problem(draws=3, unknowns=20, fewest=10, most=30)
    for knobs in ({"choose": "risk"}, {"choose": "given", "shared": torch.tensor([0.0, 0.1, 1.0]).double()}):
        together = solvers["multi_task_ridge"].function(P["A"], P.y, **knobs)
        for i in range(3):
            one = {k: v if isinstance(v, str) else v[i] for k, v in knobs.items()}
            alone = solvers["multi_task_ridge"].function(P["A"], P.y[i], **one)
            support.assert_close(together.x[i], alone.x, 1e3)
    lam, gam = candidates(torch.eye(2).double(), torch.tensor(0.1).double(), 20)
    assert lam.shape == gam.shape == (20 * 19,)


def test_choices_that_make_no_sense_are_refused():
    with pytest.raises(ex.SpecError, match="cannot all oppose"):
        problem(tasks=3, correlation=-0.5)
    with pytest.raises(ex.SpecError, match="one set of data"):
        ex.analyse(problem(draws=2), "multi_task_risk", known=False)
    run = ex.run(ex.RunSpec(problem="related_tasks", operator=None, solver="multi_task_ridge", dtype="float64"))
    assert run.metrics["relative_error"] < 0.6
