"""Operators of other libraries: arrays, SciPy, pairs of functions, PyLops and deepinv, none of them required.

Functions are called on one element at a time, so that any function of one element serves. Derivatives are exact all the
same: backward is the adjoint that came with the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import SpecError
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.sparse import SharedMatrix, SparseMatrix

Shape = int | Sequence[int] | Space


class ForeignOperator(LinearOperator):
    """A pair of functions of one element.

    Parameters
    ----------
    domain, codomain : Space
    apply, apply_adjoint : callable
        Functions from an element of one space to one of the other, as PyTorch or as NumPy arrays.
    numpy : bool
        Whether they take and return NumPy arrays; these live on the CPU.
    """

    title = "this operator"

    def __init__(
        self, domain: Space, codomain: Space, apply: Callable, apply_adjoint: Callable, *, numpy: bool = False
    ) -> None:
        super().__init__(domain, codomain)
        self.apply, self.apply_adjoint, self.numpy = apply, apply_adjoint, numpy

    def _forward(self, x: Tensor) -> Tensor:
        return self._each(self.apply, x, self.domain, self.codomain)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._each(self.apply_adjoint, y, self.codomain, self.domain)

    def _each(self, function: Callable, x: Tensor, source: Space, target: Space) -> Tensor:
        batch = source.batch(x)
        if x.device.type == "meta":
            return torch.empty((*batch, *target.shape), dtype=target.dtype, device="meta")
        parts = [self._one(function, part, target) for part in x.reshape(-1, *source.shape)]
        return torch.stack(parts).reshape(*batch, *target.shape) if parts else target.zeros(batch)

    def _one(self, function: Callable, x: Tensor, target: Space) -> Tensor:
        # its own copy: a function may write into what it is given, or return it
        given = x.detach().clone()
        y = function(given.cpu().numpy()) if self.numpy else function(given)
        y = y if isinstance(y, Tensor) else torch.from_numpy(np.array(y))
        if y.numel() != target.size:
            raise SpecError(f"{self.title} returned shape {tuple(y.shape)}, and should have returned {target.shape}")
        if y.is_complex() and not target.is_complex:
            raise SpecError(f"{self.title} returned complex values for a real space: give a complex dtype")
        return y.reshape(target.shape).to(target.device, target.dtype)


def as_operator(
    thing: Any,
    domain: Shape | None = None,
    codomain: Shape | None = None,
    *,
    dtype: torch.dtype | None = None,
    numpy: bool = False,
    title: str = "",
    check: bool = True,
) -> LinearOperator:
    """Wrap something linear as an operator of this package.

    Parameters
    ----------
    thing : LinearOperator, array, sparse array, SciPy or PyLops LinearOperator, deepinv LinearPhysics, or pair
        An array is a matrix on flattened elements; a pair is ``(forward, adjoint)``, two functions of one element.
    domain, codomain : int, tuple of int or Space, optional
        Shapes of unknown and data. Matrices and PyLops operators know theirs; a pair of functions needs both, and a
        physics needs its domain.
    dtype : torch.dtype, optional
        Precision; that of `thing` if it has one, else float32. A space given as such has its own.
    numpy : bool
        Whether a pair of functions takes NumPy arrays.
    title : str
        Name for sentences and figures.
    check : bool
        Whether an adjoint that fails the dot test is refused.

    Returns
    -------
    LinearOperator
        Differentiable, batched, and movable as far as `thing` is.

    Raises
    ------
    SpecError
        If `thing` is none of these, a shape is missing or wrong, or the adjoint fails the dot test.

    Examples
    --------
    >>> import numpy as np
    >>> A = as_operator((np.cumsum, lambda y: np.cumsum(y[::-1])[::-1]), 4, 4, dtype=torch.float64, numpy=True)
    >>> A.adjoint(torch.ones(4, dtype=torch.float64))
    tensor([4., 3., 2., 1.], dtype=torch.float64)
    """
    if isinstance(thing, LinearOperator):
        return thing
    if _is_array(thing):
        made = _matrix(thing, domain, codomain, dtype)
    elif isinstance(thing, tuple | list):
        made = _pair(thing, domain, codomain, dtype, numpy)
    elif callable(getattr(thing, "A", None)) and callable(getattr(thing, "A_adjoint", None)):
        made = _physics(thing, domain, codomain, dtype)
    elif all(hasattr(thing, name) for name in ("matvec", "rmatvec", "shape")):
        made = _matvecs(thing, domain, codomain, dtype)
    else:
        raise SpecError(
            f"a {type(thing).__name__} is not a linear operator: give an array, a sparse array, a SciPy LinearOperator,"
            " a pair of functions (forward, adjoint), or a PyLops or deepinv operator"
        )
    made.title = title or made.title
    if check and isinstance(made, ForeignOperator):
        _dot_test(made)
    return made


def _is_array(thing: Any) -> bool:
    return isinstance(thing, Tensor) or hasattr(thing, "__array_interface__") or hasattr(thing, "tocsr")


def _matrix(thing: Any, domain: Shape | None, codomain: Shape | None, dtype: torch.dtype | None) -> LinearOperator:
    if len(thing.shape) != 2:
        raise SpecError(f"the array has shape {tuple(thing.shape)}, and a matrix must have two dimensions")
    device = thing.device if isinstance(thing, Tensor) else torch.device("cpu")
    sparse = hasattr(thing, "tocsr") or (isinstance(thing, Tensor) and thing.layout != torch.strided)
    entries = _scipy(thing) if sparse else thing if isinstance(thing, Tensor) else torch.from_numpy(np.array(thing))
    own = torch.from_numpy(entries.data[:0]).dtype if sparse else entries.dtype
    dtype = dtype or (own if own.is_floating_point or own.is_complex else torch.float32)
    source = _space(domain, (thing.shape[1],), dtype, device, "domain")
    target = _space(codomain, (thing.shape[0],), dtype, device, "codomain")
    if own.is_complex and not (source.is_complex and target.is_complex):
        raise SpecError(f"the matrix is complex, and {dtype} is real: choose a complex dtype")
    if (target.size, source.size) != tuple(thing.shape):
        raise SpecError(
            f"the matrix has shape {tuple(thing.shape)}, and its spaces {target.shape} and {source.shape}"
            f" have {target.size} and {source.size} entries"
        )
    if sparse:
        return SparseMatrix(source, target, SharedMatrix(lambda: entries), is_complex=own.is_complex)
    # a copy of its own: operators do not change with the array they were made from
    return DenseMatrix(source, target, entries.detach().to(device, source.dtype, copy=True))


def _scipy(thing: Any) -> Any:
    if not isinstance(thing, Tensor):
        return thing.tocsr(copy=True)
    from scipy.sparse import coo_array

    entries = thing.detach().cpu().to_sparse_coo().coalesce()
    return coo_array((entries.values().numpy(), tuple(entries.indices().numpy())), tuple(thing.shape)).tocsr()


def _pair(
    thing: Sequence[Any], domain: Shape | None, codomain: Shape | None, dtype: torch.dtype | None, numpy: bool
) -> ForeignOperator:
    if len(thing) != 2 or not all(callable(f) for f in thing):
        raise SpecError("a pair must be two functions, (forward, adjoint)")
    dtype = dtype or torch.float32
    source = _space(domain, None, dtype, torch.device("cpu"), "domain")
    target = _space(codomain, None, dtype, torch.device("cpu"), "codomain")
    return ForeignOperator(source, target, *thing, numpy=numpy)


def _matvecs(thing: Any, domain: Shape | None, codomain: Shape | None, dtype: torch.dtype | None) -> ForeignOperator:
    """A SciPy LinearOperator, or a PyLops one, which also knows the shapes of its elements (`dims`, `dimsd`)."""
    m, n = thing.shape
    if dtype is None:
        name = np.dtype(getattr(thing, "dtype", None) or np.float32).name
        dtype = getattr(torch, name) if name in ("float32", "float64", "complex64", "complex128") else torch.float64
    source = _space(domain, getattr(thing, "dims", None) or (n,), dtype, torch.device("cpu"), "domain")
    target = _space(codomain, getattr(thing, "dimsd", None) or (m,), dtype, torch.device("cpu"), "codomain")
    if (target.size, source.size) != (m, n):
        raise SpecError(
            f"the operator has shape {(m, n)}, and its spaces {target.shape} and {source.shape}"
            f" have {target.size} and {source.size} entries"
        )
    return ForeignOperator(
        source, target, lambda x: thing.matvec(x.ravel()), lambda y: thing.rmatvec(y.ravel()), numpy=True
    )


def _physics(thing: Any, domain: Shape | None, codomain: Shape | None, dtype: torch.dtype | None) -> ForeignOperator:
    """A deepinv physics, whose `A` and `A_adjoint` take elements with a batch dimension in front."""
    own = getattr(thing, "img_size", None)
    source = _space(domain, own, dtype or torch.float32, torch.device("cpu"), "domain")
    if codomain is None:
        with torch.no_grad():
            data = thing.A(source.zeros((1,)))[0]
        codomain = Space(tuple(data.shape), data.dtype, source.device)
    target = _space(codomain, None, source.dtype, source.device, "codomain")
    return ForeignOperator(source, target, lambda x: thing.A(x[None])[0], lambda y: thing.A_adjoint(y[None])[0])


def _space(shape: Shape | None, own: Any, dtype: torch.dtype, device: torch.device, what: str) -> Space:
    if isinstance(shape, Space):
        return shape
    if shape is None and own is None:
        raise SpecError(f"the shape of the {what} is not known: give it, for example {what}=(64, 64)")
    shape = own if shape is None else shape
    return Space((shape,) if isinstance(shape, int) else tuple(shape), dtype, device)


def _dot_test(operator: ForeignOperator) -> None:
    """Refuse an adjoint that is not one: ``⟨A x, y⟩ = ⟨x, Aᴴ y⟩`` to half the digits of the precision."""
    X, Y = operator.domain, operator.codomain
    x, y = X.random(Rng(0, "dot test/x")), Y.random(Rng(0, "dot test/y"))
    with torch.no_grad():
        try:
            image, back = operator.forward(x), operator.adjoint(y)
        except NotImplementedError:
            raise SpecError(f"{operator.title} has no adjoint: give a pair of functions (forward, adjoint)") from None
        gap = Y.inner(image, y) - X.inner(x, back).to(Y.inner(image, y))
        if X.is_complex != Y.is_complex:
            gap = gap.real
        scale = float(Y.norm(image) * Y.norm(y) + X.norm(x) * X.norm(back))
    if not abs(complex(gap)) <= max(X.eps, Y.eps) ** 0.5 * scale:
        raise SpecError(
            f"the adjoint that came with {operator.title} is not its adjoint: ⟨Ax, y⟩ and ⟨x, Aᴴy⟩ differ by"
            f" {abs(complex(gap)):.2g}, where the norms are {scale:.2g}"
        )
