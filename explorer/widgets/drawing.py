"""The experiment on the page: its drawings, one datum's sensitivity, and the equation in words."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import anywidget
import traitlets

from explorer.catalogue import SpecError
from explorer.engine.problem import Problem
from explorer.figures.colours import DIVERGING, DIVERGING_DARK, GRAY
from explorer.figures.experiments import Experiment, Scene, experiment
from explorer.figures.panels import quantised
from explorer.figures.words import Note
from explorer.linalg import Space
from explorer.operators.drawing import DOTS
from explorer.operators.mask import Mask
from explorer.widgets.canvas import HERE, Picture
from explorer.widgets.choices import sentence
from explorer.widgets.looking import PlacePanel

#: drawings that there is room for
SCENES = 2
_CLICK = "the datum measured there"


class Sketch(anywidget.AnyWidget):
    """Shows one :class:`explorer.figures.experiments.Scene`; ``{"place": [row, column]}`` is where a cursor rests.

    Attributes
    ----------
    shape, pixels, table, table_dark
        The picture behind, as of :class:`explorer.widgets.canvas.Picture`.
    view : tuple of float
        First row, first column, last row, last column of what is seen.
    strokes : list of dict
        ``kind``, whether they are ``dots``, and ``points``: rows and columns.
    stretch : bool
        Whether rows and columns may have different sizes.
    title, note, description, click : str
        Caption, a fact about it, the whole in words, and what a place shows (nothing if empty).
    there : bool
        Whether there is anything to show.
    """

    _esm = HERE / "drawing.js"
    _css = HERE / "explorer.css"

    shape = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(0, 0)).tag(sync=True)
    pixels = traitlets.Bytes(b"").tag(sync=True)
    table = traitlets.Bytes(GRAY.tobytes()).tag(sync=True)
    table_dark = traitlets.Bytes(b"").tag(sync=True)
    view: Any = traitlets.Tuple(default_value=(0.0, 0.0, 1.0, 1.0)).tag(sync=True)
    strokes: Any = traitlets.List().tag(sync=True)
    stretch = traitlets.Bool(False).tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)
    click = traitlets.Unicode("").tag(sync=True)
    there = traitlets.Bool(False).tag(sync=True)

    def show(self, scene: Scene) -> None:
        """Draw a scene, in one message."""
        panel, array = scene.panel, scene.panel.array
        values: dict[str, Any] = {
            "shape": (0, 0) if array is None else array.shape,
            "pixels": b"" if array is None else quantised(panel).tobytes(),
            "table": (DIVERGING if panel.signed else GRAY).tobytes(),
            "table_dark": DIVERGING_DARK.tobytes() if panel.signed else b"",
            "view": scene.view,
            "strokes": [
                {"kind": s.kind, "dots": s.kind in DOTS, "points": s.points.double().round(decimals=2).tolist()}
                for s in scene.strokes
            ],
            "stretch": not 0.5 < (scene.view[2] - scene.view[0]) / (scene.view[3] - scene.view[1]) < 2,
            "there": True,
            "title": panel.title,
            "note": panel.range_text if panel.signed else "",
            "description": f"{panel.title}. {scene.sentence}",
            "click": _CLICK if scene.index is not None or sum(s.datum >= 0 for s in scene.strokes) > 1 else "",
        }
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)


class ExperimentPanel(PlacePanel):
    """How a problem's data are measured, and what one of them is sensitive to."""

    def __init__(self, lock: threading.RLock) -> None:
        self.sketches = tuple(Sketch() for _ in range(SCENES))
        self.sensitivity = Picture(title="Sensitivity of one datum", click="")
        super().__init__(lock, "Datum", (*self.sketches, self.sensitivity))
        for sketch in self.sketches:
            sketch.on_msg(self._clicked)
        self._problem: Problem | None = None
        self._found: Experiment | None = None
        self._asked: Any = None

    def show(self, problem: Problem) -> None:
        """Show another problem's experiment."""
        if problem is self._problem:
            return
        self._problem, self._found = problem, None
        if problem.F is not None and isinstance(problem.codomain, Space):
            axes = getattr(problem.F, "data_axes", None) or [(f"axis {i}", "") for i in range(problem.codomain.ndim)]
            self._over(tuple(problem.codomain.shape), tuple(name for name, _ in axes))
        else:
            self._over((), ())
        if self.shown:
            self._draw()

    def pick(self, row: float, column: float, direct: bool) -> bool:
        """Choose the datum at fractions of the picture of the data; return whether there is one.

        Parameters
        ----------
        direct : bool
            Whether that picture is the data themselves.
        """
        if self._problem is None:
            return False
        model = self._problem.F
        if direct and len(self._shape) >= 2:
            self.choose((row, column))
        elif isinstance(model, Mask) and model.domain.ndim == 2:
            rows, columns = model.domain.shape
            scene = experiment(self._problem).scenes[0]
            self._take(scene, (row * rows - 0.5, column * columns - 0.5))
        else:
            return False
        return True

    def _clicked(self, sketch: Any, content: Mapping[str, Any], _: Any) -> None:
        with self._lock:
            try:
                row, column = (float(c) for c in content["place"])
            except (KeyError, TypeError, ValueError):
                return
            if self._found is not None:
                self._take(self._found.scenes[self.sketches.index(sketch)], (row, column))

    def _take(self, scene: Scene, place: tuple[float, float]) -> None:
        datum = scene.nearest(*place)
        if datum is not None and self._problem is not None:
            at = []
            for n in reversed(self._shape):
                datum, i = divmod(datum, n)
                at.append(i)
            kept = self.at[: len(at) - self._spans()]  # a drawing of one coil tells the rest of the index only
            found = tuple(reversed(at))
            self._put((*kept, *found[len(kept) :]))

    def _spans(self) -> int:
        """Return over how many of the last dimensions of the data the drawings go."""
        encoding = getattr(self._problem.F, "encoding", None) if self._problem is not None else None
        return len(self._shape) if encoding is None else encoding.codomain.ndim

    def _draw(self) -> None:
        problem, at = self._problem, self.at
        if problem is None or self._asked == (id(problem), at):
            return
        self._asked = (id(problem), at)

        def work() -> None:
            found, refusal = None, ""
            try:
                found = experiment(problem, at)
            except SpecError as error:
                refusal = sentence(error.message)
            with self._lock:
                if self._asked != (id(problem), at):
                    return
                self._found = found
                scenes = () if found is None else found.scenes
                for sketch, scene in zip(self.sketches, scenes, strict=False):
                    sketch.show(scene)
                for sketch in self.sketches[len(scenes) :]:
                    sketch.there = False
                if found is None:
                    self.sensitivity.kind, self.sensitivity.note = "empty", "not defined"
                    self._say([Note("plain", "No experiment here", refusal)])
                    return
                self.sensitivity.show(found.sensitivity)
                self._say(found.notes)

        if self._found is None:
            self._say([Note("plain", "Looking", "The measurements are being drawn.")])
        self._working(work)
