"""A projection kept up to date, and norms that stay right for an adversary (row 22)."""

import functools

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import explorer as ex
from explorer.catalogue import analyses, problems
from explorer.labs.sketch.adaptive import GRID, log_odds, private_median
from explorer.labs.sketch.kronecker import fresh, updated
from explorer.linalg import Rng
from tests import support


def problem(seed=0, **knobs):
    return problems["kronecker_projections"].build(rng=Rng(seed, "kronecker_projections"), **knobs)


@support.every_seed
@pytest.mark.parametrize("knobs", [{}, {"size": 4, "constraints": 12, "support": 1}], ids=["direct", "Woodbury"])
def test_thirty_updates_later_the_projection_is_that_made_anew(seed, knobs):
    truth = problem(seed, **knobs)
    for maintain in (True, False):
        steps = ex.solvers.maintained_projection(truth.offers["projections"], maintain=maintain)
        found = [(step.system, step.x.clone()) for step in steps]
        assert [k for k, _ in found] == list(range(30))
        assert support.norm(torch.stack([x for _, x in found]) - truth.x) <= 1e-10 * support.norm(truth.x)


@support.every_seed
def test_the_answers_are_projections_on_the_range_by_kronecker_products_in_full(seed):
    truth = problem(seed, size=5, constraints=7, updates=4)
    p = truth.offers["projections"]
    weights = p.weights.clone()
    for k in range(4):
        weights[p.which[k]] += p.change[k]
        assert weights.min() > 0
        root = p.basis @ torch.diag(weights.sqrt()) @ p.basis.mT
        B = p.A.flatten(1) @ torch.kron(root, root)
        expected = torch.linalg.pinv(B) @ (B @ p.queries[k].flatten())
        support.assert_close(truth.x[k].flatten(), expected, 1000)


def test_eigenvectors_are_sparse_and_orthonormal():
    basis = problem(size=10, constraints=2, support=4).offers["projections"].basis
    support.assert_close(basis.mT @ basis, torch.eye(10, dtype=basis.dtype), 64)
    assert (basis != 0).sum(0).max() <= 4


@pytest.mark.parametrize("d", [20, 100])
def test_an_update_takes_a_fraction_of_the_work(d):
    p = problem(size=30, constraints=d, updates=1).offers["projections"]
    known = fresh(p.A, p.basis, p.weights)
    work = []
    for run, largest in ((fresh, d), (functools.partial(updated, *known), min(d, 60))):
        more = () if run is fresh else (p.which[0], p.change[0])
        with FlopCounterMode(display=False) as counted:
            run(p.A, p.basis, p.weights, *more)
        # the counter knows products; a factorization and its solves take 2 m³ for m unknowns and as many right sides
        work.append(counted.get_total_flops() + 2 * largest**2 * max(largest, d))
    assert work[0] >= 3 * work[1]


@functools.cache
def attacked(estimator, copies):
    return analyses["adaptive_queries"].build(estimator=estimator, copies=copies)


def test_an_adversary_deceives_one_sketch_and_a_median_and_no_private_one():
    one, median, private = (attacked(*c).estimate for c in (("one", 1), ("median", 25), ("private", 60)))
    assert (1 - one >= 0.15).all()
    assert (1 - median >= 0.15).all()
    assert (abs(private - 1) <= 0.07).all()
    assert one.mean() < median.mean() < private.mean()


def test_the_path_begins_unbiased_and_falls_where_there_is_no_privacy():
    for estimator, copies in (("one", 1), ("median", 25)):
        report = attacked(estimator, copies)
        assert report.path.shape == (len(report.queries), 5)
        assert report.queries[-1] == 1500
        assert abs(report.path[0].mean() - 1) < 0.15
        assert (np.diff(report.path, axis=0) <= 0).all()
        np.testing.assert_array_equal(report.path[-1], report.estimate)


@support.every_seed
def test_one_value_changes_the_odds_of_a_private_median_by_at_most_the_loss(seed):
    values, loss = support.normal((24,), seed).abs() + 0.5, 0.7
    others = values.repeat(50, 1)
    others[:, 0] = torch.linspace(0, 3, 50, dtype=torch.float64)
    change = log_odds(others, loss).log_softmax(-1) - log_odds(values, loss).log_softmax(-1)
    assert change.abs().max() <= loss
    assert change.abs().max() > 0.1 * loss
    below = [sum(v <= r for v in values.tolist()) for r in GRID.tolist()]
    support.assert_close(
        log_odds(values, loss), torch.tensor([-loss / 2 * abs(b - 12) for b in below], dtype=torch.float64), 2
    )


@support.every_seed
def test_a_private_median_is_drawn_by_its_odds(seed):
    values, draws = support.normal((24,), seed).abs() + 0.5, 4000
    u = Rng(seed, "u").uniform((draws, len(GRID)), torch.float64)
    found = private_median(values.expand(draws, -1), 0.7, u)
    often = (found.unsqueeze(-1) == GRID).double().mean(0)
    expected = log_odds(values, 0.7).softmax(-1)
    assert ((often - expected).abs() <= 5 * (expected / draws).sqrt()).all()


def test_what_is_refused():
    with pytest.raises(ex.SpecError, match="there are 10 copies"):
        analyses["adaptive_queries"].build(copies=10)
    with pytest.raises(ex.SpecError, match="at most the 4 unknowns"):
        problem(size=2, constraints=5)


@support.every_precision
def test_a_run_answers_every_query(dtype):
    spec = ex.RunSpec(problem="kronecker_projections", operator=None, solver="maintained_projection")
    run = ex.run(spec.replace(dtype=str(dtype)[6:]))
    assert run.x.shape == (30, 12, 12)
    assert support.norm(run.x - run.x_true) <= 1e4 * support.eps(dtype) * support.norm(run.x_true)
