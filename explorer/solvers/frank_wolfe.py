"""Least squares over simple sets without projections: Frank–Wolfe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, SpecError, solver
from explorer.linalg import axpy, safe_divide
from explorer.linalg.arithmetic import expand
from explorer.operators.base import LinearOperator
from explorer.solvers.columns import SINGLE_SPACES, units
from explorer.solvers.steps import Step

Constraint = Literal["l2_ball", "l1_ball", "simplex", "box"]


@solver(
    "Frank–Wolfe",
    name="frank_wolfe",
    papers=[
        "Frank & Wolfe 1956: An algorithm for quadratic programming",
        "Jaggi 2013: Revisiting Frank–Wolfe: Projection-free sparse convex optimization",
    ],
    solves="constrained_least_squares",
    equation=r"\min_{x \in C} \tfrac12\|Ax-y\|_2^2,\quad s_k = \arg\min_{s \in C} \langle \nabla f(x_k), s\rangle,\; "
    r"x_{k+1} = x_k + \alpha_k (s_k - x_k)",
    reports=("residual", "gap"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Least squares over a ball, simplex or box of known size, where few vertices make up the answer.",
    fails="The gap falls only as 1/k, zigzagging between vertices; a wrong radius makes a wrong answer.",
)
def frank_wolfe(
    A: Annotated[LinearOperator, SINGLE_SPACES],
    y: Tensor,
    *,
    constraint: Annotated[
        Constraint, Help("‖x‖₂ ≤ ρ, ‖x‖₁ ≤ ρ, x ≥ 0 with sum ρ, or 0 ≤ x ≤ ρ entry by entry")
    ] = "l1_ball",
    radius: Annotated[float | Tensor, Log(1e-9, 1e9, help="size ρ of the set", degree=1, batched=True)] = 1.0,
) -> Iterator[Step]:
    """Go towards the point of the set that is best for the linearised objective, as far as is best. Out of place.

    On the simplex and the l1 ball those points are vertices, so that step k has at most k entries more than the start
    (zero, on the simplex its centre). `gap` is ``⟨∇f(x), x − s⟩`` before the step, which bounds how far the objective
    is above its least value. That distance is at most ``2 ‖A‖² diam² / (k + 2)`` after k steps.

    Raises
    ------
    SpecError
        If the unknown is complex and the set is one of real elements.
    """
    X, Y = A.domain, A.codomain
    if X.is_complex and constraint in ("simplex", "box"):
        raise SpecError(f"is {constraint!r}, and the unknown is complex: choose a ball", "solver.params.constraint")
    zero = X.zeros(Y.batch(y))
    size = expand(torch.as_tensor(radius, dtype=zero.real.dtype, device=zero.device), zero)
    x = zero + size / X.size if constraint == "simplex" else zero
    r = A(x) - y
    while True:
        g = A.adjoint(r)
        d = size * _best(A, g, constraint) - x
        q = A(d)
        gap = -X.inner(g, d).real
        alpha = safe_divide(gap, Y.norm2(q)).clamp(0, 1)
        x, r = axpy(alpha, d, x), axpy(alpha, q, r)
        yield Step(x, residual=Y.norm(r), gap=gap)


def _best(A: LinearOperator, g: Tensor, constraint: Constraint) -> Tensor:
    """Return the point of the set of size 1 at which ``⟨g, s⟩`` is least."""
    X = A.domain
    flat = g.reshape(*X.batch(g), -1)
    if constraint == "l2_ball":
        return -safe_divide(flat, torch.linalg.vector_norm(flat, dim=-1, keepdim=True).to(flat.dtype)).reshape(g.shape)
    if constraint == "box":
        return (g < 0).to(g.dtype)
    if constraint == "simplex":
        return units(A, flat.argmin(-1))
    index = flat.abs().argmax(-1)
    value = flat.gather(-1, index[..., None])
    return -units(A, index) * expand(safe_divide(value, value.abs().to(value.dtype))[..., 0], g)
