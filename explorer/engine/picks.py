"""Iterates that a run keeps: the stopped one, the best one, thinned snapshots, moments of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.linalg import Blocks, clone, copy_

#: memory that the snapshots or the samples of a run may take; fewer are kept where iterates are large
MAX_BYTES = 2**28


class Pick:
    """The iterate at which something last happened, per sample.

    Attributes
    ----------
    x : Tensor, Blocks or None
        Shape ``(*batch, *shape)``.
    step : int or Tensor
        Step number per sample, from 1; 0 where nothing has happened, and `x` means nothing.
    """

    def __init__(self) -> None:
        self.x: Any = None
        self.step: Any = 0

    def take(self, mask: bool | Tensor, x: Any, step: int) -> None:
        """Keep `x` for the samples where `mask` holds; a Python bool is that of a single sample."""
        if not isinstance(mask, Tensor):
            if mask:
                self.x, self.step = clone(x) if self.x is None else copy_(self.x, x), step
        else:
            if self.x is None:
                self.x = clone(x)
            else:
                _put(self.x, mask, x)
            self.step = torch.where(mask, step, self.step)


def _put(kept: Any, mask: Tensor, x: Any) -> None:
    """Overwrite `kept` with `x` for the samples where `mask` holds; only on the CPU may the mask be looked at."""
    for a, b in zip(kept, x, strict=True) if isinstance(kept, Blocks) else ((kept, x),):
        if a.device.type == "cpu":
            a[mask] = b[mask]
        else:
            torch.where(mask.reshape(*mask.shape, *(1,) * (b.ndim - mask.ndim)), b, a, out=a)


class Snapshots:
    """At most `capacity` iterates, spread evenly on a logarithmic axis of steps.

    Parameters
    ----------
    capacity : int
        Largest number kept.
    last : int
        Step at which the run ends at the latest.
    """

    def __init__(self, capacity: int, last: int) -> None:
        self._capacity, self._last = capacity, last
        self._wanted: set[int] | None = None
        self.steps: list[int] = []
        self.iterates: list[Any] = []

    def offer(self, x: Any, step: int) -> None:
        """Keep `x` if its step is one of those wanted."""
        if self._wanted is None:
            number = _affordable(self._capacity, x)
            self._wanted = set(np.geomspace(self._last, 1, number).round().astype(int).tolist())
        if step in self._wanted:
            self._keep(x, step)

    def end(self, x: Any, step: int) -> None:
        """Keep the last iterate, which takes the place of the last step that was never reached."""
        if self._wanted and step not in self.steps:
            self._keep(x, step)

    def _keep(self, x: Any, step: int) -> None:
        self.steps.append(step)
        self.iterates.append(clone(x))


def _affordable(number: int, x: Any) -> int:
    size = sum(p.numel() * p.element_size() for p in (x if isinstance(x, Blocks) else (x,)))
    return min(number, max(2, MAX_BYTES // max(size, 1)))


class Samples:
    """At most `capacity` draws, spread evenly over those after the warm-up, and the moments of all of them.

    Parameters
    ----------
    capacity, warmup : int
        Largest number kept; number of draws discarded.
    last : int
        Step at which the run ends at the latest.
    """

    def __init__(self, capacity: int, warmup: int, last: int) -> None:
        self._capacity, self._warmup, self._last = capacity, warmup, last
        self.moments = Moments()
        self.kept: list[Tensor] = []

    def add(self, x: Tensor, step: int) -> Any:
        """Add the draw of a step, shape ``(chains, *batch, *shape)``; return the mean so far, ``(*batch, *shape)``."""
        if step <= self._warmup:
            return x.mean(0)
        self.moments.add(x)
        number = _affordable(self._capacity, x)
        if number and (step - self._warmup) % max(1, -(-(self._last - self._warmup) // number)) == 0:
            self.kept.append(x.clone())
        return self.moments.mean


class Moments:
    """Streaming mean and variance of samples, chains apart, and R-hat.

    Welford 1962: Note on a method for calculating corrected sums of squares and products;
    Gelman & Rubin 1992: Inference from iterative simulation using multiple sequences.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Any = None
        self._scatter: Any = None

    def add(self, x: Tensor) -> None:
        """Add one draw of every chain, shape ``(chains, *batch, *shape)``."""
        self.count += 1
        if self.count == 1:
            self._mean, self._scatter = x.clone(), torch.zeros_like(x.real)
            return
        delta = x - self._mean
        self._mean += delta / self.count
        rest = x - self._mean
        self._scatter += (delta.conj() * rest).real if x.is_complex() else delta * rest

    @property
    def mean(self) -> Tensor:
        """Mean over draws and chains, shape ``(*batch, *shape)``."""
        return self._mean.mean(0)

    def _between(self) -> Tensor:
        """Sum of squares of the chains' means about the whole mean."""
        return ((self._mean - self._mean.mean(0)).abs() ** 2).sum(0)

    @property
    def variance(self) -> Tensor | None:
        """Variance over draws and chains, shape ``(*batch, *shape)``; None with one draw of one chain."""
        number = 0 if self._mean is None else len(self._mean) * self.count
        return None if number < 2 else (self._scatter.sum(0) + self.count * self._between()) / (number - 1)

    @property
    def r_hat(self) -> Tensor | None:
        """Potential scale reduction of every entry, shape ``(*batch, *shape)``; None with one chain or two draws.

        Entries that never move have 1 where the chains agree and infinity where they do not.
        """
        n = self.count
        if n < 3 or len(self._mean) < 2:
            return None
        within = (self._scatter / (n - 1)).mean(0)
        between = self._between() / (len(self._mean) - 1)
        ratio = torch.where(between > 0, between / within, 0.0)
        return torch.where((within == 0) & (between == 0), 1.0, torch.sqrt((n - 1) / n + ratio))
