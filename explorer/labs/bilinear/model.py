"""What every bilinear forward model can do."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from explorer.catalogue import SpecError
from explorer.linalg import Blocks
from explorer.operators.base import ForwardModel, LinearOperator


class BilinearModel(ForwardModel):
    """A map ``F(u, v)`` of two blocks, linear in each with the other held fixed."""

    says = "a bilinear forward model"
    title = "this bilinear model"

    def partial(self, block: int, at: Blocks) -> LinearOperator:
        """Return the linear operator in `block` (0 or 1), the other block being held at its value in `at`."""
        raise SpecError(f"{self.title} does not define its partial operators")

    def linearize(self, x: Blocks) -> tuple[Tensor, LinearOperator]:
        """Return ``F(u, v)`` and the Jacobian ``(h, k) ↦ F(h, v) + F(u, k)``."""
        self.domain.check(x, f"the argument of {self.title}")
        jacobian = BilinearJacobian(self, self.partial(0, x), self.partial(1, x))
        return jacobian.first._forward(x[0]), jacobian


class BilinearJacobian(LinearOperator):
    """The sum of the two partial operators; its adjoint is the pair of theirs."""

    counts_as = "J"

    def __init__(self, model: BilinearModel, first: LinearOperator, second: LinearOperator) -> None:
        super().__init__(model.domain, model.codomain)
        self.first, self.second = first, second
        self.title = f"the Jacobian of {model.title}"

    def _forward(self, x: Blocks) -> Tensor:
        return self.first._forward(x[0]) + self.second._forward(x[1])

    def _adjoint(self, y: Any) -> Blocks:
        return Blocks((self.first._adjoint(y), self.second._adjoint(y)))
