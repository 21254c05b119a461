"""Forward models and linear operators: what every one of them can do.

A family implements ``_forward`` and, if linear, ``_adjoint`` on elements with any leading batch dimensions; the rest
(algebra, autograd, counting, conversion) is written once here, in :mod:`explorer.operators.application` and in
:mod:`explorer.operators.algebra`.
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
from explorer.linalg.spaces import real_dtype
from explorer.operators.application import applied

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
        Singular values ≥ 0 in the shape of the coefficient space, in no particular order; zeros may be left out.
    """

    U: LinearOperator
    s: Tensor
    V: LinearOperator


class LinearOperator(ForwardModel):
    """A linear map with its adjoint.

    Attributes
    ----------
    self_adjoint, positive : bool
        Declared by structure, propagated by the algebra; never guessed from numbers.
    nonnegative : bool
        Whether all entries of the matrix are ≥ 0; declared likewise.
    isometry, coisometry : bool
        Whether ``AᴴA = I``, and whether ``AAᴴ = I``; declared likewise.
    sliced : bool
        Whether a large batch is better taken a few samples at a time, as where intermediate results are many.

    Notes
    -----
    For a real domain and a complex codomain, inner products are real parts: ``adjoint`` then returns a real element.
    """

    says = "a linear operator"
    title = "this operator"
    self_adjoint = False
    positive = False
    nonnegative = False
    isometry = False
    coisometry = False
    sliced = False

    def __init__(self, domain: AnySpace, codomain: AnySpace | None = None) -> None:
        self.domain = domain
        self.codomain = domain if codomain is None else codomain

    def _adjoint(self, y: Any) -> Any:
        raise SpecError(f"{self.title} does not define its adjoint")

    def forward(self, x: Any) -> Any:
        """Return ``A x``, shape ``(*batch, *codomain.shape)``."""
        self.domain.check(x, f"the argument of {self.title}")
        return applied(self, False, x)

    def adjoint(self, y: Any) -> Any:
        """Return ``Aᴴ y``, shape ``(*batch, *domain.shape)``."""
        self.codomain.check(y, f"the argument of the adjoint of {self.title}")
        return applied(self, True, y)

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
        return (self.isometry and isinstance(self.domain, Space)) or (
            self.coisometry and isinstance(self.codomain, Space)
        )

    def svd(self) -> SVD:
        """Return the singular value decomposition.

        Raises
        ------
        SpecError
            If structure does not give one cheaply; `has_svd` says so beforehand.
        """
        if self.isometry and isinstance(self.domain, Space):
            return SVD(self, _ones(self.domain), Identity(self.domain))
        if self.coisometry and isinstance(self.codomain, Space):
            return SVD(Identity(self.codomain), _ones(self.codomain), self.H)
        raise SpecError(f"{self.title} has no cheap singular value decomposition: use to_dense() for a small one")

    @property
    def has_gram_svd(self) -> bool:
        """Whether :meth:`gram_svd` is cheap."""
        return self.has_svd

    def gram_svd(self) -> SVD:
        """Return the decomposition ``V diag(s²) Vᴴ`` of ``Aᴴ A``; some operators have it without one of their own."""
        d = self.svd()
        return SVD(d.V, d.s**2, d.V)

    def gram_diagonal(self) -> Tensor | None:
        """Return the diagonal of ``Aᴴ A`` in the shape of the domain if structure gives it cheaply, else None."""
        return None

    def main_diagonal(self) -> Tensor | None:
        """Return the diagonal in the shape of the domain, real where self-adjoint, if it is cheap, else None."""
        return None

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the spectral norm: exact where there is a cheap SVD, else by Golub–Kahan from a random start.

        The Lanczos value is a lower bound; 30 steps give about three digits on the decaying spectra met here.
        """
        if self.isometry or self.coisometry:
            return torch.ones((), dtype=real_dtype(self.domain.dtype), device=self.domain.device)
        if self.has_svd:
            return self.svd().s.max()
        from explorer.linalg.golub_kahan import largest_singular_value

        return largest_singular_value(self, self.domain.random(Rng(seed, "norm")), steps)

    def to_dense(self) -> Tensor:
        """Return the matrix, shape ``(codomain.size, domain.size)``, column by column; for small operators.

        Raises
        ------
        SpecError
            If the matrix would exceed 1 GiB, a space is a product, or the operator is linear over the reals only.
        """
        if isinstance(self.domain, ProductSpace) or isinstance(self.codomain, ProductSpace):
            raise SpecError(f"{self.title} acts on blocks: a dense matrix is made for single spaces only")
        if self.domain.is_complex and not self.codomain.is_complex:
            raise SpecError(f"{self.title} takes real parts of complex elements: it has no complex matrix")
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

    def picture(self, y: Any) -> Any:
        """Return data `y` as something to look at: itself if an image or a curve, else its back-projection."""
        source, target = self.domain, self.codomain
        if isinstance(source, Space) and isinstance(target, Space) and source.ndim == target.ndim:
            if source.is_complex or not target.is_complex:
                return y
        return self._adjoint(y)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each dimension of the data, for figures; empty for blocks."""
        if isinstance(self.codomain, ProductSpace):
            return ()
        named = {1: (("sample", ""),), 2: (("row", "px"), ("column", "px"))}
        d = self.codomain.ndim
        return named.get(d, tuple((f"axis {i}", "") for i in range(d)))


class Jacobian(LinearOperator):
    """The Jacobian of a forward model at a point.

    Its adjoint is reverse-mode differentiation on a tape that is recorded once. The Jacobian itself is, likewise on a
    tape, the adjoint of that: several times cheaper than forward mode, which traces the model anew each time.
    """

    counts_as = "J"

    def __init__(self, model: ForwardModel, x: Any) -> None:
        super().__init__(model.domain, model.codomain)
        self.model, self.x = model, x
        self.title = f"the Jacobian of {model.title}"

    def _forward(self, v: Any) -> Any:
        return self._tapes(self.domain.batch(v))[0](v)[0]

    def _adjoint(self, w: Any) -> Any:
        return self._tapes(self.codomain.batch(w))[1](w)[0]

    def _tapes(self, batch: tuple[int, ...]) -> tuple[Any, Any]:
        """Return the differentials of the adjoint and of the model, recorded for elements of one batch shape."""
        cached = self.__dict__.setdefault("_cache_tapes", {})
        if batch not in cached:
            pull = torch.func.vjp(self.model._forward, self.domain.expand(self.x, batch))[1]
            push = torch.func.vjp(lambda w: pull(w)[0], self.codomain.zeros(batch))[1]
            cached[batch] = push, pull
        return cached[batch]


class Identity(LinearOperator):
    """``I x = x``."""

    title = "the identity"
    self_adjoint = True
    positive = True
    nonnegative = True
    isometry = True
    coisometry = True

    def _forward(self, x: Any) -> Any:
        return x.clone()

    def _adjoint(self, y: Any) -> Any:
        return y.clone()

    def gram_diagonal(self) -> Tensor | None:
        """Return ones; None on blocks."""
        return _ones(self.domain) if isinstance(self.domain, Space) else None

    main_diagonal = gram_diagonal

    def to_dense(self) -> Tensor:
        """Return the identity matrix."""
        if isinstance(self.domain, ProductSpace):
            return super().to_dense()
        return torch.eye(self.domain.size, dtype=self.domain.dtype, device=self.domain.device)


class Diagonal(LinearOperator):
    """``(D x)_i = d_i x_i``, with `diagonal` in the shape of the domain."""

    title = "this diagonal operator"

    def __init__(self, domain: Space, diagonal: Tensor, *, positive: bool = False) -> None:
        super().__init__(domain)
        if diagonal.is_complex() and not domain.is_complex:
            raise SpecError(f"the diagonal is complex, and the space {domain} is real")
        self.diagonal = diagonal
        self.self_adjoint = not diagonal.is_complex()
        self.positive = positive

    has_svd = True

    def _forward(self, x: Tensor) -> Tensor:
        return self.diagonal * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.diagonal.conj() * y

    def svd(self) -> SVD:
        """Return moduli as values and phases on the left."""
        s = self.diagonal.abs()
        return SVD(Diagonal(self.domain, phase(self.diagonal)), s, Identity(self.domain))

    def gram_diagonal(self) -> Tensor:
        """Return the squared moduli."""
        return self.diagonal.abs() ** 2

    def main_diagonal(self) -> Tensor:
        """Return it."""
        return self.diagonal


def phase(values: Tensor) -> Tensor:
    """Return ``values / |values|``, and 1 where a value is 0."""
    modulus = values.abs()
    return torch.where(modulus > 0, values / torch.where(modulus > 0, modulus, 1), 1)


def _ones(space: Any) -> Tensor:
    return torch.ones(space.shape, dtype=real_dtype(space.dtype), device=space.device)


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
        """Whether the factors are known or the smaller side is at most 1024."""
        return self.factors is not None or min(self.matrix.shape) <= 1024

    def svd(self) -> SVD:
        """Return the decomposition, computed once."""
        cached = getattr(self, "_cache_svd", None)
        if cached is None:
            u, s, v = self.factors or _thin_svd(self.matrix)
            coefficients = Space((len(s),), self.domain.dtype, self.domain.device)
            left, right = DenseMatrix(coefficients, self.codomain, u), DenseMatrix(coefficients, self.domain, v)
            left.isometry = right.isometry = True
            cached = self._cache_svd = SVD(left, s, right)
        return cached

    def gram_diagonal(self) -> Tensor:
        """Return the squared column norms."""
        return (self.matrix.abs() ** 2).sum(0).reshape(self.domain.shape)

    def main_diagonal(self) -> Tensor | None:
        """Return the matrix's diagonal where it is square."""
        if self.domain != self.codomain:
            return None
        diagonal = self.matrix.diagonal().reshape(self.domain.shape)
        return diagonal.real if self.self_adjoint else diagonal

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
