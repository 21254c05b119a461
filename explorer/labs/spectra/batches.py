r"""Learning rates by batch size, from random matrices (row 166).

Granziol, Zohren & Roberts 2022: Learning rates as a function of batch size: a random matrix theory approach to neural
network training. The Hessian of a batch is that of all data and noise, which pushes the largest eigenvalue up, and the
largest stable rate ``2 / λ'`` down. Rates rise with the batch until its noise is small beside the eigenvalue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import SINGLE
from explorer.catalogue import Help, Linear, Log, SpecError, analysis
from explorer.linalg import Rng
from explorer.linalg.block_krylov import Flat
from explorer.linalg.quadrature import Map, lanczos, quadrature
from explorer.operators.base import LinearOperator

Model = Literal["multiplicative", "additive"]

_PAPERS = [
    "row 166",
    "Granziol, Zohren & Roberts 2022: Learning rates as a function of batch size: a random matrix theory approach to "
    "neural network training",
]
#: largest number of entries of a batch
MAX_ENTRIES = 2**24
#: Lanczos steps and probes of an estimate of the largest eigenvalue
STEPS, PROBES = 20, 5


def covariance_outlier(value: float, ratio: float) -> float:
    """Return the top eigenvalue of ``XᵀX / B``, rows of unit covariance but for one eigenvalue, ``ratio = P / B``.

    ``λ (1 + (P/B) / (λ − 1))`` above the transition ``λ > 1 + √(P/B)``, else the bulk's edge ``(1 + √(P/B))²``
    (Baik & Silverstein 2006: Eigenvalues of large sample covariance matrices of spiked population models).
    """
    root = math.sqrt(ratio)
    return value * (1 + ratio / (value - 1)) if value > 1 + root else (1 + root) ** 2


def additive_outlier(value: float, width: float) -> float:
    """Return the top eigenvalue of a matrix of one eigenvalue λ and symmetric noise, ``width = σ √(P/B)``.

    ``λ + width² / λ`` above the transition ``λ > width``, else the bulk's edge, twice the width.
    """
    return value + width**2 / value if value > width else 2 * width


def top_ritz_value(apply: Map, starts: Tensor, steps: int = STEPS) -> float:
    """Return the largest node of the stochastic Lanczos quadratures from these starts, shape ``(probes, n)``."""
    return float(quadrature(*lanczos(apply, starts, steps))[0].max())


def largest_stable_step(H: Tensor, start: Tensor, guess: float, steps: int = 100) -> float:
    """Return the step above which gradient descent on ``½ eᵀ H e`` ends above where it began, found by trying.

    Two grids of 17 steps, of a factor of 8 to both sides of a guess, and between two of these, give it to 2 %.

    Parameters
    ----------
    H, start : Tensor
        Shapes ``(P, P)`` and ``(P,)``.
    """
    loss = lambda e: ((e @ H) * e).sum(-1)  # noqa: E731
    low, ratio = guess / 8, 64.0
    for _ in range(2):
        eta = low * ratio ** torch.linspace(0, 1, 17, dtype=H.dtype)
        e = start.expand(len(eta), -1)
        for _ in range(steps):
            e = e - eta[:, None] * (e @ H)
        stable = int((loss(e) <= loss(start)).long().cumprod(0).sum())
        low, ratio = float(eta[max(stable - 1, 0)]), float(eta[1] / eta[0])
    return low * math.sqrt(ratio)


@dataclass(frozen=True)
class BatchRates:
    """Top eigenvalues and learning rates for several batch sizes.

    Attributes
    ----------
    batch : NDArray of int
        B, shape ``(k,)``.
    top : NDArray
        Largest eigenvalue of the batch Hessians, shape ``(k, draws)``.
    predicted : NDArray
        λ' from random matrix theory, shape ``(k,)``.
    ritz : NDArray
        The first batch's by 20 Lanczos steps from 5 probes, shape ``(k,)``.
    rate : NDArray
        ``2 / λ'``, predicted, shape ``(k,)``.
    stable : NDArray
        Largest stable step of gradient descent on the first batch alone, by trying, shape ``(k,)``; NaN for additive
        noise, whose negative curvature no step is stable for.
    adaptive : NDArray
        Mean of ``2 / λ`` where each weight's gradient is divided by its root mean square at the best weights, from
        labels with noise of unit size, as Adam's is in the long run, shape ``(k,)``; NaN for additive noise.
    sentence : str
        What this means.
    """

    batch: NDArray[np.integer]
    top: NDArray[np.floating]
    predicted: NDArray[np.floating]
    ritz: NDArray[np.floating]
    rate: NDArray[np.floating]
    stable: NDArray[np.floating]
    adaptive: NDArray[np.floating]
    sentence: str


@analysis(
    "Learning rate by batch size",
    papers=_PAPERS,
    equation=r"\eta_{\max} = 2/\lambda',\quad \lambda' = \lambda \left(1 + \frac{P/B}{\lambda - 1}\right)",
)
@torch.no_grad()
def batch_rates(
    *,
    weights: Annotated[int, Log(2, 2000, help="number P of weights")] = 400,
    spike: Annotated[float, Log(1, 1e4, help="largest eigenvalue λ of the Hessian of all data")] = 20.0,
    first: Annotated[int, Log(1, 10_000, help="smallest batch")] = 25,
    sizes: Annotated[int, Linear(1, 16, help="number of batch sizes, each twice the one before")] = 6,
    model: Annotated[Model, Help("regression, whose other eigenvalues are 1; or one eigenvalue and noise")] = (
        "multiplicative"
    ),
    noise: Annotated[float, Log(1e-3, 1e3, help="size σ of the additive noise of one sample's Hessian")] = 1.0,
    draws: Annotated[int, Log(1, 1000, help="independent batches of each size")] = 10,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the batches")] = 0,
) -> BatchRates:
    """Compare the largest eigenvalue of batch Hessians, and the rates that are stable, with random matrix theory.

    The theory gives the mean; one batch's eigenvalue varies by a part of about ``√(2/B)`` of it. Plain rates are nearly
    proportional to B while ``P/B`` is large beside λ, then flat. A gradient that is all noise has a size of 1/√B,
    and adaptive rates get that factor: at most they rise as √B, and they fall where plain ones are flat.

    Raises
    ------
    SpecError
        If a batch would be too large.
    """
    P, batches = weights, [first * 2**i for i in range(sizes)]
    if batches[-1] * P > MAX_ENTRIES:
        raise SpecError(f"is {sizes}: {batches[-1]} × {P} entries of a batch are above {MAX_ENTRIES:,}", "sizes")
    rng = Rng(seed, "analysis/batches")
    starts = torch.where(rng.fork("probes").uniform((PROBES, P), torch.float64) < 0.5, -1.0, 1.0).double()
    begin = rng.fork("begin").normal((P,), torch.float64)
    deviation = torch.ones(P, dtype=torch.float64)
    deviation[0] = math.sqrt(spike)
    tops, predicted, ritz, stable, adaptive = [], [], [], [], []
    for B in batches:
        own = rng.fork(str(B))
        if model == "multiplicative":
            guess = covariance_outlier(spike, P / B)
            X = [own.fork(str(i)).normal((B, P), torch.float64) * deviation for i in range(draws)]
            H = X[0].mT @ X[0] / B
            stable.append(largest_stable_step(H, begin, 2 / guess))
            root = (deviation / math.sqrt(B)).sqrt()
            adaptive.append(sum(2 / _top(x / root) for x in X) / draws)
            tops.append([_top(x) for x in X])
            ritz.append(top_ritz_value(partial(torch.matmul, other=H), starts))
        else:
            width = noise * math.sqrt(P / B)
            guess = additive_outlier(spike, width)
            noises = [own.fork(str(i)).normal((P, P), torch.float64) * (width / math.sqrt(2 * P)) for i in range(draws)]
            full = [entries + entries.mT for entries in noises]
            for H in full:
                H[0, 0] += spike
            tops.append([float(torch.linalg.eigvalsh(H)[-1]) for H in full])
            ritz.append(top_ritz_value(partial(torch.matmul, other=full[0]), starts))
            stable.append(math.nan)
            adaptive.append(math.nan)
        predicted.append(guess)
    top, theory = np.array(tops), np.array(predicted)
    return BatchRates(
        np.array(batches),
        top,
        theory,
        np.array(ritz),
        2 / theory,
        np.array(stable),
        np.array(adaptive),
        f"From batches of {batches[0]} to {batches[-1]} the largest eigenvalue goes from {top[0].mean():.3g} (theory "
        f"{theory[0]:.3g}) to {top[-1].mean():.3g} ({theory[-1]:.3g}), and the largest stable rate from "
        f"{2 / theory[0]:.3g} to {2 / theory[-1]:.3g}.",
    )


def _top(x: Tensor) -> float:
    """Return the largest eigenvalue of ``xᵀx / B``, x of shape ``(B, P)``, from the smaller Gram matrix."""
    gram = x.mT @ x if x.shape[0] > x.shape[1] else x @ x.mT
    return float(torch.linalg.eigvalsh(gram)[-1]) / x.shape[0]


@dataclass(frozen=True)
class LanczosRates:
    """Step size and momentum for least squares, from a few products with the operator.

    Attributes
    ----------
    top, low : float
        Largest Ritz value of ``AᴴA``, and the smallest that is above rounding.
    step : float
        ``2 / top``, the largest stable step without momentum.
    momentum_step, momentum : float
        ``4 / (√top + √low)²`` and ``((√top − √low) / (√top + √low))²``, the best of heavy balls on ``[low, top]``.
    factor : float
        The square root of the momentum, by which an error falls in each step in the end.
    sentence : str
        What this means.
    """

    top: float
    low: float
    step: float
    momentum_step: float
    momentum: float
    factor: float
    sentence: str


@analysis(
    "Step size and momentum by Lanczos",
    papers=[*_PAPERS, "Polyak 1964: Some methods of speeding up the convergence of iteration methods"],
    equation=r"\eta = \frac{4}{(\sqrt L + \sqrt\mu)^2},\quad"
    r"\beta = \left(\frac{\sqrt L - \sqrt\mu}{\sqrt L + \sqrt\mu}\right)^2",
)
@torch.no_grad()
def lanczos_rates(
    A: Annotated[LinearOperator, SINGLE],
    *,
    steps: Annotated[int, Log(2, 500, help="Lanczos steps a probe")] = STEPS,
    probes: Annotated[int, Log(1, 100, help="random probes")] = PROBES,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the probes")] = 0,
) -> LanczosRates:
    """Choose the step and the momentum of gradient descent on ``½ ‖A x − y‖²`` on the fly.

    Ritz values lie inside the spectrum, so that the largest stable step is found slightly too large and the smallest
    eigenvalue may be missed: a heavy ball is then slower than it says for the directions below.

    Raises
    ------
    SpecError
        If the operator is zero.
    """
    flat = Flat(A)
    X = flat.domain
    signs = Rng(seed, "analysis/rates").uniform((probes, X.size), torch.float64, X.device) < 0.5
    starts = torch.where(signs, -1.0, 1.0).to(X.dtype)
    nodes, weights = quadrature(*lanczos(lambda v: flat.adjoint(flat.forward(v)), starts, steps))
    top = float(nodes.max())
    if not top > 0:
        raise SpecError(f"{A.title} is zero, and any step is stable", "A")
    rounding = 100 * X.eps * top
    low = float(nodes[(nodes > rounding) & (weights > X.eps**2)].min())
    root, small = math.sqrt(top), math.sqrt(low)
    momentum = ((root - small) / (root + small)) ** 2
    return LanczosRates(
        top,
        low,
        2 / top,
        4 / (root + small) ** 2,
        momentum,
        math.sqrt(momentum),
        f"Steps up to {2 / top:.3g} are stable; with steps of {4 / (root + small) ** 2:.3g} and a momentum of "
        f"{momentum:.3g} an error falls by a factor of {math.sqrt(momentum):.3g} a step.",
    )
