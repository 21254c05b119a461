r"""Matrix products by hashing and look-ups (row 55).

Blalock & Guttag 2021: Multiplying matrices without multiplying. A row is cut into pieces, each piece is sorted into one
of 2^depth buckets by comparisons alone, and the product is a sum of table entries, one a piece.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, problem, solver
from explorer.labs.sketch.products import Factors
from explorer.linalg import Rng, count, safe_divide
from explorer.problems.base import Truth
from explorer.solvers.steps import Solution

_PAPERS = [
    "row 55",
    "McCarter & Dronen 2022: Look-ups are not (yet) all you need for deep learning inference",
    "Blalock & Guttag 2021: Multiplying matrices without multiplying",
]


@problem("Rows that are alike, times weights", papers=_PAPERS, equation=r"X = L R")
def related_rows(
    rng: Rng,
    *,
    size: Annotated[int, Log(2, 1024, help="length n of a row")] = 64,
    rows: Annotated[int, Log(1, 65_536, help="rows of the left factor")] = 1000,
    training: Annotated[int, Log(2, 65_536, help="further rows of the same kind, to learn from")] = 3000,
    outputs: Annotated[int, Log(1, 1024, help="columns of the weights")] = 32,
    rank: Annotated[int, Log(1, 1024, help="dimension of the space near which the rows lie")] = 8,
    noise: Annotated[float, Log(0, 10, help="white noise beside rows of mean square 1 an entry")] = 0.3,
    spread: Annotated[float, Linear(0, 3, help="how uneven the weights are: deviation of the log of their rows")] = 1.0,
) -> Truth:
    """Rows near a space of few dimensions, as activations often are, and weights of which some rows are larger."""
    basis = rng.fork("basis").normal((rank, size), torch.float64) / math.sqrt(rank)
    every = rng.fork("rows").normal((rows + training, rank), torch.float64) @ basis
    every = every + noise * rng.fork("noise").normal((rows + training, size), torch.float64)
    scale = (spread * rng.fork("scale").normal((size, 1), torch.float64)).exp()
    weights = scale * rng.fork("weights").normal((size, outputs), torch.float64)
    left = every[:rows].contiguous()
    product = left @ weights
    offers = {"factors": (left, weights), "training": every[rows:].contiguous()}
    return Truth(product, {**offers, "data_norm": torch.linalg.vector_norm(product)})


@solver(
    "Matrix product by look-ups",
    papers=_PAPERS,
    equation=r"(L R)_{i} \approx \sum_{c} T_c[h_c(L_{i,c})]",
    reports=("training_error",),
    works="Many rows that are alike, times fixed weights, where comparisons are cheaper than products.",
    fails="Rows unlike those it learnt from; even for rows like them it is often off by 15 % and more.",
)
def lookup_product(
    factors: Factors,
    training: Tensor,
    *,
    pieces: Annotated[int, Log(1, 1024, help="pieces that a row is cut into; must divide its length")] = 16,
    depth: Annotated[int, Linear(1, 8, help="levels of a decision tree: 2^depth buckets a piece")] = 4,
    splits: Annotated[
        Literal["product", "rows"], Help("what the trees keep apart: rows of the product, or of the data alone")
    ] = "product",
    ridge: Annotated[float, Log(1e-6, 1e3, help="ridge weight of the table entries, in rows")] = 0.01,
) -> Solution:
    """Sort every piece of a row by a learnt decision tree and add up learnt table entries: no multiplications.

    On each level a tree compares one coordinate, the same in all of its nodes, with a threshold of the node's own; both
    are chosen so that what falls together is most alike: as pieces ``l_c`` (rows), or as what they contribute to the
    known product, ``l_c R_c`` (product). The tables are the ridge regression of the product on the buckets of the
    training rows. The fine-tuning of thresholds and tables through soft assignments, with which the paper goes on, is
    left out: for rows like those of ``related_rows`` it lowered the training error by 6 % and that of other rows not.

    Parameters
    ----------
    factors : (Tensor, Tensor)
        L and R, of shapes ``(p, n)`` and ``(n, q)``.
    training : Tensor
        Rows like those of L, shape ``(m, n)``.

    Raises
    ------
    SpecError
        If the pieces do not divide the length of a row.
    """
    left, right = factors
    n = len(right)
    if n % pieces:
        raise SpecError(f"is {pieces}, and must divide the length of a row, {n}", "pieces")
    cut = lambda rows: rows.unflatten(-1, (pieces, -1)).movedim(-2, 0)  # noqa: E731
    seen, target = cut(training), cut(training)
    if splits == "product":
        # ‖(l_c − l'_c) R_c‖ is the distance of l_c S with S from the QR factorization of R_cᵀ, which is short
        target = target @ torch.linalg.qr(right.unflatten(0, (pieces, -1)).mT).R.mT
    trees = grow(seen, target, depth)
    learnt, found = encode(seen, trees), encode(cut(left), trees)
    table = _tables(learnt, training @ right, 2**depth, ridge)
    error = torch.linalg.vector_norm(_look_up(table, learnt) - training @ right)
    count("look-ups", pieces * len(left))
    return Solution(
        _look_up(table, found), training_error=safe_divide(error, torch.linalg.vector_norm(training @ right))
    )


Trees = list[tuple[Tensor, Tensor]]


def grow(seen: Tensor, target: Tensor, depth: int) -> Trees:
    """Return a coordinate and the thresholds of the nodes, for each level.

    Parameters
    ----------
    seen : Tensor
        What can be compared, shape ``(pieces, rows, coordinates)``.
    target : Tensor
        What should be alike in a bucket, shape ``(pieces, rows, m)``.

    Returns
    -------
    list of (Tensor, Tensor)
        Coordinates, shape ``(pieces,)``, and thresholds, shape ``(pieces, nodes)``.
    """
    bucket = torch.zeros(seen.shape[:2], dtype=torch.int64, device=seen.device)
    trees: Trees = []
    orders = seen.argsort(dim=-2)
    for level in range(depth):
        tried = [_split(seen[..., j], orders[..., j], target, bucket, 2**level) for j in range(seen.shape[-1])]
        cost, thresholds = (torch.stack(part) for part in zip(*tried, strict=True))
        best = cost.argmin(0)
        kept = thresholds[best, torch.arange(len(best), device=best.device)]
        trees.append((best, kept))
        bucket = _descend(bucket, seen, best, kept)
    return trees


def encode(rows: Tensor, trees: Trees) -> Tensor:
    """Return the bucket of each piece of each row, shape ``(pieces, rows)``."""
    bucket = torch.zeros(rows.shape[:2], dtype=torch.int64, device=rows.device)
    for coordinate, thresholds in trees:
        bucket = _descend(bucket, rows, coordinate, thresholds)
    return bucket


def _descend(bucket: Tensor, rows: Tensor, coordinate: Tensor, thresholds: Tensor) -> Tensor:
    value = rows.gather(-1, coordinate[:, None, None].expand(*bucket.shape, 1))[..., 0]
    return 2 * bucket + (value > thresholds.gather(-1, bucket))


def _split(value: Tensor, order: Tensor, target: Tensor, bucket: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Return the least sum of squared deviations after every node is split by `value`, and the thresholds for it.

    Rows, in their `order` by value, are sorted by node, so that sums over what a threshold cuts off are differences of
    running sums.
    """
    order = order.gather(-1, bucket.gather(-1, order).argsort(stable=True, dim=-1))
    value, node = value.gather(-1, order), bucket.gather(-1, order)
    target = target.gather(-2, order.unsqueeze(-1).expand_as(target))
    running = torch.cat((target, target.square().sum(-1, keepdim=True)), -1).cumsum(-2)
    running = torch.nn.functional.pad(running, (0, 0, 1, 0))
    size = torch.zeros(len(value), nodes, dtype=torch.int64, device=value.device).scatter_add(-1, node, node * 0 + 1)
    last = size.cumsum(-1)
    at = lambda i: running.gather(-2, i.unsqueeze(-1).expand(*i.shape, running.shape[-1]))  # noqa: E731
    start, end = (last - size).gather(-1, node), last.gather(-1, node)
    here = torch.arange(1, value.shape[-1] + 1, device=value.device).expand_as(node)
    cost = _deviation(running[..., 1:, :] - at(start), here - start) + _deviation(
        at(end) - running[..., 1:, :], end - here
    )
    after = torch.nn.functional.pad(value[..., 1:], (0, 1))
    tied = (value == after) & (here < end)  # no threshold falls between equal values
    cost = cost.masked_fill(tied, torch.inf)
    least = torch.full(size.shape, torch.inf, dtype=cost.dtype, device=cost.device)
    least = least.scatter_reduce(-1, node, cost, "amin")
    first = torch.where(cost == least.gather(-1, node), here - 1, value.shape[-1])
    where = torch.full_like(size, value.shape[-1]).scatter_reduce(-1, node, first, "amin").clamp(max=len(order[0]) - 1)
    threshold = value.gather(-1, where)
    threshold = torch.where(where + 1 < last, (threshold + after.gather(-1, where)) / 2, threshold)
    return torch.where(size > 0, least, 0).sum(-1), threshold


def _deviation(sums: Tensor, size: Tensor) -> Tensor:
    """Return ``Σ ‖t − t̄‖²`` from ``Σ t`` and ``Σ ‖t‖²``."""
    return sums[..., -1] - safe_divide(sums[..., :-1].square().sum(-1), size.to(sums.dtype))


def _tables(bucket: Tensor, product: Tensor, buckets: int, ridge: float) -> Tensor:
    """Return the table entries, shape ``(pieces, buckets, outputs)``: ridge regression on who is in which bucket."""
    pieces, rows = bucket.shape
    member = torch.zeros(rows, pieces, buckets, dtype=product.dtype, device=product.device)
    member = member.scatter(-1, bucket.mT.unsqueeze(-1), 1.0).flatten(1)
    identity = torch.eye(pieces * buckets, dtype=product.dtype, device=product.device)
    solved = torch.linalg.solve(member.mT @ member + ridge * identity, member.mT @ product)
    return solved.unflatten(0, (pieces, buckets))


def _look_up(table: Tensor, bucket: Tensor) -> Tensor:
    """Return the sum over the pieces of the entries of their buckets, shape ``(rows, outputs)``."""
    pieces = torch.arange(len(table), device=bucket.device).unsqueeze(-1)
    return table[pieces, bucket].sum(0)
