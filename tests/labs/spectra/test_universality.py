"""Training errors of least squares are the same for all designs, test errors only for some (row 278)."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses, operators
from explorer.labs.spectra.universality import draw_design, moment
from explorer.linalg import Rng, Space
from tests import support

DESIGNS = ("gaussian", "mixture", "rademacher")


def fitted(seed, **knobs):
    return analyses["gaussian_universality"].build(seed=seed, **knobs)


@pytest.mark.parametrize("design", DESIGNS)
def test_row_278_the_training_error_of_independent_labels(design):
    """n times it is χ² with n − d degrees of freedom: ten draws within 3.5 standard errors, all fifty within 3 %."""
    every = [fitted(seed, design=design, labels="independent") for seed in support.SEEDS]
    means = np.array([found.training_error.mean() for found in every])
    assert every[0].predicted_training == pytest.approx(2 / 3)
    assert np.abs(means * 1.5 - 1).max() <= 3.5 * math.sqrt(2 / 400 / 10)
    assert abs(means.mean() * 1.5 - 1) <= 0.03


@support.every_seed
def test_row_278_labels_that_name_the_cluster(seed):
    found = fitted(seed)
    assert found.residual == pytest.approx(0.2)
    assert found.training_error.mean() == pytest.approx(found.predicted_training, rel=0.05)


@pytest.mark.soak
@support.every_seed
def test_row_278_in_the_size_of_its_check(seed):
    for design in DESIGNS:
        found = fitted(seed, design=design, labels="independent", samples=1500, unknowns=500)
        assert found.training_error.mean() == pytest.approx(2 / 3, rel=3.5 * math.sqrt(2 / 1000 / 10))
    found = fitted(seed, samples=1500, unknowns=500)
    assert found.training_error.mean() == pytest.approx(0.2 * 2 / 3, rel=0.05)


@support.every_seed
def test_the_test_error_is_that_of_gaussian_data_until_the_teacher_looks_along_the_means(seed):
    for design, alignment in (("mixture", 0.0), ("rademacher", 0.0), ("rademacher", 1.0), ("gaussian", 1.0)):
        found = fitted(seed, design=design, labels="teacher", alignment=alignment)
        assert found.test_error.mean() == pytest.approx(found.predicted_test, rel=0.08)
    aligned = fitted(seed, labels="teacher", alignment=1.0)
    assert aligned.test_error.mean() < 0.6 * aligned.predicted_test
    # the training error has its closed form all the same
    assert aligned.training_error.mean() == pytest.approx(aligned.predicted_training, rel=0.08)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("labels", ["cluster", "teacher"])
def test_moments_against_many_samples(design, labels):
    """Within five standard errors; the entries ±1 are normal only in the sum over many, which 400 columns are."""
    d, n = 400, 20_000
    plane = support.isometry(d, 2)
    mean, theta = 1.5 * plane[:, 0], 0.6 * plane[:, 0] + 0.8 * plane[:, 1]
    X, t = draw_design(design, (n, d), mean, Rng(0, design))
    y = t.sign() if labels == "cluster" else (X @ theta).sign()
    for direction in (plane[:, 0], plane[:, 1], plane.sum(1)):
        each = y * (X @ direction)
        assert abs(each.mean() - moment(design, labels, mean, theta) @ direction) < 5 * each.std() / n**0.5
    along = (X @ plane[:, 0]).square().mean()
    assert float(along) == pytest.approx(1 + 1.5**2, rel=0.06)


def test_the_design_as_an_operator_and_refusals():
    spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, operator="mixture_design", noise="none")
    A = ex.run(spec).problem["A"]
    assert A.codomain.shape == (600,)
    s = torch.linalg.svdvals(A.to_dense().double())
    assert float(s[0]) == pytest.approx(math.sqrt(5), rel=0.1)
    assert float(s[1]) < 1.5
    for knobs, says in (
        ({"samples": 201}, "two, 202"),
        ({"samples": 20_000, "unknowns": 5000}, "entries are above"),
        ({"unknowns": 1}, "need two at least"),
    ):
        with pytest.raises(ex.SpecError, match=says):
            fitted(0, **knobs)
    with pytest.raises(ex.SpecError, match="choose fewer rows"):
        operators["mixture_design"].build(domain=Space((2**12,)), rng=Rng(0, "m"), rows=20_000)
