"""Primal–dual hybrid gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Capability, Help, Log, SpecError, solver
from explorer.linalg import Blocks, axpy, clone, scale
from explorer.operators.base import LinearOperator
from explorer.priors.base import SPLITS, Prior
from explorer.solvers.steps import Step

GRAM_SVD = Capability("an operator whose AᴴA structure diagonalises", lambda A: A.has_gram_svd)


@solver(
    "PDHG (Chambolle–Pock)",
    papers=[
        "Chambolle & Pock 2011: A first-order primal-dual algorithm for convex problems with applications to imaging"
    ],
    solves="map",
    equation=r"\min_x \tfrac12 \|Ax-y\|_2^2 + g(Kx)",
    reports=("residual",),
    per_step={"A": 1, "Aᴴ": 1},
    works="Priors g(K x) where neither A nor K can be inverted, such as total variation.",
    fails="With a bad balance of its two steps it crawls.",
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


@solver(
    "Accelerated PDHG",
    papers=[
        "Chambolle & Pock 2011: A first-order primal-dual algorithm for convex problems with applications to imaging"
    ],
    solves="map_sublinearly",
    equation=r"\theta_k = (1 + 2\gamma\tau_k)^{-1/2},\quad \tau_{k+1} = \theta_k\tau_k,\quad "
    r"\sigma_{k+1} = \sigma_k/\theta_k",
    reports=("residual", "step_size"),
    per_step={"A": 1},
    works="Operators without a null space, such as the identity of denoising: faster there than PDHG.",
    fails="Operators with a null space: nothing is gained over PDHG there.",
)
def accelerated_pdhg(
    A: Annotated[LinearOperator, GRAM_SVD],
    y: Tensor,
    prior: Annotated[Prior, SPLITS],
    x0: Tensor | None = None,
    *,
    balance: Annotated[float, Log(1e-3, 1e3, unit="1/‖A‖²", help="first primal step τ")] = 1.0,
) -> Iterator[Step]:
    """Algorithm 2 of the paper: steps that shrink on the side that is strongly convex, with a gap of order 1/k².

    The misfit is taken by its proximal map, from the decomposition of AᴴA, and γ is the least eigenvalue of that: 1
    for denoising. Where A has a null space γ = 0, and steps keep their length.
    """
    X, Y, K = A.domain, A.codomain, prior.operator
    gram, back, norm_k = A.gram_svd(), A.adjoint(y), K.norm()
    convexity = gram.s.amin() if gram.s.numel() == X.size else torch.zeros_like(norm_k)
    tau = balance / gram.s.amax()
    sigma = 1 / (tau * norm_k**2)
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    k_bar, v = K(x), K.codomain.zeros(Y.batch(y))
    k_x = k_bar
    while True:
        v = prior.dual_prox(axpy(sigma, k_bar, v), sigma)
        w = axpy(tau, back - K.adjoint(v), x)
        lost = tau * gram.s / (1 + tau * gram.s)
        x = w - gram.V(lost * gram.V.adjoint(w))
        theta = (1 + 2 * convexity * tau).rsqrt()
        tau, sigma = theta * tau, sigma / theta
        k_old, k_x = k_x, K(x)
        k_bar = axpy(theta, k_x - k_old, k_x)
        yield Step(x, residual=Y.norm(A(x) - y), step_size=tau)


#: ratio of the two residuals that sets off a change of the steps, its first size, and what is left of it each time
RATIO, CHANGE, FADING = 1.5, 0.5, 0.95


@solver(
    "Adaptive PDHG",
    papers=["Goldstein, Li & Yuan 2015: Adaptive primal-dual splitting methods for statistical learning and imaging"],
    solves="map",
    equation=r"p_k = \tfrac{x_{k-1}-x_k}{\tau} - K^*(u_{k-1}-u_k),\quad "
    r"d_k = \tfrac{u_{k-1}-u_k}{\sigma} + K(x_k-x_{k-1})",
    reports=("residual", "step_size"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Priors g(K x) where the right balance of PDHG's two steps is unknown: it finds its own.",
    fails="Its changes fade, so later imbalance stays; ill-conditioned operators remain as slow as with PDHG.",
)
def adaptive_pdhg(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, SPLITS],
    x0: Tensor | None = None,
    *,
    balance: Annotated[float, Log(1e-6, 1e6, unit="1/‖A‖²", help="first primal step τ")] = 1.0,
) -> Iterator[Step]:
    """PDHG whose primal and dual steps are kept in balance: the side with the larger residual gets the longer step.

    Each sample has steps of its own, whose product stays the same; changes fade, which is what makes it converge.
    Residuals are compared in the units of the data, ``‖p‖/‖A‖`` and ``‖d‖``, and cost no further products. `step_size`
    is τ.
    """
    X, Y, K = A.domain, A.codomain, prior.operator
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r, k_x = (-y if x0 is None else A(x) - y), K(x)
    u, v = Y.zeros(Y.batch(y)), K.codomain.zeros(Y.batch(y))
    norm_a2, norm_k2 = A.norm() ** 2, K.norm() ** 2
    one = torch.ones_like(Y.norm(y))
    tau, change = one * balance / norm_a2, one * CHANGE
    pull = X.zeros(Y.batch(y))
    primal2 = dual2 = torch.zeros_like(one)
    while True:
        longer = primal2 > RATIO**2 * dual2
        shorter = dual2 > RATIO**2 * primal2
        tau = torch.where(longer, tau / (1 - change), torch.where(shorter, tau * (1 - change), tau))
        change = torch.where(longer | shorter, FADING * change, change)
        sigma_a, sigma_k = 1 / (2 * tau * norm_a2), 1 / (2 * tau * norm_k2)
        x_old, r_old, k_old, u_old, v_old, pull_old = x, r, k_x, u, v, pull
        x = axpy(-tau, pull, x)
        r, k_x = A(x) - y, K(x)
        u = scale(1 / (1 + sigma_a), axpy(sigma_a, axpy(1.0, r - r_old, r), u))
        v = prior.dual_prox(axpy(sigma_k, axpy(1.0, k_x - k_old, k_x), v), sigma_k)
        pull = A.adjoint(u) + K.adjoint(v)
        primal2 = X.norm2(scale(1 / tau, x_old - x) - (pull_old - pull)) / norm_a2
        dual2 = Y.norm2(axpy(1.0, r - r_old, scale(1 / sigma_a, u_old - u)))
        dual_k2 = K.codomain.norm2(axpy(1.0, k_x - k_old, scale(1 / sigma_k, v_old - v)))
        dual2 = dual2 + norm_a2 / norm_k2 * dual_k2
        yield Step(x, residual=Y.norm(r), step_size=tau)


@solver(
    "Condat–Vũ",
    name="condat_vu",
    papers=[
        "Condat 2013: A primal-dual splitting method for convex optimization involving Lipschitzian, proximable and "
        "linear composite terms",
        "Vũ 2013: A splitting algorithm for dual monotone inclusions involving cocoercive operators",
    ],
    solves="map",
    equation=r"x_{k+1} = \mathrm{prox}_{\tau h}\left(x_k - \tau (A^*(Ax_k-y) + K^*v_k)\right),\quad "
    r"v_{k+1} = \mathrm{prox}_{\sigma g^*}\left(v_k + \sigma K(2x_{k+1} - x_k)\right)",
    reports=("residual",),
    per_step={"A": 1, "Aᴴ": 1},
    works="Priors g(K x) together with a bound x ≥ 0, where A enters by plain gradient steps.",
    fails="Ill-conditioned operators: steps of at most 1/‖A‖² hardly move weak directions.",
)
def condat_vu(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, SPLITS],
    x0: Tensor | None = None,
    *,
    balance: Annotated[float, Log(1e-3, 1e3, unit="‖A‖²/‖K‖²", help="dual step σ; the primal one follows")] = 0.5,
    nonnegative: Annotated[bool, Help("constrain the unknown to x ≥ 0, as a third term h")] = False,
) -> Iterator[Step]:
    """Gradient steps on the misfit, proximal ones on the prior behind K, and a constraint on x itself.

    The steps satisfy ``1/τ − σ‖K‖² = ‖A‖²``, twice what convergence asks for.

    Raises
    ------
    SpecError
        If a complex unknown is to be non-negative.
    """
    X, Y, K = A.domain, A.codomain, prior.operator
    if nonnegative and X.is_complex:
        raise SpecError("a complex unknown has no sign: set nonnegative to False", "solver.params.nonnegative")
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r, k_x, v = (-y if x0 is None else A(x) - y), K(x), K.codomain.zeros(Y.batch(y))
    norm_a2 = A.norm() ** 2
    sigma = balance * norm_a2 / K.norm() ** 2
    tau = 1 / (norm_a2 * (1 + balance))
    while True:
        x = axpy(-tau, A.adjoint(r) + K.adjoint(v), x)
        x = _positive_part(x) if nonnegative else x
        r, k_old, k_x = A(x) - y, k_x, K(x)
        v = prior.dual_prox(axpy(sigma, axpy(1.0, k_x - k_old, k_x), v), sigma)
        yield Step(x, residual=Y.norm(r))


def _positive_part(x: Any) -> Any:
    return x.map(_positive_part) if isinstance(x, Blocks) else x.clamp(min=0)
