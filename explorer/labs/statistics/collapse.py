r"""Refitting a model to what the model before it says: how errors grow with every generation.

Row 270: Dohmatob, Feng & Kempe 2024: Model Collapse Demystified: The Case of Regression. Generation n is fitted to
fresh inputs with labels from generation n − 1 and fresh noise. The paper's generators are least squares without a
ridge and the last fit has one; so here. What it finds for regression, :func:`repeated_inversion` shows for Tikhonov's
method on any operator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import DECOMPOSABLE, decompose
from explorer.catalogue import Help, Linear, Log, SpecError, analysis
from explorer.linalg import Rng
from explorer.operators.base import LinearOperator

Tuning = Literal["none", "start", "each"]

_PAPERS = ["row 270", "Dohmatob, Feng & Kempe 2024: Model collapse demystified: the case of regression"]
#: largest number of entries of the inputs of all repeats together
MAX_ENTRIES = 2**26


@dataclass(frozen=True)
class Collapse:
    """The test error of a model after n generations of refitting.

    Attributes
    ----------
    generation : NDArray of int
        n from 0, the fit to clean labels, shape ``(k,)``.
    error : NDArray
        Mean of ``‖w − w₀‖²`` in the norm of the inputs' covariance over the repeats, shape ``(k,)``.
    predicted : NDArray
        The same by theory, shape ``(k,)``: exact without a ridge, else the deterministic equivalent; NaN where neither
        is known (generators with fewer samples than unknowns and uneven inputs).
    ridge : NDArray
        Ridge parameter λ of the last fit, shape ``(k,)``.
    slope : float
        Growth of the error a generation, by a line fitted through `error`.
    sentence : str
        What this means.
    """

    generation: NDArray[np.integer]
    error: NDArray[np.floating]
    predicted: NDArray[np.floating]
    ridge: NDArray[np.floating]
    slope: float
    sentence: str


def inputs_and_truth(unknowns: int, decay: float, smoothness: float) -> tuple[Tensor, Tensor]:
    """Return eigenvalues ``i^−decay`` of the covariance and weights with ``w_i² ~ i^−smoothness`` of test norm 1."""
    i = torch.arange(1, unknowns + 1, dtype=torch.float64)
    spectrum, w = i**-decay, i ** (-smoothness / 2)
    return spectrum, w / (spectrum * w**2).sum().sqrt()


def ridge_error(
    spectrum: Tensor, w: Tensor, sigma: float, samples: int, generations: Tensor, source: int, ridge: Tensor
) -> Tensor:
    """Return the deterministic equivalent of the test error of the last fit, ``bias + variance + n · extra``.

    With κ from ``κ = λ + κ/T Σ s/(s + κ)`` and ``f = Σ s²/(s + κ)² / T``, a target v is missed by ``κ² Σ s v²/(s + κ)²
    / (1 − f)`` and noise adds ``σ² f / (1 − f)``. The generator differs from w₀ by ``n σ²/(T₀ − d − 1) Σ⁻¹``, of which
    the last fit lets through what the same two formulas say.

    Parameters
    ----------
    spectrum, w : Tensor
        Eigenvalues of the inputs' covariance and target, shape ``(d,)``.
    sigma : float
        Standard deviation of the noise of every generation.
    samples, source : int
        Samples T of the last fit, and T₀ of every fit before it.
    generations, ridge : Tensor
        n and λ, of shapes that broadcast.

    Returns
    -------
    Tensor
        The shape of `generations` and `ridge` together.
    """
    lam, n = ridge.unsqueeze(-1), generations.unsqueeze(-1)
    kappa = _effective_ridge(spectrum, samples, ridge).unsqueeze(-1)
    kept = spectrum / (spectrum + kappa)
    f = (kept**2).sum(-1) / samples
    missed = ((1 - kept) ** 2 * spectrum * w**2).sum(-1) / (1 - f)
    drift = n * sigma**2 / (source - len(spectrum) - 1) * torch.ones_like(lam) if source else 0 * n * lam
    through = (drift * (kept**2 + (1 - kept) ** 2 * (f / (1 - f)).unsqueeze(-1))).sum(-1)
    return missed + sigma**2 * f / (1 - f) + through


def _effective_ridge(spectrum: Tensor, samples: int, ridge: Tensor) -> Tensor:
    """Solve ``κ = λ + κ/T Σ s/(s + κ)`` by bisection of the logarithm: the right side over κ falls with κ."""
    low = (ridge + 1e-300).log()
    high = (ridge + spectrum.sum() / samples).log()
    for _ in range(60):
        middle = (low + high) / 2
        kappa = middle.exp()
        dof = (spectrum / (spectrum + kappa.unsqueeze(-1))).sum(-1)
        below = kappa * (1 - dof / samples) < ridge
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.where(ridge > 0, ((low + high) / 2).exp(), torch.zeros_like(ridge))


def fitted(X: Tensor, y: Tensor, ridge: Tensor | float = 0.0) -> Tensor:
    """Return the ridge fit ``argmin ‖Xw − y‖²/T + λ‖w‖²``, or the smallest exact one with fewer samples than unknowns.

    Parameters
    ----------
    X, y : Tensor
        Shapes ``(repeats, T, d)`` and ``(repeats, T)``.
    """
    T, d = X.shape[-2:]
    if d > T and not float(ridge):
        return (X.mT @ torch.cholesky_solve(y.unsqueeze(-1), torch.linalg.cholesky(X @ X.mT))).squeeze(-1)
    gram = X.mT @ X + T * ridge * torch.eye(d, dtype=X.dtype, device=X.device)
    return torch.cholesky_solve(X.mT @ y.unsqueeze(-1), torch.linalg.cholesky(gram)).squeeze(-1)


@analysis(
    "Model collapse in regression",
    papers=_PAPERS,
    equation=r"E_n = \mathrm{bias} + \mathrm{variance} + n\,\frac{\sigma^2}{T_0 - d - 1}\,\mathrm{extra}",
)
@torch.no_grad()
def model_collapse(
    *,
    unknowns: Annotated[int, Log(1, 2000, help="number d of weights")] = 20,
    samples: Annotated[int, Log(2, 20_000, help="samples T of every fit")] = 60,
    sigma: Annotated[float, Log(0, 100, help="standard deviation of the noise of the labels")] = 0.5,
    decay: Annotated[float, Linear(0, 4, help="eigenvalues of the inputs fall as i to minus this; 0: isotropic")] = 0.0,
    smoothness: Annotated[float, Linear(0, 4, help="squares of the true weights fall as i to minus this")] = 0.0,
    ridge: Annotated[float, Log(0, 1e3, help="ridge parameter λ of the last fit, of no use where it is tuned")] = 0.0,
    tuned: Annotated[Tuning, Help("ridge as given, or best in theory for generation 0, or for each generation")] = (
        "none"
    ),
    generations: Annotated[int, Log(1, 200, help="number of refits after the first")] = 10,
    repeats: Annotated[int, Log(1, 100_000, help="independent repetitions")] = 200,
    seed: Annotated[int, Linear(0, 2**31, help="seed of inputs and noise")] = 0,
) -> Collapse:
    """Fit a model, fit the next to its labels, and so on: each generation adds as much error as the first one had.

    Least squares on isotropic inputs has the test error ``(n + 1) σ² d / (T − d − 1)``; with fewer samples than
    unknowns each generation also loses the part of its teacher that its inputs do not show. A ridge that was best for
    clean labels is too small for those of a late generation; adapted to n it undoes part of the collapse.

    Raises
    ------
    SpecError
        If there are as many samples as unknowns or one more (the mean error is then infinite), or too many numbers.
    """
    d, T = unknowns, samples
    if abs(T - d) <= 1:
        raise SpecError(f"is {T}, and must differ from the number of unknowns, {d}, by two at least", "samples")
    if repeats * T * d > MAX_ENTRIES:
        raise SpecError(f"is {repeats}: {repeats} × {T} × {d} inputs are above {MAX_ENTRIES:,}", "repeats")
    if tuned != "none" and d > T:
        raise SpecError("is not 'none', and tuning by theory needs more samples than unknowns", "tuned")
    spectrum, w = inputs_and_truth(d, decay, smoothness)
    n = torch.arange(generations + 1, dtype=torch.float64)
    lam = _ridges(tuned, ridge, spectrum, w, sigma, T, n)
    rng, teacher, errors = Rng(seed, "collapse"), w.expand(repeats, d), []
    for g in range(generations + 1):
        X = rng.normal((repeats, T, d), torch.float64) * spectrum.sqrt()
        y = (X @ teacher.unsqueeze(-1)).squeeze(-1) + sigma * rng.normal((repeats, T), torch.float64)
        student = fitted(X, y)
        last = fitted(X, y, lam[g]) if float(lam[g]) else student
        errors.append(((last - w) ** 2 @ spectrum).mean())
        teacher = student
    error = torch.stack(errors).numpy()
    predicted = _predicted(spectrum, w, sigma, T, n, lam).numpy()
    slope = float(np.polyfit(n.numpy(), error, 1)[0])
    return Collapse(
        n.long().numpy(),
        error,
        predicted,
        lam.numpy(),
        slope,
        f"The test error goes from {error[0]:.3g} to {error[-1]:.3g} in {generations} generations, {slope:.3g} each; "
        f"theory says {predicted[-1]:.3g} at the end.",
    )


def _ridges(tuned: Tuning, ridge: float, spectrum: Tensor, w: Tensor, sigma: float, samples: int, n: Tensor) -> Tensor:
    """Return λ for each generation."""
    if tuned == "none":
        return torch.full_like(n, ridge)
    grid = torch.logspace(-6, 2, 161, dtype=torch.float64).unsqueeze(-1)
    at = n if tuned == "each" else 0 * n
    return grid[ridge_error(spectrum, w, sigma, samples, at, samples, grid).argmin(0), 0]


def _predicted(spectrum: Tensor, w: Tensor, sigma: float, samples: int, n: Tensor, ridge: Tensor) -> Tensor:
    """Return the error of each generation by theory."""
    T, d = samples, len(spectrum)
    if T > d:
        exact = (n + 1) * sigma**2 * d / (T - d - 1)
        return torch.where(ridge > 0, ridge_error(spectrum, w, sigma, T, n, T, ridge), exact)
    if bool((spectrum != spectrum[0]).any()) or bool((ridge > 0).any()):
        return torch.full_like(n, math.nan)
    share = T / d  # a projection on T of d directions keeps this share; noise adds σ² tr (XXᵀ)⁻¹
    size = share ** (n + 1)
    noise = sigma**2 * T / (d - T - 1) * (1 - size) / (1 - share)
    return 1 - size + noise


@dataclass(frozen=True)
class RepeatedInversion:
    """The error of an inversion whose answer is measured and inverted again.

    Attributes
    ----------
    generation : NDArray of int
        n from 0, the first inversion, shape ``(k,)``.
    bias, noise : NDArray
        Root mean squares of what the filters take away and of the noise gathered, relative to the norm of the truth,
        shape ``(k,)``.
    error : NDArray
        Both together, shape ``(k,)``.
    adapted_regularization, adapted_error : NDArray
        The λ, the same in all inversions, that is best for generation n, and its error, shape ``(k,)``.
    sentence : str
        What this means.
    """

    generation: NDArray[np.integer]
    bias: NDArray[np.floating]
    noise: NDArray[np.floating]
    error: NDArray[np.floating]
    adapted_regularization: NDArray[np.floating]
    adapted_error: NDArray[np.floating]
    sentence: str


@analysis(
    "Repeated inversion",
    papers=_PAPERS,
    equation=r"x_{n+1} = \arg\min_x \|A x - (A x_n + \mathrm{noise})\|^2 + \lambda \|x\|^2",
)
@torch.no_grad()
def repeated_inversion(
    A: Annotated[LinearOperator, DECOMPOSABLE],
    x_true: Tensor,
    noise_norm: Tensor | float,
    *,
    regularization: Annotated[float, Log(0, 1e6, help="λ of every inversion")] = 1e-2,
    generations: Annotated[int, Log(1, 1000, help="number of inversions after the first")] = 10,
) -> RepeatedInversion:
    """Expected error when each answer is measured again, with fresh noise, and inverted by Tikhonov's method.

    With the filter factors φ the n-th answer has lost ``1 − φ^{n+1}`` of the truth and gathered noise of variance
    ``σ² φ²/s² (1 − φ^{2(n+1)}) / (1 − φ²)`` in each direction. The λ that is best for one inversion
    is too large for many: what it takes away it takes every time.

    Parameters
    ----------
    noise_norm : Tensor or float
        Expected norm of the noise of one measurement; of a batch, the mean.
    """
    s, _ = decompose(A, x=x_true)
    (signal,) = decompose(A, x=x_true)[1:]
    variance = float(torch.as_tensor(noise_norm).double().mean()) ** 2 / A.codomain.size
    n = torch.arange(1, generations + 2, dtype=torch.float64, device=s.device)
    s, power, whole = s.double(), signal.abs().double() ** 2, float(A.domain.norm2(x_true))
    outside = max(whole - float(power.sum()), 0.0)
    top = float(s.max())

    def parts(weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return bias² and noise² for λ of shape ``(*c, 1)``, shape ``(*c, k)``."""
        phi = (s**2 / (s**2 + weight.unsqueeze(-1))).nan_to_num(0.0)
        kept = phi ** n.unsqueeze(-1)
        gain = torch.where(s > 0, phi / s, 0.0) ** 2
        passes = torch.where(phi < 1, (1 - kept**2) / (1 - phi**2), n.unsqueeze(-1))
        return ((1 - kept) ** 2 * power).sum(-1) + outside, variance * (gain * passes).sum(-1)

    bias, noise = (p.squeeze(0) / whole for p in parts(s.new_full((1, 1), regularization)))
    grid = (top**2 * torch.logspace(-14, 4, 181, dtype=torch.float64, device=s.device)).unsqueeze(-1)
    best, index = (sum(parts(grid), start=s.new_zeros(())) / whole).min(0)
    error, adapted = (bias + noise).sqrt().cpu().numpy(), best.sqrt().cpu().numpy()
    return RepeatedInversion(
        np.arange(generations + 1),
        bias.sqrt().cpu().numpy(),
        noise.sqrt().cpu().numpy(),
        error,
        grid[index, 0].cpu().numpy(),
        adapted,
        f"After {generations} further inversions the error has gone from {error[0]:.3g} to {error[-1]:.3g}; with the "
        f"parameter that is best for so many it would be {adapted[-1]:.3g}.",
    )
