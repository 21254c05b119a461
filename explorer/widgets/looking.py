"""Panels in which a place is chosen: a point and its response."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets

from explorer.catalogue import SpecError
from explorer.engine.run import Run
from explorer.figures.points import point_figure
from explorer.figures.words import Note
from explorer.widgets.background import Latest
from explorer.widgets.canvas import Picture
from explorer.widgets.choices import sentence
from explorer.widgets.panels import Controls, notes_html, text

#: names of the axes of an unknown, by their number
AXES = {1: ("sample",), 2: ("row", "column"), 3: ("slice", "row", "column")}


class PlacePanel(ipywidgets.VBox):
    """Pictures and notes of a place in a grid, which sliders and clicks choose.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    name : str
        What is chosen, the beginning of the sliders' names.
    pictures : sequence of Widget
        From left to right.

    Attributes
    ----------
    at : tuple of int
        Index of the place.
    shown : bool
        Whether somebody looks; nothing is computed otherwise.
    """

    def __init__(self, lock: threading.RLock, name: str, pictures: Sequence[Any]) -> None:
        self._lock, self._name = lock, name
        self._working = Latest(f"explorer-{name.lower()}")
        self.at: tuple[int, ...] = ()
        self.shown = False
        self._shape: tuple[int, ...] = ()
        self._axes: tuple[str, ...] = ()
        self.pictures = tuple(pictures)
        self.notes = text("", "ex-notes")
        self.form = Controls()
        self.form.on_msg(self._receive)
        looked = ipywidgets.Box([*pictures, self.notes])
        looked.add_class("ex-look")
        super().__init__([self.form, looked])

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is computed; return whether that came within `timeout` seconds."""
        return self._working.wait(timeout)

    def look(self, shown: bool) -> None:
        """Say whether somebody looks."""
        self.shown = shown
        if shown:
            self._draw()

    def choose(self, place: Sequence[float]) -> None:
        """Choose a place by its fractions along the last axes, as a click on a picture tells them."""
        if len(place) and len(self._shape) >= len(place):
            last = self._shape[-len(place) :]
            found = [min(max(int(f * n), 0), n - 1) for f, n in zip(place, last, strict=True)]
            self._put((*self.at[: len(self.at) - len(found)], *found))

    def _over(self, shape: tuple[int, ...], axes: tuple[str, ...]) -> None:
        """Choose from a grid from now on; the place stays if the grid does, else it is the middle."""
        if (shape, axes) != (self._shape, self._axes):
            self._shape, self._axes, self.at = shape, axes, tuple(n // 2 for n in shape)
            self._fill()

    def _put(self, at: tuple[int, ...]) -> None:
        if at != self.at:
            self.at = at
            self._fill()
            self._draw()

    def _fill(self) -> None:
        rows = [_row(self._name, i, *given) for i, given in enumerate(zip(self._axes, self._shape, self.at))]  # noqa: B905
        self.form.groups = [{"title": "", "rows": rows}] if rows else []

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        with self._lock, self.form.hold_sync():
            self.form.seq = int(content.get("seq", 0))
            try:
                axis = int(str(content["id"]).removeprefix("axis"))
                wanted = round(float(content["value"]))
                n = self._shape[axis]
            except (KeyError, IndexError, TypeError, ValueError, OverflowError):
                return
            at = list(self.at)
            at[axis] = min(max(wanted, 0), n - 1)
            self._put(tuple(at))

    def _draw(self) -> None:
        raise NotImplementedError

    def _say(self, notes: Sequence[Note]) -> None:
        self.notes.value = notes_html(notes)


def _row(name: str, axis: int, label: str, n: int, at: int) -> dict[str, Any]:
    return {
        "id": f"axis{axis}", "type": "int", "label": label.capitalize(), "name": f"{name}: {label}", "depth": 0,
        "low": 0, "high": max(n - 1, 1), "step": 1, "value": at, "text": f"{at}", "unit": "",
        "optional": False, "error": "", "help": f"Look at another {name.lower()}: 0 to {n - 1:,}",
    }  # fmt: skip


class PointPanel(PlacePanel):
    """What the method of a run makes of one point."""

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(lock, "Point", (Picture(title="Point response"), Picture(title="Close-up")))
        self._run: Run | None = None
        self._step = 0
        self._asked: Any = None  # what the pictures show, or will

    def show(self, run: Run | None, step: int) -> None:
        """Show an iterate of another run."""
        self._run, self._step = run, step
        if run is not None:
            shape = tuple(getattr(run.problem.domain, "shape", ()))
            self._over(shape, AXES.get(len(shape), tuple(f"axis {i}" for i in range(len(shape)))))
        if self.shown:
            self._draw()

    def mark(self, stale: bool) -> None:
        """Say whether the run belongs to other settings than those now chosen."""
        for picture in self.pictures:
            picture.stale = stale

    def _draw(self) -> None:
        run, step, at = self._run, self._step, self.at
        if run is None:
            self._say([Note("plain", "No run yet", "Press Run, then choose a point.")])
            return
        if self._asked == (id(run), step, at):
            return
        self._asked = (id(run), step, at)
        self._say([Note("plain", "Computing", "The data of the point go through the same steps.")])

        def work() -> None:
            try:
                found, panels = point_figure(run, at, step)
            except SpecError as error:
                panels, said = (), [Note("plain", "No point response here", sentence(error.message))]
            else:
                said = [Note("plain", f"After step {step}", found.sentence), _READ]
            with self._lock:
                if self._asked != (id(run), step, at):
                    return
                for picture, panel in zip(self.pictures, panels, strict=False):
                    picture.show(panel)
                for picture in self.pictures[len(panels) :]:
                    picture.kind, picture.note = "empty", "not defined"
                self._say(said)

        self._working(work)


_READ = Note(
    "plain",
    "How to read it",
    "A sharp peak means that the method can tell this point from its neighbours. A wide one, or rings, is what every "
    "point of the picture is smeared into, noise apart. Click the reconstruction to choose another.",
)
