"""Singular vectors as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import SINGLE, leading_of, shown, within_reach
from explorer.catalogue import Log, SpecError, analysis
from explorer.operators.base import LinearOperator


@dataclass(frozen=True)
class SingularVectors:
    """Some singular triplets, the vectors in the shape of their spaces.

    Attributes
    ----------
    index : NDArray of int
        Which ones, from 1, shape ``(k,)``.
    values : NDArray
        Shape ``(k,)``.
    right, left : Tensor
        ``vᵢ`` and ``uᵢ``, shapes ``(k, *domain.shape)`` and ``(k, *codomain.shape)``.
    residual : NDArray
        ``‖Aᴴuᵢ − σᵢvᵢ‖ + ‖Avᵢ − σᵢuᵢ‖`` relative to σ₁, shape ``(k,)``.
    sentence : str
    """

    index: NDArray[np.integer]
    values: NDArray[np.floating]
    right: Tensor
    left: Tensor
    residual: NDArray[np.floating]
    sentence: str


@analysis("Singular vectors", equation=r"A v_i = \sigma_i u_i,\quad A^H u_i = \sigma_i v_i")
@torch.no_grad()
def singular_vectors(
    A: Annotated[LinearOperator, SINGLE],
    *,
    first: Annotated[int, Log(1, 2**26, help="index of the first one")] = 1,
    count: Annotated[int, Log(1, 256, help="how many")] = 12,
    vectors: Annotated[int, Log(8, 2048, help="for a large operator: dimension of the Krylov space")] = 128,
) -> SingularVectors:
    """The patterns into which an operator takes pictures apart: early ones are seen well, late ones hardly.

    Raises
    ------
    SpecError
        If there are fewer singular vectors than the first one asked for.
    """
    exact = within_reach(A)
    known = min(A.domain.size, A.codomain.size) if exact else shown(leading_of(A, vectors))
    if first > known:
        raise SpecError(f"is {first}, and {known:,} singular vectors are known here", "first")
    if exact:
        s, right, left = _exact(A, first - 1, count)
    else:
        found, part = leading_of(A, vectors), slice(first - 1, min(first - 1 + count, known))
        s, right, left = found.values[part], found.right[part], found.left[part]
    largest = s[0] if first == 1 else A.norm()
    gap = A.codomain.norm(A(right) - _times(s, left)) + A.domain.norm(A.adjoint(left) - _times(s, right))
    last = first + len(s) - 1
    return SingularVectors(
        np.arange(first, last + 1), s.cpu().numpy(), right, left, (gap / largest).cpu().numpy(),
        f"Singular vectors {first} to {last}: a pattern of size one comes through with size {float(s[0]):.3g} to "
        f"{float(s[-1]):.3g}.",
    )  # fmt: skip


def _times(s: Tensor, x: Tensor) -> Tensor:
    return x * s.reshape(-1, *(1,) * (x.ndim - 1))


def _exact(A: LinearOperator, start: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    if A.has_svd:
        svd = A.svd()
        s, order = svd.s.reshape(-1).sort(descending=True, stable=True)
        chosen = order[start : start + count]
        unit = svd.V.domain.zeros((len(chosen),)).reshape(len(chosen), svd.V.domain.size)
        unit[torch.arange(len(chosen)), chosen] = 1
        unit = unit.reshape(len(chosen), *svd.V.domain.shape)
        return s[start : start + count], svd.V(unit), svd.U(unit)
    matrix, paired = A.to_dense(), A.codomain.is_complex and not A.domain.is_complex
    if paired:  # inner products are real parts: the matrix of the real map
        matrix = torch.stack((matrix.real, matrix.imag), 1).reshape(-1, matrix.shape[1])
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    part = slice(start, start + count)
    left = u.mT[part].contiguous()
    left = torch.view_as_complex(left.reshape(len(left), -1, 2)) if paired else left
    shaped = vh.conj()[part].reshape(-1, *A.domain.shape), left.reshape(-1, *A.codomain.shape)
    return s[part], *shaped
