"""How well an operator keeps sparse vectors apart: coherence and restricted isometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import SINGLE
from explorer.catalogue import Linear, Log, SpecError, analysis
from explorer.linalg import Rng
from explorer.linalg.block_krylov import Flat
from explorer.operators.base import LinearOperator

#: unknowns up to which every pair of columns is compared
ALL_PAIRS = 4096


@dataclass(frozen=True)
class Sensing:
    """Coherence and restricted isometry of an operator's columns, scaled to norm one.

    Attributes
    ----------
    coherence : float
        Largest ``|⟨aᵢ, aⱼ⟩|`` of the columns that were compared: exact, or from below.
    welch : float
        The least that any matrix of this shape can have.
    pairs : int
        Number of columns that were compared with all others of them.
    sparsity : NDArray of int
        Sizes s of supports, shape ``(k,)``.
    delta : NDArray
        Largest ``|σ² − 1|`` over the supports that were drawn: from below, the restricted isometry constant δₛ;
        shape ``(k,)``.
    typical : NDArray
        Median over the supports, shape ``(k,)``.
    gershgorin : NDArray
        ``(s − 1) · coherence``, from above where the coherence is exact, shape ``(k,)``.
    sentence : str
    """

    coherence: float
    welch: float
    pairs: int
    sparsity: NDArray[np.integer]
    delta: NDArray[np.floating]
    typical: NDArray[np.floating]
    gershgorin: NDArray[np.floating]
    sentence: str


@analysis(
    "Coherence and restricted isometry",
    name="sensing",
    papers=[
        "Welch 1974: Lower bounds on the maximum cross correlation of signals",
        "Donoho & Elad 2003: Optimally sparse representation in general dictionaries via l1 minimization",
        "Candès & Tao 2005: Decoding by linear programming",
    ],
    equation=r"(1-\delta_s)\|x\|^2 \le \|Ax\|^2 \le (1+\delta_s)\|x\|^2",
)
@torch.no_grad()
def sensing(
    A: Annotated[LinearOperator, SINGLE],
    *,
    most: Annotated[int, Log(1, 256, help="largest size of a support")] = 16,
    supports: Annotated[int, Log(1, 10_000, help="supports drawn of each size")] = 200,
    columns: Annotated[int, Log(2, 4096, help="columns compared of a large operator")] = 1024,
    seed: Annotated[int, Linear(0, 2**31 - 1, help="seed of the supports")] = 0,
) -> Sensing:
    """Coherence of the columns, and restricted isometry constants from below by drawing supports.

    The true constant is the largest over all supports, which nobody can try; drawing tells what a typical sparse vector
    meets. Each support is made a little worse by exchanging its weakest member for the column most correlated with it.

    Raises
    ------
    SpecError
        If a column is zero, or the largest support has as many entries as there are columns.
    """
    n, m = A.domain.size, A.codomain.size
    rng = Rng(seed, "analysis/sensing")
    count = n if n <= min(ALL_PAIRS, max(columns, 1024)) else min(columns, n)
    chosen = torch.arange(n) if count == n else rng.fork("columns").permutation(n)[:count]
    most = min(most, count - 1)
    if most < 1:
        raise SpecError(f"{A.title} has {n} columns, and at least two are needed", "A")
    found = _columns(A, chosen)
    norms = torch.linalg.vector_norm(found, dim=-1, keepdim=True)
    if not bool((norms > 0).all()):
        raise SpecError(
            f"{A.title} does not see {int((norms == 0).sum())} of its unknowns at all: a column is zero", "A"
        )
    found = found / norms
    gram = found.conj() @ found.mT
    apart = gram - torch.eye(count, dtype=gram.dtype, device=gram.device)
    coherence = float(apart.abs().max())
    welch = math.sqrt((n - m) / (m * (n - 1))) if n > m else 0.0
    sizes = np.unique(np.geomspace(1, most, min(most, 8)).round().astype(int))
    delta, typical = [], []
    for s in sizes:
        sets = torch.stack([rng.fork(f"{s}/{i}").permutation(count)[:s] for i in range(supports)]).to(gram.device)
        deviation = _deviation(apart, sets)
        if s > 1:
            deviation = torch.maximum(deviation, _deviation(apart, _worse(apart, sets)))
        delta.append(float(deviation.max()))
        typical.append(float(deviation.median()))
    exact = count == n
    said = f"Coherence {coherence:.3g}, and no matrix of this shape is below {welch:.3g}"
    if not exact:
        said += f" ({count:,} of {n:,} columns were compared)"
    elif coherence:
        sure = math.ceil((1 + 1 / coherence) / 2) - 1  # of Donoho & Elad: fewer than (1 + 1/μ)/2
        said += f": any {sure} nonzero entries can be told for sure"
    said += f". Drawn supports of {sizes[-1]} have δ up to {delta[-1]:.2g}, typically {typical[-1]:.2g}."
    shown = np.maximum.accumulate(delta)  # δ grows with s: a support contains smaller ones
    return Sensing(coherence, welch, count, sizes, shown, np.asarray(typical), (sizes - 1) * coherence, said)


def _columns(A: LinearOperator, chosen: Tensor) -> Tensor:
    """Return some columns as rows, flat."""
    flat, n = Flat(A), A.domain.size
    parts = []
    for part in chosen.split(max(1, 2**22 // max(n, flat.codomain.size))):
        unit = torch.zeros(len(part), n, dtype=A.domain.dtype, device=A.domain.device)
        unit[torch.arange(len(part)), part] = 1
        parts.append(flat.forward(unit))
    return torch.cat(parts)


def _deviation(apart: Tensor, sets: Tensor) -> Tensor:
    """Return ``max |σ² − 1|`` of the columns of each set, shape ``(sets,)``."""
    blocks = apart[sets[:, :, None], sets[:, None, :]]
    return torch.linalg.eigvalsh((blocks + blocks.mH) / 2).abs().amax(-1)


def _worse(apart: Tensor, sets: Tensor) -> Tensor:
    """Return the sets with the least correlated member exchanged for the column most correlated with the others."""
    size = apart.abs()
    within = size[sets[:, :, None], sets[:, None, :]].sum(-1)
    weakest = within.argmin(-1, keepdim=True)
    kept = torch.ones_like(sets, dtype=torch.bool).scatter_(1, weakest, False)
    pull = (size[sets] * kept.unsqueeze(-1)).square().sum(1).scatter_(1, sets, -1.0)
    return sets.scatter(1, weakest, pull.argmax(-1, keepdim=True))
