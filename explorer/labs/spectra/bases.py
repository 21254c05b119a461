r"""Few bases for many features, by expectation and maximisation.

Row 295: Li, Zhu, Xie et al. 2024: A video is worth 256 bases: spatial-temporal expectation-maximization inversion for
zero-shot video editing. Only the compression of features is here: K bases shared by all frames, so that attention has K
keys instead of one a pixel. The editor, a diffusion model, is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, analysis
from explorer.linalg import Rng

Start = Literal["spread", "random"]

#: most entries of the features and of the responsibilities
MAX_ENTRIES = 2**25


def responsibilities(features: Tensor, bases: Tensor, temperature: float) -> Tensor:
    """Return ``softmax(F μᵀ / τ)`` over the bases, features and bases of unit length, shape ``(*batch, N, K)``."""
    unit = torch.nn.functional.normalize
    return torch.softmax(unit(features, dim=-1) @ unit(bases, dim=-1).mT / temperature, -1)


def started(features: Tensor, count: int, start: Start, rng: Rng) -> Tensor:
    """Return features to start from: any, or each drawn by its squared distance to those before it (k-means++).

    Arthur & Vassilvitskii 2007: k-means++: the advantages of careful seeding.
    """
    if start == "random":
        return features[rng.permutation(len(features), features.device)[:count]]
    draws = rng.uniform((count,), torch.float64, features.device)
    chosen = [features[int(draws[0] * len(features))]]
    nearest = torch.full((len(features),), torch.inf, dtype=features.dtype, device=features.device)
    for draw in draws[1:]:
        nearest = torch.minimum(nearest, (features - chosen[-1]).square().sum(-1))
        total = nearest.cumsum(0)
        at = torch.searchsorted(total, (draw * total[-1]).to(total.dtype)).clamp(max=len(features) - 1)
        chosen.append(features[int(at)])
    return torch.stack(chosen)


def em_bases(features: Tensor, bases: Tensor, temperature: float, rounds: int) -> tuple[Tensor, Tensor]:
    """Return bases μ and responsibilities Z with ``F ≈ Z μ``.

    Parameters
    ----------
    features : Tensor
        F, shape ``(N, d)``: one row a pixel of a frame.
    bases : Tensor
        Where to start, shape ``(K, d)``.
    temperature : float
        τ of the responsibilities.
    rounds : int
        E- and M-steps: ``Z = softmax(F μᵀ / τ)``, ``μ = Zᵀ F`` over the sums of Z's columns.
    """
    tiny = torch.finfo(features.dtype).tiny
    for _ in range(rounds):
        Z = responsibilities(features, bases, temperature)
        bases = (Z.mT @ features) / Z.sum(-2).clamp(min=tiny).unsqueeze(-1)
    return bases, responsibilities(features, bases, temperature)


def synthetic_features(frames: int, pixels: int, size: int, prototypes: int, noise: float, rng: Rng) -> Tensor:
    """Return features of a video, each pixel of a frame one of a few prototypes and noise, ``(frames · pixels, d)``."""
    kinds = rng.fork("prototypes").normal((prototypes, size), torch.float64)
    member = (rng.fork("members").uniform((frames * pixels,), torch.float64) * prototypes).long()
    return kinds[member] + noise * rng.fork("noise").normal((frames * pixels, size), torch.float64)


@dataclass(frozen=True)
class Bases:
    """How well features are told by few bases.

    Attributes
    ----------
    count : NDArray of int
        Numbers K of bases, shape ``(k,)``.
    error : NDArray
        ``‖F − Z μ‖ / ‖F‖``, shape ``(k,)``.
    best : NDArray
        The least error of any matrix of that rank, shape ``(k,)``.
    storage : NDArray
        Entries of the bases over those of the features, shape ``(k,)``; responsibilities, made anew when wanted, are
        not counted.
    sentence : str
        What this means.
    """

    count: NDArray[np.integer]
    error: NDArray[np.floating]
    best: NDArray[np.floating]
    storage: NDArray[np.floating]
    sentence: str


@analysis(
    "Bases by expectation and maximisation",
    papers=["row 295", "Li, Zhu, Xie et al. 2024: A video is worth 256 bases"],
    equation=r"Z = \mathrm{softmax}(F \mu^T / \tau),\quad \mu_k = \sum_i Z_{ik} F_i / \sum_i Z_{ik}",
)
@torch.no_grad()
def feature_bases(
    *,
    frames: Annotated[int, Log(1, 256, help="number of frames")] = 16,
    pixels: Annotated[int, Log(1, 16_384, help="pixels of a frame")] = 400,
    features: Annotated[int, Log(1, 1024, help="numbers that describe a pixel")] = 32,
    prototypes: Annotated[int, Log(1, 1024, help="kinds of pixels that there are")] = 20,
    noise: Annotated[float, Log(0, 10, help="standard deviation of the noise, that of the prototypes being 1")] = 0.1,
    largest: Annotated[int, Log(1, 1024, help="most bases that are tried; halved down to one")] = 32,
    temperature: Annotated[float, Log(1e-4, 10, help="τ: small ones assign a pixel to one basis")] = 0.05,
    rounds: Annotated[int, Log(1, 100, help="rounds of expectation and maximisation")] = 10,
    start: Annotated[Start, Help("features far apart, or any features")] = "spread",
    seed: Annotated[int, Linear(0, 2**31, help="seed of features and start")] = 0,
) -> Bases:
    """Compress the features of all frames into shared bases, and compare with the best that so few numbers could do.

    With any features to start from, some prototypes have no basis to begin with and, at a small temperature, get none
    later either: the rounds are few and settle where they start.

    Raises
    ------
    SpecError
        If there are more bases than pixels, or too many numbers.
    """
    N = frames * pixels
    if largest > N:
        raise SpecError(f"is {largest}, and there are {N} pixels in all", "largest")
    if N * max(features, largest) > MAX_ENTRIES:
        raise SpecError(f"is {pixels}: {N} × {max(features, largest)} numbers are above {MAX_ENTRIES:,}", "pixels")
    rng = Rng(seed, "analysis/bases")
    F = synthetic_features(frames, pixels, features, prototypes, noise, rng)
    size = torch.linalg.vector_norm(F)
    power = torch.linalg.eigvalsh(F.mT @ F).flip(0).clamp(min=0)
    counts = sorted({max(1, largest >> j) for j in range(largest.bit_length())})
    error = []
    for K in counts:
        bases, Z = em_bases(F, started(F, K, start, rng.fork("start")), temperature, rounds)
        error.append(float(torch.linalg.vector_norm(F - Z @ bases) / size))
    best = [float((power[K:].sum() / power.sum()).sqrt()) for K in counts]
    return Bases(
        np.array(counts),
        np.array(error),
        np.array(best),
        np.array([K / N for K in counts]),
        f"{counts[-1]} bases, {100 * counts[-1] / N:.2g} % of the storage, tell the features up to "
        f"{100 * error[-1]:.0f} %; one basis leaves {100 * error[0]:.0f} %.",
    )
