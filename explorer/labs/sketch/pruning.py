r"""Pruning at initialization as sketching (row 273).

A linear model ``f = A w`` that keeps s of its weights keeps s of the terms ``a_i w_i`` of a matrix product, so that a
mask is good as far as it is a good sketch of ``A w_0``.
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
from explorer.labs.sketch.products import draw_terms, probabilities
from explorer.labs.sketch.regression import smallest_solution
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix, LinearOperator

#: largest number of entries of a model that is pruned, and of a feature matrix that is made
MAX_ENTRIES = 2**22
SMALL = Capability(
    f"an operator between single real spaces of at most {MAX_ENTRIES:,} entries",
    lambda A: (
        isinstance(A.domain, Space)
        and isinstance(A.codomain, Space)
        and not A.domain.is_complex | A.codomain.is_complex
        and A.domain.size * A.codomain.size <= MAX_ENTRIES
    ),
)


@dataclass(frozen=True)
class Pruning:
    """Masks of a linear model, how well they sketch it before training, and how well it does after.

    Attributes
    ----------
    masks : NDArray of bool
        Which weights are kept, shape ``(draws, unknowns)``.
    sketch_error : NDArray
        ``‖A w_0 − sketch‖ / ‖A w_0‖``, shape ``(draws,)``.
    bound : float
        ``Σ ‖a_i‖ |w_i| / √s / ‖A w_0‖``, which the root mean square of the errors of random terms drawn by both stays
        below.
    trained_error : NDArray
        ``‖A w − y‖ / ‖y‖`` once the weights that are kept have been trained to the end, shape ``(draws,)``.
    sentence : str
        What this means.
    """

    masks: NDArray[np.bool_]
    sketch_error: NDArray[np.floating]
    bound: float
    trained_error: NDArray[np.floating]
    sentence: str


@analysis(
    "Pruning at initialization",
    papers=["row 273"],
    equation=r"A w_0 \approx \sum_{j=1}^{s} \frac{a_{i_j} w_{i_j}}{s\, p_{i_j}},\quad p_i \propto \|a_i\| |w_i|",
)
@torch.no_grad()
def pruning_at_initialization(
    A: Annotated[LinearOperator, SMALL],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    kept: Annotated[int, Log(1, 65_536, help="number s of terms that are drawn, or of weights that are kept")] = 100,
    score: Annotated[
        Literal["both", "right", "uniform"], Help("both: ‖a_i‖ |w_i|, which needs data; right: |w_i|; uniform: none")
    ] = "both",
    choice: Annotated[
        Literal["random", "largest"], Help("random terms by the score, rescaled; or the largest scores as they are")
    ] = "random",
    draws: Annotated[int, Log(1, 1000, help="number of independent masks")] = 20,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the initial weights and of the masks")] = 0,
) -> Pruning:
    """Keep some weights of a linear model before it is trained, at random or the largest, and say what that costs.

    Without a start the initial weights are standard normal. Random terms are drawn with replacement, so that a mask
    has at most s weights; their rescaled sum is unbiased. The largest scores without rescaling are a better sketch
    than random ones. Training is least squares on the weights that are kept.

    Parameters
    ----------
    A : LinearOperator
        The model: features by unknowns.
    y : Tensor
        Targets, shape ``(*codomain.shape,)``.
    x0 : Tensor, optional
        Initial weights, in the shape of the domain.

    Notes
    -----
    With independent features, random terms by |w_i| do no better after training than the largest |w_i|. They do where
    large weights crowd on features that repeat each other: of these the largest scores keep all.
    """
    matrix, d = A.to_dense(), A.domain.size
    if y.ndim != A.codomain.ndim:
        raise SpecError(f"has batch dimensions {A.codomain.batch(y)}, and one set of targets is pruned at a time", "y")
    w = Rng(seed, "weights").normal((d,), matrix.dtype, matrix.device) if x0 is None else x0.reshape(-1)
    w = w.unsqueeze(-1)
    p = probabilities(matrix, w, score)
    full, y = (matrix @ w)[:, 0], y.reshape(-1)
    masks = torch.zeros(draws, d, dtype=torch.bool, device=matrix.device)
    if choice == "largest":
        i = p.topk(min(kept, d)).indices.expand(draws, -1)
        sketched = (matrix[:, i[0]] @ w[i[0], 0]).expand(draws, -1)
    else:
        i = draw_terms(p, kept, Rng(seed, "masks", draws))
        sketched = torch.stack([matrix[:, one] @ (w[one, 0] / p[one]) / kept for one in i])
    masks.scatter_(1, i, torch.ones_like(i, dtype=torch.bool))
    size, target = torch.linalg.vector_norm(full), torch.linalg.vector_norm(y)
    trained = torch.stack([_trained(matrix[:, mask], y) for mask in masks]) / target
    error = torch.linalg.vector_norm(sketched - full, dim=-1) / size
    bound = float(_bound(matrix, w, kept) / size)
    rms, after = float(error.square().mean().sqrt()), float(trained.mean())
    return Pruning(
        masks.cpu().numpy(),
        error.cpu().numpy(),
        bound,
        trained.cpu().numpy(),
        f"With {kept} of {d} weights the model is sketched up to {rms:.3g} of its size before training, where random "
        f"terms by both may reach {bound:.3g}; after training {after:.3g} of the targets is left.",
    )


def _bound(matrix: Tensor, w: Tensor, kept: int) -> Tensor:
    """Return ``Σ ‖a_i‖ |w_i| / √s``."""
    return (torch.linalg.vector_norm(matrix, dim=0) * w[:, 0].abs()).sum() / math.sqrt(kept)


def _trained(columns: Tensor, y: Tensor) -> Tensor:
    """Return the residual of least squares on some columns."""
    n, k = columns.shape
    if k > n:
        return torch.linalg.vector_norm(columns @ smallest_solution(columns.mT, y) - y)
    q, r = torch.linalg.qr(columns)
    size = torch.linalg.vector_norm(columns, dim=0)
    new = r.diagonal().abs() > n * torch.finfo(y.dtype).eps * size  # else it lies in the span of those before it
    return torch.linalg.vector_norm(y - q @ (new * (q.mT @ y)))


@operator(
    "Uneven features",
    papers=["row 273"],
    equation=r"A_{ij} \sim e^{\sigma g_j} N(0, 1/m)",
    works="Regression on features of very different size, on which sampling and pruning can be compared.",
    fails="Weights of small columns hardly show in the data: gradient steps barely move them, and noise hides them.",
)
def uneven_features(
    domain: Space,
    rng: Rng,
    *,
    rows: Annotated[int, Log(1, 4096, help="number of data")] = 200,
    spread: Annotated[float, Linear(0, 3, help="standard deviation σ of the logarithms of the column norms")] = 1.0,
) -> DenseMatrix:
    """Random features, some of which are much larger than others: columns of log-normal norms."""
    if rows * domain.size > MAX_ENTRIES:
        raise SpecError(f"{rows} × {domain.size} entries are above {MAX_ENTRIES:,}: choose fewer rows", "rows")
    dtype, device = domain.dtype, domain.device
    scale = rng.fork("norms").normal((domain.size,), real_dtype(dtype), device)
    entries = rng.fork("entries").normal((rows, domain.size), dtype, device) / math.sqrt(rows)
    made = DenseMatrix(domain, Space((rows,), dtype, device), entries * (spread * scale).exp())
    made.title = "Uneven features"
    return made
