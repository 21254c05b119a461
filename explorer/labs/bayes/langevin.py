"""Langevin samplers."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, solver
from explorer.linalg import Rng, axpy, safe_divide, scale
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.priors.base import DIFFERENTIABLE, Prior
from explorer.solvers.steps import Draw


@solver(
    "Unadjusted Langevin algorithm",
    papers=[
        "Roberts & Tweedie 1996: Exponential convergence of Langevin distributions and their discrete approximations",
        "Durmus & Moulines 2019: High-dimensional Bayesian inference via the unadjusted Langevin algorithm",
    ],
    equation=r"x \leftarrow x - \tau \nabla f(x) + \sqrt{2 \tau}\, \sigma n,\quad f(x) = \tfrac12 \|Ax-y\|_2^2 + R(x)",
    reports=("energy",),
    per_step={"A": 1, "Aᴴ": 1},
    solves="posterior",
    works="Where the spread of the answer is wanted as well as its mean.",
    fails="Long steps bias the spread, and short ones need very many draws.",
)
def unadjusted_langevin(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, DIFFERENTIABLE],
    rng: Rng,
    noise_norm: Tensor | float,
    x0: Tensor | None = None,
    *,
    chains: Annotated[int, Linear(1, 256, help="number of independent chains")] = 4,
    step_size: Annotated[float, Log(1e-3, 1.9, help="step τ in units of 1 / L, L the Lipschitz constant of ∇f")] = 0.5,
) -> Iterator[Draw]:
    """Gradient steps with noise: chains that draw from the density ``exp(−f(x) / σ²)`` but for a bias of order τ.

    σ is the standard deviation of the noise, so that this is the posterior for Gaussian noise and the prior density
    ``exp(−R(x) / σ²)``, whose mode is the answer of the other solvers with the same weight. For a quadratic f with
    Hessian H the mean is exact and the covariance that of the chains is ``σ² H⁻¹ (I − τ H / 2)⁻¹`` instead of
    ``σ² H⁻¹``. Chains start apart, by white noise as large as the back-projected data divided by ‖A‖².

    Each chain has its own stream, so that it is the same however many run.
    """
    X, Y = A.domain, A.codomain
    batch = Y.batch(y)
    weight = prior.weight
    if isinstance(weight, Tensor) and weight.ndim:  # one weight a sample, in every chain
        prior = copy.copy(prior)
        prior.weight = weight.expand(chains, *batch)
    streams = [rng.fork(f"chain {c}") for c in range(chains)]

    def noise() -> Tensor:
        return torch.stack([X.expand(X.random(stream), batch) for stream in streams])

    norm2 = A.norm() ** 2
    tau = step_size / (norm2 + prior.gradient_lipschitz())
    sigma = torch.as_tensor(noise_norm, dtype=real_dtype(X.dtype), device=X.device) / math.sqrt(Y.size)
    kick = ((2 * tau) ** 0.5 * sigma).expand(chains, *batch)
    spread = safe_divide(X.norm(A.adjoint(y)), norm2 * math.sqrt(X.size))
    x = scale(spread.expand(chains, *batch), noise())
    if x0 is not None:
        x = x + x0
    r = A(x) - y
    while True:
        slope = A.adjoint(r) + prior.gradient(x)
        x = axpy(-tau, slope, x) + scale(kick, noise())
        r = A(x) - y
        yield Draw(x, energy=Y.norm2(r) / 2 + prior.value(x))
