"""Gradient descent with momentum for least squares: heavy ball, Nesterov, Chebyshev."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, solver
from explorer.linalg import axpy, clone
from explorer.operators.base import LinearOperator
from explorer.solvers.rounding import settled
from explorer.solvers.steps import Step


class _Descent:
    """Iterate, residual and gradient of ``½ ‖Ax − y‖²``, and where rounding leaves nothing to descend."""

    def __init__(self, A: LinearOperator, y: Tensor, x0: Tensor | None) -> None:
        self.A, self.y = A, y
        self.x = A.domain.zeros(A.codomain.batch(y)) if x0 is None else clone(x0)
        self.r = y if x0 is None else y - A(x0)
        self.data2, self.norm2 = A.codomain.norm2(y), A.norm() ** 2
        self.residual2 = A.codomain.norm2(self.r)
        self.gradient2 = torch.zeros_like(self.residual2)

    def gradient(self) -> tuple[Any, Tensor]:
        """Return ``Aᴴ r``, and 1 for the samples that still move, 0 for the others."""
        g = self.A.adjoint(self.r)
        self.gradient2 = self.A.domain.norm2(g)
        frozen = settled(self.gradient2, self.residual2, self.norm2, self.data2, self.A.domain.eps)
        return g, (~frozen).to(self.residual2.dtype)

    def move(self, x: Any) -> Step:
        """Go to `x` and return the step."""
        self.x, self.r = x, self.y - self.A(x)
        self.residual2 = self.A.codomain.norm2(self.r)
        return Step(x, residual=self.residual2.sqrt(), gradient=self.gradient2.sqrt())


def _heavy_ball_filter(s: np.ndarray, k: int, norm: float, knobs: Mapping[str, Any]) -> np.ndarray:
    before = left = np.ones_like(s)
    for _ in range(k):
        gained = (1 - knobs["step_size"] * (s / norm) ** 2) * left + knobs["momentum"] * (left - before)
        before, left = left, gained
    return 1 - left


@solver(
    "Heavy ball",
    papers=["Polyak 1964: Some methods of speeding up the convergence of iteration methods"],
    solves="least_squares",
    equation=r"x_{k+1} = x_k + \tfrac{\omega}{\|A\|^2} A^*(y - A x_k) + \beta\,(x_k - x_{k-1})",
    reports=("residual", "gradient"),
    per_step={"A": 1, "Aᴴ": 1},
    filter=_heavy_ball_filter,
    differentiable=True,
    works="Smooth objectives of known curvature.",
    fails="With a momentum that does not fit the spectrum it swings, or is no faster than gradient descent.",
)
def heavy_ball(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    step_size: Annotated[float, Linear(0.01, 1.95, unit="1/‖A‖²", help="step ω; it converges below 2 (1 + β)")] = 1.0,
    momentum: Annotated[float, Linear(0, 0.999, help="share β of the last move that goes on")] = 0.5,
) -> Iterator[Step]:
    """Gradient descent in which a share of the last move goes on. Out of place.

    With ``ω = (2/(1 + √κ⁻¹))²`` and ``β = ((√κ − 1)/(√κ + 1))²`` the error falls by ``(√κ − 1)/(√κ + 1)`` a step, as
    with Chebyshev's method; without momentum it is Landweber's.
    """
    d = _Descent(A, y, x0)
    move = d.x - d.x
    while True:
        g, moving = d.gradient()
        move = axpy(moving * momentum, move, axpy(moving * (step_size / d.norm2), g, d.x) - d.x)
        yield d.move(d.x + move)


def _nesterov_filter(s: np.ndarray, k: int, norm: float, knobs: Mapping[str, Any]) -> np.ndarray:  # noqa: ARG001
    left = ahead = np.ones_like(s)
    for j in range(1, k + 1):
        before, left = left, (1 - (s / norm) ** 2) * ahead
        ahead = left + (j - 1) / (j + 2) * (left - before)
    return 1 - left


@solver(
    "Nesterov",
    papers=["Nesterov 1983: A method of solving a convex programming problem with convergence rate O(1/k²)"],
    solves="least_squares",
    equation=r"x_{k+1} = z_k + \tfrac{1}{\|A\|^2} A^*(y - A z_k),\quad z_k = x_k + \beta_k (x_k - x_{k-1})",
    reports=("residual", "gradient"),
    per_step={"A": 1, "Aᴴ": 1},
    filter=_nesterov_filter,
    differentiable=True,
    works="Smooth objectives: far fewer steps than gradient descent.",
    fails="Run on, it fits the noise, and sooner than plain gradient steps.",
)
def nesterov(A: LinearOperator, y: Tensor, x0: Tensor | None = None) -> Iterator[Step]:
    """Gradient descent from an extrapolated point, with momentum ``β_k = (k − 1)/(k + 2)``. Out of place.

    A is linear, so that the extrapolated residual needs no product.
    """
    d = _Descent(A, y, x0)
    z, r_z, k = d.x, d.r, 1
    while True:
        x, r = d.x, d.r
        d.r = r_z
        g, moving = d.gradient()
        step = d.move(axpy(moving / d.norm2, g, axpy(moving, z - x, x)))
        beta = moving * ((k - 1) / (k + 2))
        z, r_z = axpy(beta, d.x - x, d.x), axpy(beta, d.r - r, d.r)
        k += 1
        yield step


def _chebyshev_filter(s: np.ndarray, k: int, norm: float, knobs: Mapping[str, Any]) -> np.ndarray:
    low = knobs["lower"]
    centre, half = (1 + low) / 2, (1 - low) / 2
    at = lambda t: np.cosh(k * np.arccosh(np.maximum(t, 1))) if np.ndim(t) == 0 else _chebyshev(k, t)  # noqa: E731
    return 1 - at((centre - (s / norm) ** 2) / half) / at(centre / half)


def _chebyshev(k: int, t: np.ndarray) -> np.ndarray:
    inside = np.cos(k * np.arccos(np.clip(t, -1, 1)))
    return np.where(np.abs(t) <= 1, inside, np.sign(t) ** k * np.cosh(k * np.arccosh(np.maximum(np.abs(t), 1))))


@solver(
    "Chebyshev semi-iteration",
    papers=[
        "Golub & Varga 1961: Chebyshev semi-iterative methods, successive overrelaxation iterative methods, and second "
        "order Richardson iterative methods"
    ],
    solves="least_squares",
    equation=r"1 - \lambda p_k(\lambda) = T_k\!\left(\tfrac{b + a - 2\lambda}{b - a}\right) \big/ "
    r"T_k\!\left(\tfrac{b + a}{b - a}\right),\quad x_k = p_k(A^*A) A^* y",
    reports=("residual", "gradient"),
    per_step={"A": 1, "Aᴴ": 1},
    filter=_chebyshev_filter,
    differentiable=True,
    works="Operators whose spectrum has known ends.",
    fails="With a wrong end it diverges or crawls.",
)
def chebyshev(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    lower: Annotated[
        float, Log(1e-12, 0.99, unit="‖A‖²", help="lower end a of the eigenvalues of AᴴA aimed at")
    ] = 1e-2,
) -> Iterator[Step]:
    """The polynomial that is least on all of an interval of eigenvalues [a, ‖A‖²]. Out of place.

    No inner products: the coefficients depend on the interval alone. Smaller eigenvalues than a converge slowly, which
    regularises.
    """
    d = _Descent(A, y, x0)
    centre, half = d.norm2 * ((1 + lower) / 2), d.norm2 * ((1 - lower) / 2)
    move, ratio = d.x - d.x, half / centre
    first = True
    while True:
        g, moving = d.gradient()
        if first:
            move, first = axpy(moving / centre, g, move), False
        else:
            following = 1 / (2 * centre / half - ratio)
            scaled = axpy(moving * (2 * following / half), g, d.x) - d.x
            move = axpy(moving * (following * ratio), move, scaled)
            ratio = following
        yield d.move(d.x + move)
