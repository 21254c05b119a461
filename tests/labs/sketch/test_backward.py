"""Gradients of a linear layer from a sketch of its input: unbiased, with the variance of theory (row 77)."""

import itertools

import pytest
import torch

import explorer as ex
from explorer.labs.sketch.backward import sketched_linear
from explorer.linalg import Rng
from tests import support

B, FEATURES, OUTPUTS, KEPT = 256, 40, 30, 64
KINDS = {"gaussian": "gaussian", "rows": "uniform"}
every_kind = pytest.mark.parametrize("kind", KINDS)


def layer(seed=0):
    """Return the input and the gradient by the output, which are related."""
    x = support.normal((B, FEATURES), seed)
    return x, support.normal((B, OUTPUTS), seed + 100) + 0.3 * x[:, :OUTPUTS]


@every_kind
def test_the_variance_is_that_of_the_formula(kind):
    ratios = []
    for seed in support.SEEDS:
        x, g = layer(seed)
        draws = ex.solvers.sampled_product((x.mT, g), Rng(seed, "s", 600), samples=16, terms=KINDS[kind])
        found = (next(draws).x - x.mT @ g).square().sum((-2, -1)).mean()
        ratios.append(float(found) / ex.analyses.gradient_variance((x.mT, g), kept=16, kind=kind).sketch)
    assert all(abs(r - 1) <= 0.05 for r in ratios)


@every_kind
@support.every_seed
def test_the_gradient_by_the_weights_is_unbiased_and_the_one_by_the_input_exact(kind, seed):
    x, g = layer(seed)
    draws, weight = 60, support.normal((FEATURES, OUTPUTS), seed + 50)
    found = []
    for draw in range(draws):
        leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = sketched_linear(*leaves, kept=KEPT, kind=kind, seed=1000 * seed + draw)
        y.backward(g)
        found.append(leaves[1].grad)
    support.assert_close(y.detach(), x @ weight, 1)
    support.assert_close(leaves[0].grad, g @ weight.mT, 1)
    variance = ex.analyses.gradient_variance((x.mT, g), kept=KEPT, kind=kind).sketch
    bias2 = [float((torch.stack(found[:n]).mean(0) - x.mT @ g).square().sum()) for n in (10, draws)]
    # the bias falls as one over the root of the draws: both ends at the squared size that the formula gives
    assert bias2[0] == pytest.approx(variance / 10, rel=0.5)
    assert bias2[1] == pytest.approx(variance / draws, rel=0.5)


@every_kind
def test_what_is_kept_for_the_backward_pass_is_the_sketch(kind):
    x, weight = layer()[0].requires_grad_(), support.normal((FEATURES, OUTPUTS)).requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        sketched_linear(x.reshape(8, 32, FEATURES), weight, kept=KEPT, kind=kind)
    kept = [t for t in saved if t is not weight and t.shape != weight.shape]
    assert [tuple(t.shape) for t in kept] == [(KEPT, FEATURES)]
    assert sum(t.numel() for t in kept) / x.numel() == KEPT / B


def test_batch_dimensions_are_rows():
    x, g = layer()
    grads = []
    for shape in ((B,), (8, 32)):
        weight = torch.zeros(FEATURES, OUTPUTS, dtype=torch.float64, requires_grad=True)
        sketched_linear(x.reshape(*shape, -1), weight, kept=KEPT, seed=3).backward(g.reshape(*shape, -1))
        grads.append(weight.grad)
    support.assert_same_bits(*grads)


def test_the_mini_batch_has_its_own_variance():
    """Against resampled batches: rows drawn from a large population, whose mean gradient is known."""
    n, b, draws = 2000, 50, 4000
    x, g = support.normal((n, 3), 1), support.normal((n, 2), 2) + 0.5
    mean = b * (x.mT @ g) / n
    i = torch.randint(0, n, (draws, b), generator=support.generator(3))
    batches = x[i].mT @ g[i]
    expected = (batches - mean).square().sum((-2, -1)).mean()
    found = [ex.analyses.gradient_variance((x[j].mT, g[j]), kept=b).batch for j in i[:400]]
    assert sum(found) / len(found) == pytest.approx(float(expected), rel=0.05)


def test_the_report_says_how_many_rows_add_as_much_as_the_batch():
    x, g = layer()
    few, enough = (ex.analyses.gradient_variance((x.mT, g), kept=k, kind="rows") for k in (10, B - 1))
    assert few.memory == 10 / B
    assert few.enough == enough.enough == B - 1
    assert enough.sketch == pytest.approx(enough.batch)
    assert "255 rows would add as much" in few.sentence
    assert "adds 25.5 times" in few.sentence


def test_training_with_a_fourth_of_the_activations_still_finds_the_map():
    for seed in support.SEEDS:
        x, truth = support.normal((B, 8), seed), support.normal((8, 4), seed + 10)
        weight = torch.zeros_like(truth, requires_grad=True)
        for k in itertools.count():
            loss = (sketched_linear(x, weight, kept=KEPT, kind="rows", seed=k) - x @ truth).square().mean()
            (slope,) = torch.autograd.grad(loss, weight)
            with torch.no_grad():
                weight -= 0.5 * slope
            if k == 200:
                break
        assert support.norm(weight.detach() - truth) <= 1e-3 * support.norm(truth)
