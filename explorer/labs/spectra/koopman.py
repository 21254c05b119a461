r"""What full-rank weights cost in a bound on generalisation: the norm of composition with each layer.

Row 142: Hashimoto, Sonoda, Ishikawa, Nitanda & Suzuki 2024: Koopman-based generalization bound: New aspect for
full-rank weights. In the Sobolev space of order s, composition with an injective W has at most the norm
``max(1, ‖W‖)^s / det(Wᵀ W)^¼``, and exactly that where W is square. A bound for a network is the product over its
layers; norms of composition with activations, which do not depend on the weights, are left out here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, analysis
from explorer.labs.spectra.normalization import random_weights
from explorer.linalg import Rng

_PAPERS = [
    "row 142",
    "Hashimoto, Sonoda, Ishikawa, Nitanda & Suzuki 2024: Koopman-based generalization bound: New aspect for full-rank "
    "weights",
]


def log_factor(W: Tensor, excess: float = 0.5) -> Tensor:
    """Return ``s log max(1, ‖W‖) − ¼ log det(Wᵀ W)``, infinite where W is not injective, shape ``(*batch,)``.

    Parameters
    ----------
    W : Tensor
        Shape ``(*batch, m, n)``.
    excess : float
        ``s − m/2 > 0``; functions of the Sobolev space are continuous then.
    """
    m, n = W.shape[-2:]
    s = torch.linalg.svdvals(W)
    if m < n:
        return torch.full_like(s[..., 0], torch.inf)
    return (m / 2 + excess) * s[..., 0].log().clamp(min=0) - 0.5 * s.log().sum(-1)


def log_bounds(weights: Sequence[Tensor], excess: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """Return logarithms of the products of Koopman factors, of spectral norms and of Frobenius norms over the layers.

    Parameters
    ----------
    weights : sequence of Tensor
        One matrix a layer, shapes ``(*batch, m, n)``.
    """
    each = [
        (log_factor(W, excess), torch.linalg.matrix_norm(W, 2).log(), torch.linalg.matrix_norm(W).log())
        for W in weights
    ]
    koopman, spectral, frobenius = (torch.stack(column).sum(0) for column in zip(*each, strict=True))
    return koopman, spectral, frobenius


@dataclass(frozen=True)
class KoopmanFactors:
    """Bounds' factors of single random layers, one a draw.

    Attributes
    ----------
    height : NDArray of int
        Outputs of the layer, shape ``(draws,)``.
    condition : NDArray
        Largest over smallest singular value, shape ``(draws,)``.
    koopman, spectral, frobenius : NDArray
        Logarithms of the Koopman factor, the spectral and the Frobenius norm, shape ``(draws,)``.
    correlation : float
        Of the ranks of condition and Koopman factor; not a number where all conditions are the same.
    sentence : str
        What this means.
    """

    height: NDArray[np.integer]
    condition: NDArray[np.floating]
    koopman: NDArray[np.floating]
    spectral: NDArray[np.floating]
    frobenius: NDArray[np.floating]
    correlation: float
    sentence: str


@analysis(
    "Koopman factor of a layer",
    papers=_PAPERS,
    equation=r"\|K_W\| \le \max(1, \|W\|)^s / \det(W^T W)^{1/4}",
)
@torch.no_grad()
def koopman_factor(
    *,
    width: Annotated[int, Log(1, 512, help="number n of inputs")] = 16,
    tallest: Annotated[float, Linear(1, 16, help="the last draw has so many times more outputs than inputs")] = 4.0,
    weights: Annotated[Literal["orthogonal", "gaussian"], Help("orthonormal columns, or normal entries")] = "gaussian",
    excess: Annotated[float, Log(1e-3, 100, help="order of smoothness beyond half the number of outputs")] = 0.5,
    draws: Annotated[int, Log(2, 1000, help="random layers, from square to the tallest")] = 50,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the layers")] = 0,
) -> KoopmanFactors:
    """Compare three factors of random layers that have norm one: what full rank costs is their condition.

    Of orthonormal columns the factor is one, whatever the width, while the Frobenius norm is the root of the width.
    Normal matrices cost more the worse their condition, if conditions differ enough: among square ones of one size,
    all badly conditioned, the bulk of their singular values decides instead of the last one.
    """
    from scipy.stats import spearmanr

    heights = torch.linspace(width, tallest * width, draws).round().long().tolist()
    rng = Rng(seed, "analysis/koopman")
    rows = []
    for m in heights:
        W = random_weights("orthogonal", m, rng)[:, :width]
        if weights == "gaussian":
            W = rng.normal((m, width), torch.float64)
            W = W / torch.linalg.matrix_norm(W, 2)
        s = torch.linalg.svdvals(W)
        rows.append(torch.stack((s[0] / s[-1], *log_bounds([W], excess))))
    condition, koopman, spectral, frobenius = torch.stack(rows, -1).numpy()
    correlation = float(spearmanr(condition, koopman)[0]) if weights == "gaussian" else math.nan
    grows = f"; it grows with the condition (rank correlation {correlation:.2f})" if weights == "gaussian" else ""
    return KoopmanFactors(
        np.array(heights),
        condition,
        koopman,
        spectral,
        frobenius,
        correlation,
        f"The logarithm of the Koopman factor is {koopman.min():.3g} to {koopman.max():.3g} for conditions "
        f"{condition.min():.3g} to {condition.max():.3g}{grows}.",
    )


# --- a small network with a penalty on the factor ------------------------------------------------------------------


def network(layers: Sequence[Tensor], X: Tensor) -> Tensor:
    """Return a tanh network's outputs, shape ``(*batch, samples)``, from square weights and a last row vector."""
    for W in layers[:-1]:
        X = torch.tanh(X @ W.mT)
    return (X @ layers[-1].mT)[..., 0]


def log_bound(layers: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the product of all Koopman factors and the norm of the last row vector."""
    return log_bounds(layers[:-1])[0] + torch.linalg.matrix_norm(layers[-1]).log()


@dataclass(frozen=True)
class PenalisedTraining:
    """A network trained without and with a penalty on its Koopman factor, from the same start on the same data.

    Attributes
    ----------
    koopman : NDArray
        Logarithm of the product of the factors and ‖w‖ after training, shape ``(draws, 2)``, without and with the
        penalty.
    condition : NDArray
        Largest condition of a layer, shape ``(draws, 2)``.
    train, test : NDArray
        Mean squared errors, shape ``(draws, 2)``.
    sentence : str
        What this means.
    """

    koopman: NDArray[np.floating]
    condition: NDArray[np.floating]
    train: NDArray[np.floating]
    test: NDArray[np.floating]
    sentence: str


@analysis(
    "Training with a Koopman penalty",
    papers=_PAPERS,
    equation=r"\min_W \tfrac1n \|f_W(X) - y\|^2 + \lambda \log (\|w\| \prod_j \|K_{W_j}\|)",
)
def koopman_training(
    *,
    width: Annotated[int, Log(2, 64, help="inputs and units of each layer")] = 8,
    depth: Annotated[int, Linear(1, 8, help="square layers")] = 2,
    penalty: Annotated[float, Log(1e-6, 10, help="λ, the weight of the bound's logarithm")] = 0.1,
    samples: Annotated[int, Log(2, 10_000, help="training samples")] = 100,
    noise: Annotated[float, Log(0, 10, help="standard deviation of the noise on training targets")] = 0.5,
    steps: Annotated[int, Log(1, 10_000, unit="steps", help="steps of training")] = 400,
    draws: Annotated[int, Log(1, 100, help="independent tasks, each with its own start")] = 5,
    seed: Annotated[int, Linear(0, 2**31, help="seed of tasks and starts")] = 0,
) -> PenalisedTraining:
    """Train a small tanh network twice, and see what keeping its weights well conditioned does to the gap.

    The target is a function of one direction of the inputs, ``tanh(2 u · x)``, seen with noise; errors on 1000 test
    samples are without it. Training is by Adam from normal weights. The norm of the last row vector w belongs to the
    bound: a penalty on the square layers alone lets it grow instead, and the gap with it.
    """
    rng = Rng(seed, "analysis/koopman_training", draws)
    layers, data = rng.fork("layers"), rng.fork("data")
    X = data.normal((samples + 1000, width), torch.float64).unsqueeze(1)
    u = data.normal((width, 1), torch.float64)
    clean = torch.tanh(2 * X[:, 0] @ (u / torch.linalg.vector_norm(u, dim=-2, keepdim=True)))[..., 0].unsqueeze(1)
    noisy = clean[..., :samples] + noise * data.normal((1, samples), torch.float64)
    weight = torch.tensor([0.0, penalty], dtype=torch.float64)
    sizes = [(width, width)] * depth + [(1, width)]
    start = [layers.normal(shape, torch.float64) / width**0.5 for shape in sizes]
    with torch.enable_grad():
        W = [w.unsqueeze(1).repeat(1, 2, 1, 1).requires_grad_() for w in start]
        step = torch.optim.Adam(W, lr=0.01)
        for _ in range(steps):
            step.zero_grad()
            misfit = (network(W, X[..., :samples, :]) - noisy).square().mean(-1)
            (misfit + weight * log_bound(W)).sum().backward()
            step.step()
    with torch.no_grad():
        found = network(W, X)
        train = (found[..., :samples] - noisy).square().mean(-1)
        test = (found[..., samples:] - clean[..., samples:]).square().mean(-1)
        koopman = log_bound(W)
        condition = torch.stack([torch.linalg.cond(w) for w in W[:-1]]).amax(0)
    lower = float((koopman[:, 0] - koopman[:, 1]).median())
    gaps = (test - train).median(0).values.tolist()
    return PenalisedTraining(
        koopman.numpy(),
        condition.numpy(),
        train.numpy(),
        test.numpy(),
        f"The penalty lowers the logarithm of the factor by {lower:.3g} (median), and the test error less the training "
        f"error goes from {gaps[0]:.3g} to {gaps[1]:.3g}.",
    )
