"""History: the scalars of a run, kept on the device until somebody looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: values of a column after which they are stacked, so that a long run is not millions of tiny tensors
CHUNK = 256


class History(Mapping[str, NDArray[Any]]):
    """Columns of per-step scalars, name to array ``(steps, *batch)``.

    A column that a step does not report holds NaN there. Reading a column moves what is new in it to the host; it may
    be read while the run goes on in another thread.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._columns: dict[str, _Column] = {}
        self._lock = threading.Lock()

    def append(self, row: Mapping[str, Tensor | float]) -> None:
        """Add one step's scalars."""
        with self._lock:
            for name, value in row.items():
                column = self._columns.get(name)
                if column is None:
                    column = self._columns[name] = _Column()
                if column.length < self.steps:
                    column.pad(self.steps)
                column.append(value)
            self.steps += 1

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            raise KeyError(f"the history has no column {name!r}; it has {', '.join(self._columns) or 'none'}")
        with self._lock:
            column = self._columns[name]
            column.pad(self.steps)
            return column.read()

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._columns))

    def __len__(self) -> int:
        return len(self._columns)


class _Column:
    """One scalar over steps: stacked chunks, and the values since."""

    __slots__ = ("chunks", "length", "recent")

    def __init__(self) -> None:
        self.chunks: list[Tensor | NDArray[Any]] = []
        self.recent: list[Tensor | float] = []
        self.length = 0

    def append(self, value: Tensor | float) -> None:
        if isinstance(value, Tensor):
            value = value.item() if value.ndim == 0 and value.device.type == "cpu" else value.detach()
        else:
            value = float(value)
        self.recent.append(value)
        self.length += 1
        if len(self.recent) >= CHUNK:
            self._stack()

    def pad(self, length: int) -> None:
        self.recent.extend([float("nan")] * (length - self.length))
        self.length = length

    def _stack(self) -> None:
        tensors = [v for v in self.recent if isinstance(v, Tensor)]
        if tensors:
            like = max(tensors, key=lambda t: t.ndim)
            like = like if like.is_floating_point() or like.is_complex() else like.double()
            full = [v.expand(like.shape) if isinstance(v, Tensor) else torch.full_like(like, v) for v in self.recent]
            self.chunks.append(torch.stack([v.to(like.dtype) for v in full]))
        elif self.recent:
            self.chunks.append(np.asarray(self.recent))
        self.recent = []

    def read(self) -> NDArray[Any]:
        self._stack()
        arrays = [c.cpu().numpy() if isinstance(c, Tensor) else c for c in self.chunks]
        shape = max((a.shape[1:] for a in arrays), key=len, default=())
        if len(arrays) > 1:
            ones = [a.reshape(*a.shape, *(1,) * (len(shape) + 1 - a.ndim)) for a in arrays]
            arrays = [np.concatenate([np.broadcast_to(a, (len(a), *shape)) for a in ones])]
        merged = arrays[0]
        self.chunks = [merged]
        return merged
