"""Sparsity in a basis."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, prior
from explorer.linalg import Space, expand, safe_divide
from explorer.operators.transforms import Cosine
from explorer.priors.base import Prior


def soft_threshold(x: Tensor, threshold: float | Tensor) -> Tensor:
    """Return ``x`` with its modulus reduced by `threshold` (one value a sample), and 0 below it; phases are kept."""
    modulus = x.abs()
    return x * safe_divide((modulus - expand(threshold, x)).clamp(min=0), modulus)


def onto_ball(z: Tensor, modulus: Tensor, radius: float | Tensor) -> Tensor:
    """Return `z`, whose groups have this `modulus`, projected onto balls of `radius` (one value a sample)."""
    radius = torch.as_tensor(expand(radius, z), dtype=modulus.dtype, device=z.device)
    return z * safe_divide(radius.expand_as(modulus), torch.maximum(modulus, radius))


@prior(
    "Sparsity (l1)",
    name="l1",
    equation=r"R(x) = \lambda \|C x\|_1",
    papers=[
        "Tibshirani 1996: Regression shrinkage and selection via the lasso",
        "Chen, Donoho & Saunders 1998: Atomic decomposition by basis pursuit",
    ],
)
class L1(Prior):
    """The sum of moduli of the entries, or of the coefficients in the orthonormal cosine basis."""

    title = "the l1 prior"
    has_prox = splits = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        basis: Annotated[Literal["entries", "cosine"], Help("where the unknown is sparse")] = "entries",
    ) -> None:
        super().__init__(domain, weight, Cosine(domain) if basis == "cosine" else None)

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ |C x|``."""
        return self.weight * self.operator(x).abs().sum(tuple(range(-self.domain.ndim, 0)))

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the soft threshold at ``step λ`` of the coefficients."""
        return self.operator.adjoint(soft_threshold(self.operator(x), step * self.weight))

    def dual_prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        """Return `z` with moduli cut at λ."""
        return onto_ball(z, z.abs(), self.weight)
