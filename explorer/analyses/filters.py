"""Filter factors: which directions of the unknown a method lets through, and what that costs.

A linear method from a zero start gives ``x = Σᵢ φᵢ (uᵢᴴy / σᵢ) vᵢ``. Its filter factors φᵢ say everything about it:
they are near 1 where the data are believed and near 0 where they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.krylov import ritz_values
from explorer.analyses.spectrum import DECOMPOSABLE, SINGLE, decompose, values_of
from explorer.catalogue import Capability, Log, SpecError, analysis, solvers
from explorer.operators.base import LinearOperator

#: operators whose eigenvalues are a function of A's singular values, as solvers name them
_OF_GRAM = ("AᴴA", "AᴴA + λI")


def _filters(name: Any) -> bool:
    if name not in solvers:
        return False
    traits = solvers[name].traits
    return "filter" in traits or traits.get("krylov", ("", ""))[1] in ("A", *_OF_GRAM)


FILTERING = Capability("a run of a linear method that tells its filter", _filters)


@dataclass(frozen=True)
class FilterFactors:
    """What a method lets through.

    Attributes
    ----------
    values : NDArray
        Singular values σᵢ, descending, shape ``(n,)``.
    factors : NDArray
        Filter factors φᵢ in that order, shape ``(*batch, n)``.
    step : int
        Number of steps after which the method has them.
    ritz : NDArray or None
        For a Krylov method the zeros of the residual polynomial as singular values, descending, shape
        ``(*batch, step)``: there the filter factor is 1.
    dof : NDArray
        Sum of the factors: effective degrees of freedom, shape ``(*batch,)``.
    sentence : str
        What this means for the answer.
    """

    values: NDArray[np.floating]
    factors: NDArray[np.floating]
    step: int
    ritz: NDArray[np.floating] | None
    dof: NDArray[np.floating]
    sentence: str


@dataclass(frozen=True)
class ErrorSplit:
    """The error of every iterate in its two parts, relative to the norm of the truth.

    Attributes
    ----------
    steps : NDArray of int
        Shape ``(k,)``.
    regularization : NDArray
        What the filter takes away from the truth, ``‖Σ (φᵢ − 1) ⟨vᵢ, x⟩ vᵢ‖``, its null space included; shape
        ``(k, *batch)``.
    perturbation : NDArray
        What it makes of the noise, ``‖Σ φᵢ uᵢᴴn / σᵢ vᵢ‖``, shape ``(k, *batch)``.
    sentence : str
        Where the second overtakes the first.
    """

    steps: NDArray[np.integer]
    regularization: NDArray[np.floating]
    perturbation: NDArray[np.floating]
    sentence: str


def factors_at(
    values: NDArray[np.floating],
    history: Mapping[str, Any],
    solver: str,
    settings: Mapping[str, Any],
    step: int,
    norm: float | None = None,
) -> NDArray[np.floating]:
    """Return the filter factors of a method at any singular values.

    Parameters
    ----------
    values : NDArray
        Where they are wanted, shape ``(n,)``.
    history : mapping
        Of the run, columns of shape ``(steps, *batch)``.
    solver : str
        Name of the method.
    settings : mapping
        Its knobs.
    step : int
        After so many steps.
    norm : float, optional
        ``‖A‖``; the largest of `values` unless given.

    Returns
    -------
    NDArray
        Shape ``(*batch, n)``.
    """
    if not FILTERING.admits(solver):
        raise SpecError(f"filter factors need {FILTERING.says}, and {solver!r} is not one: run 'cgls'", "solver")
    traits = solvers[solver].traits
    values = np.asarray(values, np.float64)
    if "filter" in traits:
        made: Callable[..., Any] = traits["filter"]
        chosen = {name: history[name][step - 1] for name in settings if name in history}  # what a rule chose
        return np.asarray(made(values, step, float(values.max() if norm is None else norm), {**settings, **chosen}))
    _, of = traits["krylov"]
    damping = np.asarray(settings.get("damping", 0.0), np.float64)[..., None]
    ritz = ritz_values(history, solver, step=step).values + (damping if of == "AᴴA" else 0.0)
    at = values if of == "A" else values**2 + damping
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(at > 0, values**2 / at, 1.0) if of in _OF_GRAM else 1.0
    size, sign = _logarithm(at, ritz)
    return np.where(sign > 0, -np.expm1(size), 1 - sign * np.exp(size)) * kept


def residual_polynomial(at: NDArray[np.floating], ritz: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the polynomial p with ``r_k = p(A) r_0`` of conjugate gradients from its zeros, the Ritz values.

    Its own recurrence would do as well until Ritz values converge; then it grows as rounding does.

    Parameters
    ----------
    at : NDArray
        Where it is wanted, shape ``(n,)`` or ``(*batch, n)``.
    ritz : NDArray
        Shape ``(*batch, k)``.

    Returns
    -------
    NDArray
        Shape ``(*batch, n)``; ``p(0) = 1``.
    """
    size, sign = _logarithm(at, ritz)
    return sign * np.exp(size)


def _logarithm(
    at: NDArray[np.floating], ritz: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return ``log |p|`` and the sign of p: the product of many factors may leave the range of numbers."""
    shape = np.broadcast_shapes(at.shape[:-1], ritz.shape[:-1]) + at.shape[-1:]
    size, sign = np.zeros(shape), np.ones(shape)
    with np.errstate(divide="ignore"):
        for j in range(ritz.shape[-1]):
            part = at / ritz[..., j : j + 1]
            size += np.where(part < 0.5, np.log1p(-np.minimum(part, 0.5)), np.log(np.abs(1 - part)))
            sign *= np.sign(1 - part)
    return np.minimum(size, 700.0), sign


@analysis(
    "Filter factors",
    papers=[
        "Hansen 1998: Rank-deficient and discrete ill-posed problems",
        "van der Sluis & van der Vorst 1990: SIRT- and CG-type methods for the iterative solution of sparse linear "
        "least-squares problems",
    ],
    equation=r"x_k = \sum_i \varphi_i^{(k)} \frac{u_i^H y}{\sigma_i} v_i",
)
@torch.no_grad()
def filter_factors(
    A: Annotated[LinearOperator, SINGLE],
    history: Mapping[str, Any],
    solver: Annotated[str, FILTERING],
    settings: Mapping[str, Any],
    *,
    step: Annotated[int, Log(0, 100_000, unit="steps", help="after so many steps; 0: the last")] = 0,
) -> FilterFactors:
    """What a linear method lets through at one of its steps, in closed form or from the scalars of its run.

    Conjugate gradients have ``φ = 1 − p_k(σ²)`` with their residual polynomial; the zeros of p are the Ritz values, so
    that a direction counts as solved when a Ritz value has come to it. The factors make the iterate again to rounding
    until a first Ritz value has converged to rounding; beyond, orthogonality is lost and the agreement is some digits.
    Of an operator too large to decompose they are those of the leading directions.

    Raises
    ------
    SpecError
        If the method tells no filter.
    """
    steps = len(history["seconds"]) if "seconds" in history else len(next(iter(history.values())))
    k = min(step or steps, steps)
    return filter_report(values_of(A), history, solver, settings, k)


def filter_report(
    values: NDArray[np.floating], history: Mapping[str, Any], solver: str, settings: Mapping[str, Any], step: int
) -> FilterFactors:
    """Return the filter factors at some singular values, descending and the largest among them.

    Parameters are those of :func:`factors_at`.
    """
    values = values.astype(np.float64)
    factors = factors_at(values, history, solver, settings, step)
    batch = np.shape(history["residual"])[1:] if "residual" in history else ()
    factors = np.broadcast_to(factors, (*batch, len(values))) if factors.ndim == 1 else factors
    ritz = None
    if "krylov" in solvers[solver].traits:
        found = ritz_values(history, solver, step=step).values
        ritz = np.sqrt(found) if solvers[solver].traits["krylov"][1] in _OF_GRAM else found
    dof = factors.sum(-1)
    return FilterFactors(values, factors, step, ritz, dof, _said(values, factors, dof))


def _said(values: NDArray[np.floating], factors: NDArray[np.floating], dof: NDArray[np.floating]) -> str:
    one = factors.reshape(-1, len(values))[0]
    passed = int((one > 0.5).sum())
    amount = float(np.reshape(dof, -1)[0])
    return (
        f"{passed:,} of {len(values):,} directions pass with more than half their size; the answer has "
        f"{amount:,.3g} effective degrees of freedom."
    )


@analysis(
    "Error split",
    papers=["Hansen 1998: Rank-deficient and discrete ill-posed problems"],
    equation=r"x_k - x = \sum_i \left((\varphi_i - 1)\langle v_i, x\rangle + \varphi_i\, u_i^H n / \sigma_i\right) v_i",
)
@torch.no_grad()
def error_split(
    A: Annotated[LinearOperator, DECOMPOSABLE],
    y: Tensor,
    clean: Tensor,
    x_true: Tensor,
    history: Mapping[str, Any],
    solver: Annotated[str, FILTERING],
    settings: Mapping[str, Any],
    *,
    points: Annotated[int, Log(1, 1000, help="at most so many steps, evenly on a logarithmic axis")] = 60,
) -> ErrorSplit:
    """How much of the error is truth that the filter takes away, and how much is noise that it lets in.

    The first part falls with the number of steps and the second one rises: their sum has a least value, which is
    semi-convergence. The filter of a Krylov method depends on the data, noise included; here it is held fixed.
    """
    s, noise, truth = decompose(A, y - clean, x_true)
    values = s.cpu().numpy().astype(np.float64)
    steps = len(history["seconds"])
    at = np.unique(np.geomspace(1, steps, min(points, steps)).round().astype(int))
    signal = truth.abs().cpu().numpy().astype(np.float64)
    noises = noise.abs().cpu().numpy().astype(np.float64)
    whole = float(A.domain.norm(x_true))
    outside = max(whole**2 - float((signal**2).sum()), 0.0)  # the part in the null space
    with np.errstate(divide="ignore"):
        inverse = np.where(values > 0, 1 / values, 0.0)
    bias, spread = [], []
    for k in at:
        factors = filter_report(values, history, solver, settings, int(k)).factors
        bias.append(np.sqrt((((factors - 1) * signal) ** 2).sum(-1) + outside) / whole)
        spread.append(np.linalg.norm(factors * inverse * noises, axis=-1) / whole)
    regularization, perturbation = np.stack(bias), np.stack(spread)
    over = np.flatnonzero(perturbation.reshape(len(at), -1)[:, 0] > regularization.reshape(len(at), -1)[:, 0])
    said = (
        f"From step {at[over[0]]} on, the noise let in is larger than what the filter takes away."
        if over.size
        else "Up to the last step, what the filter takes away is larger than the noise that it lets in."
    )
    return ErrorSplit(at, regularization, perturbation, said)
