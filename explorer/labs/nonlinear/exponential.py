"""The exponential of a linear measurement."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from explorer.catalogue import Linear, Part, SpecError, describe, operator
from explorer.linalg import ProductSpace, Space
from explorer.operators.base import ForwardModel, LinearOperator


class Exponential(ForwardModel):
    """``F(x) = exp(c A x)``, entry by entry."""

    def __init__(self, A: LinearOperator, strength: float = 1.0) -> None:
        self.domain, self.codomain, self.A, self.strength = A.domain, A.codomain, A, strength
        self.title = f"the exponential of {A.title}"

    def _forward(self, x: Any) -> Tensor:
        return (self.strength * self.A(x)).exp()


@operator(
    "Exponential",
    equation=r"F(x) = e^{c A x}",
    works="Attenuation and growth; where noise is small, the logarithm of the data makes the problem linear.",
    fails="Large exponents: the brightest data rule the fit, the darkest drown in noise, and a far start leads astray.",
)
def exponential(
    domain: Space | ProductSpace,
    *,
    inside: Annotated[Any, Part("operator", help="the linear operator A")] = "gaussian_blur",
    strength: Annotated[float, Linear(-10, 10, help="factor c of the exponent; attenuation if negative")] = 1.0,
) -> Exponential:
    """Growth and attenuation: a linear measurement seen through the exponential.

    Raises
    ------
    SpecError
        If the operator inside is not linear or acts on another space.
    """
    if not isinstance(inside, LinearOperator) or inside.domain != domain:
        raise SpecError(f"must be a linear operator on {domain}, and {describe(inside)} is not", "inside")
    return Exponential(inside, strength)
