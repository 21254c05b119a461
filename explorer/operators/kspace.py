"""Which frequencies of an image are measured: lines and points of k-space, as scanners sample them.

Lustig, Donoho & Pauly 2007: Sparse MRI: the application of compressed sensing for rapid MR imaging.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from explorer.linalg import Rng
from explorer.operators.mask import random_subset

Pattern = Literal["uniform_lines", "random_lines", "random_points", "poisson_disc"]
#: by how much more the discs of a Poisson-disc pattern are wide in the corner than in the middle, and by what they
#: shrink when nothing fits any more
GROWTH, SHRINK = 3.0, 0.9


def distances(shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Return the distance of each frequency from zero, flattened; zero comes first, and the corner is at 1."""
    axes = [torch.fft.fftfreq(n, dtype=torch.float64, device=device) for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return torch.linalg.vector_norm(grid, dim=0).reshape(-1) / math.sqrt(len(shape) / 4)


def sampled(
    shape: tuple[int, int],
    pattern: Pattern,
    acceleration: float,
    centre: float,
    rng: Rng,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return the frequencies that are measured, as ascending indices into the flattened transform, shape ``(m,)``.

    Parameters
    ----------
    shape : (int, int)
        Rows, which are the phase encodings, and columns, along which a line is read out.
    pattern : str
        Lines in equal steps, random lines, random points (both thin out from the middle), or points that keep
        their distance from one another. m is one of `acceleration` of all, but for rounding.
    centre : float
        Share of the measurements that is spent on the lowest frequencies, all of which are taken.
    device : str or torch.device
        Where the indices are; on ``meta`` they are only counted.
    """
    rows, columns = shape
    along = columns if pattern.endswith("lines") else 1
    axes = (rows,) if along > 1 else shape
    size = max(1, round(math.prod(axes) / acceleration))
    lowest = round(centre * size)
    if torch.device(device).type == "meta":
        return torch.empty(size * along, dtype=torch.int64, device=device)
    if size == math.prod(axes):
        kept = torch.arange(size)
    elif pattern == "uniform_lines":
        kept = _even(rows, size, lowest)
    elif pattern == "poisson_disc":
        kept = poisson_disc(shape, size, lowest, rng)[0]
    else:
        radius = distances(axes)
        weight = (1 - radius) ** 3 + 1e-3  # the floor lets the highest frequencies be drawn too
        weight[radius.argsort(stable=True)[:lowest]] = math.inf
        kept = random_subset(weight, size, rng)
    return (kept[:, None] * along + torch.arange(along)).reshape(-1).to(device)


def _even(n: int, size: int, lowest: int) -> Tensor:
    """Return the `lowest` of n frequencies, and of the others so many as are left, in equal steps."""
    frequency = torch.fft.fftfreq(n, dtype=torch.float64)
    order = frequency.abs().argsort(stable=True)
    others = order[lowest:][frequency[order[lowest:]].argsort()]
    steps = ((torch.arange(size - lowest) + 0.5) * (len(others) / max(1, size - lowest))).long()
    return torch.cat((order[:lowest], others[steps])).sort().values


def poisson_disc(shape: tuple[int, int], size: int, lowest: int, rng: Rng) -> tuple[Tensor, float]:
    """Draw frequencies that keep their distance: none lies in the disc around an earlier one.

    Darts are thrown on the grid until nothing fits; then all discs shrink, and more are thrown, until there are `size`.
    The radius of a disc is ``s (1 + 3ρ)`` at the distance ρ of its frequency from zero. The `lowest` frequencies are
    taken first, however close.

    McCool & Fiume 1992: Hierarchical Poisson disk sampling distributions.

    Returns
    -------
    kept : Tensor
        Ascending indices, shape ``(size,)``.
    scale : float
        s at the end, in points of the grid.
    """
    rows, columns = shape
    radius = np.fft.fftshift(distances(shape).reshape(shape).numpy())  # zero frequency in the middle
    width = 1 + GROWTH * radius
    kept = radius.reshape(-1).argsort(kind="stable")[:lowest].tolist()
    order = rng.permutation(rows * columns).tolist()
    # jammed discs, none with its centre in another, are 0.7 to the square of their radius; from there downwards
    scale = 1.1 * math.sqrt(0.7 * float((width**-2).sum()) / size)
    while len(kept) < size:
        taken = np.zeros(shape, dtype=bool)
        for index in kept:
            _cover(taken, index, scale * width.flat[index])
        flat = taken.reshape(-1)
        for index in order:
            if not flat[index]:
                kept.append(index)
                _cover(taken, index, scale * width.flat[index])
                if len(kept) == size:
                    break
        else:
            scale *= SHRINK
    chosen = np.zeros(shape, dtype=bool)
    chosen.flat[kept] = True
    return torch.from_numpy(np.flatnonzero(np.fft.ifftshift(chosen))), scale


def _cover(taken: np.ndarray, index: int, radius: float) -> None:
    """Mark the points nearer than `radius` to one of them, and itself."""
    row, column = divmod(index, taken.shape[1])
    reach = math.ceil(radius)
    top, left = max(0, row - reach), max(0, column - reach)
    near = taken[top : row + reach + 1, left : column + reach + 1]
    i, j = np.arange(top, top + near.shape[0]) - row, np.arange(left, left + near.shape[1]) - column
    near |= i[:, None] ** 2 + j**2 < radius**2
    taken[row, column] = True
