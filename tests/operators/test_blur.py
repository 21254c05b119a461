"""Blurs against direct convolution, and what their structure promises."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.operators import blur
from explorer.operators.algebra import Kronecker
from explorer.operators.blur import convolution, gaussian_blur, gaussian_samples, motion_blur, motion_kernel
from tests.support import assert_close, assert_same_bits, every_seed, norm, normal

MODES = {"periodic": "wrap", "zero": "constant", "reflexive": "reflect"}
every_boundary = pytest.mark.parametrize("boundary", MODES)


def direct(x, kernel, boundary):
    """Convolve by the sum itself."""
    one = lambda x: scipy.ndimage.convolve(x, kernel.numpy(), mode=MODES[boundary])  # noqa: E731
    x = x.numpy()
    return torch.from_numpy(one(x) if not np.iscomplexobj(x) else one(x.real) + 1j * one(x.imag))


def gaussian_kernel(sigma, ndim, reach=40):
    half = gaussian_samples(sigma, reach)
    line = torch.cat((half[1:].flip(0), half))
    return line if ndim == 1 else line[:, None] * line


@every_boundary
@pytest.mark.parametrize("shape", [(15,), (16,), (12, 9)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@every_seed
def test_any_kernel_is_convolved(boundary, shape, dtype, seed):
    kernel = normal((5, 3)[: len(shape)], seed)
    A = convolution(Space(shape, dtype), kernel, boundary=boundary)
    x = normal(shape, seed + 10, dtype)
    assert_close(A(x), direct(x, kernel, boundary), 32)
    assert not A.self_adjoint


@every_boundary
@pytest.mark.parametrize("shape", [(15,), (12, 9)], ids=str)
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_gaussian_blur_is_convolution_with_samples_of_a_gaussian(boundary, shape, sigma):
    A = gaussian_blur(Space(shape, torch.float64), sigma=sigma, boundary=boundary)
    x = normal(shape)
    assert_close(A(x), direct(x, gaussian_kernel(sigma, len(shape)), boundary), 32, scale=norm(x))
    assert A.self_adjoint
    assert A.positive


@every_boundary
@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
@pytest.mark.parametrize("length", [1.0, 4.5, 60.0])
def test_motion_blur_is_convolution_also_where_the_kernel_is_longer_than_the_image(boundary, angle, length):
    A = motion_blur(Space((14, 11), torch.float64), length=length, angle=angle, boundary=boundary)
    x = normal((14, 11))
    assert_close(A(x), direct(x, motion_kernel(length, angle), boundary), 32, scale=norm(x))
    along_an_axis = angle % 90 == 0 or length == 1
    assert A.self_adjoint == (boundary != "reflexive" or along_an_axis)
    assert A.positive == (length == 1)


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 120])
@pytest.mark.parametrize("length", [1, 2, 7.3, 30])
def test_a_motion_kernel_is_a_line_of_mass_one(angle, length):
    k = motion_kernel(length, angle)
    assert_close(k.sum(), torch.ones((), dtype=k.dtype), 16)
    assert (k >= 0).all()
    assert_same_bits(k, k.flip((0, 1)))
    row, column = (torch.arange(n, dtype=torch.float64) - n // 2 for n in k.shape)
    # across the line the mass stays within half a diagonal of a pixel
    across = row[:, None] * math.cos(math.radians(angle)) + column * math.sin(math.radians(angle))
    assert across[k > 0].abs().max() <= math.sqrt(0.5) + 1e-12
    along = column * math.cos(math.radians(angle)) - row[:, None] * math.sin(math.radians(angle))
    assert abs(along[k > 0].abs().max() - length / 2) <= math.sqrt(0.5) + 1e-12


def test_a_quarter_turn_transposes_the_kernel():
    assert_close(motion_kernel(6, 90), motion_kernel(6, 0).T, 16)
    assert_close(motion_kernel(6.3, 60), motion_kernel(6.3, 150).rot90(1), 64)


def test_an_even_kernel_has_its_origin_after_the_middle():
    A = convolution(Space((5,), torch.float64), torch.tensor([2.0, 3.0]))
    assert_close(A(torch.eye(5, dtype=torch.float64)[0]), torch.tensor([3.0, 0, 0, 0, 2]).double(), 16)


@every_boundary
def test_a_complex_kernel_keeps_its_imaginary_part_when_moved(boundary):
    kernel = normal((5, 3), dtype=torch.complex128)
    A = convolution(Space((8, 7), torch.complex128), kernel, boundary=boundary)
    x = normal((8, 7), 1, torch.complex128)
    expected = direct(x, kernel.real, boundary) + 1j * direct(x, kernel.imag, boundary)
    assert_close(A(x), expected, 32)
    moved = A.to(dtype=torch.float32)
    assert moved.domain.dtype == torch.complex64
    assert moved.transfer.dtype == torch.complex64
    assert_close(moved(x.to(torch.complex64)), expected, 32)
    assert A.transfer.dtype == torch.complex128


def test_a_real_transfer_function_that_is_not_symmetric_keeps_its_imaginary_part_when_moved():
    kernel = normal((5,))
    moved = convolution(Space((16,), torch.float64), kernel).to(dtype=torch.float32)
    x = normal((16,), 1)
    assert moved.transfer.is_complex()
    assert_close(moved(x.float()), direct(x, kernel, "periodic"), 32)


@pytest.mark.parametrize("boundary", ["periodic", "zero"])
def test_a_hermitian_kernel_is_self_adjoint(boundary):
    kernel = normal((5, 3), dtype=torch.complex128)
    kernel = kernel + kernel.flip((0, 1)).conj()
    A = convolution(Space((8, 7), torch.complex128), kernel, boundary=boundary)
    assert A.self_adjoint
    M = A.to_dense()
    assert_close(M, M.mH, 16)


@every_boundary
def test_a_kernel_with_a_dominant_centre_is_positive(boundary):
    A = convolution(Space((9,), torch.float64), torch.tensor([-1.0, 2.0, -1.0]), boundary=boundary)
    assert A.positive
    assert torch.linalg.eigvalsh(A.to_dense()).min() > -1e-14
    assert not convolution(Space((9,)), torch.tensor([1.0, 1.9, 1.0]), boundary=boundary).positive


@pytest.mark.parametrize("shape", [(30,), (24, 17)], ids=str)
def test_the_long_way_of_a_zero_boundary_is_the_same_matrix(shape, monkeypatch):
    domain = Space(shape, torch.float64)
    short = gaussian_blur(domain, sigma=1.5, boundary="zero")
    assert isinstance(short, Kronecker)
    assert short.has_svd
    monkeypatch.setattr(blur, "MAX_DENSE_SIDE", 8)
    long = gaussian_blur(domain, sigma=1.5, boundary="zero")
    assert not isinstance(long, Kronecker)
    assert long.positive
    x = normal(shape)
    assert_close(long(x), short(x), 32)
    assert_close(long.gram_diagonal(), short.gram_diagonal(), 32)


def test_a_signal_too_long_for_a_matrix_is_blurred_with_a_zero_boundary():
    A = gaussian_blur(Space((50_000,)), boundary="zero")
    ones = torch.ones(50_000)
    assert_close(A(ones)[100:-100], ones[100:-100], 32)
    assert A(ones)[0] < 0.7


def test_the_phases_are_orthonormal_where_the_transfer_function_vanishes():
    # a Gaussian beside the origin: most of its transfer function is rounding error
    kernel = torch.cat((gaussian_kernel(3.5, 1), torch.zeros(2, dtype=torch.float64)))
    A = convolution(Space((128,), torch.float64), kernel)
    d = A.svd()
    assert d.s.min() < 1e-14
    U = d.U.to_dense()
    assert_close(U.T @ U, torch.eye(128, dtype=torch.float64), 32)
    assert_close((U * d.s) @ d.V.to_dense().T, A.to_dense(), 32)


@pytest.mark.parametrize(
    ("kernel", "dtype", "boundary", "words"),
    [
        (torch.ones(3, 3), torch.float32, "zero", "2 dimensions, and must have 1"),
        (torch.ones(3) * 1j, torch.float32, "zero", "use a complex dtype"),
        (torch.ones(3), torch.float32, "open", "must be one of periodic, zero, reflexive"),
    ],
)
def test_a_wrong_kernel_is_refused_in_a_sentence(kernel, dtype, boundary, words):
    with pytest.raises(ex.SpecError, match=words):
        convolution(Space((8,), dtype), kernel, boundary=boundary)
