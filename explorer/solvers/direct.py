"""Direct methods: spectral filters on a singular value decomposition."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import safe_divide
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import HAS_SVD
from explorer.solvers.steps import Solution


@solver(
    "Tikhonov (direct)",
    papers=["Tikhonov 1963: Solution of incorrectly formulated problems and the regularization method"],
    solves="tikhonov",
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|x\|_2^2",
    reports=("residual", "dof", "solution_norm"),
    tunes=("regularization", 2),
    differentiable=True,
)
def tikhonov(
    A: Annotated[LinearOperator, HAS_SVD],
    y: Tensor,
    *,
    regularization: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 1e-3,
) -> Solution:
    """Solve ``(AᴴA + λ I) x = Aᴴy`` by the filter factors ``σ² / (σ² + λ)``; λ = 0 gives the pseudo-inverse."""
    s = A.svd().s
    weight = _beside(regularization, s)
    total = s**2 + weight
    return _filtered(A, y, safe_divide(s**2, total), torch.where(total > 0, safe_divide(weight, total), 1))


@solver(
    "Truncated SVD",
    papers=["Hansen 1987: The truncated SVD as a method for regularization"],
    solves="tsvd",
    equation=r"x = \sum_{\sigma_i > \theta} \sigma_i^{-1} \langle u_i, y\rangle v_i",
    reports=("residual", "dof", "solution_norm"),
    tunes=("threshold", 1),
    differentiable=True,
)
def tsvd(
    A: Annotated[LinearOperator, HAS_SVD],
    y: Tensor,
    *,
    threshold: Annotated[float | Tensor, Log(0, 1e6, help="singular values above it are kept", batched=True)] = 1e-2,
) -> Solution:
    """Invert A on the singular vectors whose singular value exceeds the threshold θ; θ = 0 gives the pseudo-inverse."""
    s = A.svd().s
    kept = (s > _beside(threshold, s)).to(s.dtype)
    return _filtered(A, y, kept, 1 - kept)


def _beside(knob: float | Tensor, s: Tensor) -> Tensor:
    """Return a knob, scalar or of shape ``(*batch,)``, so that it broadcasts against singular values."""
    value = torch.as_tensor(knob, dtype=s.dtype, device=s.device)
    return value.reshape(*value.shape, *(1,) * s.ndim)


def _filtered(A: LinearOperator, y: Tensor, kept: Tensor, lost: Tensor) -> Solution:
    """Return ``V diag(kept / σ) Uᴴ y``; `lost` is ``1 − kept`` without cancellation."""
    svd, Y = A.svd(), A.codomain
    for d in range(kept.ndim - svd.s.ndim):
        if y.stride(d) == 0:  # the same data for many values of a knob are analysed once
            y = y.narrow(d, 0, 1)
    data = svd.U.adjoint(y)
    coefficients = safe_divide(kept, svd.s) * data
    C = svd.V.domain
    residual2 = C.norm2(lost * data) + Y.norm2(y - svd.U(data))
    dof = kept.flatten(-svd.s.ndim).sum(-1) * (2 if A.domain.is_complex else 1)
    return Solution(
        svd.V(coefficients),
        residual=residual2.sqrt(),
        dof=dof.expand(C.batch(coefficients)),
        solution_norm=C.norm(coefficients),
    )
