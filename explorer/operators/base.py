"""Forward models and linear operators: what every one of them can do.

A family implements ``_forward`` and, if linear, ``_adjoint`` on elements with any leading batch dimensions; the rest
(algebra, autograd, counting, conversion) is written once here and in :mod:`explorer.operators.algebra`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import SpecError
from explorer.linalg import Blocks, ProductSpace, Rng, Space, convert
from explorer.linalg.ledger import count_call

Element = Tensor | Blocks
AnySpace = Space | ProductSpace


class ForwardModel:
    """A map from `domain` to `codomain`, ``y = F(x)``.

    Attributes
    ----------
    domain, codomain : Space or ProductSpace
    title : str
        Name for sentences and figures.
    """

    says = "a forward model"
    title = "this forward model"
    #: name under which the ledger books every call of this object, whoever it belongs to
    counts_as = ""
    _movable = True

    domain: Any
    codomain: Any

    def _forward(self, x: Any) -> Any:
        raise SpecError(f"{self.title} does not define its forward map")

    def forward(self, x: Any) -> Any:
        """Return ``F(x)``, shape ``(*batch, *codomain.shape)``."""
        self.domain.check(x, f"the argument of {self.title}")
        count_call(self, name=self.counts_as)
        return self._forward(x)

    def __call__(self, x: Any) -> Any:
        """Return ``F(x)``."""
        return self.forward(x)

    def linearize(self, x: Any) -> tuple[Any, LinearOperator]:
        """Return ``F(x)`` and the Jacobian at `x` as a linear operator, by :mod:`torch.func` unless overridden."""
        return self.forward(x), Jacobian(self, x)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Any:
        """Return this object on another device or in another precision; the original is left alone."""
        return convert(self, device, dtype)

    def __repr__(self) -> str:
        return f"{self.title}: {self.domain} → {self.codomain}"


@dataclass(frozen=True)
class SVD:
    """A singular value decomposition ``A = U diag(s) Vᴴ`` given by structure, orthonormal for real.

    Attributes
    ----------
    U, V : LinearOperator
        Isometries from the coefficient space to codomain and domain.
    s : Tensor
        Singular values ≥ 0 in the shape of the coefficient space, in no particular order.
    """

    U: LinearOperator
    s: Tensor
    V: LinearOperator


class _Apply(torch.autograd.Function):
    """One application; its derivative is the same operator, its backward the adjoint, a batch one more dimension."""

    @staticmethod
    def forward(operator: LinearOperator, adjoint: bool, single: bool, *parts: Tensor) -> Any:
        x = parts[0] if single else Blocks(parts)
        y = operator._adjoint(x) if adjoint else operator._forward(x)
        return tuple(y) if isinstance(y, Blocks) else y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.operator, ctx.is_adjoint = inputs[:2]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        back = _apply(ctx.operator, not ctx.is_adjoint, gradients[0] if len(gradients) == 1 else Blocks(gradients))
        return None, None, None, *(back if isinstance(back, Blocks) else (back,))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        parts = tangents[3:]
        push = _apply(ctx.operator, ctx.is_adjoint, parts[0] if len(parts) == 1 else Blocks(parts))
        return tuple(push) if isinstance(push, Blocks) else push

    @staticmethod
    def vmap(info: Any, in_dims: Any, operator: Any, adjoint: bool, single: bool, *parts: Tensor) -> Any:
        moved = [
            p.movedim(d, 0) if d is not None else p.expand(info.batch_size, *p.shape)
            for p, d in zip(parts, in_dims[3:], strict=True)
        ]
        y = _apply(operator, adjoint, moved[0] if single else Blocks(moved))
        return (tuple(y), (0,) * len(y)) if isinstance(y, Blocks) else (y, 0)


def _apply(operator: LinearOperator, adjoint: bool, x: Any) -> Any:
    count_call(operator, "ᴴ" if adjoint else "", operator.counts_as)
    single = not isinstance(x, Blocks)
    y = _Apply.apply(operator, adjoint, single, *((x,) if single else x))
    return Blocks(y) if isinstance(y, tuple) else y


class LinearOperator(ForwardModel):
    """A linear map with its adjoint.

    Attributes
    ----------
    self_adjoint, positive : bool
        Declared by structure, propagated by the algebra; never guessed from numbers.

    Notes
    -----
    For a real domain and a complex codomain, inner products are real parts: ``adjoint`` then returns a real element.
    """

    says = "a linear operator"
    title = "this operator"
    self_adjoint = False
    positive = False

    def __init__(self, domain: AnySpace, codomain: AnySpace | None = None) -> None:
        self.domain = domain
        self.codomain = domain if codomain is None else codomain

    def _adjoint(self, y: Any) -> Any:
        raise SpecError(f"{self.title} does not define its adjoint")

    def forward(self, x: Any) -> Any:
        """Return ``A x``, shape ``(*batch, *codomain.shape)``."""
        self.domain.check(x, f"the argument of {self.title}")
        return _apply(self, False, x)

    def adjoint(self, y: Any) -> Any:
        """Return ``Aᴴ y``, shape ``(*batch, *domain.shape)``."""
        self.codomain.check(y, f"the argument of the adjoint of {self.title}")
        return _apply(self, True, y)

    def gram(self, x: Any) -> Any:
        """Return ``Aᴴ A x``."""
        return self.adjoint(self.forward(x))

    def linearize(self, x: Any) -> tuple[Any, LinearOperator]:
        """Return ``A x`` and the operator itself."""
        return self.forward(x), self

    # --- algebra ---

    @property
    def H(self) -> LinearOperator:
        """The adjoint as an operator; the operator itself where it is self-adjoint."""
        from explorer.operators.algebra import Adjoint

        return self if self.self_adjoint else Adjoint(self)

    def __matmul__(self, other: Any) -> Any:
        from explorer.operators.algebra import Composition

        return Composition(self, other) if isinstance(other, LinearOperator) else self.forward(other)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        from explorer.operators.algebra import Sum

        return Sum(self, other)

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        return self + (-1.0) * other

    def __mul__(self, factor: complex) -> LinearOperator:
        from explorer.operators.algebra import Scaled

        return Scaled(factor, self)

    __rmul__ = __mul__

    def __neg__(self) -> LinearOperator:
        return (-1.0) * self

    # --- what structure gives ---

    @property
    def has_svd(self) -> bool:
        """Whether :meth:`svd` is cheap."""
        return False

    def svd(self) -> SVD:
        """Return the singular value decomposition.

        Raises
        ------
        SpecError
            If structure does not give one cheaply; `has_svd` says so beforehand.
        """
        raise SpecError(f"{self.title} has no cheap singular value decomposition: use to_dense() for a small one")

    def gram_diagonal(self) -> Tensor | None:
        """Return the diagonal of ``Aᴴ A`` in the shape of the domain if structure gives it cheaply, else None."""
        return None

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the spectral norm: exact where there is a cheap SVD, else by Golub–Kahan from a random start.

        The Lanczos value is a lower bound; 30 steps give about three digits on the decaying spectra met here.
        """
        if self.has_svd:
            return self.svd().s.max()
        from explorer.linalg.golub_kahan import largest_singular_value

        return largest_singular_value(self, self.domain.random(Rng(seed, "norm")), steps)

    def to_dense(self) -> Tensor:
        """Return the matrix, shape ``(codomain.size, domain.size)``, column by column; for small operators.

        Raises
        ------
        SpecError
            If the matrix would exceed 1 GiB, or a space is a product.
        """
        if isinstance(self.domain, ProductSpace) or isinstance(self.codomain, ProductSpace):
            raise SpecError(f"{self.title} acts on blocks: a dense matrix is made for single spaces only")
        n, m = self.domain.size, self.codomain.size
        if m * n * self.codomain.dtype.itemsize > 2**30:
            raise SpecError(
                f"the dense matrix of {self.title} would have {m} × {n} entries, above 1 GiB: use a smaller size"
            )
        chunk = max(1, 2**24 // max(m, n))
        columns = []
        for start in range(0, n, chunk):
            unit = torch.zeros(min(chunk, n - start), n, dtype=self.domain.dtype, device=self.domain.device)
            unit[torch.arange(len(unit)), torch.arange(start, start + len(unit))] = 1
            columns.append(self._forward(unit.reshape(-1, *self.domain.shape)).reshape(-1, m))
        return torch.cat(columns).T.contiguous()

    def picture(self, y: Tensor) -> Tensor:
        """Return data `y` as something to look at: itself if an image or a curve, else its back-projection."""
        assert isinstance(self.codomain, Space)
        assert isinstance(self.domain, Space)
        if self.codomain.ndim == self.domain.ndim and not self.codomain.is_complex:
            return y
        return self._adjoint(y)


class Jacobian(LinearOperator):
    """The Jacobian of a forward model at a point, by forward- and reverse-mode differentiation."""

    counts_as = "J"

    def __init__(self, model: ForwardModel, x: Any) -> None:
        super().__init__(model.domain, model.codomain)
        self.model, self.x = model, x
        self.title = f"the Jacobian of {model.title}"

    def _forward(self, v: Any) -> Any:
        x = self.domain.expand(self.x, self.domain.batch(v))
        return torch.func.jvp(self.model._forward, (x,), (v,))[1]

    def _adjoint(self, w: Any) -> Any:
        x = self.domain.expand(self.x, self.codomain.batch(w))
        return torch.func.vjp(self.model._forward, x)[1](w)[0]


class Identity(LinearOperator):
    """``I x = x``."""

    title = "the identity"
    self_adjoint = True
    positive = True
    has_svd = True  # type: ignore[assignment]

    def _forward(self, x: Any) -> Any:
        return x.clone()

    _adjoint = _forward

    def svd(self) -> SVD:
        """Return ones with identities."""
        assert isinstance(self.domain, Space)
        return SVD(self, torch.ones(self.domain.shape, dtype=self.domain.dtype, device=self.domain.device).real, self)

    def gram_diagonal(self) -> Tensor:
        """Return ones."""
        return self.svd().s

    def to_dense(self) -> Tensor:
        """Return the identity matrix."""
        return torch.eye(self.domain.size, dtype=self.domain.dtype, device=self.domain.device)


class Diagonal(LinearOperator):
    """``(D x)_i = d_i x_i``, with `diagonal` in the shape of the domain."""

    title = "this diagonal operator"

    def __init__(self, domain: Space, diagonal: Tensor, *, positive: bool = False) -> None:
        super().__init__(domain)
        self.diagonal = diagonal
        self.self_adjoint = not diagonal.is_complex()
        self.positive = positive

    has_svd = True  # type: ignore[assignment]

    def _forward(self, x: Tensor) -> Tensor:
        return self.diagonal * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.diagonal.conj() * y

    def svd(self) -> SVD:
        """Return moduli as values and phases on the left."""
        s = self.diagonal.abs()
        phase = torch.where(s > 0, self.diagonal / torch.where(s > 0, s, 1), 1).to(self.diagonal.dtype)
        return SVD(Diagonal(self.domain, phase), s, Identity(self.domain))

    def gram_diagonal(self) -> Tensor:
        """Return the squared moduli."""
        return self.diagonal.abs() ** 2


class DenseMatrix(LinearOperator):
    """A matrix acting on flattened elements.

    Parameters
    ----------
    domain, codomain : Space
    matrix : Tensor
        Shape ``(codomain.size, domain.size)``.
    factors : (U, s, V) of Tensor, optional
        A known thin singular value decomposition, ``matrix = U diag(s) Vᴴ``.
    """

    title = "this matrix"

    def __init__(
        self,
        domain: Space,
        codomain: Space,
        matrix: Tensor,
        *,
        factors: tuple[Tensor, Tensor, Tensor] | None = None,
        self_adjoint: bool = False,
        positive: bool = False,
    ) -> None:
        super().__init__(domain, codomain)
        if tuple(matrix.shape) != (codomain.size, domain.size):
            raise SpecError(f"the matrix has shape {tuple(matrix.shape)}, and must have {(codomain.size, domain.size)}")
        self.matrix, self.factors = matrix, factors
        self.self_adjoint, self.positive = self_adjoint, positive
        self._cache_svd: SVD | None = None

    def _forward(self, x: Tensor) -> Tensor:
        return _matvec(self.matrix, x, self.domain, self.codomain)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _matvec(self.matrix.mH, y, self.codomain, self.domain)

    @property
    def has_svd(self) -> bool:
        """Whether the smaller side is at most 2048."""
        return min(self.matrix.shape) <= 2048

    def svd(self) -> SVD:
        """Return the decomposition, computed once."""
        cached = getattr(self, "_cache_svd", None)
        if cached is None:
            u, s, v = self.factors or _thin_svd(self.matrix)
            coefficients = Space((len(s),), self.domain.dtype, self.domain.device)
            cached = SVD(DenseMatrix(coefficients, self.codomain, u), s, DenseMatrix(coefficients, self.domain, v))
            self._cache_svd = cached
        return cached

    def gram_diagonal(self) -> Tensor:
        """Return the squared column norms."""
        return (self.matrix.abs() ** 2).sum(0).reshape(self.domain.shape)

    def to_dense(self) -> Tensor:
        """Return the matrix."""
        return self.matrix


def _thin_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u, s, vh.mH


def _matvec(matrix: Tensor, x: Tensor, source: Any, target: Any) -> Tensor:
    batch = source.batch(x)
    if not batch:
        return (matrix @ x.reshape(-1)).reshape(target.shape)
    flat = x.reshape(math.prod(batch), source.size)
    return (flat @ matrix.mT).reshape(*batch, *target.shape)
