"""Row action: a few of the data at a time, one set of rows after the other.

The linear ones have the form ``x ← x + ω T A_bᴴ M (y_b − A_b x)`` and converge for consistent data and 0 < ω < 2. With
noise the number of sweeps regularises.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, solver
from explorer.linalg import Rng, axpy, count, safe_divide
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import NONNEGATIVE, REAL_ONLY
from explorer.operators.rows import HAS_ROWS, absolute_sums, dense, part, rows, squared_norms
from explorer.solvers.simultaneous import counted, counts_and_start
from explorer.solvers.steps import Step
from explorer.solvers.sweeps import Sweeps, groups, substitute, triangle

Rows = Annotated[LinearOperator, HAS_ROWS]
Relaxation = Annotated[float, Linear(0.01, 1.99, help="relaxation ω; it converges for 0 < ω < 2, less is smoother")]
#: rows drawn at a time, whose triangle is made anew
DRAWN = 64
#: largest number of entries of a matrix from which rows are drawn
MAX_DRAWN = 2**25


def _width(A: LinearOperator) -> int:
    return math.prod(A.codomain.shape[1:])


@solver(
    "Kaczmarz",
    papers=[
        "Kaczmarz 1937: Angenäherte Auflösung von Systemen linearer Gleichungen",
        "Strohmer & Vershynin 2009: A randomized Kaczmarz algorithm with exponential convergence",
    ],
    solves="consistent",
    equation=r"x \leftarrow x + \omega\, \frac{y_i - \langle a_i, x\rangle}{\|a_i\|^2}\, a_i,\quad i = 1, \dots, m",
    reports=("residual",),
    per_step={"A": 2, "Aᴴ": 1},
    differentiable=True,
    works="Tomography and other sparse rows: the first sweeps bring it close.",
    fails="Operators whose rows are not at hand; with noise it circles round the answer unless it is relaxed.",
)
def kaczmarz(
    A: Rows,
    y: Tensor,
    rng: Rng | None = None,
    x0: Tensor | None = None,
    *,
    relaxation: Relaxation = 1.0,
    order: Annotated[
        Literal["cyclic", "symmetric", "random"],
        Help("one row after the other, there and back in turns, or as many rows drawn in proportion to their norm²"),
    ] = "cyclic",
) -> Iterator[Step]:
    """Project on one equation after the other; a step is a sweep over as many as there are. Out of place.

    Rows are taken in groups: within one, the sweep is a triangular solve with ``A_b A_bᴴ``, the same as row by row. A
    third of the cost is the residual of the new iterate. All draws see the same random order.
    """
    sweeps, X = Sweeps(A, y, x0), A.domain
    if order == "random":
        yield from _drawn(sweeps, rng, relaxation)
    made = []
    for index in groups(A.codomain.shape[0], _width(A), X.device):
        some = rows(A, index)
        matrix = dense(some)
        gram = matrix @ matrix.mH
        made.append((index, some, [triangle(gram, relaxation, upper) for upper in (False, True)]))
    backwards = False
    while True:
        x, moving = sweeps.x, sweeps.moving()
        count("A")
        count("Aᴴ")
        for index, some, triangles in reversed(made) if backwards else made:
            left = part(A, y, index) - some(x)
            x = axpy(moving, some.adjoint(substitute(triangles[backwards], left, backwards)), x)
        backwards = order == "symmetric" and not backwards
        yield sweeps.move(x)


def _drawn(sweeps: Sweeps, rng: Rng | None, relaxation: float) -> Iterator[Step]:
    A, y = sweeps.A, sweeps.y
    if rng is None:
        raise SpecError("the random order needs a random stream, and none is given: pass rng, or use 'cyclic'", "order")
    if A.domain.size * A.codomain.size > MAX_DRAWN:
        raise SpecError(
            f"rows are drawn from a matrix of at most {MAX_DRAWN:,} entries, and this one has "
            f"{A.domain.size * A.codomain.size:,}: use the order 'cyclic', or a smaller size",
            "order",
        )
    stream, matrix = Rng(rng.seed, rng.component), dense(A)
    share, batch = squared_norms(A).reshape(-1).cumsum(0), A.codomain.batch(y)
    data = y.reshape(*batch, -1)
    while True:
        x, moving = sweeps.x.reshape(*batch, -1), sweeps.moving()
        count("A")
        count("Aᴴ")
        drawn = stream.uniform((A.codomain.size,), share.dtype, share.device)
        for index in torch.searchsorted(share, drawn * share[-1], right=True).split(DRAWN):
            some = matrix.index_select(0, index)
            left = data.index_select(-1, index) - x @ some.mT
            x = axpy(moving, substitute(triangle(some @ some.mH, relaxation), left) @ some.conj(), x)
        yield sweeps.move(x.reshape(sweeps.x.shape))


@solver(
    "Block Kaczmarz",
    papers=["Elfving 1980: Block-iterative methods for consistent and inconsistent linear equations"],
    solves="consistent",
    equation=r"x \leftarrow x + \omega\, A_b^{+} (y_b - A_b x),\quad b = 1, \dots, B",
    reports=("residual",),
    per_step={"A": 2, "Aᴴ": 1},
    differentiable=True,
    works="Data without noise in a few blocks, such as angles of a sinogram: fewer sweeps than row by row.",
    fails="Noise: pseudo-inverses of blocks with nearly dependent rows blow it up in the first sweep.",
)
def block_kaczmarz(
    A: Rows,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    relaxation: Relaxation = 1.0,
    blocks: Annotated[int, Log(1, 4096, help="number of blocks; as many as rows or angles at most")] = 8,
) -> Iterator[Step]:
    """Project on the solutions of one block of equations after the other; a step is a sweep. Out of place.

    Blocks are runs of the first dimension of the data: angles of a sinogram, rows of a matrix. The pseudo-inverse of
    each is made once at the start, from ``A_b A_bᴴ``.
    """
    sweeps, made = Sweeps(A, y, x0), []
    for index in torch.arange(A.codomain.shape[0], device=A.domain.device).tensor_split(_at_most(A, blocks)):
        some = rows(A, index)
        matrix = dense(some)
        values, vectors = torch.linalg.eigh(matrix @ matrix.mH)
        least = len(values) * A.domain.eps * values[-1]
        inverse = torch.where(values > least, safe_divide(torch.ones_like(values), values), 0)
        made.append((index, some, (vectors * inverse) @ vectors.mH))
    while True:
        x, moving = sweeps.x, sweeps.moving() * relaxation
        count("A")
        count("Aᴴ")
        for index, some, inverse in made:
            left = part(A, y, index) - some(x)
            solved = left.reshape(*some.codomain.batch(left), -1) @ inverse.mT
            x = axpy(moving, some.adjoint(solved.reshape(left.shape)), x)
        yield sweeps.move(x)


def _at_most(A: LinearOperator, parts: int) -> int:
    return min(parts, A.codomain.shape[0])


# --- ordered subsets --------------------------------------------------------------------------------------------------


def _ordered_subsets(
    A: LinearOperator, y: Tensor, x0: Tensor | None, relaxation: float, subsets: Sequence[Tensor]
) -> Iterator[Step]:
    """Steps of SIRT on one subset after the other, with the largest column sums over all of them."""
    sweeps, some = Sweeps(A, y, x0), [rows(A, index) for index in subsets]
    sums = [absolute_sums(each) for each in some]
    largest = torch.stack([over_columns for _, over_columns in sums]).amax(0)
    C = safe_divide(torch.ones_like(largest), largest)
    R = [safe_divide(torch.ones_like(total), total) for total, _ in sums]
    while True:
        x, moving = sweeps.x, sweeps.moving() * relaxation
        count("A")
        count("Aᴴ")
        for index, each, weight in zip(subsets, some, R, strict=True):
            x = axpy(moving, C * each.adjoint(weight * (part(A, y, index) - each(x))), x)
        yield sweeps.move(x)


@solver(
    "SART",
    papers=["Andersen & Kak 1984: Simultaneous algebraic reconstruction technique (SART)"],
    solves="consistent",
    equation=r"x \leftarrow x + \omega\, C A_\theta^H R_\theta (y_\theta - A_\theta x),\quad \theta = 1, \dots, p",
    reports=("residual",),
    per_step={"A": 2, "Aᴴ": 1},
    differentiable=True,
    works="Tomography with little noise: a few sweeps over the angles bring it close.",
    fails="Noisy data contradict each other, so it ends in a cycle unless it is relaxed or stopped early.",
)
def sart(A: Rows, y: Tensor, x0: Tensor | None = None, *, relaxation: Relaxation = 1.0) -> Iterator[Step]:
    """A step of SIRT with one angle after the other: what shares the first index of the data. Out of place.

    Column sums are the largest over the angles, not those of the angle at hand: all steps then contract in one norm.
    """
    yield from _ordered_subsets(A, y, x0, relaxation, _interleaved(A, A.codomain.shape[0]))


@solver(
    "OS-SIRT",
    name="os_sirt",
    papers=["Hudson & Larkin 1994: Accelerated image reconstruction using ordered subsets of projection data"],
    solves="consistent",
    equation=r"x \leftarrow x + \omega\, C A_b^H R_b (y_b - A_b x),\quad b = 1, \dots, B",
    reports=("residual",),
    per_step={"A": 2, "Aᴴ": 1},
    differentiable=True,
    works="Tomography with many angles: B subsets make it about B times as fast as SIRT at first.",
    fails="With many subsets and noise it ends in a cycle and not at weighted least squares.",
)
def os_sirt(
    A: Rows,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    relaxation: Relaxation = 1.0,
    subsets: Annotated[int, Log(1, 4096, help="number of subsets; 1 is SIRT, one an angle is SART")] = 4,
) -> Iterator[Step]:
    """A step of SIRT with one subset of the angles after the other: every B-th angle. Out of place."""
    yield from _ordered_subsets(A, y, x0, relaxation, _interleaved(A, _at_most(A, subsets)))


def _interleaved(A: LinearOperator, count: int) -> list[Tensor]:
    length = A.codomain.shape[0]
    return [torch.arange(b, length, count, device=A.domain.device) for b in range(count)]


@solver(
    "OSEM",
    papers=["Hudson & Larkin 1994: Accelerated image reconstruction using ordered subsets of projection data"],
    solves="poisson_likelihood",
    equation=r"x \leftarrow \frac{x}{A_b^T 1} \odot A_b^T \frac{y_b}{A_b x},\quad b = 1, \dots, B",
    reports=("residual", "divergence"),
    per_step={"A": 2, "Aᴴ": 1},
    works="Counts, in a fraction of the steps of MLEM.",
    fails="With many subsets it ends in a cycle and not at the maximum.",
)
def osem(
    A: Annotated[LinearOperator, NONNEGATIVE, REAL_ONLY, HAS_ROWS],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    subsets: Annotated[int, Log(1, 4096, help="number of subsets B, every B-th angle in each; 1 is MLEM")] = 4,
) -> Iterator[Step]:
    """A step of MLEM with one subset of the angles after the other: about B times as fast at first. Out of place.

    With noise it ends in a cycle near the maximum of the likelihood and not at it.
    """
    subset = _interleaved(A, _at_most(A, subsets))
    some = [rows(A, index) for index in subset]
    ones = torch.ones(A.codomain.shape, dtype=A.codomain.dtype, device=A.codomain.device)
    seen = [each.adjoint(part(A, ones, index)) for each, index in zip(some, subset, strict=True)]
    y, x = counts_and_start(A, y, x0, torch.stack(seen).sum(0))
    while True:
        count("A")
        count("Aᴴ")
        for index, each, sensitivity in zip(subset, some, seen, strict=True):
            change = each.adjoint(safe_divide(part(A, y, index), each(x)))
            # what a subset does not see stays as it is
            x = torch.where(sensitivity > 0, x * safe_divide(change, sensitivity.expand_as(x)), x)
        yield counted(A, x, y, A(x))
