r"""Merging models of several tasks into one: ``Σ_i C_i W = Σ_i C_i W_i`` with the Fisher information C_i of each task.

Tam, Bansal & Raffel 2024: Merging by Matching Models in Task Parameter Subspaces.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, problem
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.problems.base import Truth

Information = Literal["average", "diagonal", "gram", "kronecker"]


class MergingSystem(LinearOperator):
    """``W ↦ Σ_i X_iᴴ (X_i W) B_i``, without the sum of the matrices, which are Kronecker products, ever being made.

    Parameters
    ----------
    domain : Space
        Weights, shape ``(d, k)``.
    inputs : Tensor
        X of every task, shape ``(tasks, samples, d)``.
    precisions : Tensor, optional
        B of every task, positive definite, shape ``(tasks, k, k)``; the identity if not given.
    """

    title = "the merging system"
    counts_as = "A"
    self_adjoint = True
    positive = True

    def __init__(self, domain: Space, inputs: Tensor, precisions: Tensor | None = None) -> None:
        super().__init__(domain)
        self.inputs, self.precisions = inputs, precisions

    def _forward(self, x: Tensor) -> Tensor:
        return self.each(x.unsqueeze(-3)).sum(-3)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def each(self, weights: Tensor) -> Tensor:
        """Return ``C_i W_i`` for weights of every task, shape ``(*batch, tasks, d, k)``."""
        some = self.inputs.mT @ (self.inputs @ weights)
        return some if self.precisions is None else some @ self.precisions

    def main_diagonal(self) -> Tensor:
        """Return ``Σ_i diag(X_iᴴX_i) diag(B_i)ᵀ``."""
        moments = (self.inputs**2).sum(-2)
        scales = moments.new_ones(self.domain.shape[1]) if self.precisions is None else self._scales(self.precisions)
        return (moments.unsqueeze(-1) * scales.unsqueeze(-2)).sum(0)

    @staticmethod
    def _scales(precisions: Tensor) -> Tensor:
        return precisions.diagonal(dim1=-2, dim2=-1)


class EntrywiseMerging(LinearOperator):
    """``W ↦ Σ_i c_i · W`` for weights c of every entry, shape ``(tasks, d, k)``: averaging, or diagonal Fisher."""

    title = "the entrywise merging system"
    counts_as = "A"
    self_adjoint = True
    positive = True

    def __init__(self, domain: Space, weights: Tensor) -> None:
        super().__init__(domain)
        self.weights = weights

    def _forward(self, x: Tensor) -> Tensor:
        return self.main_diagonal() * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def each(self, weights: Tensor) -> Tensor:
        """Return ``C_i W_i`` for weights of every task, shape ``(*batch, tasks, d, k)``."""
        return self.weights * weights

    def main_diagonal(self) -> Tensor:
        """Return the sum of the weights."""
        return self.weights.sum(0)


@problem(
    "Models to merge",
    name="task_models",
    papers=["row 51", "Tam, Bansal & Raffel 2024: Merging by Matching Models in Task Parameter Subspaces"],
    equation=r"\sum_i C_i W = \sum_i C_i W_i",
)
def task_models(
    rng: Rng,
    *,
    information: Annotated[
        Information,
        Help("C: the identity, diagonal Fisher, the Gram matrix of the inputs (RegMean), or the Fisher matrix itself"),
    ] = "gram",
    start: Annotated[
        Literal["zeros", "average", "task_arithmetic"], Help("where an iteration begins; the last: 0.3 Σ W")
    ] = "average",
    tasks: Annotated[int, Linear(2, 50, help="number of models")] = 4,
    inputs: Annotated[int, Log(2, 512, help="d: rows of the weights")] = 24,
    outputs: Annotated[int, Log(1, 64, help="k: columns of the weights")] = 3,
    samples: Annotated[int, Log(2, 10_000, help="inputs that are known of each task")] = 96,
    condition: Annotated[float, Log(1, 1e6, help="largest over smallest variance of the inputs of a task")] = 300.0,
    shared: Annotated[float, Linear(0, 1, help="part of the models' variance that is common to all")] = 0.5,
    precision_spread: Annotated[
        float, Log(1, 1e4, help="largest over smallest precision of a task's outputs; 1: the Gram matrix is Fisher's")
    ] = 1.0,
) -> Truth:
    r"""Linear models of several tasks, each with its own ill-conditioned inputs; the unknown is the one in their stead.

    Task i has inputs X_i whose covariance has random axes, and outputs with noise of precision B_i; the Fisher
    information of its weights is ``X_iᴴX_i ⊗ B_i``. The truth minimises what the models lose in their own tasks,
    ``Σ_i tr((W − W_i)ᴴ X_iᴴX_i (W − W_i) B_i)``, by a dense method. Offered are the system ``A`` for the chosen C, its
    right-hand side ``y`` and the start ``x0``: conjugate gradients on them are the source's method, and stopping early
    regularises. Diagonal C and Gram matrices have cheap closed forms, sums of other Kronecker products have none. The
    average is the better start as far as the models share something; of unrelated ones it is no nearer than zero after
    a few steps.
    """
    domain = Space((inputs, outputs), torch.float64)
    X, B, W = tasks_drawn(rng, tasks, samples, domain, condition, precision_spread, shared)
    fisher = MergingSystem(domain, X, B)
    A = system(information, domain, X, B)
    y = A.each(W).sum(0)
    starts = {"zeros": W.sum(0) * 0, "average": W.mean(0), "task_arithmetic": 0.3 * W.sum(0)}
    merged = torch.linalg.lstsq(fisher.to_dense(), fisher.each(W).sum(0).reshape(-1, 1), driver="gelsd").solution
    offers = {"A": A, "y": y, "x0": starts[start], "codomain": domain, "data_norm": y.norm()}
    return Truth(merged.reshape(domain.shape), offers, domain=domain)


def system(
    information: Information, domain: Space, inputs: Tensor, precisions: Tensor
) -> MergingSystem | EntrywiseMerging:
    """Return the operator ``Σ_i C_i`` for one of the choices of C."""
    if information == "average":
        return EntrywiseMerging(domain, inputs.new_ones((len(inputs), *domain.shape)))
    if information == "diagonal":
        moments = (inputs**2).sum(-2)
        return EntrywiseMerging(domain, moments.unsqueeze(-1) * MergingSystem._scales(precisions).unsqueeze(-2))
    return MergingSystem(domain, inputs, precisions if information == "kronecker" else None)


def tasks_drawn(
    rng: Rng, tasks: int, samples: int, domain: Space, condition: float, spread: float, shared: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs ``(tasks, samples, d)``, precisions ``(tasks, k, k)`` and models ``(tasks, d, k)``."""
    d, k = domain.shape
    inputs = rng.fork("inputs").normal((tasks, samples, d), domain.dtype)
    axes = torch.linalg.qr(rng.fork("axes").normal((tasks, d, d), domain.dtype))[0]
    deviations = torch.logspace(0, -0.5, d, base=condition, dtype=domain.dtype)
    turns = torch.linalg.qr(rng.fork("precisions").normal((tasks, k, k), domain.dtype))[0]
    precision = torch.logspace(0.5, -0.5, k, base=spread, dtype=domain.dtype) if k > 1 else inputs.new_ones(1)
    common, own = (
        rng.fork("common").normal((d, k), domain.dtype),
        rng.fork("models").normal((tasks, d, k), domain.dtype),
    )
    models = shared**0.5 * common + (1 - shared) ** 0.5 * own
    return (inputs * deviations) @ axes.mT / samples**0.5, (turns * precision) @ turns.mT, models
