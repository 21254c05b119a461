"""Direct methods: spectral filters on a singular value decomposition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import safe_divide
from explorer.operators.base import SLICE, LinearOperator
from explorer.operators.capabilities import HAS_SVD
from explorer.solvers.steps import Solution


@solver(
    "Tikhonov (direct)",
    papers=["Tikhonov 1963: Solution of incorrectly formulated problems and the regularization method"],
    solves="tikhonov",
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|x\|_2^2",
    reports=("residual", "dof", "solution_norm"),
    on_request=("regularization", "growth", "sensitivity", "lost", "inner", "log_lost", "iterated"),
    tunes=("regularization", 2),
    filter=lambda s, _k, _norm, knobs: s**2 / np.maximum(s**2 + knobs["regularization"], np.finfo(float).tiny),
    differentiable=True,
)
def tikhonov(
    A: Annotated[LinearOperator, HAS_SVD],
    y: Tensor,
    details: bool = False,
    *,
    regularization: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 1e-3,
) -> Solution:
    """Solve ``(AᴴA + λ I) x = Aᴴy`` by the filter factors ``σ² / (σ² + λ)``; λ = 0 gives the pseudo-inverse."""
    s = A.svd().s
    weight = beside(regularization, s)
    data, outside = analysed(A, y, weight)

    def factors(weight: Tensor) -> tuple[Tensor, Tensor]:
        total = s**2 + weight
        return safe_divide(s**2, total), torch.where(total > 0, safe_divide(weight, total), 1)

    def solved(weight: Tensor, data: Tensor, outside: Tensor) -> Solution:
        return filtered(A, data, outside, *factors(weight))

    solution = in_slices(solved, s, weight, data, outside)
    if details:
        kept, lost = factors(weight)
        found = {"regularization": weight.reshape(weight.shape[: weight.ndim - s.ndim])}
        found |= _derivatives(A, data, outside, kept, lost)
        batch = torch.as_tensor(solution.scalars["residual"]).shape
        solution.scalars |= {name: value.expand(batch) for name, value in found.items()}
    return solution


@solver(
    "Truncated SVD",
    papers=["Hansen 1987: The truncated SVD as a method for regularization"],
    solves="tsvd",
    equation=r"x = \sum_{\sigma_i > \theta} \sigma_i^{-1} \langle u_i, y\rangle v_i",
    reports=("residual", "dof", "solution_norm"),
    on_request=("sensitivity", "lost"),
    tunes=("threshold", 1),
    filter=lambda s, _k, _norm, knobs: np.asarray(s > knobs["threshold"], float),
    differentiable=True,
)
def tsvd(
    A: Annotated[LinearOperator, HAS_SVD],
    y: Tensor,
    details: bool = False,
    *,
    threshold: Annotated[float | Tensor, Log(0, 1e6, help="singular values above it are kept", batched=True)] = 1e-2,
) -> Solution:
    """Invert A on the singular vectors whose singular value exceeds the threshold θ; θ = 0 gives the pseudo-inverse."""
    s = A.svd().s
    least = beside(threshold, s)

    def solved(least: Tensor, data: Tensor, outside: Tensor) -> Solution:
        kept = (s > least).to(s.dtype)
        solution = filtered(A, data, outside, kept, 1 - kept)
        if details:  # what the last singular vector brings is what changes with the threshold
            batch = torch.as_tensor(solution.scalars["residual"]).shape
            last = torch.where(kept > 0, s, torch.inf).flatten(-s.ndim).argmin(-1, keepdim=True).expand(*batch, 1)
            parts = (safe_divide(kept, s) * data).abs().flatten(-s.ndim)
            lost = (1 - kept).flatten(-s.ndim).sum(-1) * (2 if A.domain.is_complex else 1)
            solution.scalars |= {"sensitivity": parts.gather(-1, last).squeeze(-1), "lost": lost.expand(batch)}
        return solution

    return in_slices(solved, s, least, *analysed(A, y, least))


def beside(knob: float | Tensor, s: Tensor) -> Tensor:
    """Return a knob, scalar or of shape ``(*batch,)``, so that it broadcasts against singular values."""
    value = torch.as_tensor(knob, dtype=s.dtype, device=s.device)
    return value.reshape(*value.shape, *(1,) * s.ndim)


def in_slices(
    solve: Callable[[Tensor, Tensor, Tensor], Solution], s: Tensor, knob: Tensor, data: Tensor, outside: Tensor
) -> Solution:
    """Solve for many values of a knob, on a CPU for as few at a time as leave the filters in the cache.

    Parameters
    ----------
    solve : callable
        Takes values of the knob with their data and what is outside the range, and returns their solution.
    s : Tensor
        Singular values.
    knob, data, outside : Tensor
        As :func:`beside` and :func:`analysed` return them: one for each sample, or one for all.
    """
    many = knob.ndim == data.ndim == s.ndim + 1 and outside.ndim == 1
    count, width = max(len(knob), len(data)) if many else 1, max(1, SLICE // max(1, s.nbytes))
    if count <= width or s.device.type != "cpu" or torch.is_grad_enabled():
        return solve(knob, data, outside)
    found = []
    for start in range(0, count, width):
        some = (part if len(part) == 1 else part[start : start + width] for part in (knob, data, outside))
        found.append(solve(*some))
    solution = Solution(torch.cat([one.x for one in found]))
    solution.scalars |= {
        name: torch.cat([torch.as_tensor(one.scalars[name]) for one in found]) for name in found[0].scalars
    }
    return solution


def _derivatives(A: LinearOperator, data: Tensor, outside: Tensor, kept: Tensor, lost: Tensor) -> dict[str, Tensor]:
    """Return what rules need of Tikhonov's solution: derivatives by log λ, the evidence, the iterated residual."""
    s = A.svd().s
    over, data2 = tuple(range(-s.ndim, 0)), data.abs() ** 2
    size2 = safe_divide(kept, s) ** 2 * data2
    return {
        "growth": -2 * (lost * size2).sum(over),
        "sensitivity": (lost**2 * size2).sum(over).sqrt(),
        "lost": lost.flatten(-s.ndim).sum(-1) * (2 if A.domain.is_complex else 1),
        "inner": (lost * data2).sum(over) + outside,
        "log_lost": lost.log().sum(over) * (2 if A.domain.is_complex else 1),
        "iterated": safe_divide((lost**3 * data2).sum(over) + outside, ((lost**4 * data2).sum(over) + outside).sqrt()),
    }


def analysed(A: LinearOperator, y: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``Uᴴ y`` and the squared norm of what of y lies outside the range of U."""
    svd = A.svd()
    for d in range(kept.ndim - svd.s.ndim):
        if y.stride(d) == 0:  # the same data for many values of a knob are analysed once
            y = y.narrow(d, 0, 1)
    data = svd.U.adjoint(y)
    return data, A.codomain.norm2(y - svd.U(data))


def filtered(A: LinearOperator, data: Tensor, outside: Tensor, kept: Tensor, lost: Tensor) -> Solution:
    """Return ``V diag(kept / σ) data``; `lost` is ``1 − kept`` without cancellation."""
    svd = A.svd()
    coefficients = safe_divide(kept, svd.s) * data
    C = svd.V.domain
    residual2 = C.norm2(lost * data) + outside
    dof = kept.flatten(-svd.s.ndim).sum(-1) * (2 if A.domain.is_complex else 1)
    return Solution(
        svd.V(coefficients),
        residual=residual2.sqrt(),
        dof=dof.expand(C.batch(coefficients)),
        solution_norm=C.norm(coefficients),
    )
