"""Out-of-focus and space-varying blur and super-resolution against sums written out and other programs."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import torch
from skimage.measure import block_reduce

import explorer as ex
from explorer.linalg import Space
from explorer.operators.blur import gaussian_blur, gaussian_samples
from explorer.operators.optics import defocus_blur, disc_kernel, space_varying_blur, super_resolution
from tests.support import assert_close, assert_same_bits, every_seed, norm, normal

MODES = {"periodic": "wrap", "zero": "constant", "reflexive": "reflect"}
every_boundary = pytest.mark.parametrize("boundary", MODES)


# --- out of focus ---


@pytest.mark.parametrize("radius", [0.3, 0.5, 1.0, 2.7, 6.5])
def test_the_disc_kernel_is_the_share_of_a_disc_in_each_pixel(radius):
    k = disc_kernel(radius)
    assert_close(k.sum(), torch.ones((), dtype=k.dtype), 64)
    for turned in (k.T, k.flip(0), k.flip(1)):
        assert_same_bits(turned, k)
    # counted on a grid of 500 points a pixel, whose error is that of the rim: well below 1/500 of a pixel's side
    fine, reach = 500, len(k) // 2
    t = (torch.arange(len(k) * fine, dtype=torch.float64) + 0.5) / fine - reach - 0.5
    inside = (t[:, None] ** 2 + t**2 <= radius**2).to(torch.float64)
    counted = inside.reshape(len(k), fine, len(k), fine).mean((1, 3)) / (math.pi * radius**2)
    assert (k - counted).abs().max() < 2e-3 / (math.pi * radius**2)


def test_the_transfer_function_of_a_large_disc_is_that_of_optics():
    radius, n = 20.0, 256
    A = defocus_blur(Space((n, n), torch.float64), radius=radius)
    f = torch.fft.fftfreq(n, dtype=torch.float64)[1:40]
    argument = 2 * math.pi * radius * f.numpy()
    jinc = torch.from_numpy(2 * scipy.special.j1(argument) / argument) * torch.sinc(f)
    assert (A.transfer[0, 1:40] - jinc).abs().max() < 1e-3
    assert jinc.min() < -0.1  # contrast is reversed


@every_boundary
@pytest.mark.parametrize("shape", [(15,), (12, 9)], ids=str)
@every_seed
def test_out_of_focus_blur_is_convolution_with_the_disc(boundary, shape, seed):
    A = defocus_blur(Space(shape, torch.float64), radius=2.3, boundary=boundary)
    x = normal(shape, seed)
    expected = scipy.ndimage.convolve(x.numpy(), disc_kernel(2.3, len(shape)).numpy(), mode=MODES[boundary])
    assert_close(A(x), torch.from_numpy(expected), 32)
    assert A.self_adjoint
    assert A.nonnegative


def test_in_one_dimension_the_disc_is_an_interval():
    assert_close(disc_kernel(2.0, 1), torch.tensor([0.125, 0.25, 0.25, 0.25, 0.125]).double(), 4)


# --- different from place to place ---


@every_boundary
def test_space_varying_blur_mixes_the_kernels_of_each_place(boundary):
    shape, levels, widths = (9, 8), 3, (0.5, 1.25, 2.0)
    A = space_varying_blur(Space(shape, torch.float64), sigma=0.5, edge=2.0, levels=levels, boundary=boundary)
    for row, column in np.ndindex(shape):
        x = np.zeros(shape)
        x[row, column] = 1
        r = math.hypot(2 * (row + 0.5) / 9 - 1, 2 * (column + 0.5) / 8 - 1) / math.sqrt(2) * (levels - 1)
        expected = np.zeros(shape)
        for k, sigma in enumerate(widths):
            half = gaussian_samples(sigma, 30)
            line = torch.cat((half[1:].flip(0), half)).numpy()
            spread = scipy.ndimage.convolve(x, line[:, None] * line, mode=MODES[boundary])
            expected += max(0, 1 - abs(r - k)) * spread
        assert_close(A(torch.from_numpy(x)), torch.from_numpy(expected), 32)


def test_one_level_is_the_same_blur_everywhere():
    domain, x = Space((12, 10), torch.float64), normal((12, 10))
    assert_close(space_varying_blur(domain, sigma=1.5, levels=1)(x), gaussian_blur(domain, sigma=1.5)(x), 8)


def test_brightness_is_kept_and_corners_are_blurred_more_than_the_middle():
    A = space_varying_blur(Space((65, 65), torch.float64))
    point = torch.zeros(2, 65, 65, dtype=torch.float64)
    point[0, 32, 32] = point[1, 1, 1] = 1
    assert_close(A(point).sum((1, 2)), torch.ones(2).double(), 64)
    assert A(point)[0].max() > 5 * A(point)[1].max()


# --- fewer pixels ---


@pytest.mark.parametrize("factor", [2, 3, 4])
@every_seed
def test_the_box_is_a_block_mean(factor, seed):
    x = normal((12, 24), seed)
    A = super_resolution(Space((12, 24), torch.float64), factor=factor, kernel="box")
    assert_close(A(x), torch.from_numpy(block_reduce(x.numpy(), (factor, factor), np.mean)), 16)
    assert_close(A.norm(), torch.tensor(1 / factor, dtype=torch.float64), 16)


@every_boundary
@pytest.mark.parametrize("factor", [3, 5])
def test_an_odd_factor_keeps_the_middle_of_every_few_blurred_pixels(boundary, factor):
    domain, x = Space((15, 30), torch.float64), normal((15, 30))
    blurred = gaussian_blur(domain, sigma=0.4 * factor, boundary=boundary)(x)
    A = super_resolution(domain, factor=factor, sigma=0.4, boundary=boundary)
    assert_close(A(x), blurred[factor // 2 :: factor, factor // 2 :: factor], 32)


@every_boundary
@pytest.mark.parametrize("factor", [2, 4])
def test_an_even_factor_looks_between_two_pixels(boundary, factor):
    n, x, sigma = 12, normal((12,)), 0.6 * factor
    padded = np.pad(
        x.numpy(), 10 * n, mode={"periodic": "wrap", "zero": "constant", "reflexive": "symmetric"}[boundary]
    )
    at = np.arange(-10 * n, 11 * n)
    expected = []
    for i in range(n // factor):
        g = np.exp(-((at - (factor * i + (factor - 1) / 2)) ** 2) / (2 * sigma**2))
        expected.append(g @ padded / g.sum())
    A = super_resolution(Space((n,), torch.float64), factor=factor, sigma=0.6, boundary=boundary)
    assert_close(A(x), torch.from_numpy(np.array(expected)), 32)


def test_what_the_coarse_grid_cannot_show_does_not_alias():
    n = 64
    wave = torch.cos(2 * math.pi * 28 * torch.arange(n, dtype=torch.float64) / n)  # 16 is the most that 32 pixels show
    A = super_resolution(Space((n,), torch.float64), boundary="periodic")
    assert norm(A(wave)) < 0.05 * norm(wave[::2])


def test_the_decomposition_gives_the_pseudoinverse():
    A = super_resolution(Space((12, 8), torch.float64), factor=2)
    d, y = A.svd(), normal((6, 4))
    x = d.V(d.U.adjoint(y) / d.s)
    expected = np.linalg.lstsq(A.to_dense().numpy(), y.reshape(-1).numpy(), rcond=None)[0]
    assert_close(x.reshape(-1), torch.from_numpy(expected), 1e4)


def test_a_size_that_is_no_multiple_is_refused():
    with pytest.raises(ex.SpecError, match="a side has 9 pixels, and 2 of them"):
        super_resolution(Space((8, 9)), factor=2)


@pytest.mark.parametrize("name", ["defocus_blur", "space_varying_blur", "super_resolution"])
def test_data_of_a_finer_grid_are_near_those_of_the_coarse_one(name):
    operator = {"name": name, "params": {"boundary": "reflexive"}}
    spec = ex.RunSpec(problem={"name": "shepp_logan", "params": {"size": 64}}, operator=operator)
    crime, fair = (ex.build(spec.replace(finer=times)) for times in (1, 2))
    gap = norm(fair.clean - crime.A(fair.x_true)) / norm(fair.clean)
    assert 1e-6 < gap < 0.03
