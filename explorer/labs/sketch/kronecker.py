r"""A projection that is kept up to date while its weights change (row 22).

``P = Bᵀ (B Bᵀ)⁻¹ B`` with ``B = A (W^½ ⊗ W^½)``. A change of one eigenvalue of W changes ``G = B Bᵀ = A (W ⊗ W) Aᵀ`` by
a matrix of rank 2 n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, problem, solver
from explorer.linalg import Rng, Space
from explorer.operators.matrix import random_isometry
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

_PAPERS = ["row 22", "Song, Yang, Yang & Zhang 2023: Sketching meets differential privacy"]


@dataclass
class Projections:
    """What is projected on, how it changes, and what is asked.

    Attributes
    ----------
    A : Tensor
        Constraints, shape ``(d, n, n)``.
    basis : Tensor
        Eigenvectors of W as columns, shape ``(n, n)``, fixed.
    weights : Tensor
        Its eigenvalues > 0 at the start, shape ``(n,)``.
    which, change : Tensor
        For each update the number of the eigenvector u and the c of ``W + c u uᵀ``, shape ``(count,)``.
    queries : Tensor
        What is projected after each update, shape ``(count, n, n)``.
    """

    _movable = True

    A: Tensor
    basis: Tensor
    weights: Tensor
    which: Tensor
    change: Tensor
    queries: Tensor


@problem("Projections that change, weighted by Kronecker products", name="kronecker_projections", papers=_PAPERS)
def kronecker_projections(
    rng: Rng,
    *,
    size: Annotated[int, Log(2, 64, help="rows n of the weights W; unknowns have n²")] = 12,
    constraints: Annotated[int, Log(1, 512, help="rows d of A, at most n²")] = 20,
    updates: Annotated[int, Log(1, 1000, help="number of changes of W")] = 30,
    support: Annotated[int, Linear(1, 8, help="nonzero entries of an eigenvector of W")] = 3,
) -> Truth:
    """Random constraints, and weights of which one eigenvalue changes at a time by a factor from ½ to 2.

    The true projections come from a QR factorization of each B.

    Raises
    ------
    SpecError
        If there are more constraints than unknowns.
    """
    n, d = size, constraints
    if d > n * n:
        raise SpecError(f"is {d}, and must be at most the {n * n} unknowns", "problem.params.constraints")
    A = rng.fork("constraints").normal((d, n, n), torch.float64)
    sizes = [min(support, n - start) for start in range(0, n, support)]
    blocks = [random_isometry(k, k, rng.fork(f"block {i}"), torch.float64) for i, k in enumerate(sizes)]
    basis = torch.block_diag(*blocks)
    start = 1 + rng.fork("weights").uniform((n,), torch.float64)
    which = (rng.fork("which").uniform((updates,), torch.float64) * n).long()
    factor = 2 ** (2 * rng.fork("change").uniform((updates,), torch.float64) - 1)
    queries = rng.fork("queries").normal((updates, n, n), torch.float64)
    weights, change, answers = start.clone(), torch.empty_like(factor), []
    for k in range(updates):
        change[k] = (factor[k] - 1) * weights[which[k]]
        weights[which[k]] += change[k]
        root = (basis * weights.sqrt()) @ basis.mT
        q = torch.linalg.qr((root @ A @ root).flatten(1).mT).Q
        answers.append((q @ (q.mT @ queries[k].flatten())).reshape(n, n))
    offered = Projections(A, basis, start, which, change, queries)
    return Truth(torch.stack(answers), {"projections": offered}, domain=Space((n, n), torch.float64))


@solver(
    "Maintained Kronecker projection",
    papers=_PAPERS,
    equation=r"x_k = B_k^T (B_k B_k^T)^{-1} B_k h_k,\quad B_k = A\,(W_k^{1/2} \otimes W_k^{1/2})",
    works="Weights that change one eigenvalue at a time, between queries with more than 2 n constraints.",
    fails="Rounding errors add up over many updates; with at most 2 n constraints it inverts anew at each of them.",
)
def maintained_projection(
    projections: Projections,
    *,
    maintain: Annotated[bool, Help("update the inverse; otherwise it is made anew for each query")] = True,
) -> Iterator[Step]:
    """Answer every query from an inverse of ``B Bᵀ`` that is updated, not made anew.

    An update takes of the order of ``d n² + d² n`` operations for ``B Bᵀ`` and the least of ``d³`` and ``d² n + n³``
    for its inverse; all made anew takes ``d n³ + d² n² + d³``. Rounding errors add up over the updates.
    Queries are answered exactly: the sketches by which the paper shortens them are left out.
    """
    p = projections
    weights = p.weights.clone()
    G, inverse = fresh(p.A, p.basis, weights)
    for k in range(len(p.queries)):
        if maintain:
            G, inverse = updated(G, inverse, p.A, p.basis, weights, p.which[k], p.change[k])
        weights = weights.index_add(0, p.which[k : k + 1], p.change[k : k + 1])
        if not maintain:
            G, inverse = fresh(p.A, p.basis, weights)
        root = (p.basis * weights.sqrt()) @ p.basis.mT
        flat = p.A.flatten(1)
        z = inverse @ (flat @ (root @ p.queries[k] @ root).flatten())
        yield Step(root @ (z @ flat).reshape_as(root) @ root, system=k)


def fresh(A: Tensor, basis: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``G = A (W ⊗ W) Aᵀ`` and its inverse, shape ``(d, d)``."""
    W = (basis * weights) @ basis.mT
    G = (W @ A @ W).flatten(1) @ A.flatten(1).mT
    return G, torch.linalg.inv(G)


def updated(
    G: Tensor, inverse: Tensor, A: Tensor, basis: Tensor, weights: Tensor, which: Tensor, change: Tensor
) -> tuple[Tensor, Tensor]:
    """Return G and its inverse after ``W ← W + c u uᵀ``, from those and W before it.

    ``(W + c u uᵀ) ⊗ (W + c u uᵀ) − W ⊗ W = c (u uᵀ ⊗ V + V ⊗ u uᵀ)`` with ``V = W + (c/2) u uᵀ``, so that G grows by
    ``K S Kᵀ`` with the products of u with A from both sides in K and c V twice in S. Where that rank, 2 n, is below d,
    Woodbury's formula gives the inverse.
    """
    u = basis.index_select(1, which.reshape(1))[:, 0]
    V = change * ((basis * weights) @ basis.mT + change / 2 * torch.outer(u, u))
    sides = torch.stack((u @ A, A @ u))
    K, KS = (torch.cat(tuple(part), 1) for part in (sides, sides @ V))
    G = G + KS @ K.mT
    if K.shape[1] >= len(G):
        return G, torch.linalg.inv(G)
    reach = inverse @ K
    middle = torch.eye(K.shape[1], dtype=K.dtype, device=K.device) + KS.mT @ reach
    weighted = (V @ reach.mT.reshape(2, len(V), -1)).flatten(0, 1)
    return G, inverse - reach @ torch.linalg.solve(middle, weighted)
