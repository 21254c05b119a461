r"""How sure the principal subspaces of data are: tests and confidence regions on the Grassmannian.

Row 279: Rabenoro & Pennec 2024: A geometric framework for asymptotic inference of principal subspaces in PCA. The paper
treats flags; here is the subspace of the k largest eigenvalues, the flag with one step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, analysis
from explorer.linalg import Rng

#: most numbers that the repeats of a simulation draw together
MAX_NUMBERS = 2**27


def covariance_pairs(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, descending, and eigenvectors of the sample covariance, of samples of shape ``(*b, n, d)``."""
    centred = samples - samples.mean(-2, keepdim=True)
    values, vectors = torch.linalg.eigh(centred.mT @ centred / (samples.shape[-2] - 1))
    return values.flip(-1), vectors.flip(-1)


def subspace_statistic(values: Tensor, vectors: Tensor, Q: Tensor, samples: int) -> Tensor:
    """Return ``T = n Σ_{i≤k<j} (l_i − l_j)² / (l_i l_j) B_ji²`` with ``B = U_⊥ᵀ Q (U_kᵀ Q)⁻¹``.

    For normal data whose principal subspace is that of Q, T tends to ``χ²`` with ``k (d − k)`` degrees of freedom.

    Parameters
    ----------
    values, vectors : Tensor
        Sample eigenvalues, descending, and eigenvectors, shapes ``(*batch, d)`` and ``(*batch, d, d)``.
    Q : Tensor
        Any basis of the subspace that is tested, shape ``(*batch, d, k)``.
    samples : int
        n.
    """
    k = Q.shape[-1]
    mapped = vectors.mT @ Q
    B = torch.linalg.solve(mapped[..., :k, :], mapped[..., k:, :], left=False)
    return samples * (B / axes(values, k)).square().sum((-2, -1))


def axes(values: Tensor, k: int) -> Tensor:
    """Return ``√(l_i l_j) / (l_i − l_j)``, the region's half axes but for ``√(χ²/n)``, shape ``(*batch, d − k, k)``."""
    large, small = values[..., None, :k], values[..., k:, None]
    return (large * small).sqrt() / (large - small)


def p_value(statistic: Tensor, k: int, d: int) -> Tensor:
    """Return the probability that χ² with ``k (d − k)`` degrees of freedom is larger."""
    return torch.special.gammaincc(torch.as_tensor(k * (d - k) / 2, dtype=statistic.dtype), statistic / 2)


def log_volume(values: Tensor, k: int, samples: int, level: float) -> Tensor:
    """Return the logarithm of the volume of the confidence region in the tangent coordinates B."""
    from scipy.stats import chi2

    f = k * (values.shape[-1] - k)
    ball = f / 2 * math.log(math.pi) - math.lgamma(f / 2 + 1)
    return ball + f / 2 * math.log(float(chi2.ppf(level, f)) / samples) + axes(values, k).log().sum((-2, -1))


@dataclass(frozen=True)
class SubspaceInference:
    """How often the confidence region of a principal subspace holds the truth.

    Attributes
    ----------
    p_values : NDArray
        Of the test of the true subspace, shape ``(repeats,)``; even on [0, 1] where the asymptotics hold.
    coverage : float
        Part of the repeats whose region holds the truth.
    angle : float
        Root mean square of the largest angle between sample and true subspace, in degrees.
    log_volume : float
        Mean logarithm of the region's volume.
    sentence : str
        What this means.
    """

    p_values: NDArray[np.floating]
    coverage: float
    angle: float
    log_volume: float
    sentence: str


@analysis(
    "Confidence of a principal subspace",
    papers=[
        "row 279",
        "Rabenoro & Pennec 2024: A geometric framework for asymptotic inference of principal subspaces in PCA",
    ],
    equation=r"n \sum_{i \le k < j} \frac{(l_i - l_j)^2}{l_i l_j} B_{ji}^2 \to \chi^2_{k(d-k)}",
)
@torch.no_grad()
def subspace_inference(
    *,
    dimension: Annotated[int, Log(2, 100, help="number d of variables")] = 8,
    kept: Annotated[int, Log(1, 99, help="dimension k of the principal subspace")] = 2,
    samples: Annotated[int, Log(3, 100_000, help="number n of samples of each repeat")] = 2000,
    gap: Annotated[float, Log(1.001, 1e4, help="smallest kept variance over the largest one left")] = 3.0,
    level: Annotated[float, Linear(0.5, 0.999, help="probability that the region should have")] = 0.95,
    repeats: Annotated[int, Log(10, 10_000, help="independent data sets")] = 400,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the data")] = 0,
) -> SubspaceInference:
    """Draw normal data again and again, and count how often the region holds the true subspace.

    Variances fall evenly from twice the smallest kept one, and from 1 to ½ among those left. The result is asymptotic:
    with few samples or a small gap, where ``n (gap − 1)²`` is not much above d, the region holds the truth less often
    than it should.

    Raises
    ------
    SpecError
        If the subspace is the whole space, the samples do not span it, or there are too many numbers.
    """
    d, k, n = dimension, kept, samples
    if k >= d:
        raise SpecError(f"is {k}, and must be below the number of variables, {d}", "kept")
    if n <= d:
        raise SpecError(f"is {n}, and must be above the number of variables, {d}", "samples")
    if repeats * n * d > MAX_NUMBERS:
        raise SpecError(f"is {repeats}: {repeats} × {n} × {d} numbers are above {MAX_NUMBERS:,}", "repeats")
    top, rest = (torch.linspace(1, end, count, dtype=torch.float64) for end, count in ((0.5, k), (0.5, d - k)))
    deviation = torch.cat((2 * gap * top if k > 1 else gap * top, rest)).sqrt()
    rng = Rng(seed, "analysis/principal")
    values, vectors = covariance_pairs(rng.normal((repeats, n, d), torch.float64) * deviation)
    Q = torch.eye(d, dtype=torch.float64)[:, :k]
    p = p_value(subspace_statistic(values, vectors, Q, n), k, d)
    sine = torch.linalg.matrix_norm(vectors[..., k:].mT @ Q, 2).clamp(max=1)
    angle = math.degrees(float(sine.asin().square().mean().sqrt()))
    coverage = float((p >= 1 - level).double().mean())
    volume = float(log_volume(values, k, n, level).mean())
    return SubspaceInference(
        p.numpy(),
        coverage,
        angle,
        volume,
        f"The region of {100 * level:g} % held the true subspace in {100 * coverage:.1f} % of {repeats} data sets; the "
        f"largest angle to it is {angle:.2g}° (root mean square).",
    )
