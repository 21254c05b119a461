"""Solvers: one generator per method, reading like the textbook.

Every registered solver is also a plain callable here; its steps then own their iterate:
``for step in explorer.solvers.cgls(A, y): …``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from explorer import catalogue
from explorer.solvers.steps import Draw, Solution, Step

__all__ = ["Draw", "Solution", "Step"]


def __getattr__(name: str) -> Any:
    return _owning(catalogue.solvers.public(name, __name__))


def _owning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a solver so that what it yields may be kept."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        return made if isinstance(made, Solution) else _cloned(made)

    return call


def _cloned(steps: Iterator[Any]) -> Iterator[Any]:
    for step in steps:
        step.x = step.x.clone()
        yield step
