"""Pruning at initialization is as good as the mask sketches the model (row 273)."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses, operators
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix
from tests import support

D, ROWS, KEPT = 1000, 200, 100


def model(seed, spread=1.0):
    A = operators["uneven_features"].build(
        domain=Space((D,), torch.float64), rng=Rng(seed, "features"), rows=ROWS, spread=spread
    )
    return A, A(support.normal((D,), seed))


def pruned(A, y, seed=0, kept=KEPT, **knobs):
    return analyses["pruning_at_initialization"].build(A=A, y=y, kept=kept, seed=seed, **knobs)


def rms(values):
    return float(np.sqrt(np.mean(values**2)))


@support.every_seed
def test_terms_drawn_by_data_and_weights_are_a_better_sketch_and_reach_the_bound(seed):
    A, y = model(seed)
    made = {score: pruned(A, y, seed, score=score, draws=100) for score in ("both", "right", "uniform")}
    found = {score: rms(m.sketch_error) for score, m in made.items()}
    assert found["both"] <= 0.65 * found["uniform"]
    assert found["both"] < found["right"] < found["uniform"]
    assert 0.9 <= found["both"] / made["both"].bound <= 1.1


@support.every_seed
def test_the_largest_scores_as_they_are_beat_the_unbiased_sketch(seed):
    A, y = model(seed)
    largest = pruned(A, y, seed, choice="largest", draws=1)
    assert largest.masks.sum() == KEPT
    assert largest.sketch_error[0] < 0.5 * rms(pruned(A, y, seed).sketch_error)


@support.every_seed
def test_a_better_sketch_is_a_better_model_after_training(seed):
    A, y = model(seed)
    both, right = (pruned(A, y, seed, score=s).trained_error.mean() for s in ("both", "right"))
    assert both < right < 0.8


def test_random_masks_by_weights_alone_help_where_large_weights_crowd_on_features_that_repeat_each_other():
    gains = {"independent": [], "repeated": []}
    for seed in support.SEEDS:
        A, y = model(seed, spread=0.0)
        groups = support.normal((ROWS, 100), seed).repeat_interleave(10, 1)
        copies = DenseMatrix(A.domain, A.codomain, groups + 0.05 * support.normal((ROWS, D), seed + 50))
        sizes = support.normal((100,), seed + 20).exp().repeat_interleave(10)
        weights = support.normal((D,), seed + 30).sign() * sizes
        for name, B, x0 in (("independent", A, None), ("repeated", copies, weights)):
            targets = y if name == "independent" else B(support.normal((D,), seed + 40))
            error = {
                choice: pruned(B, targets, seed, x0=x0, score="right", choice=choice).trained_error.mean()
                for choice in ("random", "largest")
            }
            gains[name].append(error["largest"] / error["random"])
    assert min(gains["repeated"]) > 1.1
    # with independent features it makes no difference
    assert np.mean(gains["independent"]) == pytest.approx(1, abs=0.1)


def test_the_trained_error_is_that_of_least_squares():
    A, y = model(3)
    for kept in (50, 400):  # fewer weights than data, and more
        found = pruned(A, y, kept=kept, draws=2)
        for mask, error in zip(torch.from_numpy(found.masks), found.trained_error, strict=True):
            columns = A.matrix[:, mask]
            best = torch.linalg.lstsq(columns, y.unsqueeze(-1)).solution
            residual = (columns @ best - y.unsqueeze(-1)).norm() / y.norm()
            assert error == pytest.approx(float(residual), abs=1e-10)


def test_norms_of_uneven_features_are_log_normal():
    A, _ = model(0)
    logs = A.matrix.norm(dim=0).log()
    assert float(logs.std()) == pytest.approx(1, abs=0.1)
    assert float(logs.mean()) == pytest.approx(0, abs=0.1)
    even, _ = model(0, spread=0.0)
    assert even.matrix.norm(dim=0).log().std() < 0.1


def test_the_analysis_works_on_a_problem_and_refuses_several_targets():
    spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, operator="uneven_features", noise="none")
    found = ex.analyse(ex.run(spec), "pruning_at_initialization", kept=20)
    assert found.masks.shape == (20, 64)
    assert found.masks.sum(1).max() <= 20
    assert "With 20 of 64 weights" in found.sentence
    A, y = model(0)
    with pytest.raises(ex.SpecError, match="one set of targets"):
        pruned(A, y.expand(3, -1))
    with pytest.raises(ex.SpecError, match="choose fewer rows"):
        operators["uneven_features"].build(domain=Space((2**16,)), rng=Rng(0, "f"))
