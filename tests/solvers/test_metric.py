"""The nearest metric by Project and Forget (row 281): against SciPy's NNLS on all triangles, and by its conditions."""

import itertools
import time

import numpy as np
import pytest
import scipy.optimize
import torch

import explorer as ex
from explorer.catalogue import solvers
from explorer.linalg import Space
from explorer.operators.base import Identity
from explorer.solvers.metric import _shortest_paths
from tests import support


def dissimilarities(n, seed):
    return support.normal((n, n), seed).abs().fill_diagonal_(0)


def nearest(y, steps, **knobs):
    A = Identity(Space(tuple(y.shape[-2:]), y.dtype))
    with torch.no_grad():
        return next(itertools.islice(ex.solvers.project_and_forget(A, y, **knobs), steps - 1, None))


def triangles(n):
    """Return all edges and every triangle inequality ``x_e ≤ x_f + x_g`` as three numbers of edges."""
    upper = np.triu_indices(n, 1)
    number = np.zeros((n, n), dtype=int)
    number[upper] = np.arange(len(upper[0]))
    number += number.T
    i, j, k = (index.ravel() for index in np.indices((n, n, n)))
    kept = (i < j) & (k != i) & (k != j)
    i, j, k = i[kept], j[kept], k[kept]
    return upper, np.stack([number[i, j], number[i, k], number[k, j]], -1)


def rows(sides, edges):
    made = np.zeros((len(sides), edges))
    index = np.arange(len(sides))
    for side, sign in zip(sides.T, (1, -1, -1), strict=True):
        made[index, side] += sign
    return made


def test_floyds_paths_are_scipys():
    from scipy.sparse.csgraph import floyd_warshall

    lengths = dissimilarities(20, 0).numpy()
    lengths = (lengths + lengths.T) / 2 + 0.01
    np.fill_diagonal(lengths, 0)
    distance, following = _shortest_paths(lengths)
    np.testing.assert_allclose(distance, floyd_warshall(lengths), rtol=1e-14)
    for i, j in itertools.permutations(range(20), 2):
        total, at = 0.0, i
        while at != j:
            total, at = total + lengths[at, following[at, j]], following[at, j]
        assert total == pytest.approx(distance[i, j], rel=1e-13)


@pytest.mark.parametrize("seed", support.SEEDS)
def test_it_is_the_projection_on_the_cone_of_metrics(seed):
    """The dual is ``min ‖y − Cᵀz‖`` over z ≥ 0 with all 1680 triangles of 16 points, by SciPy's NNLS."""
    y = dissimilarities(16, seed)
    upper, sides = triangles(16)
    data = ((y + y.T) / 2).numpy()[upper]
    C = rows(sides, len(data))
    expected = data - C.T @ scipy.optimize.nnls(C.T, data)[0]
    x = nearest(y, 60).x.numpy()
    np.testing.assert_allclose(x, x.T, rtol=0, atol=0)
    np.testing.assert_allclose(x[upper], expected, rtol=0, atol=1e-7 * abs(expected).max())


@pytest.mark.parametrize("seed", support.SEEDS)
def test_few_of_the_constraints_of_forty_points_are_kept_and_they_prove_the_optimum(seed):
    """Every triangle holds to 1e-5, at most 5 % are kept, and what was taken off is a sum of tight constraints."""
    y = dissimilarities(40, seed)
    upper, sides = triangles(40)
    assert len(sides) == 29_640
    step = nearest(y, 40)
    x, data = step.x.numpy()[upper], ((y + y.T) / 2).numpy()[upper]
    slack = x[sides[:, 1]] + x[sides[:, 2]] - x[sides[:, 0]]
    assert slack.min() >= -1e-5
    assert float(step.scalars["constraints"]) <= 0.05 * len(sides)
    tight = rows(sides[slack < 1e-4], len(data))
    _, left = scipy.optimize.nnls(tight.T, data - x)
    assert left <= 1e-4 * np.linalg.norm(data - x)


@pytest.mark.soak
@pytest.mark.parametrize("seed", support.SEEDS)
def test_it_is_three_times_as_fast_as_hildreths_method_on_all_triangles(seed):
    y = dissimilarities(40, seed)
    upper, sides = triangles(40)
    data = ((y + y.T) / 2).numpy()[upper]
    begun = time.perf_counter()
    step = next(s for s in _forever(y) if float(s.scalars["violation"]) <= 1e-5)
    fast = time.perf_counter() - begun
    begun = time.perf_counter()
    x, z, worst = data.tolist(), [0.0] * len(sides), 1.0
    listed = sides.tolist()
    while worst > 1e-5:
        worst = 0.0
        for t, (e, f, g) in enumerate(listed):
            excess = x[e] - x[f] - x[g]
            worst = max(worst, excess)
            c = max(excess / 3, -z[t])
            if c:
                x[e] -= c
                x[f] += c
                x[g] += c
                z[t] += c
    slow = time.perf_counter() - begun
    assert fast <= slow / 3
    found, full = (((v - data) ** 2).sum() for v in (step.x.numpy()[upper], np.array(x)))
    assert found == pytest.approx(full, rel=1e-4)


def _forever(y):
    return ex.solvers.project_and_forget(Identity(Space(tuple(y.shape), y.dtype)), y)


def test_a_metric_stays_as_it_is_and_negative_lengths_go():
    points = support.normal((12, 2), 0)
    metric = (points[:, None] - points).norm(dim=-1)
    step = nearest(metric, 1)
    support.assert_same_bits(step.x, (metric + metric.T) / 2)
    assert float(step.scalars["constraints"]) == 0
    below = nearest(-metric, 30)
    assert support.norm(below.x) <= 1e-12


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
def test_samples_do_not_mix_and_scale_does_not_matter(factor):
    y = torch.stack([dissimilarities(10, seed) for seed in range(4)])
    alone = nearest(y[1], 20).x
    for mate in (0.0, torch.nan, 1e20):
        crowd = y.clone()
        crowd[0] = crowd[2] = mate
        support.assert_same_bits(nearest(crowd, 20).x[1], alone)
    support.assert_same_bits(nearest(factor * y, 20).x, factor * nearest(y, 20).x)


def test_it_carries_what_it_declares():
    y = torch.stack([dissimilarities(10, seed) for seed in range(3)]).float()
    step, declared = nearest(y, 3), solvers["project_and_forget"].traits["reports"]
    assert set(step.scalars) == set(declared)
    assert all(value.shape == (3,) and value.dtype == torch.float32 for value in step.scalars.values())
    assert step.x.dtype == torch.float32
    before = y.clone()
    nearest(y, 3)
    support.assert_same_bits(y, before)


def test_noisy_distances_come_nearer_to_the_true_ones():
    for seed in support.SEEDS:
        spec = ex.RunSpec(
            problem={"name": "point_distances", "params": {"size": 24}},
            operator="identity",
            noise={"name": "gaussian", "params": {"level": 0.3}},
            solver="project_and_forget",
            stop={"name": "budget", "params": {"steps": 20}},
            seed=seed,
        )
        run = ex.run(spec)
        symmetric = run.problem.distance((run.y + run.y.T) / 2)
        assert run.history["error"][-1] < 0.95 * float(symmetric)


def test_only_the_identity_on_square_matrices_is_admitted():
    component = solvers["project_and_forget"]
    blur = ex.catalogue.operators["gaussian_blur"].build(domain=Space((5, 5)))
    for A in (blur, Identity(Space((4, 5))), Identity(Space((4, 4), torch.complex64))):
        assert "needs the identity on real square matrices" in component.lacking({"A": A})[1]
