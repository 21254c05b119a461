"""Randomised matrix products: ``L R = Σ_k l_k r_k`` over columns of L and rows of R, from a few terms of the sum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, problem, solver
from explorer.linalg import Rng, count, safe_divide
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

Factors = tuple[Tensor, Tensor]
Terms = Annotated[Literal["both", "right", "uniform", "gaussian"], Help("which terms: see the method's description")]
Samples = Annotated[int, Log(1, 65_536, help="random terms a step")]


@problem("Product of two matrices", equation=r"X = L R")
def matrix_product(
    rng: Rng,
    *,
    size: Annotated[int, Log(1, 512, help="rows of the left and columns of the right factor")] = 16,
    inner: Annotated[int, Log(1, 65_536, help="number n of terms of the product")] = 4096,
    noise: Annotated[float, Log(0, 10, help="white noise beside smooth curves of mean square 1")] = 0.5,
) -> Truth:
    """Factors whose columns and rows are smooth random curves (six periodic waves) with white noise."""
    t = torch.arange(inner, dtype=torch.float64) / inner
    wave = 2 * math.pi * torch.arange(1, 7, dtype=torch.float64).unsqueeze(-1)
    made = []
    for name in ("left", "right"):
        stream = rng.fork(name)
        height = stream.normal((size, 6), torch.float64) / math.sqrt(3)
        phase = 2 * math.pi * stream.uniform((size, 6, 1), torch.float64)
        smooth = torch.einsum("pf,pfn->pn", height, torch.cos(wave * t + phase))
        made.append(smooth + noise * stream.normal((size, inner), torch.float64))
    left, right = made[0], made[1].mT.contiguous()
    product = left @ right
    return Truth(product, {"factors": (left, right), "data_norm": torch.linalg.vector_norm(product)})


@solver(
    "Sampled matrix product",
    papers=[
        "row 273",
        "row 77",
        "Drineas, Kannan & Mahoney 2006: Fast Monte Carlo algorithms for matrices I",
    ],
    equation=r"L R \approx \frac{1}{s} \sum_{j=1}^{s} \frac{l_{i_j} r_{i_j}}{p_{i_j}}",
    reports=("bound",),
    works="Long sums of which a few percent of error are allowed, the more so where few terms are large.",
    fails="Half the error takes four times the terms; drawn uniformly they miss the few that are large.",
)
def sampled_product(factors: Factors, rng: Rng, *, terms: Terms = "both", samples: Samples = 64) -> Iterator[Step]:
    """The mean of random terms, unbiased: every step draws more of them, and the error falls as 1 over their root.

    Term i is drawn with a probability proportional to ``‖l_i‖ ‖r_i‖`` (both: the least variance), to ``‖r_i‖`` alone
    (right: blind to the data L where R are weights), or uniformly. A gaussian term ``(L g)(gᵀ R)`` mixes all of them.
    `bound` is an upper bound of the root mean square error, ``√(Σ ‖l_i‖² ‖r_i‖² / p_i / s)`` or, gaussian,
    ``√(2/s) ‖L‖ ‖R‖``: the product's own norm, which would have to be subtracted, is unknown.

    Parameters
    ----------
    factors : (Tensor, Tensor)
        L and R, of shapes ``(p, n)`` and ``(n, q)``.
    rng : Rng
        With draws, the answers have shape ``(draws, p, q)``.
    """
    left, right = factors
    sizes2, probability = term_sizes2(left, right), probabilities(left, right, terms)
    if terms == "gaussian":
        second = 2 * left.square().sum() * right.square().sum()
    else:
        second = safe_divide(sizes2, probability).sum()  # where a probability is 0, so is its term
    total, drawn = torch.zeros_like(left[..., :1] * right[:1]), 0
    while True:
        count("terms", samples)
        if terms == "gaussian":
            mixed = rng.normal((samples, len(right)), right.dtype, right.device)
            total = total + (mixed @ left.mT).mT @ (mixed @ right)
        else:
            i = draw_terms(probability, samples, rng)
            weight = safe_divide(torch.ones_like(probability), probability)[i].unsqueeze(-1)
            total = total + (weight * left.mT[i]).mT @ right[i]
        drawn += samples
        yield Step(total / drawn, bound=(second / drawn).sqrt())


def term_sizes2(left: Tensor, right: Tensor) -> Tensor:
    """Return ``‖l_i‖² ‖r_i‖²``, shape ``(n,)``."""
    return left.square().sum(-2) * right.square().sum(-1)


def probabilities(left: Tensor, right: Tensor, terms: str) -> Tensor:
    """Return the probabilities with which terms are drawn, shape ``(n,)``; uniform where the weights are all 0."""
    if terms == "both":
        weight = term_sizes2(left, right).sqrt()
    elif terms == "right":
        weight = torch.linalg.vector_norm(right, dim=-1)
    else:
        weight = torch.ones_like(right[..., 0])
    total = weight.sum()
    return torch.where(total > 0, safe_divide(weight, total), 1 / len(weight))


def draw_terms(probability: Tensor, samples: int, rng: Rng) -> Tensor:
    """Draw indices with replacement, shape ``(*draws, samples)``."""
    upto = probability.cumsum(0)
    u = rng.uniform((samples,), upto.dtype, upto.device) * upto[-1]
    return torch.searchsorted(upto, u, right=True).clamp(max=len(upto) - 1)


@solver(
    "Multilevel matrix product",
    papers=["row 57", "Giles 2008: Multilevel Monte Carlo path simulation"],
    equation=r"L R = P_0 + \sum_{\ell=1}^{m} \mathbb{E}\,[P_\ell - P_{\ell-1}]",
    reports=("bound",),
    works="Factors whose neighbouring columns are alike, such as samples of smooth curves.",
    fails="Columns in no order: averages of cells then tell nothing, and little is gained over plain sampling.",
)
def multilevel_product(
    factors: Factors,
    rng: Rng,
    *,
    samples: Samples = 64,
    refinement: Annotated[int, Log(2, 1024, help="cells of a level in one cell of the coarser level")] = 64,
    levels: Annotated[int, Linear(1, 6, help="number m of corrections; the coarsest cell has refinement^m terms")] = 1,
    coupling: Annotated[
        Literal["centred", "difference"], Help("what is sampled of a correction: see the method's description")
    ] = "centred",
) -> Iterator[Step]:
    """The product of cell averages, computed exactly, and random terms for what finer levels add to it.

    Level ℓ replaces the columns of L and rows of R by their averages over cells. A correction is a sum over its cells
    of ``l r − l̄ r̄`` with the coarser averages ``l̄, r̄`` around them (difference: the same random cell in both, two
    terms), which is the same as that of ``(l − l̄)(r − r̄)`` (centred: one term, and no cross terms to average out).
    Of `samples` terms a step, levels have shares proportional to ``√V_ℓ``, V_ℓ the variance of one sample; they all
    cost the same. The first step also computes the coarsest product, of n / refinement^m terms.

    It gains where neighbours are alike. With white noise of half the curves' amplitude the centred form has a fourth of
    the error of plain sampling of as many terms, and the difference no less than that; with noise as large as the
    curves, the centred form has half of it.

    Parameters
    ----------
    factors : (Tensor, Tensor)
        L and R, of shapes ``(p, n)`` and ``(n, q)``.
    rng : Rng
        With draws, the answers have shape ``(draws, p, q)``.

    Raises
    ------
    SpecError
        If the coarsest cell has more terms than there are.
    """
    if (cell := refinement**levels) > len(factors[1]):
        raise SpecError(f"a cell of {cell:,} terms is above the {len(factors[1])} there are: choose less", "refinement")
    left, right = _padded(factors, cell)
    averages = [_averages(left, right, refinement**power) for power in range(levels, -1, -1)]
    coarsest = averages[0]
    corrections = [_Correction(a, b, refinement, coupling) for a, b in itertools.pairwise(averages)]
    price = 1 if coupling == "centred" else 2
    shares = _shares([c.variance for c in corrections], samples // price)
    base, drawn = coarsest[0] @ coarsest[1], 0
    count("terms", len(coarsest[1]))
    totals = [torch.zeros_like(base) for _ in corrections]
    while True:
        count("terms", price * sum(shares))
        drawn += 1
        totals = [t + c.sample(s, rng) for t, c, s in zip(totals, corrections, shares, strict=True)]
        x = base + sum(t / (drawn * s) for t, s in zip(totals, shares, strict=True))
        variance = sum(c.variance / (drawn * s) for c, s in zip(corrections, shares, strict=True))
        yield Step(x, bound=torch.as_tensor(variance).sqrt())


class _Correction:
    """The sum over cells of what a level adds to the coarser one, ``E[P_ℓ − P_{ℓ−1}]``."""

    def __init__(self, coarse: Factors, fine: Factors, refinement: int, coupling: str) -> None:
        root = math.sqrt(refinement)
        a0, b0 = (c.repeat_interleave(refinement, axis) / root for c, axis in zip(coarse, (-1, -2), strict=True))
        self.centred = coupling == "centred"
        self.cells = fine[1].shape[0]
        a, b = fine
        if self.centred:
            a, b = a - a0, b - b0
            size2 = term_sizes2(a, b)
        else:
            size2 = term_sizes2(a, b) + term_sizes2(a0, b0) - 2 * (a * a0).sum(-2) * (b * b0).sum(-1)
        #: second moment of one sample, an upper bound of its variance
        self.variance = self.cells * size2.sum().clamp(min=0)
        self.fine, self.around = (a, b), (a0, b0)

    def sample(self, number: int, rng: Rng) -> Tensor:
        """Return the sum of so many random cells, scaled to be unbiased each."""
        i = (rng.uniform((number,), self.fine[1].dtype, self.fine[1].device) * self.cells).long()
        (a, b), (a0, b0) = self.fine, self.around
        found = a.mT[i].mT @ b[i]
        if not self.centred:
            found = found - a0.mT[i].mT @ b0[i]
        return self.cells * found


def _padded(factors: Factors, cell: int) -> Factors:
    """Add terms that are zero until cells are full."""
    more = -factors[1].shape[-2] % cell
    pad = torch.nn.functional.pad
    return pad(factors[0], (0, more)), pad(factors[1], (0, 0, 0, more))


def _averages(left: Tensor, right: Tensor, cell: int) -> Factors:
    """Return the averages over cells, each factor times the root of their size: products are then those of the sum."""
    root = math.sqrt(cell)
    return left.unflatten(-1, (-1, cell)).mean(-1) * root, right.unflatten(-2, (-1, cell)).mean(-2) * root


def _shares(variances: list[Tensor], samples: int) -> list[int]:
    """Return how many samples a level has, proportional to the root of its variance and at least one; read once."""
    if len(variances) == 1:
        return [max(1, samples)]
    weight = torch.stack(variances).sqrt().tolist()
    total = sum(weight) or 1.0
    return [max(1, int(samples * w / total)) for w in weight]
