"""Iterations for the inverse of a matrix that use nothing but products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Capability, solver
from explorer.linalg import clone, expand, matmul, safe_divide
from explorer.solvers.steps import Step

SQUARE = Capability("a square matrix", lambda M: M.ndim >= 2 and M.shape[-1] == M.shape[-2])


@solver(
    "Newton–Schulz iteration",
    papers=[
        "Schulz 1933: Iterative Berechnung der reziproken Matrix",
        "Ben-Israel & Cohen 1966: On iterative computation of generalized inverses and associated projections",
    ],
    equation=r"X \leftarrow X (2 I - M X)",
    reports=("residual",),
    per_step={"matmul": 2},
    works="Invertible matrices, by products alone.",
    fails="Singular matrices; it starts slowly where the condition number is large.",
)
def newton_schulz(M: Annotated[Tensor, SQUARE], x0: Tensor | None = None) -> Iterator[Step]:
    """Newton's method for ``X⁻¹ = M``: the residual ``I − M X`` is squared at each step, at the cost of two products.

    `M` has shape ``(*batch, n, n)``. The default start ``Mᴴ / (‖M‖₁ ‖M‖_∞)`` has a residual of norm below 1 for every
    invertible matrix; another start converges if its residual has.
    """
    identity = torch.eye(M.shape[-1], dtype=M.dtype, device=M.device)
    X = _start(M) if x0 is None else clone(x0)
    R = identity - matmul(M, X)
    while True:
        X = X + matmul(X, R)
        R = identity - matmul(M, X)
        yield Step(X, residual=torch.linalg.vector_norm(R, dim=(-2, -1)))


def _start(M: Tensor) -> Tensor:
    columns, rows = M.abs().sum(-2).amax(-1), M.abs().sum(-1).amax(-1)
    shrink = safe_divide(torch.ones_like(rows), columns * rows)
    return expand(shrink, M) * M.mH
