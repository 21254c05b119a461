"""Controls from schemas: every row of the form follows from a component's signature.

A row is plain data, which ``controls.js`` draws; its ``id`` is the dotted name that errors use as well, such as
``solver.params.damping``.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from explorer.catalogue import SHELVES, Component, Knob, SpecError
from explorer.engine import fields
from explorer.engine.fields import assign, value_at
from explorer.engine.presets import presets
from explorer.engine.spec import Choice, RunSpec

Row = dict[str, Any]

#: numbers of a decade at which a logarithmic slider rests
_RESTS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
#: decades that a logarithmic slider has below a default, and below 1 where zero is the default
_BELOW, _BELOW_ZERO = 4, 8
_SYMBOL = re.compile(r"(?<![\w‖·/^(])[α-ωΑ-Ω](?![\w‖·/^)])")

#: title of a group, and the fields it shows
_GROUPS = (
    ("Problem", ("problem",)),
    ("Operator", ("operator", "simulator", "finer")),
    ("Noise", ("noise", "seed")),
    ("Method", ("prior", "precond", "solver", "rule", "stop", "record.keep_going")),
    ("Computation", ("device", "dtype")),
)
#: short label under its group's title, and the name that says it alone
_LABELS = {
    "problem": ("Truth", "Truth"),
    "operator": ("Model", "Forward model"),
    "simulator": ("Data from", "Operator that makes the data"),
    "noise": ("Model", "Noise model"),
    "prior": ("Prior", "Prior"),
    "precond": ("Preconditioner", "Preconditioner"),
    "solver": ("Solver", "Solver"),
    "rule": ("Rule", "Rule"),
    "stop": ("Stop", "Stop"),
}

#: fields that are seen at once; the others, and all but the leading knobs of these, are folded away
_LEADING = ("problem", "operator", "noise", "prior", "solver", "device", "dtype")

#: what a field without a component says
_EMPTY = {"simulator": ("The same operator", "choose another and the method works with a wrong model")}


def _plain_knobs() -> dict[str, Knob]:
    """Return the fields of a specification that are no components, as knobs."""
    devices = ["cpu"]
    devices += [f"cuda:{i}" if i else "cuda" for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    dtypes = ("float32", "float64", "complex64", "complex128")
    return {
        "finer": Knob(
            "data grid",
            "int",
            1,
            1,
            8,
            unit="× finer",
            help="grid on which the data are made; 1 is the inverse crime: the solver knows the exact model",
        ),
        "seed": Knob("seed", "int", 0, 0, 2**63 - 1, help="another seed draws other noise; the same one the same"),
        "record.keep_going": Knob(
            "keep going", "bool", False, help="go on past the stop up to the budget, so that semi-convergence shows"
        ),
        "device": Knob("device", "choice", "cpu", choices=tuple(devices), help="where it is computed"),
        "dtype": Knob("precision", "choice", "float32", choices=dtypes, help="the numbers it is computed with"),
    }


def groups(
    spec: RunSpec, typed: Mapping[str, str], refused: Mapping[str, str], first: RunSpec | None = None
) -> list[dict[str, Any]]:
    """Return the whole form.

    Parameters
    ----------
    spec : RunSpec
        What is chosen.
    typed : mapping
        Texts that were typed and refused, by row; they stay visible.
    refused : mapping
        Sentences that say what is wrong, by row.
    first : RunSpec, optional
        What a group can be reset to.
    """
    plain = _plain_knobs()
    made: list[dict[str, Any]] = [{"title": "Begin with", "folded": "", "rows": [_preset(spec)]}]
    began = {} if first is None else {row["id"]: row for group in groups(first, {}, {}) for row in group["rows"]}
    for title, shown in _GROUPS:
        rows: list[Row] = []
        for field in shown:
            rare = field not in _LEADING
            if field in plain:
                rows.append(_row(plain[field], field, value_at(spec, field), "", 0, rare))
            else:
                part = _part(field, RunSpec.kinds[field], *_LABELS[field], getattr(spec, field), 0, rare)
                rows += [_apart(row, field) for row in part]
        for row in rows:
            row["error"] = refused.get(row["id"], "")
            if row["id"] in typed:
                row["text"] = typed[row["id"]]
        folded = f"{spec.device} · {spec.dtype}" if title == "Computation" else ""
        changed = first is not None and any(value_at(spec, field) != value_at(first, field) for field in shown)
        more = ", ".join(_told(row, began.get(row["id"], row)) for row in rows if row["rare"])
        made.append({"title": title, "folded": folded, "rows": rows, "changed": changed and not folded, "more": more})
    return made


def rows(spec: RunSpec, title: str = "") -> list[Row]:
    """Return every row of the form, or of one of its groups."""
    return [row for group in groups(spec, {}, {}) if title in ("", group["title"]) for row in group["rows"]]


def reset(spec: RunSpec, first: RunSpec, title: str) -> RunSpec:
    """Return `spec` with one group as it is in `first`."""
    for field in dict(_GROUPS).get(title, ()):
        spec = assign(spec, field, value_at(first, field))
    return spec


def _preset(spec: RunSpec) -> Row:
    """Return the row that offers presets; it is blank where the settings are no preset."""
    known = presets()
    at = next((title for title, preset in known.items() if preset == spec), "")
    return {
        "id": "preset", "type": "component", "label": "Preset", "name": "Preset", "depth": 0, "kind": "", "value": at,
        "text": at or "Your own settings", "cards": True, "error": "",
        "help": "Settings to begin with; choosing one changes everything below",
    }  # fmt: skip


def title_of(spec: RunSpec, field: str) -> str:
    """Return the name and the title of what is chosen in a field."""
    choice = getattr(spec, field)
    title = SHELVES[RunSpec.kinds[field]][choice.name].title if choice is not None else "none"
    return f"{_LABELS[field][1].lower()} to {title}"


def _apart(row: Row, field: str) -> Row:
    """Return a row of the method that says whose it is, where it is folded away from there."""
    away = row["rare"] and row["depth"] > 0 and field in ("prior", "solver")
    return row | {"label": f"{_LABELS[field][0]}: {_small(row['label'])}"} if away else row


def _small(label: str) -> str:
    return label[:1].lower() + label[1:]


def _told(row: Row, began: Row) -> str:
    """Return what is said of a row that is folded away: its name, and its value where that is not as it began."""
    told, value = _small(row["label"]), row.get("value")
    said = row.get("text") or {None: "auto", True: "on", False: "off"}.get(value, str(value))
    return told if row == began else f"{told} {said} {row.get('unit', '')}".rstrip()


def _part(path: str, kind: str, label: str, name: str, choice: Any, depth: int, rare: bool) -> list[Row]:
    """Return the row that chooses a component, and the rows of its knobs."""
    chosen = choice.as_dict() if isinstance(choice, Choice) else choice
    component = None if chosen is None else SHELVES[kind][chosen["name"]]
    empty, hint = _EMPTY.get(path, ("None", "the problem brings what is needed"))
    row = {
        "id": path, "type": "component", "label": label, "name": name, "depth": depth, "kind": kind,
        "value": component.name if component else "", "text": component.title if component else empty,
        "help": component.summary if component else hint, "rare": rare,
    }  # fmt: skip
    inner = [] if component is None else list(_knobs(component, path, chosen["params"], name, depth, rare))
    return [row, *inner]


def _knobs(
    component: Component, path: str, params: Mapping[str, Any], where: str, depth: int, rare: bool
) -> Iterator[Row]:
    for i, knob in enumerate(component.knobs.values()):
        at, value = f"{path}.params.{knob.name}", params.get(knob.name)
        aside = rare or not _leads(knob, i, path)
        if knob.type == "part":
            yield from _part(at, knob.kind, label(knob), f"{where}, {label(knob).lower()}", value, depth + 1, aside)
        else:
            yield _row(knob, at, value, where, depth + 1, aside)


def _leads(knob: Knob, place: int, path: str) -> bool:
    """Say whether a knob is seen at once: the first of a signature, unless it begins switched off, and what is needed.

    Of a truth the first is its size, which few people change.
    """
    if knob.type in ("file", "part"):
        return not knob.optional
    return place == 0 and path != "problem" and knob.default not in (None, 0)


def _row(knob: Knob, path: str, value: Any, where: str, depth: int, rare: bool) -> Row:
    name = f"{where}: {label(knob)}" if where else label(knob)
    told = "" if knob.type in ("bool", "choice", "text", "file") or not knob.help else f" ({knob.allowed})"
    row: Row = {
        "id": path, "type": knob.type, "label": label(knob), "name": name, "depth": depth,
        "help": (knob.help or knob.allowed) + told, "rare": rare,
    }  # fmt: skip
    if knob.type in ("float", "int"):
        return row | _number(knob, value)
    if knob.type == "choice":
        names = [str(c) for c in knob.choices]
        return row | {"choices": names + ([""] if knob.optional else []), "value": "" if value is None else str(value)}
    if knob.type == "file":
        return row | {"value": value or "", "text": f"file {value[:8]}…" if value else "no file yet"}
    return row | ({"value": bool(value)} if knob.type == "bool" else {"text": str(value or "")})


def _number(knob: Knob, value: Any) -> Row:
    """Return range, rests and readout of a number; a list of values has a readout only."""
    many = isinstance(value, tuple | list)
    row: Row = {
        "value": None if many else value,
        "text": ", ".join(f"{v:g}" for v in value) if many else "" if value is None else _spelt(value),
        "unit": knob.unit,
        "optional": knob.optional,
    }
    if many or knob.low is None or knob.high is None or knob.high > 1e7 * max(1.0, knob.low):
        return row  # nobody finds a seed with a slider
    if knob.scale == "log":
        return row | {"rests": rests(knob)}
    step = 1.0 if knob.type == "int" else _nice((knob.high - knob.low) / 250)
    return row | {"low": knob.low, "high": knob.high, "step": step}


def _spelt(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _nice(step: float) -> float:
    decade = 10.0 ** math.floor(math.log10(step))
    return next(m * decade for m in (1, 2, 5, 10) if step <= m * decade * (1 + 1e-9))


def rests(knob: Knob) -> list[float]:
    """Return the values at which a logarithmic slider rests: round numbers, the default and both ends.

    A knob that may be zero has an explicit zero at the left end; the smallest rest above it is far below the default.
    """
    assert knob.low is not None
    assert knob.high is not None
    default = knob.default if isinstance(knob.default, int | float) and knob.default > 0 else None
    low = knob.low or (default * 10.0**-_BELOW if default else min(1.0, knob.high) * 10.0**-_BELOW_ZERO)
    if knob.type == "int":
        low = max(low, 1.0)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(knob.high)) + 1)
    round_numbers = [float(f"{m}e{d}") for d in decades for m in _RESTS]
    values = {v for v in round_numbers if low * (1 - 1e-9) <= v <= knob.high} | {float(knob.low), float(knob.high)}
    values |= {float(default)} if default else set()
    return sorted({round(v) for v in values} if knob.type == "int" else values)


def label(knob: Knob) -> str:
    """Return a knob's name for people: its word and, where its help names one, its symbol.

    Examples
    --------
    >>> label(Knob("sigma", "float", 1.0, help="width σ of the kernel"))
    'Width σ'
    >>> label(Knob("damping", "float", 0.0, help="Tikhonov weight λ"))
    'Damping λ'
    """
    match = _SYMBOL.search(knob.help)
    words = knob.label
    if match is not None:
        spelt = unicodedata.name(match[0], "").rpartition(" ")[2].lower()
        alone = spelt == knob.name and 0 < match.start() <= 20
        words = knob.help[: match.end()] if alone else match[0] if spelt == knob.name else f"{words} {match[0]}"
    return words[:1].upper() + words[1:]


# --- reading and writing one row ----------------------------------------------------------------------------------


def knob_at(spec: RunSpec, path: str) -> Knob:
    """Return the knob at a dotted name, fields that are no components included.

    Raises
    ------
    KeyError
        If the specification has no such row.
    """
    plain = _plain_knobs()
    return plain[path] if path in plain else fields.knob_at(spec, path)


def parsed(knob: Knob, value: Any, path: str) -> Any:
    """Return what a control sent as a value of a knob; text that is no number is refused here, a range later.

    Raises
    ------
    SpecError
        If text that should be a number is none.
    """
    if knob.type == "part":
        return {"name": value} if value else None
    if knob.type == "choice":
        return next((c for c in knob.choices if str(c) == value), None if value == "" else value)
    if knob.type not in ("float", "int") or not isinstance(value, str):
        return value
    text = value.strip().replace("−", "-")
    if not text and knob.optional:
        return None
    try:
        numbers = [_as_number(part, knob.type) for part in text.split(",")]
    except ValueError:
        raise SpecError(f"is {value[:40]!r}, and must be {knob.allowed}", path) from None
    return numbers if len(numbers) > 1 else numbers[0]


def _as_number(text: str, kind: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        number = float(text)
    return int(number) if kind == "int" and number.is_integer() else number
