r"""The entropy of a spectrum, as a measure of how evenly vectors are spread and as a penalty (row 156).

Kim, Kang, Hwang, Shin & Rhee 2023: VNE: an effective method for improving deep representation by manipulating
eigenvalue distribution. The von Neumann entropy of the vectors' autocorrelation is log d where they fill their d
dimensions evenly, and its exponential says how many they fill. Its gradient grows without bound where an eigenvalue
vanishes, which that of a Frobenius norm does not.
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
from explorer.labs.spectra.sparsify import SMALL
from explorer.linalg import Rng
from explorer.operators.base import LinearOperator

_PAPERS = [
    "row 156",
    "Kim, Kang, Hwang, Shin & Rhee 2023: VNE: an effective method for improving deep representation by manipulating "
    "eigenvalue distribution",
]
#: dimensions of the data and of the hidden layers, samples of a step and of the final errors
DATA, HIDDEN, BATCH, FRESH = 4, 24, 128, 4000
VARIANTS = ("none", "more", "less", "frobenius")


def autocorrelation(H: Tensor) -> Tensor:
    """Return ``C = Σ h hᵀ / ‖h‖² / N`` of N rows h, of unit trace, shapes ``(*batch, N, d)``, ``(*batch, d, d)``."""
    unit = H / torch.linalg.vector_norm(H, dim=-1, keepdim=True)
    return unit.mT @ unit / H.shape[-2]


def entropy(C: Tensor) -> Tensor:
    """Return ``−Σ λ log λ`` of symmetric positive matrices of unit trace, shape ``(*batch,)``; once differentiable.

    The gradient is ``−(log C + I)``, without the eigenvectors' derivatives, which do not exist where eigenvalues are
    the same.
    """
    values, vectors = torch.linalg.eigh(C.detach())
    values = values.clamp(min=torch.finfo(C.dtype).eps ** 2)
    gradient = -(vectors * (values.log() + 1).unsqueeze(-2)) @ vectors.mT
    linear = (gradient * C).sum((-2, -1))
    return linear - linear.detach() - (values * values.log()).sum(-1)


def unevenness(C: Tensor) -> Tensor:
    """Return ``‖C − I/d‖_F²``, the Frobenius penalty that the entropy is compared with, shape ``(*batch,)``."""
    d = C.shape[-1]
    return (C - torch.eye(d, dtype=C.dtype, device=C.device) / d).square().sum((-2, -1))


@dataclass(frozen=True)
class RowEntropy:
    """How evenly the rows of a matrix are spread.

    Attributes
    ----------
    values : NDArray
        Eigenvalues of their autocorrelation, descending, of sum one, shape ``(n,)``.
    entropy : float
        At most log n.
    effective_rank : float
        Its exponential: the number of dimensions that the rows fill.
    sentence : str
        What this means.
    """

    values: NDArray[np.floating]
    entropy: float
    effective_rank: float
    sentence: str


@analysis("Entropy of the rows' directions", papers=_PAPERS, equation=r"-\sum_i \lambda_i \log \lambda_i")
@torch.no_grad()
def row_entropy(A: Annotated[LinearOperator, SMALL]) -> RowEntropy:
    """Say how many dimensions of the unknown the measurements look at, each by its direction alone.

    Raises
    ------
    SpecError
        If the operator is zero.
    """
    rows = A.to_dense().double()
    rows = rows[torch.linalg.vector_norm(rows, dim=1) > 0]
    if not len(rows):
        raise SpecError(f"{A.title} is zero, and its rows have no direction", "A")
    C = autocorrelation(rows)
    found, n = float(entropy(C)), A.domain.size
    return RowEntropy(
        torch.linalg.eigvalsh(C).flip(0).cpu().numpy(),
        found,
        math.exp(found),
        f"The rows fill {math.exp(found):.3g} of {n} dimensions; the entropy is {math.log(n) - found:.3g} below that "
        "of rows that look everywhere alike.",
    )


def encode(network: list[Tensor], x: Tensor) -> Tensor:
    """Return the codes of two layers, shape ``(networks, N, d)``."""
    W, b, V, c = network[:4]
    return torch.tanh(x @ W + b) @ V + c


def decode(network: list[Tensor], code: Tensor) -> Tensor:
    """Return what two further layers make of the codes, shape ``(networks, N, 4)``."""
    W, b, V, c = network[4:]
    return torch.tanh(code @ W + b) @ V + c


@torch.enable_grad()
def train(network: list[Tensor], gain: Tensor, penalty: Tensor, noise: float, steps: int, rng: Rng) -> list[Tensor]:
    """Return the networks after Adam's steps on ``‖x̂ − x‖²/4 − gain · entropy + penalty · unevenness``.

    Parameters
    ----------
    network : list of Tensor
        Weights and biases of several autoencoders, first dimension the networks'.
    gain, penalty : Tensor
        One value a network, shape ``(networks,)``.
    noise : float
        Standard deviation of what is added to the input, fresh in each step, but not to the target.
    """
    network = [p.clone().requires_grad_() for p in network]
    adam = torch.optim.Adam(network)
    for step in range(steps):
        adam.param_groups[0]["lr"] = 3e-3 * (1 + math.cos(math.pi * step / steps)) / 2
        x, e = rng.normal((2, BATCH, DATA), torch.float64)
        code = encode(network, x + noise * e)
        loss = (decode(network, code) - x).square().mean((-2, -1))
        if gain.any() or penalty.any():
            C = autocorrelation(code)
            loss = loss - gain * entropy(C) + penalty * unevenness(C)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    return [p.detach() for p in network]


@torch.enable_grad()
def budget(code: Tensor) -> Tensor:
    """Return the norm of the entropy's gradient by the codes over that of the unevenness', shape ``(networks,)``."""
    code = code.detach().requires_grad_()
    C = autocorrelation(code)
    sizes = [torch.autograd.grad(f(C).sum(), code, retain_graph=True)[0].square().sum((-2, -1)).sqrt()
             for f in (entropy, unevenness)]  # fmt: skip
    return sizes[0] / sizes[1]


@dataclass(frozen=True)
class EntropyControl:
    """Autoencoders trained on with four penalties: none, entropy raised, entropy lowered, Frobenius norm.

    Attributes
    ----------
    error : NDArray
        Mean square of what is reconstructed from fresh noisy data less the clean ones, shape ``(4, draws)``; the
        least possible is ``σ²/(1 + σ²)``.
    effective_rank : NDArray
        Of the codes, shape ``(4, draws)``.
    values : NDArray
        Eigenvalues of the codes' autocorrelation, ascending, shape ``(4, draws, d)``.
    sentence : str
        What this means.
    """

    error: NDArray[np.floating]
    effective_rank: NDArray[np.floating]
    values: NDArray[np.floating]
    sentence: str


@analysis(
    "Entropy as a penalty on codes",
    papers=_PAPERS,
    equation=r"\min \|\hat x - x\|^2 \mp \alpha\, S(C),\quad S(C) = -\mathrm{tr}\, C \log C",
)
@torch.no_grad()
def entropy_control(
    *,
    code: Annotated[int, Linear(2, 64, help="dimension d of the codes of data of dimension 4")] = 16,
    weight: Annotated[float, Log(1e-4, 100, help="weight α of the entropy")] = 0.3,
    frobenius: Annotated[
        float, Log(1e-3, 1e3, help="the Frobenius penalty's gradient over the entropy's at first")
    ] = 1.0,
    noise: Annotated[
        float, Linear(0, 2, help="standard deviation σ of the noise in the data, which are of unit size")
    ] = (0.5),
    steps: Annotated[int, Log(10, 10_000, help="training steps with penalties; half as many before")] = 400,
    draws: Annotated[int, Log(1, 100, help="independent networks")] = 5,
    seed: Annotated[int, Linear(0, 2**31, help="seed of networks and data")] = 0,
) -> EntropyControl:
    """Train small autoencoders of noisy data, then train on with each penalty, and look at the spectra of their codes.

    A code with more dimensions than the data leaves the spectrum to the penalty: its entropy is raised and lowered at
    no cost in the error. The Frobenius norm's weight is chosen so that its gradient by the codes is as large as the
    entropy's at first; large eigenvalues take most of it, and small ones stay behind. With ten times that budget it
    gets about as far, at an error that is a tenth larger.
    """
    rng = Rng(seed, "analysis/entropy")
    own = rng.fork("networks")
    sizes = ((DATA, HIDDEN), (HIDDEN, code), (code, HIDDEN), (HIDDEN, DATA))
    network = []
    for m, n in sizes:
        network += [own.normal((draws, m, n), torch.float64) / math.sqrt(m), torch.zeros(draws, 1, n).double()]
    zero = torch.zeros(draws, dtype=torch.float64)
    network = train(network, zero, zero, noise, steps // 2, rng.fork("before"))
    clean, e = rng.fork("fresh").normal((2, FRESH, DATA), torch.float64)
    gain = torch.cat((zero, zero + weight, zero - weight, zero))
    ratio = frobenius * weight * budget(encode(network, clean + noise * e))
    network = [p.repeat(len(VARIANTS), 1, 1) for p in network]
    network = train(network, gain, torch.cat((zero, zero, zero, ratio)), noise, steps, rng.fork("after"))
    codes = encode(network, clean + noise * e)
    error = (decode(network, codes) - clean).square().mean((-2, -1)).reshape(-1, draws).numpy()
    C = autocorrelation(codes)
    rank = entropy(C).exp().reshape(-1, draws).numpy()
    values = torch.linalg.eigvalsh(C).reshape(-1, draws, code).numpy()
    middle = np.median(rank, 1)
    return EntropyControl(
        error,
        rank,
        values,
        f"Codes of {code} dimensions fill {middle[0]:.3g}; {middle[1]:.3g} with the entropy raised, {middle[2]:.3g} "
        f"with it lowered and {middle[3]:.3g} with the Frobenius norm, at errors of {error[0].mean():.3g}, "
        f"{error[1].mean():.3g}, {error[2].mean():.3g} and {error[3].mean():.3g}.",
    )
