"""Filter factors: which directions of the unknown a method lets through, and what that costs.

A linear method from a zero start gives ``x = Σᵢ φᵢ (uᵢᴴy / σᵢ) vᵢ``. Its filter factors φᵢ say everything about it:
they are near 1 where the data are believed and near 0 where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.krylov import least_residual_zeros, ritz_values
from explorer.analyses.spectrum import DECOMPOSABLE, SINGLE, decompose, signed_values, values_of
from explorer.catalogue import Capability, Log, SpecError, analysis, solvers
from explorer.operators.base import Diagonal, LinearOperator

#: operators whose eigenvalues are a function of A's singular values, as solvers name them
_OF_GRAM = ("AᴴA", "AᴴA + λI")


def _tells(name: Any) -> bool:
    if name not in solvers:
        return False
    traits = solvers[name].traits
    polynomial = traits.get("krylov", ("", ""))[1] in ("A", *_OF_GRAM) and traits.get("zeros", "ritz") != "unknown"
    return "filter" in traits or polynomial


def _filters(name: Any) -> bool:
    return _tells(name) and "weighted" not in solvers[name].traits


TELLING = Capability("a run of a linear method that tells its filter", _tells)
FILTERING = Capability("a run of a linear method that tells its filter of the operator's own singular values", _filters)


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
        ``(*batch, step)``: there the filter factor is 1 (with damping, what damping leaves of it). Ritz values, or the
        harmonic ones of a method of least residual.
    dof : NDArray
        Sum of the factors: effective degrees of freedom, shape ``(*batch,)``.
    sentence : str
        What this means for the answer.
    of : str
        Whose singular values they are: A's, or those of A between the weights of the method.
    weights : tuple of Tensor
        Those weights, of data and unknown: ``W A V`` is what was decomposed, ``x = V Σ φᵢ (ûᵢᴴ W y / σᵢ) v̂ᵢ``.
    """

    values: NDArray[np.floating]
    factors: NDArray[np.floating]
    step: int
    ritz: NDArray[np.floating] | None
    dof: NDArray[np.floating]
    sentence: str
    of: str = "A"
    weights: tuple[Tensor | None, Tensor | None] = (None, None)


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
    weighted: bool = False,
) -> NDArray[np.floating]:
    """Return the filter factors of a method at any singular values.

    Parameters
    ----------
    values : NDArray
        Where they are wanted, shape ``(n,)``; for a method on a self-adjoint A its eigenvalues, of either sign.
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
    weighted : bool
        Whether the values are those of the operator between the weights of the method.

    Returns
    -------
    NDArray
        Shape ``(*batch, n)``.
    """
    able = TELLING if weighted else FILTERING
    if not able.admits(solver):
        raise SpecError(f"filter factors need {able.says}, and {solver!r} is not one: run 'cgls'", "solver")
    traits = solvers[solver].traits
    values = np.asarray(values, np.float64)
    if "filter" in traits:
        made: Callable[..., Any] = traits["filter"]
        chosen = {name: history[name][step - 1] for name in settings if name in history}  # what a rule chose
        return np.asarray(made(values, step, float(values.max() if norm is None else norm), {**settings, **chosen}))
    _, of = traits["krylov"]
    zeros = traits.get("zeros", "ritz")
    told = history["regularization"][step - 1] if zeros == "damped" else settings.get("damping", 0.0)
    damping = np.asarray(told, np.float64)[..., None]
    if zeros == "harmonic":
        ritz = least_residual_zeros(history, solver, step, damping)
    else:
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
    solver: Annotated[str, TELLING],
    settings: Mapping[str, Any],
    *,
    step: Annotated[int, Log(0, 100_000, unit="steps", help="after so many steps; 0: the last")] = 0,
) -> FilterFactors:
    """What a linear method lets through at one of its steps, in closed form or from the scalars of its run.

    Conjugate gradients have ``φ = 1 − p_k(σ²)`` with their residual polynomial; the zeros of p are the Ritz values, so
    that a direction counts as solved when a Ritz value has come to it. The factors make the iterate again to rounding
    until a first Ritz value has converged to rounding; beyond, orthogonality is lost and the agreement is some digits.
    MINRES and LSMR have the polynomial of least residual, whose zeros are the harmonic Ritz values; SIRT and Cimmino
    filter the singular values of A between their weights. Of an operator too large to decompose they are those of the
    leading directions.

    Raises
    ------
    SpecError
        If the method tells no filter.
    """
    steps = len(history["seconds"]) if "seconds" in history else len(next(iter(history.values())))
    k = min(step or steps, steps)
    seen = filtered_values(A, solver, settings)
    found = filter_report(seen.values, history, solver, settings, k, weighted=seen.weights is not None)
    return found if seen.weights is None else replace(found, of=f"{seen.of} of the method", weights=seen.weights)


@dataclass(frozen=True)
class Filtered:
    """What a method filters.

    Attributes
    ----------
    values : NDArray
        Singular values, or the eigenvalues of a method on a self-adjoint A, by modulus descending, shape ``(n,)``.
    of : str
        Whose they are.
    weights : tuple of Tensor or None
        As in :class:`FilterFactors`; None for a method without any.
    """

    values: NDArray[np.floating]
    of: str = "A"
    weights: tuple[Tensor | None, Tensor | None] | None = None


@torch.no_grad()
def filtered_values(A: LinearOperator, solver: str, settings: Mapping[str, Any]) -> Filtered:
    """Return what a method filters: it takes long, and does not depend on the run.

    Raises
    ------
    SpecError
        If the method tells no filter.
    """
    if not TELLING.admits(solver):
        raise SpecError(f"filter factors need {TELLING.says}, and {solver!r} is not one: run 'cgls'", "solver")
    weights = solvers[solver].traits.get("weighted")
    if weights is None:
        return Filtered(_seen(A, solver))
    made = weights(A, settings)
    if made is None:
        raise SpecError(f"with these settings {solvers[solver].title} is not linear, and has no filter", "solver")
    for place, weight in zip("lr", made, strict=True):
        if weight is not None:
            side = Diagonal(A.codomain if place == "l" else A.domain, weight)
            A = side @ A if place == "l" else A @ side
    return Filtered(values_of(A), "A between the weights", made)


def _seen(A: LinearOperator, solver: str) -> NDArray[np.floating]:
    """Return the values that a method filters: of a method on A itself with their signs."""
    return signed_values(A) if solvers[solver].traits.get("krylov", ("", ""))[1] == "A" else values_of(A)


def filter_report(
    values: NDArray[np.floating],
    history: Mapping[str, Any],
    solver: str,
    settings: Mapping[str, Any],
    step: int,
    weighted: bool = False,
) -> FilterFactors:
    """Return the filter factors at some singular values, descending and the largest among them.

    Parameters are those of :func:`factors_at`.
    """
    factors = factors_at(values, history, solver, settings, step, weighted=weighted)
    sizes: NDArray[np.floating] = np.abs(np.asarray(values, np.float64))
    batch = np.shape(history["residual"])[1:] if "residual" in history else ()
    factors = np.broadcast_to(factors, (*batch, len(sizes))) if factors.ndim == 1 else factors
    ritz = None
    if "krylov" in solvers[solver].traits:
        of = solvers[solver].traits["krylov"][1]
        if solvers[solver].traits.get("zeros") == "harmonic":
            damping = np.asarray(settings.get("damping", 0.0), np.float64)[..., None]
            found = least_residual_zeros(history, solver, step, damping)
            found = found - damping
        else:
            found = ritz_values(history, solver, step=step).values
        ritz = np.sqrt(np.maximum(found, 0)) if of in _OF_GRAM else np.abs(found)
    dof = factors.sum(-1)
    return FilterFactors(sizes, factors, step, ritz, dof, _said(sizes, factors, dof))


def _said(values: NDArray[np.floating], factors: NDArray[np.floating], dof: NDArray[np.floating]) -> str:
    one = factors.reshape(-1, len(values))[0]
    passed = int((one > 0.5).sum())
    amount = float(np.reshape(dof, -1)[0])
    return (
        f"{passed:,} of {len(values):,} directions pass with more than half their size; the answer has "
        f"{amount:,.3g} effective degrees of freedom."
    )


@analysis(
    "Effective filter",
    name="effective_filter",
    papers=[
        "Jensen & Hansen 2007: Iterative regularization with minimum-residual methods",
        "Hansen 1998: Rank-deficient and discrete ill-posed problems",
    ],
    equation=r"\varphi_i = \sigma_i\, \frac{\langle v_i, x_k\rangle}{u_i^H y}",
)
@torch.no_grad()
def effective_filter(
    A: Annotated[LinearOperator, DECOMPOSABLE],
    y: Tensor,
    iterates: Sequence[tuple[int, Tensor]],
    *,
    step: Annotated[int, Log(0, 100_000, unit="steps", help="the kept iterate nearest to it; 0: the last")] = 0,
) -> FilterFactors:
    """What an iterate has of each coefficient of the naive solution, whatever the method.

    For a linear method that filters singular values these are its filter factors. GMRES mixes the singular vectors of
    an operator that is not normal, and TV or l1 those of any: their factors belong to these data alone, and may be
    negative or above one. NaN where the data are rounding; real parts of complex quotients.

    Raises
    ------
    SpecError
        If the run kept no iterate.
    """
    if not iterates:
        raise SpecError("the run kept no iterates: run with record={'snapshots': 48}", "record")
    k, x = min(iterates, key=lambda kept: abs(kept[0] - step)) if step else iterates[-1]
    s, data, found = decompose(A, y, x)
    size = data.abs()
    known = (size > A.codomain.eps * A.codomain.norm(y)[..., None]) & (s > 0)
    ratio = s * (data.conj() * found).real / torch.where(known, size, 1.0) ** 2
    factors = torch.where(known, ratio, math.nan).double().cpu().numpy()
    values, dof = s.double().cpu().numpy(), np.nansum(factors, -1)
    return FilterFactors(values, factors, k, None, dof, _said(values, factors, dof))


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
    values, filtered = s.cpu().numpy().astype(np.float64), _seen(A, solver)
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
        factors = filter_report(filtered, history, solver, settings, int(k)).factors
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
