"""Data that the solver's own operator did not make: by another operator, on a finer grid, or both.

Data and reconstruction from one and the same matrix are the *inverse crime*: the errors of the model are missing, and
every method looks better than it is (Colton & Kress 1992: Inverse acoustic and electromagnetic scattering theory).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from explorer.catalogue import SHELVES, SpecError
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import Space


def finer_problem(spec: RunSpec) -> Choice:
    """Return the problem on the grid on which its data are made.

    Raises
    ------
    SpecError
        If the problem has no size to refine, or there is no operator whose data could be simulated.
    """
    size = spec.problem.params.get("size")
    title = SHELVES["problem"][spec.problem.name].title
    if spec.operator is None or not isinstance(size, int):
        raise SpecError(f"is {spec.finer}, and {title} has no size that could be finer: set it to 1", "finer")
    return spec.replace(problem=Choice(spec.problem.name, {**spec.problem.params, "size": size * spec.finer})).problem


def finer_operator(choice: Choice, spec: RunSpec) -> Choice:
    """Return the same measurement for the finer grid: knobs in pixels grow with their number.

    An operator declares by its trait ``finer`` which knobs do so, each with its power.
    """
    component = SHELVES["operator"][choice.name]
    powers: Mapping[str, int] | None = component.traits.get("finer")
    if powers is None:
        raise SpecError(f"is {spec.finer}, and {component.title} has no finer grid: set it to 1", "finer")
    grown = {name: choice.params[name] * spec.finer**power for name, power in powers.items()}
    return Choice(choice.name, {**choice.params, **grown})


def averaged(x: Any, space: Any, times: int) -> Any:
    """Return the mean over cells of so many fine pixels a side, along every dimension that is finer than `space`."""
    if not isinstance(x, Tensor) or not isinstance(space, Space):
        return x
    for axis, n in enumerate(space.shape, start=x.ndim - space.ndim):
        if x.shape[axis] == times * n:
            x = x.unflatten(axis, (n, times)).mean(axis + 1)
    return x


def refuse_other_data(clean: Any, codomain: Any, spec: RunSpec) -> None:
    """Refuse data of another shape than the solver's operator gives."""
    field = "finer" if spec.simulator is None else "simulator"
    if isinstance(codomain, Space) and (not isinstance(clean, Tensor) or clean.ndim != codomain.ndim):
        raise SpecError("it does not fit the method: what it gives has another number of dimensions", field)
    try:
        codomain.check(clean, "it does not fit the method: what it gives")
    except SpecError as error:
        raise SpecError(error.message, field) from None
