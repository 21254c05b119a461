"""Direct methods: spectral filters on a singular value decomposition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import safe_divide
from explorer.operators.application import SLICE
from explorer.operators.base import SVD, LinearOperator
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
    works="Where the singular values cost little: any number of λ is then cheap.",
    fails="Large operators without structure; edges, which a quadratic penalty blurs.",
)
def tikhonov(
    A: Annotated[LinearOperator, HAS_SVD],
    y: Tensor,
    details: bool = False,
    *,
    regularization: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 1e-3,
) -> Solution:
    """Solve ``(AᴴA + λ I) x = Aᴴy`` by the filter factors ``σ² / (σ² + λ)``; λ = 0 gives the pseudo-inverse."""
    svd = A.svd()
    s = svd.s
    weight = beside(regularization, s)
    data, outside = analysed(svd, y, weight)

    squares, least = s**2, torch.finfo(s.dtype).tiny  # with it nothing is divided by zero where λ = 0

    def solved(weight: Tensor, data: Tensor, outside: Tensor) -> Solution:
        total = squares + (weight + least)
        return filtered(svd, s / total * data, (weight + least) / total * data, outside, squares / total)

    solution = in_slices(solved, s, weight, data, outside)
    if details:
        total = squares + (weight + least)
        found = {"regularization": weight.reshape(weight.shape[: weight.ndim - s.ndim])}
        found |= _derivatives(svd, data, outside, s / total, (weight + least) / total)
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
    works="Small problems whose singular values have a gap.",
    fails="Without a gap one value more or less changes the answer; edges ring.",
)
def tsvd(
    A: Annotated[LinearOperator, HAS_SVD],
    y: Tensor,
    details: bool = False,
    *,
    threshold: Annotated[float | Tensor, Log(0, 1e6, help="singular values above it are kept", batched=True)] = 1e-2,
) -> Solution:
    """Invert A on the singular vectors whose singular value exceeds the threshold θ; θ = 0 gives the pseudo-inverse."""
    svd = A.svd()
    s = svd.s
    least, divisor = beside(threshold, s), torch.where(s > 0, s, 1)  # σ = 0 is never kept

    def solved(least: Tensor, data: Tensor, outside: Tensor) -> Solution:
        kept = (s > least).to(s.dtype)
        coefficients = kept * data
        missed = data - coefficients
        solution = filtered(svd, coefficients.div_(divisor), missed, outside, kept)
        if details:  # what the last singular vector brings is what changes with the threshold
            batch = torch.as_tensor(solution.scalars["residual"]).shape
            last = torch.where(kept > 0, s, torch.inf).flatten(-s.ndim).argmin(-1, keepdim=True).expand(*batch, 1)
            parts = coefficients.abs().flatten(-s.ndim)
            lost = (1 - kept).flatten(-s.ndim).sum(-1) * (2 if A.domain.is_complex else 1)
            solution.scalars |= {"sensitivity": parts.gather(-1, last).squeeze(-1), "lost": lost.expand(batch)}
        return solution

    return in_slices(solved, s, least, *analysed(svd, y, least))


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
    # a filter takes about four arrays of the size of one
    count, width = max(len(knob), len(data)) if many else 1, max(1, SLICE // max(1, 4 * s.nbytes))
    if count <= width or s.device.type != "cpu" or torch.is_grad_enabled():
        return solve(knob, data, outside)
    x, found = data.new_empty(0), []
    for start in range(0, count, width):
        one = solve(*(part if len(part) == 1 else part[start : start + width] for part in (knob, data, outside)))
        if start == 0:
            x = one.x.new_empty(count, *one.x.shape[1:])
        x[start : start + width] = one.x
        found.append(one.scalars)
    solution = Solution(x)
    solution.scalars |= {name: torch.cat([torch.as_tensor(one[name]) for one in found]) for name in found[0]}
    return solution


def _derivatives(svd: SVD, data: Tensor, outside: Tensor, over: Tensor, lost: Tensor) -> dict[str, Tensor]:
    """Return what rules need of Tikhonov's solution: derivatives by log λ, the evidence, the iterated residual."""
    axes, data2 = tuple(range(-svd.s.ndim, 0)), data.abs() ** 2
    size2 = over**2 * data2
    return {
        "growth": -2 * (lost * size2).sum(axes),
        "sensitivity": (lost**2 * size2).sum(axes).sqrt(),
        "lost": lost.flatten(-svd.s.ndim).sum(-1) * (2 if svd.V.codomain.is_complex else 1),
        "inner": (lost * data2).sum(axes) + outside,
        "log_lost": lost.log().sum(axes) * (2 if svd.V.codomain.is_complex else 1),
        "iterated": safe_divide((lost**3 * data2).sum(axes) + outside, ((lost**4 * data2).sum(axes) + outside).sqrt()),
    }


def analysed(svd: SVD, y: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``Uᴴ y`` and the squared norm of what of y lies outside the range of U."""
    for d in range(kept.ndim - svd.s.ndim):
        if y.stride(d) == 0:  # the same data for many values of a knob are analysed once
            y = y.narrow(d, 0, 1)
    data = svd.U.adjoint(y)
    return data, svd.U.codomain.norm2(y - svd.U(data))


def filtered(svd: SVD, coefficients: Tensor, missed: Tensor, outside: Tensor, kept: Tensor) -> Solution:
    """Return V of ``kept / σ · data``, given as coefficients; `missed` is ``(1 − kept) data`` without cancellation."""
    C = svd.V.domain
    dof = kept.flatten(-svd.s.ndim).sum(-1) * (2 if svd.V.codomain.is_complex else 1)
    return Solution(
        svd.V(coefficients),
        residual=(C.norm(missed) ** 2 + outside).sqrt(),
        dof=dof.expand(C.batch(coefficients)),
        solution_norm=C.norm(coefficients),
    )
