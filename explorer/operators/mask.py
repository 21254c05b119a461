"""Masks: some entries are observed, the others are not."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.drawing import Drawing, sampled_places


class Mask(LinearOperator):
    """``(A x)_i = x_{kept_i}``: a vector of the entries that are kept.

    Parameters
    ----------
    domain : Space
    kept : Tensor
        Different indices into the flattened element, shape ``(m,)``.
    """

    title = "this mask"
    coisometry = True

    nonnegative = True

    def __init__(self, domain: Space, kept: Tensor) -> None:
        super().__init__(domain, Space((len(kept),), domain.dtype, domain.device))
        self.kept = kept

    def _forward(self, x: Tensor) -> Tensor:
        return x.reshape(*self.domain.batch(x), self.domain.size).index_select(-1, self.kept)

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = self.codomain.batch(y)
        return y.new_zeros((*batch, self.domain.size)).index_copy_(-1, self.kept, y).reshape(*batch, *self.domain.shape)

    def gram_diagonal(self) -> Tensor:
        """Return 1 where an entry is kept, else 0."""
        ones = torch.ones(self.codomain.shape, dtype=real_dtype(self.domain.dtype), device=self.domain.device)
        return self._adjoint(ones)

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the mask."""
        return sampled_places("What is observed", "entries", self.domain.shape, self.kept, datum)

    def picture(self, y: Tensor) -> Tensor:
        """Return the element with zeros where nothing is observed."""
        return self._adjoint(y)


@operator(
    "Random mask",
    equation=r"(Ax)_i = x_{\pi(i)}",
    works="Missing pixels with neighbours that are known.",
    fails="Holes wider than the details round them: a prior fills them with what it likes.",
)
def random_mask(
    domain: Space,
    rng: Rng,
    *,
    observed: Annotated[float, Linear(0.01, 1, help="fraction of the entries that is observed")] = 0.5,
) -> Mask:
    """Observe a random fraction of the pixels or samples: inpainting."""
    kept = max(1, round(observed * domain.size))
    made = Mask(domain, random_subset(torch.ones(domain.size, device=domain.device), kept, rng))
    made.title = "Random mask"
    return made


def random_subset(weight: Tensor, size: int, rng: Rng) -> Tensor:
    """Draw indices without replacement, one after the other with probability proportional to `weight`, and sort them.

    Efraimidis & Spirakis 2006: Weighted random sampling with a reservoir.

    Parameters
    ----------
    weight : Tensor
        Weights ≥ 0, shape ``(n,)``; an infinite one is drawn for certain, on ``meta`` nothing is drawn.
    size : int
        How many, at most the number of positive weights.

    Returns
    -------
    Tensor
        Ascending indices, shape ``(size,)``, on the device of `weight`.
    """
    if weight.device.type == "meta":
        return torch.empty(size, dtype=torch.int64, device="meta")
    waiting = -torch.log1p(-rng.uniform((len(weight),), torch.float64)) / weight.cpu()
    return waiting.topk(size, largest=False).indices.sort().values.to(weight.device)
