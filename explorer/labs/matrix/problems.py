"""Matrices to invert."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, problem
from explorer.linalg import Rng
from explorer.problems.base import Truth


@problem("Inverse of a matrix", equation=r"M X = I")
def matrix_inverse(
    rng: Rng,
    *,
    size: Annotated[int, Log(1, 2048, unit="rows", help="rows and columns")] = 64,
    condition: Annotated[float, Log(1, 1e12, help="largest over smallest singular value")] = 100.0,
    kind: Annotated[Literal["general", "positive"], Help("positive: symmetric with positive eigenvalues")] = "general",
) -> Truth:
    """A matrix with singular values falling geometrically from 1 to 1/condition and random singular vectors.

    Offered are the matrix ``M`` and ‖I‖ = √size, which the residual ``I − M X`` is measured against.
    """
    s = torch.logspace(0, -1, size, base=condition, dtype=torch.float64)
    u = _orthogonal(rng.fork("left"), size)
    v = u if kind == "positive" else _orthogonal(rng.fork("right"), size)
    norm = torch.tensor(size, dtype=torch.float64).sqrt()
    return Truth((v / s) @ u.mT, {"M": (u * s) @ v.mT, "data_norm": norm})


def _orthogonal(rng: Rng, n: int) -> Tensor:
    """Return an orthogonal matrix, uniformly distributed."""
    q, r = torch.linalg.qr(rng.normal((n, n), torch.float64))
    return q * r.diagonal().sgn()
