"""Golub–Kahan bidiagonalization, and what it tells of the spectrum of an operator.

Golub & Kahan 1965: Calculating the singular values and pseudo-inverse of a matrix.
Golub & Meurant 1994: Matrices, moments and quadrature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.linalg import safe_inverse
from explorer.operators.base import LinearOperator
from explorer.solvers.projected import Basis, Columns, flattened

#: steps of a quadrature that is made before an iteration starts
STEPS = 30


class Bidiagonal:
    """Golub–Kahan bidiagonalization from a vector of the data space, shape ``(*batch, m)``, orthogonalised in full."""

    def __init__(self, A: LinearOperator, start: Tensor) -> None:
        self.A, (self.of_x, self.of_y) = A, flattened(A)
        self.first = torch.linalg.vector_norm(start, dim=-1)
        self.U = Basis(start)
        self.U.append(safe_inverse(self.first).unsqueeze(-1) * start)
        back = self.of_x(A.adjoint(self.of_y.back(self.U.last)))
        self.V, self.columns = Basis(back), Columns()
        _, self.alpha = self.V.extend(back)

    def extend(self) -> tuple[Tensor, Tensor, Tensor]:
        """Take a step; return the new entries of the bidiagonal matrix, and all of it."""
        diagonal = self.alpha
        _, beta = self.U.extend(self.of_y(self.A(self.of_x.back(self.V.last))))
        _, self.alpha = self.V.extend(self.of_x(self.A.adjoint(self.of_y.back(self.U.last))))
        return diagonal, beta, self.columns.append(torch.stack((diagonal, beta), -1))

    def spectrum(self) -> tuple[Tensor, Tensor, int]:
        """Take a step; return squares of singular values, how many each stands for, and the number of real data.

        Of a start with random signs, ``Σ n_j f(θ_j²)`` estimates the trace of ``f(A Aᴴ)`` where ``f(0) = 0``.
        """
        vectors, values, _ = torch.linalg.svd(self.extend()[2], full_matrices=False)
        size = self.U.array.shape[-1] * (2 if self.U.array.is_complex() else 1)
        return values**2, self.first[..., None] ** 2 * vectors[..., 0, :].abs() ** 2, size


def log_lost(A: LinearOperator, probe: Any, share: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``log det(I − share(A Aᴴ))`` over real numbers, for shares from 0 to below 1 with ``share(0) = 0``.

    Exact where A has a decomposition; elsewhere it is estimated from a vector of random signs.
    """
    shrunk = lambda squares: torch.log1p(-share(squares).clamp(max=1 - 2 * A.domain.eps))  # noqa: E731
    if A.has_svd:
        return (2 if A.domain.is_complex else 1) * shrunk(A.svd().s ** 2).sum()
    beside = Bidiagonal(A, flattened(A)[1](probe))
    for _ in range(min(STEPS, A.domain.size, A.codomain.size)):
        squares, number, _ = beside.spectrum()
    return (number * shrunk(squares)).sum(-1)
