"""Baselines of a radio interferometer against the geometry of the sky, and its measurements against NumPy's FFT."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.interferometry import antennas, gridded, tracks
from tests.support import assert_close, normal

DOUBLE = torch.float64
HOURS = torch.linspace(-6, 6, 25, dtype=DOUBLE)


def make(shape=(32, 32), dtype=DOUBLE, **knobs):
    return ex.operators.radio_interferometer(Space(shape, dtype), Rng(0, "test"), **knobs)


def test_a_source_in_the_zenith_sees_the_ground_plan():
    positions = normal((4, 2))
    first, second = torch.triu_indices(4, 4, 1)
    seen = tracks(positions, torch.zeros(1, dtype=DOUBLE), 34.0, 34.0)[0]
    assert_close(seen, positions[second] - positions[first], 16)


@pytest.mark.parametrize("declination", [90.0, 30.0, -60.0])
def test_an_east_west_baseline_runs_along_an_ellipse(declination):
    u, v = tracks(torch.tensor([[0.0, 0], [2.0, 0]]).double(), HOURS, declination, 52.9)[:, 0].unbind(-1)
    assert_close(u**2 + (v / math.sin(math.radians(declination))) ** 2, torch.full_like(u, 4), 16)


def test_projections_are_those_of_vectors_in_space():
    """Turn the antennas with the Earth, and look along the direction of the source."""
    latitude, declination, positions = math.radians(-30), math.radians(20), normal((3, 2))
    seen = tracks(positions, HOURS, 20.0, -30.0)
    # axes: the meridian of the source, east of it, the pole
    to_source = np.array([math.cos(declination), 0, math.sin(declination)])
    north = np.array([-math.sin(declination), 0, math.cos(declination)])
    east = np.cross(north, to_source)
    for t, hour in enumerate(HOURS.tolist()):
        place = hour * math.pi / 12  # later, the antennas have turned to the east
        up_east = np.array([-math.sin(place), math.cos(place), 0])
        up_north = np.array([-math.sin(latitude) * math.cos(place), -math.sin(latitude) * math.sin(place), 0])
        up_north[2] = math.cos(latitude)
        space = positions.numpy() @ np.stack((up_east, up_north))
        for k, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
            b = space[j] - space[i]
            assert np.allclose(seen[t, k].numpy(), (b @ east, b @ north), rtol=0, atol=1e-13)


@pytest.mark.parametrize("layout", ["arms", "ring", "random"])
@pytest.mark.parametrize("dtype", [DOUBLE, torch.complex128])
def test_measurements_are_the_fourier_transform_at_the_kept_frequencies(layout, dtype):
    A, x = make((32, 24), dtype, layout=layout), normal((32, 24), dtype=dtype)
    whole = torch.from_numpy(np.fft.fft2(x.numpy(), norm="ortho")).reshape(-1)
    assert_close(A(x), whole[A.mask.kept], 32)
    assert A.coisometry == dtype.is_complex
    assert 0 not in A.mask.kept


def test_every_frequency_comes_with_its_opposite_and_none_beyond_the_reach():
    A = make((32, 32), reach=0.5, hours=12.0)
    kept = A.mask.kept
    row, column = kept // 32, kept % 32
    assert torch.equal((((-row) % 32) * 32 + (-column) % 32).sort().values, kept)
    low = lambda k: torch.where(k < 16, k, k - 32)  # noqa: E731
    assert torch.hypot(low(row).double(), low(column).double()).max() <= 8 + math.sqrt(0.5)


def test_the_turning_earth_fills_the_plane():
    kept = [len(make((64, 64), hours=hours, number=9).mask.kept) for hours in (0.0, 3.0, 12.0)]
    assert kept[0] == 72  # 36 pairs and their opposites
    assert kept[1] > 4 * kept[0]
    assert kept[2] > 1.5 * kept[1]


def test_north_is_up_and_a_baseline_to_the_north_sees_stripes_from_east_to_west():
    positions = torch.tensor([[0.0, 0.0], [0.0, 1.0]]).double()
    kept = gridded(tracks(positions, torch.zeros(1).double(), 40.0, 40.0), (16, 16), 0.5)
    assert kept.tolist() == [4 * 16, 12 * 16]


def test_layouts_have_their_shapes():
    arms = antennas(27, "arms", Rng(0, "test"))
    radius = torch.linalg.vector_norm(arms, dim=1)
    assert_close(radius[::3], torch.arange(1, 10, dtype=DOUBLE) ** 1.716, 16)
    assert_close(arms[:3].sum(0), torch.zeros(2).double(), 1, scale=10)
    assert_close(torch.linalg.vector_norm(antennas(7, "ring", Rng(0, "test")), dim=1), torch.ones(7).double(), 8)
    assert len(tracks(arms, HOURS, 0.0, 0.0)[0]) == 27 * 26 / 2


def test_too_short_baselines_are_refused():
    with pytest.raises(ex.SpecError, match="choose a larger reach"):
        make((8, 8), reach=0.05)
