"""Cross-validation: candidates are judged by data that they have not seen."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Capability, Linear, rule
from explorer.linalg import Rng, Space
from explorer.linalg.arithmetic import safe_divide
from explorer.operators.base import LinearOperator

#: largest number of entries of a matrix whose rows are left out
MAX_ENTRIES = 2**20


def _small(A: LinearOperator) -> bool:
    X, Y = A.domain, A.codomain
    return isinstance(X, Space) and X.is_complex == Y.is_complex and X.size * Y.size <= MAX_ENTRIES


SEVERAL = Capability(
    "an operator with a single set of data, of which some can be left out",
    lambda A: isinstance(A.codomain, Space) and A.codomain.size > 1,
)
ROWS = Capability(f"an operator whose matrix has at most {MAX_ENTRIES:,} entries, for data to be left out", _small)


@rule(
    "Cross-validation",
    papers=[
        "Stone 1974: Cross-validatory choice and assessment of statistical predictions",
        "Allen 1974: The relationship between variable selection and data augmentation and a method for prediction",
    ],
    equation=r"\min\; \sum_f \|A_f x_\lambda^{(-f)} - y_f\|^2",
    picks="minimum",
    either=("regularization", "left_out"),
    direct=ROWS,
)
def cross_validation(
    A: Annotated[LinearOperator, SEVERAL],
    y: Tensor,
    regularization: Tensor | None = None,
    left_out: Tensor | None = None,
    *,
    folds: Annotated[int, Linear(2, 100, help="parts of the data, each left out once")] = 5,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the parts")] = 0,
) -> Tensor:
    """Leave out each part of the data once, solve the problem with the others, and predict it.

    Candidates of λ are those of Tikhonov's problem, of which the matrix is decomposed. An iteration is run again
    without each part, which takes no matrix, and its steps are the candidates.

    Data are left out at random, which suits noise that is independent from one to the next. λ is that of the sum of
    squares, as it is, though there are fewer of them. Where an operator smooths, what is left out is predicted from its
    neighbours, and least error there need not be least error of the unknown: conjugate gradients, whose error rises
    steeply, may then go on too long.

    Parameters
    ----------
    y : Tensor
        Shape ``(*batch, *codomain.shape)``.
    regularization : Tensor, optional
        Candidates, shape ``(number, *batch)``.
    left_out : Tensor, optional
        What an iteration told of its step, shape ``(*batch,)``: the score itself.
    """
    if left_out is not None:
        return left_out
    assert regularization is not None  # one of both
    data = y.reshape(*A.codomain.batch(y), -1)
    total = torch.zeros_like(regularization)
    for fold, rest, u, s, v in _parts(A, min(folds, A.codomain.size), seed):
        filtered = safe_divide(s, s**2 + regularization.unsqueeze(-1)) * (data[..., rest] @ u)
        total = total + (filtered @ v - data[..., fold]).abs().square().sum(-1)
    return total


def _parts(A: LinearOperator, folds: int, seed: int) -> list[tuple[Tensor, ...]]:
    """Return what each fold needs: its rows and the others, ``Ū`` and s of these, and ``(A_f V)ᵀ``; made once."""
    cached = A.__dict__.setdefault("_cache_folds", {})
    if (folds, seed) not in cached:
        matrix, made = A.to_dense(), []
        order = Rng(seed, "folds").permutation(len(matrix), matrix.device)
        for fold in order.tensor_split(folds):
            rest = torch.ones_like(order).index_fill(0, fold, 0).nonzero().squeeze(-1)
            u, s, vh = torch.linalg.svd(matrix[rest], full_matrices=False)
            made.append((fold, rest, u.conj(), s, (matrix[fold] @ vh.mH).mT))
        cached.clear()
        cached[folds, seed] = made
    return cached[folds, seed]
