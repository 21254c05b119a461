"""History: the scalars of a run, kept on the device until somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class History(Mapping[str, NDArray[Any]]):
    """Columns of per-step scalars, name to array ``(steps, *batch)``.

    A column that a step does not report holds NaN there. Reading a column moves it to the host once.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Tensor | float]] = []
        self._names: dict[str, None] = {}

    def append(self, row: dict[str, Tensor | float]) -> None:
        """Add one step's scalars."""
        self.rows.append(row)
        if row.keys() - self._names.keys():
            self._names |= dict.fromkeys(row)

    def latest(self, name: str) -> Tensor | float | None:
        """Return the newest value of a column, still on the device."""
        return self.rows[-1].get(name) if self.rows else None

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(f"the history has no column {name!r}; it has {', '.join(self._names) or 'none'}")
        rows = self.rows[:]
        values = [row.get(name, float("nan")) for row in rows]
        like = next(v for v in values if name in self._names and v is not None)
        tensors = [v for v in values if isinstance(v, Tensor)]
        if not tensors:
            return np.asarray(values)
        like = max(tensors, key=lambda t: t.ndim)
        stacked = torch.stack(
            [v.expand(like.shape) if isinstance(v, Tensor) else torch.full_like(like, v) for v in values]
        )
        return stacked.detach().cpu().numpy()

    def __iter__(self) -> Any:
        return iter(list(self._names))

    def __len__(self) -> int:
        return len(self._names)

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return len(self.rows)
