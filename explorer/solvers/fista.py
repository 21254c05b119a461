"""Accelerated proximal gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Help, solver
from explorer.linalg import axpy, clone
from explorer.operators.base import LinearOperator
from explorer.priors.base import PROXIMABLE, Prior
from explorer.solvers.steps import Step


@solver(
    "FISTA",
    papers=[
        "Beck & Teboulle 2009: A fast iterative shrinkage-thresholding algorithm for linear inverse problems",
        "O'Donoghue & Candès 2015: Adaptive restart for accelerated gradient schemes",
    ],
    solves="map",
    equation=r"\min_x \tfrac12 \|Ax-y\|_2^2 + R(x)",
    reports=("residual", "objective", "momentum"),
    per_step={"A": 1, "Aᴴ": 1},
    differentiable=True,
)
def fista(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, PROXIMABLE],
    x0: Tensor | None = None,
    *,
    restart: Annotated[bool, Help("forget the momentum where it points uphill")] = False,
) -> Iterator[Step]:
    """Proximal gradient steps of length ``1/‖A‖²`` from an extrapolated point. Out of place.

    A is linear, so that the extrapolated residual needs no product: one A and one Aᴴ a step, and residual and
    objective are those of the iterate itself. With `restart`, momentum is dropped per sample by the gradient test.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = -y if x0 is None else A(x) - y
    step = 1 / A.norm() ** 2
    z, r_z = x, r
    t = torch.ones_like(Y.norm(y))
    while True:
        x_old, r_old = x, r
        x = prior.prox(axpy(-step, A.adjoint(r_z), z), step)
        r = A(x) - y
        if restart:
            t = torch.where(X.inner(z - x, x - x_old).real > 0, 1, t)
        t_old, t = t, (1 + (1 + 4 * t**2).sqrt()) / 2
        momentum = (t_old - 1) / t
        z = axpy(momentum, x - x_old, x)
        r_z = axpy(momentum, r - r_old, r)
        yield Step(x, residual=Y.norm(r), objective=Y.norm2(r) / 2 + prior.value(x), momentum=momentum)
