"""Singular vectors as pictures, and singular values relative to a prior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import SINGLE, leading_of, shown, within_reach
from explorer.catalogue import Capability, Log, Part, SpecError, analysis
from explorer.linalg import Space
from explorer.operators.base import LinearOperator

#: most unknowns, and most rows of both matrices together, of a dense generalised decomposition
MAX_UNKNOWNS, MAX_ROWS = 1024, 16384

SMALL = Capability(
    f"a small operator between two real spaces, of at most {MAX_UNKNOWNS} unknowns and {MAX_ROWS} data",
    lambda A: (
        isinstance(A.domain, Space)
        and isinstance(A.codomain, Space)
        and not (A.domain.is_complex or A.codomain.is_complex)
        and A.domain.size <= MAX_UNKNOWNS
        and A.codomain.size <= MAX_ROWS
    ),
)


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


@dataclass(frozen=True)
class GeneralisedValues:
    """Singular values of an operator relative to that of a prior.

    Attributes
    ----------
    values : NDArray
        ``γᵢ = cᵢ / sᵢ``, descending, infinite in the null space of L; shape ``(k,)``.
    c, s : NDArray
        ``c² + s² = 1``: how much a pattern tells the data, and how much the prior minds; shape ``(k,)``.
    patterns : Tensor
        The columns of X, ``A X = U diag(c)`` and ``L X = V diag(s)``, shape ``(k, *domain.shape)``.
    free, hidden : int
        Patterns that the prior does not mind, and such that neither sees.
    sentence : str
    """

    values: NDArray[np.floating]
    c: NDArray[np.floating]
    s: NDArray[np.floating]
    patterns: Tensor
    free: int
    hidden: int
    sentence: str


@analysis(
    "Generalised singular values",
    papers=[
        "Van Loan 1976: Generalizing the singular value decomposition",
        "Paige & Saunders 1981: Towards a generalized singular value decomposition",
    ],
    equation=r"A = U\,\mathrm{diag}(c)\,X^{-1},\quad L = V\,\mathrm{diag}(s)\,X^{-1},\quad \gamma_i = c_i/s_i",
)
@torch.no_grad()
def generalised_singular_values(
    A: Annotated[LinearOperator, SMALL],
    *,
    operator: Annotated[LinearOperator, Part("operator", help="the operator L of the prior")] = "gradient",  # type: ignore[assignment]
) -> GeneralisedValues:
    """What the data tell of a pattern, relative to how much the prior ``‖L x‖²`` minds it; from dense matrices.

    Tikhonov's method with L has filter factors ``γ² / (γ² + λ)``. Patterns are those of the joint decomposition, made
    from ``[A; L] = Q R`` and the decomposition of the upper block of Q; s comes from the lower block, without
    cancellation.

    Raises
    ------
    SpecError
        If L is on another space or too large.
    """
    L = operator
    if L.domain != A.domain or not SMALL.admits(L):
        raise SpecError(f"is {L.title} on {L.domain}, and must be {SMALL.says}, on {A.domain}", "operator")
    top, bottom = A.to_dense().double(), L.to_dense().double()
    size = torch.linalg.matrix_norm(top, 2), torch.linalg.matrix_norm(bottom, 2)
    weight = size[0] / torch.where(size[1] > 0, size[1], 1.0)  # so that neither hides the other from rounding
    u, d, vh = torch.linalg.svd(torch.cat((top, weight * bottom)), full_matrices=False)
    eps = torch.finfo(torch.float64).eps * max(top.shape[0] + bottom.shape[0], top.shape[1])
    kept = d > 10 * eps * d[0]
    u, d, vh = u[:, kept], d[kept], vh[kept]
    _, c, wh = torch.linalg.svd(u[: len(top)], full_matrices=top.shape[0] < u.shape[1])
    c = torch.cat((c, c.new_zeros(len(wh) - len(c)))).clamp(max=1)
    s = torch.linalg.vector_norm(u[len(top) :] @ wh.mH, dim=0)
    free = int((s <= 10 * eps).sum())
    s = torch.where(s <= 10 * eps, 0.0, s)
    patterns = (wh @ (vh / d[:, None])).reshape(-1, *A.domain.shape)
    # undo the weight: A X = U c and L X = V s / weight, then scale so that c² + s² = 1
    scale = torch.hypot(c, s / weight)
    c, s = c / scale, s / weight / scale
    gamma = torch.where(s > 0, c / torch.where(s > 0, s, 1.0), math.inf)
    order = gamma.argsort(descending=True, stable=True)
    hidden = int((~kept).sum())
    finite = gamma[order][free:]
    said = f"The prior leaves {free} pattern{'' if free == 1 else 's'} free"
    if len(finite):
        low = float(finite[-1])
        said += f"; of the others, the data count most for γ = {float(finite[0]):.3g} and least for {low:.3g}"
    said += f"; {hidden} are seen by neither: no unique answer." if hidden else "."
    ordered = (patterns / scale.reshape(-1, *(1,) * (patterns.ndim - 1)))[order].to(A.domain.dtype)
    gamma, c, s = gamma[order], c[order], s[order]
    return GeneralisedValues(gamma.cpu().numpy(), c.cpu().numpy(), s.cpu().numpy(), ordered, free, hidden, said)
