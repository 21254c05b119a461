"""Penalties that are not convex: sparser and with less bias, but proximal methods find local minimisers only."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, prior
from explorer.linalg import Space, expand, safe_divide
from explorer.operators.base import Identity
from explorer.priors.base import Prior
from explorer.priors.sparse import Basis, basis_of


@prior(
    "Number of coefficients (l0)",
    name="l0",
    equation=r"R(x) = \lambda \|C x\|_0",
    papers=[
        "Donoho & Johnstone 1994: Ideal spatial adaptation by wavelet shrinkage",
        "Blumensath & Davies 2008: Iterative thresholding for sparse approximations",
    ],
    works="Very few non-zeros, without drawing them towards zero.",
    fails="It is not convex: the answer depends on the start.",
)
class L0(Prior):
    """The number of coefficients other than zero. Not convex."""

    title = "the l0 prior"
    has_prox = True
    convex = False

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=2, batched=True)] = 1e-2,
        basis: Basis = "entries",
    ) -> None:
        super().__init__(domain, weight, basis_of(domain, basis))

    def value(self, x: Tensor) -> Tensor:
        """Return λ times the number of coefficients other than zero; in a basis, other than what rounding leaves."""
        axes = tuple(range(-self.domain.ndim, 0))
        moduli = self.operator(x).abs()
        rounding = 0 if isinstance(self.operator, Identity) else 64 * self.domain.eps
        count = (moduli > rounding * moduli.amax(axes, keepdim=True)).sum(axes)
        return self.weight * count.to(moduli.dtype)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the coefficients whose modulus is above ``√(2 step λ)``, the others zero."""
        c = self.operator(x)
        t = torch.as_tensor(step * self.weight, dtype=x.real.dtype, device=x.device)
        return self.operator.adjoint(torch.where(c.abs() > expand((2 * t).sqrt(), c), c, 0))


@prior(
    "Minimax concave penalty (MCP)",
    name="mcp",
    equation=r"R(x) = \sum_i \int_0^{|x_i|} \left(\lambda - t/\gamma\right)_+ dt",
    papers=["Zhang 2010: Nearly unbiased variable selection under minimax concave penalty"],
    works="Few non-zeros, with large ones left as they are.",
    fails="It is not convex: the answer depends on the start.",
)
class MCP(Prior):
    """Rises as λ|x| does and is flat beyond γλ: small entries vanish, large ones keep their size. Not convex."""

    title = "the minimax concave penalty"
    has_prox = True
    convex = False

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        concavity: Annotated[float, Linear(0.01, 100, help="γ, where it is flat in units of λ; near 0 it is l0")] = 3.0,
        basis: Basis = "entries",
    ) -> None:
        super().__init__(domain, weight, basis_of(domain, basis))
        self.concavity = concavity

    def value(self, x: Tensor) -> Tensor:
        """Return ``Σ λ m − m²/2γ`` with ``m = min(|C x|, γλ)``."""
        c = self.operator(x).abs()
        weight = torch.as_tensor(expand(self.weight, c), dtype=c.dtype, device=c.device)
        m = torch.minimum(c, self.concavity * weight)
        return (weight * m - m**2 / (2 * self.concavity)).sum(tuple(range(-self.domain.ndim, 0)))

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the global minimiser: firm thresholds for steps below γ, else hard ones at ``λ√(γ step)``.

        Firm means zero up to ``step λ``, all of the modulus from γλ on, linear between.
        """
        c = self.operator(x)
        modulus, gamma = c.abs(), self.concavity
        t = expand(torch.as_tensor(step, dtype=modulus.dtype, device=c.device), c)
        weight = expand(self.weight, c)
        firm = (modulus - t * weight).clamp(min=0) / torch.where(t < gamma, 1 - t / gamma, 1)
        firm = torch.where(modulus > gamma * weight, modulus, firm)
        hard = torch.where(modulus > weight * (gamma * t).sqrt(), modulus, 0)
        return self.operator.adjoint(c * safe_divide(torch.where(t < gamma, firm, hard), modulus))
