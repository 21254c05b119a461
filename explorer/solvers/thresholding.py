"""Hard thresholding: gradient steps that keep the largest entries, and CoSaMP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, solver
from explorer.linalg import axpy, clone, safe_divide, where
from explorer.operators.base import LinearOperator
from explorer.solvers.columns import SINGLE_SPACES
from explorer.solvers.steps import Step

Operator = Annotated[LinearOperator, SINGLE_SPACES]
Sparsity = Annotated[int, Log(1, 2**26, help="number of entries K that are not zero")]
#: by how much the curvature along a step may exceed what its length allows, as in the paper
MARGIN = 0.01


def largest(A: LinearOperator, x: Tensor, count: int) -> Tensor:
    """Return where the `count` entries of largest modulus of each sample are: boolean, in the shape of `x`."""
    flat = x.abs().reshape(*A.domain.batch(x), -1)
    index = flat.topk(min(count, A.domain.size), -1, sorted=False).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter(-1, index, True).reshape(x.shape)


def _rounding(A: LinearOperator, r: Tensor, y2: Tensor) -> Tensor:
    """Return where the residual is rounding of the data."""
    return A.codomain.norm2(r) <= A.domain.eps**2 * y2


@solver(
    "Iterative hard thresholding",
    name="iht",
    papers=["Blumensath & Davies 2009: Iterative hard thresholding for compressed sensing"],
    solves="sparse",
    equation=r"x_{k+1} = H_K\left(x_k + \tau A^H (y - A x_k)\right)",
    reports=("residual",),
    per_step={"A": 1, "Aᴴ": 1},
    works="Few non-zeros of known number, and an operator near an isometry.",
    fails="Columns that are alike; an operator whose norm is above 1.",
)
def iht(
    A: Operator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    sparsity: Sparsity = 20,
    step_size: Annotated[float, Linear(0.01, 1.95, unit="1/‖A‖²", help="step τ; the residual falls up to 1")] = 1.0,
) -> Iterator[Step]:
    """A gradient step, then all but the K entries of largest modulus are set to zero. Out of place."""
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r, step = y - A(x), step_size / A.norm() ** 2
    y2 = Y.norm2(y)
    while True:
        z = axpy(step, A.adjoint(r), x)
        x = where(_rounding(A, r, y2), x, z * largest(A, z, sparsity))
        r = y - A(x)
        yield Step(x, residual=Y.norm(r))


@solver(
    "Normalised iterative hard thresholding",
    name="normalised_iht",
    papers=[
        "Blumensath & Davies 2010: Normalized iterative hard thresholding: guaranteed stability and performance",
    ],
    solves="sparse",
    equation=r"x_{k+1} = H_K\left(x_k + \mu_k g_k\right),\quad g_k = A^H (y - A x_k),\quad "
    r"\mu_k = \frac{\|g_\Gamma\|^2}{\|A g_\Gamma\|^2}",
    reports=("residual", "step_size"),
    per_step={"A": 3, "Aᴴ": 1},
    works="Few non-zeros of known number, where IHT is too slow: its step is the best on the present support.",
    fails="Columns that are alike, or a wrong number of entries: it stays with a wrong support.",
)
def normalised_iht(A: Operator, y: Tensor, x0: Tensor | None = None, *, sparsity: Sparsity = 20) -> Iterator[Step]:
    """Hard thresholding with the exact step length on the present support Γ; the norm of A is the fallback.

    A step that changes the support is taken only if ``μ ‖A d‖² ≤ 0.99 ‖d‖²`` along its change d; otherwise its length
    is 0.99/‖A‖², for which that holds always (the paper shortens by halves, at a cost that depends on the data). The
    residual never grows. Out of place.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r, y2 = y - A(x), Y.norm2(y)
    safe = (1 - MARGIN) / A.norm() ** 2
    while True:
        g = A.adjoint(r)
        support = x != 0
        empty = ~support.flatten(-X.ndim).any(-1)
        support = where(empty, largest(A, g, sparsity), support)
        inside = g * support
        mu = safe_divide(X.norm2(inside), Y.norm2(A(inside)))
        mu = torch.where(_rounding(A, r, y2), 0, mu)
        moved, d, along = _moved(A, x, mu, g, sparsity)
        same = ((moved != 0) == support).flatten(-X.ndim).all(-1)
        good = same | (mu * Y.norm2(along) <= (1 - MARGIN) * X.norm2(d))
        careful, _, back = _moved(A, x, torch.where(mu > 0, safe, 0), g, sparsity)
        x, mu = where(good, moved, careful), torch.where(good, mu, safe)
        r = r - where(good, along, back)
        yield Step(x, residual=Y.norm(r), step_size=mu)


def _moved(A: LinearOperator, x: Tensor, mu: Tensor, g: Tensor, sparsity: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thresholded step of length `mu`, its change, and A of that."""
    z = axpy(mu, g, x)
    moved = z * largest(A, z, sparsity)
    return moved, moved - x, A(moved - x)


@solver(
    "CoSaMP",
    name="cosamp",
    papers=["Needell & Tropp 2009: CoSaMP: iterative signal recovery from incomplete and inaccurate samples"],
    solves="sparse",
    equation=r"T = \operatorname{supp}(x) \cup \operatorname{supp}(H_{2K}(A^H r)),\quad "
    r"x = H_K\Big(\arg\min_{\operatorname{supp} z \subseteq T} \|Az-y\|_2\Big)",
    reports=("residual",),
    per_step={"A": 11, "Aᴴ": 11},
    works="Few non-zeros of known number.",
    fails="Too few data for their number: the support jumps from step to step.",
)
def cosamp(
    A: Operator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    sparsity: Sparsity = 20,
    inner: Annotated[int, Log(1, 1000, unit="steps", help="conjugate-gradient steps of each least-squares fit")] = 10,
) -> Iterator[Step]:
    """Join 2K promising entries to the present K, fit them by least squares, keep the K largest. Out of place.

    The fit starts from the present iterate and takes some steps of conjugate gradients, which is the paper's own
    advice: with well-conditioned columns a few suffice.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    r, y2 = y - A(x), Y.norm2(y)
    while True:
        done = _rounding(A, r, y2)
        g = A.adjoint(r)
        candidates = largest(A, g, 2 * sparsity) | (x != 0)
        z = _fitted(A, x, r, g, candidates, inner)
        x = where(done, x, z * largest(A, z, sparsity))
        r = y - A(x)
        yield Step(x, residual=Y.norm(r))


def _fitted(A: LinearOperator, x: Tensor, r: Tensor, g: Tensor, on: Tensor, steps: int) -> Tensor:
    """Return least squares on the entries `on`, from `x` with residual `r` and ``g = Aᴴr``, by conjugate gradients."""
    X, Y = A.domain, A.codomain
    s = g * on
    p, gamma = s, X.norm2(s)
    floor = X.eps**2 * gamma
    for _ in range(steps):
        q = A(p)
        alpha = safe_divide(torch.where(gamma > floor, gamma, 0), Y.norm2(q))
        x, r = axpy(alpha, p, x), axpy(-alpha, q, r)
        s = A.adjoint(r) * on
        gamma, before = X.norm2(s), gamma
        p = axpy(safe_divide(gamma, before), p, s)
    return x
