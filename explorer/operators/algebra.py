"""The algebra of operators: adjoints, products, sums, multiples, stacks, block diagonals and Kronecker products.

Properties propagate by structure: ``A.H @ A`` is self-adjoint and positive, a sum of positive operators is positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import SpecError
from explorer.linalg import Blocks, ProductSpace, Space
from explorer.operators.base import SVD, DenseMatrix, Diagonal, Identity, LinearOperator


class Adjoint(LinearOperator):
    """``Aᴴ``."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.codomain, operator.domain)
        self.operator = operator
        self.isometry, self.coisometry = operator.coisometry, operator.isometry
        self.nonnegative = operator.nonnegative
        self.title = f"the adjoint of {operator.title}"

    def _forward(self, x: Any) -> Any:
        return self.operator.adjoint(x)

    def _adjoint(self, y: Any) -> Any:
        return self.operator.forward(y)

    @property
    def H(self) -> LinearOperator:
        """The operator itself."""
        return self.operator

    @property
    def has_svd(self) -> bool:
        """As the operator."""
        return self.operator.has_svd

    def svd(self) -> SVD:
        """Swap the factors."""
        d = self.operator.svd()
        return SVD(d.V, d.s, d.U)

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the norm of the operator."""
        return self.operator.norm(steps, seed)


class Composition(LinearOperator):
    """``A B``; products that read the same from both ends, such as ``A.H @ A``, are recognised as self-adjoint."""

    def __init__(self, left: LinearOperator, right: LinearOperator) -> None:
        if left.domain != right.codomain:
            raise SpecError(
                f"{left.title} cannot follow {right.title}: it acts on {left.domain}, and is given {right.codomain}"
            )
        super().__init__(right.domain, left.codomain)
        self.left, self.right = left, right
        self.title = f"the product of {left.title} and {right.title}"
        self.isometry = left.isometry and right.isometry
        self.coisometry = left.coisometry and right.coisometry
        self.nonnegative = left.nonnegative and right.nonnegative
        chain = _chain(self)
        middle = [op for op, _ in chain[len(chain) // 2 :][: len(chain) % 2]]
        mirrored = all(_undoes(a, b) for a, b in zip(chain[: len(chain) // 2], reversed(chain), strict=False))
        self.self_adjoint = mirrored and all(op.self_adjoint for op in middle)
        self.positive = mirrored and all(op.positive for op in middle)

    def _forward(self, x: Any) -> Any:
        return self.left.forward(self.right.forward(x))

    def _adjoint(self, y: Any) -> Any:
        return self.right.adjoint(self.left.adjoint(y))

    @property
    def _is_gram(self) -> bool:
        """Whether this is ``Bᴴ B`` with B on the right."""
        return self.positive and len(_chain(self.left)) == len(_chain(self.right))

    @property
    def has_svd(self) -> bool:
        """Where this is a Gram operator of one that has, or the other factor is a suitable isometry."""
        return (
            (self._is_gram and self.right.has_gram_svd)
            or (self.left.isometry and self.right.has_svd)
            or (self.right.coisometry and self.left.has_svd)
            or self.isometry
            or self.coisometry
        )

    def svd(self) -> SVD:
        """Square the values of a Gram operator; move an isometry into the factor beside it."""
        if self._is_gram and self.right.has_gram_svd:
            return self.right.gram_svd()
        if self.left.isometry and self.right.has_svd:
            d = self.right.svd()
            return SVD(self.left @ d.U, d.s, d.V)
        if self.right.coisometry and self.left.has_svd:
            d = self.left.svd()
            return SVD(d.U, d.s, self.right.H @ d.V)
        return super().svd()

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the norm, from that of one factor where the other leaves it alone."""
        if self._is_gram:
            return self.right.norm(steps, seed) ** 2
        if self.left.isometry:
            return self.right.norm(steps, seed)
        if self.right.coisometry:
            return self.left.norm(steps, seed)
        return super().norm(steps, seed)

    def main_diagonal(self) -> Tensor | None:
        """Return the diagonal of a Gram operator."""
        return self.right.gram_diagonal() if self._is_gram else None

    def picture(self, y: Any) -> Any:
        """Return the left factor's picture."""
        return self.left.picture(y)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """As the left factor."""
        return self.left.data_axes


def _chain(operator: LinearOperator, adjoint: bool = False) -> list[tuple[LinearOperator, bool]]:
    """Return the factors of a product from left to right, each with whether its adjoint is meant."""
    if isinstance(operator, Adjoint):
        return _chain(operator.operator, not adjoint)
    if isinstance(operator, Composition):
        left, right = _chain(operator.left, adjoint), _chain(operator.right, adjoint)
        return right + left if adjoint else left + right
    return [(operator, adjoint)]


def _undoes(a: tuple[LinearOperator, bool], b: tuple[LinearOperator, bool]) -> bool:
    return a[0] is b[0] and (a[0].self_adjoint or a[1] != b[1])


class Sum(LinearOperator):
    """``A + B``."""

    def __init__(self, left: LinearOperator, right: LinearOperator) -> None:
        if left.domain != right.domain or left.codomain != right.codomain:
            raise SpecError(f"{left!r} and {right!r} cannot be added: their spaces differ")
        super().__init__(left.domain, left.codomain)
        self.left, self.right = left, right
        self.title = f"the sum of {left.title} and {right.title}"
        self.self_adjoint = left.self_adjoint and right.self_adjoint
        self.positive = left.positive and right.positive

    def _forward(self, x: Any) -> Any:
        return self.left.forward(x) + self.right.forward(x)

    def _adjoint(self, y: Any) -> Any:
        return self.left.adjoint(y) + self.right.adjoint(y)

    def _shift(self) -> tuple[SVD, complex] | None:
        """Return the decomposition of B and c if this is ``B + c I`` with B positive and all its values known."""
        for operator, shift in ((self.left, self.right), (self.right, self.left)):
            c = _multiple_of_identity(shift)
            if c is not None and self.positive and operator.has_svd:
                d = operator.svd()
                if d.s.numel() == self.domain.size:
                    return d, c
        return None

    @property
    def has_svd(self) -> bool:
        """For a positive operator with one, plus a multiple of the identity."""
        return self._shift() is not None

    def svd(self) -> SVD:
        """Shift the values: ``V diag(s + c) Vᴴ``."""
        shifted = self._shift()
        if shifted is None:
            return super().svd()
        d, c = shifted
        return SVD(d.V, d.s + c, d.V)

    def main_diagonal(self) -> Tensor | None:
        """Return the sum of the diagonals."""
        left, right = self.left.main_diagonal(), self.right.main_diagonal()
        return None if left is None or right is None else left + right

    def picture(self, y: Any) -> Any:
        """Return the first term's picture."""
        return self.left.picture(y)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """As the first term."""
        return self.left.data_axes


def _multiple_of_identity(operator: LinearOperator) -> complex | None:
    if isinstance(operator, Identity):
        return 1.0
    if isinstance(operator, Scaled) and not isinstance(operator.factor, Tensor):
        inner = _multiple_of_identity(operator.operator)
        return None if inner is None else operator.factor * inner
    return None


class Scaled(LinearOperator):
    """``c A`` with a number c, or a tensor without dimensions."""

    def __init__(self, factor: complex | Tensor, operator: LinearOperator) -> None:
        super().__init__(operator.domain, operator.codomain)
        is_complex = factor.is_complex() if isinstance(factor, Tensor) else isinstance(factor, complex)
        if is_complex and not operator.codomain.is_complex:
            raise SpecError(f"the factor {factor} is complex, and {operator.title} is real")
        if isinstance(factor, Tensor) and factor.ndim > 0:
            raise SpecError(f"the factor has shape {tuple(factor.shape)}, and must be a single number")
        number: Any = factor
        self.factor, self.operator, self._real = number, operator, not is_complex
        self.title = f"a multiple of {operator.title}"
        self.self_adjoint = self._real and operator.self_adjoint
        # the sign of a tensor is not read: that would wait for the device
        self.positive = self._real and not isinstance(factor, Tensor) and operator.positive and number >= 0

    def _forward(self, x: Any) -> Any:
        return self.operator.forward(x) * self.factor

    def _adjoint(self, y: Any) -> Any:
        factor = self.factor.conj() if isinstance(self.factor, Tensor) else self.factor.conjugate()
        return self.operator.adjoint(y * factor)  # in this order: the adjoint may take a real part

    @property
    def has_svd(self) -> bool:
        """For real factors, as the operator."""
        return self._real and self.operator.has_svd

    def svd(self) -> SVD:
        """Scale the singular values; the sign goes left."""
        if not self._real:
            return super().svd()
        d = self.operator.svd()
        factor = torch.as_tensor(self.factor, dtype=d.s.dtype, device=d.s.device)
        sign = torch.where(factor < 0, -1.0, 1.0).to(d.s.dtype)
        left = Scaled(sign, d.U)
        left.isometry = True
        return SVD(left, factor.abs() * d.s, d.V)

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return ``|c| ‖A‖``."""
        return abs(self.factor) * self.operator.norm(steps, seed)

    def main_diagonal(self) -> Tensor | None:
        """Return a multiple of the operator's diagonal."""
        diagonal = self.operator.main_diagonal()
        return None if diagonal is None else self.factor * diagonal

    def gram_diagonal(self) -> Tensor | None:
        """Return ``|c|²`` times that of the operator."""
        diagonal = self.operator.gram_diagonal()
        return None if diagonal is None else abs(self.factor) ** 2 * diagonal

    def picture(self, y: Any) -> Any:
        """Return the operator's picture."""
        return self.operator.picture(y)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """As the operator."""
        return self.operator.data_axes


class Stack(LinearOperator):
    """``x ↦ (A_1 x, …, A_k x)``: several measurements of one unknown, as blocks."""

    def __init__(self, *operators: LinearOperator) -> None:
        if len({op.domain for op in operators}) != 1:
            raise SpecError("operators that are stacked must share their domain")
        super().__init__(operators[0].domain, ProductSpace(tuple(_single(op.codomain) for op in operators)))
        self.operators = tuple(operators)
        self.title = "a stack of " + ", ".join(op.title for op in operators)

    def _forward(self, x: Any) -> Any:
        return Blocks(op.forward(x) for op in self.operators)

    def _adjoint(self, y: Blocks) -> Any:
        parts = [op.adjoint(b) for op, b in zip(self.operators, y, strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def gram_diagonal(self) -> Tensor | None:
        """Return the sum of the operators' diagonals."""
        parts = [d for op in self.operators if (d := op.gram_diagonal()) is not None]
        return torch.stack(parts).sum(0) if len(parts) == len(self.operators) else None


class BlockDiagonal(LinearOperator):
    """``(x_1, …, x_k) ↦ (A_1 x_1, …, A_k x_k)``."""

    def __init__(self, *operators: LinearOperator) -> None:
        super().__init__(
            ProductSpace(tuple(_single(op.domain) for op in operators)),
            ProductSpace(tuple(_single(op.codomain) for op in operators)),
        )
        self.operators = tuple(operators)
        self.self_adjoint = all(op.self_adjoint for op in operators)
        self.positive = all(op.positive for op in operators)
        self.title = "a block diagonal of " + ", ".join(op.title for op in operators)

    def _forward(self, x: Blocks) -> Blocks:
        return Blocks(op.forward(b) for op, b in zip(self.operators, x, strict=True))

    def _adjoint(self, y: Blocks) -> Blocks:
        return Blocks(op.adjoint(b) for op, b in zip(self.operators, y, strict=True))

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the largest norm of a block."""
        return torch.stack([op.norm(steps, seed) for op in self.operators]).max()


class Kronecker(LinearOperator):
    """``A_1 ⊗ … ⊗ A_d``: each factor acts on its own dimensions of the element.

    Parameters
    ----------
    domain : Space
        Its shape is that of the factors' domains, one after the other.
    factors : sequence of LinearOperator or Tensor
        Operators, or matrices ``(m_i, n_i)`` along one dimension each.
    """

    title = "this Kronecker product"

    def __init__(self, domain: Space, factors: Sequence[LinearOperator | Tensor]) -> None:
        operators = tuple(_along(f, domain) if isinstance(f, Tensor) else f for f in factors)
        if sum((op.domain.shape for op in operators), ()) != domain.shape:
            shapes = " × ".join(str(op.domain.shape) for op in operators)
            raise SpecError(f"the factors act on shapes {shapes}, and the domain has {domain.shape}")
        if {s.dtype for op in operators for s in (op.domain, op.codomain)} != {domain.dtype}:
            raise SpecError(f"the factors of a Kronecker product must all act on {domain.dtype}, as its domain does")
        super().__init__(domain, Space(sum((op.codomain.shape for op in operators), ()), domain.dtype, domain.device))
        self.operators = operators
        self.self_adjoint = all(op.self_adjoint for op in operators)
        self.positive = all(op.positive for op in operators)
        self.isometry = all(op.isometry for op in operators)
        self.coisometry = all(op.coisometry for op in operators)
        self.nonnegative = all(op.nonnegative for op in operators)

    def _forward(self, x: Tensor) -> Tensor:
        batch = x.ndim - self.domain.ndim
        for op in self.operators:
            x = op.forward(_leading_last(x, batch, op.domain.ndim))
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = y.ndim - self.codomain.ndim
        for op in self.operators:
            y = op.adjoint(_leading_last(y, batch, op.codomain.ndim))
        return y

    @property
    def has_svd(self) -> bool:
        """Where every factor has."""
        return all(op.has_svd for op in self.operators)

    def svd(self) -> SVD:
        """Return the Kronecker product of the factors' decompositions."""
        parts = [op.svd() for op in self.operators]
        s = _outer([d.s for d in parts])
        coefficients = Space(tuple(s.shape), self.domain.dtype, self.domain.device)
        return SVD(Kronecker(coefficients, [d.U for d in parts]), s, Kronecker(coefficients, [d.V for d in parts]))

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the product of the factors' norms."""
        return math.prod(op.norm(steps, seed) for op in self.operators)  # type: ignore[return-value]

    def gram_diagonal(self) -> Tensor | None:
        """Return the outer product of the factors' diagonals."""
        parts = [d for op in self.operators if (d := op.gram_diagonal()) is not None]
        return _outer(parts) if len(parts) == len(self.operators) else None


def _along(matrix: Tensor, domain: Space) -> DenseMatrix:
    m, n = matrix.shape
    return DenseMatrix(Space((n,), domain.dtype, domain.device), Space((m,), domain.dtype, domain.device), matrix)


def _leading_last(x: Tensor, batch: int, ndim: int) -> Tensor:
    """Move the `ndim` dimensions behind the batch to the end; done for every factor in turn, the order is back."""
    return x.movedim(tuple(range(batch, batch + ndim)), tuple(range(-ndim, 0)))


def _outer(parts: list[Tensor]) -> Tensor:
    product = parts[0]
    for part in parts[1:]:
        product = product.reshape(*product.shape, *(1,) * part.ndim) * part
    return product


def _single(space: Space | ProductSpace) -> Space:
    if isinstance(space, ProductSpace):
        raise SpecError("blocks of blocks are not supported: combine the parts into one stack")
    return space


__all__ = [
    "Adjoint",
    "BlockDiagonal",
    "Composition",
    "Diagonal",
    "Identity",
    "Kronecker",
    "Scaled",
    "Stack",
    "Sum",
]
