"""Saddle problems that are strongly concave in the dual variable: a prior behind K, smoothed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from explorer.catalogue import Help, Log, solver
from explorer.linalg import axpy, clone, scale
from explorer.operators.base import LinearOperator
from explorer.priors.base import SPLITS, Prior
from explorer.solvers.steps import Step


@solver(
    "Accelerated primal–dual",
    name="accelerated_primal_dual",
    papers=[
        "row 228",
        "Khalafi & Boob 2023: Accelerated primal-dual methods for convex-strongly-concave saddle point problems",
    ],
    solves="smoothed_map",
    equation=r"\min_x \max_u \tfrac12\|Ax-y\|_2^2 + \langle Kx, u\rangle - g^*(u) - \tfrac{\mu}{2}\|u\|_2^2",
    reports=("residual", "step_size"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Total variation and its like where a little rounding of the corners, its Huber form, is welcome.",
    fails="A small μ makes its steps short, in proportion to μ/‖K‖²; a large one smooths the edges.",
)
def accelerated_primal_dual(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, SPLITS],
    x0: Tensor | None = None,
    *,
    smoothing: Annotated[
        float, Log(1e-9, 1e9, help="μ: |Kx| below μ times the weight is penalised by its square")
    ] = 1.0,
    accelerated: Annotated[bool, Help("average the gradients of the misfit (ALPD); else plain steps (LPD)")] = True,
) -> Iterator[Step]:
    r"""The prior smoothed by a strongly concave dual term, ``g(Kx)`` becoming ``min_v g(v) + ‖Kx − v‖²/(2μ)``.

    Total variation becomes its Huber version. At step k, with ``L = ‖A‖²`` and ``κ = ‖K‖²/μ``::

        u   ← prox of g* + μ/2‖·‖² at K x̄, with 1/σ = μ(k − 1)/2 and x̄ = x + (k − 1)/k (x − x_prev)
        x   ← x − τ (∇f(x_md) + Kᴴu),  x_md = (1 − 1/β) x_ag + x/β,  β = (k + 1)/2,  τ = k / (2L + 2κ)
        x_ag ← (1 − 1/β) x_ag + x/β

    x_ag is what it gives; its gap falls as ``(L + κ)/k²``, that of the plain steps as ``(L + κ)/k``.
    """
    X, Y, K = A.domain, A.codomain, prior.operator
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r, k_x = (-y if x0 is None else A(x) - y), K(x)
    k_bar, u = k_x, K.codomain.zeros(Y.batch(y))
    x_ag, r_ag, k = x, r, 0
    total = A.norm() ** 2 + K.norm() ** 2 / smoothing
    while True:
        k += 1
        beta = (k + 1) / 2 if accelerated else 1.0
        tau = k / (2 * total) if accelerated else 1 / total
        inertia = smoothing * ((k - 1) / 2 if accelerated else 1.0)  # 1/σ
        u = prior.dual_prox(scale(1 / (smoothing + inertia), axpy(inertia, u, k_bar)), 1 / (smoothing + inertia))
        r_md = axpy(1 / beta, r - r_ag, r_ag)
        x = axpy(-tau, A.adjoint(r_md) + K.adjoint(u), x)
        r, k_old, k_x = A(x) - y, k_x, K(x)
        k_bar = axpy(k / (k + 1) if accelerated else 1.0, k_x - k_old, k_x)
        x_ag, r_ag = axpy(1 / beta, x - x_ag, x_ag), axpy(1 / beta, r - r_ag, r_ag)
        yield Step(x_ag, residual=Y.norm(r_ag), step_size=tau)
