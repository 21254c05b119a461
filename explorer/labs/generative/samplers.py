"""Diffusion samplers that invert with a denoiser.

The state at noise level σ is ``z = x + σ n``; with ``a = 1 / (1 + σ²)`` the state of a variance-preserving diffusion is
``√a z``, so that both kinds give the same steps here. Every step asks for Tweedie's estimate x̂, makes it agree with
the data, and goes down to the next level by the DDIM rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, solver
from explorer.linalg import Rng, axpy, safe_divide, scale
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.priors.base import DENOISER, Prior
from explorer.solvers.cgls import cgls
from explorer.solvers.steps import Step

Steps = Annotated[int, Log(2, 10_000, unit="steps", help="number of noise levels")]
Highest = Annotated[float, Log(1e-2, 1e3, help="first noise level, in units of the unknown", degree=1)]
Lowest = Annotated[float, Log(1e-4, 10, help="last noise level, in units of the unknown", degree=1)]
Fresh = Annotated[float, Linear(0, 1, help="share η of fresh noise: 0 deterministic, 1 ancestral")]


def noise_levels(steps: int, highest: float, lowest: float, power: float = 7.0) -> list[float]:
    """Return falling noise levels and a final 0.

    Karras et al. 2022: Elucidating the design space of diffusion-based generative models.
    """
    first, last = highest ** (1 / power), lowest ** (1 / power)
    return [(first + i / max(steps - 1, 1) * (last - first)) ** power for i in range(steps)] + [0.0]


def _noise(space: Any, rng: Rng, batch: tuple[int, ...]) -> Callable[[], Tensor]:
    """Return a source of white noise, one sample a draw of the stream."""
    shape = (*batch[rng.draws is not None :], *space.shape)
    return lambda: rng.normal(shape, space.dtype, space.device)


def _below(x: Tensor, noise: Tensor, level: float, below: float, eta: float, fresh: Callable[[], Tensor]) -> Tensor:
    """Return the state one level down by DDIM: the estimate, the noise of the present state, and fresh noise."""
    amount = eta * below * max(0.0, 1 - (below / level) ** 2) ** 0.5
    return x + (below**2 - amount**2) ** 0.5 * noise + amount * fresh()


@solver(
    "Decomposed diffusion sampler",
    papers=[
        "row 79",
        "Chung, Lee & Ye 2024: Decomposed diffusion sampler for accelerating large-scale inverse problems",
    ],
    equation=r"x = \arg\min_u \gamma \|A u - y\|^2 + \|u - \hat x\|^2 \text{ by M steps of CG}",
    reports=("residual", "level"),
    per_step={"denoise": 1, "A": 6, "Aᴴ": 6},
    homogeneous=False,
    works="Linear operators and a good denoiser: tens of steps, and no derivative of the denoiser.",
    fails="Without a noise norm it fits the noise of the data; what these leave open is made up from the prior.",
)
def decomposed_diffusion(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, DENOISER],
    rng: Rng,
    noise_norm: Tensor | float = 0.0,
    *,
    steps: Steps = 20,
    inner: Annotated[int, Linear(1, 50, unit="steps", help="CG steps M at every level")] = 5,
    trust: Annotated[float, Log(1e-3, 1e3, help="trust in the data; 1 is Bayes' rule for white errors")] = 1.0,
    eta: Fresh = 1.0,
    highest: Highest = 3.0,
    lowest: Lowest = 0.1,
) -> Iterator[Step]:
    """Denoise, then M conjugate gradient steps on ``(γ AᴴA + I) x = γ Aᴴy + x̂`` from x̂, then down one level.

    No derivative of the denoiser is needed. ``γ = trust · σ² / σ_n²`` weighs an error σ of x̂ against the noise σ_n an
    entry of the data. Shifted by x̂ the system is a damped least-squares problem, so that CGLS solves it.
    """
    X, Y = A.domain, A.codomain
    sigma2 = torch.as_tensor(noise_norm, dtype=real_dtype(X.dtype), device=X.device) ** 2 / Y.size
    fresh = _noise(X, rng, Y.batch(y))
    levels = noise_levels(steps, highest, lowest)
    z = levels[0] * fresh()
    for level, below in pairwise(levels):
        estimate = prior.denoise(z, level)
        shift = cgls(A, y - A(estimate), damping=sigma2 / (trust * level**2))
        *_, last = islice(shift, inner)
        x = estimate + last.x
        yield Step(x, residual=last.scalars["residual"], level=level)
        z = _below(x, (z - estimate) / level, level, below, eta, fresh)


@solver(
    "Gradient-guided diffusion",
    papers=["Chung et al. 2023: Diffusion posterior sampling for general noisy inverse problems"],
    equation=r"z \leftarrow \mathrm{DDIM}(z) - \zeta (1 + \sigma^2) \nabla_z \|A \hat x(z) - y\|",
    reports=("residual", "level"),
    per_step={"denoise": 1, "denoiseᴴ": 1, "A": 1, "Aᴴ": 1},
    homogeneous=False,
    works="Any linear operator and a denoiser that can be differentiated; the noise level need not be known.",
    fails="Hundreds of steps; with too small a guidance ζ it neglects the data, with too large a one it is unstable.",
)
def gradient_guided_diffusion(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, DENOISER],
    rng: Rng,
    *,
    steps: Steps = 1000,
    guidance: Annotated[float, Log(1e-3, 1e2, help="step length ζ along the normalised gradient")] = 0.3,
    eta: Fresh = 1.0,
    highest: Highest = 20.0,
    lowest: Lowest = 0.1,
) -> Iterator[Step]:
    """Ancestral sampling with a step down the gradient of the data misfit, taken through the denoiser.

    The factor ``1 + σ²`` is what a constant step in the variance-preserving state amounts to here.
    """
    X, Y = A.domain, A.codomain
    fresh = _noise(X, rng, Y.batch(y))
    levels = noise_levels(steps, highest, lowest)
    z = levels[0] * fresh()
    for level, below in pairwise(levels):
        with torch.enable_grad():
            state = z.detach().requires_grad_()
            tracked = prior.denoise(state, level)
        estimate = tracked.detach()
        r = A(estimate) - y
        residual = Y.norm(r)
        direction = scale(safe_divide(torch.ones_like(residual), residual), A.adjoint(r))
        (slope,) = torch.autograd.grad(tracked, state, direction)
        yield Step(estimate, residual=residual, level=level, cost={"denoiseᴴ": 1})
        down = _below(estimate, (z - estimate) / level, level, below, eta, fresh)
        z = axpy(-guidance * (1 + level**2), slope, down)
