r"""Paths between subspaces of different dimension, through covariance matrices of no higher rank.

Row 179: Szwagier & Pennec 2025: Flagfolds. A subspace is its projector over its dimension, a covariance matrix of unit
trace; all together are a low skeleton of the covariance matrices. A path turns matched eigenvectors along the shortest
arc and moves the eigenvalues along a line, so that a dimension grows by its weight alone.

The path is a reconstruction from the paper's idea: its exact metric is not used. Here squared lengths are those of the
angles and of the change of the eigenvalues, added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, analysis
from explorer.linalg import Rng

_PAPERS = ["row 179", "Szwagier & Pennec 2025: Flagfolds"]


def projector(basis: Tensor) -> Tensor:
    """Return the projector onto a subspace over its dimension, from an orthonormal basis ``(d, k)``."""
    return basis @ basis.mT / basis.shape[-1]


def matched(U: Tensor, V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return principal vectors of two subspaces and the angles between them.

    Parameters
    ----------
    U, V : Tensor
        Orthonormal bases, shapes ``(d, p)`` and ``(d, q)``, p ≤ q.

    Returns
    -------
    start, end, angle : Tensor
        Orthonormal frames of shape ``(d, q)``, the first p columns of U and V, the others of V in both; shape ``(p,)``.
    """
    p = U.shape[-1]
    left, cosine, right = torch.linalg.svd(U.mT @ V, full_matrices=True)
    first, end = U @ left, V @ right.mT
    sine = torch.linalg.vector_norm(end[:, :p] - first * cosine, dim=0)
    return torch.cat((first, end[:, p:]), -1), end, torch.atan2(sine, cosine)


def spectral_path(U: Tensor, V: Tensor, t: Tensor) -> Tensor:
    """Return the covariance matrices between the projectors of two subspaces, shape ``(len(t), d, d)``.

    Parameters
    ----------
    U, V : Tensor
        Orthonormal bases, shapes ``(d, p)`` and ``(d, q)``.
    t : Tensor
        From 0, at U, to 1, at V.
    """
    p, q = U.shape[-1], V.shape[-1]
    if p > q:
        return spectral_path(V, U, 1 - t)
    start, end, angle = matched(U, V)
    ahead = end[:, :p] - start[:, :p] * angle.cos()
    length = torch.linalg.vector_norm(ahead, dim=0)
    ahead = torch.where(length > 0, ahead / torch.where(length > 0, length, 1), 0)
    at = t[:, None, None] * angle
    frame = torch.cat((start[:, :p] * at.cos() + ahead * at.sin(), start[:, p:].expand(len(t), -1, -1)), -1)
    begin = _weights(p, q, U)
    weight = begin + t[:, None] * (1 / q - begin)
    return (frame * weight[:, None, :]) @ frame.mT


def distance(U: Tensor, V: Tensor) -> Tensor:
    """Return the length of the path: the square root of the angles' squares and of the eigenvalues' change squared."""
    p, q = U.shape[-1], V.shape[-1]
    if p > q:
        return distance(V, U)
    angle = matched(U, V)[2]
    return (angle.square().sum() + p * (1 / p - 1 / q) ** 2 + (q - p) / q**2).sqrt()


def bures_path(U: Tensor, V: Tensor, t: Tensor) -> Tensor:
    """Return the optimal transport between normal laws on two subspaces, shape ``(len(t), d, d)``.

    Factors of both covariances whose product is positive, here the principal vectors, are joined by a line.
    """
    p, q = U.shape[-1], V.shape[-1]
    if p > q:
        return bures_path(V, U, 1 - t)
    start, end, _ = matched(U, V)
    s = t[:, None, None]
    factor = (1 - s) * start * _weights(p, q, U).sqrt() + s * end / q**0.5
    return factor @ factor.mT


def _weights(k: int, size: int, like: Tensor) -> Tensor:
    """Return the eigenvalues of a projector of rank k over k, padded by zeros to a size."""
    return (torch.arange(size, device=like.device) < k).to(like.dtype) / k


def rank(A: Tensor) -> Tensor:
    """Return the number of eigenvalues above 1e-9 of the largest."""
    values = torch.linalg.eigvalsh(A)
    return (values > 1e-9 * values[..., -1:]).sum(-1)


@dataclass(frozen=True)
class SubspacePath:
    """Three ways from one subspace to another.

    Attributes
    ----------
    t : NDArray
        Shape ``(k,)``.
    spectral_rank, euclidean_rank, bures_rank : NDArray of int
        Rank along the spectral path, the straight line and optimal transport, shape ``(k,)``.
    spectral_trace, bures_trace : NDArray
        The total variance along the way, shape ``(k,)``; the straight line keeps it.
    length : float
        Of the spectral path.
    sentence : str
        What this means.
    """

    t: NDArray[np.floating]
    spectral_rank: NDArray[np.integer]
    euclidean_rank: NDArray[np.integer]
    bures_rank: NDArray[np.integer]
    spectral_trace: NDArray[np.floating]
    bures_trace: NDArray[np.floating]
    length: float
    sentence: str


@analysis(
    "Path between subspaces",
    papers=_PAPERS,
    equation=r"C(t) = \sum_i w_i(t)\, u_i(t) u_i(t)^T,\quad w(t) = (1 - t)\, w_0 + t\, w_1",
)
@torch.no_grad()
def subspace_path(
    *,
    ambient: Annotated[int, Log(2, 200, help="dimension of the space")] = 4,
    first: Annotated[int, Log(1, 200, help="dimension of the first subspace")] = 1,
    second: Annotated[int, Log(1, 200, help="dimension of the second subspace")] = 2,
    points: Annotated[int, Log(2, 1000, help="points of the path")] = 21,
    seed: Annotated[int, Linear(0, 2**31, help="seed of both subspaces")] = 0,
) -> SubspacePath:
    """Go from a random subspace to another: the spectral path never needs more dimensions than the larger one.

    Raises
    ------
    SpecError
        If a subspace is larger than the space.
    """
    for field, k in (("first", first), ("second", second)):
        if k > ambient:
            raise SpecError(f"is {k}, and the space has dimension {ambient}", field)
    rng = Rng(seed, "analysis/flags")
    U, V = (torch.linalg.qr(rng.normal((ambient, k), torch.float64))[0] for k in (first, second))
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    A, B, s = projector(U), projector(V), t[:, None, None]
    spectral, line = spectral_path(U, V, t), (1 - s) * A + s * B
    bures = bures_path(U, V, t)
    ranks = [rank(path).numpy() for path in (spectral, line, bures)]
    length = float(distance(U, V))
    return SubspacePath(
        t.numpy(),
        ranks[0],
        ranks[1],
        ranks[2],
        _trace(spectral),
        _trace(bures),
        length,
        f"The spectral path needs at most {int(ranks[0].max())} dimensions and has length {length:.3g}; the straight "
        f"line needs {int(ranks[1].max())}, and optimal transport loses up to {100 * (1 - _trace(bures).min()):.0f} % "
        "of the variance on its way.",
    )


def _trace(path: Tensor) -> NDArray[np.floating]:
    return np.asarray(path.diagonal(dim1=-2, dim2=-1).sum(-1).numpy())


def local_covariances(points: Tensor, neighbours: int) -> Tensor:
    """Return the covariance of each point's nearest neighbours, of unit trace, shape ``(n, d, d)``."""
    near = torch.cdist(points, points).topk(neighbours, largest=False).indices
    cloud = points[near] - points[near].mean(1, keepdim=True)
    made = cloud.mT @ cloud
    return made / made.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]


def nearest_dimension(covariance: Tensor) -> Tensor:
    """Return the dimension of the nearest projector of unit trace, shape ``(*batch,)``."""
    d = covariance.shape[-1]
    weights = torch.linalg.eigvalsh(covariance).flip(-1).unsqueeze(-2)
    k = torch.arange(1, d + 1, device=covariance.device).unsqueeze(-1)
    flat = (torch.arange(d, device=covariance.device) < k).to(covariance.dtype) / k
    return (weights - flat).square().sum(-1).argmin(-1) + 1


@dataclass(frozen=True)
class LocalDimensions:
    """The dimension that a cloud of points has around each of them.

    Attributes
    ----------
    points : NDArray
        Shape ``(n, 3)``.
    dimension, truth : NDArray of int
        Estimated, and that of the piece that a point was drawn from, shape ``(n,)``.
    away : NDArray of bool
        Points farther from the junction than the margin, shape ``(n,)``.
    right : float
        Part of those whose dimension is right.
    sentence : str
        What this means.
    """

    points: NDArray[np.floating]
    dimension: NDArray[np.integer]
    truth: NDArray[np.integer]
    away: NDArray[np.bool_]
    right: float
    sentence: str


@analysis("Local dimensions of a cloud", papers=_PAPERS, equation=r"\min_k \|w - (1/k, \ldots, 1/k, 0, \ldots)\|_2")
@torch.no_grad()
def local_dimensions(
    *,
    surface: Annotated[int, Log(10, 5000, help="points on a sphere of radius one")] = 1500,
    curve: Annotated[int, Log(10, 5000, help="points on a segment of length one that meets it")] = 150,
    noise: Annotated[float, Log(0, 1, help="standard deviation of the points' displacement")] = 0.01,
    neighbours: Annotated[int, Log(3, 500, help="nearest points, with itself, of a local covariance")] = 20,
    margin: Annotated[float, Linear(0, 2, help="distance from the junction up to which no dimension is judged")] = 0.4,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the points")] = 0,
) -> LocalDimensions:
    """Tell the curve from the surface by the eigenvalues of local covariances alone, where the two meet too.

    Raises
    ------
    SpecError
        If there are more neighbours than points.
    """
    if neighbours > surface + curve:
        raise SpecError(f"is {neighbours}, and there are {surface + curve} points", "neighbours")
    rng = Rng(seed, "analysis/dimensions")
    sphere = rng.normal((surface, 3), torch.float64)
    sphere = sphere / torch.linalg.vector_norm(sphere, dim=-1, keepdim=True)
    segment = torch.zeros(curve, 3, dtype=torch.float64)
    segment[:, 2] = 1 + rng.uniform((curve,), torch.float64)
    points = torch.cat((sphere, segment))
    points = points + noise * rng.normal(points.shape, torch.float64)
    truth = torch.cat((torch.full((surface,), 2), torch.full((curve,), 1)))
    found = nearest_dimension(local_covariances(points, neighbours))
    away = torch.linalg.vector_norm(points - points.new_tensor([0, 0, 1]), dim=-1) > margin
    right = float((found == truth)[away].double().mean())
    return LocalDimensions(
        points.numpy(),
        found.numpy(),
        truth.numpy(),
        away.numpy(),
        right,
        f"Away from the junction {100 * right:.1f} % of the points have the right dimension.",
    )
