"""A dense matrix with a prescribed spectrum.

Higham 2002: Accuracy and Stability of Numerical Algorithms, section 28.3. Mezzadri 2007: How to generate random
matrices from the classical compact groups.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix

Decay = Literal["geometric", "algebraic", "clustered"]

#: largest number of entries that is built
MAX_ENTRIES = 2**22


@operator(
    "Dense matrix",
    papers=["Higham 2002: Accuracy and Stability of Numerical Algorithms"],
    equation=r"A = U \operatorname{diag}(s) V^H",
    works="Tests of solvers: the condition and the fall of the singular values are chosen exactly.",
    fails="Small singular values do not belong to fine detail as a blur's do: priors of smoothness help little.",
)
def dense_matrix(
    domain: Space,
    rng: Rng,
    *,
    rows: Annotated[int | None, Log(1, 4096, help="number of rows; square if not set")] = None,
    condition: Annotated[float, Log(1, 1e15, help="largest over smallest singular value")] = 1e3,
    decay: Annotated[Decay, Help("how the singular values fall from 1 to 1/condition")] = "geometric",
) -> DenseMatrix:
    """A matrix on flattened elements, with random singular vectors and singular values that are known."""
    n = domain.size
    m = n if rows is None else rows
    if m * n > MAX_ENTRIES:
        raise SpecError(
            f"the matrix would have {m} × {n} entries, and at most {MAX_ENTRIES:,} are built:"
            " choose a smaller problem or fewer rows"
        )
    k = min(m, n)
    wide = torch.complex128 if domain.is_complex else torch.float64
    if domain.device.type == "meta":
        u, s, v = (torch.empty(shape, dtype=wide, device="meta") for shape in ((m, k), (k,), (n, k)))
    else:
        u, v = (random_isometry(rows, k, rng.fork(name), wide) for rows, name in ((m, "left"), (n, "right")))
        s = spectrum(k, condition, decay)
    matrix = ((u * s) @ v.mH).to(domain.device, domain.dtype)
    factors = (u.to(matrix), s.to(domain.device, real_dtype(domain.dtype)), v.to(matrix))
    made = DenseMatrix(domain, Space((m,), domain.dtype, domain.device), matrix, factors=factors)
    made.title = "Dense matrix"
    return made


def spectrum(k: int, condition: float, decay: Decay) -> Tensor:
    """Return k singular values from 1 down to ``1/condition``.

    Geometric ones have a constant ratio, algebraic ones are a power of the index, clustered ones sit at five levels of
    constant ratio, so that conjugate gradients need five steps.
    """
    i = torch.arange(k, dtype=torch.float64)
    last = max(k - 1, 1)
    if decay == "algebraic":
        return condition ** -(torch.log1p(i) / math.log1p(last))
    if decay == "clustered":
        i = (i * min(5, k) / k).floor() / max(min(5, k) - 1, 1) * last
    return condition ** -(i / last)


def random_isometry(m: int, k: int, rng: Rng, dtype: torch.dtype) -> Tensor:
    """Return an m × k matrix with orthonormal columns, uniformly distributed (QR with phases made positive)."""
    q, r = torch.linalg.qr(rng.normal((m, k), dtype))
    diagonal = r.diagonal()
    return q * (diagonal / diagonal.abs())
