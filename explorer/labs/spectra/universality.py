r"""Least squares on designs that are not Gaussian: what stays the same (row 278).

Pesce, Krzakala, Loureiro & Stephan 2023: Are Gaussian data all you need? Extents and limits of universality in
high-dimensional generalized linear estimation. The training error of least squares is ``Δ (1 − d/n)`` with Δ what the
best linear predictor leaves, whatever the design. The test error is that of Gaussian data of the same covariance only
while the teacher does not look along the means of the clusters.
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
from explorer.operators.base import DenseMatrix

Design = Literal["gaussian", "mixture", "rademacher"]
Labels = Literal["independent", "cluster", "teacher"]

_PAPERS = [
    "row 278",
    "Pesce, Krzakala, Loureiro & Stephan 2023: Are Gaussian data all you need? Extents and limits of universality in "
    "high-dimensional generalized linear estimation",
]
#: largest number of entries of a design
MAX_ENTRIES = 2**24


def draw_design(design: Design, shape: tuple[int, int], mean: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """Return rows ``x = g + t m`` of covariance ``I + m mᵀ`` and their places t along the mean.

    Parameters
    ----------
    design : str
        ``mixture``: normal g and t = ±1, two clusters; ``gaussian``: both normal; ``rademacher``: g = ±1, t normal.
    shape : (int, int)
        Rows and columns.
    mean : Tensor
        m, shape ``(d,)``.
    """
    g = rng.fork("entries").normal(shape, mean.dtype, mean.device)
    t = rng.fork("places").normal(shape[:1], mean.dtype, mean.device)
    g = torch.where(g < 0, -1.0, 1.0).to(mean.dtype) if design == "rademacher" else g
    t = torch.where(t < 0, -1.0, 1.0).to(mean.dtype) if design == "mixture" else t
    return g + t[:, None] * mean, t


def moment(design: Design, labels: Labels, mean: Tensor, teacher: Tensor) -> Tensor:
    """Return ``E[y x]`` of the labels, all of variance one, shape ``(d,)``.

    ``cluster`` is ``sign t`` and ``teacher`` is ``sign θᵀx``, for which normal entries, or many of alike size, are
    assumed: with ``a = θᵀm`` and t = ±1, Stein's identity gives ``m erf(a/√2) + 2 φ(a) θ``.
    """
    if labels == "independent":
        return torch.zeros_like(mean)
    if labels == "cluster":
        return mean if design == "mixture" else math.sqrt(2 / math.pi) * mean
    a = float(teacher @ mean)
    if design == "mixture":
        density = math.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)
        return mean * math.erf(a / math.sqrt(2)) + 2 * density * teacher
    return math.sqrt(2 / math.pi / (1 + a**2)) * (teacher + a * mean)


@dataclass(frozen=True)
class Universality:
    """Errors of least squares, one value a draw, and what theory says of a Gaussian design.

    Attributes
    ----------
    training_error, test_error : NDArray
        Mean squares, the latter over the population, shape ``(draws,)``.
    residual : float
        Δ, what the best linear predictor of this design leaves.
    predicted_training : float
        ``Δ (1 − d/n)``, which holds for every design.
    predicted_test : float
        ``Δ' (n − 1)/(n − d − 1)``, the test error with labels that are linear up to noise of variance Δ', that of a
        Gaussian design of the same covariance.
    sentence : str
        What this means.
    """

    training_error: NDArray[np.floating]
    test_error: NDArray[np.floating]
    residual: float
    predicted_training: float
    predicted_test: float
    sentence: str


@analysis(
    "Gaussian universality",
    papers=_PAPERS,
    equation=r"\tfrac1n \|y - X \hat w\|^2 \to \Delta\,(1 - d/n)",
)
@torch.no_grad()
def gaussian_universality(
    *,
    samples: Annotated[int, Log(4, 20_000, help="number n of rows")] = 600,
    unknowns: Annotated[int, Log(1, 5000, help="number d of columns, at most n − 2")] = 200,
    design: Annotated[Design, Help("normal entries; two clusters; or entries ±1; all of the same covariance")] = (
        "mixture"
    ),
    labels: Annotated[
        Labels, Help("noise alone; the sign of the cluster; or the sign of a linear teacher")
    ] = "cluster",
    separation: Annotated[float, Linear(0, 10, help="distance of the clusters from the centre")] = 2.0,
    alignment: Annotated[float, Linear(0, 1, help="cosine of the angle between the teacher and the mean")] = 0.0,
    draws: Annotated[int, Log(1, 1000, help="number of independent designs")] = 10,
    seed: Annotated[int, Linear(0, 2**31, help="seed of designs and labels")] = 0,
) -> Universality:
    """Fit labels of variance one by least squares, and compare training and test errors with the Gaussian prediction.

    Raises
    ------
    SpecError
        If there are too few samples, too many numbers, or no plane for the teacher and the mean.
    """
    n, d = samples, unknowns
    if d > n - 2:
        raise SpecError(f"is {n}, and must be at least the number of unknowns and two, {d + 2}", "samples")
    if n * d > MAX_ENTRIES:
        raise SpecError(f"is {n}: {n} × {d} entries are above {MAX_ENTRIES:,}", "samples")
    if d < 2:
        raise SpecError("is 1, and a teacher and a mean need two at least", "unknowns")
    rng, train, test = Rng(seed, "universality"), [], []
    for draw in range(draws):
        own = rng.fork(str(draw))
        plane = torch.linalg.qr(own.fork("plane").normal((d, 2), torch.float64))[0]
        mean = separation * plane[:, 0]
        theta = alignment * plane[:, 0] + math.sqrt(1 - alignment**2) * plane[:, 1]
        X, t = draw_design(design, (n, d), mean, own)
        noise = own.fork("labels").normal((n,), torch.float64)
        y = {"independent": noise, "cluster": t.sign(), "teacher": (X @ theta).sign()}[labels]
        w = torch.cholesky_solve((X.mT @ y).unsqueeze(-1), torch.linalg.cholesky(X.mT @ X)).squeeze(-1)
        train.append((y - X @ w).square().mean())
        test.append(1 - 2 * w @ moment(design, labels, mean, theta) + w @ w + (w @ mean) ** 2)
    residual, gaussian = (_residual(kind, labels, mean, theta) for kind in (design, "gaussian"))
    measured, on_test = torch.stack(train).numpy(), torch.stack(test).numpy()
    predicted, predicted_test = residual * (1 - d / n), gaussian * (n - 1) / (n - d - 1)
    return Universality(
        measured,
        on_test,
        residual,
        predicted,
        predicted_test,
        f"The training error is {measured.mean():.3g}, and Δ (1 − d/n) is {predicted:.3g}; the test error is "
        f"{on_test.mean():.3g}, and Gaussian data of the same covariance give {predicted_test:.3g}.",
    )


def _residual(design: Design, labels: Labels, mean: Tensor, teacher: Tensor) -> float:
    """Return ``Δ = E y² − bᵀ (I + m mᵀ)⁻¹ b`` with ``b = E[y x]``."""
    b = moment(design, labels, mean, teacher)
    return float(1 - b @ b + (b @ mean) ** 2 / (1 + mean @ mean))


@operator(
    "Mixture design",
    papers=_PAPERS,
    equation=r"a_i = (g_i + t_i m) / \sqrt{n}",
    works="Regression on rows that fall into two clusters, whose training error is that of Gaussian rows.",
    fails="Where the truth lies along the clusters' mean, the test error of Gaussian rows is not that of these.",
)
def mixture_design(
    domain: Space,
    rng: Rng,
    *,
    rows: Annotated[int, Log(1, 20_000, help="number n of rows")] = 600,
    design: Annotated[Design, Help("normal entries; two clusters; or entries ±1; all of the same covariance")] = (
        "mixture"
    ),
    separation: Annotated[float, Linear(0, 10, help="distance of the clusters from the centre")] = 2.0,
) -> DenseMatrix:
    """Random rows in two clusters, or Gaussian ones, or signs, all of covariance ``I + m mᵀ``; divided by √n."""
    if rows * domain.size > MAX_ENTRIES:
        raise SpecError(f"{rows} × {domain.size} entries are above {MAX_ENTRIES:,}: choose fewer rows", "rows")
    m = rng.fork("mean").normal((domain.size,), torch.float64, domain.device)
    m = separation * m / torch.linalg.vector_norm(m)
    matrix = draw_design(design, (rows, domain.size), m, rng)[0] / math.sqrt(rows)
    made = DenseMatrix(domain, Space((rows,), domain.dtype, domain.device), matrix.to(domain.dtype))
    made.title = "Mixture design"
    return made
