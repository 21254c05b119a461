"""Quadratic penalties."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from explorer.catalogue import Log, Part, prior
from explorer.linalg import ProductSpace, Space, expand, scale
from explorer.operators.base import LinearOperator
from explorer.operators.sobolev import Boundary, Order, Sobolev
from explorer.priors.base import Prior


@prior(
    "Tikhonov",
    name="tikhonov",
    equation=r"R(x) = \tfrac{\lambda}{2} \|L x\|_2^2",
    papers=["Tikhonov 1963: Solution of incorrectly formulated problems and the regularization method"],
    works="Smooth unknowns.",
    fails="Edges, which are blurred or ring.",
)
class Tikhonov(Prior):
    """Half the squared norm of ``L x``: small solutions with the identity, smooth ones with the gradient."""

    title = "the Tikhonov prior"
    has_gradient = splits = True

    def __init__(
        self,
        domain: Space | ProductSpace,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", batched=True)] = 1e-2,
        operator: Annotated[LinearOperator, Part("operator", help="the operator L")] = "identity",  # type: ignore[assignment]
    ) -> None:
        super().__init__(domain, weight, operator)

    @property
    def has_prox(self) -> bool:  # type: ignore[override]
        """Where the decomposition of ``LᴴL`` is cheap."""
        return self.operator.has_gram_svd

    def value(self, x: Any) -> Tensor:
        """Return ``λ/2 ‖L x‖²``."""
        return self.weight / 2 * self.operator.codomain.norm2(self.operator(x))

    def prox(self, x: Any, step: float | Tensor) -> Any:
        """Return ``(I + step λ LᴴL)⁻¹ x``."""
        t = step * self.weight
        if self.operator.isometry:
            return scale(1 / (1 + t), x)
        gram = self.operator.gram_svd()
        c = gram.V.adjoint(x)
        t = expand(t, c) * gram.s
        return x - gram.V(t / (1 + t) * c)

    def gradient(self, x: Any) -> Any:
        """Return ``λ LᴴL x``."""
        return scale(self.weight, self.operator.gram(x))

    def gradient_lipschitz(self) -> Tensor | float:
        """Return ``λ ‖L‖²``, with a percent to spare where the norm is a lower bound."""
        return self.weight * self.operator.norm() ** 2 * (1 if self.operator.has_gram_svd else 1.01)

    def dual_prox(self, z: Any, step: float | Tensor) -> Any:
        """Return ``z λ / (λ + step)``."""
        return scale(self.weight / (self.weight + step), z)


@prior(
    "Sobolev",
    name="sobolev",
    equation=r"R(x) = \tfrac{\lambda}{2} \sum_k (1 + |k|^2)^s |\hat x_k|^2",
    papers=["row 81", "Hegland 1995: Variable Hilbert scales and their interpolation inequalities"],
    works="Unknowns whose smoothness is known.",
    fails="Jumps, which are blurred.",
)
class SobolevTikhonov(Tikhonov):
    """Half the squared norm of the Sobolev space of order s: 0 is Tikhonov's own, 1 and 2 ask for smoothness."""

    title = "the Sobolev prior"

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", batched=True)] = 1e-2,
        order: Order = 1.0,
        boundary: Boundary = "neumann",
    ) -> None:
        super().__init__(domain, weight=weight, operator=Sobolev(domain, order, boundary == "periodic"))
