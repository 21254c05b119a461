"""A larger error of the weights and a smaller one of the task (row 323)."""

import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses
from explorer.labs.spectra.weighted import fisher_weights, truncated
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from tests import support


def layer(seed, m=64, n=64):
    one = lambda k: Space((k,), torch.float64)  # noqa: E731
    return DenseMatrix(one(n), one(m), support.normal((m, n), seed))


def approximated(A, seed=0, **knobs):
    return analyses["weighted_low_rank"].build(A=A, seed=seed, **knobs)


@support.every_seed
def test_row_323_inputs_of_uneven_size(seed):
    found = approximated(layer(seed), seed, decay=0.7)
    plain, fisher, whitened = found.task_error
    assert fisher <= 0.75 * plain
    assert found.weight_error[1] > found.weight_error[0]
    assert whitened <= 1.02 * fisher
    assert found.parameters == 0.25


@support.every_seed
def test_one_weight_an_input_gains_nothing_where_the_axes_of_the_inputs_are_mixed(seed):
    plain, fisher, whitened = approximated(layer(seed), seed, decay=0.7, mixed=True).task_error
    assert abs(fisher / plain - 1) < 0.1
    assert whitened <= 0.8 * plain


def test_even_inputs_leave_nothing_to_weigh():
    found = approximated(layer(0), decay=0.0, samples=20_000)
    assert found.task_error[1:] == pytest.approx(found.task_error[0], rel=0.02)
    assert found.weight_error == pytest.approx(found.task_error, rel=0.02)


def test_fisher_weights_are_those_of_automatic_differentiation_sample_by_sample():
    X, noise = support.normal((9, 5)), support.normal((9, 3), 1)
    W = support.normal((3, 5), 2).requires_grad_()
    total = torch.zeros(5, dtype=torch.float64)
    for x, e in zip(X, noise, strict=True):
        target = (W @ x).detach() + e
        (g,) = torch.autograd.grad(0.5 * (W @ x - target).square().sum(), W)
        total += g.square().sum(0)
    support.assert_close(fisher_weights(X, noise), total / 9, 10)


def test_truncation_is_the_nearest_of_its_rank_and_full_rank_is_exact():
    W = support.matrix(support.decay(6, 100), 8, 6)
    s = torch.linalg.svdvals(W)
    support.assert_close(torch.linalg.matrix_norm(W - truncated(W, 2)), s[2:].norm(), 100)
    assert approximated(layer(0, 7, 6), rank=6).task_error.max() < 1e-12


def test_on_a_problem_and_refused():
    spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, operator="gaussian_blur")
    assert "with a weight an input" in ex.analyse(ex.run(spec), "weighted_low_rank").sentence
    with pytest.raises(ex.SpecError, match="at most the smaller side, 6"):
        approximated(layer(0, 7, 6), rank=7)
