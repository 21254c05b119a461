"""What can be chosen beside the other choices, why not, and what would have to change."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from explorer.catalogue import SHELVES, Component, SpecError
from explorer.engine.compat import compatible
from explorer.engine.links import from_link, is_link
from explorer.engine.presets import presets, thumbnails
from explorer.engine.quickest import first_choice
from explorer.engine.run import prepare
from explorer.engine.spec import RunSpec
from explorer.widgets import knobs

#: where the widget begins: the discrepancy principle picks an iterate, and the run goes on past it
START: Mapping[str, Any] = {
    "noise": {"name": "gaussian", "params": {"level": 0.05}},
    "rule": "discrepancy",
    "record": {"keep_going": True},
}
#: in which order other parts are changed so that a choice fits: first what costs the person least
_JUDGES, _GIVES = ("rule", "precond", "prior", "solver"), ("solver", "operator", "problem", "noise", "stop")
#: fields that may be empty, and what that means
NONE = {"operator": "None: the problem brings its own", "simulator": "The same operator"}
_FIELD_OF = {"preconditioner": "precond"}  # where a kind and its field differ in name
_PLAINEST = {"rule": "fixed", "precond": "none", "prior": "none", "simulator": None, "finer": 1}


def begin(spec: Any, chosen: Mapping[str, Any]) -> RunSpec:
    """Return the first specification; parts that were not asked for are adapted to those that were."""
    if spec:
        return as_spec(spec).replace(**chosen)
    wanted = RunSpec(**{**START, **chosen})
    try:
        if chosen:
            prepare(wanted)
    except SpecError:
        return fit(wanted, set(chosen)) or wanted
    return wanted


def as_spec(spec: Any) -> RunSpec:
    """Return what a person may hand over, JSON text, a link, a mapping or a specification, as a specification."""
    if isinstance(spec, str):
        return from_link(spec) if is_link(spec) else RunSpec.from_json(spec)
    return spec if isinstance(spec, RunSpec) else RunSpec.from_json(json.dumps(dict(spec)))


@dataclass(frozen=True)
class Option:
    """A component that could stand in a field.

    Attributes
    ----------
    value, label : str
        Its name, and its title.
    why : str
        Empty where it works with the other choices, else one sentence why not.
    """

    value: str
    label: str
    why: str = ""


def options(spec: RunSpec, field: str, kind: str = "") -> list[Option]:
    """Return everything that could stand in a field, what works first.

    Parameters
    ----------
    spec : RunSpec
        The other choices.
    field : str
        Field of the specification, the dotted name of a nested part, or ``preset``.
    kind : str
        Kind of a nested part; parts are judged when the whole runs.
    """
    if field == "preset":
        return [Option(title, title) for title in presets()]
    shelf = SHELVES[RunSpec.kinds.get(field, kind)]
    refusals = compatible(spec, field) if field in RunSpec.kinds else dict.fromkeys(shelf)
    found = [Option(name, shelf[name].title, sentence(why or "")) for name, why in refusals.items()]
    found = [Option(o.value, o.label) if _asks_for_a_file(shelf[o.value]) else o for o in found]
    if field in NONE:
        without = refusal(spec.replace(**{field: None}))
        found.append(Option("", NONE[field], sentence(without.message) if without else ""))
    return sorted(found, key=lambda option: bool(option.why))


def stamps() -> dict[str, str]:
    """Return the pictures of the presets as addresses of images, by title."""
    encoded = {title: base64.b64encode(made).decode("ascii") for title, made in thumbnails().items()}
    return {title: f"data:image/png;base64,{text}" for title, text in encoded.items()}


def _asks_for_a_file(component: Component) -> bool:
    """Say whether a component can only be judged once a file has been given to it."""
    return any(knob.type == "file" and not knob.default for knob in component.knobs.values())


def refusal(spec: RunSpec) -> SpecError | None:
    """Return why a specification cannot run, judged without data, or None."""
    try:
        prepare(spec.replace(device="meta", draws=None))
    except SpecError as error:
        return error
    return None


def fit(spec: RunSpec, keep: Collection[str]) -> RunSpec | None:
    """Return `spec` with as few other parts changed as it takes to run, or None.

    Parameters
    ----------
    spec : RunSpec
    keep : collection of str
        Fields that must stay as they are.
    """
    plainest = spec
    for field, plain in [("", None), *_PLAINEST.items()]:  # first as it is, then the plainest rule, preconditioner, …
        if field in keep:
            continue
        plainest = plainest.replace(**{field: plain}) if field else spec
        if (error := refusal(plainest)) is None:
            return plainest
        if "." in error.field and error.field.partition(".")[0] in keep:
            return None  # what is kept is itself at fault: no other part can mend that
    for changed in (*_changes(spec, _JUDGES, keep), *_changes(plainest, _GIVES, keep)):
        if refusal(changed) is None:
            return _restored(changed, spec)
    return None


def _changes(spec: RunSpec, fields: Collection[str], keep: Collection[str]) -> Iterator[RunSpec]:
    """Yield specifications with one of the fields changed, the quickest solver for a prior that splits before others.

    A new problem may bring its own operator.
    """
    for field in (f for f in fields if f not in keep):
        first = first_choice(spec) if field == "solver" else None
        for name in sorted(SHELVES[RunSpec.kinds[field]], key=lambda name: name != first):
            yield spec.replace(**{field: name})
            if field == "problem" and "operator" not in keep:
                yield spec.replace(problem=name, operator=None)
    if "operator" in fields and "operator" not in keep:
        yield spec.replace(operator=None)


def _restored(changed: RunSpec, spec: RunSpec) -> RunSpec:
    """Return a specification with what was made plain set back to what it was, where that runs as well."""
    for field in _PLAINEST:
        before = getattr(spec, field)
        if getattr(changed, field) != before and refusal(again := changed.replace(**{field: before})) is None:
            changed = again
    return changed


def difference(old: RunSpec, new: RunSpec) -> list[str]:
    """Return the fields in which another component was chosen."""
    return [f for f in RunSpec.kinds if _name(old, f) != _name(new, f)]


def _name(spec: RunSpec, field: str) -> str | None:
    choice = getattr(spec, field)
    return None if choice is None else choice.name


def sentence(text: str) -> str:
    """Return text with a capital letter at its beginning, unless it begins with a name, and a full stop at its end."""
    text = text.strip()
    if text.partition(" ")[0].isalpha():
        text = text[:1].upper() + text[1:]
    return text + ("" if text[-1:] in (".", "!", "?", "…", "") else ".")


def told(spec: RunSpec, error: SpecError, path: str = "") -> str:
    """Return an error as a sentence with the name of its control as the subject."""
    if not error.message.startswith("is "):
        return sentence(error.message)
    where = path or row_of(spec, error)
    name = next((row["name"] for row in knobs.rows(spec) if row["id"] == where), error.field)
    return sentence(f"{name} {error.message}")


def row_of(spec: RunSpec, error: SpecError) -> str:
    """Return the row that an error is about: the nearest that exists."""
    field = error.field.split(".")[0]
    path = ".".join([_FIELD_OF.get(field, field), *error.field.split(".")[1:]])
    present = {row["id"] for row in knobs.rows(spec)}
    while path and path not in present:
        path = path.rpartition(".")[0]
    return path
