"""Alternating least squares for bilinear models."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.labs.bilinear.model import BilinearModel
from explorer.linalg import Blocks, safe_divide
from explorer.operators.base import LinearOperator
from explorer.solvers.cgls import cgls
from explorer.solvers.steps import Step


@solver(
    "Alternating least squares",
    papers=["Wold 1966: Estimation of principal components and related models by iterative least squares"],
    equation=r"v \leftarrow \arg\min_v \|F(u, v) - y\|,\quad u \leftarrow \arg\min_u \|F(u, v) - y\|",
    reports=("residual",),
    per_step={"A": 12, "Aᴴ": 11},
    works="Bilinear models with a fair start, where each of the two fits is a linear problem.",
    fails="It crawls where the two blocks depend on each other strongly; a poor start ends in a local minimum.",
)
def alternating_least_squares(
    F: BilinearModel,
    y: Tensor,
    x0: Blocks,
    *,
    inner: Annotated[int, Log(1, 1000, unit="steps", help="CGLS steps on a block that has no cheap SVD")] = 10,
) -> Iterator[Step]:
    """Fit the second block with the first held fixed, then the first with the second held fixed."""
    u, v = x0
    while True:
        v, _ = _fit(F.partial(1, Blocks((u, v))), y, v, inner)
        u, residual = _fit(F.partial(0, Blocks((u, v))), y, u, inner)
        yield Step(Blocks((u, v)), residual=residual)


def _fit(A: LinearOperator, y: Tensor, start: Tensor, inner: int) -> tuple[Tensor, Any]:
    """Return the least-squares solution and ‖A x − y‖: exact by a cheap SVD, else `inner` CGLS steps from `start`."""
    if A.has_svd:
        svd = A.svd()
        x = svd.V(safe_divide(svd.U.adjoint(y), svd.s.to(y.dtype)))
        return x, A.codomain.norm(y - A(x))
    step = next(islice(cgls(A, y, start), inner - 1, None))
    return step.x, step.scalars["residual"]
