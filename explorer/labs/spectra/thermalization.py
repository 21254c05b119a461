r"""How strongly an observable joins eigenvectors of different eigenvalues, without computing any.

Row 119: Luo, Trivedi, Bañuls & Cirac 2024: Probing off-diagonal eigenstate thermalization with tensor networks. Energy
filters, here Gaussian functions of a self-adjoint operator H, see the mean square of the elements ``⟨i|O|j⟩`` over the
eigenvectors near two energies. The paper's tensor networks carry that to sixty spins; here are sparse products and
random probes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import SINGLE as SINGLE_SPACES
from explorer.catalogue import Help, Linear, Log, SpecError, analysis, operator
from explorer.linalg import Rng, Space
from explorer.linalg.block_krylov import Flat
from explorer.linalg.quadrature import Map, lanczos, quadrature
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import SELF_ADJOINT, SINGLE

_PAPERS = [
    "row 119",
    "Luo, Trivedi, Bañuls & Cirac 2024: Probing off-diagonal eigenstate thermalization with tensor networks",
]

#: most spins; largest operator that is decomposed to compare; most terms of a filter, and entries of its vectors
MAX_SPINS, MAX_EXACT, MAX_TERMS, AT_ONCE = 20, 1024, 2000, 2**26


class IsingChain(LinearOperator):
    """``J Σ Z_k Z_k+1 + g Σ X_k + h Σ Z_k`` on a chain of spins with open ends; spin k is bit k of the index."""

    title = "the Ising chain"
    self_adjoint = True

    def __init__(self, domain: Space, coupling: float, transverse: float, longitudinal: float) -> None:
        super().__init__(domain)
        self.spins, self.transverse = domain.size.bit_length() - 1, transverse
        z = [1 - 2 * ((torch.arange(domain.size, device=domain.device) >> k) & 1) for k in range(self.spins)]
        spins = torch.stack(z).double()
        energy = coupling * (spins[1:] * spins[:-1]).sum(0) + longitudinal * spins.sum(0)
        self.energy = energy.to(real_dtype(domain.dtype))

    def _forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(*self.domain.batch(x), self.domain.size)
        flipped = torch.zeros_like(flat)
        for k in range(self.spins):
            flipped = flipped + flat.unflatten(-1, (-1, 2, 1 << k)).flip(-2).flatten(-3)
        return (self.energy * flat + self.transverse * flipped).reshape(x.shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def main_diagonal(self) -> Tensor:
        """Return the energies of the spins' own configurations."""
        return self.energy.reshape(self.domain.shape)


@operator(
    "Ising chain",
    papers=_PAPERS,
    equation=r"H = J \sum_k Z_k Z_{k+1} + g \sum_k X_k + h \sum_k Z_k",
    works="Eigenvalues and matrix functions of a large self-adjoint operator whose products are cheap.",
    fails="It is indefinite, so that conjugate gradients may break down; its size doubles with every spin.",
)
def ising_chain(
    domain: Annotated[Space, SINGLE],
    *,
    coupling: Annotated[float, Linear(-10, 10, help="J, between neighbours")] = 1.0,
    transverse: Annotated[float, Linear(-10, 10, help="g, the field that flips spins")] = 1.05,
    longitudinal: Annotated[
        float, Linear(-10, 10, help="h, the field along the spins; without it: free fermions")
    ] = -0.5,
) -> IsingChain:
    """The energy of a chain of spins as an operator on its wave function, one entry a configuration.

    With both fields the chain is chaotic, without the longitudinal one it is solvable.

    Raises
    ------
    SpecError
        If the number of entries is not a power of two, or beyond 2²⁰.
    """
    n = domain.size
    if n < 2 or n & (n - 1) or n > 2**MAX_SPINS:
        raise SpecError(f"has {n} entries, and L spins have 2^L configurations, with L at most {MAX_SPINS}", "domain")
    return IsingChain(domain, coupling, transverse, longitudinal)


def square_wave(size: int, bit: int, device: torch.device | None = None) -> Tensor:
    """Return 1 where a bit of the index is 0 and −1 where it is 1: of a chain of spins, the diagonal of ``Z_bit``."""
    return 1.0 - 2.0 * ((torch.arange(size, device=device) >> bit) & 1)


def filter_series(energy: Tensor, width: float, low: float, high: float, terms: int) -> Tensor:
    """Return Chebyshev coefficients on [low, high] of ``exp(−(x − E)²/2σ²)``, shape ``(*energy.shape, terms)``."""
    angle = (torch.arange(4 * terms, dtype=torch.float64, device=energy.device) + 0.5) * (math.pi / (4 * terms))
    x = (high + low) / 2 + (high - low) / 2 * torch.cos(angle)
    k = torch.arange(terms, dtype=torch.float64, device=energy.device)
    waves = torch.cos(k * angle[:, None]) * torch.where(k == 0, 1.0, 2.0) / len(angle)
    return torch.exp(-0.5 * ((x - energy.unsqueeze(-1)) / width) ** 2) @ waves


def _polynomials(apply: Map, v: Tensor, low: float, high: float, terms: int) -> Tensor:
    """Return ``T_j(B) v`` with B the map shifted to [−1, 1], shape ``(terms, *v.shape)``."""
    centre, half = (high + low) / 2, (high - low) / 2
    rows = [v, (apply(v) - centre * v) / half]
    while len(rows) < terms:
        rows.append((apply(rows[-1]) - centre * rows[-1]) * (2 / half) - rows[-2])
    return torch.stack(rows)


def filter_moments(
    apply: Map, observable: Tensor, probes: Tensor, low: float, high: float, terms: int
) -> tuple[Tensor, Tensor]:
    """Return estimates of ``tr T_n O T_m O`` and of ``tr T_n``, shapes ``(terms, terms)`` and ``(terms,)``.

    Parameters
    ----------
    apply : callable
        A self-adjoint map of flat vectors, shape ``(*batch, n)``, with its spectrum in [low, high].
    observable : Tensor
        Diagonal of O, real, shape ``(n,)``.
    probes : Tensor
        Shape ``(k, n)``; the mean of ``v vᴴ`` over them stands for the identity.
    """
    pair = torch.zeros(terms, terms, dtype=torch.float64, device=probes.device)
    single = torch.zeros(terms, dtype=torch.float64, device=probes.device)
    chunk = max(1, AT_ONCE // (2 * terms * probes.shape[-1]))
    for v in probes.split(chunk):
        left, right = (_polynomials(apply, w, low, high, terms).flatten(1) for w in (v, observable * v))
        seen = (left.unflatten(1, v.shape) * observable).flatten(1)
        pair += (seen.conj() @ right.mT).real.double()
        single += (left @ v.flatten().conj()).real.double()
    return pair / len(probes), single / len(probes)


def exact_strength(values: Tensor, elements: Tensor, above: Tensor, below: Tensor, width: float) -> Tensor:
    """Return the mean of ``|O_ij|²`` over eigenvectors near two energies, weighted by Gaussian filters.

    Parameters
    ----------
    values, elements : Tensor
        Eigenvalues, shape ``(n,)``, and O in the basis of the eigenvectors, shape ``(n, n)``.
    above, below : Tensor
        ``E + ω/2`` and ``E − ω/2``, of one shape.
    """
    left, right = (torch.exp(-0.5 * ((values - e.unsqueeze(-1)) / width) ** 2) for e in (above, below))
    square = elements.abs().square()
    return ((left @ square) * right).sum(-1) / (left.sum(-1) * right.sum(-1))


@dataclass(frozen=True)
class OffDiagonal:
    """How strongly an observable joins eigenvectors at different energies.

    Attributes
    ----------
    energy, frequency : NDArray
        E, shape ``(p,)``, and ω, shape ``(q,)``.
    strength : NDArray
        Mean square of the elements between eigenvectors near ``E + ω/2`` and ``E − ω/2``, shape ``(p, q)``.
    width : float
        σ of the filters.
    terms : int
        Of the filters' series: as many products with the operator, twice a probe.
    exact : NDArray or None
        The strength by full decomposition, where asked for and within reach.
    kurtosis : float
        ``⟨x⁴⟩ / ⟨x²⟩²`` of the real parts of elements in the middle of the spectrum at low frequency: 3 if they are
        normal; not a number without the full decomposition.
    sentence : str
        What this means.
    """

    energy: NDArray[np.floating]
    frequency: NDArray[np.floating]
    strength: NDArray[np.floating]
    width: float
    terms: int
    exact: NDArray[np.floating] | None
    kurtosis: float
    sentence: str


@analysis(
    "Off-diagonal strength",
    papers=[*_PAPERS, "Weiße, Wellein, Alvermann & Fehske 2006: The kernel polynomial method"],
    equation=r"F(E, \omega) = \frac{\mathrm{tr}\, g(H - E - \omega/2)\, O\, g(H - E + \omega/2)\, O}"
    r"{\mathrm{tr}\, g(H - E - \omega/2)\; \mathrm{tr}\, g(H - E + \omega/2)}",
)
@torch.no_grad()
def off_diagonal_strength(
    A: Annotated[LinearOperator, SINGLE_SPACES, SELF_ADJOINT],
    *,
    bit: Annotated[
        int, Linear(0, 24, help="O changes its sign every 2^bit entries: of a chain, the spin at this place")
    ] = 4,
    resolution: Annotated[
        float, Log(0.02, 2, help="width of the filters, in standard deviations of the spectrum")
    ] = 0.2,
    probes: Annotated[int, Log(1, 1000, help="random probes of the traces")] = 20,
    exact: Annotated[bool, Help(f"compare with a full decomposition, of at most {MAX_EXACT} entries")] = False,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the probes")] = 0,
) -> OffDiagonal:
    """Probe which energies an observable connects, in the middle of the spectrum of any self-adjoint operator.

    The observable multiplies by a square wave. Eigenvalue statistics are those of the operator's own spectrum: five
    energies within a standard deviation of its mean, nine frequencies up to two. The elements themselves are normal
    where the operator is chaotic, and mostly zero with a few large ones where it is solvable.

    Raises
    ------
    SpecError
        If the wave is longer than the unknown, the spectrum is one point, or its ends are too far apart for filters
        of that width.
    """
    flat = Flat(A)
    n, device = flat.domain.size, flat.domain.device
    if 2 << bit > n:
        raise SpecError(f"is {bit}, and an unknown of {n} entries has no such wave", "bit")
    rng = Rng(seed, "analysis/thermalization")
    signs = ((rng.uniform((probes, n), torch.float64, device) < 0.5) * 2.0 - 1).to(flat.domain.dtype)
    theta, weight = quadrature(*lanczos(flat.forward, signs[:1], min(n, 80)))
    mean = (theta * weight).sum()
    spread = float((weight * (theta - mean).square()).sum().sqrt())
    low, high = float(theta.min()), float(theta.max())
    margin = 0.03 * (high - low)
    low, high, width = low - margin, high + margin, resolution * spread
    terms = math.ceil(3 * (high - low) / width) if width > 1e-6 * max(abs(low), abs(high)) else MAX_TERMS + 1
    if terms > MAX_TERMS:
        raise SpecError(
            f"is {resolution:g}, {width:.3g} in a spectrum from {low:.3g} to {high:.3g}: raise it", "resolution"
        )
    energy = mean + spread * torch.linspace(-1, 1, 5, dtype=torch.float64, device=device)
    frequency = spread * torch.linspace(0, 2, 9, dtype=torch.float64, device=device)
    above, below = energy[:, None] + frequency / 2, energy[:, None] - frequency / 2
    wave = square_wave(n, bit, device).to(signs.real.dtype)
    pair, single = filter_moments(flat.forward, wave, signs, low, high, terms)
    left, right = (filter_series(e, width, low, high, terms) for e in (above, below))
    strength = ((left @ pair) * right).sum(-1) / ((left @ single) * (right @ single))
    said = (
        f"From ω = 0 to {float(frequency[-1]):.3g} the mean square element falls by a factor of "
        f"{float(strength[2, 0] / strength[2, -1]):.3g} in the middle of the spectrum"
    )
    compared, kurtosis = None, math.nan
    if exact and n <= MAX_EXACT:
        matrix = A.to_dense()
        values, vectors = torch.linalg.eigh((matrix + matrix.mH) / 2)
        elements = vectors.mH @ (wave[:, None] * vectors)
        full = exact_strength(values.double(), elements, above, below, width)
        kurtosis = _kurtosis(values.double(), elements, float(mean), spread)
        off = 100 * float((strength - full).norm() / full.norm())
        said += f"; probes and the decomposition differ by {off:.2g} %, and elements have a kurtosis of {kurtosis:.3g}"
        compared = full.cpu().numpy()
    return OffDiagonal(
        energy.cpu().numpy(), frequency.cpu().numpy(), strength.cpu().numpy(), width, terms, compared, kurtosis,
        said + ".",
    )  # fmt: skip


def _kurtosis(values: Tensor, elements: Tensor, mean: float, spread: float) -> float:
    """Return the kurtosis of elements between different eigenvectors within a quarter of the spread of the middle."""
    middle, apart = (values[:, None] + values) / 2 - mean, (values[:, None] - values).abs()
    chosen = (middle.abs() <= 0.25 * spread) & (apart <= 0.25 * spread)
    chosen.fill_diagonal_(False)
    x = elements[chosen].real.double()
    return float(x.pow(4).mean() / x.square().mean() ** 2) if len(x) else math.nan
