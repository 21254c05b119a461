"""Dense matrices of few parameters, known for their condition: Hilbert, Cauchy, Vandermonde.

Higham 2002: Accuracy and Stability of Numerical Algorithms, chapters 22 and 28.
Beckermann & Townsend 2017: On the singular values of matrices with displacement structure.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, SpecError, operator
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from explorer.operators.hansen import Signal, dense, index
from explorer.operators.matrix import MAX_ENTRIES

HIGHAM = "Higham 2002: Accuracy and Stability of Numerical Algorithms"

Nodes = Literal["chebyshev", "equispaced"]


@operator(
    "Hilbert matrix",
    name="hilbert",
    papers=[HIGHAM],
    equation=r"A_{ij} = \frac{1}{i + j - 1}",
    works="Lessons on rounding: it arises when a function is fitted by powers on [0, 1].",
    fails="Beyond twelve unknowns or so, double precision is used up: solutions lose every digit.",
)
def hilbert(domain: Signal) -> DenseMatrix:
    """The Gram matrix of the powers on [0, 1]; positive, its condition grows as ``e^{3.5 n}``."""
    i = index(domain)
    made = dense(domain, 1 / (i[:, None] + i - 1), "Hilbert matrix", self_adjoint=True, positive=True)
    made.nonnegative = True
    return made


@operator(
    "Cauchy matrix",
    name="cauchy",
    papers=[HIGHAM, "Beckermann & Townsend 2017: On the singular values of matrices with displacement structure"],
    equation=r"A_{ij} = \frac{1}{t_i + t_j + g}",
    works="Lessons on nearly low rank: the gap says how fast singular values fall.",
    fails="Singular values fall exponentially, so that rounding swallows most of them, the more the larger the gap.",
)
def cauchy(
    domain: Signal, *, gap: Annotated[float, Log(1e-6, 10, help="distance g of the nodes from the poles")] = 0.1
) -> DenseMatrix:
    """Chebyshev nodes t in [0, 1] and poles at −g − t; positive, the worse the further apart they are."""
    t = (1 - chebyshev(domain.size, domain.device)) / 2
    made = dense(domain, 1 / (t[:, None] + t + gap), "Cauchy matrix", self_adjoint=True, positive=True)
    made.nonnegative = True
    return made


@operator(
    "Vandermonde matrix",
    name="vandermonde",
    papers=["Gautschi & Inglese 1988: Lower bounds for the condition number of Vandermonde matrices"],
    equation=r"(Ax)_i = \sum_j x_j t_i^{\,j-1}",
    works="Polynomials of low degree, at more nodes than coefficients.",
    fails="High powers look alike on [−1, 1]: the condition grows exponentially, and their coefficients are noise.",
)
def vandermonde(
    domain: Signal,
    *,
    rows: Annotated[int | None, Log(1, 4096, help="number of nodes; square if not set")] = None,
    nodes: Annotated[Nodes, Help("where on [−1, 1] the polynomial is measured")] = "chebyshev",
) -> DenseMatrix:
    """Values of a polynomial from its coefficients: on the real line, ill-conditioned whatever the nodes."""
    n = domain.size
    m = n if rows is None else rows
    if m * n > MAX_ENTRIES:
        raise SpecError(f"the matrix would have {m} × {n} entries, and at most {MAX_ENTRIES:,} are built: choose fewer")
    t = chebyshev(m, domain.device)
    if nodes == "equispaced":
        t = 1 - torch.arange(m, dtype=torch.float64, device=domain.device) * (2 / max(m - 1, 1))
    powers = t[:, None] ** torch.arange(n, device=domain.device)
    made = DenseMatrix(domain, Space((m,), domain.dtype, domain.device), powers.to(domain.dtype))
    made.title = "Vandermonde matrix"
    return made


def chebyshev(n: int, device: Any = "cpu") -> Tensor:
    """Return the zeros of the Chebyshev polynomial, from 1 to −1, shape ``(n,)``, float64."""
    return torch.cos((torch.arange(n, dtype=torch.float64, device=device) + 0.5) * (math.pi / n))
