"""Row 179: paths between subspaces of different dimension, and local dimensions of a cloud."""

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError, analyses
from explorer.labs.spectra.flags import bures_path, distance, projector, rank, spectral_path
from tests import support

T = torch.linspace(0, 1, 21, dtype=torch.float64)


@support.every_seed
def test_row_179_a_line_becomes_a_plane_without_a_third_dimension(seed):
    line, plane = support.isometry(4, 1, seed), support.isometry(4, 2, 50 + seed)
    path = spectral_path(line, plane, T)
    assert int(rank(path).max()) == 2
    support.assert_close(path.diagonal(dim1=-2, dim2=-1).sum(-1), torch.ones_like(T), 100)
    support.assert_close(path[0], projector(line), 100)
    support.assert_close(path[-1], projector(plane), 100)
    support.assert_close(spectral_path(plane, line, T), path.flip(0), 100)
    assert float(distance(line, plane)) == float(distance(plane, line))
    assert int(rank((path[0] + path[-1]) / 2)) == 3


@support.every_seed
def test_between_subspaces_of_one_dimension_it_is_the_geodesic(seed):
    U, V = support.isometry(7, 3, seed), support.isometry(7, 3, 50 + seed)
    path = spectral_path(U, V, T)
    assert int(rank(path).max()) == 3
    cosine = torch.linalg.svdvals(U.mT @ V)
    assert float(distance(U, V)) == pytest.approx(float(cosine.acos().norm()))
    # each point is a projector, and halfway the angles are halved
    support.assert_close(3 * path[10] @ path[10], path[10], 100)
    middle = torch.linalg.eigvalsh(U.mT @ (3 * path[10]) @ U).flip(0)
    support.assert_close(middle, (cosine.acos() / 2).cos().square(), 1e4)


@support.every_seed
def test_optimal_transport_loses_variance_and_ends_where_it_should(seed):
    line, plane = (support.isometry(4, k, 10 * k + seed) for k in (1, 2))
    path = bures_path(plane, line, T)
    support.assert_close(path[0], projector(plane), 100)
    support.assert_close(path[-1], projector(line), 100)
    assert float(path[10].trace()) < 0.99
    # Bures & Wasserstein: the squared length is tr A + tr B − 2 tr (A^½ B A^½)^½, here A^½ = √2 A and the rank is 1
    A, B = path[0], path[-1]
    length2 = 2 - 2 * (2 * torch.linalg.eigvalsh(A @ B @ A)[-1]).sqrt()
    dip = 1 - path[10].trace()  # along a geodesic the trace is a parabola with this curvature
    support.assert_close(4 * dip, length2, 1e4)


def test_identical_subspaces_stay():
    U = support.isometry(5, 2)
    support.assert_close(spectral_path(U, U, T), projector(U).expand(21, 5, 5), 1000)
    assert float(distance(U, U)) < 1e-7


def test_the_analysis_compares_three_paths():
    found = analyses["subspace_path"].build()
    assert (found.spectral_rank.max(), found.euclidean_rank.max(), found.bures_rank.max()) == (2, 3, 2)
    assert np.abs(found.spectral_trace - 1).max() < 1e-12
    assert found.bures_trace.min() < 0.99
    with pytest.raises(SpecError, match="dimension 4"):
        analyses["subspace_path"].build(second=5)


def test_row_179_local_dimensions_are_right_away_from_the_junction():
    for seed in support.SEEDS:
        found = analyses["local_dimensions"].build(seed=seed)
        assert found.right >= 0.95
        on_curve = found.away & (found.truth == 1)
        assert (found.dimension[on_curve] == 1).mean() >= 0.95
    with pytest.raises(SpecError, match="20 points"):
        analyses["local_dimensions"].build(surface=10, curve=10, neighbours=30)
