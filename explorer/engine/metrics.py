"""How good an answer is, against the truth and with the problem's ambiguity removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.engine.problem import Problem
from explorer.linalg import Space


def metrics(problem: Problem, x: Any) -> dict[str, Any]:
    """Return relative error, and for real tensors PSNR in dB and (for images) SSIM, per sample.

    For a sequence of systems there is one relative error a system.
    """
    truth = problem.x_true
    if truth is None or x is None:
        return {}
    domain = problem.domain
    if not isinstance(domain, Space):
        return {"relative_error": _host(problem.distance(x))}
    if truth.shape != domain.shape:
        return {"relative_error": np.array([_host(problem.distance(x[i], i)) for i in range(len(x))])}
    found = {"relative_error": _host(problem.distance(x))}
    if not domain.is_complex:
        aligned = problem.align(x)
        found["psnr"] = psnr(aligned, truth)
        if truth.ndim == 2 and min(truth.shape) >= 7:
            found["ssim"] = ssim(aligned, truth)
    return found


def psnr(x: Tensor, truth: Tensor) -> Any:
    """Return the peak signal-to-noise ratio in dB per sample; the peak is the range of the truth, 1 if constant."""
    batch = x.shape[: x.ndim - truth.ndim]
    mean_square = ((x - truth).double() ** 2).reshape(*batch, -1).mean(-1)
    return _host(10 * torch.log10(_span(truth) ** 2 / mean_square))


def ssim(x: Tensor, truth: Tensor) -> Any:
    """Return the structural similarity of images, per sample (scikit-image); NaN where an image is not finite."""
    from skimage.metrics import structural_similarity

    reference, span = truth.cpu().double().numpy(), _span(truth)
    images = x.cpu().double().numpy().reshape(-1, *reference.shape)
    values = np.array(
        [structural_similarity(i, reference, data_range=span) if np.isfinite(i).all() else np.nan for i in images]
    )
    return float(values[0]) if x.ndim == truth.ndim else values.reshape(x.shape[: x.ndim - truth.ndim])


def _span(truth: Tensor) -> float:
    return float(truth.double().max() - truth.double().min()) or 1.0


def _host(value: Any) -> Any:
    return float(value) if value.ndim == 0 else value.cpu().numpy()
