"""Volumes of which every slice is measured by itself."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from explorer.catalogue import Part, SpecError, describe, operator
from explorer.linalg import ProductSpace, Rng, Space
from explorer.operators.base import SVD, LinearOperator
from explorer.operators.drawing import Drawing, drawings


class SliceWise(LinearOperator):
    """``(x_1, …, x_k) ↦ (A x_1, …, A x_k)``: one operator applied to every slice of a volume, ``I ⊗ A``.

    The slices travel as a batch, so that it costs what k samples cost.

    Parameters
    ----------
    operator : LinearOperator
        A, between single spaces.
    count : int
        Number k of slices, the first dimension of domain and codomain.
    """

    def __init__(self, operator: LinearOperator, count: int) -> None:
        super().__init__(_stacked(operator.domain, count), _stacked(operator.codomain, count))
        self.operator, self.count = operator, count
        self.self_adjoint, self.positive = operator.self_adjoint, operator.positive
        self.isometry, self.coisometry = operator.isometry, operator.coisometry
        self.nonnegative = operator.nonnegative
        self.title = f"{operator.title} of every slice"

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._adjoint(y)

    @property
    def has_svd(self) -> bool:
        """As the operator."""
        return self.operator.has_svd

    def svd(self) -> SVD:
        """Return the operator's decomposition, once a slice."""
        return self._lifted(self.operator.svd())

    @property
    def has_gram_svd(self) -> bool:
        """As the operator."""
        return self.operator.has_gram_svd

    def gram_svd(self) -> SVD:
        """Return that of the operator, once a slice."""
        return self._lifted(self.operator.gram_svd())

    def _lifted(self, d: SVD) -> SVD:
        return SVD(SliceWise(d.U, self.count), self._each(d.s), SliceWise(d.V, self.count))

    def _each(self, values: Tensor) -> Tensor:
        return values.expand(self.count, *values.shape)

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the norm of the operator."""
        return self.operator.norm(steps, seed)

    def gram_diagonal(self) -> Tensor | None:
        """Return the operator's, once a slice."""
        diagonal = self.operator.gram_diagonal()
        return None if diagonal is None else self._each(diagonal)

    def main_diagonal(self) -> Tensor | None:
        """Return the operator's, once a slice."""
        diagonal = self.operator.main_diagonal()
        return None if diagonal is None else self._each(diagonal)

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the operator's, of one slice."""
        return drawings(self.operator, datum % self.operator.codomain.size)

    def picture(self, y: Tensor) -> Tensor:
        """Return the operator's picture of every slice."""
        return self.operator.picture(y)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Slices, and the operator's axes."""
        return (("slice", ""), *self.operator.data_axes)


def _stacked(space: Space, count: int) -> Space:
    return Space((count, *space.shape), space.dtype, space.device)


def one_slice(domain: Space | ProductSpace) -> Space:
    """Return the space of a slice across the first dimension.

    Raises
    ------
    SpecError
        If there are no slices.
    """
    if not isinstance(domain, Space) or domain.ndim < 2:
        raise SpecError(f"a volume or an image has slices, and {domain} has none")
    return Space(domain.shape[1:], domain.dtype, domain.device)


@operator(
    "Slice by slice",
    name="slice_wise",
    equation=r"A = I \otimes B",
    domain_within=one_slice,
    works="Volumes and films whose slices are all measured in the same way.",
    fails="The data tie no slices together: what is lost in one is lost in each, unless the prior runs across them.",
)
def slice_wise(
    domain: Space,
    rng: Rng,  # noqa: ARG001 - what the operator within draws from
    *,
    operator: Annotated[Any, Part("operator", help="B: what is applied to every slice")] = "gaussian_blur",
) -> SliceWise:
    """Measure every slice of a volume, or every row of an image, by one and the same operator.

    Slices are counted along the first dimension. They are a batch to the operator within, which is built once.

    Raises
    ------
    SpecError
        If there are no slices, or the operator within is not linear or measures blocks.
    """
    if not isinstance(operator, LinearOperator) or not isinstance(operator.codomain, Space):
        raise SpecError(
            f"slices are measured by a linear operator with a single set of data, and {describe(operator)} is none",
            "operator",
        )
    return SliceWise(operator, domain.shape[0])
