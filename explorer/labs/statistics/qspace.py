r"""Diffusion signals on the sphere: which directions to measure, and how to get the others from them.

Row 291: Simultaneous q-space sampling optimization and reconstruction for fast and high-fidelity diffusion magnetic
resonance imaging (Yang et al. 2024). The paper moves directions continuously and trains a network with them; here, in
closed form, K of the directions of a full protocol are chosen greedily for the linear estimate of least mean squared
error under the covariance of a synthetic population.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis, problem, solver
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.problems.base import Truth
from explorer.solvers.steps import Solution

Choice = Literal["greedy", "uniform", "random"]

_PAPERS = [
    "row 291",
    "Yang et al. 2024: Simultaneous q-space sampling optimization and reconstruction for fast and high-fidelity "
    "diffusion magnetic resonance imaging",
]
#: diffusivities along and across a fibre in mm²/s
ALONG, ACROSS = 1.7e-3, 0.3e-3
#: signals of the population whose covariance is learned, and its seed: held-out signals have others
_POPULATION, _SEED = 4000, 20_000


def hemisphere(count: int) -> Tensor:
    """Return unit vectors spread evenly over half the sphere, on a golden spiral, shape ``(count, 3)``."""
    i = torch.arange(count, dtype=torch.float64)
    z = (i + 0.5) / count
    angle = i * math.pi * (1 + 5**0.5)
    radius = (1 - z**2).sqrt()
    return torch.stack((radius * angle.cos(), radius * angle.sin(), z), -1)


def crossings(rng: Rng, count: int, directions: Tensor, b: float) -> Tensor:
    """Return signals ``Σ_f w_f exp(−b gᵀ D_f g)`` of one to three fibres in random directions, shape ``(count, n)``."""
    fibres = rng.fork("fibres").normal((count, 3, 3), torch.float64)
    fibres = fibres / fibres.norm(dim=-1, keepdim=True)
    weights = -rng.fork("weights").uniform((count, 3), torch.float64).clamp(min=1e-12).log()
    number = (3 * rng.fork("number").uniform((count, 1), torch.float64)).long()
    weights = torch.where(torch.arange(3) <= number, weights, 0.0)
    weights = weights / weights.sum(-1, keepdim=True)
    cosine2 = (fibres @ directions.mT) ** 2
    return (weights.unsqueeze(-1) * torch.exp(-b * (ACROSS + (ALONG - ACROSS) * cosine2))).sum(-2)


def learned(directions: Tensor, b: float) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of a synthetic population, shapes ``(n,)`` and ``(n, n)``."""
    signals = crossings(Rng(_SEED, "population"), _POPULATION, directions.cpu().double(), b)
    return signals.mean(0).to(directions), signals.mT.cov().to(directions)


def greedy(covariance: Tensor, kept: int, variance: float) -> list[int]:
    """Return directions that, one after another, lower the trace of the posterior covariance most (A-optimality).

    A measurement of direction j takes ``C e_j e_jᵀ C / (C_jj + σ²)`` from the covariance C.
    """
    C, chosen = covariance.clone(), list[int]()
    for _ in range(kept):
        gain = (C**2).sum(0) / (C.diagonal() + variance)
        gain[chosen] = -1
        j = int(gain.argmax())
        chosen.append(j)
        C = C - torch.outer(C[:, j], C[j]) / (C[j, j] + variance)
    return chosen


def uniform(directions: Tensor, kept: int, first: int = 0) -> list[int]:
    """Return directions each as far as can be from those before, g and −g being the same."""
    chosen = [first]
    nearest = (directions @ directions[first]).abs()
    for _ in range(kept - 1):
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, (directions @ directions[chosen[-1]]).abs())
    return chosen


class SomeDirections(LinearOperator):
    """Keep some directions of every voxel's signal.

    Parameters
    ----------
    domain : Space
        Signals, shape ``(voxels, n)``.
    directions : Tensor
        All directions, shape ``(n, 3)``.
    kept : sequence of int
        Which of them are measured.
    b : float
        Diffusion weighting in s/mm².
    """

    title = "some of the directions"
    coisometry = True

    def __init__(self, domain: Space, directions: Tensor, kept: list[int], b: float) -> None:
        super().__init__(domain, Space((domain.shape[0], len(kept)), domain.dtype, domain.device))
        self.directions, self.kept, self.b = directions, torch.tensor(kept, device=domain.device), b

    def _forward(self, x: Tensor) -> Tensor:
        return x.index_select(-1, self.kept)

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.new_zeros((*y.shape[:-1], self.domain.shape[-1])).index_copy_(-1, self.kept, y)


DIRECTIONS = Capability("measurements of some directions of diffusion", lambda A: isinstance(A, SomeDirections))


def estimate(y: Tensor, kept: list[int] | Tensor, mean: Tensor, covariance: Tensor, variance: Tensor | float) -> Tensor:
    """Return the linear estimate of least mean squared error, ``m + C Pᵀ (P C Pᵀ + σ² I)⁻¹ (y − P m)``."""
    some = covariance[kept][:, kept] + variance * torch.eye(len(kept), dtype=y.dtype, device=y.device)
    gain = torch.linalg.solve(some, covariance[kept])
    return mean + (y - mean[kept]) @ gain


@solver(
    "Linear estimate learned from a population",
    papers=_PAPERS,
    equation=r"\hat x = m + C P^T (P C P^T + \sigma^2 I)^{-1} (y - P m)",
    reads=1,
    reports=("residual",),
    works="Crossing fibres measured in a few directions, at diffusion weightings near 1000 s/mm².",
    fails="Tissue unlike its synthetic population; at 3000 s/mm² signals are sharper than ten directions tell.",
)
def population_estimate(
    A: Annotated[LinearOperator, DIRECTIONS],
    y: Tensor,
    noise_norm: Tensor | None = None,
    *,
    level: Annotated[float, Log(1e-6, 1, help="noise of a signal of one, where its size is not known")] = 0.02,
) -> Solution:
    """Fill in directions by what signals of crossing fibres have in common."""
    assert isinstance(A, SomeDirections)
    mean, covariance = learned(A.directions, A.b)
    variance: Tensor | float = level**2
    if noise_norm is not None:
        variance = (noise_norm.square() / A.codomain.size).clamp(min=1e-12).to(y.dtype)[..., None, None]
    x = estimate(y, A.kept, mean, covariance, variance)
    return Solution(x, residual=A.codomain.norm(y - A(x)))


def harmonics(directions: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return the real spherical harmonics of even degree up to `order`, shape ``(n, c)``, and their degrees."""
    from scipy.special import sph_harm_y

    g = directions.cpu().double().numpy()
    polar, azimuth = np.arccos(g[:, 2].clip(-1, 1)), np.arctan2(g[:, 1], g[:, 0])
    columns, degrees = [], []
    for degree in range(0, order + 1, 2):
        for m in range(degree + 1):
            value = sph_harm_y(degree, m, polar, azimuth) * (2**0.5 if m else 1.0)
            columns += [value.real, value.imag] if m else [value.real]
            degrees += [degree] * (2 if m else 1)
    return torch.from_numpy(np.stack(columns, -1)).to(directions), torch.tensor(degrees).to(directions)


def harmonic_fit(y: Tensor, kept: list[int], directions: Tensor, order: int = 6, weight: float = 0.006) -> Tensor:
    """Return the fit by spherical harmonics with the Laplace–Beltrami penalty ``w Σ l² (l+1)² c²``.

    Descoteaux et al. 2007: Regularized, fast, and robust analytical Q-ball imaging.
    """
    basis, degree = harmonics(directions, order)
    B = basis[kept]
    gram = B.mT @ B + torch.diag(weight * (degree * (degree + 1)) ** 2)
    return y @ B @ torch.linalg.inv(gram) @ basis.mT


@problem("Diffusion signals of crossing fibres", papers=_PAPERS, equation=r"S(g) = \sum_f w_f e^{-b\, g^T D_f g}")
def crossing_fibres(
    rng: Rng,
    *,
    voxels: Annotated[int, Log(1, 10_000, help="number of voxels")] = 64,
    directions: Annotated[int, Log(6, 1000, help="directions of the full protocol")] = 90,
    kept: Annotated[int, Log(1, 1000, help="directions that are measured")] = 10,
    design: Annotated[Choice, Help("how these are chosen: for the least error, far apart, or at random")] = "greedy",
    b: Annotated[float, Linear(100, 10_000, unit="s/mm²", help="diffusion weighting")] = 1000.0,
) -> Truth:
    """Voxels with one to three fibres each, of which a few directions are measured.

    Raises
    ------
    SpecError
        If more directions are to be kept than there are.
    """
    if kept > directions:
        raise SpecError(f"is {kept}, and there are {directions} directions", "problem.params.kept")
    g = hemisphere(directions)
    if design == "greedy":
        chosen = greedy(learned(g, b)[1], kept, 0.02**2)
    elif design == "uniform":
        chosen = uniform(g, kept)
    else:
        chosen = rng.fork("design").permutation(directions)[:kept].tolist()
    A = SomeDirections(Space((voxels, directions), torch.float64), g, chosen, b)
    return Truth(crossings(rng.fork("signals"), voxels, g, b), {"A": A})


@dataclass(frozen=True)
class SamplingComparison:
    """Relative errors of designs and reconstructions on held-out signals.

    Attributes
    ----------
    joint : float
        Greedy directions, learned reconstruction.
    random : float
        Random directions, learned reconstruction, on average.
    uniform : float
        Directions far apart, learned reconstruction.
    harmonic : float
        Directions far apart, spherical harmonics.
    foretold : float
        Error of `joint` by the posterior covariance.
    chosen : NDArray of int
        The greedy directions in order.
    sentence : str
        What this means.
    """

    joint: float
    random: float
    uniform: float
    harmonic: float
    foretold: float
    chosen: NDArray[np.integer]
    sentence: str


@analysis(
    "Directions and reconstruction together", papers=_PAPERS, equation=r"\min_{|I| = K} \mathrm{tr}\, C_{x | y_I}"
)
@torch.no_grad()
def sampling_design(
    *,
    directions: Annotated[int, Log(6, 1000, help="directions of the full protocol")] = 90,
    kept: Annotated[int, Log(1, 1000, help="directions that are measured")] = 10,
    level: Annotated[float, Log(1e-4, 1, help="standard deviation of the noise, of a signal of one")] = 0.02,
    b: Annotated[float, Linear(100, 10_000, unit="s/mm²", help="diffusion weighting")] = 1000.0,
    signals: Annotated[int, Log(1, 10_000, help="held-out signals")] = 500,
    subsets: Annotated[int, Log(1, 1000, help="random subsets")] = 20,
    seed: Annotated[int, Linear(0, 2**31, help="seed of signals, noise and subsets")] = 0,
) -> SamplingComparison:
    """Compare designs with the same reconstruction, and reconstructions with the same design.

    Errors are ``(mean ‖x̂ − x‖² / mean ‖x − m‖²)^½``, of what the mean signal m does not explain. Over a population
    of fibres in all directions alike, the best design is nearly the one that spreads directions evenly, and most of the
    gain is the reconstruction's. It is large at low diffusion weighting, where harmonics of high degree are absent.

    Raises
    ------
    SpecError
        If more directions are to be kept than there are.
    """
    if kept > directions:
        raise SpecError(f"is {kept}, and there are {directions} directions", "kept")
    rng, g = Rng(seed, "sampling"), hemisphere(directions)
    mean, C = learned(g, b)
    x = crossings(rng.fork("signals"), signals, g, b)
    y = x + level * rng.fork("noise").normal(x.shape, torch.float64)
    scale = (x - mean).square().sum()
    error = lambda found: float(((found - x).square().sum() / scale).sqrt())  # noqa: E731
    chosen, spread = greedy(C, kept, level**2), uniform(g, kept)
    drawn = [rng.fork(f"subset {k}").permutation(directions)[:kept].tolist() for k in range(subsets)]
    fit = lambda some: error(estimate(y[:, some], some, mean, C, level**2))  # noqa: E731
    left = C - C[:, chosen] @ torch.linalg.solve(
        C[chosen][:, chosen] + level**2 * torch.eye(kept, dtype=C.dtype), C[chosen]
    )
    joint, random, even = fit(chosen), float(np.mean([fit(some) for some in drawn])), fit(spread)
    harmonic = error(harmonic_fit(y[:, spread], spread, g))
    return SamplingComparison(
        joint,
        random,
        even,
        harmonic,
        float((left.trace() / C.trace()).sqrt()),
        np.array(chosen),
        f"With {kept} of {directions} directions the error is {joint:.3g} jointly, {random:.3g} at random, {even:.3g} "
        f"evenly spread, and {harmonic:.3g} with spherical harmonics.",
    )
