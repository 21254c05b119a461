"""The error over many draws of the noise: its band over the steps, bias and variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Linear, SpecError, analysis


@dataclass(frozen=True)
class ErrorAnatomy:
    """Errors relative to the norm of the truth, over the draws of a run.

    Attributes
    ----------
    steps : NDArray of int
        All steps, shape ``(k,)``.
    low, median, high : NDArray
        Quantiles of the error over the draws, shape ``(k,)``.
    best_steps : NDArray of int
        The step of least error of each draw, shape ``(draws,)``.
    kept : NDArray of int
        Steps at which iterates were kept, shape ``(j,)``.
    bias, deviation : NDArray
        At those: ``‖mean − truth‖`` and the root mean square of ``‖x − mean‖``, shape ``(j,)``; their squares sum to
        the mean squared error.
    bias_error : NDArray
        How much of `bias` the draws alone would make, ``deviation / √draws``, shape ``(j,)``.
    sentence : str
    """

    steps: NDArray[np.integer]
    low: NDArray[np.floating]
    median: NDArray[np.floating]
    high: NDArray[np.floating]
    best_steps: NDArray[np.integer]
    kept: NDArray[np.integer]
    bias: NDArray[np.floating]
    deviation: NDArray[np.floating]
    bias_error: NDArray[np.floating]
    sentence: str


@analysis(
    "Error anatomy",
    papers=["Geman, Bienenstock & Doursat 1992: Neural networks and the bias/variance dilemma"],
    equation=r"\mathrm{E}\|x_k - x\|^2 = \|\mathrm{E}x_k - x\|^2 + \mathrm{E}\|x_k - \mathrm{E}x_k\|^2",
)
@torch.no_grad()
def error_anatomy(
    domain: Any,
    x_true: Tensor,
    history: Mapping[str, Any],
    iterates: Sequence[tuple[int, Tensor]],
    *,
    coverage: Annotated[float, Linear(0.1, 0.99, help="part of the draws inside the band")] = 0.8,
) -> ErrorAnatomy:
    """Bias falls with the steps and variance rises: semi-convergence, for a whole batch of draws at once.

    Run with ``draws``, and keep iterates (``record``); without any kept, the band alone is told.

    Raises
    ------
    SpecError
        If the run has fewer than two draws, or no error.
    """
    if "error" not in history or np.ndim(history["error"]) < 2:
        raise SpecError("the run has one draw, and its band needs several: run with draws=20", "draws")
    error = np.asarray(history["error"], np.float64).reshape(len(history["error"]), -1)
    tail = (1 - coverage) / 2
    low, median, high = np.quantile(error, (tail, 0.5, 1 - tail), axis=1)
    best = error.argmin(0) + 1
    whole = float(domain.norm(x_true))
    kept = [(k, x) for k, x in iterates if domain.batch(x)]
    bias, deviation = [], []
    for _, x in kept:
        draws = x.reshape(-1, *domain.shape)
        mean = draws.mean(0)
        bias.append(float(domain.norm(mean - x_true)) / whole)
        deviation.append(float(domain.norm2(draws - mean).mean().sqrt()) / whole)
    at = np.array([k for k, _ in kept], int)
    spread = np.asarray(deviation)
    first, last = np.quantile(best, (tail, 1 - tail))
    said = f"The best step of {len(best)} draws is {np.median(best):.0f}, mostly between {first:.0f} and {last:.0f}"
    over = np.flatnonzero(spread > np.asarray(bias)) if len(at) else np.empty(0, int)
    said += f"; from step {at[over[0]]} on variance is larger than bias." if over.size else "."
    steps = np.arange(1, len(error) + 1)
    noise = spread / np.sqrt(error.shape[1])
    return ErrorAnatomy(steps, low, median, high, best, at, np.asarray(bias), spread, noise, said)
