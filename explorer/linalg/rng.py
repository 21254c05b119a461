"""Random streams: one CPU stream per (seed, component, draw), moved to the device.

Draw j is therefore the same alone or in a batch, on CPU or GPU, and rounded from the same numbers in any precision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Rng:
    """The random stream of one component.

    Parameters
    ----------
    seed : int
        Seed of the run.
    component : str
        Name of the component; streams of different names are independent.
    draws : int or None
        Number of independent draws; samples then have a leading dimension of that length.
    """

    says = "a random stream"

    def __init__(self, seed: int, component: str, draws: int | None = None) -> None:
        self.seed, self.component, self.draws = seed, component, draws
        self._streams = [self._stream(j) for j in range(1 if draws is None else draws)]

    def _stream(self, draw: int) -> torch.Generator:
        """Return the generator of a draw. It keeps 32 bits of its seed, so draws are counted on from a hashed start."""
        digest = hashlib.sha256(f"{self.seed}/{self.component}".encode()).digest()
        return torch.Generator("cpu").manual_seed((int.from_bytes(digest[:4], "little") + draw) % 2**32)

    def fork(self, name: str) -> Rng:
        """Return an independent stream for a part of the component, with as many draws."""
        return Rng(self.seed, f"{self.component}/{name}", self.draws)

    def sample(self, draw: Callable[[torch.Generator], Tensor], device: Any = "cpu") -> Tensor:
        """Call `draw` with each stream's generator and stack the results, moved to `device`."""
        if self.draws is None:
            return draw(self._streams[0]).to(device)
        return torch.stack([draw(g) for g in self._streams]).to(device)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32, device: Any = "cpu") -> Tensor:
        """Return standard normal entries, shape ``(*draws, *shape)``; unit variance also where complex."""
        wide = torch.complex128 if dtype.is_complex else torch.float64
        return self._sample(lambda g: torch.randn(tuple(shape), generator=g, dtype=wide), shape, dtype, device)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32, device: Any = "cpu") -> Tensor:
        """Return entries uniform on [0, 1), shape ``(*draws, *shape)``."""
        last = 1 - torch.finfo(dtype).eps / 2  # rounding must not reach 1
        draw = lambda g: torch.rand(tuple(shape), generator=g, dtype=torch.float64).clamp_(max=last)  # noqa: E731
        return self._sample(draw, shape, dtype, device)

    def gamma(self, shape: Tensor) -> Tensor:
        """Return gamma variates of these shapes and rate one, shape ``(*draws, *shape.shape)``."""
        draw = lambda g: torch._standard_gamma(shape.cpu(), generator=g)  # noqa: E731
        return self._sample(draw, shape.shape, shape.dtype, shape.device)

    def permutation(self, n: int, device: Any = "cpu") -> Tensor:
        """Return a random permutation of 0 … n−1, shape ``(*draws, n)``."""
        return self._sample(lambda g: torch.randperm(n, generator=g), (n,), torch.int64, device)

    def poisson(self, rate: Tensor) -> Tensor:
        """Return Poisson counts of mean `rate`, shape ``(*draws, *rate.shape)`` without draws ``rate.shape``."""
        draw = lambda g: torch.poisson(rate.cpu(), generator=g)  # noqa: E731
        return self._sample(draw, rate.shape, rate.dtype, rate.device)

    def _sample(
        self, draw: Callable[[torch.Generator], Tensor], shape: Sequence[int], dtype: torch.dtype, device: Any
    ) -> Tensor:
        if torch.device(device).type == "meta":
            return torch.empty(*(() if self.draws is None else (self.draws,)), *shape, dtype=dtype, device=device)
        return self.sample(lambda g: draw(g).to(dtype), device)
