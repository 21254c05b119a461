"""What a problem provides: the truth, and whatever else its family offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from explorer.linalg import Blocks

Element = Tensor | Blocks


def no_ambiguity(x: Element, reference: Element) -> Element:  # noqa: ARG001 - others need it
    """Return `x`: the data determine the unknown without scale, sign, phase or order left open."""
    return x


@dataclass(frozen=True)
class Truth:
    """The unknown of a problem, made on the CPU in float64; the engine moves it.

    Attributes
    ----------
    x : Tensor, Blocks or None
        The truth; None where it is unknown (a person's own data).
    offers : mapping
        Further objects by their documented names, such as ``M`` or ``systems`` or the data ``y`` themselves.
    align : callable
        ``(x, reference) -> x``: the representative of x nearest to the reference among those that the data cannot
        tell apart.
    domain : Space, optional
        The space of the unknown, where `x` does not say it.
    """

    x: Element | None
    offers: Mapping[str, Any] = field(default_factory=dict)
    align: Callable[[Any, Any], Any] = no_ambiguity
    domain: Any = None
