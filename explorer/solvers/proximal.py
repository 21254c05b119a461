"""Splittings for a data term and a prior: proximal gradients, Douglas–Rachford, ADMM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from torch import Tensor

from explorer.catalogue import Linear, Log, solver
from explorer.linalg import axpy, axpy_, clone, safe_divide, scale, xpay_
from explorer.operators.base import LinearOperator
from explorer.priors.base import PROXIMABLE, SPLITS, Prior
from explorer.solvers.pdhg import GRAM_SVD
from explorer.solvers.steps import Step


@solver(
    "ISTA (proximal gradients)",
    papers=[
        "Daubechies, Defrise & De Mol 2004: An iterative thresholding algorithm for linear inverse problems with a "
        "sparsity constraint"
    ],
    solves="map",
    equation=r"x_{k+1} = \mathrm{prox}_{\tau R}\left(x_k - \tau A^*(A x_k - y)\right)",
    reports=("residual", "objective"),
    per_step={"A": 1, "Aᴴ": 1},
    differentiable=True,
    works="Priors whose proximal map is cheap.",
    fails="Very many steps: after k of them the objective is off by order 1 / k.",
)
def ista(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, PROXIMABLE],
    x0: Tensor | None = None,
    *,
    step_size: Annotated[float, Linear(0.01, 1.95, unit="1/‖A‖²", help="step τ; it converges below 2")] = 1.0,
) -> Iterator[Step]:
    """A gradient step on the misfit, then the proximal map of the prior; the objective never rises. Out of place."""
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r = -y if x0 is None else A(x) - y
    step = step_size / A.norm() ** 2
    while True:
        x = prior.prox(axpy(-step, A.adjoint(r), x), step)
        r = A(x) - y
        yield Step(x, residual=Y.norm(r), objective=Y.norm2(r) / 2 + prior.value(x))


@solver(
    "Douglas–Rachford",
    papers=[
        "Lions & Mercier 1979: Splitting algorithms for the sum of two nonlinear operators",
        "Eckstein & Bertsekas 1992: On the Douglas–Rachford splitting method and the proximal point algorithm",
    ],
    solves="map",
    equation=r"x = \mathrm{prox}_{\tau R}(z),\quad z \leftarrow z + \mathrm{prox}_{\tau f}(2x - z) - x",
    reports=("residual", "objective"),
    per_step={"A": 1},
    differentiable=True,
    works="Operators with a cheap decomposition of AᴴA, such as periodic blurs, and priors of cheap proximal map.",
    fails="A step τ far off slows it; total variation, whose proximal map is itself an iteration, is dear.",
)
def douglas_rachford(
    A: Annotated[LinearOperator, GRAM_SVD],
    y: Tensor,
    prior: Annotated[Prior, PROXIMABLE],
    x0: Tensor | None = None,
    *,
    step_size: Annotated[float, Log(1e-3, 1e3, unit="1/‖A‖²", help="step τ; any converges")] = 2.0,
) -> Iterator[Step]:
    """Both terms by their proximal maps, that of the misfit exactly by the decomposition of AᴴA. Out of place."""
    X, Y = A.domain, A.codomain
    gram, back, step = A.gram_svd(), A.adjoint(y), step_size / A.norm() ** 2
    lost = step * gram.s / (1 + step * gram.s)
    z = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    while True:
        x = prior.prox(z, step)
        w = axpy(step, back, axpy(1.0, x - z, x))  # (I + τ AᴴA)⁻¹ w = w − V diag(τs/(1 + τs)) Vᴴ w
        z = z + (w - gram.V(lost * gram.V.adjoint(w)) - x)
        r = A(x) - y
        yield Step(x, residual=Y.norm(r), objective=Y.norm2(r) / 2 + prior.value(x))


@solver(
    "ADMM",
    papers=[
        "Boyd, Parikh, Chu, Peleato & Eckstein 2011: Distributed optimization and statistical learning via the "
        "alternating direction method of multipliers"
    ],
    solves="map",
    equation=r"\min_{x, z} \tfrac12 \|Ax-y\|_2^2 + g(z)\ \text{s.t.}\ Kx = z",
    reports=("residual", "gap"),
    per_step={"A": 6, "Aᴴ": 5},
    works="Priors g(K x): few steps, each a small linear system.",
    fails="A penalty ρ that is far off slows it; operators whose linear system is dear.",
)
def admm(
    A: LinearOperator,
    y: Tensor,
    prior: Annotated[Prior, SPLITS],
    x0: Tensor | None = None,
    *,
    penalty: Annotated[float, Log(1e-4, 1e4, unit="‖A‖²/‖K‖²", help="weight ρ of the constraint Kx = z")] = 0.3,
) -> Iterator[Step]:
    """Alternate between x, z and the multiplier; x by four warm-started steps of conjugate gradients.

    The system ``(AᴴA + ρ KᴴK) x = Aᴴy + ρ Kᴴ(z − u)`` is not solved exactly, which the theory of inexact ADMM allows
    as its error falls; `gap` is ``‖Kx − z‖``. The proximal map of g follows from the dual one by Moreau's identity.
    """
    X, Y, K = A.domain, A.codomain, prior.operator
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    back = A.adjoint(y)
    rho = penalty * A.norm() ** 2 / K.norm() ** 2

    def system(v: Any) -> Any:
        return axpy(rho, K.adjoint(K(v)), A.adjoint(A(v)))

    z = K(x)
    u = z - z
    while True:
        _descend(X, system, axpy(rho, K.adjoint(z - u), back), x)
        k = K(x)
        v = k + u
        # prox of g/ρ at v: v − prox of ρ-scaled conjugate, z = v − w/ρ with w = prox_{ρ g*}(ρ v)
        w = prior.dual_prox(scale(rho, v), rho)
        z = axpy(-1 / rho, w, v)
        u = u + k - z
        yield Step(x, residual=Y.norm(A(x) - y), gap=K.codomain.norm(k - z))


def _descend(X: Any, system: Any, b: Any, x: Any, steps: int = 4) -> None:
    """Improve `x` in place by some steps of conjugate gradients on a positive system."""
    r = b - system(x)
    p, gamma = clone(r), X.norm2(r)
    for left in reversed(range(steps)):
        q = system(p)
        alpha = safe_divide(gamma, X.inner(p, q).real)
        axpy_(x, alpha, p)
        if left:
            axpy_(r, -alpha, q)
            gamma, before = X.norm2(r), gamma
            xpay_(p, safe_divide(gamma, before), r)
