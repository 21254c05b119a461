r"""State-space models of long sequences, with matrices that should not be diagonalised as they are (row 48).

Yu, Nigmetov, Morozov, Mahoney & Erichson 2023: Robustifying state-space models for long sequences via approximate
diagonalization. The matrix that keeps a history in Legendre polynomials is so far from normal that its eigenvectors are
useless in floating point. Perturb, then diagonalise: a random change of relative size ε leaves eigenvectors of a
condition of about a polynomial over ε, and is all that is wrong. The usual way out, to leave away the part of rank one
that makes the matrix not normal, has a transfer function with high resonances that the true one has not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, analysis, operator
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import SIGNAL

Method = Literal["exact", "perturbed", "normal"]

_PAPERS = [
    "row 48",
    "Yu, Nigmetov, Morozov, Mahoney & Erichson 2023: Robustifying state-space models for long sequences via "
    "approximate diagonalization",
    "Gu, Dao, Ermon, Rudra & Ré 2020: HiPPO: Recurrent memory with optimal polynomial projections",
]
#: largest number of states, and of states times samples
MAX_STATES, MAX_ENTRIES = 512, 2**24


def legendre_memory(states: int) -> tuple[Tensor, Tensor]:
    """Return A and B of ``x' = A x + B u``, which keeps u's past in scaled Legendre polynomials (HiPPO-LegS).

    ``A_nk = −√(2n+1) √(2k+1)`` below the diagonal and ``−(n+1)`` on it, ``B_n = √(2n+1)``; shapes ``(n, n)``, ``(n,)``.
    """
    n = torch.arange(states, dtype=torch.float64)
    B = (2 * n + 1).sqrt()
    return -torch.tril(torch.outer(B, B), -1) - torch.diag(n + 1), B


def normal_part(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``A + B Bᵀ / 2``, which is −½ and a skew matrix, and ``B / 2`` (Gupta, Gu & Berant 2022; S4D)."""
    return A + torch.outer(B, B) / 2, B / 2


def perturbed(A: Tensor, size: float, rng: Rng) -> Tensor:
    """Return A and a random matrix of independent normal entries, of Frobenius norm ``size ‖A‖_F``."""
    E = rng.normal(tuple(A.shape), A.dtype, A.device)
    return A + size * torch.linalg.matrix_norm(A) / torch.linalg.matrix_norm(E) * E


def diagonalized(A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return ``λ``, ``V⁻¹ B`` and ``C V`` of ``A = V diag(λ) V⁻¹``, complex, shape ``(n,)`` each, and V's condition."""
    values, V = torch.linalg.eig(A)
    return values, torch.linalg.solve(V, B.to(V.dtype)), C.to(V.dtype) @ V, float(torch.linalg.cond(V))


def transfer(values: Tensor, B: Tensor, C: Tensor, frequency: Tensor) -> Tensor:
    """Return ``G(iω) = Σ C_n B_n / (iω − λ_n)`` of a diagonal model, complex, shape of the frequencies."""
    return (C * B / (1j * frequency[..., None] - values)).sum(-1)


def dense_transfer(A: Tensor, B: Tensor, C: Tensor, frequency: Tensor) -> Tensor:
    """Return ``G(iω) = C (iω − A)⁻¹ B``, complex, shape ``(k,)``."""
    identity = torch.eye(len(A), dtype=torch.complex128)
    matrices = 1j * frequency[:, None, None] * identity - A
    state = torch.linalg.solve(matrices, B.to(torch.complex128).expand(len(frequency), -1).unsqueeze(-1))
    return state.squeeze(-1) @ C.to(torch.complex128)


def kernel(A: Tensor, B: Tensor, C: Tensor, step: float, length: int) -> Tensor:
    """Return ``C Āᵏ B̄``, k = 0, 1, …, with the bilinear rule's ``Ā = (I − hA/2)⁻¹ (I + hA/2)``, shape ``(length,)``.

    Powers are doubled: log₂ of the length products of matrices.
    """
    identity = torch.eye(len(A), dtype=A.dtype)
    left = identity - step / 2 * A
    power = torch.linalg.solve(left, identity + step / 2 * A)
    states = torch.linalg.solve(left, step * B).unsqueeze(1)
    while states.shape[1] < length:
        states = torch.cat((states, power @ states), 1)
        power = power @ power
    return C @ states[:, :length]


def diagonal_kernel(values: Tensor, B: Tensor, C: Tensor, step: float, length: int) -> Tensor:
    """Return the same of a diagonal model whose eigenvalues come in conjugate pairs, real, shape ``(length,)``."""
    left = 1 - step / 2 * values
    base = (1 + step / 2 * values) / left
    k = torch.arange(length, dtype=torch.float64)
    return ((C * step * B / left) @ base.unsqueeze(1) ** k).real


class StateSpaceConvolution(LinearOperator):
    """What a state-space model makes of a sequence: a convolution with its kernel, causal.

    Parameters
    ----------
    domain : Space
        Signals, shape ``(length,)``.
    states, method, size, rng, step
        As in :func:`state_space`; the kernel is made when it is first needed.
    """

    title = "State-space model"

    def __init__(self, domain: Space, states: int, method: Method, size: float, rng: Rng, step: float) -> None:
        super().__init__(domain)
        self.states, self.method, self.size, self.rng, self.step = states, method, size, rng, step
        self._cache_response: Tensor | None = None

    def impulse_response(self) -> Tensor:
        """Return the kernel, float64 on the CPU, shape ``(length,)``."""
        A, B = legendre_memory(self.states)
        C, length = torch.ones(self.states, dtype=torch.float64), self.domain.shape[0]
        if self.method == "exact":
            return kernel(A, B, C, self.step, length)
        A, B = (
            normal_part(A, B)
            if self.method == "normal"
            else (perturbed(A, self.size, self.rng.fork("perturbation")), B)
        )
        values, b, c, _ = diagonalized(A, B, C)
        return diagonal_kernel(values, b, c, self.step, length)

    def _apply(self, x: Tensor, *, back: bool) -> Tensor:
        response = getattr(self, "_cache_response", None)
        n = self.domain.shape[0]
        if response is None:
            wide = torch.fft.fft(self.impulse_response(), 2 * n)
            response = wide.to(x.device, torch.promote_types(self.domain.dtype, torch.complex64))
            self._cache_response = response
        y = torch.fft.ifft(torch.fft.fft(x, 2 * n) * (response.conj() if back else response))[..., :n]
        return y if self.domain.is_complex else y.real.contiguous()

    def _forward(self, x: Tensor) -> Tensor:
        return self._apply(x, back=False)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._apply(y, back=True)


@operator(
    "State-space model",
    papers=_PAPERS,
    equation=r"x' = A x + B u,\quad y = C x,\quad C = (1, \ldots, 1)",
    works="A causal memory of a sequence, as in the layers of state-space networks.",
    fails="The method 'normal' resonates where the exact model does not; too small an ε spoils the eigenvectors.",
)
def state_space(
    domain: Annotated[Space, SIGNAL],
    rng: Rng,
    *,
    states: Annotated[int, Log(1, MAX_STATES, help="number of states")] = 64,
    method: Annotated[Method, Help("the matrix as it is; perturbed, then diagonal; or its normal part, diagonal")] = (
        "perturbed"
    ),
    perturbation: Annotated[float, Log(1e-12, 1, help="relative size ε of the perturbation")] = 1e-4,
    step: Annotated[float, Log(1e-6, 10, help="time between samples")] = 1e-2,
) -> StateSpaceConvolution:
    """A memory of Legendre polynomials, driven by a sequence; the output is what it holds of the sequence's present."""
    if states * domain.size > MAX_ENTRIES:
        raise SpecError(f"is {states}, and {states} × {domain.size} numbers are above {MAX_ENTRIES:,}", "states")
    return StateSpaceConvolution(domain, states, method, perturbation, rng, step)


@dataclass(frozen=True)
class ApproximateDiagonalization:
    """Two diagonal models beside the one they stand for.

    Attributes
    ----------
    frequency : NDArray
        ω, shape ``(k,)``, with every resonance of the normal part.
    exact, perturbed, normal : NDArray
        ``|G(iω)|``, shape ``(k,)``.
    condition : tuple of float
        Of the eigenvectors of the matrix as it is, a lower bound once it is near 1e16, and of the perturbed one.
    perturbed_error, normal_error : float
        ``sup |G̃ − G| / sup |G|``.
    backward_error : float
        ``‖V diag(λ) V⁻¹ − A‖_F / ‖A‖_F`` of the perturbed model.
    sentence : str
        What this means.
    """

    frequency: NDArray[np.floating]
    exact: NDArray[np.floating]
    perturbed: NDArray[np.floating]
    normal: NDArray[np.floating]
    condition: tuple[float, float]
    perturbed_error: float
    normal_error: float
    backward_error: float
    sentence: str


@analysis(
    "Perturb, then diagonalise",
    papers=_PAPERS,
    equation=r"A + E = V \Lambda V^{-1},\quad \|E\|_F = \varepsilon \|A\|_F",
)
@torch.no_grad()
def approximate_diagonalization(
    *,
    states: Annotated[int, Log(2, 256, help="number of states")] = 64,
    perturbation: Annotated[float, Log(1e-12, 1, help="relative size ε of the perturbation")] = 1e-4,
    points: Annotated[int, Log(10, 2000, help="number of frequencies beside the resonances")] = 200,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the perturbation")] = 0,
) -> ApproximateDiagonalization:
    """Compare transfer functions of the perturbed and of the normal diagonal model with the exact one.

    At each frequency alone the normal part's converges as states are added; its highest resonance does not, and moves
    away and grows. The perturbed one is near everywhere. Too small an ε gives eigenvectors of a bad condition, too
    large a one another model.
    """
    A, B = legendre_memory(states)
    C = torch.ones(states, dtype=torch.float64)
    part, half = normal_part(A, B)
    near = perturbed(A, perturbation, Rng(seed, "analysis/statespace"))
    values, b, c, condition = diagonalized(near, B, C)
    skew, b1, c1, _ = diagonalized(part, half, C)
    high = 2 * float(torch.linalg.matrix_norm(part, 2))
    resonances = skew.imag[skew.imag > 0]
    frequency = torch.cat((torch.logspace(-2, math.log10(high), points, dtype=torch.float64), resonances)).sort().values
    G = torch.cat([dense_transfer(A, B, C, some) for some in frequency.split(max(1, 2**22 // states**2))])
    near_G, other_G = transfer(values, b, c, frequency), transfer(skew, b1, c1, frequency)
    top = float(G.abs().max())
    errors = [float((H - G).abs().max()) / top for H in (near_G, other_G)]
    V = torch.linalg.eig(near)[1]
    backward = torch.linalg.matrix_norm(torch.linalg.solve(V, V * values, left=False) - A) / torch.linalg.matrix_norm(A)
    plain = float(torch.linalg.cond(torch.linalg.eig(A)[1]))
    return ApproximateDiagonalization(
        frequency.numpy(),
        G.abs().numpy(),
        near_G.abs().numpy(),
        other_G.abs().numpy(),
        (plain, condition),
        errors[0],
        errors[1],
        float(backward),
        f"The eigenvectors' condition is {condition:.2g} after the perturbation and at least {min(plain, 1e16):.2g} "
        f"without; the transfer function is off by {errors[0]:.2g}, and by {errors[1]:.2g} for the normal part.",
    )
