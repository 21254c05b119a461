"""Low rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, prior
from explorer.linalg import Space, expand
from explorer.operators.capabilities import IMAGE
from explorer.priors.base import Prior


@prior(
    "Nuclear norm",
    name="nuclear",
    equation=r"R(x) = \lambda \sum_i \sigma_i(x)",
    papers=[
        "Fazel, Hindi & Boyd 2001: A rank minimization heuristic with application to minimum order system "
        "approximation",
        "Cai, Candès & Shen 2010: A singular value thresholding algorithm for matrix completion",
    ],
    works="Matrices of low rank.",
    fails="Pictures of full rank; every singular value is drawn towards zero.",
)
class Nuclear(Prior):
    """The sum of the singular values of the unknown as a matrix: of few rows and columns all others are made."""

    title = "the nuclear norm"
    has_prox = splits = True

    def __init__(
        self,
        domain: Annotated[Space, IMAGE],
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
    ) -> None:
        super().__init__(domain, weight)

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ σ``."""
        x, finite = _finite(x)
        return self.weight * torch.linalg.svdvals(x).sum(-1).masked_fill(~finite, torch.nan)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return `x` with its singular values lowered by ``step λ``, those below set to zero."""
        return self._singular_values(x, lambda s: (s - expand(step * self.weight, s)).clamp(min=0))

    def dual_prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        """Return `z` with its singular values cut at λ."""
        cut = torch.as_tensor(self.weight, dtype=z.real.dtype, device=z.device)
        return self._singular_values(z, lambda s: torch.minimum(s, expand(cut, s)))

    def _singular_values(self, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        x, finite = _finite(x)
        u, s, vh = torch.linalg.svd(x, full_matrices=False)
        made = (u * change(s).unsqueeze(-2)) @ vh
        return made.masked_fill(~finite[..., None, None], torch.nan)


def _finite(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return `x` with samples that are not finite set to zero, as a decomposition refuses a whole batch for one."""
    finite = x.isfinite().flatten(-2).all(-1)
    return torch.where(finite[..., None, None], x, 0), finite
