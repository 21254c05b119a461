r"""Low rank approximation with weights from the data (row 323).

Hsu et al. 2022: Language model compression with weighted low-rank factorization. A truncated singular value
decomposition is best for the weights themselves; weighting inputs by how much the task feels them (the empirical Fisher
information of the weights, summed to one number an input) gives a larger error of the weights and a smaller one of the
task. The weights of the paper's rows belong to the inputs of a layer, here the columns of the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, analysis
from explorer.labs.spectra.sparsify import SMALL
from explorer.linalg import Rng
from explorer.operators.base import LinearOperator

METHODS = ("plain", "fisher", "whitened")


def truncated(W: Tensor, rank: int) -> Tensor:
    """Return the nearest matrix of that rank."""
    u, s, vh = torch.linalg.svd(W, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


def fisher_weights(inputs: Tensor, deltas: Tensor) -> Tensor:
    """Return ``Σ_i mean g_ij²`` of the gradients ``g = δ xᵀ`` of single samples, one number an input.

    Parameters
    ----------
    inputs, deltas : Tensor
        Inputs of the layer and derivatives of the loss by its outputs, shapes ``(samples, n)``, ``(samples, m)``.
    """
    return (deltas.square().sum(1, keepdim=True) * inputs.square()).mean(0)


@dataclass(frozen=True)
class WeightedLowRank:
    """Errors of three low rank approximations: plain, by Fisher weights, by the whole covariance of the inputs.

    Attributes
    ----------
    weight_error : NDArray
        ``‖W − S‖_F / ‖W‖_F``, shape ``(3,)``.
    task_error : NDArray
        Root mean square of ``(W − S) x`` over that of ``W x`` on fresh inputs, shape ``(3,)``.
    parameters : float
        Numbers in both factors over numbers in the matrix.
    sentence : str
        What this means.
    """

    weight_error: NDArray[np.floating]
    task_error: NDArray[np.floating]
    parameters: float
    sentence: str


@analysis(
    "Weighted low-rank factorization",
    papers=["row 323", "Hsu et al. 2022: Language model compression with weighted low-rank factorization"],
    equation=r"\min_{\mathrm{rank}\, S = r} \|(W - S) D\|_F,\quad D_{jj}^2 = \sum_i \mathbb{E}[g_{ij}^2]",
)
@torch.no_grad()
def weighted_low_rank(
    A: Annotated[LinearOperator, SMALL],
    *,
    rank: Annotated[int, Log(1, 1024, help="rank r of the approximation")] = 8,
    decay: Annotated[float, Linear(0, 4, help="standard deviations of the inputs fall as i to minus this")] = 1.0,
    mixed: Annotated[bool, Help("inputs with random principal axes, which one weight an input cannot see")] = False,
    samples: Annotated[int, Log(2, 100_000, help="samples for the weights; as many fresh ones for the errors")] = 2000,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the inputs")] = 0,
) -> WeightedLowRank:
    """Approximate a layer by low rank in three metrics, and compare what it costs in weights and in answers.

    The layer is the trained model of a regression with unit noise, so that the gradient of a sample is noise times
    input. ``fisher`` scales the columns by the roots of their weights, truncates and scales back; ``whitened`` does so
    with the root of the inputs' whole covariance, which is the best for the task but needs a full matrix.

    Raises
    ------
    SpecError
        If the rank is above the sides of the matrix.
    """
    W = A.to_dense()
    m, n = W.shape
    if rank > min(m, n):
        raise SpecError(f"is {rank}, and must be at most the smaller side, {min(m, n)}", "rank")
    rng = Rng(seed, "weighted")
    draw = lambda name, shape: rng.fork(name).normal(shape, W.dtype, W.device)  # noqa: E731
    scale = torch.arange(1, n + 1, dtype=W.dtype, device=W.device) ** -decay
    axes = torch.linalg.qr(draw("axes", (n, n)))[0] if mixed else torch.eye(n, dtype=W.dtype, device=W.device)
    X, fresh = ((draw(name, (samples, n)) * scale) @ axes.mT for name in ("inputs", "fresh"))
    d = fisher_weights(X, draw("noise", (samples, m))).sqrt()
    values, vectors = torch.linalg.eigh(X.mT @ X / samples)
    eps = n * torch.finfo(W.dtype).eps
    root = values.clamp(min=float(values[-1]) * eps).sqrt()
    made = (
        truncated(W, rank),
        truncated(W * d, rank) / d,
        truncated((W @ vectors) * root, rank) / root @ vectors.mT,
    )
    size, answer = torch.linalg.matrix_norm(W), torch.linalg.matrix_norm(fresh @ W.mT)
    weight = torch.stack([torch.linalg.matrix_norm(W - S) / size for S in made]).cpu().numpy()
    task = torch.stack([torch.linalg.matrix_norm(fresh @ (W - S).mT) / answer for S in made]).cpu().numpy()
    parameters = rank * (m + n) / (m * n)
    return WeightedLowRank(
        weight,
        task,
        parameters,
        f"With {100 * parameters:.3g} % of the numbers answers are off by {task[0]:.3g} after plain truncation, "
        f"{task[1]:.3g} with a weight an input and {task[2]:.3g} with the whole covariance; the weights themselves by "
        f"{weight[0]:.3g}, {weight[1]:.3g} and {weight[2]:.3g}.",
    )
