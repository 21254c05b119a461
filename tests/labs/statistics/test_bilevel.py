"""Row 127: one regulariser for forty problems, by "blockwise_bilevel" and, for comparison, "exact_bilevel"."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import solvers
from explorer.engine.build import build
from explorer.labs.statistics.bilevel import inner_gradients
from explorer.linalg import Rng
from tests import support


def problem(seed=0, **params):
    spec = ex.RunSpec(problem={"name": "ridge_family", "params": params}, operator=None, solver="exact_bilevel")
    return build(spec.replace(seed=seed, dtype="float64", noise="none"))


@torch.no_grad()
def iterates(P, steps, seed=0, **knobs):
    made = solvers["blockwise_bilevel"].function(P["tasks"], P["x0"], Rng(seed, "blocks"), **knobs)
    return [step.x for step in itertools.islice(made, steps)]


@torch.no_grad()
def exact(P, steps=200):
    return [s.x for s in itertools.islice(solvers["exact_bilevel"].function(P["tasks"], P["x0"]), steps)][-1]


def losses(P, xs):
    return np.array([float(P["tasks"].loss(P["tasks"].solve(x)[0])) for x in xs])


def test_row_127_it_reaches_the_exact_result_and_more_blocks_reach_it_sooner():
    """Within 2 % of exact descent at five seeds, and 2.1 to 5.5 times fewer steps with 16 blocks than with 4.

    The direction agrees with the exact one (cosine .97 on average, over the ten steps before that loss is reached).
    Nearer to the minimum the gradient vanishes below its noise, and a cosine says nothing any more.
    """
    agreement = []
    for seed in support.SEEDS:
        P = problem(seed)
        target = 1.02 * losses(P, [exact(P)])[0]
        reached = {}
        for blocks, steps in ((4, 400), (16, 150)):
            xs = iterates(P, steps, seed, blocks=blocks)
            found = losses(P, xs)
            assert found[-1] <= target
            reached[blocks] = int(np.argmax(found <= target))
        assert reached[4] >= 2 * reached[16]
        cosines = [
            torch.cosine_similarity(xs[i] - xs[i + 1], gradient(P, xs[i]), dim=0)
            for i in range(reached[16] - 10, reached[16])
        ]
        agreement.append(float(torch.stack(cosines).mean()))
    assert min(agreement) >= 0.9
    assert np.mean(agreement) >= 0.95


def gradient(P, x):
    return P["tasks"].hypergradient(x, *P["tasks"].solve(x))


def test_corrections_since_the_last_step_let_x_run_away():
    """The regime where the paper's correction fails: steps of practical size and 4 of 40 blocks."""
    for seed in support.SEEDS:
        P = problem(seed)
        assert not losses(P, iterates(P, 250, seed, blocks=4, since="step")[-1:])[0] <= 1.2 * losses(P, [exact(P)])[0]


@support.every_seed
def test_the_hypergradient_is_the_derivative_of_the_validation_loss(seed):
    P = problem(seed, problems=5)
    tasks, x = P["tasks"], P["x0"].clone().requires_grad_()
    (expected,) = torch.autograd.grad(tasks.loss(tasks.solve(x)[0]), x)
    support.assert_close(2 * gradient(P, P["x0"]), expected, 1e4)


def test_inner_gradients_vanish_at_the_exact_solutions():
    P = problem(problems=5)
    tasks = P["tasks"]
    state = torch.stack(tasks.solve(P["x0"]))
    data = (tasks.features, tasks.targets, tasks.held_out, tasks.answers)
    found = inner_gradients(tasks.weights(P["x0"]), state, *data)
    support.assert_close(found, torch.zeros_like(found), 1e3, scale=1.0)
    theta = (2 * state[0]).requires_grad_()
    misfit = (torch.einsum("mnd,md->mn", tasks.features, theta) - tasks.targets).square().sum() / 64
    (expected,) = torch.autograd.grad(misfit + (tasks.weights(P["x0"]) * theta**2).sum() / 2, theta)
    doubled = inner_gradients(tasks.weights(P["x0"]), 2 * state, *data)[0]
    support.assert_close(doubled, expected, 1e3)


def test_with_all_blocks_and_all_rows_it_is_deterministic_and_close_to_exact_descent():
    P = problem(problems=8)
    a, b = (iterates(P, 150, seed, blocks=8, rows=32)[-1] for seed in (0, 1))
    support.assert_close(a, b, 1e8)  # problems come in another order
    assert losses(P, [a])[0] <= 1.02 * losses(P, [exact(P)])[0]


def test_runs_of_both_and_too_many_bands():
    for solver in ("blockwise_bilevel", "exact_bilevel"):
        spec = ex.RunSpec(problem="ridge_family", operator=None, solver=solver, noise="none", dtype="float64")
        run = ex.run(spec.replace(stop={"name": "budget", "params": {"steps": 20}}))
        assert run.history["objective"][-1] < run.history["objective"][0]
    with pytest.raises(ex.SpecError, match="only 8 unknowns"):
        problem(unknowns=8, bands=9)
