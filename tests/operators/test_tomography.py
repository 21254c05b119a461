"""Tomography with geometry in physical units: fan beams, shifted axes, wide bins and straight seismic rays."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.radon import Radon
from tests.support import assert_close, norm, normal

DOUBLE = torch.float64


def disc(n, radius, cx, cy):
    """Return a disc, smoothed over a pixel at its edge; x to the right, y upwards, from the middle, in pixels."""
    t = torch.arange(n, dtype=DOUBLE) - (n - 1) / 2
    return (radius + 0.5 - torch.hypot(t - cx, -t[:, None] - cy)).clamp(0, 1)


def blob(n):
    t = (torch.arange(n, dtype=DOUBLE) + 0.5) / n - 0.5
    at = lambda x, y, width: torch.exp(-((t - x) ** 2 + (-t[:, None] - y) ** 2) / width**2)  # noqa: E731
    return at(0.1, 0.15, 0.1) + 0.5 * at(-0.15, -0.1, 0.06)


@pytest.mark.parametrize(("source", "detector", "centre"), [(300.0, 0.0, 0.0), (200.0, 150.0, 0.0), (250.0, 60.0, 6.0)])
def test_a_fan_measures_the_chords_of_a_disc(source, detector, centre):
    n, radius, middle = 128, 20.0, np.array([4.5, -7.0])  # mm; the pixel is half a millimetre
    A = ex.operators.fan_beam(
        Space((n, n), DOUBLE), angles=12, start=7.0, source=source, detector=detector, centre=centre, pixel=0.5
    )
    expected = np.zeros(A.codomain.shape)
    for i, j in np.ndindex(*A.codomain.shape):
        beta = math.radians(7 + 30 * i)
        along, ahead = np.array([math.cos(beta), math.sin(beta)]), np.array([-math.sin(beta), math.cos(beta)])
        # the axis of rotation is the origin of the image; source and detector are moved along the detector
        start = -source * ahead - centre * along
        end = detector * ahead + (j - (A.codomain.shape[1] - 1) / 2) * along
        end = end - centre * along
        way = (end - start) / np.linalg.norm(end - start)
        away = middle - start
        offset = abs(way[0] * away[1] - way[1] * away[0])
        expected[i, j] = 2 * math.sqrt(max(0, radius**2 - offset**2))
    expected = torch.from_numpy(expected)
    measured = A(disc(n, 2 * radius, *(2 * middle)))
    assert norm(measured - expected) < 0.015 * norm(expected)


def test_a_far_source_sends_parallel_rays():
    domain, x = Space((32, 32), DOUBLE), normal((32, 32))
    fan = ex.operators.fan_beam(domain, angles=10, source=1e4, bins=45)
    parallel = ex.operators.radon(domain, angles=10, arc=360, bins=45)
    smooth = blob(32)
    assert norm(fan(smooth) - parallel(smooth)) < 2e-3 * norm(parallel(smooth))
    assert not torch.equal(fan(x), parallel(x))


def test_the_fan_sees_the_whole_image_and_a_source_inside_it_is_refused():
    A = ex.operators.fan_beam(Space((16, 16), DOUBLE), angles=7)
    assert (A.adjoint(A.codomain.zeros() + 1) > 0).all()
    assert (A.rays.lines(0.0)[1].abs().max() - 16 / math.sqrt(2)).abs() < 1.5
    with pytest.raises(ex.SpecError, match=r"the source is 10 mm from the axis, and must be beyond the corners, 11\.3"):
        ex.operators.fan_beam(Space((16, 16)), source=10.0)


@pytest.mark.parametrize("source", [None, 40.0])
def test_a_bin_of_several_rays_measures_their_mean(source):
    domain, angles = Space((16, 16), DOUBLE), torch.tensor([10.0, 80.0, 130.0]).double()
    x = normal((2, 16, 16))
    wide = Radon(domain, angles, 20, per_bin=3, source=source)
    thin = Radon(domain, angles, 60, spacing=1 / 3, source=source)
    assert_close(wide(x), thin(x).reshape(2, 3, 20, 3).mean(-1), 32)
    free = Radon(domain, angles, 20, per_bin=3, source=source, matrix_free=True)
    y = normal((2, 3, 20), 1)
    assert_close(free(x), wide(x), 32)
    assert_close(free.adjoint(y), wide.adjoint(y), 32)
    assert_close(free.gram_diagonal(), wide.gram_diagonal(), 32)


def test_lengths_have_units():
    domain, x = Space((24, 24), DOUBLE), normal((24, 24))
    one = ex.operators.radon(domain, angles=8)
    ten = ex.operators.radon(domain, angles=8, pixel=0.1, spacing=0.1)
    assert_close(ten(x), 0.1 * one(x), 64)
    assert ex.operators.radon(domain, angles=8, pixel=2.0).codomain.shape == (8, 48 + 2 * 10)


def test_an_axis_off_the_middle_shifts_the_data_by_whole_bins():
    domain, x = Space((24, 24), DOUBLE), normal((24, 24))
    right, shifted = (ex.operators.radon(domain, angles=8, bins=41, centre=c)(x) for c in (0.0, 3.0))
    assert_close(shifted[:, 3:], right[:, :-3], 64)


def test_angles_have_a_start_and_errors_of_their_own():
    domain = Space((8, 8))
    assert ex.operators.radon(domain, angles=3, arc=60, start=-30).rays.angles.tolist() == [-30, -10, 10]
    drawn = [ex.operators.radon(domain, Rng(0, "test"), angles=1000, jitter=2.0).rays.angles for _ in range(2)]
    assert torch.equal(*drawn)
    errors = drawn[0] - torch.arange(1000) * 0.18
    assert abs(errors.std() / 2 - 1) < 0.1
    with pytest.raises(ex.SpecError, match="no random stream"):
        ex.operators.radon(domain, jitter=2.0)


@pytest.mark.parametrize("name", ["radon", "fan_beam", "travel_time"])
@pytest.mark.parametrize("finer", [2, 3])
def test_data_of_a_finer_grid_are_near_those_of_the_coarse_one(name, finer):
    spec = ex.RunSpec(problem={"name": "shepp_logan", "params": {"size": 48}}, operator=name, finer=finer)
    fair = ex.build(spec)
    gap = norm(fair.clean - fair.A(fair.x_true)) / norm(fair.clean)
    assert 1e-6 < gap < 0.1


@pytest.mark.parametrize("wrong", [{"centre": 1.5}, {"start": 3.0}, {"jitter": 2.0}])
def test_a_wrong_geometry_costs_accuracy(wrong):
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 32}},
        operator="radon",
        noise={"name": "gaussian", "params": {"level": 0.01}},
        stop={"name": "budget", "params": {"steps": 12}},
    )
    right = ex.run(spec)
    off = ex.run(spec.replace(simulator={"name": "radon", "params": wrong}))
    assert off.history["error"][-1] > 1.1 * right.history["error"][-1]


# --- seismic ---


def test_rays_have_their_lengths_and_each_cell_its_share():
    rows, columns = 7, 5
    A = ex.operators.travel_time(Space((rows, columns), DOUBLE), sources=4, receivers=9, cell=0.5)
    assert A.codomain.shape == (4, 9)
    M = A.to_dense().reshape(4, 9, rows, columns)
    depth = lambda k: (np.arange(k) + 0.5) * rows / k  # noqa: E731
    starts = [(d, 0.0) for d in depth(4)]
    ends = [(d, float(columns)) for d in depth(5)] + [(0.0, (k + 0.5) * columns / 4) for k in range(4)]
    t = (np.arange(20_000) + 0.5) / 20_000
    for i, j in np.ndindex(4, 9):
        (a, b), (c, d) = starts[i], ends[j]
        length = math.hypot(c - a, d - b)
        assert abs(float(M[i, j].sum()) / (0.5 * length) - 1) < 1e-14
        share = np.zeros((rows, columns))
        np.add.at(share, ((a + t * (c - a)).astype(int), (b + t * (d - b)).astype(int)), 0.5 * length / len(t))
        assert np.abs(M[i, j].numpy() - share).max() < 2e-4


def test_horizontal_rays_stay_in_their_row():
    A = ex.operators.travel_time(Space((3, 4), DOUBLE), sources=3, receivers=6)
    M = A.to_dense().reshape(3, 6, 3, 4)
    assert_close(M[1, 1], torch.tensor([[0.0] * 4, [1.0] * 4, [0.0] * 4]).double(), 4)


def test_a_layered_earth_has_the_times_of_its_layers():
    slowness = torch.arange(1.0, 9.0, dtype=DOUBLE)[:, None].expand(8, 6).contiguous()
    A = ex.operators.travel_time(Space((8, 6), DOUBLE), sources=8, receivers=16)
    assert_close(A(slowness).diagonal()[:8], 6 * slowness[:, 0], 16)
