"""Direct methods with a penalty on L x instead of x: filters on generalised singular values, for small problems.

With ``A X = U diag(c)``, ``L X = V diag(s)`` and ``γ = c / s``, ``x = Σ φᵢ ⟨uᵢ, y⟩ / cᵢ xᵢ``. What L does not see,
γ = ∞, is never filtered.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Log, Part, SpecError, solver
from explorer.linalg import safe_divide
from explorer.linalg.generalised import Generalised, generalised_svd
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import SMALL
from explorer.solvers.steps import Solution

Small = Annotated[LinearOperator, SMALL]
Penalty = Annotated[LinearOperator, Part("operator", help="L, of which a large L x is penalised")]
REPORTS = ("residual", "dof", "solution_norm")


def _pair(A: LinearOperator, L: LinearOperator) -> Generalised:
    """Return the decomposition of both, kept with A for the next L that is the same."""
    if not (isinstance(L, LinearOperator) and SMALL.admits(L) and L.domain == A.domain):
        raise SpecError(f"is {getattr(L, 'title', L)}, and has to be linear, real and on {A.domain}", "operator")
    matrix = L.to_dense()
    known = A.__dict__.get("_cache_pair")
    if known is None or known[0].shape != matrix.shape or not torch.equal(known[0], matrix):
        known = A.__dict__["_cache_pair"] = (matrix, generalised_svd(A.to_dense(), matrix))
    return known[1]


def _filtered(A: LinearOperator, y: Tensor, d: Generalised, over: Tensor, lost: Tensor) -> Solution:
    """Return ``Σ (φ/c) ⟨u, y⟩ x``; `over` is ``φ / c`` and `lost` is ``1 − φ`` without cancellation."""
    batch = A.codomain.batch(y)
    flat = y.reshape(*batch, -1).double()
    data = flat @ d.U
    outside = (flat - data @ d.U.mT).square().sum(-1)
    z = over * data
    x = (z @ d.X.mT).to(A.domain.dtype)
    kept = torch.where(d.c > 0, 1 - lost, 0)
    scalars: dict[str, Any] = {
        "residual": ((torch.where(d.c > 0, lost, 1) * data).square().sum(-1) + outside).sqrt(),
        "dof": kept.sum(-1).expand(batch),
        "solution_norm": torch.linalg.vector_norm(d.s * z, dim=-1),
    }
    return Solution(x.reshape(*batch, *A.domain.shape), **{name: v.to(A.domain.dtype) for name, v in scalars.items()})


def _beside(knob: float | Tensor, d: Generalised) -> Tensor:
    return torch.as_tensor(knob, dtype=torch.float64, device=d.c.device).unsqueeze(-1)


@solver(
    "Truncated GSVD",
    papers=[
        "Hansen 1989: Regularization, GSVD and truncated GSVD",
        "Hansen 1998: Rank-deficient and discrete ill-posed problems",
    ],
    equation=r"x = \sum_{\gamma_i > \theta} c_i^{-1} \langle u_i, y\rangle x_i,\quad \gamma_i = c_i / s_i",
    reports=REPORTS,
    tunes=("threshold", 1),
    reads=1,
    works="Small problems whose truth has a small L x, such as a smooth one, with a gap between the γ.",
    fails="Without a gap one pattern more or less changes the answer; what L does not see is never filtered.",
)
def tgsvd(
    A: Small,
    y: Tensor,
    *,
    operator: Penalty = "gradient",  # type: ignore[assignment]
    threshold: Annotated[
        float | Tensor, Log(0, 1e6, help="generalised singular values above it are kept", batched=True)
    ] = 1e-2,
) -> Solution:
    """Invert A on the patterns that the data tell more of than L minds, γ > θ, and on all that L does not see.

    `solution_norm` is ``‖L x‖``.

    Raises
    ------
    SpecError
        If L is on another space, not real, or too large.
    """
    d = _pair(A, operator)
    kept = (d.c > _beside(threshold, d) * d.s).double()
    return _filtered(A, y, d, kept * safe_divide(torch.ones_like(d.c), d.c), 1 - kept)


@solver(
    "General Tikhonov (direct)",
    papers=[
        "Eldén 1982: A weighted pseudoinverse, generalized singular values, and constrained least squares problems",
        "Hansen 1998: Rank-deficient and discrete ill-posed problems",
    ],
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|Lx\|_2^2",
    reports=REPORTS,
    on_request=("regularization", "growth", "sensitivity", "lost", "inner", "log_lost", "flat", "iterated"),
    tunes=("regularization", 2),
    reads=1,
    works="Small problems whose truth is smooth rather than small: a gradient as L leaves levels free.",
    fails="Edges are blurred by a quadratic penalty on slopes, and large operators are refused.",
)
def general_tikhonov(
    A: Small,
    y: Tensor,
    details: bool = False,
    *,
    operator: Penalty = "gradient",  # type: ignore[assignment]
    regularization: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 1e-3,
) -> Solution:
    """Solve ``(AᴴA + λ LᴴL) x = Aᴴy`` by the filter factors ``γ² / (γ² + λ)``, for many λ at once.

    `solution_norm` is ``‖L x‖``, and rules that look at changes of x look at those of ``L x``. Of what neither A nor L
    sees, the answer has nothing.

    Raises
    ------
    SpecError
        If L is on another space, not real, or too large.
    """
    d = _pair(A, operator)
    weight = _beside(regularization, d) * d.s**2
    total = d.c**2 + weight
    over, lost = safe_divide(d.c.expand_as(total), total), safe_divide(weight, total)
    solution = _filtered(A, y, d, over, lost)
    if details:
        flat = y.reshape(*A.codomain.batch(y), -1).double()
        data = flat @ d.U
        outside = (flat - data @ d.U.mT).square().sum(-1)
        told = _derivatives(d, data.square(), outside, over, torch.where(d.c > 0, lost, 1))
        told["regularization"] = _beside(regularization, d).squeeze(-1)
        like = torch.as_tensor(solution.scalars["residual"])
        solution.scalars |= {name: value.to(like.dtype).expand(like.shape) for name, value in told.items()}
    return solution


def _derivatives(d: Generalised, data2: Tensor, outside: Tensor, over: Tensor, lost: Tensor) -> dict[str, Tensor]:
    """Return what rules need: derivatives of L x by log λ, the evidence given what L does not see, the iterated one."""
    size2, penalised = (d.s * over) ** 2 * data2, torch.where(d.s > 0, lost, 1)
    return {
        "growth": -2 * (lost * size2).sum(-1),
        "sensitivity": (lost**2 * size2).sum(-1).sqrt(),
        "lost": lost.sum(-1),
        "inner": (lost * data2).sum(-1) + outside,
        "log_lost": penalised.log().sum(-1),
        "flat": ((d.s == 0) & (d.c > 0)).sum(),
        "iterated": safe_divide((lost**3 * data2).sum(-1) + outside, ((lost**4 * data2).sum(-1) + outside).sqrt()),
    }
