"""Transforms against SciPy and against their definitions."""

import math

import pytest
import scipy.fft
import torch

from explorer.linalg import Space
from explorer.operators.transforms import Hartley, dct, idct
from tests.support import assert_close, every_precision, normal


@every_precision
@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (16,), (5, 6), (3, 4, 5)], ids=str)
def test_the_cosine_transform_is_that_of_scipy(shape, dtype):
    x = normal((3, *shape), dtype=torch.float64)
    axes = tuple(range(1, 1 + len(shape)))
    expected = torch.from_numpy(scipy.fft.dctn(x.numpy(), axes=axes, norm="ortho"))
    assert_close(dct(x.to(dtype), len(shape)), expected, 16)
    assert_close(idct(expected.to(dtype), len(shape)), x, 16)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_the_hartley_transform_is_cas(n):
    k = torch.arange(n, dtype=torch.float64)
    angle = 2 * math.pi * k[:, None] * k / n
    H = Hartley(Space((n,), torch.float64)).to_dense()
    assert_close(H, (angle.cos() + angle.sin()) / math.sqrt(n), 32)
