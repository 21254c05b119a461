"""Iterates that a run keeps: the stopped one, the best one, thinned snapshots, moments of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.linalg import Blocks, copy_, where


class Pick:
    """The iterate at which something last happened, per sample.

    Parameters
    ----------
    on_host : bool
        Whether reading a flag is cheap (one sample on the CPU): then nothing is copied unless the flag holds.
    """

    def __init__(self, on_host: bool) -> None:
        self._on_host = on_host
        self.x: Any = None
        self.step: Tensor | None = None

    def take(self, mask: Tensor, x: Any, step: int) -> None:
        """Keep `x` for the samples where `mask` holds."""
        if self.step is None:
            self.x, self.step = x.clone(), torch.zeros_like(mask, dtype=torch.int64)
            self.step = torch.where(mask, step, self.step)
        elif self._on_host:
            if bool(mask):
                copy_(self.x, x)
                self.step = torch.full_like(self.step, step)
        else:
            copy_(self.x, where(mask, x, self.x))
            self.step = torch.where(mask, step, self.step)


class Snapshots:
    """At most `capacity` iterates, spread evenly on a logarithmic axis of steps.

    Parameters
    ----------
    capacity : int
        Largest number kept.
    last : int
        Step at which the run ends at the latest.
    max_bytes : int
        Memory they may take; fewer are kept where iterates are large.
    """

    def __init__(self, capacity: int, last: int, max_bytes: int = 2**28) -> None:
        self._capacity, self._last, self._max_bytes = capacity, last, max_bytes
        self._wanted: set[int] | None = None
        self.steps: list[int] = []
        self.iterates: list[Any] = []

    def offer(self, x: Any, step: int) -> None:
        """Keep `x` if its step is one of those wanted."""
        if self._wanted is None:
            size = sum(p.numel() * p.element_size() for p in (x if isinstance(x, Blocks) else (x,)))
            number = min(self._capacity, max(2, self._max_bytes // max(size, 1))) if self._capacity else 0
            self._wanted = (
                set(np.unique(np.geomspace(1, self._last, number).round().astype(int)).tolist()) if number else set()
            )
        if step in self._wanted:
            self.force(x, step)

    def force(self, x: Any, step: int) -> None:
        """Keep `x` in any case."""
        if self._capacity and step not in self.steps:
            self.steps.append(step)
            self.iterates.append(x.clone())


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
        if self._mean is None:
            self._mean, self._scatter = x.clone(), torch.zeros_like(x.abs())
            return
        delta = x - self._mean
        self._mean = self._mean + delta / self.count
        self._scatter = (
            self._scatter + (delta.conj() * (x - self._mean)).real
            if x.is_complex()
            else self._scatter + delta * (x - self._mean)
        )

    @property
    def mean(self) -> Tensor:
        """Mean over draws and chains, shape ``(*batch, *shape)``."""
        return self._mean.mean(0)

    @property
    def variance(self) -> Tensor:
        """Variance over draws and chains, shape ``(*batch, *shape)``."""
        chains = len(self._mean)
        between = ((self._mean - self._mean.mean(0)).abs() ** 2).sum(0) * self.count
        return (self._scatter.sum(0) + between) / max(chains * self.count - 1, 1)

    @property
    def r_hat(self) -> Tensor | None:
        """Potential scale reduction of every entry, shape ``(*batch, *shape)``; None with one chain or two draws."""
        if self._mean is None or len(self._mean) < 2 or self.count < 3:
            return None
        n = self.count
        within = (self._scatter / (n - 1)).mean(0)
        between = ((self._mean - self._mean.mean(0)).abs() ** 2).sum(0) / (len(self._mean) - 1)
        return torch.sqrt((n - 1) / n + torch.where(within > 0, between / within, 0.0))
