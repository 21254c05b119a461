"""Per-sample arithmetic on tensors and blocks.

A *scalar* here is a number or a tensor of shape ``(*batch,)``; an *element* has those batch dimensions in front.
Functions whose name ends in an underscore write into their first element, and only they may be used in place.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from explorer.linalg.ledger import count
from explorer.linalg.spaces import Blocks, matching

E = TypeVar("E", Tensor, Blocks)
Scalar = float | Tensor


def expand(alpha: Any, x: Tensor) -> Any:
    """Append trailing dimensions to `alpha` so that it multiplies `x` sample by sample, in the precision of `x`."""
    if not isinstance(alpha, Tensor) or alpha.ndim == 0:
        return alpha
    return matching(alpha, x.dtype).reshape(*alpha.shape, *(1,) * (x.ndim - alpha.ndim))


def scale(alpha: Scalar, x: E) -> E:
    """Return ``alpha x``."""
    if isinstance(x, Blocks):
        return x * alpha
    return x * expand(alpha, x)


def scale_(x: E, alpha: Scalar) -> E:
    """Overwrite `x` with ``alpha x``."""
    if isinstance(x, Blocks):
        return x.map(lambda a: scale_(a, alpha))
    return x.mul_(expand(alpha, x))


def axpy(alpha: Scalar, x: E, y: E) -> E:
    """Return ``alpha x + y``."""
    if isinstance(x, Blocks):
        return x.map(lambda a, b: axpy(alpha, a, b), y)
    if isinstance(alpha, Tensor):
        return torch.addcmul(y, x, expand(alpha, x).to(x.dtype))
    return torch.add(y, x, alpha=alpha)


def axpy_(y: E, alpha: Scalar, x: E) -> E:
    """Overwrite `y` with ``y + alpha x``."""
    if isinstance(y, Blocks):
        return y.map(lambda b, a: axpy_(b, alpha, a), x)
    if isinstance(alpha, Tensor):
        return y.addcmul_(x, expand(alpha, x).to(x.dtype))
    return y.add_(x, alpha=alpha)


def xpay_(y: E, alpha: Scalar, x: E) -> E:
    """Overwrite `y` with ``x + alpha y``."""
    if isinstance(y, Blocks):
        return y.map(lambda b, a: xpay_(b, alpha, a), x)
    if isinstance(alpha, Tensor):
        if y.requires_grad:
            return y.mul_(expand(alpha, y)).add_(x)
        return torch.addcmul(x, y, expand(alpha, y).to(y.dtype), out=y)
    return torch.add(x, y, alpha=alpha, out=y)


def copy_(y: E, x: E) -> E:
    """Overwrite `y` with `x`."""
    if isinstance(y, Blocks):
        return y.map(lambda b, a: b.copy_(a), x)
    return y.copy_(x)


def clone(x: E) -> E:
    """Return a copy with its own memory."""
    return x.clone()


def where(mask: Tensor, x: E, y: E) -> E:
    """Return `x` for the samples where `mask` holds, `y` for the others."""
    if isinstance(x, Blocks):
        return x.map(lambda a, b: where(mask, a, b), y)
    return torch.where(mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim)), x, y)


def safe_divide(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a / b``, and 0 where `b` is 0.

    This is the one division of the solvers: a sample that has converged or broken down gets step length zero and
    stays where it is, without any absolute threshold, so that scaling the data scales the answer.
    """
    zero = b.logical_not()
    if torch.is_grad_enabled():
        return torch.where(zero, 0.0, a / torch.where(zero, 1.0, b))  # the inner one keeps gradients finite
    return (a / b).masked_fill_(zero, 0.0)  # half the time, which a step of a fast operator notices


def safe_inverse(b: Tensor) -> Tensor:
    """Return ``1 / b``, and 0 where `b` is 0, for many quotients with one denominator."""
    if torch.is_grad_enabled():
        return safe_divide(torch.ones_like(b), b)
    return b.reciprocal().masked_fill_(b.logical_not(), 0.0)


def lengths(z: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Return the Euclidean norms of short vectors along `dim`, which stays with length 1.

    Where few entries are summed along a dimension that is not the last, the norm of PyTorch takes a hundred times as
    long on the CPU; it is called where a derivative may be taken, as it has one at zero.
    """
    if (torch.is_grad_enabled() and z.requires_grad) or torch._C._are_functorch_transforms_active():
        return torch.linalg.vector_norm(z, dim=dim, keepdim=True)
    return (z.abs() if z.is_complex() else z).square().sum(dim, keepdim=True).sqrt()


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix product ``a b``, entered in the ledger as one ``matmul``."""
    count("matmul")
    return a @ b
