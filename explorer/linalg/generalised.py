"""The generalised singular value decomposition of two small matrices.

Van Loan 1976: Generalizing the singular value decomposition;
Paige & Saunders 1981: Towards a generalized singular value decomposition.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: units of rounding below which a matrix is taken not to see a pattern
ROUNDING = 10


class Generalised(NamedTuple):
    """``A X = U diag(c)`` and ``L X = V diag(s)`` with ``c² + s² = 1``, c descending.

    Attributes
    ----------
    U : Tensor
        Orthonormal columns, those of c = 0 zero where there are too few rows; shape ``(m, k)``.
    c, s : Tensor
        Shape ``(k,)``; s is 0 where L sees nothing of a pattern beyond rounding.
    X : Tensor
        Patterns as columns, shape ``(n, k)``.
    hidden : int
        Number n − k of patterns that neither sees.
    """

    U: Tensor
    c: Tensor
    s: Tensor
    X: Tensor
    hidden: int


def generalised_svd(A: Tensor, L: Tensor) -> Generalised:
    """Return the generalised singular value decomposition of A, ``m × n``, and L, ``p × n``, in double precision.

    From ``[A; L] = Q R`` and the decomposition of the upper block of Q; s comes from the lower block, without
    cancellation.
    """
    A, L = A.double(), L.double()
    norms = torch.linalg.matrix_norm(A, 2), torch.linalg.matrix_norm(L, 2)
    weight = norms[0] / torch.where(norms[1] > 0, norms[1], 1.0)  # so that neither hides the other from rounding
    u, d, vh = torch.linalg.svd(torch.cat((A, weight * L)), full_matrices=False)
    eps = ROUNDING * torch.finfo(torch.float64).eps * max(A.shape[0] + L.shape[0], A.shape[1])
    kept = d > eps * d[0]
    u, d, vh = u[:, kept], d[kept], vh[kept]
    U, c, wh = torch.linalg.svd(u[: len(A)], full_matrices=A.shape[0] < u.shape[1])
    c = torch.cat((c, c.new_zeros(len(wh) - len(c)))).clamp(max=1)
    U = torch.cat((U, U.new_zeros(len(U), len(wh) - U.shape[1])), 1)
    s = torch.linalg.vector_norm(u[len(A) :] @ wh.mH, dim=0)
    s = torch.where(s <= eps, 0.0, s)
    # undo the weight: A X = U c and L X = V s / weight, then scale so that c² + s² = 1
    scale = torch.hypot(c, s / weight)
    X = (wh @ (vh / d[:, None])).mT / scale
    return Generalised(U, c / scale, s / weight / scale, X, int((~kept).sum()))
