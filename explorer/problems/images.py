"""Photographs, and the one way in which images and signals are resized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from explorer.catalogue import Log, problem
from explorer.problems.base import Truth

Size = Annotated[int, Log(8, 2048, unit="px", help="pixels a side")]


def resized(image: Tensor, *shape: int) -> Tensor:
    """Return a signal or an image with `shape`, averaged where it shrinks so that nothing aliases.

    Parameters
    ----------
    image : Tensor
        Shape ``(n,)`` or ``(rows, columns)``, real. Values stay within their range.
    *shape : int
        The new shape, of as many dimensions.
    """
    if tuple(image.shape) == shape:
        return image
    plane = image.reshape(1, 1, -1, image.shape[-1])
    wanted = shape if len(shape) == 2 else (1, *shape)
    return interpolate(plane, wanted, mode="bilinear", antialias=True).reshape(shape)


def middle_square(image: Tensor) -> Tensor:
    """Return the largest square in the middle of an image."""
    side = min(image.shape)
    top, left = ((n - side) // 2 for n in image.shape)
    return image[top : top + side, left : left + side]


def _photograph(read: Callable[[], Any], size: int) -> Truth:
    image = torch.from_numpy(read()).to(torch.float64) / 255
    return Truth(resized(middle_square(image), size, size))


@problem("Camera", papers=["van der Walt et al. 2014: scikit-image: image processing in Python"])
def camera(*, size: Size = 128) -> Truth:
    """A photographer and his camera, from scikit-image: 512 × 512 pixels resized, values 0 to 1."""
    from skimage import data

    return _photograph(data.camera, size)


@problem("Coins", papers=["van der Walt et al. 2014: scikit-image: image processing in Python"])
def coins(*, size: Size = 128) -> Truth:
    """Greek coins from Pompeii, from scikit-image: the middle 303 × 303 pixels resized, values 0 to 1."""
    from skimage import data

    return _photograph(data.coins, size)
