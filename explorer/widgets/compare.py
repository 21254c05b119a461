"""Runs that were kept: their curves one over the other, and a table of what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anywidget
import traitlets

from explorer.engine.run import Run
from explorer.figures.comparison import AXES, MEASURES, compare, facts
from explorer.widgets.canvas import HERE

#: most runs that are kept; each holds its iterates
MOST = 12
_TITLES = {
    "name": "Run", "settings": "What differs", "relative_error": "Error", "psnr": "PSNR / dB", "ssim": "SSIM",
    "steps": "Steps", "products": "Products", "seconds": "Seconds", "ended": "Ended by",
}  # fmt: skip


class Table(anywidget.AnyWidget):
    """A table that sorts, with buttons in every row.

    Attributes
    ----------
    columns : list of str
    rows : list of dict
        ``id``, ``cells`` (texts), ``keys`` (what they sort by), and whether it is ``shown`` and ``pinned``.
    lists : list of dict
        ``id``, ``label``, ``choices`` (pairs of value and text) and ``value`` of the lists above the table.
    empty : str
        What to say where there is no row.
    """

    _esm = HERE / "table.js"

    columns: Any = traitlets.List().tag(sync=True)
    rows: Any = traitlets.List().tag(sync=True)
    lists: Any = traitlets.List().tag(sync=True)
    empty = traitlets.Unicode("").tag(sync=True)


class Compare:
    """The runs that a person has kept.

    Parameters
    ----------
    changed : callable
        Called when the figure has to be drawn anew.
    show : callable
        Called with a run that the person wants to see again.

    Attributes
    ----------
    runs : dict
        Name to run, in the order in which they were kept.
    """

    def __init__(self, changed: Callable[[], None], show: Callable[[Run], None]) -> None:
        self.runs: dict[str, Run] = {}
        self.shown = self.pinned = ""
        self._changed, self._show = changed, show
        self._measure, self._axis, self._count = "error", "step", 0
        self.table = Table(empty="Press Keep after a run, change something, run again and keep that as well.")
        self.table.on_msg(self._receive)

    def keep(self, run: Run) -> str:
        """Keep a run and return its name; the oldest goes where there are too many."""
        for name, kept in self.runs.items():
            if kept is run:
                return name
        self._count += 1
        name = _letters(self._count)
        self.runs[name] = run
        if len(self.runs) > MOST:
            del self.runs[next(n for n in self.runs if n != self.pinned)]
        self.shown = name
        self._draw()
        return name

    def figure(self, dark: bool) -> Any:
        """Return the curves of all runs that have the chosen measure."""
        return compare(self._labels(), self._measure, self._axis, dark)

    def _labels(self) -> dict[str, Run]:
        return {f"{name}: {run.spec.solver.name}": run for name, run in self.runs.items()}

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        name = str(content.get("id", ""))
        action = content.get("action")
        if action == "measure" and name in MEASURES:
            self._measure = name
        elif action == "axis" and name in AXES:
            self._axis = name
        elif name in self.runs and action == "show":
            self.shown = name
            self._show(self.runs[name])
        elif name in self.runs and action == "pin":
            self.pinned = "" if self.pinned == name else name
        elif name in self.runs and action == "remove":
            del self.runs[name]
            self.pinned = "" if self.pinned == name else self.pinned
        else:
            return
        self._draw()

    def _draw(self) -> None:
        told = {name: facts(run) for name, run in self.runs.items()}
        settings = differences(self.runs)
        numbers = [c for c in _TITLES if any(c in row for row in told.values()) and c != "ended"]
        columns = ["name", "settings", *numbers, "ended"]
        rows = []
        for name, row in told.items():
            whole = {"name": name, "settings": settings[name], **row}
            base = told.get(self.pinned, {}) if name != self.pinned else {}
            cells = [_cell(whole.get(c, ""), base.get(c)) for c in columns]
            rows.append(
                {
                    "id": name,
                    "cells": cells,
                    "keys": [whole.get(c, "") for c in columns],
                    "shown": name == self.shown,
                    "pinned": name == self.pinned,
                }
            )
        with self.table.hold_sync():
            self.table.columns = [_TITLES[c] for c in columns]
            self.table.rows = rows
            self.table.lists = [
                {"id": "measure", "label": "Curve", "choices": [*MEASURES.items()], "value": self._measure},
                {"id": "axis", "label": "Over", "choices": [*AXES.items()], "value": self._axis},
            ]
        self._changed()


def differences(runs: Mapping[str, Run]) -> dict[str, str]:
    """Return for every run the settings in which not all agree, in words."""
    leaves = {name: dict(_leaves(run.spec.model_dump())) for name, run in runs.items()}
    paths = dict.fromkeys(path for found in leaves.values() for path in found)
    differing = [p for p in paths if len({repr(found.get(p)) for found in leaves.values()}) > 1]
    return {
        name: ", ".join(_setting(p, found[p]) for p in differing if p in found) or "nothing"
        for name, found in leaves.items()
    }


def _setting(path: str, value: Any) -> str:
    name = path.removesuffix(".name").rpartition(".")[2].replace("_", " ")
    return f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _cell(value: Any, base: Any) -> str:
    if not isinstance(value, float | int):
        return str(value)
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    if not isinstance(base, float | int) or base == value:
        return text
    sign = "+" if value > base else "−"
    return f"{text} ({sign}{abs(value - base):.2g})"


def _letters(number: int) -> str:
    """Return a name of capital letters: A, B, …, Z, AA, AB and so on."""
    name = ""
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(65 + rest) + name
    return name
