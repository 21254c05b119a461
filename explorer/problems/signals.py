"""One-dimensional test signals."""

from __future__ import annotations

from typing import Annotated

import torch

from explorer.catalogue import Linear, Log, SpecError, problem
from explorer.linalg import Rng
from explorer.problems.base import Truth

Samples = Annotated[int, Log(8, 65_536, unit="samples", help="number of samples")]

#: positions and jumps of the piecewise constant signal
_JUMPS = (
    (0.1, 4),
    (0.13, -5),
    (0.15, 3),
    (0.23, -4),
    (0.25, 5),
    (0.4, -4.2),
    (0.44, 2.1),
    (0.65, 4.3),
    (0.76, -3.1),
    (0.78, 2.1),
    (0.81, -4.2),
)


@problem("Blocks", papers=["Donoho & Johnstone 1994: Ideal spatial adaptation by wavelet shrinkage"])
def blocks(*, size: Samples = 256) -> Truth:
    """A piecewise constant signal with eleven jumps on [0, 1]."""
    t = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    return Truth(sum((h * (t >= p).to(torch.float64) for p, h in _JUMPS), start=torch.zeros(size, dtype=torch.float64)))


@problem("Spikes", papers=["Donoho 1992: Superresolution via sparsity constraints"])
def spikes(
    rng: Rng, *, size: Samples = 256, count: Annotated[int, Linear(1, 1000, help="number of spikes")] = 10
) -> Truth:
    """A sparse signal: spikes at random places, of random sign and height 0.5 to 1.

    Raises
    ------
    SpecError
        If there are more spikes than samples.
    """
    if count > size:
        raise SpecError(f"is {count}, and must be at most the {size} samples of the signal", "problem.params.count")
    sign, height = rng.uniform((2, count), torch.float64)
    signal = torch.zeros(size, dtype=torch.float64)
    signal[rng.permutation(size)[:count]] = torch.where(sign < 0.5, -1, 1) * (0.5 + 0.5 * height)
    return Truth(signal)
