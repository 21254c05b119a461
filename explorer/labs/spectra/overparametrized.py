r"""What the Hessian of a trained network tells of its size and of its data.

Row 348: Sagun, Evci, Güney, Dauphin & Bottou 2018: Empirical analysis of the Hessian of over-parametrized neural
networks. The networks have one hidden tanh layer and learn classes of normal points by cross entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from explorer.analyses.hessian import hessian, shares
from explorer.catalogue import Linear, Log, SpecError, analysis
from explorer.linalg import Rng

_PAPERS = [
    "row 348",
    "Sagun, Evci, Güney, Dauphin & Bottou 2018: Empirical analysis of the Hessian of over-parametrized neural networks",
]
#: most weights of a network whose Hessian is decomposed
MAX_WEIGHTS = 2000


@dataclass(frozen=True)
class Shape:
    """A network with one hidden layer.

    Attributes
    ----------
    inputs, width, classes : int
    """

    inputs: int
    width: int
    classes: int

    @property
    def weights(self) -> int:
        """Number of all weights and biases."""
        return self.width * (self.inputs + 1) + self.classes * (self.width + 1)

    def split(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return weights and biases of both layers, the leading dimensions of `p` kept."""
        d, h, k = self.inputs, self.width, self.classes
        W, b, V, c = p.split((h * d, h, k * h, k), -1)
        return W.unflatten(-1, (h, d)), b.unsqueeze(-2), V.unflatten(-1, (k, h)), c.unsqueeze(-2)

    def scores(self, p: Tensor, X: Tensor) -> Tensor:
        """Return ``V tanh(W x + b) + c``, shape ``(*batch, samples, classes)``."""
        W, b, V, c = self.split(p)
        return torch.tanh(X @ W.mT + b) @ V.mT + c

    def loss(self, p: Tensor, X: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy, shape ``(*batch,)``; `labels` has shape ``(*batch, samples)``."""
        scores = self.scores(p, X)
        each = cross_entropy(scores.movedim(-1, 1) if scores.ndim > 2 else scores, labels, reduction="none")
        return each.mean(-1)

    def start(self, rng: Rng) -> Tensor:
        """Return weights of variance one over their number of inputs, and no biases, shape ``(draws, weights)``."""
        d, h, k = self.inputs, self.width, self.classes
        W = rng.normal((h * d,), torch.float64) / d**0.5
        V = rng.normal((k * h,), torch.float64) / h**0.5
        return torch.cat((W, W.new_zeros(len(W), h), V, V.new_zeros(len(V), k)), -1)


def blobs(shape: Shape, samples: int, separation: float, rng: Rng) -> tuple[Tensor, Tensor]:
    """Return points of unit variance around one centre a class, and their classes, with as many draws as `rng`.

    Centres are at right angles to each other, so that all draws are as hard.
    """
    entries = rng.normal((shape.inputs, shape.classes), torch.float64)
    centres = separation * torch.linalg.qr(entries)[0].mT
    labels = torch.arange(samples) % shape.classes
    return centres[:, labels] + rng.normal((samples, shape.inputs), torch.float64), labels.expand(len(centres), -1)


def train(
    shape: Shape,
    p: Tensor,
    data: tuple[Tensor, Tensor],
    steps: int,
    rate: float,
    batch: int = 0,
    rng: Rng | None = None,
) -> Tensor:
    """Return weights after gradient descent, or after stochastic descent with so many samples a step.

    Parameters
    ----------
    p : Tensor
        Shape ``(draws, weights)``.
    data : tuple of Tensor
        Points ``(draws, samples, inputs)`` and classes ``(draws, samples)``.
    """
    X, labels = data
    p = p.clone()
    for _ in range(steps):
        part = (X, labels)
        if batch and rng is not None:
            chosen = (rng.uniform((batch,), torch.float64) * X.shape[1]).long()
            part = X.gather(1, chosen.unsqueeze(-1).expand(-1, -1, X.shape[-1])), labels.gather(1, chosen)
        with torch.enable_grad():
            weights = p.detach().requires_grad_()
            (slope,) = torch.autograd.grad(shape.loss(weights, *part).sum(), weights)
        p = p - rate * slope
    return p


def curvature(shape: Shape, p: Tensor, X: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return one network's Hessian, its Gauss–Newton part, and the mean of ``g gᵀ`` over the samples' gradients."""
    H = hessian(lambda q: shape.loss(q, X.expand(len(q), -1, -1), labels.expand(len(q), -1)), p).to_dense()
    J = torch.func.jacrev(lambda q: shape.scores(q, X))(p)
    chance = torch.softmax(shape.scores(p, X), -1)
    wrong = chance - torch.nn.functional.one_hot(labels, shape.classes)
    inner = torch.diag_embed(chance) - chance.unsqueeze(-1) * chance.unsqueeze(-2)
    G = torch.einsum("nkp,nkl,nlq->pq", J, inner, J) / len(X)
    slopes = torch.einsum("nk,nkp->np", wrong, J)
    return H, G, slopes.mT @ slopes / len(X)


@dataclass(frozen=True)
class NetworkHessian:
    """Hessians of trained networks, one a draw, and the way between two solutions of each.

    Attributes
    ----------
    weights : int
        Number of weights.
    values : NDArray
        Eigenvalues of the Hessian, ascending, shape ``(draws, weights)``.
    bulk : NDArray
        Part of the eigenvalues below a hundredth of the largest in size, shape ``(draws,)``.
    outliers, negative : NDArray of int
        Eigenvalues above a tenth of it, and below minus a hundredth, shape ``(draws,)``.
    gauss_newton : NDArray
        ``‖H − G‖_F / ‖H‖_F`` of the Gauss–Newton part, shape ``(draws,)``.
    alignment : NDArray
        Cosine between it and the covariance of the gradients, as matrices, shape ``(draws,)``.
    loss : NDArray
        Training loss, shape ``(draws,)``.
    path : NDArray
        Training loss along the line from that solution to one by small batches from the same start, shape
        ``(draws, 21)``.
    sentence : str
        What this means.
    """

    weights: int
    values: NDArray[np.floating]
    bulk: NDArray[np.floating]
    outliers: NDArray[np.integer]
    negative: NDArray[np.integer]
    gauss_newton: NDArray[np.floating]
    alignment: NDArray[np.floating]
    loss: NDArray[np.floating]
    path: NDArray[np.floating]
    sentence: str


@analysis("Hessian of a trained network", papers=_PAPERS, equation=r"H = \nabla^2 \tfrac1n \sum_i \ell(f_p(x_i), y_i)")
@torch.no_grad()
def network_hessian(
    *,
    width: Annotated[int, Log(1, 128, help="hidden units")] = 16,
    classes: Annotated[int, Linear(2, 10, help="number of classes")] = 2,
    inputs: Annotated[int, Log(1, 50, help="dimension of the points")] = 10,
    separation: Annotated[float, Log(0.01, 100, help="distance of a class's centre from zero")] = 2.0,
    samples: Annotated[int, Log(10, 2000, help="number of training points")] = 200,
    steps: Annotated[int, Log(1, 100_000, unit="steps", help="steps of gradient descent")] = 500,
    rate: Annotated[float, Log(1e-4, 10, help="step length")] = 0.6,
    batch: Annotated[int, Log(1, 1000, help="points a step of the small-batch solution")] = 10,
    draws: Annotated[int, Log(1, 100, help="independent data and starts")] = 5,
    seed: Annotated[int, Linear(0, 2**31, help="seed of data, starts and batches")] = 0,
) -> NetworkHessian:
    """Train small networks, decompose their Hessians, and walk to the solutions that small batches find.

    More weights add eigenvalues near zero; how many are large is a matter of the data. Small and large batches end in
    one basin where no hill is on the line between them, or a low one where there are few weights.

    Raises
    ------
    SpecError
        If there are more weights than are decomposed.
    """
    if classes > inputs:
        raise SpecError(f"is {classes}, and points of dimension {inputs} have at most {inputs} centres", "classes")
    shape = Shape(inputs, width, classes)
    if shape.weights > MAX_WEIGHTS:
        raise SpecError(f"is {width}: {shape.weights} weights, and at most {MAX_WEIGHTS} are allowed", "width")
    rng = Rng(seed, "analysis/network", draws)
    X, labels = data = blobs(shape, samples, separation, rng.fork("data"))
    begin = shape.start(rng.fork("start"))
    large = train(shape, begin, data, steps, rate)
    small = train(shape, begin, data, steps, rate, batch, rng.fork("batches"))
    made = [curvature(shape, *one) for one in zip(large, X, labels, strict=True)]
    H, G, C = (torch.stack(part) for part in zip(*made, strict=True))
    values = torch.linalg.eigvalsh((H + H.mT) / 2)
    bulk, outliers, negative = shares(values)
    size, plain, spread = (torch.linalg.matrix_norm(M) for M in (H, G, C))
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    path = torch.stack([shape.loss(large + s * (small - large), X, labels) for s in t], -1)
    hill = (path.amax(-1) - torch.maximum(path[:, 0], path[:, -1])).amax()
    return NetworkHessian(
        shape.weights,
        values.numpy(),
        bulk.numpy(),
        outliers.numpy(),
        negative.numpy(),
        (torch.linalg.matrix_norm(H - G) / size).numpy(),
        ((G * C).sum((-2, -1)) / (plain * spread)).numpy(),
        path[:, 0].numpy(),
        path.numpy(),
        f"Of {shape.weights} eigenvalues {100 * float(bulk.mean()):.0f} % are nearly zero and "
        f"{float(outliers.double().mean()):.1f} large (means over {draws} networks); the highest hill between small- "
        f"and large-batch solutions is {float(hill):.2g}.",
    )
