"""The algebra of operators: adjoints, products, sums, multiples, stacks, block diagonals and Kronecker products.

Properties propagate by structure: ``A.H @ A`` is self-adjoint and positive, a sum of positive operators is positive.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import SpecError
from explorer.linalg import Blocks, ProductSpace, Space
from explorer.operators.base import SVD, Diagonal, Identity, LinearOperator


class Adjoint(LinearOperator):
    """``Aᴴ``."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.codomain, operator.domain)
        self.operator = operator
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


class Composition(LinearOperator):
    """``A B``; ``A.H @ A`` is recognised as self-adjoint and positive."""

    def __init__(self, left: LinearOperator, right: LinearOperator) -> None:
        if left.domain != right.codomain:
            raise SpecError(
                f"the domain {left.domain} of {left.title} does not match the codomain {right.codomain} of {right.title}"
            )
        super().__init__(right.domain, left.codomain)
        self.left, self.right = left, right
        self.title = f"the product of {left.title} and {right.title}"
        self.self_adjoint = self.positive = (
            left.H is right or right.H is left or _undo(left) is right or _undo(right) is left
        )

    def _forward(self, x: Any) -> Any:
        return self.left.forward(self.right.forward(x))

    def _adjoint(self, y: Any) -> Any:
        return self.right.adjoint(self.left.adjoint(y))

    @property
    def _gram_of(self) -> LinearOperator | None:
        """The operator whose Gram operator this is, if it is one."""
        return self.right if self.positive and (_undo(self.left) is self.right or self.left is self.right) else None

    @property
    def has_svd(self) -> bool:
        """Where this is a Gram operator of one that has."""
        return self._gram_of is not None and self._gram_of.has_svd

    def svd(self) -> SVD:
        """Square the singular values of a Gram operator."""
        if self._gram_of is None:
            return super().svd()
        d = self._gram_of.svd()
        return SVD(d.V, d.s**2, d.V)


def _undo(operator: LinearOperator) -> LinearOperator | None:
    return operator.operator if isinstance(operator, Adjoint) else None


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


class Scaled(LinearOperator):
    """``c A``."""

    def __init__(self, factor: complex, operator: LinearOperator) -> None:
        super().__init__(operator.domain, operator.codomain)
        if isinstance(factor, complex) and not operator.codomain.is_complex:
            raise SpecError(f"the factor {factor} is complex, and {operator.title} is real")
        self.factor, self.operator = factor, operator
        self.title = f"a multiple of {operator.title}"
        real = not isinstance(factor, complex)
        self.self_adjoint = real and operator.self_adjoint
        self.positive = real and operator.positive and factor >= 0  # type: ignore[operator]

    def _forward(self, x: Any) -> Any:
        return self.operator.forward(x) * self.factor

    def _adjoint(self, y: Any) -> Any:
        return self.operator.adjoint(y) * (self.factor.conjugate() if isinstance(self.factor, complex) else self.factor)

    @property
    def has_svd(self) -> bool:
        """For real factors, as the operator."""
        return not isinstance(self.factor, complex) and self.operator.has_svd

    def svd(self) -> SVD:
        """Scale the singular values; the sign goes left."""
        d = self.operator.svd()
        factor = float(self.factor)  # type: ignore[arg-type]
        return SVD(d.U if factor >= 0 else -1.0 * d.U, abs(factor) * d.s, d.V)


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


class Kronecker(LinearOperator):
    """``(A_1 ⊗ … ⊗ A_d) x``: one matrix along each dimension of the element.

    Parameters
    ----------
    domain : Space
        With as many dimensions as there are factors.
    factors : tuple of Tensor
        Matrices ``(m_i, n_i)``.
    """

    title = "this Kronecker product"

    def __init__(
        self,
        domain: Space,
        factors: tuple[Tensor, ...],
        *,
        self_adjoint: bool = False,
        positive: bool = False,
    ) -> None:
        if tuple(f.shape[1] for f in factors) != domain.shape:
            raise SpecError(
                f"the factors act on shape {tuple(f.shape[1] for f in factors)}, and the domain has {domain.shape}"
            )
        super().__init__(domain, Space(tuple(f.shape[0] for f in factors), domain.dtype, domain.device))
        self.factors = tuple(factors)
        self.self_adjoint, self.positive = self_adjoint, positive
        self._cache_svd: SVD | None = None

    @staticmethod
    def _times(factors: tuple[Tensor, ...], x: Tensor) -> Tensor:
        d = len(factors)
        for i, factor in enumerate(factors):
            axis = x.ndim - d + i
            x = (x.movedim(axis, -1) @ factor.mT).movedim(-1, axis)
        return x

    def _forward(self, x: Tensor) -> Tensor:
        return self._times(self.factors, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._times(tuple(f.mH for f in self.factors), y)

    has_svd = True  # type: ignore[assignment]

    def svd(self) -> SVD:
        """Return the Kronecker product of the factors' decompositions, computed once."""
        cached = getattr(self, "_cache_svd", None)
        if cached is None:
            u, s, v = zip(*(_full(f) for f in self.factors), strict=True)
            values = s[0]
            for part in s[1:]:
                values = values.unsqueeze(-1) * part
            coefficients = Space(tuple(len(p) for p in s), self.domain.dtype, self.domain.device)
            cached = SVD(Kronecker(coefficients, u), values, Kronecker(coefficients, v))
            self._cache_svd = cached
        return cached

    def gram_diagonal(self) -> Tensor:
        """Return the outer product of the factors' squared column norms."""
        diagonal = (self.factors[0].abs() ** 2).sum(0)
        for factor in self.factors[1:]:
            diagonal = diagonal.unsqueeze(-1) * (factor.abs() ** 2).sum(0)
        return diagonal


def _full(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u, s, vh.mH


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
