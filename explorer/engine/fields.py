"""Reading and writing one value of a specification by its dotted name, such as ``solver.params.damping``."""

from __future__ import annotations

from typing import Any

from explorer.catalogue import SHELVES, Knob
from explorer.engine.spec import Choice, RunSpec


def value_at(spec: RunSpec, path: str) -> Any:
    """Return the value at a dotted name of a specification."""
    field, *keys = path.split(".")
    value = getattr(spec, field)
    if keys:
        value = value.as_dict() if isinstance(value, Choice) else value.model_dump()
        for key in keys:
            value = value[key]
    return value


def assign(spec: RunSpec, path: str, value: Any) -> RunSpec:
    """Return `spec` with another value at a dotted name.

    Raises
    ------
    SpecError
        If the value is not allowed there.
    """
    field, *keys = path.split(".")
    if not keys:
        return spec.replace(**{field: value})
    whole = getattr(spec, field)
    data = whole.as_dict() if isinstance(whole, Choice) else whole.model_dump()
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return spec.replace(**{field: data})


def knob_at(spec: RunSpec, path: str) -> Knob:
    """Return the knob at a dotted name; a field that holds a component is a knob as well.

    Raises
    ------
    KeyError
        If the specification has none there.
    """
    if path in RunSpec.kinds:
        return Knob(path, "part", None, kind=RunSpec.kinds[path])
    owner, found, name = path.rpartition(".params.")
    if not found:
        raise KeyError(path)
    kind, chosen = knob_at(spec, owner).kind, value_at(spec, owner)
    return SHELVES[kind][chosen.name if isinstance(chosen, Choice) else chosen["name"]].knobs[name]
