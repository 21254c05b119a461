"""How well an operator keeps sparse vectors apart: coherence, restricted isometry, and the phase transition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import SINGLE
from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis
from explorer.linalg import Rng, Space
from explorer.linalg.block_krylov import Flat
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.solvers.greedy import omp

#: unknowns up to which every pair of columns is compared
ALL_PAIRS = 4096
#: most unknowns of a phase transition, and most entries of the matrix
MAX_SIGNAL, MAX_ENTRIES = 1024, 2**21
#: relative error below which a signal counts as recovered
RECOVERED = 0.02
#: threshold of the splitting for l1, relative to the size of the entries
THRESHOLD = 0.5

SENSOR = Capability(
    f"a real operator of at most {MAX_SIGNAL} unknowns and {MAX_ENTRIES:,} entries",
    lambda A: (
        isinstance(A.domain, Space)
        and isinstance(A.codomain, Space)
        and not A.domain.is_complex
        and A.domain.size <= MAX_SIGNAL
        and A.domain.size * A.codomain.size <= MAX_ENTRIES
    ),
)


@dataclass(frozen=True)
class Sensing:
    """Coherence and restricted isometry of an operator's columns, scaled to norm one.

    Attributes
    ----------
    coherence : float
        Largest ``|⟨aᵢ, aⱼ⟩|`` of the columns that were compared: exact, or from below.
    welch : float
        The least that any matrix of this shape can have.
    pairs : int
        Number of columns that were compared with all others of them.
    sparsity : NDArray of int
        Sizes s of supports, shape ``(k,)``.
    delta : NDArray
        Largest ``|σ² − 1|`` over the supports that were drawn: from below, the restricted isometry constant δₛ;
        shape ``(k,)``.
    typical : NDArray
        Median over the supports, shape ``(k,)``.
    gershgorin : NDArray
        ``(s − 1) · coherence``, from above where the coherence is exact, shape ``(k,)``.
    sentence : str
    """

    coherence: float
    welch: float
    pairs: int
    sparsity: NDArray[np.integer]
    delta: NDArray[np.floating]
    typical: NDArray[np.floating]
    gershgorin: NDArray[np.floating]
    sentence: str


@analysis(
    "Coherence and restricted isometry",
    name="sensing",
    papers=[
        "Welch 1974: Lower bounds on the maximum cross correlation of signals",
        "Donoho & Elad 2003: Optimally sparse representation in general dictionaries via l1 minimization",
        "Candès & Tao 2005: Decoding by linear programming",
    ],
    equation=r"(1-\delta_s)\|x\|^2 \le \|Ax\|^2 \le (1+\delta_s)\|x\|^2",
)
@torch.no_grad()
def sensing(
    A: Annotated[LinearOperator, SINGLE],
    *,
    most: Annotated[int, Log(1, 256, help="largest size of a support")] = 16,
    supports: Annotated[int, Log(1, 10_000, help="supports drawn of each size")] = 200,
    columns: Annotated[int, Log(2, 4096, help="columns compared of a large operator")] = 1024,
    seed: Annotated[int, Linear(0, 2**31 - 1, help="seed of the supports")] = 0,
) -> Sensing:
    """Coherence of the columns, and restricted isometry constants from below by drawing supports.

    The true constant is the largest over all supports, which nobody can try; drawing tells what a typical sparse vector
    meets. Each support is made a little worse by exchanging its weakest member for the column most correlated with it.

    Raises
    ------
    SpecError
        If a column is zero, or the largest support has as many entries as there are columns.
    """
    n, m = A.domain.size, A.codomain.size
    rng = Rng(seed, "analysis/sensing")
    count = n if n <= min(ALL_PAIRS, max(columns, 1024)) else min(columns, n)
    chosen = torch.arange(n) if count == n else rng.fork("columns").permutation(n)[:count]
    most = min(most, count - 1)
    if most < 1:
        raise SpecError(f"{A.title} has {n} columns, and at least two are needed", "A")
    found = _columns(A, chosen)
    norms = torch.linalg.vector_norm(found, dim=-1, keepdim=True)
    if not bool((norms > 0).all()):
        raise SpecError(
            f"{A.title} does not see {int((norms == 0).sum())} of its unknowns at all: a column is zero", "A"
        )
    found = found / norms
    gram = found.conj() @ found.mT
    apart = gram - torch.eye(count, dtype=gram.dtype, device=gram.device)
    coherence = float(apart.abs().max())
    welch = math.sqrt((n - m) / (m * (n - 1))) if n > m else 0.0
    sizes = np.unique(np.geomspace(1, most, min(most, 8)).round().astype(int))
    delta, typical = [], []
    for s in sizes:
        sets = torch.stack([rng.fork(f"{s}/{i}").permutation(count)[:s] for i in range(supports)]).to(gram.device)
        deviation = _deviation(apart, sets)
        if s > 1:
            deviation = torch.maximum(deviation, _deviation(apart, _worse(apart, sets)))
        delta.append(float(deviation.max()))
        typical.append(float(deviation.median()))
    exact = count == n
    said = f"Coherence {coherence:.3g}, and no matrix of this shape is below {welch:.3g}"
    if not exact:
        said += f" ({count:,} of {n:,} columns were compared)"
    elif coherence:
        sure = math.ceil((1 + 1 / coherence) / 2) - 1  # of Donoho & Elad: fewer than (1 + 1/μ)/2
        said += f": any {sure} nonzero entries can be told for sure"
    said += f". Drawn supports of {sizes[-1]} have δ up to {delta[-1]:.2g}, typically {typical[-1]:.2g}."
    shown = np.maximum.accumulate(delta)  # δ grows with s: a support contains smaller ones
    return Sensing(coherence, welch, count, sizes, shown, np.asarray(typical), (sizes - 1) * coherence, said)


def _columns(A: LinearOperator, chosen: Tensor) -> Tensor:
    """Return some columns as rows, flat."""
    flat, n = Flat(A), A.domain.size
    parts = []
    for part in chosen.split(max(1, 2**22 // max(n, flat.codomain.size))):
        unit = torch.zeros(len(part), n, dtype=A.domain.dtype, device=A.domain.device)
        unit[torch.arange(len(part)), part] = 1
        parts.append(flat.forward(unit))
    return torch.cat(parts)


def _deviation(apart: Tensor, sets: Tensor) -> Tensor:
    """Return ``max |σ² − 1|`` of the columns of each set, shape ``(sets,)``."""
    blocks = apart[sets[:, :, None], sets[:, None, :]]
    return torch.linalg.eigvalsh((blocks + blocks.mH) / 2).abs().amax(-1)


def _worse(apart: Tensor, sets: Tensor) -> Tensor:
    """Return the sets with the least correlated member exchanged for the column most correlated with the others."""
    size = apart.abs()
    within = size[sets[:, :, None], sets[:, None, :]].sum(-1)
    weakest = within.argmin(-1, keepdim=True)
    kept = torch.ones_like(sets, dtype=torch.bool).scatter_(1, weakest, False)
    pull = (size[sets] * kept.unsqueeze(-1)).square().sum(1).scatter_(1, sets, -1.0)
    return sets.scatter(1, weakest, pull.argmax(-1, keepdim=True))


@dataclass(frozen=True)
class PhaseTransition:
    """Which sparse signals come back from how many measurements.

    Attributes
    ----------
    shares : NDArray
        Measurements for each unknown, rising, shape ``(d,)``.
    sparsity : NDArray
        Share of entries that are not zero, rising, shape ``(r,)``.
    success : NDArray
        Share of the trials that came back, shape ``(d, r)``; its standard error is ``√(p (1 − p) / trials)``.
    half : NDArray
        Sparsity at which half of the trials come back, interpolated; NaN where that is off the map; shape ``(d,)``.
    predicted : NDArray
        Measurements for each unknown that l1 needs at each sparsity: the statistical dimension of its descent cone,
        shape ``(r,)``.
    trials : int
    sentence : str
    """

    shares: NDArray[np.floating]
    sparsity: NDArray[np.floating]
    success: NDArray[np.floating]
    half: NDArray[np.floating]
    predicted: NDArray[np.floating]
    trials: int
    sentence: str


@analysis(
    "Phase transition",
    name="phase_transition",
    papers=[
        "Donoho & Tanner 2009: Observed universality of phase transitions in high-dimensional geometry, with "
        "implications for modern data analysis and signal processing",
        "Amelunxen, Lotz, McCoy & Tropp 2014: Living on the edge: phase transitions in convex programs with random "
        "data",
        "Lions & Mercier 1979: Splitting algorithms for the sum of two nonlinear operators",
    ],
    equation=r"\min \|x\|_1 \text{ subject to } A_\Omega x = y,\quad \delta = |\Omega| / n",
)
@torch.no_grad()
def phase_transition(
    A: Annotated[LinearOperator, SENSOR],
    *,
    method: Annotated[Literal["l1", "omp"], Help("what recovers: least l1 norm, or matching pursuit")] = "l1",
    shares: Annotated[int, Linear(2, 64, help="numbers of measurements, evenly up to all")] = 9,
    levels: Annotated[int, Linear(2, 64, help="numbers of nonzero entries")] = 14,
    most: Annotated[float, Linear(0.01, 1, help="largest share of nonzero entries")] = 0.6,
    trials: Annotated[int, Log(1, 1000, help="signals at each point of the map")] = 12,
    steps: Annotated[int, Log(10, 10_000, unit="steps", help="of the splitting for l1")] = 200,
    seed: Annotated[int, Linear(0, 2**31 - 1, help="seed of rows and signals")] = 0,
) -> PhaseTransition:
    """How many random rows of an operator recover how many entries: a border as sharp as the problem is large.

    For each number of measurements one random choice of rows and one batch: every sparsity and trial at once. Entries
    are ±1 at random places, data are free of noise. The least l1 norm is found by Douglas–Rachford splitting; whether
    it recovers depends on places and signs alone, and of the rows only on the space that they span.

    Raises
    ------
    SpecError
        If the operator is zero.
    """
    n, rng = A.domain.size, Rng(seed, "analysis/phase_transition")
    rows = _rows(A)
    if not float(rows.abs().max()):
        raise SpecError(f"{A.title} is zero, and recovers nothing", "A")
    counts = np.unique((np.linspace(0, 1, shares + 2)[1:-1] * n).round().astype(int).clip(1, len(rows)))
    sizes = np.unique((np.linspace(0, most, levels + 1)[1:] * n).round().astype(int).clip(1, n))
    shape = (len(sizes), trials, n)
    places = rng.fork("places").uniform(shape, torch.float64).argsort(-1).argsort(-1)
    signs = torch.where(rng.fork("signs").uniform(shape, torch.float64) < 0.5, -1.0, 1.0)
    truth = (signs * (places < torch.from_numpy(sizes)[:, None, None])).to(rows)
    success = []
    for m in counts:
        chosen = rows[rng.fork(f"rows/{m}").permutation(len(rows))[:m].to(rows.device)]
        found = _least_l1(chosen, truth, steps) if method == "l1" else _pursued(chosen, truth, int(sizes[-1]))
        gap = torch.linalg.vector_norm(found - truth, dim=-1) / torch.linalg.vector_norm(truth, dim=-1)
        success.append((gap < RECOVERED).double().mean(-1).cpu().numpy())
    diagram, sparsity = np.stack(success), sizes / n
    half = np.array([_crossing(row, sparsity) for row in diagram])
    predicted = np.array([l1_dimension(rho) for rho in sparsity])
    at = len(counts) // 2
    expected = np.interp(counts[at] / n, predicted, sparsity)
    told = f"half of the signals with {100 * half[at]:.3g} %" if np.isfinite(half[at]) else "none or all of the signals"
    said = (
        f"From {counts[at]} measurements of {n} unknowns, {told} nonzero entries come back; for l1 and very large "
        f"random matrices the border is at {100 * expected:.3g} %."
    )
    return PhaseTransition(counts / n, sparsity, diagram, half, predicted, trials, said)


def l1_dimension(sparsity: float) -> float:
    """Return the statistical dimension of the descent cone of the l1 norm, for each unknown.

    ``min_τ ρ (1 + τ²) + (1 − ρ) E(|g| − τ)₊²`` with a standard normal g: with fewer random measurements than that,
    least l1 fails, with more it succeeds (Amelunxen, Lotz, McCoy & Tropp 2014).
    """
    tau = torch.linspace(0, 8, 8001, dtype=torch.float64)
    tail = torch.erfc(tau / math.sqrt(2))  # P(|g| > τ)
    bell = torch.exp(-(tau**2) / 2) * math.sqrt(2 / math.pi)
    return float((sparsity * (1 + tau**2) + (1 - sparsity) * ((1 + tau**2) * tail - tau * bell)).min())


def _rows(A: LinearOperator) -> Tensor:
    """Return the rows of the matrix; of complex data real and imaginary part, which count as two measurements."""
    matrix = A.to_dense()
    return torch.cat((matrix.real, matrix.imag)) if matrix.is_complex() else matrix


def _least_l1(rows: Tensor, truth: Tensor, steps: int) -> Tensor:
    """Return the vector of least l1 norm with the data of `truth`, shape of `truth`, entries of size about one."""
    _, s, vh = torch.linalg.svd(rows, full_matrices=False)
    Q = vh[s > max(rows.shape) * torch.finfo(s.dtype).eps * s[0]]
    z = (truth @ Q.mT) @ Q  # the shortest solution
    shortest = z
    for _ in range(steps):
        x = z.sign() * (z.abs() - THRESHOLD).clamp(min=0)
        w = 2 * x - z
        z = z - x + w - (w @ Q.mT) @ Q + shortest
    return z.sign() * (z.abs() - THRESHOLD).clamp(min=0)


def _pursued(rows: Tensor, truth: Tensor, most: int) -> Tensor:
    n = rows.shape[1]
    B = DenseMatrix(Space((n,), rows.dtype, rows.device), Space((len(rows),), rows.dtype, rows.device), rows)
    x = torch.zeros_like(truth)
    for step in omp(B, B(truth), sparsity=min(most, len(rows))):
        x = step.x
    return x


def _crossing(success: NDArray[np.floating], sparsity: NDArray[np.floating]) -> float:
    """Return where a falling row of the map passes one half, NaN where it does not."""
    below = np.flatnonzero(success < 0.5)
    if not below.size or below[0] == 0:
        return math.nan
    i = int(below[0])
    part = (success[i - 1] - 0.5) / (success[i - 1] - success[i])
    return float(sparsity[i - 1] + part * (sparsity[i] - sparsity[i - 1]))
