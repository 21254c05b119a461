"""Accelerated proximal gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, solver
from explorer.linalg import axpy, clone, where
from explorer.operators.base import LinearOperator
from explorer.priors.base import PROXIMABLE, Prior
from explorer.solvers.steps import Step


@solver(
    "FISTA",
    papers=[
        "Beck & Teboulle 2009: A fast iterative shrinkage-thresholding algorithm for linear inverse problems",
        "Beck & Teboulle 2009: Fast gradient-based algorithms for constrained total variation image denoising and "
        "deblurring problems",
        "O'Donoghue & Candès 2015: Adaptive restart for accelerated gradient schemes",
    ],
    solves="map",
    equation=r"\min_x \tfrac12 \|Ax-y\|_2^2 + R(x)",
    reports=("residual", "objective", "momentum"),
    per_step={"A": 1, "Aᴴ": 1},
    differentiable=True,
    works="Priors whose proximal map is cheap.",
    fails="Operators of large condition number; without restarts the objective can swing.",
)
def fista(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, PROXIMABLE],
    x0: Tensor | None = None,
    *,
    restart: Annotated[bool, Help("forget the momentum where it points uphill")] = False,
    monotone: Annotated[bool, Help("keep the old iterate where the new one raises the objective")] = False,
) -> Iterator[Step]:
    """Proximal gradient steps of length ``1/‖A‖²`` from an extrapolated point. Out of place.

    A is linear, so that the extrapolated residual needs no product: one A and one Aᴴ a step, and residual and
    objective are those of the iterate itself. With `restart`, momentum is dropped per sample by the gradient test.
    With `monotone`, a step that raises a sample's objective moves the extrapolated point only; where the objective is
    flat to rounding, x is then found to the root of the rounding unit.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = -y if x0 is None else A(x) - y
    step = 1 / A.norm() ** 2
    z, r_z = x, r
    t = torch.ones_like(Y.norm(y))
    lowest = Y.norm2(r) / 2 + prior.value(x) if monotone else None
    while True:
        x_old, r_old = x, r
        x = prior.prox(axpy(-step, A.adjoint(r_z), z), step)
        r = A(x) - y
        if restart:
            t = torch.where(X.inner(z - x, x - x_old).real > 0, 1, t)
        t_old, t = t, (1 + (1 + 4 * t**2).sqrt()) / 2
        momentum = (t_old - 1) / t
        objective = Y.norm2(r) / 2 + prior.value(x)
        tried, r_tried = x, r
        if lowest is not None:
            better = objective <= lowest
            x, r = where(better, x, x_old), where(better, r, r_old)
            objective = lowest = torch.where(better, objective, lowest)
        z = axpy(momentum, x - x_old, x)
        r_z = axpy(momentum, r - r_old, r)
        if lowest is not None:
            z, r_z = axpy(t_old / t, tried - x, z), axpy(t_old / t, r_tried - r, r_z)
        yield Step(x, residual=Y.norm(r), objective=objective, momentum=momentum)


#: factor by which a step length of greedy FISTA shrinks, as in the paper
SHRINK = 0.96


@solver(
    "Greedy FISTA",
    papers=[
        "Liang, Luo & Schönlieb 2022: Improving fast iterative shrinkage-thresholding algorithm: Faster, smarter, and "
        "greedier"
    ],
    solves="map",
    equation=r"x_{k+1} = \mathrm{prox}_{\tau R}\left(z_k - \tau A^*(A z_k - y)\right),\quad z_k = 2x_k - x_{k-1}",
    reports=("residual", "objective", "step_size"),
    per_step={"A": 1, "Aᴴ": 1},
    differentiable=True,
    works="Priors of cheap proximal map and ill-conditioned operators: fewer steps than FISTA with restarts.",
    fails="The objective can rise between restarts, no rate of order 1/k² is proved, and total variation is dear.",
)
def greedy_fista(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, PROXIMABLE],
    x0: Tensor | None = None,
    *,
    step_size: Annotated[float, Linear(1, 1.3, unit="1/‖A‖²", help="first step τ; it shrinks where it must")] = 1.2,
) -> Iterator[Step]:
    """FISTA with full momentum from the start, steps above ``1/‖A‖²``, and a restart wherever it goes uphill.

    The safeguard: a step longer than the first one shortens τ towards ``1/‖A‖²``, for each sample by itself. From
    ``4/3/‖A‖²`` on full momentum is unstable, and restarts alone may then end in a cycle. Out of place.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = -y if x0 is None else A(x) - y
    least = 1 / A.norm() ** 2
    z, r_z, first = x, r, None
    step = step_size * least * torch.ones_like(Y.norm(y))
    while True:
        x_old, r_old = x, r
        x = prior.prox(axpy(-step, A.adjoint(r_z), z), step)
        r = A(x) - y
        change = x - x_old
        length2 = X.norm2(change)
        first = length2 if first is None else first
        momentum = (X.inner(z - x, change).real < 0).to(step.dtype)
        step = torch.where(length2 > first, torch.maximum(SHRINK * step, least), step)
        z, r_z = axpy(momentum, change, x), axpy(momentum, r - r_old, r)
        yield Step(x, residual=Y.norm(r), objective=Y.norm2(r) / 2 + prior.value(x), step_size=step)
