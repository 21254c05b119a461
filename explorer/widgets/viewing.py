"""How the pictures are drawn: colours, range, slice, and the part of complex values."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, get_args

from explorer.engine.problem import Problem
from explorer.figures.colours import TABLES
from explorer.figures.panels import USUAL, Panel, Part, View, slices, span, viewable
from explorer.figures.words import Note
from explorer.widgets.panels import Controls

#: names of the scales for people
SCALES = {"of the truth": "truth", "of each picture": "own", "chosen": "chosen"}
PARTS = get_args(Part)
#: pictures whose values are counted
COUNTED = ("Truth", "Reconstruction")


class Viewing:
    """A form of how pictures are drawn; nothing is solved for it.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    changed : callable
        Called when pictures have to be drawn anew.

    Attributes
    ----------
    form : Controls
    view : View
        What is chosen.
    """

    def __init__(self, lock: threading.RLock, changed: Callable[[], None]) -> None:
        self._lock, self._changed = lock, changed
        self.form = Controls()
        self.form.on_msg(self._receive)
        self.form.add_class("ex-view")
        self.view = USUAL
        self._error, self._ends = "", (0.0, 1.0)
        self._slices, self._complex, self._full = 1, False, False

    def look_at(self, problem: Problem) -> None:
        """Offer what there is to choose for a problem."""
        self._slices, self._complex = slices(problem), bool(getattr(problem.domain, "is_complex", False))
        self._ends = span(viewable(problem.x_true))
        self._fill()

    def open(self, full: bool) -> None:
        """Offer everything, or only which slice and which part is seen."""
        self._full = full
        self._fill()

    def _fill(self) -> None:
        view, rows = self.view, []
        if self._slices > 1:
            count = self._slices
            at = min(view.slice + 1, count)  # people count from one
            rows.append(_row("slice", "int", "Slice", at, low=1, high=count, step=1, unit=f"of {count}"))
        if self._complex:
            rows.append(_row("part", "choice", "Complex values", view.part, choices=list(PARTS)))
        if self._full:
            rows.append(_row("colours", "choice", "Colours", view.colours, choices=list(TABLES)))
            scale = next(name for name, value in SCALES.items() if value == view.scale)
            rows.append(_row("scale", "choice", "Range", scale, choices=list(SCALES)))
            if view.scale == "chosen":
                rows += [_row("low", "float", "Black at", view.low), _row("high", "float", "White at", view.high)]
                rows[-1]["error"] = self._error
        self.form.groups = [{"title": "", "rows": rows}] if rows else []

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        with self._lock, self.form.hold_sync():
            self.form.seq = int(content.get("seq", 0))
            name, value = str(content.get("id")), content.get("value")
            try:
                view = self._with(name, value)
            except (KeyError, TypeError, ValueError, OverflowError):
                self._error = f"{value} is no number" if name in ("low", "high") else ""
                self._fill()
                return
            self._error = "" if view.low < view.high else "White must be above black."
            if not self._error:
                self.view = view
            self._fill()
            if not self._error:
                self._changed()

    def _with(self, name: str, value: Any) -> View:
        if name in ("low", "high"):
            low, high = (float(value) if name == end else getattr(self.view, end) for end in ("low", "high"))
            if not math.isfinite(low + high):
                raise ValueError(name)
            return dataclasses.replace(self.view, low=low, high=high)
        if name == "scale" and value == "chosen" and self.view.scale != "chosen":
            return dataclasses.replace(self.view, scale="chosen", low=self._ends[0], high=self._ends[1])
        allowed: dict[str, Any] = {"scale": SCALES, "part": dict.fromkeys(PARTS), "colours": dict.fromkeys(TABLES)}
        if name == "slice":
            return dataclasses.replace(self.view, slice=min(max(round(float(value)), 1), self._slices) - 1)
        if value not in allowed[name]:
            raise ValueError(name)
        return dataclasses.replace(self.view, **{name: allowed[name][value] or value})


def _row(name: str, kind: str, label: str, value: Any, **more: Any) -> dict[str, Any]:
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return {
        "id": name, "type": kind, "label": label, "name": f"Pictures: {label.lower()}", "depth": 0, "value": value,
        "text": shown, "unit": "", "optional": False, "error": "", "help": _HELP[name], **more,
    }  # fmt: skip


_HELP = {
    "slice": "Which picture of the volume or the sequence",
    "part": "What is drawn of complex values",
    "colours": "Colours from low to high values; errors keep theirs, which tell the sign",
    "scale": "Which values are black and white in truth and reconstruction",
    "low": "Value of the first colour", "high": "Value of the last colour",
}  # fmt: skip


def counted(panels: Mapping[str, Panel]) -> list[Note]:
    """Say which values the pictures have, and how many lie beyond their scale."""
    notes = []
    for name in COUNTED:
        panel = panels.get(name)
        if panel is None or panel.array is None:
            continue
        beyond = ((panel.array < panel.low) | (panel.array > panel.high)).mean()
        said = f"{panel.description.partition(', values ')[2].partition(', ')[0].rstrip('.')}; drawn {panel.range_text}"
        out = f". {100 * beyond:.2g} % lie beyond and are drawn as its ends." if beyond else "."
        notes.append(Note("plain", f"Values of the {name.lower()}", f"{said}{out}".replace("-", "−")))
    return notes
