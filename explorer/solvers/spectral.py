"""Spectral filters beyond Tikhonov and truncation: each is one function φ of a singular value.

``x = Σᵢ φᵢ ⟨uᵢ, y⟩ / σᵢ vᵢ`` through the operator's own decomposition: of a periodic blur that is a Fourier filter, of
a reflexive one a filter of cosines, of a product of small matrices a Kronecker filter.

Every λ is in units of σ², and λ = 0 gives the pseudo-inverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, solver
from explorer.linalg import safe_divide
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import HAS_SVD
from explorer.solvers.direct import analysed, beside, filtered
from explorer.solvers.steps import Solution

Operator = Annotated[LinearOperator, HAS_SVD]
Weight = Annotated[float | Tensor, Log(0, 1e6, help="λ; the filter lets pass what lies well above √λ", batched=True)]
REPORTS = ("residual", "dof", "solution_norm")
CHANGES = ("sensitivity", "lost", "curvature")
#: returns the slope ``−dφ / d log λ``, that of the slope, and, where no direction is kept whole, ``log(1 − φ)``
More = Callable[[], tuple[Tensor, Tensor, Tensor | None]]
#: of filters below 1, whose solution is the mean of a Gaussian posterior
LIKELIHOOD = ("inner", "log_lost")


def _solution(A: LinearOperator, y: Tensor, kept: Tensor, lost: Tensor, more: More | None = None) -> Solution:
    """Return the filtered solution, and with `more` what rules ask for beside."""
    svd = A.svd()
    kept, lost = torch.where(svd.s > 0, kept, 0), torch.where(svd.s > 0, lost, 1)
    data, outside = analysed(svd, y, kept)
    solution = filtered(svd, safe_divide(kept, svd.s) * data, lost * data, outside, kept)
    if more is not None:
        axes, pairs = tuple(range(-svd.s.ndim, 0)), 2 if A.domain.is_complex else 1
        slope, bend, log = more()
        slope, bend = torch.where(svd.s > 0, slope, 0), torch.where(svd.s > 0, bend, 0)
        data2, over2 = data.abs().square(), safe_divide(torch.ones_like(svd.s), svd.s) ** 2
        told = {
            "sensitivity": (slope**2 * over2 * data2).sum(axes).sqrt(),
            "lost": pairs * lost.sum(axes),
            "curvature": _curvature(kept, lost, slope, bend, data2, over2 * data2, outside, axes),
        }
        if log is not None:
            told["inner"] = (lost * data2).sum(axes) + outside
            told["log_lost"] = pairs * torch.where(svd.s > 0, log, 0).sum(axes)
        batch = torch.as_tensor(solution.scalars["residual"]).shape
        solution.scalars |= {name: value.expand(batch) for name, value in told.items()}
    return solution


def _curvature(
    kept: Tensor, lost: Tensor, slope: Tensor, bend: Tensor, data2: Tensor, size2: Tensor, outside: Tensor, axes: Any
) -> Tensor:
    """Return the curvature of ``(log ‖Ax − y‖, log ‖x‖)`` as λ falls, from φ and its derivatives by −log λ."""

    def logarithm(value: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        rate = safe_divide(first, value)
        return rate / 2, (safe_divide(second, value) - rate**2) / 2

    rho = (lost**2 * data2).sum(axes) + outside, -2 * (lost * slope * data2).sum(axes)
    u, du = logarithm(*rho, 2 * ((slope**2 - lost * bend) * data2).sum(axes))
    eta = (kept**2 * size2).sum(axes), 2 * (kept * slope * size2).sum(axes)
    v, dv = logarithm(*eta, 2 * ((slope**2 + kept * bend) * size2).sum(axes))
    # the curve goes to the left and up, and its corner turns it to the right
    return safe_divide(v * du - u * dv, (u**2 + v**2) ** 1.5)


def _decay(exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``e^−t t`` and ``e^−t t (1 − t)``, two derivatives of ``1 − e^−t`` by log t; zero where t is infinite."""
    finite = torch.where(exponent < torch.inf, exponent, 0)
    return finite * torch.exp(-finite), finite * (1 - finite) * torch.exp(-finite)


def _over(value: Tensor, weight: Tensor) -> Tensor:
    """Return ``value / weight`` for both ≥ 0; infinite where only the weight is 0."""
    return torch.where(weight > 0, safe_divide(value, weight), torch.where(value > 0, torch.inf, 0.0))


def _ratio(s: np.ndarray, knobs: Mapping[str, Any], value: np.ndarray | float | None = None) -> np.ndarray:
    return (s**2 if value is None else value) / np.maximum(knobs["regularization"], np.finfo(float).tiny)


@solver(
    "Showalter (exponential filter)",
    papers=["Showalter 1967: Representation and computation of the pseudoinverse"],
    solves="showalter",
    equation=r"\varphi = 1 - e^{-\sigma^2/\lambda}",
    reports=REPORTS,
    on_request=(*CHANGES, *LIKELIHOOD),
    tunes=("regularization", 2),
    filter=lambda s, _k, _norm, knobs: -np.expm1(-_ratio(s, knobs)),
    differentiable=True,
    works="Cheap singular values and very smooth truths, for which the accuracy of Tikhonov saturates.",
    fails="Edges, which it blurs, and operators without a cheap decomposition; bounds cannot be asked for.",
)
def showalter(A: Operator, y: Tensor, details: bool = False, *, regularization: Weight = 1e-3) -> Solution:
    """Follow the gradient flow ``x' = Aᴴ(y − Ax)`` from zero until the time ``1/λ``."""
    s = A.svd().s
    time = _over(s**2, beside(regularization, s))
    more = (lambda: (*_decay(time), -time)) if details else None
    return _solution(A, y, -torch.expm1(-time), torch.exp(-time), more)


@solver(
    "Landweber filter",
    papers=["Strand 1974: Theory and methods related to the singular-function expansion and Landweber's iteration"],
    solves="landweber",
    equation=r"\varphi = 1 - (1 - \sigma^2/\|A\|^2)^k,\quad k = \|A\|^2/\lambda",
    reports=REPORTS,
    on_request=CHANGES,
    tunes=("regularization", 2),
    filter=lambda s, _k, norm, knobs: 1 - (1 - np.minimum(s / norm, 1) ** 2) ** _ratio(s, knobs, norm**2),
    differentiable=True,
    works="What thousands of Landweber steps would give, where singular values are cheap.",
    fails="Bounds and edges it does not know; evidence cannot choose λ, as the strongest direction is kept whole.",
)
def landweber_filter(A: Operator, y: Tensor, details: bool = False, *, regularization: Weight = 1e-3) -> Solution:
    """Do all ``k = ‖A‖²/λ`` steps of Landweber's iteration at once; k need not be whole."""
    s = A.svd().s
    norm2 = s.max() ** 2
    steps = -torch.log1p(-safe_divide(s**2, norm2.expand_as(s)).clamp(max=1))
    steps = steps.clamp(max=1e18)  # infinite in the strongest direction, which would spoil derivatives
    exponent = torch.where(steps > 0, _over(norm2, beside(regularization, s)) * steps, 0.0)
    more = (lambda: (*_decay(exponent), None)) if details else None
    return _solution(A, y, -torch.expm1(-exponent), torch.exp(-exponent), more)


@solver(
    "Wiener filter",
    papers=[
        "Wiener 1949: Extrapolation, Interpolation, and Smoothing of Stationary Time Series",
        "Franklin 1970: Well-posed stochastic extensions of ill-posed linear problems",
    ],
    solves="wiener",
    equation=r"\varphi = \frac{\sigma^2 P}{\sigma^2 P + \lambda},\quad P = (\sigma/\|A\|)^{2p}",
    reports=REPORTS,
    on_request=(*CHANGES, *LIKELIHOOD),
    tunes=("regularization", 2),
    filter=lambda s, _k, norm, knobs: 1 - 1 / (1 + _ratio(s, knobs, s**2 * (s / norm) ** (2 * knobs["smoothness"]))),
    differentiable=True,
    works="Blurs and noise that are the same everywhere, with known powers.",
    fails="Edges, which it blurs; powers that are only guessed.",
)
def wiener(
    A: Operator,
    y: Tensor,
    details: bool = False,
    *,
    regularization: Annotated[
        float | Tensor, Log(0, 1e6, help="λ: variance of the noise over that of the strongest direction", batched=True)
    ] = 1e-3,
    smoothness: Annotated[float, Linear(0, 4, help="p: the truth's power falls as σ²ᵖ; 0 for white")] = 1.0,
) -> Solution:
    """The least expected square error where noise is white and the truth random with power P in each direction.

    The truth is taken to be as smooth as p applications of ``(AᴴA)^½`` make white noise. With p = 0 this is Tikhonov's.
    """
    s = A.svd().s
    power = s**2 * safe_divide(s, s.max().expand_as(s)) ** (2 * smoothness)
    weight = beside(regularization, s)

    def more() -> tuple[Tensor, Tensor, Tensor]:
        total = power + weight
        slope = power * weight / total**2
        return slope, slope * (weight - power) / total, (weight / total).log()

    return _solution(
        A, y, safe_divide(power, power + weight), safe_divide(weight, power + weight), more if details else None
    )


@solver(
    "Least noise in a nuclear ball of bias",
    papers=["row 39"],
    solves="nuclear_bias",
    equation=r"\min_K \|K\|_F^2 \;\text{s.t.}\; \|KA - I\|_* \le c:\quad \varphi = \min(1, \sigma^2/\lambda)",
    reports=REPORTS,
    on_request=CHANGES,
    tunes=("regularization", 2),
    filter=lambda s, _k, _norm, knobs: np.minimum(1, _ratio(s, knobs)),
    differentiable=True,
    works="Cheap singular values, where directions above √λ are to be inverted without bias.",
    fails="Weak directions are damped even where the truth is strong; the evidence cannot choose λ.",
)
def nuclear_bias(A: Operator, y: Tensor, details: bool = False, *, regularization: Weight = 1e-3) -> Solution:
    """Invert exactly above ``√λ``, and below it apply the adjoint over λ.

    Of all linear estimators K whose bias ``KA − I`` has at most a given nuclear norm, this one makes white noise least.
    Frobenius balls give Tikhonov's filter in the same way.
    """
    s = A.svd().s
    kept = _over(s**2, beside(regularization, s)).clamp(max=1)
    more = (lambda: (torch.where(kept < 1, kept, 0), torch.where(kept < 1, kept, 0), None)) if details else None
    return _solution(A, y, kept, 1 - kept, more)


@solver(
    "Least noise in a spectral ball of bias",
    papers=["row 39"],
    solves="spectral_bias",
    equation=r"\min_K \|K\|_F^2 \;\text{s.t.}\; \|KA - I\|_2 \le c:\quad \varphi = 1 - c,\quad c = \frac{\lambda}"
    r"{\|A\|^2 + \lambda}",
    reports=REPORTS,
    on_request=(*CHANGES, *LIKELIHOOD),
    tunes=("regularization", 2),
    filter=lambda s, _k, norm, knobs: np.where(s > 0, norm**2 / (norm**2 + knobs["regularization"]), 0.0),
    differentiable=True,
    works="Well-conditioned operators, or truths that are strong in the weak directions.",
    fails="Ill-posed problems: the weakest direction is inverted as fully as the strongest, and noise swamps it.",
)
def spectral_bias(
    A: Operator,
    y: Tensor,
    details: bool = False,
    *,
    regularization: Annotated[
        float | Tensor, Log(0, 1e6, help="λ: the bias allowed is λ / (‖A‖² + λ) in every direction", batched=True)
    ] = 1e-3,
) -> Solution:
    """Shrink least squares by the same factor everywhere: of use where the truth is strong in weak directions.

    Of all linear estimators K whose bias ``KA − I`` has at most a given spectral norm, it makes white noise least.
    """
    s = A.svd().s
    weight, norm2 = beside(regularization, s), s.max() ** 2
    total = norm2 + weight
    kept = safe_divide(norm2, total).expand(*total.shape[: total.ndim - s.ndim], *s.shape)
    lost = safe_divide(weight, total).expand_as(kept)
    more = (lambda: (kept * lost, kept * lost * (lost - kept), lost.log())) if details else None
    return _solution(A, y, kept, lost, more)
