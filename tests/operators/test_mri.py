"""Magnetic resonance imaging: coils against the field of wires, masks against their definition, radial against sums."""

import importlib.util
import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.coils import birdcage
from explorer.operators.kspace import GROWTH, distances, poisson_disc, sampled
from explorer.operators.nufft import GOLDEN, NonuniformFourier, lines
from tests.support import SEEDS, assert_close, normal

DOUBLE = torch.float64
PATTERNS = ["uniform_lines", "random_lines", "random_points", "poisson_disc"]
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)
real_and_complex = pytest.mark.parametrize("dtype", [DOUBLE, torch.complex128])


def cartesian(shape=(24, 20), dtype=DOUBLE, seed=0, **knobs):
    return ex.operators.multicoil_mri(Space(shape, dtype), Rng(seed, "test"), **knobs)


# --- coils ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coils", [1, 2, 8])
def test_squared_moduli_of_the_sensitivities_sum_to_one(coils):
    maps = birdcage((12, 9), coils, 1.5)
    assert_close((maps.abs() ** 2).sum(0), torch.ones(12, 9, dtype=DOUBLE), 16)


def test_ratios_of_sensitivities_are_those_of_the_fields_of_wires():
    """Ampère: the field of a wire along z is perpendicular to the way there and falls with the distance."""
    rows, columns, coils, distance = 6, 7, 5, 1.7
    maps = birdcage((rows, columns), coils, distance).numpy()
    for i, j in [(0, 0), (2, 5), (5, 6)]:
        at = np.array([(j + 0.5) * 2 / columns - 1, 1 - (i + 0.5) * 2 / rows, 0])
        fields = []
        for c in range(coils):
            angle = 2 * math.pi * c / coils
            away = at - distance * np.array([math.cos(angle), math.sin(angle), 0])
            b = np.cross([0, 0, 1], away) / (away @ away)
            fields.append((b[0] + 1j * b[1]) * np.exp(-1j * angle))
        expected = np.array(fields) / np.linalg.norm(fields)
        assert np.allclose(maps[:, i, j], expected, rtol=0, atol=1e-14)


def test_a_quarter_turn_of_the_image_exchanges_the_coils():
    maps = birdcage((10, 10), 4, 1.5).abs()
    assert_close(maps.roll(-1, 0), torch.rot90(maps, 1, (1, 2)), 16)


# --- lines and points of k-space --------------------------------------------------------------------------------------


@every_pattern
@pytest.mark.parametrize("acceleration", [1.0, 3.0, 4.0, 7.5])
def test_as_many_frequencies_are_measured_as_the_acceleration_says(pattern, acceleration):
    kept = sampled((32, 24), pattern, acceleration, 0.2, Rng(0, "test"))
    along = 24 if pattern.endswith("lines") else 1
    assert len(kept) == along * round(32 * 24 / along / acceleration)
    assert len(kept.unique()) == len(kept)
    assert torch.equal(kept, kept.sort().values)
    assert 0 <= kept[0]
    assert kept[-1] < 32 * 24
    only_counted = sampled((32, 24), pattern, acceleration, 0.2, Rng(0, "test"), "meta")
    assert (only_counted.is_meta, only_counted.shape) == (True, kept.shape)


@every_pattern
def test_the_centre_is_fully_sampled(pattern):
    shape, share = (32, 24), 0.3
    kept = sampled(shape, pattern, 4.0, share, Rng(1, "test"))
    axes = shape[:1] if pattern.endswith("lines") else shape
    within = distances(axes).reshape(axes).argsort(stable=True) if len(axes) == 1 else distances(axes).argsort()
    lowest = within[: round(share * round(math.prod(axes) / 4))]
    rows = kept[::24] // 24 if len(axes) == 1 else kept
    # points at one distance may stand in for each other
    radius = distances(axes)
    assert (radius[rows] <= radius[lowest].max()).sum() >= len(lowest)
    inside = torch.nonzero(radius < radius[lowest].max()).flatten()
    assert set(inside.tolist()) <= set(rows.tolist())


def test_uniform_lines_outside_the_centre_come_in_equal_steps():
    rows = sampled((64, 8), "uniform_lines", 4.0, 0.0, Rng(0, "test"))[::8] // 8
    frequency = torch.where(rows < 32, rows, rows - 64).sort().values
    assert torch.equal(frequency.diff(), torch.full((15,), 4))


@pytest.mark.parametrize("seed", SEEDS)
def test_points_of_a_poisson_disc_pattern_keep_their_distance(seed):
    shape, size = (40, 30), 300
    kept, scale = poisson_disc(shape, size, 0, Rng(seed, "test"))
    at = torch.stack((kept // 30, kept % 30), -1)
    at = torch.where(at < torch.tensor([20, 15]), at, at - torch.tensor(shape)).to(DOUBLE)
    gap = torch.cdist(at, at) + 1e9 * torch.eye(size)
    radius = scale * (1 + GROWTH * distances(shape)[kept])
    assert (gap >= torch.minimum(radius[:, None], radius) - 1e-12).all()
    assert scale > 0.5
    # independent points of the same density come closer: the least gap over the radius is then a fraction of it
    free = Rng(seed, "free").permutation(40 * 30)[:size]
    other = torch.stack((free // 30, free % 30), -1).to(DOUBLE)
    assert (gap.amin(1) / radius).min() > 0.3
    assert (torch.cdist(other, other) + 1e9 * torch.eye(size)).amin(1).mean() < gap.amin(1).mean()


@pytest.mark.parametrize("pattern", ["random_points", "poisson_disc", "random_lines"])
def test_random_patterns_thin_out_away_from_the_middle(pattern):
    shape = (96, 96)
    kept = [sampled(shape, pattern, 4.0, 0.1, Rng(seed, "test")) for seed in SEEDS]
    axis = torch.fft.fftfreq(96)[torch.stack(kept) // 96].abs()
    share = [float(((axis >= a) & (axis < a + 0.125)).double().mean()) for a in (0, 0.125, 0.25, 0.375)]
    assert share == sorted(share, reverse=True)


# --- the measurements -------------------------------------------------------------------------------------------------


@every_pattern
@real_and_complex
def test_data_are_numpys_transform_of_what_every_coil_sees(pattern, dtype):
    A, x = cartesian(dtype=dtype, pattern=pattern, coils=3), normal((24, 20), dtype=dtype)
    seen = birdcage((24, 20), 3, 1.5).numpy() * x.numpy()
    whole = torch.from_numpy(np.fft.fft2(seen, norm="ortho")).reshape(3, -1)
    assert_close(A(x), whole[:, A.encoding.mask.kept], 32)


@real_and_complex
def test_without_acceleration_the_adjoint_is_the_inverse(dtype):
    A, x = cartesian(dtype=dtype, acceleration=1.0, coils=5), normal((24, 20), dtype=dtype)
    assert_close(A.gram(x), x, 32)


def test_coils_unfold_what_one_coil_cannot():
    """SENSE: with lines in equal steps of R, R pixels fold onto each other; k ≥ R coils tell them apart, one cannot."""
    few, many = (cartesian((16, 12), torch.complex128, coils=k, acceleration=4.0, pattern="uniform_lines", centre=0.0)
                 for k in (1, 8))  # fmt: skip
    assert int(torch.linalg.matrix_rank(few.to_dense())) == 16 * 12 // 4
    assert int(torch.linalg.matrix_rank(many.to_dense())) == 16 * 12


@pytest.mark.parametrize("seed", SEEDS)
def test_eight_coils_reconstruct_what_one_leaves_folded(seed):
    error = {}
    for coils in (1, 8):
        spec = ex.RunSpec(
            problem={"name": "shepp_logan", "params": {"size": 32}},
            operator={"name": "multicoil_mri", "params": {"coils": coils, "pattern": "uniform_lines"}},
            noise={"name": "gaussian", "params": {"level": 0.01}},
            solver="cgls",
            stop={"name": "budget", "params": {"steps": 30}},
            record={"keep_going": True},
            seed=seed,
            dtype="complex64",
        )
        error[coils] = float(ex.run(spec).history["error"].min())
    assert error[8] < 0.5 * error[1]


# --- radial -----------------------------------------------------------------------------------------------------------


def radial(shape=(12, 10), dtype=DOUBLE, **knobs):
    return ex.operators.radial_mri(Space(shape, dtype), **{"spokes": 7, "coils": 3, **knobs})


def direct(frequencies, shape):
    """Return the matrix of the non-uniform transform by its definition, pixels counted from the middle."""
    p = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), -1).reshape(-1, 2)
    return np.exp(-1j * frequencies.reshape(-1, 2).numpy() @ p.T) / math.sqrt(len(p))


@pytest.mark.parametrize("shape", [(12, 10), (9, 13), (1, 8)])
def test_the_nonuniform_transform_is_the_sum_over_the_pixels(shape):
    frequencies = (torch.rand((5, 6, 2), generator=torch.Generator().manual_seed(0), dtype=DOUBLE) * 2 - 1) * math.pi
    A = NonuniformFourier(Space(shape, torch.complex128), frequencies)
    expected = direct(frequencies, shape)
    # the library is asked for 1e-14, and sums up to 130 terms
    assert np.abs(A.to_dense().numpy() - expected).max() < 1e-12
    y = normal((5, 6), 1, torch.complex128)
    assert np.abs(A.adjoint(y).reshape(-1).numpy() - expected.conj().T @ y.reshape(-1).numpy()).max() < 1e-12
    single = A.to(dtype=torch.float32)
    assert np.abs(single.to_dense().numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("order", ["golden", "even"])
@real_and_complex
def test_radial_data_are_sums_over_what_every_coil_sees(order, dtype):
    A, x = radial(dtype=dtype, order=order), normal((12, 10), dtype=dtype)
    frequencies = lines(7, 24, order == "golden")
    seen = birdcage((12, 10), 3, 1.5).numpy() * x.numpy()
    expected = seen.reshape(3, -1) @ direct(frequencies, (12, 10)).T
    assert_close(A(x), torch.from_numpy(expected).reshape(3, 7, 24), 1e4)


def test_lines_run_through_zero_at_the_angles_they_should():
    for golden, step in ((True, GOLDEN), (False, math.pi / 6)):
        at = lines(6, 8, golden)
        assert torch.equal(at[:, 4], torch.zeros(6, 2, dtype=DOUBLE))
        assert float(torch.linalg.vector_norm(at, dim=-1).max()) == pytest.approx(math.pi)
        angle = torch.atan2(-at[:, -1, 0], at[:, -1, 1])
        difference = (angle.diff() - step) / math.pi
        assert (difference - difference.round()).abs().max() < 1e-14
    assert math.degrees(GOLDEN) == pytest.approx(111.246, abs=1e-3)


def test_on_the_grid_radial_and_cartesian_agree_but_for_the_origin():
    """A horizontal line with one sample a pixel is a row of the discrete transform, turned by the origin's phase."""
    x = normal((8, 8), dtype=torch.complex128)
    A = NonuniformFourier(Space((8, 8), torch.complex128), lines(1, 8, False))
    middle = torch.fft.fft2(torch.fft.ifftshift(x), norm="ortho")
    assert_close(A(x)[0], torch.fft.fftshift(middle[0]), 1e3)


def test_many_lines_find_every_frequency_but_those_in_the_corners():
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 32}},
        operator={"name": "radial_mri", "params": {"spokes": 51, "coils": 4}},
        noise={"name": "gaussian", "params": {"level": 0.0}},
        solver="cgls",
        stop={"name": "budget", "params": {"steps": 60}},
        dtype="complex128",
    )
    run = ex.run(spec)
    error, truth = (torch.fft.fft2(x, norm="ortho").reshape(-1) for x in (run.x - run.x_true, run.x_true))
    inside = distances((32, 32)) < math.sqrt(0.5)
    assert error[inside].norm() < 0.01 * truth[inside].norm()
    assert error[~inside].norm() > 0.3 * truth[~inside].norm()


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "finufft" else find(name, *a))
    with pytest.raises(ex.SpecError, match=r"need FINUFFT: pip install 'explorer-inverse\[mri\]'"):
        radial()
