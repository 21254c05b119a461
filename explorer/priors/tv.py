"""Total variation."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, prior
from explorer.linalg import Space, axpy
from explorer.operators.gradient import Gradient
from explorer.priors.base import Prior
from explorer.priors.sparse import onto_ball


@prior(
    "Total variation",
    name="tv",
    equation=r"R(x) = \lambda \sum_p \|(\nabla x)_p\|_2",
    papers=[
        "Rudin, Osher & Fatemi 1992: Nonlinear total variation based noise removal algorithms",
        "Beck & Teboulle 2009: Fast gradient-based algorithms for constrained total variation image denoising and "
        "deblurring problems",
    ],
)
class TotalVariation(Prior):
    """The sum over pixels of the length of the gradient, isotropic, by forward differences: few edges, flat between.

    The proximal map runs a fixed number of fast projected gradient steps on the dual problem
    ``min ½‖x − Kᴴq‖²`` over ``‖q_p‖ ≤ step λ``, and returns ``x − Kᴴq``.
    """

    title = "the total variation prior"
    has_prox = splits = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        inner: Annotated[int, Log(1, 10_000, unit="steps", help="dual steps in each proximal map")] = 20,
    ) -> None:
        super().__init__(domain, weight, Gradient(domain))
        self.inner = inner

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ_p ‖(∇x)_p‖``."""
        return self.weight * self._lengths(self.operator(x)).flatten(-1 - self.domain.ndim).sum(-1)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the minimiser but for what `inner` steps leave open, of order ``1/inner²`` in the objective."""
        return x - self.operator.adjoint(self.dual(x, step))

    def dual(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the dual variable q of the proximal map, shape ``(*batch, d, *shape)``."""
        K, radius, norm2 = self.operator, step * self.weight, 4 * self.domain.ndim  # ‖K‖² ≤ 4 d
        q = r = K.codomain.zeros(self.domain.batch(x))
        t = 1.0
        for _ in range(self.inner):
            q_old, t_old = q, t
            q = axpy(1 / norm2, K(x - K.adjoint(r)), r)
            q = onto_ball(q, self._lengths(q), radius)
            t = (1 + math.sqrt(1 + 4 * t**2)) / 2
            r = axpy((t_old - 1) / t, q - q_old, q)
        return q

    def dual_prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        """Return `z` with every pixel's vector cut at length λ."""
        return onto_ball(z, self._lengths(z), self.weight)

    def _lengths(self, z: Tensor) -> Tensor:
        """Return the length of every pixel's vector, shape ``(*batch, 1, *shape)``."""
        return torch.linalg.vector_norm(z, dim=-1 - self.domain.ndim, keepdim=True)
