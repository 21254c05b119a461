"""Cross-validation: candidates are judged by data that they have not seen."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from explorer.catalogue import Capability, Linear, rule
from explorer.linalg import Space
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
    direct=ROWS,
    works="Many data that tell much the same.",
    fails="Data each of which tells something alone; every part that is left out costs a solution.",
)
def cross_validation(
    left_out: Tensor,
    A: Annotated[LinearOperator, SEVERAL],  # noqa: ARG001 - of which some data are left out
    *,
    folds: Annotated[int, Linear(2, 100, help="parts of the data, each left out once")] = 5,  # noqa: ARG001
    seed: Annotated[int, Linear(0, 2**31, help="seed of the parts")] = 0,  # noqa: ARG001
) -> Tensor:
    """Leave out each part of the data once, solve the problem with the others, and predict it.

    A direct method solves with the rows of the matrix that are left, whatever it penalises. An iteration is run again
    without each part, which takes no matrix, and its steps are the candidates.

    Data are left out at random, which suits noise that is independent from one to the next. λ is that of the sum of
    squares, as it is, though there are fewer of them. Where an operator smooths, what is left out is predicted from its
    neighbours, and least error there need not be least error of the unknown: conjugate gradients, whose error rises
    steeply, may then go on too long.
    """
    return left_out
