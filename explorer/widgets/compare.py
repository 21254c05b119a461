"""Runs that were kept: their curves one over the other, and a table of what differs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anywidget
import ipywidgets
import traitlets

from explorer.catalogue import SHELVES, SpecError, solvers
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec
from explorer.figures.comparison import AXES, MEASURES, compare, facts, pair
from explorer.figures.words import Note
from explorer.widgets.canvas import HERE, Picture
from explorer.widgets.choices import sentence
from explorer.widgets.panels import Controls, notes_html, text

#: most runs that are kept; each holds its iterates
MOST = 12
_TITLES = {
    "name": "Run", "settings": "What differs", "relative_error": "Error", "psnr": "PSNR / dB", "ssim": "SSIM",
    "steps": "Steps", "products": "Products", "seconds": "Seconds", "memory": "≈ MiB", "ended": "Ended by",
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


class Pair(ipywidgets.Box):
    """The pictures of two kept runs, which take turns and stand side by side, and their difference."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.form, self.notes = Controls(), text("", "ex-notes")
        self.form.on_msg(self._receive)
        self.both, self.beside, self.apart = (Picture(click="") for _ in range(3))
        self._runs: dict[str, Run] = {}
        self._pinned = ""
        self.chosen = ["", ""]
        super().__init__()
        self.add_class("ex-look")

    def show(self, runs: Mapping[str, Run], pinned: str, newest: str) -> None:
        """Show the newest of these runs beside the pinned one, or beside the one that was chosen last."""
        first, second = self.chosen
        if pinned != self._pinned and pinned:
            first = pinned
        if list(runs) != list(self._runs):
            second = newest
        self._runs, self._pinned = dict(runs), pinned
        first = first if first in runs else next(iter(runs), "")
        if second not in runs or second == first:
            second = next((name for name in reversed(list(runs)) if name != first), "")
        self.chosen = [first, second]
        self._draw()

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        with self._lock, self.form.hold_sync():
            self.form.seq = int(content.get("seq", 0))
            place, name = str(content.get("id")), str(content.get("value"))
            if place in _PLACES and name in self._runs:
                self.chosen[_PLACES.index(place)] = name
                self._draw()

    def _draw(self) -> None:
        a, b = self.chosen
        if not b:
            self._fill()
            return
        names = list(self._runs)
        rows = [_choice(place, names, name) for place, name in zip(_PLACES, self.chosen, strict=True)]
        self.form.groups = [{"title": "", "rows": rows}]
        try:
            first, second, apart = pair(self._runs[a], self._runs[b], (a, b))
        except SpecError as error:
            self.notes.value = notes_html([Note("warn", "No pictures to compare", sentence(error.message))])
            self._fill(self.form, self.notes)
            return
        self.both.show(first, second)
        self.beside.show(second)
        self.apart.show(apart)
        self._fill(self.both, self.beside, self.apart, self.form)

    def _fill(self, *parts: Any) -> None:
        self.children = parts


_PLACES = ("first", "second")


def _choice(place: str, names: list[str], name: str) -> dict[str, Any]:
    title = f"{place.capitalize()} picture"
    return {
        "id": place, "type": "choice", "label": title, "name": title, "depth": 0, "choices": names, "value": name,
        "text": name, "error": "", "help": "Which of the kept runs",
    }  # fmt: skip


class Compare:
    """The runs that a person has kept.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    changed : callable
        Called when the figure has to be drawn anew.
    show : callable
        Called with a run that the person wants to see again.

    Attributes
    ----------
    runs : dict
        Name to run, in the order in which they were kept.
    """

    def __init__(self, lock: threading.RLock, changed: Callable[[], None], show: Callable[[Run], None]) -> None:
        self._lock = lock
        self.runs: dict[str, Run] = {}
        self.shown = self.pinned = ""
        self._changed, self._show = changed, show
        self._measure, self._axis, self._count = "error", "step", 0
        self.table = Table(empty="Press Keep after a run, change something, run again and keep that as well.")
        self.table.on_msg(self._receive)
        self.pair = Pair(lock)

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
        return {f"{name}: {solvers[run.spec.solver.name].title}": run for name, run in self.runs.items()}

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        with self._lock:
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
        self.pair.show(self.runs, self.pinned, next(reversed(self.runs), ""))
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
    kind = RunSpec.kinds.get(path.removesuffix(".name")) if path.endswith(".name") else None
    if kind is not None and value in SHELVES[kind]:
        value = SHELVES[kind][value].title
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
