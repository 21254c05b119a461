"""Singular values relative to a prior: what the data tell of a pattern against how much the prior minds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Log, Part, SpecError, analysis
from explorer.linalg import Space
from explorer.linalg.generalised import ROUNDING, generalised_svd
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import MAX_ROWS, MAX_UNKNOWNS, SMALL
from explorer.operators.transforms import same_transform


def _diagonal(A: LinearOperator) -> bool:
    return isinstance(A.domain, Space) and A.has_gram_svd


PAIRED = Capability(
    f"an operator whose AᴴA structure diagonalises, or a real one of at most {MAX_UNKNOWNS} unknowns and {MAX_ROWS} "
    "data",
    lambda A: _diagonal(A) or SMALL.admits(A),
)


@dataclass(frozen=True)
class GeneralisedValues:
    """Singular values of an operator relative to that of a prior.

    Attributes
    ----------
    values : NDArray
        ``γᵢ = cᵢ / sᵢ``, descending, infinite in the null space of L; shape ``(k,)``.
    c, s : NDArray
        ``c² + s² = 1``: how much a pattern tells the data, and how much the prior minds; shape ``(k,)``.
    index : NDArray of int
        Which patterns follow, from 1, shape ``(p,)``.
    patterns : Tensor
        The columns of X, ``A X = U diag(c)`` and ``L X = V diag(s)``, shape ``(p, *domain.shape)``.
    free, hidden : int
        Patterns that the prior does not mind, and such that neither sees.
    exact : bool
        Whether structure gave them, instead of a dense decomposition.
    sentence : str
    """

    values: NDArray[np.floating]
    c: NDArray[np.floating]
    s: NDArray[np.floating]
    index: NDArray[np.integer]
    patterns: Tensor
    free: int
    hidden: int
    exact: bool
    sentence: str


@analysis(
    "Generalised singular values",
    papers=[
        "Van Loan 1976: Generalizing the singular value decomposition",
        "Paige & Saunders 1981: Towards a generalized singular value decomposition",
        "Hansen 1998: Rank-deficient and discrete ill-posed problems",
    ],
    equation=r"A = U\,\mathrm{diag}(c)\,X^{-1},\quad L = V\,\mathrm{diag}(s)\,X^{-1},\quad \gamma_i = c_i/s_i",
)
@torch.no_grad()
def generalised_singular_values(
    A: Annotated[LinearOperator, PAIRED],
    *,
    operator: Annotated[LinearOperator, Part("operator", help="the operator L of the prior")] = "gradient",  # type: ignore[assignment]
    first: Annotated[int, Log(1, 2**26, help="index of the first pattern to return")] = 1,
    count: Annotated[int, Log(1, 1024, help="how many patterns to return")] = 64,
) -> GeneralisedValues:
    """What the data tell of a pattern, relative to how much the prior ``‖L x‖²`` minds it.

    Tikhonov's method with L has filter factors ``γ² / (γ² + λ)``. Where one transform diagonalises both Gram operators
    (a blur and a gradient with the same boundary), the values are quotients and the patterns its waves, at any size;
    else both matrices are made. The dense patterns come from ``[A; L] = Q R`` and the decomposition of the upper block
    of Q, and s from the lower block, without cancellation.

    Raises
    ------
    SpecError
        If L is on another space, or the pair is too large and has no basis in common.
    """
    L = operator
    if L.domain != A.domain:
        raise SpecError(f"is {L.title} on {L.domain}, and must be on {A.domain}, as {A.title} is", "operator")
    basis = _shared_basis(A, L)
    if basis is None and not (SMALL.admits(A) and SMALL.admits(L)):
        raise SpecError(
            f"{L.title} and {A.title} on {A.domain} are not diagonal in one basis, and too large for dense matrices: "
            f"choose the same boundary for both, or at most {MAX_UNKNOWNS} unknowns",
            "operator",
        )
    c, s, hidden, patterns = _dense(A, L) if basis is None else _structured(*basis)
    gamma = torch.where(s > 0, c / torch.where(s > 0, s, 1.0), math.inf)
    order = gamma.argsort(descending=True, stable=True)
    if first > len(order):
        raise SpecError(f"is {first}, and there are {len(order):,} patterns", "first")
    chosen = order[first - 1 : first - 1 + count]
    values, told, minded = (t[order].cpu().numpy() for t in (gamma, c, s))
    free = int(np.isinf(values).sum())
    index = np.arange(first, first + len(chosen))
    made = patterns(chosen).to(A.domain.dtype)
    said = _said(values[free:], free, hidden)
    return GeneralisedValues(values, told, minded, index, made, free, hidden, basis is not None, said)


def _said(finite: NDArray[np.floating], free: int, hidden: int) -> str:
    said = f"The prior leaves {free:,} pattern{'' if free == 1 else 's'} free"
    if len(finite):
        said += f"; of the others, the data count most for γ = {finite[0]:.3g} and least for {finite[-1]:.3g}"
    return said + (f"; {hidden:,} are seen by neither: no unique answer." if hidden else ".")


#: what both ways return: c, s, the number of hidden patterns, and patterns by index
Pair = tuple[Tensor, Tensor, int, Callable[[Tensor], Tensor]]


def _shared_basis(A: LinearOperator, L: LinearOperator) -> tuple[LinearOperator, Tensor, Tensor] | None:
    """Return a basis in which ``AᴴA`` and ``LᴴL`` are diagonal, and the singular values there; None if there is none.

    A multiple of an isometry is diagonal in any basis.
    """
    if not (_diagonal(A) and _diagonal(L)):
        return None
    (v, a), (w, b) = (_diagonalised(operator) for operator in (A, L))
    if same_transform(v, w):
        return v, a, b
    whole = [basis.domain.size == A.domain.size for basis in (v, w)]
    if all(whole) and bool((a == a.reshape(-1)[0]).all()):
        return w, a.reshape(-1)[0].expand(b.shape), b
    if all(whole) and bool((b == b.reshape(-1)[0]).all()):
        return v, a, b.reshape(-1)[0].expand(a.shape)
    return None


def _diagonalised(A: LinearOperator) -> tuple[LinearOperator, Tensor]:
    if A.has_svd:
        d = A.svd()
        return d.V, d.s.double()
    d = A.gram_svd()
    return d.V, d.s.double().clamp(min=0).sqrt()


def _structured(basis: LinearOperator, a: Tensor, b: Tensor) -> Pair:
    C, a, b = basis.domain, a.reshape(-1), b.reshape(-1)
    eps = ROUNDING * basis.codomain.eps
    b = torch.where(b > eps * b.max(), b, 0.0)
    size = torch.hypot(a, b)
    kept = (size > 0).nonzero()[:, 0]

    def patterns(index: Tensor) -> Tensor:
        at = kept[index]
        unit = C.zeros((len(at),)).reshape(len(at), -1)
        unit[torch.arange(len(at)), at] = (1 / size[at]).to(unit.dtype)
        return basis(unit.reshape(len(at), *C.shape))

    return a[kept] / size[kept], b[kept] / size[kept], basis.codomain.size - len(kept), patterns


def _dense(A: LinearOperator, L: LinearOperator) -> Pair:
    d = generalised_svd(A.to_dense(), L.to_dense())
    return d.c, d.s, d.hidden, lambda index: d.X.mT[index].reshape(-1, *A.domain.shape)
