r"""Differences of eigenvalue counts of two Jacobi matrices, from the sign changes of one Wronskian.

Rows 56 and 132: Ammann & Teschl 2009: Relative oscillation theory for Jacobi matrices, and Ammann 2012: Relative
oscillation theory for Jacobi matrices extended. With ``u`` the solution of the first matrix's recursion that satisfies
the left end and ``v`` that of the second and the right end, ``W_n = v_n p_n − u_n q_n``, ``p_n = −a_n u_{n+1}`` and q
likewise, is the sine of the difference of their Prüfer angles times a positive number. The angles' difference passes a
multiple of π once for each eigenvalue that one matrix has more below its energy.

The first paper's matrices differ on the diagonal alone; the second one's everywhere. A step along the lattice is taken
here in two halves, each of which moves the difference of the angles one way: the off-diagonals by the sign of
``(|a¹_n| − |a⁰_n|) v_n v_{n+1}``, the diagonals by that of ``(b⁰ − z⁰) − (b¹ − z¹)``. These two halves were derived
from Prüfer's angles; how the paper books a node where both differ may look otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, analysis
from explorer.linalg import Rng

Interval = Literal["(<, <=)", "(<, <)", "(<=, <=)", "(<=, <)"]

_PAPERS = [
    "row 56",
    "row 132",
    "Ammann & Teschl 2009: Relative oscillation theory for Jacobi matrices",
    "Ammann 2012: Relative oscillation theory for Jacobi matrices extended",
]


def _scaled(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Divide both by a power of two near the larger one: no overflow, and no rounding."""
    exponent = torch.frexp(torch.maximum(pair[0].abs(), pair[1].abs())).exponent
    return torch.ldexp(pair[0], -exponent), torch.ldexp(pair[1], -exponent)


def solution(diagonal: Tensor, off: Tensor, energy: Tensor | float, *, left: bool) -> tuple[Tensor, Tensor]:
    """Return the pairs ``(u_n, u_{n+1})``, n = 0 … N, of ``a_{n−1} u_{n−1} + (b_n − z) u_n + a_n u_{n+1} = 0``.

    Parameters
    ----------
    diagonal : Tensor
        ``b_1 … b_N``, shape ``(*batch, N)``.
    off : Tensor
        ``a_1 … a_{N−1}``, negative, shape ``(*batch, N − 1)``; ``a_0 = a_N = −1``.
    energy : Tensor or float
        z, shape ``(*batch,)``.
    left : bool
        Whether ``u_0 = 0``, ``u_1 = 1``; else ``u_{N+1} = 0``, ``u_N = 1``.

    Returns
    -------
    here, after : Tensor
        Shapes ``(*batch, N + 1)``; each pair has a positive scale of its own.
    """
    b, edge = diagonal - torch.as_tensor(energy).unsqueeze(-1), -torch.ones_like(diagonal[..., :1])
    a = torch.cat((edge, off.expand(*b.shape[:-1], -1), edge), -1)
    if not left:
        b, a = b.flip(-1), a.flip(-1)
    now, after = torch.zeros_like(b[..., 0]), torch.ones_like(b[..., 0])
    pairs = [(now, after)]
    for n in range(b.shape[-1]):
        now, after = _scaled((after, -(a[..., n] * now + b[..., n] * after) / a[..., n + 1]))
        pairs.append((now, after))
    here, there = (torch.stack(part, -1) for part in zip(*pairs, strict=True))
    return (here, there) if left else (there.flip(-1), here.flip(-1))


def weighted_nodes(
    first: tuple[Tensor, Tensor],
    second: tuple[Tensor, Tensor],
    energies: tuple[Tensor | float, Tensor | float],
    interval: Interval = "(<, <=)",
) -> Tensor:
    """Return how many more eigenvalues the second Jacobi matrix has below its energy than the first below its own.

    Parameters
    ----------
    first, second : (Tensor, Tensor)
        Diagonals, shape ``(*batch, N)``, and negative off-diagonals, shape ``(*batch, N − 1)``.
    energies : tuple
        ``z⁰`` and ``z¹``, shapes ``(*batch,)``.
    interval : str
        How eigenvalues of the second and of the first matrix are counted: below, or below and at the energy.

    Returns
    -------
    Tensor
        Whole numbers, shape ``(*batch,)``, in O(N) work.
    """
    (b0, a0), (b1, a1) = first, second
    b0, b1 = (b - torch.as_tensor(z).unsqueeze(-1) for b, z in zip((b0, b1), energies, strict=True))
    u, up = solution(b0, a0, 0.0, left=True)
    v, vp = solution(b1, a1, 0.0, left=False)
    edge = torch.ones_like(b0[..., :1])
    w0, w1 = (torch.cat((edge, -a.expand(*edge.shape[:-1], -1), edge), -1) for a in (a0, a1))
    wronskian = torch.sign(v * w0 * up - u * w1 * vp)
    between = torch.sign(w1 * v * up - w0 * u * vp)[..., :-1]  # the off-diagonals at n are passed
    by_off = torch.sign((w1 - w0) * v * vp)[..., :-1]
    by_diagonal = torch.sign(b0 - b1)
    up_to = interval.endswith("<)")  # the count at the right end, where W = 0 at an eigenvalue of the first
    total = _passed(wronskian[..., :-1], between, by_off, up_to) + _passed(
        between, wronskian[..., 1:], by_diagonal, up_to
    )
    at_eigenvalue = (wronskian[..., 0] == 0).long()
    return total + at_eigenvalue * {"(<, <=)": -1, "(<=, <)": 1}.get(interval, 0)


def _passed(before: Tensor, after: Tensor, direction: Tensor, floor: bool) -> Tensor:
    """Return the changes of ⌊Δ/π⌋, or ⌈Δ/π⌉, summed, when Δ moves one way and sin Δ has these signs."""
    leaves, arrives = (before == 0) & (after != 0), (before != 0) & (after == 0)
    through = before * after < 0
    up = through | (arrives if floor else leaves)
    down = through | (leaves if floor else arrives)
    return (((direction > 0) & up).long() - ((direction < 0) & down).long()).sum(-1)


@dataclass(frozen=True)
class Oscillation:
    """Two Jacobi matrices compared over a range of energies.

    Attributes
    ----------
    energy : NDArray
        z, shape ``(k,)``.
    count : NDArray of int
        Eigenvalues of the second matrix below z less those of the first at most z, from the nodes, shape ``(k,)``.
    spectra : NDArray of int
        The same from both spectra, shape ``(k,)``.
    sentence : str
        What this means.
    """

    energy: NDArray[np.floating]
    count: NDArray[np.integer]
    spectra: NDArray[np.integer]
    sentence: str


@analysis(
    "Relative oscillation of Jacobi matrices",
    papers=_PAPERS,
    equation=r"\sum_n \pm[W_n W_{n+1} < 0] = \#\{\lambda(J_1) < z\} - \#\{\lambda(J_0) \le z\}",
)
@torch.no_grad()
def relative_oscillation(
    *,
    size: Annotated[int, Log(2, 1000, help="number N of sites")] = 50,
    disorder: Annotated[float, Linear(0, 10, help="width of the first matrix's random diagonal")] = 2.0,
    perturbation: Annotated[float, Linear(0, 10, help="width of the second diagonal's random difference")] = 2.0,
    hopping: Annotated[float, Linear(0, 1, help="relative random difference of the off-diagonals; 0: row 56")] = 0.5,
    energies: Annotated[int, Log(1, 1000, help="number of energies, even over both spectra")] = 101,
    seed: Annotated[int, Linear(0, 2**31, help="seed of both matrices")] = 0,
) -> Oscillation:
    """How many eigenvalues a perturbation moves across each energy, without an eigenvalue of either matrix.

    The spectra are computed too, to compare. An energy within rounding of an eigenvalue is on either side of it.

    Raises
    ------
    SpecError
        If the two matrices are the same.
    """
    if not perturbation and not hopping:
        raise SpecError("is 0 like the difference of the off-diagonals: the two matrices are the same", "perturbation")
    rng = Rng(seed, "analysis/oscillation")
    b0 = disorder * (rng.uniform((size,), torch.float64) - 0.5)
    b1 = b0 + perturbation * (rng.uniform((size,), torch.float64) - 0.5)
    a0 = -0.5 - rng.uniform((size - 1,), torch.float64)
    a1 = a0 * (1 + hopping * (rng.uniform((size - 1,), torch.float64) - 0.5))
    values = [torch.linalg.eigvalsh(dense(b, a)) for b, a in ((b0, a0), (b1, a1))]
    low, high = float(torch.cat(values).min()) - 0.1, float(torch.cat(values).max()) + 0.1
    z = torch.linspace(low, high, energies, dtype=torch.float64)
    count = weighted_nodes((b0.expand(energies, -1), a0), (b1.expand(energies, -1), a1), (z, z))
    spectra = (values[1] < z[:, None]).sum(-1) - (values[0] <= z[:, None]).sum(-1)
    same = int((count == spectra).sum())
    return Oscillation(
        z.numpy(),
        count.numpy(),
        spectra.numpy(),
        f"The second matrix has between {int(-count.min()):d} fewer and {int(count.max()):d} more eigenvalues below an "
        f"energy; nodes and spectra agree at {same} of {energies}.",
    )


def dense(diagonal: Tensor, off: Tensor) -> Tensor:
    """Return Jacobi matrices, shape ``(*batch, N, N)``."""
    return torch.diag_embed(diagonal) + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
