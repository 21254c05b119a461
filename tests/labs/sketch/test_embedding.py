"""The fast Johnson–Lindenstrauss transform keeps distances with a sparser projection than it was made for (row 153)."""

import functools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators import fast_johnson_lindenstrauss, random_sketch
from tests import support

SPACE, ROWS, POINTS = Space((2048,), torch.float64), 256, 150
#: the largest of ten thousand errors scatters by a tenth between draws, so that means over so many are compared
DRAWS = 10


@functools.cache
def largest(kind="fast", space=SPACE, points=POINTS, **knobs):
    """Return the largest distortion among points of which half are spiky, one a draw."""
    if kind == "fast":
        make = functools.partial(fast_johnson_lindenstrauss, points=points, **knobs)
    else:
        make = functools.partial(random_sketch, kind=kind)
    made = [make(space, Rng(seed, "sketch"), rows=ROWS) for seed in range(DRAWS)]
    return np.array([ex.analyses.distance_distortion(A, points=points, seed=s).largest for s, A in enumerate(made)])


def test_a_fourth_of_the_entries_keep_distances_nearly_as_well():
    assert largest(saving=4.0).mean() <= 1.25 * largest().mean()


def test_half_of_them_keep_distances_nearly_as_well_as_a_dense_sketch():
    # a fourth do not: 1.29 times the distortion of a dense sketch on average at 4096 numbers and 300 points
    dense = largest("gaussian")
    assert largest(saving=2.0).mean() <= 1.25 * dense.mean()
    assert largest(saving=4.0).mean() <= 1.4 * dense.mean()


def test_the_saving_has_an_end():
    assert (largest(saving=64.0) > 1.5 * largest()).all()


def test_without_mixing_the_same_sparsity_loses_the_spikes():
    assert (largest(saving=8.0, mix=False) > 1).all()


@pytest.mark.soak
def test_the_same_holds_for_more_points_in_more_dimensions():
    size = {"space": Space((4096,), torch.float64), "points": 300}
    classic, dense = largest(**size), largest("gaussian", **size)
    assert largest(saving=4.0, **size).mean() <= 1.25 * classic.mean()
    assert largest(saving=2.0, **size).mean() <= 1.25 * dense.mean()
    assert (largest(saving=64.0, **size) > 1.5 * classic).all()
    assert (largest(saving=8.0, mix=False, **size) > 1).all()


@support.every_seed
def test_the_projection_has_as_many_entries_as_the_density_says(seed):
    A = fast_johnson_lindenstrauss(SPACE, Rng(seed, "s"), rows=ROWS, points=300, saving=4.0)
    expected = ROWS * np.log(300) ** 2 / 4
    assert abs(A.projection.nonzeros - expected) <= 4 * np.sqrt(expected)
    assert ex.analyses.distance_distortion(A, points=20).nonzeros == A.projection.nonzeros


@pytest.mark.parametrize("kind", ["cosine", "gaussian", "sparse", "fast"])
def test_norms_are_kept_on_average_with_the_variance_of_theory(kind):
    space, m, draws = Space((256,), torch.float64), 32, 150
    x = support.normal((256,), 3)
    made = [random_sketch(space, Rng(s, "s"), kind=kind, rows=m, nonzeros=4) for s in range(draws)]
    squares = torch.stack([A(x).square().sum() / x.square().sum() for A in made])
    # every kind has at most the variance 2/m of a Gaussian sketch on a vector without spikes; five standard errors
    assert abs(squares.mean() - 1) <= 5 * np.sqrt(2 / m / draws)
    assert squares.var() <= 1.5 * 2 / m


def test_a_sparse_sketch_has_its_entries_one_a_stripe():
    M = random_sketch(Space((40,), torch.float64), Rng(0, "s"), kind="sparse", rows=12, nonzeros=3).to_dense()
    stripes = M.reshape(3, 4, 40)
    assert ((stripes != 0).sum(1) == 1).all()
    support.assert_close(stripes.abs().sum(1), torch.full((3, 40), 3**-0.5, dtype=torch.float64), 2)


def test_a_cosine_sketch_of_all_rows_is_orthogonal():
    space = Space((40,), torch.float64)
    M = random_sketch(space, Rng(0, "s"), rows=40).to_dense()
    support.assert_close(M.mT @ M, torch.eye(40, dtype=torch.float64), 64)


def test_distances_are_those_of_scipy():
    from scipy.spatial.distance import pdist

    from explorer.labs.sketch.embedding import _points

    space = Space((50,), torch.float64)
    A = random_sketch(space, Rng(0, "s"), rows=10)
    x = _points(space, 30, 20, Rng(5, "points"))
    assert ((x[10:] != 0).sum(1) <= 4).all()
    assert ((x[10:] != 0).sum(1) >= 1).all()
    found = ex.analyses.distance_distortion(A, points=30, spiky=2 / 3, seed=5)
    np.testing.assert_allclose(found.ratio, pdist(A(x).numpy()) / pdist(x.numpy()), rtol=1e-10)
    assert found.largest == np.abs(found.ratio - 1).max()
    assert "of 435 distances" in found.sentence


def test_what_is_too_large_is_refused():
    rng = Rng(0, "s")
    with pytest.raises(ex.SpecError, match="at most the 40"):
        random_sketch(Space((40,)), rng, rows=41)
    with pytest.raises(ex.SpecError, match="choose fewer rows, or the kind"):
        random_sketch(Space((2**16,)), rng, kind="gaussian", rows=2**14)
    with pytest.raises(ex.SpecError, match="at most the 2 entries"):
        random_sketch(Space((40,)), rng, kind="sparse", rows=2, nonzeros=3)
    with pytest.raises(ex.SpecError, match="choose fewer points"):
        ex.analyses.distance_distortion(random_sketch(Space((2**16,)), rng, rows=4), points=2000)
