"""Krylov methods of least residual: LSMR for least squares, MINRES for self-adjoint and GMRES for square operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import axpy_, clone, safe_divide, safe_inverse, where, xpay_
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import LINEAR_SQUARE, SELF_ADJOINT
from explorer.solvers.lsqr import normalize_
from explorer.solvers.projected import Basis, flattened, times
from explorer.solvers.rounding import settled
from explorer.solvers.steps import Step

#: units of rounding in ``‖A r‖ / (‖A‖ ‖r‖)`` below which MINRES has nothing to gain: its recurrences lose some
ROUNDING = 30
#: vectors for which a cycle of GMRES has room from the start
ROOM = 31


def _rotation(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return c, s, ``r = √(a² + b²)`` and 1/r of the plane rotation that turns (a, b) into (r, 0)."""
    r = torch.hypot(a, b)
    inverse = safe_inverse(r)
    return a * inverse, b * inverse, r, inverse


@solver(
    "LSMR",
    papers=["Fong & Saunders 2011: LSMR: An iterative algorithm for sparse least-squares problems"],
    solves="least_squares",
    equation=r"\min_x \|Ax-y\|_2^2 + \lambda \|x - x_0\|_2^2",
    reports=("residual", "alpha", "beta", "gradient", "following"),
    per_step={"A": 1, "Aᴴ": 1},
    weighs="damping",
    krylov=("bidiagonal", "AᴴA"),
    zeros="harmonic",
    works="Any linear operator, where a gradient that falls at every step makes stopping safe.",
    fails="Run on, it fits the noise; its residual is a little larger than that of LSQR at the same step.",
)
def lsmr(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    damping: Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ", batched=True)] = 0.0,
) -> Iterator[Step]:
    """MINRES on the normal equations by Golub–Kahan bidiagonalization: ``‖Aᴴr‖`` falls at every step. In place.

    It reaches a given ``‖Aᴴr‖`` earlier than LSQR and regularises a little more at the same number of steps. Residual
    and gradient come from recurrences. As in the paper, damping penalises the distance from `x0`. `alpha` and `beta` of
    step k are column k of the lower bidiagonal matrix, `following` is the alpha of the next column.
    """
    X, Y = A.domain, A.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else clone(x0)
    u = clone(y) if x0 is None else y - A(x)
    beta = normalize_(u, Y)
    v = A.adjoint(u)
    alpha = normalize_(v, X)
    h, h_bar = clone(v), X.zeros(Y.batch(y))
    one, zero = torch.ones_like(beta), torch.zeros_like(beta)
    damped = isinstance(damping, Tensor) or damping > 0
    damp = torch.as_tensor(damping, dtype=beta.dtype, device=beta.device).sqrt() * one
    alpha_bar, zeta_bar, zeta = alpha, alpha * beta, zero
    inverse, inverse_bar, c_bar, s_bar = one, one, one, zero  # of ρ and of ρ̄
    # for the norm of the residual: a second factorisation, as in section 5.1 of the paper
    beta_dd, beta_d, rho_d, tau_tilde, theta_tilde, outside = beta, zero, one, zero, zero, zero
    data2, norm2, all2, alpha2 = Y.norm2(y), zero, beta**2, alpha**2
    frozen, gradient = torch.zeros_like(beta, dtype=torch.bool), alpha * beta
    while True:
        xpay_(u, -alpha, A(v))
        diagonal, beta = alpha, normalize_(u, Y)
        xpay_(v, -beta, A.adjoint(u))
        alpha = normalize_(v, X)
        column2, alpha2 = torch.addcmul(alpha2, beta, beta), alpha * alpha
        alpha_hat, beta_acute = alpha_bar, beta_dd
        if damped:
            column2 = column2 + damping
            c_hat, s_hat, alpha_hat, _ = _rotation(alpha_bar, damp)
            beta_acute, outside = c_hat * beta_dd, outside + (s_hat * beta_dd) ** 2
        inverse_old, (c, s, rho, inverse) = inverse, _rotation(alpha_hat, beta)
        theta, alpha_bar = s * alpha, c * alpha
        inverse_bar_old, zeta_old = inverse_bar, zeta
        theta_bar = s_bar * rho
        c_bar, s_bar, rho_bar, inverse_bar = _rotation(c_bar * rho, theta)
        zeta, zeta_bar = c_bar * zeta_bar, -s_bar * zeta_bar
        xpay_(h_bar, -(theta_bar * inverse_bar_old) * (rho * inverse_old), h)
        axpy_(x, (zeta * inverse * inverse_bar).masked_fill_(frozen, 0), h_bar)
        xpay_(h, -theta * inverse, v)
        beta_hat, beta_dd = c * beta_acute, -s * beta_acute
        c_tilde, s_tilde, _, inverse_tilde = _rotation(rho_d, theta_bar)
        tau_tilde = torch.addcmul(zeta_old, theta_tilde, tau_tilde, value=-1) * inverse_tilde
        theta_tilde, rho_d = s_tilde * rho_bar, c_tilde * rho_bar
        beta_d = torch.addcmul(c_tilde * beta_hat, s_tilde, beta_d, value=-1)
        apart = beta_d - safe_divide(torch.addcmul(zeta, theta_tilde, tau_tilde, value=-1), rho_d)
        found2 = torch.addcmul(beta_dd * beta_dd, apart, apart)
        all2 = torch.where(frozen, all2, found2 + outside if damped else found2)
        gradient = torch.where(frozen, gradient, zeta_bar.abs())
        norm2, residual2 = torch.maximum(norm2, column2), all2
        if damped:
            residual2 = (all2 - damping * X.norm2(x if x0 is None else x - x0)).clamp(min=0)
        frozen = frozen | settled(gradient * gradient, all2, norm2, data2, X.eps)
        yield Step(x, residual=residual2.sqrt(), gradient=gradient, alpha=diagonal, beta=beta, following=alpha)


@solver(
    "MINRES",
    papers=["Paige & Saunders 1975: Solution of sparse indefinite systems of linear equations"],
    solves="least_squares",
    equation=r"\min_{x \in \mathcal{K}_k} \|Ax-y\|_2,\quad A = A^*",
    reports=("residual", "alpha", "beta"),
    per_step={"A": 1},
    krylov=("lanczos", "A"),
    zeros="harmonic",
    works="Self-adjoint operators, indefinite ones as well.",
    fails="Operators that are not self-adjoint; run on, it fits the noise.",
)
def minres(A: Annotated[LinearOperator, SELF_ADJOINT], y: Tensor, x0: Tensor | None = None) -> Iterator[Step]:
    """Least residual over the Krylov spaces of a self-adjoint operator, which may be indefinite. In place.

    `alpha` and `beta` are the Lanczos coefficients, diagonal and subdiagonal. A sample freezes where its residual
    is rounding of its data, or where going on gains no more than rounding, ``‖A r‖ ≤ 30 eps ‖A‖ ‖r‖``. Where A is
    singular and the data lie outside its range, x may grow once the residual is least: stop there, or use CGLS.
    """
    X = A.domain
    x = X.zeros(X.batch(y)) if x0 is None else clone(x0)
    v = clone(y) if x0 is None else y - A(x)
    beta = eta = normalize_(v, X)
    v_old, w, w_old = X.zeros(X.batch(y)), X.zeros(X.batch(y)), X.zeros(X.batch(y))
    one, zero = torch.ones_like(beta), torch.zeros_like(beta)
    c, c_old, s, s_old = one, one, zero, zero
    inverse = inverse_old = one  # of ρ, by which w waits to be divided
    floor, norm2, least2 = X.eps * X.norm(y), zero, (ROUNDING * X.eps) ** 2 * one
    residual, active = beta, torch.ones_like(beta, dtype=torch.bool)
    coupling = coupling2 = zero
    while True:
        xpay_(v_old, -coupling, A(v))
        alpha = X.inner(v, v_old).real
        axpy_(v_old, -alpha, v)
        below = normalize_(v_old, X)
        near, far = c_old * coupling, s_old * coupling
        delta, above = torch.addcmul(c * alpha, s, near, value=-1), torch.addcmul(s * alpha, c, near)
        c_old, s_old = c, s
        xpay_(w_old, -far * inverse_old, v)
        axpy_(w_old, -above * inverse, w)
        w, w_old, inverse_old = w_old, w, inverse
        c, s, _, inverse = _rotation(delta, below)
        below2, over = below * below, c_old * below
        norm2 = torch.maximum(norm2, torch.addcmul(coupling2 + below2, alpha, alpha))
        slope2 = torch.addcmul(delta * delta, over, over)  # ‖A r‖² / ‖r‖² of the residual before this step
        active = active & (slope2 > least2 * norm2) & (residual > floor)
        axpy_(x, (c * eta * inverse).masked_fill_(~active, 0), w)
        eta = torch.where(active, -s * eta, eta)
        v_old, v, coupling, coupling2, residual = v, v_old, below, below2, eta.abs()
        yield Step(x, residual=residual, alpha=alpha, beta=below)


@solver(
    "GMRES",
    papers=[
        "Saad & Schultz 1986: GMRES: A generalized minimal residual algorithm for solving nonsymmetric linear systems"
    ],
    solves="least_squares",
    equation=r"\min_{x \in \mathcal{K}_k(A, y)} \|Ax-y\|_2",
    reports=("residual",),
    per_step={"A": 1},
    works="Square operators of any kind, where few steps are enough.",
    fails="Memory and work grow with every step until it restarts, and restarts can stall it.",
)
def gmres(
    A: Annotated[LinearOperator, LINEAR_SQUARE],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    restart: Annotated[int, Log(1, 500, unit="steps", help="length of a cycle: so many basis vectors are kept")] = 30,
) -> Iterator[Step]:
    """Least residual over the Krylov spaces of a square operator, by Arnoldi's method with restarts.

    One product a step, and one more at every restart; a step in a cycle at length j costs 3 j vector operations. The
    residual comes from the rotations that keep the Hessenberg matrix triangular.
    """
    X, (flat, _) = A.domain, flattened(A)
    x = X.zeros(X.batch(y)) if x0 is None else clone(x0)
    floor, fresh = X.eps * X.norm(y), x0 is None
    while True:
        start, r = flat(x), flat(y if fresh else y - A(x))
        fresh, residual = False, torch.linalg.vector_norm(r, dim=-1)
        V = Basis(r, min(restart + 1, ROOM))
        V.append(safe_inverse(residual).unsqueeze(-1) * r)
        # V_{k+1}ᴴ A V_k = Qᴴ R, the right side Q e₁ ‖r‖
        Q, R = (r.new_zeros(*residual.shape, restart + 1, restart + 1) for _ in range(2))
        Q[..., 0, 0] = 1
        beta, active = residual.unsqueeze(-1), residual > floor
        for k in range(restart):
            inside, below = V.extend(flat(A(flat.back(V.last))))
            column = times(Q[..., : k + 1, : k + 1], inside)
            # the rotation of row k and the next that leaves nothing below; where nothing is new, R gets no direction
            last = column.select(-1, k)
            size = torch.hypot(last.abs(), below)
            idle, inverse = size.logical_not(), safe_inverse(size)
            c, s = last.conj() * inverse, (below * inverse).masked_fill_(idle, 1)
            R[..., : k + 1, k] = column
            R[..., k, k] = size.masked_fill_(idle, 1)
            torch.mul(Q[..., k, :], -s.unsqueeze(-1), out=Q[..., k + 1, :])
            Q[..., k, :].mul_(c.unsqueeze(-1))
            Q[..., k, k + 1], Q[..., k + 1, k + 1] = s, c.conj()
            right = beta * Q[..., : k + 2, 0]
            z = torch.linalg.solve_triangular(R[..., : k + 1, : k + 1], right[..., : k + 1, None], upper=True)
            x = where(active, flat.back(V.combine(z.squeeze(-1), start)), x)
            residual = torch.where(active, right[..., -1].abs(), residual)
            yield Step(x, residual=residual)
            active = active & (residual > floor)
