"""Block coordinate descent with rules for which block comes next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, SpecError, solver
from explorer.linalg import Rng, clone, count, safe_divide
from explorer.operators.base import LinearOperator
from explorer.operators.rows import HAS_ROWS, dense
from explorer.priors.sparse import soft_threshold
from explorer.solvers.steps import Step

Choice = Literal["cyclic", "random", "gs", "gsl", "gsd", "gsq"]


class Blocked:
    """The quadratic ``½ xᴴHx − Re cᴴx`` with ``H = AᴴA``, cut into blocks of unknowns; the last one may be padded.

    Attributes
    ----------
    H : Tensor
        Columns of the blocks, shape ``(blocks, size, n)`` with ``H[b] = H_{:, b}ᵀ``.
    own : Tensor
        Blocks of the diagonal, shape ``(blocks, size, size)``.
    lipschitz : Tensor
        Their largest eigenvalues, shape ``(blocks, 1)``.
    """

    def __init__(self, A: LinearOperator, size: int) -> None:
        matrix = dense(A)
        self.size = min(size, matrix.shape[1])
        self.blocks = math.ceil(matrix.shape[1] / self.size)
        self.n, self.unknowns = self.blocks * self.size, matrix.shape[1]
        matrix = torch.nn.functional.pad(matrix, (0, self.n - self.unknowns))
        self.H = (matrix.mT @ matrix.conj()).reshape(self.blocks, self.size, self.n)
        index = torch.arange(self.blocks, device=matrix.device)
        self.own = self.H.reshape(self.blocks, self.size, self.blocks, self.size)[index, :, index, :].mT
        self.lipschitz = torch.linalg.eigvalsh(self.own)[:, -1:]

    def cut(self, x: Tensor, batch: tuple[int, ...]) -> Tensor:
        """Return an element as blocks, shape ``(*batch, blocks, size)``."""
        flat = x.reshape(*batch, self.unknowns)
        return torch.nn.functional.pad(flat, (0, self.n - self.unknowns)).reshape(*batch, self.blocks, self.size)

    def join(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return blocks as an element."""
        return x.reshape(*x.shape[:-2], self.n)[..., : self.unknowns].reshape(*x.shape[:-2], *shape)

    def inverses(self) -> Tensor:
        """Return pseudo-inverses of the diagonal blocks."""
        values, vectors = torch.linalg.eigh(self.own)
        kept = values > self.size * torch.finfo(values.dtype).eps * values[:, -1:]
        inverse = torch.where(kept, safe_divide(torch.ones_like(values), values), 0)
        return (vectors * inverse[:, None, :]) @ vectors.mH


@solver(
    "Block coordinate descent",
    papers=[
        "row 287",
        "Nutini, Laradji & Schmidt 2022: Let's make block coordinate descent converge faster: Faster greedy rules, "
        "message-passing, active-set complexity, and superlinear convergence",
    ],
    solves="least_squares",
    equation=r"\min_x \tfrac12\|Ax-y\|_2^2 + \lambda\|x\|_1,\quad b = \arg\max_b \|g_b\|^2/L_b,\quad "
    r"x_b \leftarrow x_b - g_b / L_b",
    reports=("residual", "gradient"),
    per_step={"A": 2, "Aᴴ": 2},
    works="Small matrices with columns of unlike norms, or an l1 term that leaves few entries in use.",
    fails="Columns alike in different blocks undo each other's changes; AᴴA is made dense, too much if large.",
)
def block_coordinate_descent(
    A: Annotated[LinearOperator, HAS_ROWS],
    y: Tensor,
    rng: Rng | None = None,
    x0: Tensor | None = None,
    *,
    block: Annotated[int, Log(1, 1024, help="unknowns in a block")] = 5,
    choice: Annotated[
        Choice, Help("in turn, at random, or the largest gradient: plain, over L_b, by a diagonal or the full bound")
    ] = "gsl",
    update: Annotated[
        Literal["gradient", "exact"], Help("a gradient step 1/L_b, or the block's minimiser")
    ] = "gradient",
    weight: Annotated[
        float | Tensor, Log(0, 1e6, help="weight λ of the l1 norm of the unknown", degree=1, batched=True)
    ] = 0.0,
    finish: Annotated[bool, Help("after each step, solve with the present support and signs where they hold")] = False,
) -> Iterator[Step]:
    """Change one block of unknowns at a time; a step is as many changes as there are blocks. In place.

    The gradient is kept up to date with the columns of AᴴA, which is made at the start, and computed afresh with every
    step; each sample chooses blocks of its own. Rules, with ``L_b`` the curvature of a block: "gs" the largest
    gradient, "gsl" the largest decrease that L_b guarantees, "gsd" and "gsq" that of a diagonal bound and of the block
    itself. With an l1 term, gradients are the proximal ones and the last two are refused, as is the exact update. Its
    zeros are found after finitely many steps; with `finish`, at the cost of a dense solve a step, so is the minimum.

    Raises
    ------
    SpecError
        If a random order has no random stream, the choice and the update do not go with an l1 term, or signs are asked
        of a complex unknown.
    """
    if finish and A.domain.is_complex:
        raise SpecError("a complex unknown has no signs: set finish to False", "solver.params.finish")
    penalty = weight if isinstance(weight, Tensor) or weight > 0 else None
    if penalty is not None and (update == "exact" or choice in ("gsd", "gsq")):
        raise SpecError(
            f"{choice!r} with the update {update!r} is for quadratics: with an l1 term use 'gsl' and 'gradient'",
            f"solver.params.{'update' if update == 'exact' else 'choice'}",
        )
    if choice == "random" and rng is None:
        said = "the random order needs a random stream, and none is given: pass rng, or use 'cyclic'"
        raise SpecError(said, "solver.params.choice")
    stream = None if rng is None else Rng(rng.seed, rng.component)
    X, Y, Q = A.domain, A.codomain, Blocked(A, block)
    batch = Y.batch(y)
    x = Q.cut(X.zeros(batch) if x0 is None else clone(x0), batch).clone()
    step = safe_divide(torch.ones_like(Q.lipschitz), Q.lipschitz)
    inverse = Q.inverses() if "gsq" in choice or update == "exact" else None
    r, back = A(Q.join(x, X.shape)) - y, Q.cut(A.adjoint(y), batch)
    while True:
        g = Q.cut(A.adjoint(r), batch).clone()
        count("A")
        count("Aᴴ")
        for index in _orders(Q, batch, choice, stream):
            if index is None:
                index = _score(Q, x, g, choice, step, penalty, inverse).argmax(-1)
            pick = index[..., None, None]
            here, slope = x.take_along_dim(pick, -2), g.take_along_dim(pick, -2)
            if update == "exact":
                assert inverse is not None
                change = -slope @ _at(inverse, index).mT
            else:
                change = _proximal(here, slope, _at(step, index)[..., None], penalty) - here
            x.scatter_add_(-2, pick.expand_as(change), change)
            g += (change @ _at(Q.H, index)).reshape(g.shape)
        if finish:
            x.copy_(_finished(Q, x, back, weight))
        made = Q.join(x, X.shape)
        r = A(made) - y
        yield Step(made, residual=Y.norm(r), gradient=X.norm(Q.join(g, X.shape)))


def _finished(Q: Blocked, x: Tensor, back: Tensor, weight: float | Tensor) -> Tensor:
    """Return the minimiser among what has the support and the signs of `x`, where it has them itself; else `x`."""
    flat, signs = x.flatten(-2), x.flatten(-2).sign()
    on = signs.abs()
    own = Q.H.reshape(Q.n, Q.n) * on[..., None] * on[..., None, :] + torch.diag_embed(1 - on)
    slope = torch.as_tensor(weight, dtype=x.dtype, device=x.device)[..., None] * signs
    z = torch.linalg.solve_ex(own, (on * (back.flatten(-2) - slope))[..., None])[0][..., 0]
    holds = ((z.sign() == signs) & z.isfinite()).all(-1, keepdim=True)
    return torch.where(holds, z, flat).reshape(x.shape)


def _orders(Q: Blocked, batch: tuple[int, ...], choice: Choice, stream: Rng | None) -> Iterator[Tensor | None]:
    """Return the block of each change of a step, the same for all samples; None where each sample chooses."""
    device = Q.H.device
    if choice == "cyclic":
        order = torch.arange(Q.blocks, device=device)
    elif choice == "random":
        assert stream is not None
        order = (stream.uniform((Q.blocks,), torch.float64, device) * Q.blocks).long()
    else:
        yield from (None for _ in range(Q.blocks))
        return
    for index in order:
        yield index.expand(batch)


def _at(table: Tensor, index: Tensor) -> Tensor:
    """Return the entries of a table of blocks, without a look at the index on the host."""
    return table.index_select(0, index.reshape(-1)).reshape(*index.shape, *table.shape[1:])


def _proximal(x: Tensor, g: Tensor, step: Tensor, weight: float | Tensor | None) -> Tensor:
    """Return the (proximal) gradient step from blocks `x`, with a step length that broadcasts with them."""
    moved = x - step * g
    if weight is None:
        return moved
    threshold = torch.as_tensor(weight, dtype=step.dtype, device=x.device)[..., None, None] * step
    return soft_threshold(moved, threshold.broadcast_to(x.shape))


def _score(
    Q: Blocked,
    x: Tensor,
    g: Tensor,
    choice: Choice,
    step: Tensor,
    weight: float | Tensor | None,
    inverse: Tensor | None,
) -> Tensor:
    """Return what the rule makes of every block, shape ``(*batch, blocks)``."""
    if choice == "gsd":
        bound = Q.own.abs().sum(-1)
        return (g.abs() ** 2 * safe_divide(torch.ones_like(bound), bound)).sum(-1)
    if choice == "gsq":
        assert inverse is not None
        return torch.einsum("...i,...ij,...j->...", g.conj(), inverse, g).real
    if choice == "gs":
        step = torch.ones_like(step) / Q.lipschitz.amax()
    moved = (_proximal(x, g, step, weight) - x).abs() ** 2
    return moved.sum(-1) * (1 if choice == "gs" else Q.lipschitz[:, 0])
