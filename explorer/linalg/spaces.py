"""Spaces of tensors and of blocks of tensors.

A space fixes the *trailing* dimensions of its elements; any number of leading batch dimensions is allowed and every
reduction is per sample.
"""

from __future__ import annotations

import copy
import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from explorer.catalogue import SpecError
from explorer.linalg.rng import Rng

_REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}
_COMPLEX = {real: cplx for cplx, real in _REAL.items()}


def real_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the real dtype of the same precision."""
    return _REAL.get(dtype, dtype)


def complex_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the complex dtype of the same precision."""
    return _COMPLEX.get(dtype, dtype)


@dataclass(frozen=True)
class Space:
    """Tensors whose trailing dimensions are `shape`.

    Parameters
    ----------
    shape : tuple of int
        Trailing dimensions of an element.
    dtype : torch.dtype
        Real or complex floating type.
    device : torch.device
        Where elements live; ``meta`` holds no data.
    """

    says = "a space of tensors"

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "device", _exact(self.device))

    @property
    def ndim(self) -> int:
        """Number of trailing dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries of an element."""
        return math.prod(self.shape)

    @property
    def is_complex(self) -> bool:
        """Whether elements are complex."""
        return self.dtype.is_complex

    @property
    def eps(self) -> float:
        """Relative rounding unit of the dtype."""
        return torch.finfo(self.dtype).eps

    def batch(self, x: Tensor) -> tuple[int, ...]:
        """Return the leading batch dimensions of `x`."""
        return tuple(x.shape[: x.ndim - self.ndim])

    def zeros(self, batch: Sequence[int] = ()) -> Tensor:
        """Return the zero element, one per sample of `batch`."""
        return torch.zeros((*batch, *self.shape), dtype=self.dtype, device=self.device)

    def expand(self, x: Tensor, batch: Sequence[int]) -> Tensor:
        """Return `x` once per sample of `batch`, as a view."""
        return x.expand(*batch, *self.shape)

    def random(self, rng: Rng) -> Tensor:
        """Return a standard normal element; unit variance an entry, also where complex."""
        return rng.normal(self.shape, self.dtype, self.device)

    def inner(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the inner product, conjugate-linear in `u`, per sample: shape ``(*batch,)``."""
        if u.ndim == v.ndim == self.ndim:
            return torch.vdot(u.reshape(-1), v.reshape(-1))
        return torch.linalg.vecdot(self._flat(u), self._flat(v))

    def norm2(self, u: Tensor) -> Tensor:
        """Return the squared norm per sample, real: shape ``(*batch,)``."""
        return self.inner(u, u).real if self.is_complex else self.inner(u, u)

    def norm(self, u: Tensor) -> Tensor:
        """Return the norm per sample, real: shape ``(*batch,)``."""
        if u.ndim == self.ndim:
            return torch.linalg.vector_norm(u)
        return torch.linalg.vector_norm(self._flat(u), dim=-1)

    def _flat(self, u: Tensor) -> Tensor:
        return u.reshape(*self.batch(u), self.size)

    def check(self, x: Any, what: str) -> None:
        """Refuse `x` if it is not an element of this space.

        Raises
        ------
        SpecError
            In one sentence, with the shape, dtype or device that was expected.
        """
        if not isinstance(x, Tensor):
            raise SpecError(f"{what} is a {type(x).__name__}, and must be a tensor of shape (…, {_dims(self.shape)})")
        if x.ndim < self.ndim or tuple(x.shape[x.ndim - self.ndim :]) != self.shape:
            raise SpecError(f"{what} has shape ({_dims(x.shape)}), and must have shape (…, {_dims(self.shape)})")
        if x.dtype != self.dtype:
            raise SpecError(
                f"{what} has dtype {_name(x.dtype)}, and must have {_name(self.dtype)}: use .to({self.dtype})"
            )
        if x.device != self.device and x.device.type != "meta":
            raise SpecError(f"{what} is on {x.device}, and must be on {self.device}: move it with .to('{self.device}')")

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Space:
        """Return the space on another device or in another precision; a real dtype keeps complex spaces complex."""
        return replace(self, device=torch.device(device or self.device), dtype=matching_dtype(self.dtype, dtype))

    @property
    def title(self) -> str:
        """Name for sentences."""
        return str(self)

    def __str__(self) -> str:
        return f"{'ℂ' if self.is_complex else 'ℝ'}^({'×'.join(map(str, self.shape)) or '1'})"


@dataclass(frozen=True)
class ProductSpace:
    """Blocks with one element of each of several spaces; blocks may differ in dtype.

    Parameters
    ----------
    spaces : tuple of Space
        The factors.
    """

    says = "a product of spaces"

    spaces: tuple[Space, ...]

    @property
    def size(self) -> int:
        """Number of entries of all blocks together."""
        return sum(s.size for s in self.spaces)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the first block."""
        return self.spaces[0].dtype

    @property
    def device(self) -> torch.device:
        """Where elements live."""
        return self.spaces[0].device

    @property
    def is_complex(self) -> bool:
        """Whether any block is complex."""
        return any(s.is_complex for s in self.spaces)

    @property
    def eps(self) -> float:
        """Largest relative rounding unit of the blocks."""
        return max(s.eps for s in self.spaces)

    def batch(self, x: Blocks) -> tuple[int, ...]:
        """Return the leading batch dimensions of `x`."""
        return self.spaces[0].batch(x[0])

    def zeros(self, batch: Sequence[int] = ()) -> Blocks:
        """Return the zero element."""
        return Blocks(s.zeros(batch) for s in self.spaces)

    def expand(self, x: Blocks, batch: Sequence[int]) -> Blocks:
        """Return `x` once per sample of `batch`, as views."""
        return Blocks(s.expand(b, batch) for s, b in zip(self.spaces, x, strict=True))

    def random(self, rng: Rng) -> Blocks:
        """Return a standard normal element."""
        return Blocks(s.random(rng) for s in self.spaces)

    def inner(self, u: Blocks, v: Blocks) -> Tensor:
        """Return the sum of the blocks' inner products, per sample.

        Where real and complex blocks meet, the product is a real vector space, and its inner product the real part.
        """
        parts = [s.inner(a, b) for s, a, b in zip(self.spaces, u, v, strict=True)]
        if not all(s.is_complex for s in self.spaces):
            parts = [part.real for part in parts]
        return functools.reduce(operator.add, parts)

    def norm2(self, u: Blocks) -> Tensor:
        """Return the squared norm per sample."""
        return functools.reduce(operator.add, (s.norm2(a) for s, a in zip(self.spaces, u, strict=True)))

    def norm(self, u: Blocks) -> Tensor:
        """Return the norm per sample."""
        return self.norm2(u).sqrt()

    def check(self, x: Any, what: str) -> None:
        """Refuse `x` if it is not an element of this space."""
        if not isinstance(x, Blocks) or len(x) != len(self.spaces):
            raise SpecError(f"{what} is a {type(x).__name__}, and must be {len(self.spaces)} blocks")
        for i, (space, block) in enumerate(zip(self.spaces, x, strict=True)):
            space.check(block, f"block {i} of {what}")

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> ProductSpace:
        """Return the space on another device or in another precision."""
        return ProductSpace(tuple(s.to(device, dtype) for s in self.spaces))

    @property
    def title(self) -> str:
        """Name for sentences."""
        return str(self)

    def __str__(self) -> str:
        return " × ".join(map(str, self.spaces))


class Blocks:
    """An element of a product space: a tuple of tensors with arithmetic.

    Scalars multiply every block; a tensor of shape ``(*batch,)`` is a scalar a sample.
    """

    __slots__ = ("parts",)
    __array_ufunc__ = None  # a NumPy scalar on the left leaves the product to us

    def __init__(self, parts: Any) -> None:
        self.parts: tuple[Tensor, ...] = tuple(parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.parts)

    def __getitem__(self, i: int) -> Tensor:
        return self.parts[i]

    def map(self, function: Callable[..., Tensor], *others: Blocks) -> Blocks:
        """Apply `function` block by block."""
        return Blocks(function(*parts) for parts in zip(self.parts, *others, strict=True))

    def _combine(self, other: Any, op: Callable[[Any, Any], Tensor]) -> Blocks:
        from explorer.linalg.arithmetic import expand

        if isinstance(other, Blocks):
            return self.map(op, other)
        return self.map(lambda a: op(a, expand(other, a)))

    def __add__(self, other: Blocks) -> Blocks:
        return self._combine(other, operator.add)

    def __sub__(self, other: Blocks) -> Blocks:
        return self._combine(other, operator.sub)

    def __mul__(self, other: Any) -> Blocks:
        return self._combine(other, operator.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Blocks:
        return self._combine(other, operator.truediv)

    def __neg__(self) -> Blocks:
        return self.map(operator.neg)

    def clone(self) -> Blocks:
        """Return a copy with its own memory."""
        return self.map(torch.clone)

    def detach(self) -> Blocks:
        """Return the blocks cut from the autograd graph."""
        return self.map(torch.detach)

    def to(self, *args: Any, **kwargs: Any) -> Blocks:
        """Move or convert every block."""
        return self.map(lambda a: a.to(*args, **kwargs))

    def __repr__(self) -> str:
        return f"Blocks({', '.join(str(tuple(p.shape)) for p in self.parts)})"


_pytree.register_pytree_node(
    Blocks,
    lambda b: (list(b.parts), None),
    lambda parts, _: Blocks(parts),
    serialized_type_name="explorer.Blocks",
)


def convert(
    thing: Any, device: Any = None, dtype: torch.dtype | None = None, memo: dict[int, Any] | None = None
) -> Any:
    """Return `thing` with every tensor and space in it moved to `device` and `dtype`; the original is left alone.

    A real `dtype` maps complex buffers to the matching complex dtype; integer and boolean buffers keep theirs.
    Parts shared within `thing` stay shared. Attributes named ``_cache…`` are dropped, to be made again on first use.
    """
    memo = {} if memo is None else memo
    if id(thing) in memo:
        return memo[id(thing)]
    if isinstance(thing, Tensor):
        made: Any = thing.to(matching_dtype(thing.dtype, dtype)).to(device)
    elif isinstance(thing, Space | ProductSpace):
        made = thing.to(device, dtype)
    elif isinstance(thing, Blocks):
        made = Blocks(convert(p, device, dtype, memo) for p in thing)
    elif type(thing) in (list, tuple):
        made = type(thing)(convert(p, device, dtype, memo) for p in thing)
    elif type(thing) is dict:
        made = {k: convert(v, device, dtype, memo) for k, v in thing.items()}
    elif hasattr(thing, "_movable"):
        made = copy.copy(thing)
        memo[id(thing)] = made
        for name, value in vars(thing).items():
            if name.startswith("_cache"):
                made.__dict__.pop(name)
            else:
                made.__dict__[name] = convert(value, device, dtype, memo)
    else:
        return thing
    memo[id(thing)] = made
    return made


def matching_dtype(old: torch.dtype, new: torch.dtype | None) -> torch.dtype:
    """Return `old` in the precision of `new`: real stays real, complex complex, integers and booleans what they are."""
    if new is None or not (old.is_floating_point or old.is_complex):
        return old
    return complex_dtype(new) if old.is_complex else real_dtype(new)


def matching(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `x` in the precision of `dtype`."""
    return x.to(matching_dtype(x.dtype, dtype))


def _exact(device: Any) -> torch.device:
    """Return the device as its tensors name it, with an index where there may be several."""
    device = torch.device(device)
    if device.type in ("cpu", "meta") or device.index is not None:
        return device
    return torch.empty(0, device=device).device


def _dims(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
