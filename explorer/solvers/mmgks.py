"""Majorisation–minimisation in a generalised Krylov space, for penalties that are not quadratic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from torch import Tensor

from explorer.catalogue import Help, Linear, Log, solver
from explorer.linalg import safe_divide
from explorer.operators.base import Identity, LinearOperator
from explorer.operators.capabilities import ONE_UNKNOWN
from explorer.operators.gradient import Gradient
from explorer.solvers.projected import Basis, Choice, Projected, flattened
from explorer.solvers.steps import Step


@solver(
    "MM-GKS (lq of a gradient)",
    name="mmgks",
    papers=[
        "Huang, Lanza, Morigi, Reichel & Sgallari 2017: Majorization–minimization generalized Krylov subspace methods "
        "for l_p–l_q optimization applied to image restoration",
        "Pasha, Saibaba, Gazzola, Español & de Sturler 2023: A computational framework for edge-preserving "
        "regularization in dynamic inverse problems",
    ],
    equation=r"\min_{x \in \mathcal{V}_k} \|Ax-y\|^2 + \lambda \|W_k^{1/2} \Psi x\|^2,\quad "
    r"w = (|\Psi x|^2 + \varepsilon^2)^{q/2-1}",
    reports=("residual", "regularization"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Large images of flat regions with sharp edges, where λ is to be found on the way.",
    fails="Three vectors a step are kept; below q = 1 it can end in a local minimum, and texture goes.",
)
def mmgks(
    A: Annotated[LinearOperator, ONE_UNKNOWN],
    y: Tensor,
    noise_norm: Tensor | None = None,
    *,
    choice: Choice = "gcv",
    regularization: Annotated[float | Tensor, Log(0, 1e6, help="weight λ, where it is fixed", batched=True)] = 1e-3,
    tau: Annotated[float, Linear(0.5, 5, help="safety factor τ of the discrepancy principle")] = 1.02,
    power: Annotated[float, Linear(0.1, 2, help="q: 1 is total variation, 2 a smooth solution")] = 1.0,
    smoothing: Annotated[float, Log(1e-6, 1, unit="max |Ψx|", help="ε, below which a jump counts as none")] = 1e-2,
    transform: Annotated[Literal["gradient", "entries"], Help("Ψ: what of the unknown is sparse")] = "gradient",
) -> Iterator[Step]:
    """Minimise a quadratic majorant over a growing space; the gradient of the majorant is its next direction.

    Out of place. All components of the gradient at a pixel share their weight, so that q = 1 is isotropic total
    variation. λ is chosen at every step for the weights of that step. A λ that is fixed is on the scale of weights
    relative to their largest.
    """
    of_x, of_y = flattened(A)
    Psi: LinearOperator = Gradient(A.domain) if transform == "gradient" else Identity(A.domain)
    of_p, _ = flattened(Psi.H)
    rule = Projected(choice, regularization, noise_norm, tau)
    data = of_y(y)
    back = of_x(A.adjoint(y))
    V, images, jumps = Basis(back), Basis(data), Basis(of_p(Psi(of_x.back(back))))
    direction, weight, level = back, None, None
    while True:
        if V.length < direction.shape[-1]:  # else the space is all there is
            V.extend(direction)
            v = of_x.back(V.vectors[..., -1, :])
            images.append(of_y(A(v)))
            jumps.append(of_p(Psi(v)))
        bends = jumps.vectors if weight is None else jumps.vectors * weight[..., None, :]
        z, chosen, residual = rule.solve_general(images.vectors, bends, data)
        found = V.combine(z)
        misfit = images.combine(z) - data
        bent = jumps.combine(z)
        x = of_x.back(found)
        jump = of_p.back(bent).abs()
        if transform == "gradient":
            jump = (jump**2).sum(-Psi.codomain.ndim, keepdim=True).sqrt().expand_as(jump)
        level = jump.flatten(-Psi.codomain.ndim).amax(-1) if level is None else level
        floor = smoothing * level.reshape(*level.shape, *(1,) * Psi.codomain.ndim)
        relative = safe_divide(floor.expand_as(jump), (jump**2 + floor**2).sqrt())
        weight = of_p.spread(relative ** (1 - power / 2))  # the square root of w, at most 1
        slope = of_x(A.adjoint(of_y.back(misfit)))
        direction = slope + chosen[..., None] * of_x(Psi.adjoint(of_p.back(weight**2 * bent)))
        yield Step(x, residual=residual, regularization=chosen)
