"""What every prior can do, and the capabilities that solvers ask for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import Capability, SpecError
from explorer.linalg import axpy, convert, scale
from explorer.operators.base import AnySpace, Identity, LinearOperator


class Prior:
    """A penalty ``R(x) = weight · g(K x)`` on the unknown.

    A family overrides what it can do and declares it: `has_prox`, `has_gradient`, `has_denoiser`, `splits`; and
    `convex`, false where proximal methods find but a local minimiser.

    Attributes
    ----------
    domain : Space or ProductSpace
    weight : float or Tensor
        Scalar or one value a sample.
    operator : LinearOperator
        The analysis operator K; the identity unless the prior says otherwise.

    Notes
    -----
    A step length or a weight is a number or one value a sample, shape ``(*batch,)``.
    """

    says = "a prior"
    title = "this prior"
    _movable = True
    has_prox = False
    has_gradient = False
    has_denoiser = False
    splits = False
    convex = True

    domain: Any
    operator: LinearOperator

    def __init__(self, domain: AnySpace, weight: float | Tensor = 1.0, operator: LinearOperator | None = None) -> None:
        self.domain, self.weight = domain, weight
        self.operator = Identity(domain) if operator is None else operator

    def value(self, x: Any) -> Tensor:
        """Return ``R(x)`` per sample."""
        raise SpecError(f"{self.title} has no value to evaluate")

    def prox(self, x: Any, step: float | Tensor) -> Any:
        r"""Return ``argmin_u ½‖u − x‖² + step · R(u)``."""
        raise SpecError(f"{self.title} has no proximal map")

    def gradient(self, x: Any) -> Any:
        """Return ``∇R(x)``."""
        raise SpecError(f"{self.title} has no gradient")

    def gradient_lipschitz(self) -> Tensor | float:
        """Return a Lipschitz constant of the gradient."""
        raise SpecError(f"{self.title} has no gradient")

    def dual_prox(self, z: Any, step: float | Tensor) -> Any:
        """Return the proximal map of ``step · (weight · g)*``, for splittings with ``K x``.

        Where K is the identity it follows from that of R by Moreau: ``z − step · prox(z / step, 1 / step)``.
        """
        if not (self.splits and isinstance(self.operator, Identity)):
            raise SpecError(f"{self.title} does not split as g(K x)")
        return axpy(-1.0, scale(step, self.prox(scale(1 / step, z), 1 / step)), z)

    def denoise(self, x: Any, sigma: float | Tensor) -> Any:
        """Return the posterior mean of the clean element, given `x` with white noise of standard deviation `sigma`."""
        raise SpecError(f"{self.title} has no denoiser")

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Any:
        """Return the prior on another device or in another precision."""
        return convert(self, device, dtype)


PROXIMABLE = Capability("a prior with a proximal map", lambda prior: prior.has_prox)
DIFFERENTIABLE = Capability("a prior with a gradient", lambda prior: prior.has_gradient)
DENOISER = Capability("a prior with a denoiser", lambda prior: prior.has_denoiser)
SPLITS = Capability("a prior that splits as g(K x)", lambda prior: prior.splits)
