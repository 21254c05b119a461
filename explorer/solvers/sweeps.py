"""What methods share that sweep over equations: where they are, and the triangles that do many equations at once.

Doing q equations one after the other, each with what the others before it have changed, is a triangular solve with
their mutual coupling; so a sweep takes a few products with groups of rows instead of one operation a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.linalg import clone
from explorer.operators.base import LinearOperator
from explorer.solvers.steps import Step

#: equations in a group, whose coupling is a dense triangle
GROUP = 256


class Sweeps:
    """Iterate and residual of ``A x = y``; samples whose residual is rounding stay where they are."""

    def __init__(self, A: LinearOperator, y: Tensor, x0: Tensor | None) -> None:
        self.A, self.y = A, y
        self.x = A.domain.zeros(A.codomain.batch(y)) if x0 is None else clone(x0)
        self.r = y if x0 is None else y - A(x0)
        self.data2, self.residual2 = A.codomain.norm2(y), A.codomain.norm2(self.r)

    def moving(self) -> Tensor:
        """Return 1 for the samples that still move, 0 for the others."""
        return (self.residual2 > self.A.domain.eps**2 * self.data2).to(self.residual2.dtype)

    def move(self, x: Any) -> Step:
        """Go to `x` and return the step."""
        self.x, self.r = x, self.y - self.A(x)
        self.residual2 = self.A.codomain.norm2(self.r)
        return Step(x, residual=self.residual2.sqrt())


def groups(length: int, width: int, device: Any) -> tuple[Tensor, ...]:
    """Return runs of indices into a first dimension of `length`, of about :data:`GROUP` entries if each has `width`."""
    return torch.arange(length, device=device).split(max(1, GROUP // max(width, 1)))


def triangle(coupling: Tensor, relaxation: float, upper: bool = False) -> Tensor:
    """Return ``D/ω`` plus what is strictly below (or above) the diagonal; 1 where that is zero, as of empty rows."""
    diagonal = coupling.diagonal() / relaxation
    diagonal = torch.where(diagonal.abs() > 0, diagonal, 1)
    return torch.diag(diagonal) + (coupling.triu(1) if upper else coupling.tril(-1))


def substitute(matrix: Tensor, r: Tensor, upper: bool = False) -> Tensor:
    """Solve with a triangle for every sample of `r`, whose last dimensions are one group."""
    flat = r.reshape(-1, len(matrix))
    return torch.linalg.solve_triangular(matrix.mT, flat, upper=not upper, left=False).reshape(r.shape)
