"""Least squares on a growing set of columns of an operator: what greedy methods share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import Capability
from explorer.linalg import Space, safe_divide
from explorer.operators.base import LinearOperator

SINGLE_SPACES = Capability(
    "an operator between single spaces, not products",
    lambda A: isinstance(A.domain, Space) and isinstance(A.codomain, Space),
)
#: units of rounding below which a column depends on those before it
DEPENDENT = 100
#: units of rounding below which the residual is nothing
EXPLAINED = 10


def inverse_norms(A: LinearOperator) -> Tensor:
    """Return one over the norm of each column, flat; 0 for empty ones, and ``1/‖A‖`` for all where none is cheap."""
    norms2 = A.gram_diagonal()
    norms = A.norm().expand(A.domain.size) if norms2 is None else norms2.reshape(-1).sqrt()
    return safe_divide(torch.ones_like(norms), norms)


def units(A: LinearOperator, index: Tensor) -> Tensor:
    """Return the unit vector of each sample's `index`, shape ``(*batch, *domain.shape)``."""
    flat = torch.zeros(*index.shape, A.domain.size, dtype=A.domain.dtype, device=A.domain.device)
    return flat.scatter_(-1, index[..., None], 1).reshape(*index.shape, *A.domain.shape)


class Columns:
    """The columns that each sample has chosen, orthonormalised one after the other: ``A_S = Q R``.

    Parameters
    ----------
    A : LinearOperator
        Between single spaces.
    y : Tensor
        Data, shape ``(*batch, *codomain.shape)``.
    most : int
        Largest number of columns; never more than A has rows or columns.

    Attributes
    ----------
    Q : Tensor
        Orthonormal rows, shape ``(*batch, most, codomain.size)``; zero where a sample took no column.
    coefficients, r, y : Tensor
        The fit in terms of Q, what it leaves of the data, and the data, flat.
    chosen : Tensor
        Boolean, shape ``(*batch, domain.size)``.
    active : Tensor
        Which samples still take columns, shape ``(*batch,)``.
    """

    def __init__(self, A: LinearOperator, y: Tensor, most: int) -> None:
        batch = A.codomain.batch(y)
        self.A, self.y, self.taken = A, y.reshape(*batch, -1), 0
        self.most = min(most, A.domain.size, A.codomain.size)
        self.r, self.scale = self.y, torch.linalg.vector_norm(self.y, dim=-1)
        self.Q = self.y.new_zeros(*batch, self.most, A.codomain.size)
        self.R = torch.eye(self.most, dtype=y.dtype, device=y.device).repeat(*batch, 1, 1)
        self.coefficients = self.y.new_zeros(*batch, self.most)
        self.index = torch.zeros(*batch, self.most, dtype=torch.int64, device=y.device)
        self.chosen = torch.zeros(*batch, A.domain.size, dtype=torch.bool, device=y.device)
        self.active = torch.ones(batch, dtype=torch.bool, device=y.device)

    def correlations(self) -> Tensor:
        """Return ``|a_jᴴ r|`` for every column, flat."""
        r = self.r.reshape(*self.r.shape[:-1], *self.A.codomain.shape)
        return self.A.adjoint(r).reshape(*self.r.shape[:-1], -1).abs()

    def outside(self, v: Tensor) -> Tensor:
        """Return what of the flat data `v` is orthogonal to the columns taken."""
        return _project_out(self.Q[..., : self.taken, :], v)[0]

    def take(self, gain: Tensor, active: Tensor) -> Tensor:
        """Add the column of largest `gain`, one value a column, for the active samples; return that gain.

        A sample for which it would add nothing (``r`` or the new direction is rounding) takes no column from then on.
        """
        k, eps = self.taken, self.A.domain.eps
        best, index = gain.masked_fill(self.chosen, -torch.inf).max(-1)
        self.active = self.active & active & (self.residual() > EXPLAINED * eps * self.scale)
        a = self.A(units(self.A, index)).reshape(self.y.shape)
        q, h = _project_out(self.Q[..., :k, :], a)
        length = torch.linalg.vector_norm(q, dim=-1)
        self.active = self.active & (length > DEPENDENT * eps * torch.linalg.vector_norm(a, dim=-1))
        on = self.active[..., None]
        self.Q[..., k, :] = torch.where(on, safe_divide(q, length[..., None].to(q.dtype)), 0)
        self.R[..., :k, k], self.R[..., k, k] = h, torch.where(self.active, length, 1).to(h.dtype)
        self.index[..., k] = index
        self.chosen = self.chosen.scatter(-1, index[..., None], on)
        self.taken = k + 1
        self.refit()
        return best

    def refit(self) -> None:
        """Least squares: only the newest direction changes the fit."""
        q, k = self.Q[..., self.taken - 1, :], self.taken - 1
        self.coefficients[..., k] = torch.linalg.vecdot(q, self.r)
        self.r = self.r - self.coefficients[..., k, None] * q

    def residual(self) -> Tensor:
        """Return ``‖r‖``."""
        return torch.linalg.vector_norm(self.r, dim=-1)

    def x(self) -> Tensor:
        """Return the fit as an element of the domain."""
        k = self.taken
        z = torch.linalg.solve_triangular(self.R[..., :k, :k], self.coefficients[..., :k, None], upper=True)
        flat = self.y.new_zeros(self.chosen.shape).scatter_add(-1, self.index[..., :k], z[..., 0])
        return flat.reshape(*self.r.shape[:-1], *self.A.domain.shape)


def _project_out(Q: Tensor, v: Tensor) -> tuple[Any, Any]:
    """Return `v` less its part along the orthonormal rows of Q, and that part's coefficients; twice is enough."""
    total = v.new_zeros(Q.shape[:-1])
    for _ in range(2):
        h = (Q.conj() @ v[..., None])[..., 0]
        v = v - (h[..., None, :] @ Q)[..., 0, :]
        total = total + h
    return v, total
