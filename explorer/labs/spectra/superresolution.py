r"""How well the separation of two incoherent point sources can be known, by measurement and at all.

Row 285: Ang, Nair & Tsang 2017: Quantum limit for two-dimensional resolution of two incoherent optical point sources.
The amplitude of a point's image is a Gaussian of width s, ``ψ(x) ∝ exp(−x²/4s²)``; a photon comes from one of two
equal points at ±d/2. Fisher information is a photon's, about d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, analysis, operator
from explorer.linalg import Rng, Space
from explorer.operators.algebra import Kronecker
from explorer.operators.base import DenseMatrix
from explorer.operators.capabilities import REAL, SINGLE

_PAPERS = [
    "row 285",
    "Ang, Nair & Tsang 2017: Quantum limit for two-dimensional resolution of two incoherent optical point sources",
]


def quantum_information(width: float) -> float:
    """Return ``1/4s²``, the most that any measurement tells of the separation along one axis, whatever that is."""
    return 1 / (4 * width**2)


def direct_information(separation: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Return the information of an image about the separation along the line of the points, and across it.

    These are ``∫ (∂p/∂d)² / p``, with p the mean of two normal densities, by the trapezoidal rule; on a grid that
    reaches 12 s beyond the points it is exact to rounding.
    """
    h = separation.unsqueeze(-1) / (2 * width)
    u = torch.linspace(-1, 1, 4001, dtype=separation.dtype, device=separation.device) * (h + 12)
    # along the line p = φ(u) cosh(hu) exp(−h²/2), and its derivative by h over p is u tanh(hu) − h
    log = -0.5 * (u.abs() - h).square() + torch.log1p(torch.exp(-2 * h * u.abs())) - math.log(2)
    p, tanh = torch.exp(log) / math.sqrt(2 * math.pi), torch.tanh(h * u)
    along, across = (torch.trapezoid(score.square() * p, u) for score in (u * tanh - h, tanh))
    return along / (4 * width**2), across / (4 * width**2)


def mode_probabilities(separation: Tensor, width: float, modes: int) -> Tensor:
    """Return the law of the Hermite–Gauss mode of a photon: Poisson of mean ``d²/16s²``, shape ``(*batch, modes)``."""
    mean = (separation.square() / (16 * width**2)).unsqueeze(-1)
    q = torch.arange(modes, dtype=separation.dtype, device=separation.device)
    return torch.exp(torch.xlogy(q, mean) - mean - torch.lgamma(q + 1))


def mode_derivative(separation: Tensor, width: float, modes: int) -> Tensor:
    """Return the derivative of :func:`mode_probabilities` by the separation."""
    p = mode_probabilities(separation, width, modes)
    before = torch.cat((torch.zeros_like(p[..., :1]), p[..., :-1]), -1)
    return (before - p) * (separation / (8 * width**2)).unsqueeze(-1)


def information(probability: Tensor, derivative: Tensor) -> Tensor:
    """Return Fisher's information ``Σ p'² / p`` of outcomes with these probabilities, shape ``(*batch,)``."""
    ratio = derivative.square() / torch.where(probability > 0, probability, 1)
    return torch.where(probability > 0, ratio, 0).sum(-1)


def sorting_information(separation: Tensor, width: float) -> Tensor:
    """Return the information of sorting photons by modes, of as many modes as matter."""
    modes = _modes(separation, width)
    return information(mode_probabilities(separation, width, modes), mode_derivative(separation, width, modes))


def _modes(separation: Tensor, width: float) -> int:
    """Return a number of modes beyond which there is no photon, to rounding."""
    mean = float((separation.max() / (4 * width)) ** 2)
    return math.ceil(mean + 12 * math.sqrt(mean) + 30)


def two_outcomes(separation: Tensor, width: float, scheme: Literal["first_mode", "inversion"]) -> Tensor:
    """Return the information of asking one question of a photon.

    Parameters
    ----------
    scheme : str
        ``first_mode``: whether it is in the Gaussian mode, with probability ``e^−Q``, ``Q = d²/16s²``. ``inversion``:
        whether it leaves an interferometer of the image with its mirror image by the odd port, ``(1 − e^−2Q)/2``.
    """
    rate = separation.square() / (16 * width**2) * (1 if scheme == "first_mode" else 4)
    share = torch.where(rate > 0, rate / torch.where(rate > 0, torch.expm1(rate), 1), 1)
    return share * quantum_information(width)


@dataclass(frozen=True)
class TwoPoints:
    """What measurements of two points tell of their separation, and how well it is found from simulated photons.

    Attributes
    ----------
    separation : NDArray
        d, in the unit of the width, shape ``(k,)``.
    sorting, first_mode, inversion : NDArray
        Information of sorting photons by modes, and of two schemes with two outcomes, over the quantum bound, shape
        ``(k,)``.
    direct, across : NDArray
        Information of an image about the separation along the line of the points, and across it, over the same bound.
    bound : float
        Least standard error that any measurement of so many photons allows, ``2s / √N``.
    sorting_error, direct_error : NDArray
        Root mean square errors of the most likely separation, shape ``(k,)``.
    sentence : str
        What this means.
    """

    separation: NDArray[np.floating]
    sorting: NDArray[np.floating]
    first_mode: NDArray[np.floating]
    inversion: NDArray[np.floating]
    direct: NDArray[np.floating]
    across: NDArray[np.floating]
    bound: float
    sorting_error: NDArray[np.floating]
    direct_error: NDArray[np.floating]
    sentence: str


@analysis(
    "Resolution of two points",
    papers=_PAPERS,
    equation=r"\mathcal{I}(d) \le \frac{N}{4 s^2} \text{ for every measurement and every } d",
)
@torch.no_grad()
def two_point_resolution(
    *,
    width: Annotated[float, Log(1e-3, 1e3, help="s, standard deviation of a point's image")] = 1.0,
    closest: Annotated[float, Log(1e-3, 10, help="smallest separation, in units of s")] = 0.05,
    farthest: Annotated[float, Log(1e-3, 10, help="largest separation, in units of s")] = 4.0,
    points: Annotated[int, Log(2, 200, help="number of separations")] = 25,
    photons: Annotated[int, Log(10, 1_000_000, help="expected number N of photons of an experiment")] = 1000,
    repeats: Annotated[int, Log(2, 10_000, help="simulated experiments at each separation")] = 200,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the photons")] = 0,
) -> TwoPoints:
    """Compare an image with better questions asked of the same photons.

    An image tells less and less of the separation as the points draw near, sorting by modes never does: nearly all
    photons are then in the Gaussian mode, and the few that are not tell it all. Estimates have a bias where the bound
    is not small against the separation, and may then do better than it.

    Raises
    ------
    SpecError
        If the smallest separation is not below the largest.
    """
    if closest >= farthest:
        raise SpecError(f"is {closest:g}, and must be below the largest separation, {farthest:g}", "closest")
    d = width * torch.logspace(math.log10(closest), math.log10(farthest), points, dtype=torch.float64)
    most = quantum_information(width)
    direct, across = (part / most for part in direct_information(d, width))
    rng = Rng(seed, "analysis/resolution")
    found = (_sorted_estimate, _image_estimate)
    errors = [(of(d, width, photons, repeats, rng) - d).square().mean(0).sqrt().numpy() for of in found]
    bound = 1 / math.sqrt(most * photons)
    near = float(direct[0])
    return TwoPoints(
        d.numpy(),
        (sorting_information(d, width) / most).numpy(),
        (two_outcomes(d, width, "first_mode") / most).numpy(),
        (two_outcomes(d, width, "inversion") / most).numpy(),
        direct.numpy(),
        across.numpy(),
        bound,
        errors[0],
        errors[1],
        f"At a separation of {closest:g} s an image has {100 * near:.2g} % of the information that sorting by modes "
        f"has at any; with {photons:,} photons its error is {errors[1][0] / errors[0][0]:.2g} times as large.",
    )


def _sorted_estimate(d: Tensor, width: float, photons: int, repeats: int, rng: Rng) -> Tensor:
    """Return the most likely separations given sorted photons, ``4s √(mean mode)``, shape ``(repeats, len(d))``."""
    modes = _modes(d, width)
    counts = rng.poisson((photons * mode_probabilities(d, width, modes)).expand(repeats, -1, -1))
    mean = (counts * torch.arange(modes, dtype=d.dtype)).sum(-1) / counts.sum(-1).clamp(min=1)
    return 4 * width * mean.sqrt()


def _image_estimate(d: Tensor, width: float, photons: int, repeats: int, rng: Rng) -> Tensor:
    """Return the most likely of 400 separations given an image of pixels of s/10, shape ``(repeats, len(d))``."""
    reach = float(d.max()) / 2 + 5 * width
    x = torch.arange(-reach, reach, width / 10, dtype=d.dtype)
    candidates = torch.linspace(0, 1.5 * float(d.max()) + 2 * width, 400, dtype=d.dtype)

    def image(separation: Tensor) -> Tensor:
        distance = torch.stack((x - separation[:, None] / 2, x + separation[:, None] / 2))
        bells = torch.exp(-0.5 * (distance / width).square()).sum(0)
        return bells / bells.sum(-1, keepdim=True)

    counts = rng.poisson((photons * image(d)).expand(repeats, -1, -1))
    return candidates[(counts @ image(candidates).log().mT).argmax(-1)]


@operator(
    "Sorting by Hermite–Gauss modes",
    name="mode_sorting",
    papers=_PAPERS,
    equation=r"y_q = \sum_i e^{-Q_i} Q_i^q / q! \; x_i,\quad Q_i = t_i^2 / 4 s^2",
    works="Sources closer together than the width of the beam, whose separation an image hardly tells.",
    fails="An object and its mirror image give the same data; beyond a few modes singular values are almost zero.",
)
def mode_sorting(
    domain: Annotated[Space, SINGLE, REAL],
    *,
    extent: Annotated[float, Log(0.1, 20, help="half length of each side of the object, in units of s")] = 4.0,
    modes: Annotated[int, Log(2, 256, help="modes along each dimension")] = 24,
) -> Kronecker:
    """Photons of an incoherent object, counted by the mode of a Gaussian beam that they arrive in.

    A point at t sends a photon to mode q with Poisson's probability of mean ``t²/4s²``; the samples are at the centres
    of cells, modes along several dimensions are those of a product. An object and its mirror image give the same data.
    """
    factors = []
    for n in domain.shape:
        t = ((torch.arange(n, dtype=torch.float64, device=domain.device) + 0.5) * (2 / n) - 1) * extent
        matrix = mode_probabilities(2 * t, 1.0, modes).mT.to(domain.dtype)
        side, counts = (Space((size,), domain.dtype, domain.device) for size in (n, modes))
        factors.append(DenseMatrix(side, counts, matrix.contiguous()))
        factors[-1].nonnegative = True
    made = Kronecker(domain, factors)
    made.title = "sorting by Hermite–Gauss modes"
    return made
