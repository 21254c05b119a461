"""Which choices can work together, and one sentence why not, from a build that holds no data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from explorer.catalogue import SHELVES, Component, SpecError, check_part
from explorer.engine.build import build, make
from explorer.engine.fit import refuse_rule, refuse_stop, refuse_unused
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import Rng


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

    Raises
    ------
    SpecError
        If there is no such field.
    """
    if field not in RunSpec.kinds:
        raise SpecError(f"there is no choice of {field!r}; known: {', '.join(RunSpec.kinds)}", "field")
    shadow = spec.replace(device="meta", draws=None)
    names = list(SHELVES[RunSpec.kinds[field]])
    if field in ("problem", "operator", "noise", "simulator"):
        return {name: _said(build, shadow.replace(**{field: name})) for name in names}
    plain = shadow.replace(**{f: "none" for f in ("prior", "precond") if f == field})
    try:
        offers = {**build(plain).offers, "rng": Rng(0, "meta"), "bases": False}
    except SpecError as error:
        return dict.fromkeys(names, error.message)
    if field == "rule":
        return {name: _said(refuse_rule, shadow.replace(rule=name), offers) for name in names}
    if field == "stop":
        return {name: _said(refuse_stop, shadow.replace(stop=name), offers) for name in names}
    if field == "solver":
        part = functools.cache(lambda kind, name: _make(shadow, kind, name, offers))
        return {name: _judge_solver(shadow, name, offers, part) for name in names}
    return {name: _judge_part(shadow, field, name, offers) for name in names}


def _said(check: Any, *arguments: Any) -> str | None:
    """Return what `check` has against its arguments."""
    try:
        check(*arguments)
    except SpecError as error:
        return error.message
    return None


def _judge_part(shadow: RunSpec, field: str, name: str, offers: Mapping[str, Any]) -> str | None:
    """Judge a prior or a preconditioner: whether it can be made, and the solver uses it."""
    kind, solver = RunSpec.kinds[field], SHELVES["solver"][shadow.solver.name]
    if field not in {need.name for need in solver.needs}:
        return None if name == "none" else f"{solver.title} does not use a {kind}: choose a solver that does"
    made, why = _make(shadow, kind, name, offers)
    lacking = solver.lacking({**offers, field: made})
    return why or (lacking[1] if lacking is not None and lacking[0].name == field else None)


def _judge_solver(shadow: RunSpec, name: str, offers: Mapping[str, Any], part: Callable[..., Any]) -> str | None:
    solver = SHELVES["solver"][name]
    if (lacking := solver.lacking(offers)) is not None:
        return lacking[1] + _fix(solver, lacking[0].name, offers, part)
    candidate = shadow if name == shadow.solver.name else shadow.replace(solver=name)
    return (
        _said(solver.bind, offers, candidate.solver.params)
        or _said(refuse_unused, candidate)
        or _said(refuse_rule, candidate, offers)
        or _said(refuse_stop, candidate, offers)
    )


def _fix(solver: Component, need: str, offers: Mapping[str, Any], part: Callable[..., Any]) -> str:
    """Name the first other prior or preconditioner that would do, if that alone is to blame."""
    if need not in ("prior", "precond"):
        return ""
    kind = RunSpec.kinds[need]
    for name in SHELVES[kind]:
        made, _ = part(kind, name)
        if name != "none" and made is not None and solver.lacking({**offers, need: made}) is None:
            return f": switch the {kind} to {name!r}"
    return ""


def _make(shadow: RunSpec, kind: str, name: str, offers: Mapping[str, Any]) -> tuple[Any, str | None]:
    """Return a part with its defaults, or why it cannot be made."""
    try:
        return make(Choice(**check_part(name, kind, kind)), kind, offers, shadow), None
    except SpecError as error:
        return None, error.message
