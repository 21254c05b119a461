r"""What a shallow network with random hidden weights can represent when these are bounded.

Row 349: Li, Wang, Ding, Jin, Cao & Wang 2023: How powerful are shallow neural networks with bandlimited random weights?
Features are ``tanh(a_j x + b_j)`` with (a_j, b_j) uniform on [−R, R]², output weights are fitted by least squares.

The Fourier transform of a feature at frequency ω has the size ``π / sinh(πω/2a)``. A wave of unit size therefore takes
output weights that grow like ``e^{πω/2R}``, and is out of reach once these pass what precision or regularisation
allows. That floor does not depend on the number of features, but on the cut-off of the fit: in exact arithmetic, with
weights of any size, tanh features of any bounded kind are dense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, analysis, operator
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix
from explorer.operators.capabilities import REAL, SINGLE

_PAPERS = [
    "row 349",
    "Li, Wang, Ding, Jin, Cao & Wang 2023: How powerful are shallow neural networks with bandlimited random weights?",
]
_EQUATION = r"y(x) = \sum_j w_j \tanh(a_j x + b_j),\quad |a_j|, |b_j| \le R"
#: largest number of entries of the matrix
MAX_ENTRIES = 2**24


def features(count: int, samples: int, radius: float, rng: Rng, device: torch.device | None = None) -> Tensor:
    """Return ``tanh(a_j x_i + b_j)`` at evenly spaced x on [−1, 1], shape ``(samples, count)``, float64."""
    a, b = radius * (2 * rng.uniform((count, 2), torch.float64, device or "cpu") - 1).mT
    return torch.tanh(torch.linspace(-1, 1, samples, dtype=torch.float64, device=device)[:, None] * a + b)


@operator(
    "Random features",
    papers=_PAPERS,
    equation=_EQUATION,
    works="Networks of which only the output layer is fitted, to functions that vary slowly beside R.",
    fails="Singular values fall exponentially, faster for a small R: quick waves take huge weights that noise changes.",
)
def random_features(
    domain: Annotated[Space, SINGLE, REAL],
    rng: Rng,
    *,
    radius: Annotated[float, Log(0.01, 1000, help="R, bound of the hidden weights and biases")] = 10.0,
    samples: Annotated[int, Log(2, 65_536, help="points x on [−1, 1] at which the network is seen")] = 200,
) -> DenseMatrix:
    """Output weights of a shallow network to its values; severely ill-posed, the more the smaller the radius.

    Raises
    ------
    SpecError
        If the matrix would have more than 2²⁴ entries.
    """
    if domain.size * samples > MAX_ENTRIES:
        raise SpecError(
            f"is {samples}, and with {domain.size} unknowns at most {MAX_ENTRIES // domain.size}", "samples"
        )
    matrix = features(domain.size, samples, radius, rng, domain.device)
    made = DenseMatrix(domain, Space((samples,), domain.dtype, domain.device), matrix.to(domain.dtype))
    made.title = "random features"
    return made


def amplification(frequency: Tensor, radius: float) -> Tensor:
    """Return ``sinh(u) / u`` with ``u = πω/2R``: what output weights grow by, over those of a slow wave."""
    u = math.pi * frequency / (2 * radius)
    return torch.where(u > 0, torch.sinh(u) / torch.where(u > 0, u, 1), 1)


def reach(radius: float, cutoff: float) -> float:
    """Return the frequency at which the amplification is one over the cut-off."""
    frequency = torch.linspace(0, 30 * radius, 30_001, dtype=torch.float64)
    return float(frequency[int((amplification(frequency, radius) < 1 / cutoff).sum())])


@dataclass(frozen=True)
class FeatureRange:
    """How well random features represent a wave, and which waves they do not represent.

    Attributes
    ----------
    count : NDArray of int
        Numbers m of features, nested, shape ``(k,)``.
    error : NDArray
        Relative least-squares error of ``sin ωx`` with singular values below the cut-off left out, shape ``(k,)``.
    weights : NDArray
        Norm of the output weights, shape ``(k,)``.
    values : NDArray
        Singular values of all features, descending.
    frequency : NDArray
        Frequencies ω of waves on [−1, 1], multiples of π, shape ``(q,)``.
    missing : NDArray
        Part of such a wave that the features do not represent, the mean over sine and cosine, shape ``(q,)``.
    edge : float
        Frequency at which the amplification reaches one over the cut-off.
    sentence : str
        What this means.
    """

    count: NDArray[np.integer]
    error: NDArray[np.floating]
    weights: NDArray[np.floating]
    values: NDArray[np.floating]
    frequency: NDArray[np.floating]
    missing: NDArray[np.floating]
    edge: float
    sentence: str


@analysis("Range of random features", papers=_PAPERS, equation=_EQUATION)
@torch.no_grad()
def feature_range(
    *,
    radius: Annotated[float, Log(0.01, 1000, help="R, bound of the hidden weights and biases")] = 2.0,
    half_waves: Annotated[int, Log(1, 200, help="the target is sin(half_waves · π x) on [−1, 1]")] = 12,
    most: Annotated[int, Log(8, 4000, help="largest number of features")] = 800,
    cutoff: Annotated[float, Log(1e-15, 1, help="singular values below so much of the largest are left out")] = 1e-10,
    samples: Annotated[int, Log(2, 4000, help="points x")] = 400,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the hidden weights")] = 0,
) -> FeatureRange:
    """Fit a wave with more and more random features, and see which frequencies stay out of reach.

    A small radius sets a floor that more features do not lower. A large one has no floor, but takes more features
    for a start: the right radius depends on the target.
    """
    matrix = features(most, samples, radius, Rng(seed, "analysis/features"))
    x = torch.linspace(-1, 1, samples, dtype=torch.float64)
    target = torch.sin(half_waves * math.pi * x)
    counts = [max(1, most // 2**k) for k in range(4, -1, -1)]
    errors, norms = [], []
    for m in counts:
        U, s, _ = torch.linalg.svd(matrix[:, :m], full_matrices=False)
        kept = s > cutoff * s[0]
        U = U[:, kept]
        inside = U.mT @ target
        errors.append(float((target - U @ inside).norm() / target.norm()))
        norms.append(float((inside / s[kept]).norm()))
    frequency = math.pi * torch.arange(1, 3 * half_waves + 1, dtype=torch.float64)
    waves = torch.stack((torch.sin(frequency * x[:, None]), torch.cos(frequency * x[:, None])))
    missing = ((waves - U @ (U.mT @ waves)).norm(dim=1) / waves.norm(dim=1)).mean(0)
    edge = reach(radius, cutoff)
    wanted = half_waves * math.pi
    return FeatureRange(
        np.array(counts),
        np.array(errors),
        np.array(norms),
        s.numpy(),
        frequency.numpy(),
        missing.numpy(),
        edge,
        f"With {counts[0]} to {most} features the error goes from {errors[0]:.2g} to {errors[-1]:.2g}; the wave has "
        f"frequency {wanted:.3g}, and a cut-off of {cutoff:.1g} allows weights for frequencies up to about {edge:.3g}.",
    )
