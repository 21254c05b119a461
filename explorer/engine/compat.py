"""Which choices can work together, and one sentence why not, from a build that holds no data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer.catalogue import SHELVES, Component, SpecError, describe
from explorer.engine.build import build
from explorer.engine.run import prepare
from explorer.engine.spec import RunSpec

#: fields of a specification that are looked at when another choice is judged
_NEEDED_FROM = {"prior": "prior", "precond": "precond", "A": "operator", "F": "operator"}


def compatible(spec: RunSpec, field: str = "solver") -> dict[str, str | None]:
    """Say of every component that could stand in `field` whether it works with the rest of `spec`.

    Parameters
    ----------
    spec : RunSpec
        The other choices.
    field : str
        Field of the specification; ``solver`` unless another is asked for.

    Returns
    -------
    dict
        Name to None where it works, else one sentence why not, naming the fix if there is one.
    """
    shadow = spec.replace(device="meta", draws=None)
    if field == "solver":
        try:
            offers = build(shadow).offers
        except SpecError as error:
            return dict.fromkeys(SHELVES["solver"], str(error.message))
        return {name: _solver_refusal(component, shadow, offers) for name, component in SHELVES["solver"].items()}
    return {name: _refusal(shadow, field, name) for name in SHELVES[RunSpec.kinds[field]]}


def _refusal(shadow: RunSpec, field: str, name: str) -> str | None:
    """Judge a part that is not the solver: can the problem be built with it?"""
    kind = RunSpec.kinds[field]
    if field in ("rule", "stop"):
        return _end_refusal(shadow, field, name)
    try:
        problem = build(shadow.replace(**{field: name}))
    except SpecError as error:
        return str(error.message)
    if field in ("prior", "precond") and name != "none":
        solver = SHELVES["solver"][shadow.solver.name]
        if field not in [n.name for n in solver.needs]:
            return f"{solver.title} does not use a {kind}: choose a solver that does"
        need = next(n for n in solver.needs if n.name == field)
        phrase = need.lacks(problem.offers.get(field))
        return (
            None
            if phrase is None
            else f"{solver.title} needs {phrase}, and {describe(problem.offers.get(field))} is not"
        )
    return None


def _end_refusal(shadow: RunSpec, field: str, name: str) -> str | None:
    try:
        prepare(shadow.replace(**{field: name}))
    except SpecError as error:
        return str(error.message) if error.field.startswith(field) else None
    return None


def _solver_refusal(solver: Component, shadow: RunSpec, offers: Mapping[str, Any]) -> str | None:
    for need in solver.needs:
        thing = {"rng": True}.get(need.name, offers.get(need.name))
        if need.name == "rng" or (thing is None and need.optional):
            continue
        if thing is None:
            return f"{solver.title} needs {need.says}, and there is none{_fix(solver, need.name, shadow)}"
        if (phrase := need.lacks(thing)) is not None:
            return f"{solver.title} needs {phrase}, and {describe(thing)} is not{_fix(solver, need.name, shadow)}"
    names = [n.name for n in solver.needs]
    if shadow.operator is not None and not {"A", "F", "y"} & set(names):
        return f"{solver.title} does not use an operator: switch it to None"
    for field, none in (("prior", "none"), ("precond", "none")):
        if field not in names and getattr(shadow, field).name != none:
            return f"{solver.title} does not use a {RunSpec.kinds[field]}: switch it to {none!r}"
    return None


def _fix(solver: Component, need: str, shadow: RunSpec) -> str:
    """Name the first other choice that would do, if one part alone is to blame."""
    field = _NEEDED_FROM.get(need)
    if field not in ("prior", "precond"):
        return ""
    wanted = next(n for n in solver.needs if n.name == need)
    for name in SHELVES[RunSpec.kinds[field]]:
        try:
            thing = build(shadow.replace(**{field: name})).offers.get(need)
        except SpecError:
            continue
        if name != "none" and thing is not None and wanted.lacks(thing) is None:
            return f": switch the {RunSpec.kinds[field]} to {name!r}"
    return ""
