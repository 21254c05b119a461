"""Data of which some are missing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Part, SpecError, describe, operator
from explorer.linalg import Rng, Space
from explorer.operators.algebra import Composition
from explorer.operators.base import LinearOperator
from explorer.operators.drawing import Drawing, drawings, sampled_places
from explorer.operators.mask import Mask, random_subset


class MissingData(Composition):
    """A mask of the data after the operator that measures them, ``M B``.

    Parameters
    ----------
    whole : LinearOperator
        B, of a single set of data.
    kept : Tensor
        Different indices into the flattened data, shape ``(m,)``.
    """

    def __init__(self, whole: LinearOperator, kept: Tensor) -> None:
        super().__init__(Mask(whole.codomain, kept), whole)
        self.title = f"{whole.title} with missing data"

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return those of the whole operator, and which of its data are kept."""
        kept = self.left.kept  # type: ignore[attr-defined]
        missing = sampled_places("Data that are kept", "data", self.right.codomain.shape, kept, datum)
        return *drawings(self.right, int(kept[datum])), *missing

    def picture(self, y: Tensor) -> Tensor:
        """Return the back-projection."""
        return self._adjoint(y)


@operator(
    "Missing data of another operator",
    name="missing_data",
    equation=r"y_i = (B x)_{\pi(i)}",
    works="Known losses among data that overlap, such as dead pixels of a detector.",
    fails="Data that nothing repeats: with the identity within, lost entries are gone; lost views leave streaks.",
)
def missing_data(
    domain: Space,  # noqa: ARG001 - what the operator within is built on
    rng: Rng,
    *,
    operator: Annotated[Any, Part("operator", help="B: what would have been measured")] = "radon",
    missing: Annotated[float, Linear(0, 0.99, help="share of the data that are missing")] = 0.3,
    pattern: Annotated[
        Literal["entries", "columns", "rows"],
        Help("what is missing: single data, or detectors (columns), or views (rows)"),
    ] = "entries",
) -> MissingData:
    """Measure with another operator and lose some of the data: dead pixels, dead detectors, views not taken.

    That a datum is missing is known, and belongs into the operator: solvers see the operator and the data only, and
    whatever number stood for a missing datum they would fit. The noise ``missing`` shows that.

    Raises
    ------
    SpecError
        If the operator within is not linear or measures blocks, or its data have no rows and columns to lose.
    """
    if not isinstance(operator, LinearOperator) or not isinstance(operator.codomain, Space):
        raise SpecError(
            f"data of a linear operator with a single set of data can be missing, and {describe(operator)} is none",
            "operator",
        )
    data = operator.codomain
    if pattern != "entries" and data.ndim < 2:
        raise SpecError(f"is {pattern!r}, and the data have one dimension: choose 'entries'", "operator.params.pattern")
    axis = {"entries": None, "rows": data.ndim - 2, "columns": data.ndim - 1}[pattern]
    lines = data.size if axis is None else data.shape[axis]
    kept = random_subset(torch.ones(lines, device=data.device), max(1, round((1 - missing) * lines)), rng)
    if axis is not None:
        indices = torch.arange(data.size, device=data.device).reshape(data.shape)
        kept = indices.index_select(axis, kept).flatten()
    return MissingData(operator, kept)
