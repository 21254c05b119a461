"""Sparsity in groups: blocks of pixels that are zero together."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from explorer.catalogue import Linear, Log, prior
from explorer.linalg import Space, expand, lengths, safe_divide
from explorer.priors.base import Prior
from explorer.priors.sparse import Basis, basis_of, onto_ball

Side = Annotated[int, Linear(1, 256, unit="px", help="side of the blocks; those at the border may be cut")]


class Blockwise(Prior):
    """A penalty on the lengths of blocks with `block` entries on each side.

    Elements are laid out as ``(*batch, m_1, b, …, m_d, b)``, so that a block is what the last of each pair indexes.
    """

    block: int

    def blocks(self, x: Tensor) -> Tensor:
        """Return `x` laid out in blocks, filled up with zeros."""
        sides = [side for n in reversed(self.domain.shape) for side in (0, -n % self.block)]
        counts = [k for n in self.domain.shape for k in (-(-n // self.block), self.block)]
        return pad(x, sides).reshape(*self.domain.batch(x), *counts)

    def lengths(self, blocks: Tensor) -> Tensor:
        """Return the length of every block, shape ``(*batch, m_1, 1, …, m_d, 1)``."""
        return lengths(blocks, tuple(range(-1, -2 * self.domain.ndim, -2)))

    def entries(self, blocks: Tensor, x: Tensor) -> Tensor:
        """Return blocks laid out as `x` is."""
        full = [-(-n // self.block) * self.block for n in self.domain.shape]
        whole = blocks.reshape(*self.domain.batch(x), *full)
        index: Any = (..., *(slice(n) for n in self.domain.shape))
        return whole[index]


@prior(
    "Group sparsity",
    name="group_l1",
    equation=r"R(x) = \lambda \sum_g \|(C x)_g\|_2",
    papers=["Yuan & Lin 2006: Model selection and estimation in regression with grouped variables"],
    works="Non-zeros that come in blocks: patches of pixels, bands of coefficients.",
    fails="Non-zeros that are scattered or lie across the fixed grid: a block is kept or lost as a whole.",
)
class GroupL1(Blockwise):
    """The sum of the lengths of blocks, of entries or coefficients: a block is zero altogether or not at all."""

    title = "the group l1 prior"
    has_prox = splits = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        block: Side = 4,
        basis: Basis = "entries",
    ) -> None:
        super().__init__(domain, weight, basis_of(domain, basis))
        self.block = block

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ_g ‖(C x)_g‖``."""
        return self.weight * self.lengths(self.blocks(self.operator(x))).flatten(-2 * self.domain.ndim).sum(-1)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the blocks of coefficients, shorter by ``step λ``."""
        blocks = self.blocks(self.operator(x))
        lengths = self.lengths(blocks)
        left = (lengths - expand(step * self.weight, blocks)).clamp(min=0)
        return self.operator.adjoint(self.entries(blocks * safe_divide(left, lengths), x))

    def dual_prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        """Return the blocks cut at length λ."""
        blocks = self.blocks(z)
        return self.entries(onto_ball(blocks, self.lengths(blocks), self.weight), z)


@prior(
    "At most k groups (envelope)",
    name="group_envelope",
    equation=r"R(x) = \tfrac{\lambda}{2} \min\{\textstyle\sum_g \|x_g\|^2 / u_g : 0 < u \le 1,\ \sum_g u_g \le k\}",
    papers=[
        "row 355",
        "Refael, Arbel & Huleihel 2022: Learning k-level structured sparse neural networks using group envelope "
        "regularization",
        "Argyriou, Foygel & Srebro 2012: Sparse prediction with the k-support norm",
    ],
    works="A known number k of blocks, which a larger weight does not reduce any further.",
    fails="A wrong k; the weight shrinks what is kept, and a very large one picks the wrong blocks.",
)
class GroupEnvelope(Blockwise):
    """The convex envelope of ``½‖x‖²`` over the elements with at most k blocks that are not zero.

    As λ grows the solution has k blocks and no fewer, where that of group sparsity has ever fewer; but λ shrinks what
    is left, and a very large one picks the wrong blocks.
    """

    title = "the group envelope"
    has_prox = splits = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", batched=True)] = 1.0,
        block: Side = 4,
        groups: Annotated[int, Log(1, 1_000_000, help="number k of blocks that may be other than zero")] = 5,
    ) -> None:
        super().__init__(domain, weight)
        self.block, self.groups = block, groups

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ/2 Σ_g ‖x_g‖²/u_g`` with the shares u that make it least."""
        lengths = self.lengths(self.blocks(x)).flatten(-2 * self.domain.ndim)
        shares = self.shares(lengths, torch.zeros_like(lengths[..., :1]))
        return self.weight / 2 * safe_divide(lengths**2, shares).sum(-1)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return ``x_g u_g / (u_g + step λ)`` with the shares u that make the whole least."""
        blocks = self.blocks(x)
        lengths = self.lengths(blocks)
        flat = lengths.flatten(-2 * self.domain.ndim)
        t = expand(torch.as_tensor(step * self.weight, dtype=flat.dtype, device=flat.device), flat)
        shares = self.shares(flat, t.expand_as(flat[..., :1]))
        return self.entries(blocks * safe_divide(shares, shares + t).reshape(lengths.shape), x)

    def shares(self, lengths: Tensor, t: Tensor) -> Tensor:
        """Return ``u_g = clip(c ‖x_g‖ − t, 0, 1)`` with the c for which they sum to k, shape ``(*batch, groups)``.

        The sum is piecewise linear in c, with a corner where a block begins to count, at ``t/‖x_g‖``, and where it
        counts in full, at ``(1+t)/‖x_g‖``: sort the corners, find the last one at which it is at most k, and solve the
        linear equation of the piece behind it. With at most k blocks other than zero all of them count in full.
        """
        none = lengths.logical_not()
        begin, full = ((s / torch.where(none, 1, lengths)).masked_fill(none, torch.inf) for s in (t, 1 + t))
        corners, order = torch.cat((begin, full), -1).sort(-1)
        turns = torch.cat((lengths, -lengths), -1).gather(-1, order)
        starts = (order < lengths.shape[-1]).to(lengths.dtype)
        counted_in_full = (1 - starts).cumsum(-1)
        partly = starts.cumsum(-1) - counted_in_full
        sums = counted_in_full + corners * turns.cumsum(-1) - partly * t
        last = ((sums <= self.groups) & corners.isfinite()).sum(-1, keepdim=True) - 1
        low = corners.gather(-1, last.clamp(min=0))
        high = corners.gather(-1, (last + 1).clamp(max=corners.shape[-1] - 1))
        in_full, in_part = full <= low, (begin <= low) & (full > low)
        slope = (lengths * in_part).sum(-1, keepdim=True)
        rest = self.groups - in_full.sum(-1, keepdim=True) + t * in_part.sum(-1, keepdim=True)
        c = torch.where(slope > 0, torch.minimum(torch.maximum(safe_divide(rest, slope), low), high), low)
        return torch.where(in_full, 1.0, (c * lengths - t).clamp(0, 1))
