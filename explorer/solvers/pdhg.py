"""Primal–dual hybrid gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import axpy, clone, scale
from explorer.operators.base import LinearOperator
from explorer.priors.base import SPLITS, Prior
from explorer.solvers.steps import Step


@solver(
    "PDHG (Chambolle–Pock)",
    papers=[
        "Chambolle & Pock 2011: A first-order primal-dual algorithm for convex problems with applications to imaging"
    ],
    solves="map",
    equation=r"\min_x \tfrac12 \|Ax-y\|_2^2 + g(Kx)",
    reports=("residual",),
    per_step={"A": 1, "Aᴴ": 1},
)
def pdhg(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, SPLITS],
    x0: Tensor | None = None,
    *,
    balance: Annotated[float, Log(1e-3, 1e3, help="primal step in units of 1/‖A‖; the dual ones shrink with it")] = 1.0,
) -> Iterator[Step]:
    """Primal–dual steps with both A and K on the dual side, so that only products and cheap proximal maps are needed.

    The dual steps are ``σ_A = 1/(2τ‖A‖²)`` and ``σ_K = 1/(2τ‖K‖²)``, hence ``τ (σ_A‖A‖² + σ_K‖K‖²) = 1``, with the
    primal step ``τ = balance/‖A‖``: any scale of x, y or the prior gives the same iterates up to that scale.
    A is linear, so that the extrapolated residual needs no product.
    """
    X, Y, K = A.domain, A.codomain, prior.operator
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = -y if x0 is None else A(x) - y
    u, v = Y.zeros(Y.batch(y)), K.codomain.zeros(Y.batch(y))
    norm_a, norm_k = A.norm(), K.norm()
    tau = balance / norm_a
    sigma_a, sigma_k = 1 / (2 * tau * norm_a**2), 1 / (2 * tau * norm_k**2)
    while True:
        x_old, r_old = x, r
        x = axpy(-tau, A.adjoint(u) + K.adjoint(v), x)
        r = A(x) - y
        # at x̄ = 2x − x_old the residual is 2r − r_old
        u = scale(1 / (1 + sigma_a), axpy(sigma_a, axpy(1.0, r - r_old, r), u))
        v = prior.dual_prox(axpy(sigma_k, K(axpy(1.0, x - x_old, x)), v), sigma_k)
        yield Step(x, residual=Y.norm(r))
