r"""The top eigenvector of a matrix whose rows arrive once, in random order (row 334).

Kacham & Woodruff 2024: Approximating the Top Eigenvector in Random Order Streams. Rows of norm ``‖A‖_F / √d`` or more
are few and are stored; a block of the others is a fair sample of all of them, so that each block gives one step of the
power method. This is the practical method: the Frobenius norm is known, no logarithms in the threshold, and a stored
row counts from the block in which it arrives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, SpecError, analysis, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix, LinearOperator

_PAPERS = ["row 334", "Kacham & Woodruff 2024: Approximating the top eigenvector in random order streams"]
#: largest number of entries of the rows, and of all orders together
MAX_ENTRIES = 2**25
ROWS = Capability(
    f"an operator between single real spaces of at most {MAX_ENTRIES:,} entries and 2,048 unknowns",
    lambda A: (
        isinstance(A.domain, Space)
        and isinstance(A.codomain, Space)
        and not A.domain.is_complex | A.codomain.is_complex
        and A.domain.size <= 2048
        and A.domain.size * A.codomain.size <= MAX_ENTRIES
    ),
)


def block_power(rows: Tensor, start: Tensor, blocks: int, threshold: float) -> Tensor:
    """Return the estimate after one pass: ``z ← (rest / block) Σ_block a aᵀz + Σ_heavy a aᵀz``, normalised, a block.

    Parameters
    ----------
    rows : Tensor
        The stream, shape ``(orders, n, d)``.
    start : Tensor
        Shape ``(orders, d)``.
    threshold : float
        Norm from which a row is stored; infinite to store none.

    Returns
    -------
    Tensor
        Shape ``(orders, d)``.
    """
    heavy = torch.linalg.vector_norm(rows, dim=-1) >= threshold
    light, z = (~heavy).to(rows.dtype), start
    seen = 0
    number = light.sum(-1, keepdim=True)
    for part, weight in zip(rows.chunk(blocks, 1), light.chunk(blocks, 1), strict=True):
        seen += part.shape[1]
        z = z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)
        inner = (part @ z.unsqueeze(-1)).squeeze(-1) * weight
        fresh = (inner.unsqueeze(-2) @ part).squeeze(-2) * (number / weight.sum(-1, keepdim=True).clamp(min=1))
        stored = torch.stack([_gram(a[:seen][h[:seen]], v) for a, h, v in zip(rows, heavy, z, strict=True)])
        z = fresh + stored
    return z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)


def _gram(a: Tensor, z: Tensor) -> Tensor:
    return a.mT @ (a @ z)


def oja(rows: Tensor, start: Tensor, rates: Tensor) -> Tensor:
    """Return what Oja's rule ``z ← z + η a aᵀz`` makes of one pass.

    Parameters
    ----------
    rows, start : Tensor
        Shapes ``(orders, n, d)`` and ``(orders, d)``.
    rates : Tensor
        Fixed rates η, shape ``(k,)``.

    Returns
    -------
    Tensor
        Of norm one, shape ``(k, orders, d)``.
    """
    z = start.expand(len(rates), *start.shape)
    eta = rates[:, None, None]
    for t in range(rows.shape[1]):
        a = rows[:, t]
        z = torch.addcmul(z, (z * a).sum(-1, keepdim=True) * eta, a)
        if t % 16 == 15:  # the length means nothing: it only must not overflow
            z = z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)


@dataclass(frozen=True)
class Streaming:
    """How well the top eigenvector v of ``AᵀA`` is found in one pass; correlations are ``⟨z, v⟩²``.

    Attributes
    ----------
    gap : float
        ``R = σ₁² / σ₂²``.
    heavy : int
        Number of rows stored.
    stored, blocks_only : NDArray
        Correlation of the block power method with and without stored rows, shape ``(orders,)``.
    rates : NDArray
        Fixed rates η of Oja's rule, shape ``(3,)``.
    oja : NDArray
        Correlation of Oja's rule, shape ``(3, orders)``.
    memory : int
        Numbers kept by the method with stored rows.
    sentence : str
        What this means.
    """

    gap: float
    heavy: int
    stored: NDArray[np.floating]
    blocks_only: NDArray[np.floating]
    rates: NDArray[np.floating]
    oja: NDArray[np.floating]
    memory: int
    sentence: str


@analysis(
    "Top eigenvector of a stream",
    papers=[*_PAPERS, "Oja 1982: Simplified neuron model as a principal component analyzer"],
    equation=r"z \leftarrow \frac{n}{|B|} \sum_{a \in B} a\, a^T z + \sum_{a\ \mathrm{heavy}} a\, a^T z",
)
@torch.no_grad()
def streaming_eigenvector(
    A: Annotated[LinearOperator, ROWS],
    *,
    blocks: Annotated[int, Log(1, 1000, help="number of blocks, each a step of the power method")] = 20,
    threshold: Annotated[float, Log(0.01, 100, help="norm of a stored row in units of ‖A‖_F / √d")] = 1.0,
    orders: Annotated[int, Log(1, 100, help="number of random orders of the rows")] = 3,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the orders and starts")] = 0,
) -> Streaming:
    """Find the top eigenvector of ``AᵀA`` in one pass over its rows in random order, in three ways.

    Oja's rule has the three fixed rates ``{1, 3, 10} log d / σ₁²``, which knows more than a stream tells.

    Raises
    ------
    SpecError
        If there are fewer rows than blocks, or all orders together are too large.
    """
    matrix = A.to_dense()
    n, d = matrix.shape
    if n < blocks:
        raise SpecError(f"is {blocks}, and there are only {n} rows", "blocks")
    if orders * n * d > MAX_ENTRIES:
        raise SpecError(f"is {orders}: {orders} × {n} × {d} entries are above {MAX_ENTRIES:,}", "orders")
    values, vectors = torch.linalg.eigh(matrix.mT @ matrix)
    v, top = vectors[:, -1], float(values[-1])
    rng = Rng(seed, "stream")
    rows = torch.stack([matrix[rng.fork(str(i)).permutation(n, matrix.device)] for i in range(orders)])
    start = rng.fork("start").normal((orders, d), matrix.dtype, matrix.device)
    limit = threshold * float(torch.linalg.matrix_norm(matrix)) / math.sqrt(d)
    rates = torch.tensor([1.0, 3.0, 10.0], dtype=matrix.dtype, device=matrix.device) * math.log(max(d, 2)) / top
    made = [block_power(rows, start, blocks, limit), block_power(rows, start, blocks, math.inf)]
    stored, only = ((z @ v).square().cpu().numpy() for z in made)
    by_oja = (oja(rows, start, rates) @ v).square().cpu().numpy()
    gap = top / float(values[-2]) if d > 1 and float(values[-2]) > 0 else math.inf
    heavy = int((torch.linalg.vector_norm(matrix, dim=-1) >= limit).sum())
    return Streaming(
        gap,
        heavy,
        stored,
        only,
        rates.cpu().numpy(),
        by_oja,
        (heavy + 2) * d,
        f"With a gap R = {gap:.3g} and {heavy} rows stored the correlation is {np.median(stored):.3g} in the median of "
        f"{orders} orders, {np.median(only):.3g} without storing rows, and {np.median(by_oja, 1).max():.3g} by the "
        f"best of three rates of Oja's rule.",
    )


@operator(
    "Heavy rows",
    papers=_PAPERS,
    equation=r"a_i \sim N(0, I + s\, v v^T), \text{ a few } \|a_i\| \text{ large}",
    works="Streams of many rows that are alike with a few of great weight, such as outlying users or events.",
    fails="Sampling rows uniformly misses the heavy ones, and steps scaled to the longest row become tiny.",
)
def heavy_rows(
    domain: Space,
    rng: Rng,
    *,
    rows: Annotated[int, Log(1, 100_000, help="number of rows")] = 5000,
    heavy: Annotated[int, Linear(0, 1000, help="how many of them are heavy, at random places")] = 10,
    size: Annotated[float, Log(0.01, 1e3, help="norm of the heaviest in units of √rows")] = 1.1,
    ratio: Annotated[float, Linear(0.1, 1, help="norm of a heavy row over that of the one before")] = 1.0,
    spike: Annotated[float, Log(0, 1e3, help="variance s that the others have more in one direction")] = 5.0,
) -> DenseMatrix:
    """Random rows with one direction of larger variance, and a few rows that are very long, each in a direction."""
    d = domain.size
    if rows * d > MAX_ENTRIES:
        raise SpecError(f"{rows} × {d} entries are above {MAX_ENTRIES:,}: choose fewer rows", "rows")
    if heavy > rows:
        raise SpecError(f"is {heavy}, and there are only {rows} rows", "heavy")
    dtype, device = real_dtype(domain.dtype), domain.device
    draw = lambda name, shape: rng.fork(name).normal(shape, dtype, device)  # noqa: E731
    unit = lambda z: z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)  # noqa: E731
    matrix = draw("rows", (rows, d))
    matrix = matrix + math.sqrt(spike) * draw("spike", (rows, 1)) * unit(draw("direction", (d,)))
    long = unit(draw("heavy", (heavy, d))) * ratio ** torch.arange(heavy, dtype=dtype, device=device)[:, None]
    matrix = torch.cat((size * math.sqrt(rows) * long, matrix[heavy:]))
    made = DenseMatrix(domain, Space((rows,), domain.dtype, device), matrix.to(domain.dtype))
    made.title = "Heavy rows"
    return made
