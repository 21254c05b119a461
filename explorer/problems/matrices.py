"""The person's own matrices: Matrix Market files in the data folder, named by their SHA-256 hash.

Boisvert, Pozo, Remington, Barrett & Dongarra 1997: Matrix Market: a web resource for test matrix collections.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from explorer.catalogue import File, Help, SpecError, problem
from explorer.linalg import Rng, Space
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.problems import files
from explorer.problems.base import Truth


@problem(
    "Own matrix",
    papers=["Boisvert et al. 1997: Matrix Market: a web resource for test matrix collections"],
    equation="y = A x",
)
def own_matrix(
    rng: Rng,
    *,
    file: Annotated[str, File("a matrix of your own, a Matrix Market file")] = "",
    solution: Annotated[Literal["ones", "random"], Help("the unknown x: all ones, or normally distributed")] = "ones",
    positive: Annotated[bool, Help("the matrix is known to be positive definite; this is not checked")] = False,
) -> Truth:
    """A linear system or least-squares problem with a matrix of your own, added with ``explorer.add_file``.

    The problem brings its operator: set that of the run to None.

    Raises
    ------
    SpecError
        If the data folder holds no such file, or the matrix cannot be positive.
    """
    matrix, self_adjoint = files.decode_matrix(files.stored(file), f"{file[:12]}…")
    if positive and not self_adjoint:
        raise SpecError("is true, and the file declares no symmetric or Hermitian matrix", "problem.params.positive")
    is_complex = matrix.dtype.kind == "c"
    dtype = torch.complex128 if is_complex else torch.float64
    rows, columns = matrix.shape
    A = SparseMatrix(
        Space((columns,), dtype), Space((rows,), dtype), SharedMatrix(lambda: matrix), is_complex=is_complex
    )
    A.self_adjoint, A.positive, A.nonnegative = (
        self_adjoint,
        positive,
        not is_complex and bool((matrix.data >= 0).all()),
    )
    A.title = "your own matrix"
    x = torch.ones(columns, dtype=dtype) if solution == "ones" else rng.normal((columns,), dtype)
    return Truth(x, {"A": A})
