r"""Long products of random matrices with rows normalised in between: depth without exploding gradients.

Row 288: Meterez, Joudaki, Orabona, Immer, Rätsch & Daneshmand 2024: Towards training without depth limits: batch
normalization without gradient explosion. The normalisation is the paper's without centring, the batch is as large as
the width, and the layers are linear; the paper's shaped activations are not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, analysis
from explorer.linalg import Rng

Weights = Literal["orthogonal", "gaussian"]


def layer(W: Tensor, X: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``BN(W X)``, each row over its root mean square, and these, shapes ``(*batch, d, n)``, ``(…, 1)``."""
    Y = W @ X
    scale = Y.square().mean(-1, keepdim=True).sqrt()
    return Y / scale, scale


def back(W: Tensor, X: Tensor, Z: Tensor, scale: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients by W and by X of what has this gradient by ``Z = BN(W X)``."""
    inner = (gradient - Z * (gradient * Z).mean(-1, keepdim=True)) / scale
    return inner @ X.mT, W.mT @ inner


def isometry_gap(X: Tensor) -> Tensor:
    """Return ``log(tr G / n) − log det(G) / n`` of ``G = Xᵀ X``: 0 for an isometry, infinite where X is singular."""
    s2 = torch.linalg.svdvals(X).square()
    return s2.mean(-1).log() - s2.log().mean(-1)


def random_weights(kind: Weights, size: int, rng: Rng) -> Tensor:
    """Return a matrix with orthonormal columns, uniformly distributed, or with normal entries of variance 1/size."""
    entries = rng.normal((size, size), torch.float64)
    if kind == "gaussian":
        return entries / size**0.5
    q, r = torch.linalg.qr(entries)
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)


@dataclass(frozen=True)
class Depth:
    """What happens to a batch and to its gradients along the layers.

    Attributes
    ----------
    gap : NDArray
        Isometry gap after each layer, shape ``(draws, depth + 1)``, the first of the input itself.
    gradient : NDArray
        Frobenius norm of the gradient by each layer's weights, shape ``(draws, depth)``.
    explosion : NDArray
        Largest over smallest of them, shape ``(draws,)``.
    sentence : str
        What this means.
    """

    gap: NDArray[np.floating]
    gradient: NDArray[np.floating]
    explosion: NDArray[np.floating]
    sentence: str


@analysis(
    "Batch normalisation over depth",
    papers=[
        "row 288",
        "Meterez, Joudaki, Orabona, Immer, Rätsch & Daneshmand 2024: Towards training without depth limits",
    ],
    equation=r"X_{l+1} = \mathrm{diag}(W_l X_l X_l^T W_l^T / n)^{-1/2}\, W_l X_l",
)
@torch.no_grad()
def normalized_depth(
    *,
    width: Annotated[int, Log(2, 256, help="width d of the layers, and size n of the batch")] = 32,
    depth: Annotated[int, Log(1, 5000, help="number of layers")] = 600,
    weights: Annotated[Weights, Help("orthogonal ones keep the batch apart, normal ones squash it")] = "orthogonal",
    draws: Annotated[int, Log(1, 100, help="independent networks, each with its own input")] = 5,
    seed: Annotated[int, Linear(0, 2**31, help="seed of weights, input and last gradient")] = 0,
) -> Depth:
    """Pass a batch of random inputs through many normalised layers, and a random gradient back.

    With orthogonal weights the Gram matrix of a linearly independent batch tends to the identity, where
    normalisation does nothing and gradients keep their norm; the first layers alone change it. With normal weights
    the batch becomes nearly singular and gradients grow with every layer.
    """
    rng = Rng(seed, "analysis/normalization", draws)
    X = rng.fork("input").normal((width, width), torch.float64)
    gradient = rng.fork("gradient").normal((width, width), torch.float64)
    entries = rng.fork("weights")
    gaps, tape = [isometry_gap(X)], []
    for _ in range(depth):
        W = random_weights(weights, width, entries)
        Z, scale = layer(W, X)
        tape.append((W, X, Z, scale))
        gaps.append(isometry_gap(Z))
        X = Z
    norms = []
    for made in reversed(tape):
        by_weights, gradient = back(*made, gradient)
        norms.append(torch.linalg.matrix_norm(by_weights))
    gap, norm = torch.stack(gaps, -1), torch.stack(norms[::-1], -1)
    explosion = norm.amax(-1) / norm.amin(-1)
    middle = float(explosion.median())
    return Depth(
        gap.numpy(),
        norm.numpy(),
        explosion.numpy(),
        f"Over {depth} layers gradients differ by a factor of {middle:.3g} (median), and the isometry gap goes from "
        f"{float(gap[:, 0].median()):.2g} to {float(gap[:, -1].median()):.2g}.",
    )
