r"""Pruning that preserves the spectrum (row 176).

Yao et al. 2023: Neural Network Pruning as Spectrum Preserving Process. A sparse S is as good as W where it is near to
it in spectrum. The abstract names no probabilities; those here are the usual ones of entrywise sampling: every entry is
kept by itself with ``p = min(1, c |w|^q)`` and becomes ``w / p``, so that S is unbiased. This is the practical method,
rebuilt; whether it wins depends on the spectrum of W, which :func:`spectral_pruning` lets one see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix, LinearOperator

Rule = Literal["magnitude", "sample", "square", "hybrid"]

_PAPERS = ["row 176", "Achlioptas & McSherry 2007: Fast computation of low-rank matrix approximations"]
#: largest side of a matrix that is decomposed, and largest number of entries of one that is made
MAX_SIDE, MAX_ENTRIES = 1024, 2**22
#: entries below this part of the root mean square are tiny, for the hybrid rule
TINY = 0.1
SMALL = Capability(
    f"an operator between single real spaces of at most {MAX_SIDE} entries",
    lambda A: all(isinstance(s, Space) and not s.is_complex and s.size <= MAX_SIDE for s in (A.domain, A.codomain)),
)


def keep_probabilities(score: Tensor, number: int) -> Tensor:
    """Return ``min(1, c · score)`` with c such that they sum to `number`, or to the number of positive scores if less.

    With the k largest capped, ``c = (number − k) / Σ_{i>k} score_i``; the right k is the first that leaves no other
    above one.
    """
    flat, order = score.flatten().sort(descending=True)
    rest = flat.flip(0).cumsum(0).flip(0)
    k = torch.arange(len(flat), device=flat.device)
    c = (number - k) / torch.where(rest > 0, rest, 1.0)
    fits = (c * flat <= 1) | (rest <= 0)
    at = int(torch.where(fits, k, len(flat) - 1).min())
    p = torch.where(k < at, torch.ones_like(flat), (c[at] * flat).clamp(0, 1))
    return torch.empty_like(p).scatter_(0, order, p * (flat > 0)).reshape(score.shape)


def sparsify(W: Tensor, rule: Rule, number: int, rng: Rng) -> Tensor:
    """Return a sparse version of `W` with `number` nonzero entries, exactly or in the mean.

    Parameters
    ----------
    rule : str
        ``magnitude``: the largest as they are; ``sample``: kept with ``p ∝ |w|`` and rescaled; ``square``: ``p ∝ w²``;
        ``hybrid``: the larger half of the number as they are, tiny entries dropped, the others by ``sample``.
    """
    size = W.abs()
    if rule == "magnitude":
        return W * _largest(size, number)
    score = size**2 if rule == "square" else size
    fixed = torch.zeros_like(W, dtype=torch.bool)
    if rule == "hybrid":
        fixed = _largest(size, number // 2)
        score = torch.where(fixed | (size < TINY * size.square().mean().sqrt()), 0.0, size)
    p = keep_probabilities(score, number - int(fixed.sum()))
    kept = rng.uniform(W.shape, W.dtype, W.device) < p
    return torch.where(fixed, W, torch.where(kept, W / torch.where(p > 0, p, 1.0), 0.0))


def _largest(size: Tensor, number: int) -> Tensor:
    mask = torch.zeros(size.numel(), dtype=torch.bool, device=size.device)
    mask[size.flatten().topk(number).indices] = True
    return mask.reshape(size.shape)


@dataclass(frozen=True)
class SpectralPruning:
    """What pruning does to a matrix and its spectrum, one value a draw, shape ``(draws,)``.

    Attributes
    ----------
    spectral_error : NDArray
        ``‖W − S‖₂ / ‖W‖₂``.
    value_error : NDArray
        ``‖σ(S) − σ(W)‖ / ‖σ(W)‖`` over the leading singular values.
    angle : NDArray
        Sine of the largest angle between the spaces of leading right singular vectors.
    agreement : NDArray
        Part of random inputs for which the largest output stays the largest.
    density : NDArray
        Part of the entries that are not zero.
    sentence : str
        What this means.
    """

    spectral_error: NDArray[np.floating]
    value_error: NDArray[np.floating]
    angle: NDArray[np.floating]
    agreement: NDArray[np.floating]
    density: NDArray[np.floating]
    sentence: str


@analysis(
    "Spectrum-preserving pruning",
    papers=_PAPERS,
    equation=r"S_{ij} = w_{ij} / p_{ij} \text{ with probability } p_{ij} = \min(1, c\,|w_{ij}|), \text{ else } 0",
)
@torch.no_grad()
def spectral_pruning(
    A: Annotated[LinearOperator, SMALL],
    *,
    density: Annotated[float, Log(1e-3, 1, help="part of the entries that is kept")] = 0.2,
    rule: Annotated[Rule, Help("magnitude: the largest as they are; sample: p ∝ |w|; square: p ∝ w²; hybrid: half")] = (
        "sample"
    ),
    leading: Annotated[int, Log(1, 256, help="number of leading singular values that are compared")] = 5,
    draws: Annotated[int, Log(1, 100, help="number of independent draws")] = 1,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the draws")] = 0,
) -> SpectralPruning:
    """Prune a matrix, and compare its leading singular values and vectors before and after.

    Sampling is unbiased: its error is like a random matrix without direction, which leaves a few large singular values
    where they are; the largest entries as they are lose a part of every singular value. With a flat spectrum it is the
    other way round: what sampling adds is then larger than what is cut off. Sampling by w² is worst, for its small
    entries become huge.

    Notes
    -----
    Better singular values are no better answers: without retraining the largest output of a random input survives the
    magnitude rule far more often than sampling, whose error is larger in the Frobenius norm even where it is smaller
    in the spectral one.
    """
    W = A.to_dense()
    number = max(1, round(density * W.numel()))
    k = min(leading, *W.shape)
    s, v = _leading(W, k)
    X = Rng(seed, "inputs").normal((W.shape[1], 500), W.dtype, W.device)
    rows = []
    for draw in range(draws):
        S = sparsify(W, rule, number, Rng(seed, "pruning").fork(str(draw)))
        s1, v1 = _leading(S, k)
        overlap = torch.linalg.svdvals(v.mT @ v1)[-1].clamp(max=1)
        rows.append(
            torch.stack(
                (
                    _leading(W - S, 1)[0][0] / s[0],
                    torch.linalg.vector_norm(s1 - s) / torch.linalg.vector_norm(s),
                    (1 - overlap**2).sqrt(),
                    ((W @ X).argmax(0) == (S @ X).argmax(0)).to(W.dtype).mean(),
                    (S != 0).to(W.dtype).mean(),
                )
            )
        )
    error, values, angle, agreement, dense = torch.stack(rows, 1).cpu().numpy()
    return SpectralPruning(
        error,
        values,
        angle,
        agreement,
        dense,
        f"With {100 * dense.mean():.3g} % of the entries the matrix is off by {error.mean():.3g} of its norm, its "
        f"first {k} singular values by {values.mean():.3g}, and the largest output is the same for "
        f"{100 * agreement.mean():.3g} % of random inputs.",
    )


def _leading(W: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest singular values and their right singular vectors as columns, from the Gram matrix."""
    values, vectors = torch.linalg.eigh(W.mT @ W)
    return values.flip(0)[:k].clamp(min=0).sqrt(), vectors.flip(1)[:, :k]


@operator(
    "Low rank and noise",
    name="low_rank_and_noise",
    papers=["row 176"],
    equation=r"A = U V^T / \sqrt{n r} + \sigma N",
    works="Matrices like a trained layer's: what lies along the few strong directions is recovered stably.",
    fails="All else lies in the random bulk; where the matrix is square, its least singular values are almost zero.",
)
def low_rank_and_noise(
    domain: Space,
    rng: Rng,
    *,
    rows: Annotated[int | None, Log(1, 4096, help="number of data; as many as unknowns if not set")] = None,
    rank: Annotated[int, Linear(0, 100, help="rank r of the first part; 0: noise alone")] = 5,
    noise: Annotated[float, Log(0, 10, help="size σ of the noise, where the entries of the first part have size 1")] = (
        0.1
    ),
) -> DenseMatrix:
    """Like the weights of a trained layer: a few large singular values above a bulk of random ones.

    All is divided by √n, so that the bulk ends near ``σ (1 + √(rows / n))``.
    """
    m, n = rows or domain.size, domain.size
    if m * n > MAX_ENTRIES:
        raise SpecError(f"{m} × {n} entries are above {MAX_ENTRIES:,}: choose fewer rows", "rows")
    dtype, device = real_dtype(domain.dtype), domain.device
    draw = lambda name, shape: rng.fork(name).normal(shape, dtype, device)  # noqa: E731
    matrix = (noise if rank else 1.0) * draw("noise", (m, n))
    if rank:
        matrix = matrix + draw("left", (m, rank)) @ draw("right", (rank, n)) / math.sqrt(rank)
    codomain = Space((m,), domain.dtype, device)
    made = DenseMatrix(domain, codomain, (matrix / math.sqrt(n)).to(domain.dtype))
    made.title = "Low rank and noise"
    return made
