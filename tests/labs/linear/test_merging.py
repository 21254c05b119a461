"""Row 51: models merged by conjugate gradients on the merging system, the problem "task_models"."""

import itertools

import pytest
import torch

import explorer as ex
from explorer.catalogue import solvers
from explorer.engine.build import build
from explorer.labs.linear.merging import MergingSystem, system, tasks_drawn
from explorer.linalg import Rng, Space
from tests import support

CHOICES = ["average", "diagonal", "gram", "kronecker"]


def problem(seed=0, **params):
    spec = ex.RunSpec(problem={"name": "task_models", "params": params}, operator=None, solver="conjugate_gradient")
    return build(spec.replace(seed=seed, dtype="float64"))


def drawn(seed, spread=1.0, shared=0.5):
    space = Space((24, 3), torch.float64)
    return tasks_drawn(Rng(seed, "problem/task_models"), 4, 96, space, 300.0, spread, shared)


def lost(W, tasks):
    """Return what the tasks lose by the merged weights, relative to weights of zero."""
    X, B, models = tasks
    loss = lambda D: ((X @ D @ B) * (X @ D)).sum()  # noqa: E731
    return float(loss(W - models) / loss(models))


@torch.no_grad()
def losses(P, tasks, steps):
    """Return the loss of the start and after each step of conjugate gradients."""
    run = solvers["conjugate_gradient"].function(P["A"], P["y"], P["x0"])
    return [lost(P["x0"], tasks), *(lost(step.x, tasks) for step in itertools.islice(run, steps))]


@pytest.mark.parametrize("choice", CHOICES)
def test_the_operator_is_the_sum_of_kronecker_products(choice):
    """Against dense matrices: C_i = X_iᴴX_i ⊗ B_i, its diagonal, …"""
    space = Space((5, 3), torch.float64)
    X, B, _ = tasks_drawn(Rng(0, "test"), 3, 7, space, 10.0, 10.0, 0.5)
    grams = X.mT @ X
    full = sum(torch.kron(g, b) for g, b in zip(grams, B, strict=True))
    expected = {
        "average": 3 * torch.eye(15, dtype=torch.float64),
        "diagonal": torch.diag(full.diagonal()),
        "gram": torch.kron(grams.sum(0), torch.eye(3, dtype=torch.float64)),
        "kronecker": full,
    }[choice]
    A = system(choice, space, X, B)
    support.assert_close(A.to_dense(), expected, 50)
    support.assert_close(A.main_diagonal().reshape(-1), expected.diagonal(), 50)
    x, y = support.normal((2, 5, 3), 1), support.normal((2, 5, 3), 2)
    support.assert_close(A.domain.inner(A(x), y), A.domain.inner(x, A.adjoint(y)), 100)
    assert torch.linalg.eigvalsh(expected).min() > 0


def test_the_truth_minimises_what_the_tasks_lose():
    for seed in support.SEEDS:
        P, tasks = problem(seed, information="kronecker", precision_spread=30.0), drawn(seed, 30.0)
        best = lost(P.x_true, tasks)
        for k in range(20):
            assert lost(P.x_true + 1e-3 * support.normal((24, 3), k), tasks) > best
        support.assert_close(P["A"](P.x_true), P["y"], 1e3)


def test_row_51_gradients_reach_the_closed_form():
    """Measured .652 with d = 24 against .833 (average) and .837 (diagonal Fisher); here .17 to .25 against .32 to .47.

    After five steps the average is the better start where the models share something; for unrelated ones see below.
    """
    for seed in support.SEEDS:
        tasks = drawn(seed)
        P = problem(seed)
        closed = lost(P.x_true, tasks)
        from_average = losses(P, tasks, 24)
        from_zero = losses(problem(seed, start="zeros"), tasks, 5)
        D = problem(seed, information="diagonal")
        fisher = lost(D["y"] / D["A"].main_diagonal(), tasks)
        assert min(from_average[:25]) <= 1.01 * closed
        assert closed <= 0.85 * min(from_average[0], fisher)
        assert from_average[1] < from_zero[1]
        assert from_average[5] < from_zero[5]


def test_the_full_fisher_matrix_beats_the_gram_matrix_where_outputs_differ_in_precision():
    """Σ A_i ⊗ B_i has no cheap closed form; 48 steps reach its solution within a percent."""
    for seed in support.SEEDS:
        tasks = drawn(seed, 100.0)
        full = losses(problem(seed, information="kronecker", precision_spread=100.0), tasks, 48)
        gram = losses(problem(seed, precision_spread=100.0), tasks, 48)
        best = lost(problem(seed, information="kronecker", precision_spread=100.0).x_true, tasks)
        assert full[-1] <= 1.01 * best
        assert full[-1] <= 0.9 * gram[-1]


def test_for_unrelated_models_the_average_is_no_better_a_start():
    """The regime where the claim on starts does not hold: after five steps the two differ by under 2 %."""
    for seed in support.SEEDS:
        tasks = drawn(seed, shared=0.0)
        average, zero = (losses(problem(seed, shared=0.0, start=s), tasks, 5)[5] for s in ("average", "zeros"))
        assert abs(average / zero - 1) < 0.02


def test_starts_are_what_they_say():
    models = drawn(0)[2]
    for start, expected in (
        ("zeros", 0 * models[0]),
        ("average", models.mean(0)),
        ("task_arithmetic", 0.3 * models.sum(0)),
    ):
        support.assert_close(problem(start=start)["x0"], expected, 4, scale=1.0)


def test_a_run_needs_nothing_but_the_choice_of_the_problem():
    stop = ex.Choice("relative_residual", tolerance=1e-10) | ex.Choice("budget", steps=300)
    run = ex.run(
        ex.RunSpec(problem="task_models", operator=None, solver="conjugate_gradient", dtype="float64", stop=stop)
    )
    assert run.reason is ex.Reason.RESIDUAL
    assert run.metrics["relative_error"] < 1e-6
    assert isinstance(run.problem.A, MergingSystem)
