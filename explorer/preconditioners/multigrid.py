"""Multigrid."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, preconditioner
from explorer.linalg import Space, safe_divide
from explorer.operators.base import LinearOperator
from explorer.operators.gradient import Gradient
from explorer.operators.sobolev import Boundary
from explorer.operators.transforms import Diagonalized
from explorer.preconditioners.diagonal import System, positive_system
from explorer.preconditioners.matrices import Inverse
from explorer.preconditioners.transforms import Shift, middle

#: below this length of a side the equation is solved by a fast transform
_COARSEST = 4
#: damping of Jacobi's smoother; below 1 it converges for the Laplacian in any dimension
_DAMPING = 0.8


class _Grid:
    """``f (−Δ) + μ`` on cells of one size, with the prolongation from the next coarser ones."""

    _movable = True

    def __init__(self, domain: Space, periodic: bool, factor: float, mu: float) -> None:
        self.domain, self.factor, self.mu = domain, factor, mu
        self.laplacian = Gradient(domain, periodic=periodic)
        diagonal = factor * self.laplacian.gram_diagonal() + mu
        self.smoother = safe_divide(torch.full_like(diagonal, _DAMPING), diagonal)
        self.coarsest = min(domain.shape) <= _COARSEST or (periodic and any(n % 2 for n in domain.shape))
        self.prolongations = [] if self.coarsest else [_linear(n, periodic, domain) for n in domain.shape]

    def apply(self, x: Tensor) -> Tensor:
        return self.factor * self.laplacian._adjoint(self.laplacian._forward(x)) + self.mu * x

    def solve(self, b: Tensor) -> Tensor:
        gram = self.laplacian.gram_svd()
        values = self.factor * gram.s + self.mu
        return Diagonalized(gram.V.H, safe_divide(torch.ones_like(values), values))._forward(b)

    def restrict(self, r: Tensor) -> Tensor:
        for axis, P in enumerate(self.prolongations, -self.domain.ndim):
            r = (r.movedim(axis, -1) @ P).movedim(-1, axis)
        return r

    def prolong(self, e: Tensor) -> Tensor:
        for axis, P in enumerate(self.prolongations, -self.domain.ndim):
            e = (e.movedim(axis, -1) @ P.mT).movedim(-1, axis)
        return e


def _linear(n: int, periodic: bool, domain: Space) -> Tensor:
    """Return linear interpolation from ``⌈n/2⌉`` cells to n: ¾ of the cell that holds it, ¼ of the next one."""
    m = (n + 1) // 2
    i = torch.arange(n, device=domain.device)
    near, far = i // 2, i // 2 + 2 * (i % 2) - 1
    far = far.remainder(m) if periodic else far.clamp(0, m - 1)
    cells = torch.arange(m, device=domain.device)
    made = 0.75 * (near[:, None] == cells) + 0.25 * (far[:, None] == cells)
    return made.to(domain.dtype)


class _VCycle(Inverse):
    def __init__(self, H: LinearOperator, periodic: bool, shift: float, smoothing: int) -> None:
        super().__init__(H)
        self.smoothing = smoothing
        d, domain = H.domain.ndim, H.domain
        factor, mu = 1.0, shift * 4 * d
        self.grids = [_Grid(domain, periodic, factor, mu)]
        while not self.grids[-1].coarsest:
            domain = Space(tuple((n + 1) // 2 for n in domain.shape), domain.dtype, domain.device)
            factor, mu = factor * 2.0 ** (d - 2), mu * 2.0**d
            self.grids.append(_Grid(domain, periodic, factor, mu))
        self.title = f"a multigrid inverse of {H.title}"

    def _prepare(self) -> Tensor:
        fine = self.grids[0].laplacian
        return safe_divide(fine.gram_diagonal()[tuple(n // 2 for n in self.domain.shape)], middle(self.system))

    def _solve(self, parts: Tensor, x: Tensor) -> Tensor:
        return self._cycle(x.reshape(-1, *self.domain.shape), 0) * parts

    def _cycle(self, b: Tensor, level: int) -> Tensor:
        grid = self.grids[level]
        if grid.coarsest:
            return grid.solve(b)
        x = grid.smoother * b
        for _ in range(self.smoothing - 1):
            x = x + grid.smoother * (b - grid.apply(x))
        x = x + grid.prolong(self._cycle(grid.restrict(b - grid.apply(x)), level + 1))
        for _ in range(self.smoothing):
            x = x + grid.smoother * (b - grid.apply(x))
        return x


@preconditioner(
    "Multigrid V-cycle",
    name="multigrid",
    equation=r"M \approx \tfrac1c (-\Delta + \mu)^{-1}",
    papers=[
        "Brandt 1977: Multi-level adaptive solutions to boundary-value problems",
        "Tatebe 1993: The multigrid preconditioned conjugate gradient method",
    ],
    works="Large grids with a system near Poisson's: the steps hardly grow with the number of pixels.",
    fails="Blurs, and coefficients that jump or favour a direction: its cycle knows the plain Laplacian alone.",
)
def multigrid(
    A: LinearOperator,
    *,
    system: System = "A",
    boundary: Boundary = "neumann",
    shift: Shift = 1e-3,
    smoothing: Annotated[int, Linear(1, 8, unit="steps", help="damped Jacobi steps before and after each grid")] = 1,
) -> LinearOperator:
    """One V-cycle for Poisson's equation: work in proportion to the pixels, however many there are.

    Cells are merged in pairs, corrections are interpolated linearly and residuals summed by its transpose; the same
    number of damped Jacobi steps before and after keeps M self-adjoint and positive. The scale c makes the Laplacian
    answer an impulse in the middle as H does. With periodic borders it goes as deep as the sides are even.
    """
    return _VCycle(positive_system(A, system), boundary == "periodic", shift, smoothing)
