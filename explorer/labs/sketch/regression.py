r"""Regression by sketch and solve, and its error coordinate by coordinate.

Row 111: Song et al. 2023: A nearly-optimal bound for fast regression with ℓ∞ guarantee. Dense sketches spread the error
over all coordinates, ``‖x' − x*‖_∞ ≤ ε / √d · ‖A x* − y‖ ‖A⁺‖``; sparse ones may put all of it into one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, SpecError, analysis, problem, solver
from explorer.linalg import Rng, Space, safe_divide
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.sketch import Nonzeros, SketchKind, draw_sketch
from explorer.problems.base import Truth
from explorer.solvers.steps import Solution

_PAPERS = ["row 111", "Price, Song & Woodruff 2017: Fast regression with an ℓ∞ guarantee"]
#: most unknowns of a regression: its sketched matrix is factored densely
MAX_UNKNOWNS = 1024


def _overdetermined(A: LinearOperator) -> bool:
    X, Y = A.domain, A.codomain
    single = isinstance(X, Space) and isinstance(Y, Space) and X.is_complex == Y.is_complex
    return single and X.size <= min(MAX_UNKNOWNS, Y.size - 1)


OVERDETERMINED = Capability(
    f"an operator with more data than unknowns, of which there are at most {MAX_UNKNOWNS}", _overdetermined
)
SketchRows = Annotated[int | None, Log(1, 65_536, help="rows of the sketch; sixteen an unknown if not set")]


@solver(
    "Sketch and solve",
    papers=[*_PAPERS, "Sarlós 2006: Improved approximation algorithms for large matrices via random projections"],
    equation=r"\min_x \|S A x - S y\|_2",
    reports=("residual",),
    works="Many more equations than unknowns, and a residual that may be a little above the least.",
    fails="With a sparse sketch two equations may collide, and one coordinate takes the whole error.",
)
def sketch_and_solve(
    A: Annotated[LinearOperator, OVERDETERMINED],
    y: Tensor,
    rng: Rng,
    *,
    sketch: SketchKind = "cosine",
    rows: SketchRows = None,
    nonzeros: Nonzeros = 1,
) -> Solution:
    """Least squares on a random sketch of the rows: m equations instead of n, an answer near the exact one.

    The residual that is reported is that of all equations. With a dense sketch (cosine, gaussian) the error in every
    coordinate is small; with a sparse one two equations may collide, and one coordinate then takes the whole error.
    The columns of A are needed: as many applications as there are unknowns, unless A is a matrix.
    Where the sketch loses the rank of A, which collisions may do too, the answer is the smallest one.
    """
    S = draw_sketch(sketch, A.codomain, _rows(rows, A), rng, nonzeros=nonzeros)
    x = sketched_solution(S, columns_of(A), y, A)
    cost = {} if isinstance(A, DenseMatrix) else {"A": A.domain.size}
    return Solution(x, cost=cost, residual=A.codomain.norm(y - A(x)))


def columns_of(A: LinearOperator) -> Tensor:
    """Return the columns of the matrix as elements of the codomain, shape ``(unknowns, *codomain.shape)``."""
    return A.to_dense().mT.reshape(A.domain.size, *A.codomain.shape)


def sketched_solution(S: LinearOperator, columns: Tensor, y: Tensor, A: LinearOperator) -> Tensor:
    """Return the smallest minimiser of ``‖S A x − S y‖``, shape ``(*batch, *domain.shape)``."""
    return smallest_solution(S(columns), S(y)).reshape(*A.codomain.batch(y), *A.domain.shape)


def smallest_solution(columns: Tensor, y: Tensor) -> Tensor:
    """Return the least-squares solution of least norm, ``R⁺ Qᴴ y``, which exists where the rank is lost too.

    Parameters
    ----------
    columns : Tensor
        Columns of the matrix, shape ``(d, n)``.
    y : Tensor
        Shape ``(*batch, n)``.
    """
    if columns.shape[0] > columns.shape[1]:
        return y @ torch.linalg.pinv(columns)
    q, r = torch.linalg.qr(columns.mT)
    inverse = torch.linalg.pinv(r, rtol=max(columns.shape) * torch.finfo(columns.dtype).eps)
    return (y @ q.conj()) @ inverse.mT


def _rows(rows: int | None, A: LinearOperator) -> int:
    d, n = A.domain.size, A.codomain.size
    m = min(n, 16 * d) if rows is None else rows
    if m < d:
        raise SpecError(f"is {m}, and a sketch needs at least as many rows as there are unknowns, {d}", "rows")
    return m


@dataclass(frozen=True)
class SketchedErrors:
    """Errors of sketch and solve over independent sketches.

    Attributes
    ----------
    coordinate : NDArray
        ``√d ‖x' − x*‖_∞ / (‖A x* − y‖ ‖A⁺‖)``, shape ``(draws, *batch)``: the ε of the coordinate-wise bound.
    euclidean : NDArray
        ``‖x' − x*‖₂ / (‖A x* − y‖ ‖A⁺‖)``, likewise.
    rows : int
        Rows of the sketches.
    sentence : str
        What this means.
    """

    coordinate: NDArray[np.floating]
    euclidean: NDArray[np.floating]
    rows: int
    sentence: str


@analysis(
    "Errors of sketch and solve",
    papers=_PAPERS,
    equation=r"\sqrt d\, \|x' - x^*\|_\infty \le \varepsilon \|Ax^* - y\| \|A^+\|",
)
@torch.no_grad()
def sketched_errors(
    A: Annotated[LinearOperator, OVERDETERMINED],
    y: Tensor,
    *,
    sketch: SketchKind = "cosine",
    rows: SketchRows = None,
    nonzeros: Nonzeros = 1,
    draws: Annotated[int, Log(1, 10_000, help="number of independent sketches")] = 10,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the sketches")] = 0,
) -> SketchedErrors:
    """Solve the same regression with many sketches and say how far the answers are from the exact one.

    Parameters
    ----------
    A : LinearOperator
        Of full rank.
    y : Tensor
        Data, shape ``(*batch, *codomain.shape)``, that A does not explain entirely.
    """
    A.codomain.check(y, "the data")
    columns, m, d = columns_of(A), _rows(rows, A), A.domain.size
    flat = columns.reshape(d, -1), y.reshape(*A.codomain.batch(y), -1)
    exact = smallest_solution(*flat).reshape(*A.codomain.batch(y), *A.domain.shape)
    unit = A.codomain.norm(y - A(exact)) / torch.linalg.svdvals(flat[0]).amin()
    errors = []
    for j in range(draws):
        S = draw_sketch(sketch, A.codomain, m, Rng(seed, f"sketch {j}"), nonzeros=nonzeros)
        errors.append(sketched_solution(S, columns, y, A) - exact)
    error = torch.stack(errors).flatten(-A.domain.ndim)
    coordinate, euclidean = (
        safe_divide(torch.linalg.vector_norm(error, p, dim=-1), unit).cpu().numpy() for p in (math.inf, 2)
    )
    coordinate *= math.sqrt(d)
    worst = float(np.median(coordinate))
    return SketchedErrors(
        coordinate,
        euclidean,
        m,
        f"With {m} of {A.codomain.size} rows the median error is {float(np.median(euclidean)):.2g} of the largest that "
        f"the residual allows; in the worst coordinate it is {worst:.2g} of an even share of that, 1/√d.",
    )


class ZeroPadding(LinearOperator):
    """``A x = (x, 0)``: the unknown, and zeros after it."""

    title = "padding by zeros"
    isometry = True
    nonnegative = True

    def _forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x, (0, self.codomain.size - self.domain.size))

    def _adjoint(self, y: Tensor) -> Tensor:
        return y[..., : self.domain.size].clone()


@problem("Regression spoilt by collisions", papers=_PAPERS, equation=r"A = \begin{pmatrix} I_d \\ 0 \end{pmatrix}")
def colliding_regression(
    *,
    size: Annotated[int, Log(2, MAX_UNKNOWNS, help="number d of unknowns")] = 64,
    rows: Annotated[int, Log(4, 65_536, help="number of equations, at least 2 d")] = 16_384,
) -> Truth:
    """The identity over zeros, and data of norm 1 in the d equations after it: the answer is 0.

    A sketch that adds one of these equations to one of the first d moves a coordinate by 1/√d, which is as much as the
    whole residual allows for all of them.

    Raises
    ------
    SpecError
        If there are fewer than 2 d equations.
    """
    if rows < 2 * size:
        raise SpecError(f"is {rows}, and {size} unknowns need at least {2 * size} equations", "problem.params.rows")
    X, Y = (Space((n,), torch.float64) for n in (size, rows))
    y = Y.zeros()
    y[size : 2 * size] = 1 / math.sqrt(size)
    A = ZeroPadding(X, Y)
    offers = {"A": A, "F": A, "codomain": Y, "y": y, "data_norm": Y.norm(y), "data_size": rows}
    return Truth(X.zeros(), offers)
