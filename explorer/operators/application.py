"""One application of a linear operator: counted, a few samples at a time, and with its derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from explorer.linalg import Blocks
from explorer.linalg.ledger import count_call

if TYPE_CHECKING:
    from explorer.operators.base import LinearOperator

#: bytes of the samples that a sliced operator takes at a time
SLICE = 2**19


class _Apply(torch.autograd.Function):
    """One application; its derivative is the same operator, its backward the adjoint, a batch one more dimension."""

    @staticmethod
    def forward(operator: LinearOperator, adjoint: bool, single: bool, *parts: Tensor) -> Any:
        x = parts[0] if single else Blocks(parts)
        y = operator._adjoint(x) if adjoint else operator._forward(x)
        return tuple(y) if isinstance(y, Blocks) else y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], _output: Any) -> None:
        ctx.operator, ctx.is_adjoint = inputs[:2]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        back = applied(ctx.operator, not ctx.is_adjoint, gradients[0] if len(gradients) == 1 else Blocks(gradients))
        return None, None, None, *(back if isinstance(back, Blocks) else (back,))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        parts = tangents[3:]
        push = applied(ctx.operator, ctx.is_adjoint, parts[0] if len(parts) == 1 else Blocks(parts))
        return tuple(push) if isinstance(push, Blocks) else push

    @staticmethod
    def vmap(info: Any, in_dims: Any, operator: Any, adjoint: bool, single: bool, *parts: Tensor) -> Any:
        moved = [
            p.movedim(d, 0) if d is not None else p.expand(info.batch_size, *p.shape)
            for p, d in zip(parts, in_dims[3:], strict=True)
        ]
        y = applied(operator, adjoint, moved[0] if single else Blocks(moved))
        return (tuple(y), (0,) * len(y)) if isinstance(y, Blocks) else (y, 0)


def _differentiating() -> bool:
    """Say whether a derivative may be taken; if not, a plain call spares what may cost as much as the operator."""
    inside = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    return torch.is_grad_enabled() or inside


def _in_slices(operator: LinearOperator, adjoint: bool, x: Any) -> Any:
    """Apply an operator, on a CPU to as many samples at a time as leave its intermediate results in the cache."""
    apply, space = (operator._adjoint, operator.codomain) if adjoint else (operator._forward, operator.domain)
    if not operator.sliced or x.device.type != "cpu" or x.nbytes <= SLICE or x.ndim == space.ndim:
        return apply(x)
    width = max(1, SLICE // (space.size * x.itemsize))
    flat = x.reshape(-1, *space.shape)
    first = apply(flat[:width])
    y = first.new_empty(len(flat), *first.shape[1:])
    y[:width] = first
    for start in range(width, len(flat), width):
        y[start : start + width] = apply(flat[start : start + width])
    return y.reshape(*space.batch(x), *y.shape[1:])


def applied(operator: LinearOperator, adjoint: bool, x: Any) -> Any:
    """Return ``A x``, or ``Aᴴx`` if `adjoint`, and enter it in the ledger."""
    count_call(operator, "ᴴ" if adjoint else "", operator.counts_as)
    if not _differentiating():
        return _in_slices(operator, adjoint, x)
    single = not isinstance(x, Blocks)
    y = _Apply.apply(operator, adjoint, single, *((x,) if single else x))
    return Blocks(y) if isinstance(y, tuple) else y
