"""Relative entropy."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, prior
from explorer.linalg import Space, expand
from explorer.linalg.special import wright_omega
from explorer.operators.capabilities import REAL
from explorer.priors.base import Prior


@prior(
    "Maximum entropy",
    name="entropy",
    equation=r"R(x) = \lambda \sum_i x_i \log (x_i / m) - x_i + m",
    papers=[
        "Jaynes 1957: Information theory and statistical mechanics",
        "Skilling & Bryan 1984: Maximum entropy image reconstruction: general algorithm",
    ],
    works="Positive intensities, above all bright points on a faint background.",
    fails="Unknowns with a sign; it knows no neighbours, and draws what the data leave open to the level m.",
)
class Entropy(Prior):
    """The relative entropy to a flat image of the level m: positive entries, as even as the data allow."""

    title = "the entropy prior"
    has_prox = splits = True

    def __init__(
        self,
        domain: Annotated[Space, REAL],
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        level: Annotated[float, Log(1e-12, 1e12, help="level m of the least informed image", degree=1)] = 1.0,
    ) -> None:
        super().__init__(domain, weight)
        self.level = level

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ x log(x/m) − x + m``, infinity for a sample with a negative entry."""
        terms = torch.xlogy(x, (x / self.level).clamp(min=0)) - x + self.level
        total = self.weight * torch.where(x < 0, 0, terms).flatten(x.ndim - self.domain.ndim).sum(-1)
        return total.masked_fill((x < 0).flatten(x.ndim - self.domain.ndim).any(-1), torch.inf)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the u with ``u + t log(u/m) = x`` for ``t = step λ``, which is ``t ω(x/t + log(m/t))``.

        The limit for t = 0 is the projection onto what is not negative. What is below ``t exp(−60)`` counts as zero.
        """
        t = expand(torch.as_tensor(step * self.weight, dtype=x.dtype, device=x.device), x)
        safe = torch.where(t > 0, t, 1)
        argument = x / safe + (self.level / safe).log()
        positive = torch.where(argument > -60, t * wright_omega(argument), 0)
        return torch.where(t > 0, positive, x.clamp(min=0))
