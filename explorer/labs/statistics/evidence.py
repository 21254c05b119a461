r"""Hyperparameters by the evidence, with gradients from blocks of the data.

Row 257: Immer, van der Ouderaa, van der Wilk, Rätsch & Schölkopf 2023: Stochastic marginal likelihood gradients using
neural tangent kernels. Of the log-evidence only ``log det K``, ``K = I + J P⁻¹ Jᵀ / s``, couples all data. Fischer's
inequality ``log det K ≤ Σ_b log det K_bb`` gives a bound whose gradient one random block estimates without bias. The
paper linearises networks; here the model is linear, where the evidence is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis, problem, solver
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

_PAPERS = [
    "row 257",
    "Immer, van der Ouderaa, van der Wilk, Rätsch & Schölkopf 2023: Stochastic marginal likelihood gradients using "
    "neural tangent kernels",
]
#: most data, and most unknowns, of a regression that is factored densely
MAX_DATA, MAX_UNKNOWNS = 4096, 1024


def _dense(A: LinearOperator) -> bool:
    X, Y = A.domain, A.codomain
    single = isinstance(X, Space) and isinstance(Y, Space) and not (X.is_complex or Y.is_complex)
    return single and X.size <= MAX_UNKNOWNS and Y.size <= MAX_DATA


REGRESSION = Capability(f"a real operator of at most {MAX_UNKNOWNS} unknowns and {MAX_DATA} data", _dense)


def log_determinant(J: Tensor, precision: Tensor, noise: Tensor) -> Tensor:
    """Return ``log det(I + J P⁻¹ Jᵀ / s)``, by the smaller of the two forms that it has.

    Parameters
    ----------
    J : Tensor
        Rows of the matrix, shape ``(m, d)``.
    precision : Tensor
        Diagonal of P, shape ``(*batch, d)``.
    noise : Tensor
        Variance s, shape ``(*batch,)``.
    """
    scaled = J / (precision.unsqueeze(-2) * noise[..., None, None]).sqrt()
    small = scaled @ scaled.mT if J.shape[0] <= J.shape[1] else scaled.mT @ scaled
    identity = torch.eye(small.shape[-1], dtype=small.dtype, device=small.device)
    return 2 * torch.linalg.cholesky_ex(small + identity)[0].diagonal(dim1=-2, dim2=-1).log().sum(-1)


def sensitivity(J: Tensor, precision: Tensor, noise: Tensor) -> Tensor:
    """Return ``−∂ log det(I + J P⁻¹ Jᵀ / s) / ∂ log p_j``, a share of a degree of freedom each, shape ``(*batch, d)``.

    With ``B = J (P s)^{−½}`` these are the diagonal of ``Bᵀ (I + B Bᵀ)⁻¹ B = I − (I + Bᵀ B)⁻¹``.
    """
    B = J / (precision.unsqueeze(-2) * noise[..., None, None]).sqrt()
    small = B @ B.mT if J.shape[0] <= J.shape[1] else B.mT @ B
    identity = torch.eye(small.shape[-1], dtype=small.dtype, device=small.device)
    factor = torch.linalg.cholesky_ex(small + identity)[0]
    if J.shape[0] <= J.shape[1]:
        return torch.linalg.solve_triangular(factor, B, upper=False).square().sum(-2)
    inverse = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    return 1 - inverse.square().sum(-2)


@solver(
    "Ridge by evidence from blocks",
    papers=[*_PAPERS, "MacKay 1992: Bayesian interpolation"],
    equation=r"\max_{p, s}\; -\tfrac12 \Big(\tfrac{\|y - A x\|^2}{s} + x^T P x + n \log s"
    r" + \tfrac{n}{m} \log\det K_{bb}\Big)",
    reports=("residual", "noise"),
    works="Groups of unknowns of different size and noise of unknown level, without validation data.",
    fails="Small blocks overestimate the price of a weak prior: it shrinks too much and takes signal for noise.",
)
def evidence_ridge(
    A: Annotated[LinearOperator, REGRESSION],
    y: Tensor,
    rng: Rng,
    noise_norm: Tensor | None = None,
    *,
    groups: Annotated[int, Log(1, 1000, help="consecutive parts of the unknown, each with its own prior")] = 2,
    block: Annotated[int, Log(0, MAX_DATA, unit="data", help="data whose determinant a step uses; 0: all")] = 0,
    known: Annotated[bool, Help("take the noise level as given, where it is, instead of learning it")] = False,
    rate: Annotated[float, Log(1e-3, 1, help="first step of the logarithms of the hyperparameters")] = 0.2,
) -> Iterator[Step]:
    """Ridge regression whose prior precision, one a group, and noise variance maximise the evidence or its bound.

    Each step solves for the unknown exactly and moves the logarithms of the hyperparameters along the gradient (Adam,
    with a step that falls as 1/t after the 30th): at the best unknown only the explicit dependence counts. The data
    are cut into random blocks anew whenever all have been used. Smaller blocks overestimate the determinant, and thus
    the price of a weak prior: they shrink more.
    """
    J, flat = A.to_dense(), y.reshape(*A.codomain.batch(y), -1)
    n, d = J.shape
    size = n if block == 0 else min(block, n)
    batch = flat.shape[:-1]
    member = (torch.arange(d, device=J.device) * min(groups, d)) // d
    parts = int(min(groups, d))
    power = flat.square().mean(-1, keepdim=True)
    power = torch.where(power > 0, power, 1)
    row = J.square().sum() / n
    # half of the data's power is noise, to begin with, and the groups share the other half
    eta = torch.cat(((2 * row / power).log().expand(*batch, parts), (power / 2).log()), -1)
    if known and noise_norm is not None:
        eta[..., -1] = 2 * noise_norm.log() - math.log(n)
    first, second = torch.zeros_like(eta), torch.zeros_like(eta)
    gram, mixed, order, at = J.mT @ J, flat @ J, None, 0
    t = 0
    while True:
        t += 1
        precision, noise = eta[..., :-1].exp()[..., member], eta[..., -1].exp()
        H = gram / noise[..., None, None] + torch.diag_embed(precision)
        factor = torch.linalg.cholesky_ex(H)[0]
        x = torch.cholesky_solve((mixed / noise.unsqueeze(-1)).unsqueeze(-1), factor).squeeze(-1)
        residual2 = (flat - x @ J.mT).square().sum(-1)
        yield Step(x.reshape(*batch, *A.domain.shape), residual=residual2.sqrt(), noise=noise.sqrt())
        if order is None or at + size > n:
            order, at = rng.permutation(n, J.device), 0
        share = sensitivity(J[order[at : at + size]], precision, noise) * (n / size)
        at += size
        each = precision * x**2 - share
        own = torch.zeros_like(eta[..., :-1]).index_add_(-1, member, each)
        gradient = torch.cat((own, (n - residual2 / noise - share.sum(-1)).unsqueeze(-1)), -1) / 2
        if known and noise_norm is not None:
            gradient[..., -1] = 0
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        move = (first / (1 - 0.9**t)) / (second / (1 - 0.99**t)).sqrt().clamp(min=torch.finfo(eta.dtype).tiny)
        eta = eta - rate * min(1.0, 30 / t) * move


@dataclass(frozen=True)
class DeterminantBounds:
    """The log-determinant of the evidence and its bounds from blocks.

    Attributes
    ----------
    sizes : NDArray of int
        Data in a block, ascending, shape ``(k,)``.
    bounds : NDArray
        ``Σ_b log det K_bb`` over a random partition, shape ``(k,)``.
    exact : float
        ``log det K``.
    spread : NDArray
        Standard deviation of the estimate from one block, ``n/m log det K_bb``, shape ``(k,)``.
    sentence : str
        What this means.
    """

    sizes: NDArray[np.integer]
    bounds: NDArray[np.floating]
    exact: float
    spread: NDArray[np.floating]
    sentence: str


@analysis(
    "Determinant of the evidence from blocks",
    papers=_PAPERS,
    equation=r"\log\det K \le \sum_b \log\det K_{bb},\quad K = I + A A^T / (p\,s)",
)
@torch.no_grad()
def determinant_bounds(
    A: Annotated[LinearOperator, REGRESSION],
    *,
    signal_to_noise: Annotated[float, Log(1e-6, 1e12, help="power of the data over that of their noise")] = 100.0,
    smallest: Annotated[int, Log(1, MAX_DATA, unit="data", help="smallest block; it is doubled up to all")] = 25,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the partition")] = 0,
) -> DeterminantBounds:
    """Compare what blocks of the data say of the evidence's determinant with what all of them say.

    The prior gives every unknown the same variance, so that the signal to noise ratio is as asked for.
    """
    J = A.to_dense().double()
    n = J.shape[0]
    if smallest >= n:
        raise SpecError(f"is {smallest}, and there are only {n} data", "smallest")
    precision = (J.square().sum() / n / signal_to_noise).expand(J.shape[1])
    noise = J.new_ones(())
    order = Rng(seed, "partition").permutation(n, J.device)
    sizes = [min(n, smallest * 2**k) for k in range(math.ceil(math.log2(n / smallest)) + 1)]
    bounds, spread = [], []
    for size in sizes:
        parts = torch.stack([log_determinant(J[part], precision, noise) for part in order.split(size)])
        length = J.new_tensor([len(part) for part in order.split(size)])
        bounds.append(float(parts.sum()))
        spread.append(float((n / length * parts).std(correction=0)))
    exact = bounds[-1]
    return DeterminantBounds(
        np.array(sizes),
        np.array(bounds),
        exact,
        np.array(spread),
        f"Blocks of {sizes[0]} data bound the log-determinant {exact:.4g} by {bounds[0]:.4g}, blocks of {sizes[-2]} by "
        f"{bounds[-2]:.4g}.",
    )


@problem("Regression with groups of weights", papers=_PAPERS)
def grouped_regression(
    rng: Rng,
    *,
    data: Annotated[int, Log(2, MAX_DATA, help="number of equations")] = 1000,
    size: Annotated[int, Log(2, MAX_UNKNOWNS, help="number of weights")] = 300,
    groups: Annotated[int, Log(1, 100, help="consecutive groups of weights")] = 2,
    decay: Annotated[float, Log(1, 1e6, help="standard deviation of a group over that of the next")] = 100.0,
) -> Truth:
    """Independent normal features, and weights whose size falls from group to group: one λ does not suit all."""
    X, Y = Space((size,), torch.float64), Space((data,), torch.float64)
    features = rng.fork("features").normal((data, size), torch.float64) / math.sqrt(size)
    group = (torch.arange(size) * min(groups, size)) // size
    weights = rng.fork("weights").normal((size,), torch.float64) * decay ** -group.double()
    return Truth(weights, {"A": DenseMatrix(X, Y, features)})
