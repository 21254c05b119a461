"""What the scalars of a Krylov method tell of the operator's spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from explorer.catalogue import Capability, Log, SpecError, analysis, solvers

#: steps whose Ritz values NumPy finds in less time than SciPy takes to load
_FEW = 400

KRYLOV = Capability(
    "a run of a Krylov method that tells its recurrence",
    lambda name: name in solvers and "krylov" in solvers[name].traits,
)


@dataclass(frozen=True)
class RitzValues:
    """Approximations to eigenvalues that a Krylov method has found.

    Attributes
    ----------
    values : NDArray
        Ritz values after `step` steps, descending, shape ``(*batch, step)``.
    step : int
        Number of steps; fewer than asked for where a sample had converged before.
    of : str
        The operator whose eigenvalues they approximate.
    sentence : str
        What this means for the run.
    """

    values: NDArray[np.floating]
    step: int
    of: str
    sentence: str


@analysis(
    "Ritz values",
    papers=[
        "Lanczos 1950: An iteration method for the solution of the eigenvalue problem",
        "van der Sluis & van der Vorst 1986: The rate of convergence of conjugate gradients",
    ],
    equation=r"V_k^H A V_k = T_k = \mathrm{tridiag}",
)
def ritz_values(
    history: Mapping[str, Any],
    solver: Annotated[str, KRYLOV],
    *,
    step: Annotated[int, Log(0, 100_000, unit="steps", help="after so many steps; 0: all")] = 0,
) -> RitzValues:
    """Eigenvalues of the projection of the operator on the Krylov space that a run has built.

    Conjugate gradients (on A, on M A, or as CGLS on AᴴA + λI) give the Lanczos matrix by their step lengths α and β;
    LSQR and LSMR give the lower bidiagonal matrix itself, whose squared singular values these are; MINRES gives the
    Lanczos matrix.

    Parameters
    ----------
    history : mapping
        Of a run, with columns ``alpha`` and ``beta``, shape ``(steps, *batch)``.
    solver : str
        Name of the solver that made it.

    Raises
    ------
    SpecError
        If the solver is no Krylov method, or there is no step to go by.
    """
    if not KRYLOV.admits(solver):
        raise SpecError(f"Ritz values need {KRYLOV.says}, and {solver!r} is not one: run 'cgls' or 'lsqr'", "solver")
    recurrence, of = solvers[solver].traits["krylov"]
    alpha, beta = (np.asarray(history[name], np.float64) for name in ("alpha", "beta"))
    going = np.isfinite(alpha) & (alpha > 0)
    if recurrence == "lanczos":  # whose diagonal may have any sign: it ends where nothing is left beside the space
        going = np.concatenate((np.ones_like(going[:1]), (np.isfinite(beta) & (beta > 0))[:-1]))
    usable = int(np.logical_and.accumulate(going.reshape(len(alpha), -1).all(1)).sum())
    k = min(step or usable, usable)
    if k == 0:
        raise SpecError("the history has no step before convergence: run longer, or from another start", "history")
    of_one = {
        "lengths": _eigenvalues, "bidiagonal": _squared_singular_values, "lanczos": _tridiagonal_eigenvalues
    }[recurrence]  # fmt: skip
    columns = zip(alpha[:k].reshape(k, -1).T, beta[:k].reshape(k, -1).T, strict=True)
    values = np.stack([of_one(a, b) for a, b in columns]).reshape(*alpha.shape[1:], k)
    low, high = float(values[..., -1].min()), float(values[..., 0].max())
    return RitzValues(
        values, k, of, f"After {k} steps the method has seen eigenvalues of {of} {low:.3g} to {high:.3g}."
    )


def _eigenvalues(alpha: NDArray[np.floating], beta: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the eigenvalues of the Lanczos matrix of conjugate gradients with these step lengths, descending."""
    diagonal = 1 / alpha
    diagonal[1:] += beta[:-1] / alpha[:-1]
    return _tridiagonal_eigenvalues(diagonal, np.append(np.sqrt(beta[:-1]) / alpha[:-1], 0.0))


def _tridiagonal_eigenvalues(alpha: NDArray[np.floating], beta: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return those of the tridiagonal matrix with diagonal alpha and subdiagonal beta, descending."""
    if len(alpha) <= _FEW:
        return np.linalg.eigvalsh(np.diag(alpha) + np.diag(beta[:-1], -1))[::-1]
    from scipy.linalg import eigvalsh_tridiagonal

    return eigvalsh_tridiagonal(alpha, beta[:-1])[::-1]


def _squared_singular_values(alpha: NDArray[np.floating], beta: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return those of the lower bidiagonal matrix B with diagonal alpha and subdiagonal beta, descending.

    Its rows and columns in turn make ``[0 B; Bᵀ 0]`` tridiagonal, with the eigenvalues ±σ and 0 (Golub & Kahan).
    """
    from scipy.linalg import eigvalsh_tridiagonal

    k = len(alpha)
    return eigvalsh_tridiagonal(np.zeros(2 * k + 1), np.stack((alpha, beta), -1).reshape(-1))[:k:-1] ** 2


def _bidiagonal(alpha: NDArray[np.floating], beta: NDArray[np.floating]) -> NDArray[np.floating]:
    k = len(alpha)
    lower = np.zeros((k + 1, k))
    lower[np.arange(k), np.arange(k)] = alpha
    lower[np.arange(1, k + 1), np.arange(k)] = beta
    return lower


def least_residual_zeros(
    history: Mapping[str, Any], solver: str, step: int, damping: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return the zeros of the residual polynomial of MINRES or LSMR after `step` steps: harmonic Ritz values.

    With the Lanczos matrix T and what continues it, ``(T; t eᵀ) = Q R``, they are the reciprocals of the eigenvalues of
    ``R⁻ᵀ T R⁻¹``, which are real. One of them is infinite where T is singular.

    Parameters
    ----------
    history : mapping
        Of a run.
    solver : str
        Its method.
    step : int
    damping : NDArray
        Shift of T, shape ``(*batch, 1)`` or ``(1,)``; the zeros contain it.

    Returns
    -------
    NDArray
        Shape ``(*batch, step)``.
    """
    from scipy.linalg import solve_triangular

    alpha, beta = (np.asarray(history[name], np.float64)[:step] for name in ("alpha", "beta"))
    batch = alpha.shape[1:]
    shifts = np.broadcast_to(damping[..., 0], batch).reshape(-1)
    rows = []
    lanczos = solvers[solver].traits["krylov"][0] == "lanczos"
    following = beta if lanczos else beta * np.asarray(history["following"], np.float64)[:step]
    columns = (z.reshape(step, -1).T for z in (alpha, beta, following))
    for a, b, t, shift in zip(*columns, shifts, strict=True):
        if lanczos:
            T = np.diag(a) + np.diag(b[:-1], 1) + np.diag(b[:-1], -1)
        else:
            lower = _bidiagonal(a, b)
            T = lower.T @ lower + shift * np.eye(step)
        last = np.zeros((1, step))
        last[0, -1] = t[-1]
        Q, R = np.linalg.qr(np.concatenate((T, last)))
        small = solve_triangular(R, Q[:step], trans="T")  # T R⁻¹ is the upper part of Q
        with np.errstate(divide="ignore"):
            rows.append(np.sort(1 / np.linalg.eigvalsh((small + small.T) / 2))[::-1])
    return np.stack(rows).reshape(*batch, step)
