"""A built problem: the named, typed objects that solvers need, and how far an answer is from the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.linalg import Blocks, ProductSpace, Space
from explorer.problems.base import Truth


class Problem:
    """Named offers, with the truth kept apart.

    Attributes
    ----------
    offers : mapping
        Objects by their documented names (:data:`explorer.catalogue.NAMES`).
    domain, codomain : Space
        Spaces of the unknown and of the data; `codomain` is None where there is no operator.
    x_true, y, clean : Tensor, Blocks or None
        The truth, the data (one a draw), and the data without noise.
    batch : tuple of int
        Leading dimensions of the data.
    """

    def __init__(
        self,
        offers: Mapping[str, Any],
        truth: Truth,
        domain: Any,
        clean: Any = None,
        batch: tuple[int, ...] = (),
    ) -> None:
        self.offers = dict(offers)
        self.truth, self.domain, self.clean, self.batch = truth, domain, clean, batch
        self.codomain = self.offers.get("codomain")
        self._norms: dict[int | None, Tensor] = {}

    def __getitem__(self, name: str) -> Any:
        return self.offers[name]

    @property
    def A(self) -> Any:
        """The linear operator, or None."""
        return self.offers.get("A")

    @property
    def F(self) -> Any:
        """The forward model, or None."""
        return self.offers.get("F")

    @property
    def y(self) -> Any:
        """The data, or None."""
        return self.offers.get("y")

    @property
    def noise(self) -> Any:
        """The noise model."""
        return self.offers.get("noise")

    @property
    def prior(self) -> Any:
        """The prior."""
        return self.offers.get("prior")

    @property
    def x_true(self) -> Any:
        """The truth, or None."""
        return self.truth.x

    def reference(self, system: int | None = None) -> Any:
        """Return the truth, of one system where there are several."""
        return self.x_true if system is None or self.x_true is None else self.x_true[system]

    def align(self, x: Any, system: int | None = None) -> Any:
        """Return the representative of `x` nearest to the truth, among those that the data cannot tell apart."""
        return x if self.x_true is None else self.truth.align(x, self.reference(system))

    def distance(self, x: Any, system: int | None = None) -> Tensor | None:
        """Return ‖x − x_true‖ / ‖x_true‖ per sample, the problem's ambiguity removed; None without a truth.

        Where the truth is zero, the distance is ‖x‖.
        """
        truth = self.reference(system)
        if truth is None:
            return None
        if system not in self._norms:
            norm = self.domain.norm(truth)
            self._norms[system] = torch.where(norm > 0, norm, 1.0)
        x = self.truth.align(x, truth)
        if isinstance(x, Tensor) and x.shape == truth.shape and not x.is_complex():
            return torch.dist(x, truth) / self._norms[system]
        return self.domain.norm(x - truth) / self._norms[system]


def space_of(x: Any) -> Any:
    """Return the space of which `x` is one element."""
    if isinstance(x, Blocks):
        return ProductSpace(tuple(space_of(b) for b in x))
    return Space(tuple(x.shape), x.dtype, x.device)
