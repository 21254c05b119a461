"""How good an answer is, against the truth and with the problem's ambiguity removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.engine.problem import Problem
from explorer.linalg import Space


def metrics(problem: Problem, x: Any) -> dict[str, Any]:
    """Return relative error, and for real tensors PSNR in dB and (for images) SSIM, per sample."""
    if problem.x_true is None or x is None:
        return {}
    if not isinstance(problem.domain, Space) or problem.x_true.shape != problem.domain.shape:
        return (
            {"relative_error": _host(torch.stack([problem.distance(x[i], i) for i in range(len(problem.x_true))]))}
            if _sequence(problem)
            else {"relative_error": _host(problem.distance(x))}
        )
    found = {"relative_error": _host(problem.distance(x))}
    if problem.domain.is_complex:
        return found
    aligned, truth = problem.align(x), problem.x_true
    found["psnr"] = psnr(aligned, truth)
    if truth.ndim == 2 and min(truth.shape) >= 7:
        found["ssim"] = ssim(aligned, truth)
    return found


def _sequence(problem: Problem) -> bool:
    return isinstance(problem.x_true, Tensor) and problem.x_true.shape[1:] == getattr(problem.domain, "shape", None)


def psnr(x: Tensor, truth: Tensor) -> Any:
    """Return the peak signal-to-noise ratio in dB, the peak being the range of the truth; per sample."""
    mean_square = ((x - truth) ** 2).flatten(x.ndim - truth.ndim).mean(-1) if truth.ndim else (x - truth) ** 2
    return _host(10 * torch.log10((truth.max() - truth.min()) ** 2 / mean_square))


def ssim(x: Tensor, truth: Tensor) -> Any:
    """Return the structural similarity of images, per sample (scikit-image)."""
    from skimage.metrics import structural_similarity

    reference = truth.cpu().double().numpy()
    span = float(reference.max() - reference.min()) or 1.0
    images = x.cpu().double().numpy().reshape(-1, *reference.shape)
    values = np.array(
        [structural_similarity(i, reference, data_range=span) if np.isfinite(i).all() else np.nan for i in images]
    )
    return float(values[0]) if x.ndim == truth.ndim else values.reshape(x.shape[: x.ndim - truth.ndim])


def _host(value: Tensor | None) -> Any:
    if value is None:
        return None
    return float(value) if value.ndim == 0 else value.cpu().numpy()
