"""How a Krylov method sees a spectrum: its residual polynomial, harmonic Ritz values, bounds, lost orthogonality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.filters import residual_polynomial
from explorer.analyses.krylov import ritz_values
from explorer.analyses.spectrum import SINGLE, decompose, leading_of, shown, within_reach
from explorer.catalogue import Capability, Log, SpecError, analysis, solvers
from explorer.operators.base import LinearOperator

PLAIN_KRYLOV = Capability(
    "a run of a Krylov method on the operator itself",
    lambda name: (
        name in solvers
        and solvers[name].traits.get("krylov", ("", ""))[1] in ("A", "AᴴA", "AᴴA + λI")
        and solvers[name].traits.get("zeros", "ritz") == "ritz"
    ),
)

#: distinct eigenvalues over which the least polynomial is sought; of more, some are left out evenly
MAX_POINTS = 600
#: rounds of reweighting, and the least weight
LAWSON, LEAST = 60, 1e-9


@dataclass(frozen=True)
class SolverPolynomial:
    """What k steps of a Krylov method do to every eigenvector.

    Attributes
    ----------
    eigenvalues : NDArray
        Of the operator `of`, descending, above rounding, shape ``(n,)``; of a large operator the leading ones.
    weights : NDArray
        The parts of the initial error in the energy norm, unit norm together, shape ``(*batch, n)``.
    values : NDArray
        ``p_k(λᵢ)``: what is left of each part, shape ``(*batch, n)``.
    ritz, harmonic : NDArray
        Ritz values, the zeros of p_k, and harmonic Ritz values, the zeros of the polynomial of least residual;
        descending, shape ``(*batch, k)``.
    step : int
    steps : NDArray of int
        Where the curves are known, from 0, shape ``(j,)``.
    measured : NDArray
        ``‖x* − x_k‖ / ‖x* − x_0‖`` in the energy norm, from the scalars of the run, shape ``(j, *batch)``;
        NaN, as the bounds, where not all eigenvalues are known.
    minimax : NDArray
        Bound from the spectrum: least ``maxᵢ |p(λᵢ)|`` of all p of that degree with p(0) = 1; shape ``(j,)``.
    chebyshev : NDArray
        Bound from the condition number alone, shape ``(j,)``.
    of : str
        The operator whose eigenvalues they are.
    sentence : str
    """

    eigenvalues: NDArray[np.floating]
    weights: NDArray[np.floating]
    values: NDArray[np.floating]
    ritz: NDArray[np.floating]
    harmonic: NDArray[np.floating]
    step: int
    steps: NDArray[np.integer]
    measured: NDArray[np.floating]
    minimax: NDArray[np.floating]
    chebyshev: NDArray[np.floating]
    of: str
    sentence: str


class Course:
    """What a Krylov method does to the eigenvectors of a problem: made once, then asked at any step of the run.

    Parameters are those of :func:`solver_polynomial`.

    Attributes
    ----------
    eigenvalues : NDArray
        Of the operator `of`, descending, above rounding, shape ``(n,)``; of a large operator the leading ones.
    weights : NDArray
        The parts of the initial error in the energy norm, unit norm together, shape ``(*batch, n)``.
    energy2 : NDArray
        Square of the initial error in the energy norm, shape ``(*batch,)``; NaN where not all eigenvalues are known.
    of : str
        The operator whose eigenvalues they are.
    """

    def __init__(
        self, A: LinearOperator, y: Tensor, solver: str, settings: Mapping[str, Any], x0: Tensor | None = None
    ) -> None:
        self._recurrence, of = solvers[solver].traits["krylov"]
        damping = np.unique(np.asarray(settings.get("damping", 0.0), np.float64))
        if len(damping) > 1:
            raise SpecError(f"has {len(damping)} values, and one spectrum has one: run with one damping", "damping")
        self._solver, self._damping = solver, float(damping[0])
        self.shift = self._damping if of == "AᴴA" else 0.0  # which the recurrence of A leaves out
        self.of = "A" if of == "A" else "AᴴA + λI" if self._damping > 0 else "AᴴA"
        self.whole = within_reach(A)
        r = y if x0 is None else y - A(x0)
        g = r if of == "A" else A.adjoint(r)
        if of != "A" and x0 is not None and self._recurrence == "lengths":
            g = g - self._damping * x0
        self._residual, self._gradient = (
            space.norm(z).double().cpu().numpy() for z, space in ((r, A.codomain), (g, A.domain))
        )
        s, parts = decompose(A, x=g) if self.whole else _leading_parts(A, g)
        s2 = s.double() if of == "A" else s.double() ** 2 + self._damping
        rounding = 100 if A.has_svd else max(A.domain.size, A.codomain.size)  # below, there is no error to speak of
        visible = s > rounding * A.domain.eps * s.max()
        keep = ((s2 > 0) if self._damping > 0 and of != "A" else visible).cpu().numpy()
        self.eigenvalues = s2.cpu().numpy()[keep]
        parts2 = parts.abs().double().cpu().numpy()[..., keep] ** 2 / self.eigenvalues
        known2 = parts2.sum(-1)
        self.energy2 = known2 if self.whole else np.full_like(known2, np.nan)
        self.weights = np.sqrt(parts2 / np.where(known2 > 0, known2, 1)[..., None])
        self._distinct = _distinct(self.eigenvalues)
        self._bounds: dict[int, float] = {}

    def at(
        self,
        history: Mapping[str, Any],
        step: int = 0,
        points: int = 1,
        only: NDArray[np.integer] | slice = slice(None),
        least: bool = True,
    ) -> SolverPolynomial:
        """Return the polynomial after a step of a run, finished or not.

        Parameters
        ----------
        history : mapping
            Of the run, columns of shape ``(steps, *batch)``.
        step : int
            0 for the last.
        points : int
            At most about so many points of the curves; 1 for their ends alone.
        only : NDArray of int or slice
            Which eigenvalues are looked at; every one unless given.
        least : bool
            Whether the bound from the spectrum is wanted; it takes longest, and is NaN unless it is known already.
        """
        found = ritz_values(history, self._solver, step=step)
        k, ritz = found.step, found.values + self.shift
        steps = np.unique(np.concatenate(([0, k], np.geomspace(1, k, points - 1).round()))).astype(int)
        drops = self._drops(history)
        left2 = np.clip(self.energy2 - drops.sum(0), 0, None) + np.concatenate(
            (drops[::-1].cumsum(0)[::-1], np.zeros((1, *drops.shape[1:])))
        )
        measured = np.sqrt(left2[steps] / np.where(self.energy2 == 0, 1, self.energy2))
        chebyshev, minimax = self._allowed(steps, least)
        values = self.eigenvalues[only]
        polynomial = residual_polynomial(np.broadcast_to(values, (*ritz.shape[:-1], len(values))), ritz)
        return SolverPolynomial(
            values, self.weights[..., only], polynomial, ritz,
            harmonic_values(history, self._solver, k) + self.shift, k, steps, measured, minimax, chebyshev, self.of,
            self._said(k, measured, minimax, chebyshev),
        )  # fmt: skip

    def _allowed(self, steps: NDArray[np.integer], least: bool) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return the bounds from the condition number and from the spectrum; NaN where the spectrum is not known."""
        if not self.whole:
            return np.full(len(steps), np.nan), np.full(len(steps), np.nan)
        chebyshev = _chebyshev(self.eigenvalues[0], self.eigenvalues[-1], steps)
        for j in map(int, steps):
            if least and j not in self._bounds:
                self._bounds[j] = _least(self._distinct, j)
        return chebyshev, np.minimum([self._bounds.get(int(j), np.nan) for j in steps], chebyshev)

    def _drops(self, history: Mapping[str, Any]) -> NDArray[np.floating]:
        """Return by how much each step lowers the squared energy of the error, ``α ‖g‖²`` (Hestenes & Stiefel)."""
        alpha, beta = (np.nan_to_num(np.asarray(history[name], np.float64)) for name in ("alpha", "beta"))
        if self._recurrence == "lengths":
            slope, start = ("gradient", self._gradient) if "gradient" in history else ("residual", self._residual)
            norms = np.concatenate((start[None], np.asarray(history[slope], np.float64)[:-1]))
            return alpha * norms**2
        rows = []
        phi_bar, rho_bar = self._residual, alpha[0]
        for k in range(len(alpha)):
            rho_hat = np.hypot(rho_bar, np.sqrt(self._damping))
            rho = np.hypot(rho_hat, beta[k])
            with np.errstate(invalid="ignore", divide="ignore"):
                kept = np.where(rho > 0, phi_bar * rho_bar / rho, 0.0)  # φ = c · φ̂ with φ̂ = φ̄ ρ̄ / ρ̂ and c = ρ̂ / ρ
                phi_bar = np.where(rho > 0, beta[k] / rho * phi_bar * rho_bar / rho_hat, 0.0)
                following = alpha[k + 1] if k + 1 < len(alpha) else 0.0
                rho_bar = np.where(rho > 0, -rho_hat / rho * following, 0.0)
            rows.append(kept**2)
        return np.stack(rows) + 0 * self._residual

    def _said(self, k: int, measured: Any, minimax: Any, chebyshev: Any) -> str:
        if not self.whole:
            return (
                f"After {k} steps {k} zeros are placed; how fast the error falls is not known, as the smallest "
                f"eigenvalues of {self.of} are not."
            )
        error = float(measured.reshape(len(measured), -1)[-1, 0])
        allowed = f"the eigenvalues allow at most {minimax[-1]:.2g}, and " if np.isfinite(minimax[-1]) else ""
        condition = self.eigenvalues[0] / self.eigenvalues[-1]
        return (
            f"After {k} steps the error in the energy norm is {error:.2g} of what it was; {allowed}"
            f"the condition number {condition:.3g} alone would say {chebyshev[-1]:.2g}."
        )


def _leading_parts(A: LinearOperator, g: Tensor) -> tuple[Tensor, Tensor]:
    """Return the leading singular values of a large operator, and the coefficients of `g` in their vectors."""
    found = leading_of(A)
    count = shown(found)
    right = found.right[:count].reshape(count, -1)
    return found.values[:count], g.reshape(*A.domain.batch(g), -1) @ right.mH


@analysis(
    "Polynomial of the solver",
    name="solver_polynomial",
    papers=[
        "van der Sluis & van der Vorst 1986: The rate of convergence of conjugate gradients",
        "Greenbaum 1979: Comparison of splittings used with the conjugate gradient algorithm",
        "Paige, Parlett & van der Vorst 1995: Approximate solutions and eigenvalue bounds from Krylov subspaces",
    ],
    equation=r"\|x^*-x_k\|_A \le \min_{p(0)=1} \max_i |p(\lambda_i)|\, \|x^*-x_0\|_A",
)
@torch.no_grad()
def solver_polynomial(
    A: Annotated[LinearOperator, SINGLE],
    y: Tensor,
    history: Mapping[str, Any],
    solver: Annotated[str, PLAIN_KRYLOV],
    settings: Mapping[str, Any],
    x0: Tensor | None = None,
    *,
    step: Annotated[int, Log(0, 100_000, unit="steps", help="after so many steps; 0: the last")] = 0,
    points: Annotated[int, Log(2, 200, help="at most so many points of the curves")] = 16,
) -> SolverPolynomial:
    """The residual polynomial of CG, CGLS or LSQR over the spectrum, and how fast the spectrum lets them converge.

    After k steps the part of the error along the eigenvector i is ``p_k(λᵢ)`` times what it was. Of all polynomials
    with p(0) = 1 the method takes the one of least error in the energy norm, so that ``maxᵢ |p(λᵢ)|`` of any other is
    a bound. The least one is found by reweighting (Lawson); it is a bound whether or not that has converged. Of an
    operator too large to decompose the leading eigenvalues are looked at; error and bounds are then not known.

    Raises
    ------
    SpecError
        If the damping differs between samples, or there is no step to go by.
    """
    return Course(A, y, solver, settings, x0).at(history, step, points)


def harmonic_values(history: Mapping[str, Any], solver: str, step: int) -> NDArray[np.floating]:
    """Return the harmonic Ritz values after `step` steps, descending: the zeros of the polynomial of least residual.

    With the Lanczos matrix ``T = C Cᵀ`` they are the eigenvalues of ``CᵀC + (t²/c²) e eᵀ``, t the next coefficient and
    c the last diagonal entry of C. LSQR tells t at the next step only: after its last step, those of one step before.
    """
    from scipy.linalg import eigvalsh_tridiagonal

    alpha, beta = (np.asarray(history[name], np.float64) for name in ("alpha", "beta"))
    batch = alpha.shape[1:]
    a, b = (z.reshape(len(z), -1) for z in (alpha, beta))
    rows = []
    if solvers[solver].traits["krylov"][0] == "lengths":
        for p, q in zip(a[:step].T, b[:step].T, strict=True):
            rows.append(eigvalsh_tridiagonal((1 + q) / p, np.sqrt(q[:-1] / (p[:-1] * p[1:])))[::-1])
    else:
        step = min(step, len(a) - 1)
        for p, q in zip(a[: step + 1].T, b[: step + 1].T, strict=True):
            rho, theta = _rotated(p[:step], q[:step])
            diagonal = rho**2 + np.append(theta, p[step] * q[step - 1] / rho[-1]) ** 2
            rows.append(eigvalsh_tridiagonal(diagonal, theta * rho[1:])[::-1])
    return np.stack(rows).reshape(*batch, -1)


def _rotated(
    alpha: NDArray[np.floating], beta: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return diagonal and superdiagonal of the triangle to which rotations bring a lower bidiagonal matrix."""
    rho, theta = np.empty(len(alpha)), np.empty(len(alpha) - 1)
    bar = alpha[0]
    for k, b in enumerate(beta):
        rho[k] = np.hypot(bar, b)
        if k + 1 < len(alpha):
            theta[k] = b / rho[k] * alpha[k + 1]
            bar = bar / rho[k] * alpha[k + 1]
    return rho, theta


def _distinct(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the different eigenvalues, copies to rounding taken as one; a few of many."""
    ordered = np.sort(values)
    kept = ordered[np.concatenate(([True], np.diff(ordered) > 1e-12 * ordered[1:]))]
    return kept if len(kept) <= MAX_POINTS else kept[np.unique(np.linspace(0, len(kept) - 1, MAX_POINTS).astype(int))]


def _chebyshev(high: float, low: float, steps: NDArray[np.integer]) -> NDArray[np.floating]:
    """Return ``1 / T_k((κ + 1) / (κ − 1))``: the least maximum over the whole interval."""
    with np.errstate(divide="ignore"):
        argument = np.arccosh((high + low) / (high - low)) if high > low else np.inf
    return np.where(steps == 0, 1.0, 2 / (np.exp(steps * argument) + np.exp(-steps * argument)))


def _least(values: NDArray[np.floating], degree: int) -> float:
    """Return ``maxᵢ |p(λᵢ)|`` of a polynomial with p(0) = 1 that makes it least, by Lawson's reweighting.

    For given weights the least sum of squares is a projection on ``λ, λ², …``, whose basis Lanczos' recurrence gives.
    """
    if degree == 0:
        return 1.0
    if degree >= len(values):
        return 0.0
    at = values / values[-1]
    weights, least = np.full(len(at), 1 / len(at)), np.inf
    for _ in range(LAWSON):
        root = np.sqrt(weights)
        left, basis = root.copy(), np.zeros((degree, len(at)))
        q = at * root
        for j in range(degree):
            for _ in range(2):
                q = q - basis[:j].T @ (basis[:j] @ q)
            norm = np.linalg.norm(q)
            if norm < 1e-14:
                break
            basis[j] = q / norm
            left = left - (basis[j] @ left) * basis[j]
            q = at * basis[j]
        size = np.abs(left / root)
        least = min(least, float(size.max()))
        if size.max() <= 1.01 * np.linalg.norm(left):  # ‖√w p‖ is a lower bound of the least maximum
            break
        weights = np.maximum(weights * size, LEAST * (weights * size).max())
        weights /= weights.sum()
    return least


@dataclass(frozen=True)
class Orthogonality:
    """How orthogonal the vectors of a Krylov method are in practice.

    Attributes
    ----------
    steps : NDArray of int
        Shape ``(k,)``.
    loss : NDArray
        ``‖VᴴV − I‖`` of the vectors up to each step, spectral norm, shape ``(k, *batch)``.
    lost : int
        First step at which it exceeds √eps in the first sample; 0 if never.
    sentence : str
    """

    steps: NDArray[np.integer]
    loss: NDArray[np.floating]
    lost: int
    sentence: str


@analysis(
    "Loss of orthogonality",
    papers=[
        "Paige 1976: Error analysis of the Lanczos algorithm for tridiagonalizing a symmetric matrix",
        "Greenbaum 1989: Behavior of slightly perturbed Lanczos and conjugate-gradient recurrences",
    ],
    equation=r"\|V_k^H V_k - I\|_2",
)
@torch.no_grad()
def orthogonality(domain: Any, arrays: Sequence[Mapping[str, Tensor]]) -> Orthogonality:
    """How far the Lanczos vectors of a run are from orthogonal; keep them with ``record={"bases": True}``.

    They stay orthogonal until a Ritz value has converged; then that eigenvector comes back, as a copy (Paige).

    Raises
    ------
    SpecError
        If the run kept no vectors.
    """
    kept = [domain._flat(row["v"]) for row in arrays if "v" in row]
    if not kept:
        raise SpecError("the run kept no vectors: run 'cgls' or 'lsqr' with record={'bases': True}", "record")
    V = torch.stack(kept, -2).to(torch.complex128 if domain.is_complex else torch.float64)
    norms = torch.linalg.vector_norm(V, dim=-1, keepdim=True)
    V = V / torch.where(norms > 0, norms, 1.0)
    off = V @ V.mH - torch.diag_embed((norms[..., 0] > 0).to(V.dtype))
    loss = torch.stack([torch.linalg.matrix_norm(off[..., :k, :k], 2) for k in range(1, len(kept) + 1)]).cpu().numpy()
    over = np.flatnonzero(loss.reshape(len(kept), -1)[:, 0] > domain.eps**0.5)
    lost = int(over[0]) + 1 if over.size else 0
    said = (
        f"From step {lost} on the vectors are not orthogonal: copies of eigenvalues that had converged appear, and "
        "convergence is delayed. Orthogonalising against all earlier vectors would cure it, at their cost."
        if lost
        else f"The {len(kept)} vectors are orthogonal to {float(loss[-1].max()):.2g}."
    )
    return Orthogonality(np.arange(1, len(kept) + 1), loss, lost, said)
