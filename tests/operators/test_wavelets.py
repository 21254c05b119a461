"""The wavelet transform is PyWavelets' with periodic borders, and orthonormal to rounding."""

import pytest
import pywt
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.operators.wavelets import FAMILIES, Wavelet
from tests.support import assert_close, normal


@pytest.mark.filterwarnings("ignore:Level value of .* is too high:UserWarning")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("shape", "levels"), [((32,), 3), ((8,), 3), ((16, 24), 2)])
def test_the_coefficients_are_those_of_pywavelets(family, shape, levels):
    x = normal(shape)
    reference = pywt.wavedecn(x.numpy(), family, mode="periodization", level=levels)
    expected = torch.from_numpy(pywt.coeffs_to_array(reference)[0])
    # tables of twelve digits and the orthonormal filters next to them
    error = (Wavelet(Space(shape, torch.float64), family, levels)(x) - expected).abs().max()
    assert error <= (1e-10 if family.startswith("sym") else 1e-13)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(16,), (12, 10), (7, 4)])
def test_it_is_orthonormal_to_rounding(family, shape):
    dense = Wavelet(Space(shape, torch.float64), family).to_dense()
    assert_close(dense.T @ dense, torch.eye(len(dense), dtype=torch.float64), 20)


def test_as_many_levels_as_the_size_allows_and_no_more():
    shapes = lambda *n, **more: Wavelet(Space(n), "haar", **more).shapes[1:]  # noqa: E731
    assert shapes(12, 10) == [(6, 5), (3, 5)]
    assert shapes(16, levels=2) == [(8,), (4,)]
    with pytest.raises(ex.SpecError, match="9 × 7 has no even dimension"):
        Wavelet(Space((9, 7)))


def test_scales_name_averages_and_details():
    assert Wavelet(Space((16,)), "haar", 3).scales().tolist() == [-1, -1, 0, 0, *[1] * 4, *[2] * 8]
    scales = Wavelet(Space((4, 4)), "haar", 2).scales()
    assert scales.tolist() == [[-1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize(("family", "moments"), [("haar", 1), ("db4", 4), ("db8", 8), ("sym4", 4), ("coif1", 2)])
def test_details_of_polynomials_vanish_away_from_the_border(family, moments):
    n = 64
    t = torch.linspace(-1, 1, n, dtype=torch.float64)
    for power in range(moments):
        details = Wavelet(Space((n,), torch.float64), family, 1)(t**power)[n // 2 :]
        inside = details[8:-8]
        assert inside.abs().max() <= 1e-10
    assert Wavelet(Space((n,), torch.float64), family, 1)(t**moments)[n // 2 + 8 : -8].abs().max() > 1e-9
