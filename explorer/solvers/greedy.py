"""Greedy pursuit: one column after the other, chosen by what it explains, with a fit on all that were chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, solver
from explorer.linalg import safe_divide
from explorer.linalg.arithmetic import expand
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import REAL_ONLY, SAME_KIND
from explorer.operators.rows import HAS_ROWS, dense
from explorer.solvers.columns import SINGLE_SPACES, Columns, inverse_norms
from explorer.solvers.steps import Step

Operator = Annotated[LinearOperator, SINGLE_SPACES, SAME_KIND]
Sparsity = Annotated[int, Log(1, 4096, help="number of entries to find: one a step, then it ends")]
#: reweighted fits by which least absolute deviations come down to their smallest smoothing
REWEIGHTED = 60
#: first weights of attention and the length of its gradient steps, for unit columns and a largest correlation of 1
START, RATE = 0.1, 0.2


@solver(
    "Orthogonal matching pursuit",
    name="omp",
    papers=[
        "Pati, Rezaiifar & Krishnaprasad 1993: Orthogonal matching pursuit: recursive function approximation with "
        "applications to wavelet decomposition",
        "Tropp & Gilbert 2007: Signal recovery from random measurements via orthogonal matching pursuit",
    ],
    solves="sparse",
    equation=r"j = \arg\max_j \frac{|a_j^H r|}{\|a_j\|},\quad S \leftarrow S \cup \{j\},\quad "
    r"x = \arg\min_{\operatorname{supp} x \subseteq S} \|Ax-y\|_2",
    reports=("residual", "correlation"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Few non-zeros, and columns that differ from each other.",
    fails="Columns that are alike: a wrong choice is never taken back.",
)
def omp(A: Operator, y: Tensor, *, sparsity: Sparsity = 20) -> Iterator[Step]:
    """Take the column that correlates most with the residual, then fit all columns taken by least squares.

    The fit is updated by Gram–Schmidt, twice a column. Each sample has a support of its own and takes nothing more
    once its residual is rounding. Columns count as of equal norm where their norms are not cheap. `correlation` is
    ``|a_jᴴ r| / ‖a_j‖`` of the column taken.
    """
    columns, inverse = Columns(A, y, sparsity), inverse_norms(A)
    while columns.taken < columns.most:
        gain = columns.correlations() * inverse
        useful = gain.amax(-1) > A.domain.eps * columns.residual()
        best = columns.take(gain, useful)
        yield Step(columns.x(), residual=columns.residual(), correlation=best)


# --- other losses -----------------------------------------------------------------------------------------------------


def _weights(A: LinearOperator, weights: Tensor | None, weight: float | Tensor, like: Tensor) -> Tensor:
    """Return λ w for every column, shape ``(*batch, n)`` or ``(n,)``."""
    flat = like.new_ones(A.domain.size) if weights is None else weights.reshape(-1).to(like)
    return expand(weight, like) * flat


def _pursue(columns: Columns, gain: Tensor) -> Step:
    """Take the column that lowers the loss most, if any does."""
    best = columns.take(gain, (gain.masked_fill(columns.chosen, 0) > 0).any(-1))
    return Step(columns.x(), residual=columns.residual(), decrease=torch.where(columns.active, best, 0))


@solver(
    "LASSO-OMP",
    name="lasso_omp",
    papers=[
        "row 222",
        "Mohammad-Taheri & Brugiapaglia 2023: The greedy side of the LASSO: New algorithms for weighted sparse "
        "recovery via loss function-based orthogonal matching pursuit",
    ],
    solves="sparse",
    equation=r"\|Ax-y\|_2^2 + \lambda \sum_j w_j |x_j|",
    reports=("residual", "decrease"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Few non-zeros in noise of known level, or weights that say where they are expected.",
    fails="The best λ moves with the noise level; columns that are alike mislead it, and no choice is taken back.",
)
def lasso_omp(
    A: Operator,
    y: Tensor,
    weights: Tensor | None = None,
    *,
    sparsity: Sparsity = 20,
    weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ of the penalty", degree=1, batched=True)] = 1e-2,
    penalty: Annotated[Literal["l1", "l0"], Help("λ Σ w_j |x_j|, or (λ/2)² Σ w_j² over the entries in use")] = "l1",
) -> Iterator[Step]:
    """Take the column that lowers the LASSO loss most when it alone moves, then fit by least squares.

    For a unit column with ``a = |a_jᴴ r|`` the loss falls by ``(a − λ w_j/2)₊²``, with the l0 penalty by
    ``a² − (λ w_j/2)²``. A sample ends when no column lowers its loss; the best λ follows the noise level.
    """
    columns, inverse = Columns(A, y, sparsity), inverse_norms(A)
    while columns.taken < columns.most:
        a = columns.correlations() * inverse
        threshold = _weights(A, weights, weight, a) * inverse / 2
        gain = (a - threshold).clamp(min=0) ** 2 if penalty == "l1" else a**2 - threshold**2
        yield _pursue(columns, gain)


@solver(
    "Square-root LASSO-OMP",
    name="square_root_lasso_omp",
    papers=[
        "row 222",
        "Mohammad-Taheri & Brugiapaglia 2023: The greedy side of the LASSO: New algorithms for weighted sparse "
        "recovery via loss function-based orthogonal matching pursuit",
    ],
    solves="sparse",
    equation=r"\|Ax-y\|_2 + \lambda \sum_j w_j |x_j|",
    reports=("residual", "decrease"),
    per_step={"A": 1, "Aᴴ": 1},
    works="Few non-zeros in noise of unknown level: one λ suits all levels.",
    fails="With λ near 1 hardly a column is taken; columns that are alike mislead it, and no choice is taken back.",
)
def square_root_lasso_omp(
    A: Operator,
    y: Tensor,
    weights: Tensor | None = None,
    *,
    sparsity: Sparsity = 20,
    weight: Annotated[float | Tensor, Log(0, 1e3, unit="max‖a_j‖", help="weight λ of the penalty", batched=True)] = 0.3,
) -> Iterator[Step]:
    """Take the column that lowers the square-root LASSO loss most when it alone moves, then fit by least squares.

    For a unit column with ``a = |a_jᴴ r| > b ‖r‖``, ``b = λ w_j``, the loss falls from ``‖r‖`` to
    ``√(1 − b²) √(‖r‖² − a²) + b a``. The best λ does not depend on the noise level.
    """
    columns, inverse = Columns(A, y, sparsity), inverse_norms(A)
    largest = safe_divide(torch.ones_like(inverse), inverse).amax()
    while columns.taken < columns.most:
        a, r = columns.correlations() * inverse, columns.residual()[..., None]
        b = _weights(A, weights, weight, a) * inverse * largest
        new = ((1 - b**2).clamp(min=0) * (r**2 - a**2).clamp(min=0)).sqrt() + b * a
        yield _pursue(columns, torch.where(a > b * r, r - new, 0))


@solver(
    "LAD-LASSO-OMP",
    name="lad_omp",
    papers=[
        "row 222",
        "Mohammad-Taheri & Brugiapaglia 2023: The greedy side of the LASSO: New algorithms for weighted sparse "
        "recovery via loss function-based orthogonal matching pursuit",
    ],
    solves="sparse",
    equation=r"\|Ax-y\|_1 + \lambda \sum_j w_j |x_j|",
    reports=("residual", "decrease"),
    per_step={"A": 1},
    works="Few non-zeros, and data of which a few are grossly wrong.",
    fails="Every step sorts all entries of the matrix; under Gaussian noise least squares is more accurate.",
)
def lad_omp(
    A: Annotated[LinearOperator, REAL_ONLY, HAS_ROWS],
    y: Tensor,
    weights: Tensor | None = None,
    *,
    sparsity: Sparsity = 20,
    weight: Annotated[float | Tensor, Log(0, 1e3, help="weight λ of the penalty", batched=True)] = 1e-2,
) -> Iterator[Step]:
    """Take the column that lowers the sum of absolute deviations most when it alone moves, then fit likewise.

    The best coefficient of a column is the weighted median of ``r_i / a_ij`` with weights ``|a_ij|``, and of 0 with
    weight ``λ w_j``. The fit on all columns taken is by reweighted least squares with a smoothing that falls to the
    root of the rounding unit, and then exact where the nearest vertex is the best: its sum is least to about 1e-3.
    Gross errors in a few of the data then hardly matter.
    """
    columns, matrix = Absolute(A, y, sparsity), dense(A).mT
    while columns.taken < columns.most:
        b = _weights(A, weights, weight, columns.r)
        yield _pursue(columns, _absolute_decrease(matrix, columns.r, b))


class Absolute(Columns):
    """Columns fitted by least absolute deviations."""

    def refit(self) -> None:
        """Reweighted least squares with falling smoothing, then the vertex next to it if that is better."""
        Q, least = self.Q[..., : self.taken, :], self.A.domain.eps**0.5
        # directions not taken are zero rows of Q
        empty = torch.diag_embed((torch.linalg.vector_norm(Q, dim=-1) == 0).to(Q.dtype))
        c = self.coefficients[..., : self.taken].clone()
        c[..., -1] = torch.linalg.vecdot(Q[..., -1, :], self.r)
        for i in range(REWEIGHTED):
            r = self._left(Q, c).abs()
            smoothing = r.mean(-1, keepdim=True) * max(0.7**i, least)
            c = _weighted(Q, safe_divide(smoothing, torch.maximum(r, smoothing)), self.y, empty)
        # the least sum is attained where as many residuals vanish as there are coefficients
        r = self._left(Q, c)
        zeros = r.abs().topk(self.taken, -1, largest=False).indices
        vertex = _weighted(Q, torch.zeros_like(r).scatter(-1, zeros, 1), self.y, empty)
        sums = [self._left(Q, each).abs().sum(-1, keepdim=True) for each in (vertex, c)]
        c = torch.where(sums[0] < sums[1], vertex, c)
        # a sample that has ended keeps its fit to the last bit
        on = self.active[..., None]
        self.coefficients[..., : self.taken] = torch.where(on, c, self.coefficients[..., : self.taken])
        self.r = torch.where(on, self._left(Q, c), self.r)

    def _left(self, Q: Tensor, c: Tensor) -> Tensor:
        return self.y - (c[..., None, :] @ Q)[..., 0, :]


def _weighted(Q: Tensor, w: Tensor, y: Tensor, empty: Tensor) -> Tensor:
    """Return the coefficients of weighted least squares on the rows of Q."""
    weighted = w[..., None, :] * Q
    return torch.linalg.solve_ex(weighted @ Q.mT + empty, weighted @ y[..., None])[0][..., 0]


def _absolute_decrease(columns: Tensor, r: Tensor, penalty: Tensor) -> Tensor:
    """Return ``‖r‖₁ − min_t ‖r − t a_j‖₁ + penalty_j |t|`` for every row a_j of `columns`, shape ``(*batch, n)``."""
    r = r[..., None, :]
    ratio = safe_divide(r, columns)
    shape = ratio.shape[:-1]
    penalty = penalty.expand(shape)[..., None]
    ratio = torch.cat([ratio, torch.zeros_like(penalty)], -1)
    mass = torch.cat([columns.abs().expand(*shape, -1), penalty], -1)
    ratio, order = ratio.sort(-1)
    below = mass.gather(-1, order).cumsum(-1)
    median = (below < below[..., -1:] / 2).sum(-1, keepdim=True).clamp(max=ratio.shape[-1] - 1)
    t = ratio.gather(-1, median)
    return r.abs().sum(-1) - (r - t * columns).abs().sum(-1) - (penalty * t.abs())[..., 0]


# --- attention --------------------------------------------------------------------------------------------------------


@solver(
    "Sequential attention",
    papers=["row 246", "Yasuda et al. 2023: Sequential attention for feature selection"],
    solves="sparse",
    equation=r"\min_{w, b} \|y - A(w \odot b)\|_2^2 + \tfrac{\lambda}{2}(\|w\|^2 + \|b\|^2)\ \text{off } S,\quad "
    r"j = \arg\max_{j \notin S} |b_j|",
    reports=("residual", "attention"),
    per_step={"A": 51, "Aᴴ": 51},
    works="Columns that differ from each other and few non-zeros: with λ near 1 it takes those that OMP takes.",
    fails="It pays 51 products a column for what OMP does with one; at small λ alike columns share the attention.",
)
def sequential_attention(
    A: Operator,
    y: Tensor,
    *,
    sparsity: Sparsity = 20,
    weight: Annotated[
        float, Linear(0.01, 0.99, unit="max|a_jᴴr|", help="weight λ; near 1 it finds the largest correlation")
    ] = 0.9,
    training: Annotated[int, Log(1, 10_000, unit="steps", help="gradient steps on w and b before each choice")] = 50,
) -> Iterator[Step]:
    """Train weights w and attention b by gradients, take the column of largest attention, and begin anew.

    Columns count as of unit norm. What is selected already has no mask and no penalty and is fitted exactly at every
    gradient step. As ``2 min |w||b| = w² + b²``, this is the LASSO on the other columns: with λ just below the largest
    correlation only the column that orthogonal matching pursuit would take gets attention.
    """
    columns, inverse = Columns(A, y, sparsity), inverse_norms(A)
    batch, X, Y = columns.active.shape, A.domain, A.codomain
    back = lambda v: A.adjoint(v.reshape(*batch, *Y.shape)).reshape(*batch, -1) * inverse  # noqa: E731
    while columns.taken < columns.most:
        largest = (columns.correlations() * inverse).amax(-1)
        useful = largest > X.eps * columns.residual()
        data = safe_divide(columns.r, largest[..., None].to(columns.r.dtype))
        w = torch.full_like(columns.y[..., :1], START).expand(columns.chosen.shape)
        b, r = torch.zeros_like(w), data
        for _ in range(training):
            pull = back(r)
            w, b = w + RATE * (pull * b.conj() - weight * w), b + RATE * (pull * w.conj() - weight * b)
            fit = A((inverse * w * b).reshape(*batch, *X.shape))
            r = data - columns.outside(fit.reshape(*batch, -1))
        best = columns.take(b.abs(), useful)
        yield Step(columns.x(), residual=columns.residual(), attention=best)
