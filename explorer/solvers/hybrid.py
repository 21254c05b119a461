"""Hybrid methods: a Krylov space for the large problem, Tikhonov with its own λ for the small one, at every step.

Semi-convergence is gone: where the space begins to fit the noise, λ damps it. All bases are orthogonalised in full and
kept, so that memory grows with the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, solver
from explorer.linalg import Rng, safe_divide
from explorer.linalg.quadrature import random_signs
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import LINEAR_SQUARE, ONE_UNKNOWN, SIGNAL
from explorer.operators.gradient import CumulativeSum
from explorer.operators.transforms import Cosine
from explorer.solvers.bidiagonal import Bidiagonal
from explorer.solvers.projected import Basis, Choice, Columns, Projected, flattened, times
from explorer.solvers.steps import Step

Weight = Annotated[float | Tensor, Log(0, 1e6, help="Tikhonov weight λ, where it is fixed", batched=True)]
Safety = Annotated[float, Linear(0.5, 5, help="safety factor τ of the discrepancy principle and the monotone error")]
REPORTS = ("residual", "regularization", "solution_norm")


@solver(
    "Hybrid LSQR",
    papers=[
        "O'Leary & Simmons 1981: A bidiagonalization-regularization procedure for large scale discretizations of "
        "ill-posed problems",
        "Chung, Nagy & O'Leary 2008: A weighted-GCV method for Lanczos-hybrid regularization",
        "Golub & von Matt 1997: Generalized cross-validation for large-scale problems",
        "Hall-Hooper, Saibaba, Chung & Miller 2024: Efficient iterative methods for hyperparameter estimation in "
        "large-scale linear inverse problems",
    ],
    equation=r"x_k = V_k \arg\min_z \|B_k z - \beta_1 e_1\|^2 + \lambda_k \|z\|^2",
    reports=(*REPORTS, "alpha", "beta"),
    per_step={"A": 1, "Aᴴ": 1},
    weighs="regularization",
    krylov=("bidiagonal", "AᴴA"),
    zeros="damped",
    works="Noise without a known best step: λ is chosen on the way, and running on does little harm.",
    fails="It keeps all of its vectors; where the projected problem picks too small a λ, noise comes in late.",
)
def hybrid_lsqr(
    A: LinearOperator,
    y: Tensor,
    noise_norm: Tensor | None = None,
    x0: Tensor | None = None,
    rng: Rng | None = None,
    *,
    choice: Annotated[
        Literal[
            "weighted_gcv", "gcv", "discrepancy", "fixed", "l_curve", "quasi_optimality", "monotone_error", "evidence"
        ],
        Help("how λ is chosen at every step: on the projected problem, or the given one; evidence costs as much again"),
    ] = "weighted_gcv",
    regularization: Weight = 1e-3,
    tau: Safety = 1.02,
) -> Iterator[Step]:
    """Golub–Kahan bidiagonalization, and Tikhonov with an automatic λ on the bidiagonal problem. Out of place.

    A start `x0` is what the penalty measures the distance from. Step k costs about 4 k vector operations beside the
    products, for the orthogonalisation.

    The evidence of the given problem is ``m log⟨y, (I + AAᴴ/λ)⁻¹ y⟩ + log det(I + AAᴴ/λ)``. A quadrature from the data
    gives the first term and one from a vector of random signs, the same for all draws, the second: λ comes near that
    of the direct method as the space grows.

    Raises
    ------
    SpecError
        If the evidence is asked for without a random stream.
    """
    if choice == "evidence" and rng is None:
        raise SpecError("evidence needs a random stream, and none is given: pass rng, or use 'weighted_gcv'", "choice")
    probe = None if rng is None or choice != "evidence" else random_signs(A.codomain, Rng(rng.seed, rng.component))
    yield from _bidiagonal(A, y, x0, Projected(choice, regularization, noise_norm, tau), False, probe)


@solver(
    "Hybrid LSMR",
    papers=["Chung & Palmer 2015: A hybrid LSMR algorithm for large-scale Tikhonov regularization"],
    equation=r"x_k = V_k \arg\min_z \|C_k z - \alpha_1\beta_1 e_1\|^2 + \lambda_k \|z\|^2,\quad "
    r"C_k = (B_k^T B_k;\; \alpha_{k+1}\beta_{k+1} e_k^T)",
    reports=(*REPORTS, "alpha", "beta"),
    per_step={"A": 1, "Aᴴ": 1},
    krylov=("bidiagonal", "AᴴA"),
    zeros="unknown",
    works="Noisy data of any linear operator where the noise level is unknown and no step need be chosen.",
    fails="It keeps all of its vectors; λ weighs against the square of AᴴA, so Tikhonov's values do not fit.",
)
def hybrid_lsmr(
    A: LinearOperator,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    choice: Annotated[
        Literal["weighted_gcv", "gcv", "fixed"],
        Help("how λ is chosen at every step: on the projected normal equations"),
    ] = "weighted_gcv",
    regularization: Weight = 1e-3,
) -> Iterator[Step]:
    """The same space as hybrid LSQR; what is made small is the gradient ``Aᴴr``, with a penalty. Out of place.

    λ is on the scale of the squared Gram operator: ``‖Aᴴ(Ax − y)‖² + λ ‖x‖²``.
    """
    yield from _bidiagonal(A, y, x0, Projected(choice, regularization), True)


def _bidiagonal(
    A: LinearOperator, y: Tensor, x0: Tensor | None, rule: Projected, gradient: bool, probe: Tensor | None = None
) -> Iterator[Step]:
    _, of_y = flattened(A)
    own = Bidiagonal(A, of_y(y if x0 is None else y - A(x0)))
    beside = None if probe is None else Bidiagonal(A, of_y(probe))
    steep = own.alpha * own.first
    while True:
        diagonal, beta, B = own.extend()
        if beside is not None:
            rule.spectrum = beside.spectrum()
        right = _first(own.first, B.shape[-1] + 1)
        if gradient:
            last = torch.zeros_like(B[..., :1, :])
            last[..., 0, -1] = own.alpha * beta
            z, chosen = rule.solve(torch.cat((B.mT @ B, last), -2), _first(steep, B.shape[-1] + 1))
        else:
            z, chosen = rule.solve(B, right)
        residual = torch.linalg.vector_norm(times(B, z) - right, dim=-1)
        x = own.of_x.back(own.V.combine(z.to(own.V.array.dtype)))
        yield Step(
            x if x0 is None else x0 + x,
            residual=residual,
            regularization=chosen,
            solution_norm=torch.linalg.vector_norm(z, dim=-1),
            alpha=diagonal,
            beta=beta,
        )


def _first(value: Tensor, length: int) -> Tensor:
    """Return ``value · e₁``."""
    made = value.new_zeros(*value.shape, length)
    made.select(-1, 0).copy_(value)
    return made


@solver(
    "Hybrid GMRES",
    papers=[
        "Calvetti, Morigi, Reichel & Sgallari 2000: Tikhonov regularization and the L-curve for large discrete "
        "ill-posed problems",
        "Gazzola, Novati & Russo 2015: On Krylov projection methods and Tikhonov regularization",
        "Calvetti, Lewis & Reichel 2000: GMRES-type methods for inconsistent systems",
    ],
    equation=r"x_k = V_k \arg\min_z \|H_k z - V_{k+1}^* y\|^2 + \lambda_k \|z\|^2",
    reports=REPORTS,
    per_step={"A": 1},
    works="Square operators that are nearly self-adjoint, such as symmetric blurs, without an adjoint.",
    fails="Strong motion blur: the powers of A applied to the data hold no good solution; all vectors are kept.",
)
def hybrid_gmres(
    A: Annotated[LinearOperator, LINEAR_SQUARE],
    y: Tensor,
    noise_norm: Tensor | None = None,
    *,
    choice: Choice = "weighted_gcv",
    regularization: Weight = 1e-3,
    tau: Safety = 1.02,
    range_restricted: Annotated[
        bool, Help("start the space from A y instead of y, so that noise enters later")
    ] = False,
) -> Iterator[Step]:
    """Arnoldi's method without the adjoint, and Tikhonov on the Hessenberg problem. Out of place.

    Range restricted and with λ = 0 fixed this is RRGMRES. The Krylov space of A alone suits operators that are nearly
    self-adjoint, such as symmetric blurs; for strong motion blur it holds no good solution.
    """
    rule, (flat, _) = Projected(choice, regularization, noise_norm, tau), flattened(A)
    data = flat(y)
    V = Basis(data)
    V.extend(flat(A(y)) if range_restricted else data)
    columns = Columns()
    while True:
        inside, below = V.extend(flat(A(flat.back(V.last))))
        H = columns.append(torch.cat((inside, below[..., None].to(inside.dtype)), -1))
        right = times(V.vectors.conj(), data)
        outside = torch.linalg.vector_norm(data - V.combine(right), dim=-1)[..., None].to(right.dtype)
        H, right = torch.nn.functional.pad(H, (0, 0, 0, 1)), torch.cat((right, outside), -1)
        z, chosen = rule.solve(H, right)
        yield Step(
            flat.back(V.combine(z)),
            residual=torch.linalg.vector_norm(times(H, z) - right, dim=-1),
            regularization=chosen,
            solution_norm=torch.linalg.vector_norm(z, dim=-1),
        )


@solver(
    "RRGMRES",
    name="rrgmres",
    papers=[
        "Calvetti, Lewis & Reichel 2000: GMRES-type methods for inconsistent systems",
        "Jensen & Hansen 2007: Iterative regularization with minimum-residual methods",
    ],
    equation=r"x_k = \arg\min \|Ax-y\|_2,\quad x \in \operatorname{span}\{Ay, A^2y, \ldots, A^ky\}",
    reports=("residual", "solution_norm"),
    per_step={"A": 1},
    works="Symmetric blurs with noisy data and no adjoint: noise comes in later than with GMRES.",
    fails="Run on, it fits the noise; far from self-adjoint its space holds no good solution.",
)
def rrgmres(A: Annotated[LinearOperator, LINEAR_SQUARE], y: Tensor) -> Iterator[Step]:
    """Range-restricted GMRES: the space starts from A y, which is smoother than noisy data. Out of place.

    Without restarts, and without the adjoint; the number of steps regularises.
    """
    for step in hybrid_gmres(A, y, choice="fixed", regularization=0.0, range_restricted=True):
        del step.scalars["regularization"]
        yield step


@solver(
    "Flexible hybrid LSQR (l1)",
    name="flexible_lsqr",
    papers=[
        "Chung & Gazzola 2019: Flexible Krylov methods for l_p regularization",
        "Gazzola & Sabaté Landman 2019: Flexible GMRES for total variation regularization",
    ],
    equation=r"x_k = Z_k \arg\min_q \|M_k q - \beta_1 e_1\|^2 + \lambda_k \|q\|^2,\quad "
    r"z_k = |x_{k-1}|^{1/2} \odot v_k",
    reports=REPORTS,
    per_step={"A": 1, "Aᴴ": 1},
    works="Unknowns sparse in entries or cosines, or signals with few jumps, where λ is to be found on the way.",
    fails="Its penalty changes with every step, so no fixed objective is least; images of flat regions need MM-GKS.",
)
def flexible_lsqr(
    A: Annotated[LinearOperator, ONE_UNKNOWN],
    y: Tensor,
    noise_norm: Tensor | None = None,
    *,
    choice: Choice = "weighted_gcv",
    regularization: Weight = 1e-3,
    tau: Safety = 1.02,
    power: Annotated[float, Linear(0.1, 2, help="p of ‖x‖_p^p; 2 is hybrid LSQR")] = 1.0,
    basis: Annotated[
        Literal["entries", "cosine", "jumps"],
        Help("where the unknown is sparse; jumps of a signal: its total variation"),
    ] = "entries",
) -> Iterator[Step]:
    r"""Flexible Golub–Kahan: every new direction is weighted by the last iterate, which makes x sparse. Out of place.

    Iteratively reweighted: ``‖x‖_p^p ≈ ‖diag(|x|^{(p−2)/2}) x‖²``. As in the paper's FLSQR-R, λ penalises the
    coefficients of the solution subspace. A signal is the cumulative sum of its jumps, the first of them from zero.

    Raises
    ------
    SpecError
        If jumps are asked for and the unknown is no signal.
    """
    synthesis: LinearOperator | None = None
    if basis == "jumps":
        if not SIGNAL.admits(A.domain):
            raise SpecError("is 'jumps', and only a signal is given by them: use the solver 'mmgks'", "basis")
        synthesis = CumulativeSum(A.domain)
    elif basis == "cosine":
        synthesis = Cosine(A.domain).H
    if synthesis is not None:
        A = A @ synthesis
    of_x, of_y = flattened(A)
    rule = Projected(choice, regularization, noise_norm, tau)
    first = torch.linalg.vector_norm(of_y(y), dim=-1)
    U, weight, columns = Basis(of_y(y)), torch.ones((), device=y.device), Columns()
    U.extend(of_y(y))
    V: Basis | None = None
    while True:
        back = of_x(A.adjoint(of_y.back(U.last)))
        if V is None:
            V, Z = Basis(back), Basis(back)
        V.extend(back)
        Z.append(weight * V.last)
        inside, below = U.extend(of_y(A(of_x.back(Z.last))))
        M = columns.append(torch.cat((inside, below[..., None].to(inside.dtype)), -1))
        right = _first(first, M.shape[-2]).to(M.dtype)
        q, chosen = rule.solve(M, right)
        found = Z.combine(q)
        x = of_x.back(found)
        weight = of_x.spread(_weights(A, x, power))
        yield Step(
            x if synthesis is None else synthesis(x),
            residual=torch.linalg.vector_norm(times(M, q) - right, dim=-1),
            regularization=chosen,
            solution_norm=torch.linalg.vector_norm(found, dim=-1),
        )


def _weights(A: LinearOperator, x: Tensor, power: float) -> Tensor:
    """Return ``(|x| / max |x|)^{(2 − p)/2}``, not below √eps, so that every entry can still come back."""
    modulus = x.abs()
    largest = modulus.flatten(-A.domain.ndim).amax(-1)
    relative = safe_divide(modulus, largest.reshape(*largest.shape, *(1,) * A.domain.ndim).expand_as(modulus))
    return (relative ** (1 - power / 2)).clamp(min=A.domain.eps**0.5)
