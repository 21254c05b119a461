"""Sparse matrices as operators: one set of weights, the matrix and its transpose both in compressed rows.

On one thread, PyTorch's product with compressed rows was as fast as SciPy's for one vector and two to three times as
fast for a batch (5 million entries, single and double precision), and it runs on a GPU too.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.transforms import on_real_parts

#: bytes that samples, or what comes of them, may take in one product of the CPU, and entries for each row and column
#: below which it takes one sample: measured with matrices of 5 to 400 entries a row on a processor with 32 MiB of cache
CACHE, FEW = 2**23, 8


class SharedMatrix:
    """A sparse matrix made at first use, once per precision and device, and shared by every copy of its operator.

    Parameters
    ----------
    make : callable
        Returns the matrix as a SciPy sparse array.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def pair(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the matrix and its conjugate transpose, both as compressed rows."""
        key = (dtype, device)
        with self._lock:
            if key not in self._made:
                rows = self._make().tocsr()
                columns = (rows.conj() if rows.dtype.kind == "c" else rows).T.tocsr()
                self._made[key] = (_tensor(rows, dtype, device), _tensor(columns, dtype, device))
            return self._made[key]


def _tensor(rows: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    parts = (torch.from_numpy(rows.indptr), torch.from_numpy(rows.indices), torch.from_numpy(rows.data).to(dtype))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(*parts, size=rows.shape, check_invariants=False).to(device)


class SparseMatrix(LinearOperator):
    """A sparse matrix on flattened elements.

    Parameters
    ----------
    domain, codomain : Space
    matrix : SharedMatrix
        With ``codomain.size`` rows and ``domain.size`` columns.
    is_complex : bool
        Whether its entries are complex; a real matrix also acts on complex elements.
    """

    title = "this sparse matrix"

    def __init__(self, domain: Space, codomain: Space, matrix: SharedMatrix, *, is_complex: bool = False) -> None:
        super().__init__(domain, codomain)
        self.matrix, self.is_complex = matrix, is_complex

    def _pair(self) -> tuple[Tensor, Tensor]:
        dtype = self.domain.dtype if self.is_complex else real_dtype(self.domain.dtype)
        return self.matrix.pair(dtype, self.domain.device)

    def _forward(self, x: Tensor) -> Tensor:
        return self._times(0, x, self.domain, self.codomain)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._times(1, y, self.codomain, self.domain)

    def _times(self, side: int, x: Tensor, source: Space, target: Space) -> Tensor:
        batch = source.batch(x)
        if x.device.type == "meta":
            return x.new_empty((*batch, *target.shape))
        matrix = self._pair()[side]
        apply = lambda u: _product(matrix, u, source, target)  # noqa: E731
        return apply(x) if self.is_complex else on_real_parts(apply, x)

    def to_dense(self) -> Tensor:
        """Return the matrix, dense."""
        if self.domain.device.type == "meta" or self.domain.size * self.codomain.size > 2**26:
            return super().to_dense()
        return self._pair()[0].to_dense().to(self.codomain.dtype)

    def gram_diagonal(self) -> Tensor:
        """Return the squared column norms."""
        if self.domain.device.type == "meta":
            return torch.empty(self.domain.shape, dtype=real_dtype(self.domain.dtype), device="meta")
        columns = self._pair()[1]
        squares = torch.segment_reduce(columns.values().abs() ** 2, "sum", offsets=columns.crow_indices().long())
        return squares.reshape(self.domain.shape)

    def main_diagonal(self) -> Tensor | None:
        """Return the matrix's diagonal where it is square, real where self-adjoint."""
        if self.domain != self.codomain:
            return None
        real = self.self_adjoint or not self.is_complex
        dtype, device = real_dtype(self.domain.dtype) if real else self.domain.dtype, self.domain.device
        if device.type == "meta":
            return torch.empty(self.domain.shape, dtype=dtype, device=device)
        rows = self._pair()[0]
        starts, columns, values = rows.crow_indices(), rows.col_indices(), rows.values()
        row = torch.arange(self.domain.size, device=device).repeat_interleave(starts.diff())
        entries = torch.where(columns == row, values.real if real else values, 0)
        return entries.new_zeros(self.domain.size).index_add_(0, row, entries).reshape(self.domain.shape)


def _product(matrix: Tensor, x: Tensor, source: Space, target: Space) -> Tensor:
    batch = source.batch(x)
    if not batch:
        return (matrix @ x.reshape(-1)).reshape(target.shape)
    flat = x.reshape(-1, source.size)
    made, width = flat.new_empty(len(flat), target.size), _width(matrix, flat)
    for start in range(0, len(flat), width):
        some = flat[start : start + width]
        made[start : start + width] = matrix @ some[0] if len(some) == 1 else (matrix @ some.T).T
    return made.reshape(*batch, *target.shape)


def _width(matrix: Tensor, flat: Tensor) -> int:
    """Return how many samples one product takes: those that the cache holds, or one where rows have few entries."""
    if flat.device.type != "cpu":
        return max(1, len(flat))
    if matrix.values().numel() < FEW * sum(matrix.shape):
        return 1
    return max(1, CACHE // (max(matrix.shape) * flat.dtype.itemsize))
