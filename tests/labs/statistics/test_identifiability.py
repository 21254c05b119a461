"""Row 236: which parameters of a Hill curve data can determine, and which data to add."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses
from explorer.engine.build import build
from explorer.labs.statistics.identifiability import coordinate_metric, sensitivities
from tests import support


def problem(seed=0, last=0.6, times=20, level=0.004, spacing="linear", **params):
    """A Hill curve with K = 3 and h = 2, each parameter up to 10 % off; sampled before saturation by default."""
    operator = {"name": "hill_curve", "params": {"last": last, "times": times, "spacing": spacing}}
    noise = {"name": "gaussian", "params": {"level": level}}
    hill = {"name": "hill_parameters", "params": {"spread": 0.1, **params}}
    return build(ex.RunSpec(problem=hill, operator=operator, noise=noise, dtype="float64", seed=seed))


def test_row_236_early_times_determine_little_and_spread_ones_all():
    """Measured .0013 → .18 and 5e-8 → .23 for its parameters; here .0013–.002 → .46–.52 and below 5e-8 → above .1."""
    for seed in support.SEEDS:
        early = ex.analyse(problem(seed), "identifiability")
        spread = ex.analyse(problem(seed, last=30.0, spacing="log"), "identifiability")
        assert early.metric.min() <= 0.01
        assert early.eigenvalues[0] <= 1e-6
        assert spread.metric.min() >= 0.1
        assert spread.eigenvalues[0] >= 0.05


def test_row_236_designed_times_make_all_parameters_identifiable():
    """The greedy design adds the last time and one near 2 K: two are enough, as many as there are undetermined."""
    for seed in support.SEEDS:
        P = problem(seed, last=30.0, times=60, spacing="log")
        start = int((P["F"].times <= 0.6).sum())
        found = ex.analyse(P, "identifying_design", start=start, threshold=0.1)
        assert found.metric[0] <= 0.01
        assert found.smallest[0] <= 1e-6
        assert found.reached
        assert found.metric[-1] >= 0.1
        assert len(found.chosen) <= 3
        assert (np.diff(found.smallest) > 0).all()
        assert (P["F"].times[found.chosen] > 0.6).all()


def test_row_236_profile_likelihood_flags_the_same_at_many_times_the_cost():
    for seed in support.SEEDS:
        for last, spacing in ((0.6, "linear"), (30.0, "log")):
            P = problem(seed, last=last, spacing=spacing)
            quick, slow = (ex.analyse(P, name) for name in ("identifiability", "profile_likelihood"))
            assert quick.undetermined.tolist() == slow.undetermined.tolist() == ([1, 2] if last < 1 else [])
            assert slow.evaluations >= 20 * quick.evaluations
            assert slow.rise.min() > -1e-9


@support.every_seed
def test_the_metric_is_the_inverse_fisher_information_of_each_parameter(seed):
    """``K_i² ‖s_i‖² = 1 / (F⁻¹)_ii``, and zero where a column repeats another one."""
    S = support.normal((9, 4), seed)
    F = S.mT @ S
    support.assert_close(coordinate_metric(S) ** 2 * F.diagonal(), 1 / torch.linalg.inv(F).diagonal(), 1e3)
    S[:, 3] = 2 * S[:, 1]
    metric = coordinate_metric(S)
    assert metric[[1, 3]].max() < 1e-12
    assert metric[[0, 2]].min() > 0.1


def test_sensitivities_are_the_derivatives():
    P = problem()
    value, S = sensitivities(P["F"], P.x_true)
    support.assert_close(value, P.clean, 4)
    step = 1e-6
    for i in range(4):
        e = torch.eye(4, dtype=torch.float64)[i] * step
        difference = (P["F"](P.x_true + e) - P["F"](P.x_true - e)) / (2 * step)
        assert float((difference - S[:, i]).norm()) < 1e-8


def test_the_curve_is_hills():
    P = problem(last=30.0, spacing="log")
    b, a, half, power = P.x_true[0], P.x_true[1], P.x_true[2].exp(), P.x_true[3].exp()
    t = P["F"].times
    support.assert_close(P.clean, b + a * t**power / (half**power + t**power), 32)


def test_undetermined_directions_stay_where_they_are_and_the_others_are_fitted():
    """The solver "held_gauss_newton": the same misfit as without the penalty, and no run along the valley."""
    for seed in support.SEEDS:
        spec = ex.RunSpec(
            problem={"name": "hill_parameters", "params": {"spread": 0.1}},
            operator={"name": "hill_curve", "params": {"last": 0.6, "spacing": "linear"}},
            noise={"name": "gaussian", "params": {"level": 0.004}},
            stop={"name": "budget", "params": {"steps": 60}},
            dtype="float64",
            seed=seed,
        )
        held, loose = (
            ex.run(spec.replace(solver={"name": "held_gauss_newton", "params": {"weight": w, "threshold": 3e-4}}))
            for w in (1.0, 0.0)
        )
        P = held.problem
        misfit = [float((P["F"](run.x) - P.y).norm()) for run in (held, loose)]
        assert misfit[0] <= 1.15 * misfit[1]  # noise, of which four parameters fit a little more than three
        found = analyses["identifiability"].build(F=P["F"], x_true=P["x0"])
        lost = torch.from_numpy(found.directions[:, found.eigenvalues <= 1e-7 * found.eigenvalues[-1]].copy())
        moved = [float((lost.mT @ (run.x - P["x0"])).norm()) for run in (held, loose)]
        assert moved[0] < 1e-2 < moved[1]
        without, with_prior = (ex.analyse(P, "identifiability", weight=w).deviation for w in (0.0, 1.0))
        assert (with_prior <= without).all()
        assert with_prior.max() <= 1.5


def test_a_batch_of_data_is_fitted_as_a_loop():
    P = problem()
    y = P.clean + 0.001 * support.normal((3, 20))
    run = lambda y: [s.x for _, s in zip(range(6), ex.solvers.held_gauss_newton(P["F"], y, P["x0"]), strict=False)]  # noqa: E731
    together = run(y)[-1]
    for i in range(3):
        support.assert_close(together[i], run(y[i])[-1], 1e4)


def test_choices_that_make_no_sense_are_refused():
    with pytest.raises(ex.SpecError, match="groups of four"):
        build(ex.RunSpec(problem={"name": "blocks", "params": {"size": 30}}, operator="hill_curve"))
    with pytest.raises(ex.SpecError, match="after the first"):
        problem(last=0.01)
    with pytest.raises(ex.SpecError, match="only 20 data"):
        ex.analyse(problem(), "identifying_design", start=21)
    open_ = ex.analyse(problem(), "identifying_design", start=10, most=3)
    assert not open_.reached
    assert "may leave a combination open" in open_.sentence
