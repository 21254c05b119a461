"""Gradient descent for least squares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Linear, SpecError, solver
from explorer.linalg import axpy, clone, safe_divide
from explorer.operators.base import LinearOperator
from explorer.solvers.bidiagonal import log_lost
from explorer.solvers.rounding import settled
from explorer.solvers.steps import Step


@solver(
    "Landweber",
    papers=["Landweber 1951: An iteration formula for Fredholm integral equations of the first kind"],
    solves="least_squares",
    equation=r"x_{k+1} = x_k + \tfrac{\omega}{\|A\|^2} A^*(y - A x_k)",
    reports=("residual", "gradient"),
    on_request=("iterated", "inner", "log_lost"),
    per_step={"A": 1, "Aᴴ": 1},
    shrinks="step_size",
    filter=lambda s, k, norm, knobs: 1 - (1 - knobs["step_size"] * (s / norm) ** 2) ** k,
    differentiable=True,
    works="Any linear operator; so slow that a step more or less does no harm.",
    fails="Hundreds of steps and more where CGLS takes ten; it diverges with a step of 2 / ‖A‖² or more.",
)
def landweber(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    details: bool = False,
    probe: Tensor | None = None,
    *,
    step_size: Annotated[float, Linear(0.01, 1.95, unit="1/‖A‖²", help="step ω; it converges below 2")] = 1.0,
) -> Iterator[Step]:
    """Gradient descent on ``½ ‖Ax − y‖²`` with a constant step; the number of steps regularises. Out of place.

    After k steps from zero the filter factors are ``1 − (1 − ω σ² / ‖A‖²)^k``. The norm is computed once at the start.
    With `details` every step looks at the next one, for the monotone error rule. With a `probe` it tells what the
    evidence needs, for which the determinant of ``I − ω AAᴴ / ‖A‖²`` is estimated at the start.

    Raises
    ------
    SpecError
        If there is a `probe` and ω is not below 1, where a direction is filtered by 1 or more.
    """
    X, Y = A.domain, A.codomain
    if probe is not None and step_size >= 1:
        raise SpecError(f"is {step_size:g}, and evidence needs filter factors below 1: lower it", "step_size")
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = y if x0 is None else y - A(x)
    data2, residual2, norm2 = Y.norm2(y), Y.norm2(r), A.norm() ** 2
    ahead: Tensor | None = None
    start, k = r, 0
    shrinks = None if probe is None else log_lost(A, probe, lambda squares: step_size / norm2 * squares)
    while True:
        g = A.adjoint(r) if ahead is None else ahead
        gradient2 = X.norm2(g)
        frozen = settled(gradient2, residual2, norm2, data2, X.eps)
        x = axpy(torch.where(frozen, 0, step_size / norm2), g, x)
        r = y - A(x)
        residual2 = Y.norm2(r)
        told: dict[str, Any] = {"residual": residual2.sqrt(), "gradient": gradient2.sqrt()}
        k += 1
        if shrinks is not None:
            told |= {"inner": Y.inner(start, r).real, "log_lost": k * shrinks}
        elif details:  # ⟨r + r⁺, r⟩ / (2 ‖r‖) with the residual r⁺ = r − ω A g of the next step
            ahead = A.adjoint(r)
            told["iterated"] = safe_divide(residual2 - step_size / (2 * norm2) * X.norm2(ahead), residual2.sqrt())
        yield Step(x, **told)
