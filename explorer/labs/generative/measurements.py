"""Random measurements."""

from __future__ import annotations

import math
from typing import Annotated

from explorer.catalogue import Log, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix

#: largest number of matrix entries
MAX_ENTRIES = 2**26


@operator(
    "Gaussian random matrix",
    equation=r"A_{ij} \sim N(0, 1/m)",
    works="Compressed sensing: a sparse unknown is found from far fewer measurements than it has entries.",
    fails="With fewer rows than unknowns it has a null space; with about as many, tiny singular values amplify noise.",
)
def gaussian_matrix(
    domain: Space,
    rng: Rng,
    *,
    rows: Annotated[int, Log(1, 65_536, help="number m of measurements")] = 80,
) -> DenseMatrix:
    """Independent normal entries of variance 1/m: the norm of an element is kept on average.

    Raises
    ------
    SpecError
        If the matrix is too large.
    """
    if rows * domain.size > MAX_ENTRIES:
        raise SpecError(
            f"{rows} measurements of {domain.size} unknowns would take {rows * domain.size:,} entries, and at most "
            f"{MAX_ENTRIES:,} fit: measure less or choose a smaller size",
            "operator.params.rows",
        )
    matrix = rng.normal((rows, domain.size), domain.dtype, domain.device) / math.sqrt(rows)
    made = DenseMatrix(domain, Space((rows,), domain.dtype, domain.device), matrix)
    made.title = "the Gaussian random matrix"
    return made
