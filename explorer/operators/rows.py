"""Rows of an operator: some of the data on their own, for methods that look at a part of them at a time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import Capability, SpecError
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.sparse import SharedMatrix, SparseMatrix

#: largest number of entries of an operator whose matrix is made for the sake of its rows
MAX_ENTRIES = 2**20


def has_entries(A: LinearOperator) -> bool:
    """Say whether the entries of an operator are at hand: a dense or a stored sparse matrix, or a small operator."""
    if not (isinstance(A.domain, Space) and isinstance(A.codomain, Space)):
        return False
    if isinstance(A, DenseMatrix) or (isinstance(A, SparseMatrix) and not getattr(A, "matrix_free", False)):
        return True
    fits = A.domain.size * A.codomain.size <= MAX_ENTRIES
    return fits and (A.codomain.is_complex or not A.domain.is_complex)


def has_rows(A: LinearOperator) -> bool:
    """Say whether the rows are at hand: as :func:`has_entries`, with unknown and data both real or both complex."""
    return has_entries(A) and A.domain.is_complex == A.codomain.is_complex


def has_sums(A: LinearOperator) -> bool:
    """Say whether the sums of the moduli of rows and columns are at hand."""
    return isinstance(A.domain, Space) and (A.nonnegative or has_entries(A))


HAS_ROWS = Capability(
    f"an operator whose rows are at hand (a dense or sparse matrix, or at most {MAX_ENTRIES:,} entries, and "
    "both sides real or both complex)",
    has_rows,
)
HAS_SUMS = Capability("an operator without negative entries, or whose rows are at hand", has_sums)


def rows(A: LinearOperator, index: Tensor) -> LinearOperator:
    """Return the operator that measures only what has these indices in the first dimension of the data.

    Parameters
    ----------
    A : LinearOperator
        One that :func:`has_rows`.
    index : Tensor
        Indices into the first dimension of the codomain, shape ``(k,)``: angles of a sinogram, rows of a matrix.

    Returns
    -------
    LinearOperator
        With data of shape ``(k, *codomain.shape[1:])``, those of :func:`part`.

    Raises
    ------
    SpecError
        If the rows are not at hand.
    """
    if not has_rows(A):
        raise SpecError(f"{A.title} has no rows at hand: use an operator that is a matrix, or a smaller size")
    width = math.prod(A.codomain.shape[1:])
    flat = (index.to(A.domain.device)[:, None] * width + torch.arange(width, device=A.domain.device)).reshape(-1)
    codomain = Space((len(index), *A.codomain.shape[1:]), A.codomain.dtype, A.codomain.device)
    made: LinearOperator
    if isinstance(A, SparseMatrix) and A.domain.device.type != "meta":
        whole, picked = _scipy(A._pair()[0]), flat.cpu().numpy()
        made = SparseMatrix(A.domain, codomain, SharedMatrix(lambda: whole[picked]), is_complex=A.is_complex)
    else:
        made = DenseMatrix(A.domain, codomain, dense(A).index_select(0, flat))
    made.nonnegative = A.nonnegative
    made.title = f"some rows of {A.title}"
    return made


def part(A: LinearOperator, y: Tensor, index: Tensor) -> Tensor:
    """Return the data that belong to :func:`rows`."""
    return y.index_select(-A.codomain.ndim, index)


def dense(A: LinearOperator) -> Tensor:
    """Return the matrix of an operator that :func:`has_rows`; kept where it is not stored in another form already."""
    if isinstance(A, DenseMatrix | SparseMatrix) and A.domain.device.type != "meta":
        return A.to_dense()
    if A.domain.device.type == "meta":  # the shape alone
        return torch.empty(A.codomain.size, A.domain.size, dtype=A.codomain.dtype, device="meta")
    cached = A.__dict__.get("_cache_rows")
    if cached is None:
        cached = A.__dict__["_cache_rows"] = A.to_dense()
    return cached


def absolute_sums(A: LinearOperator) -> tuple[Tensor, Tensor]:
    """Return ``Σ_j |a_ij|`` in the shape of the data and ``Σ_i |a_ij|`` in that of the unknown."""
    ones = lambda space: torch.ones(space.shape, dtype=space.dtype, device=space.device)  # noqa: E731
    if A.nonnegative:
        return A(ones(A.domain)).abs(), A.adjoint(ones(A.codomain)).abs()
    if isinstance(A, SparseMatrix) and A.domain.device.type != "meta":
        moduli = abs(_scipy(A._pair()[0]))
        real = real_dtype(A.domain.dtype)
        over = lambda axis: torch.from_numpy(moduli.sum(axis)).to(A.domain.device, real)  # noqa: E731
        return over(1).reshape(A.codomain.shape), over(0).reshape(A.domain.shape)
    moduli = dense(A).abs()
    return moduli.sum(1).reshape(A.codomain.shape), moduli.sum(0).reshape(A.domain.shape)


def squared_norms(A: LinearOperator) -> Tensor:
    """Return ``Σ_j |a_ij|²`` in the shape of the data, for an operator that :func:`has_rows`."""
    if isinstance(A, SparseMatrix) and A.domain.device.type != "meta":
        squares = A._pair()[0]
        sums = torch.segment_reduce(squares.values().abs() ** 2, "sum", offsets=squares.crow_indices().long())
    else:
        sums = (dense(A).abs() ** 2).sum(1)
    return sums.reshape(A.codomain.shape)


def _scipy(matrix: Tensor) -> Any:
    from scipy.sparse import csr_array

    parts = (matrix.values(), matrix.col_indices(), matrix.crow_indices())
    return csr_array(tuple(p.cpu().numpy() for p in parts), tuple(matrix.shape))
