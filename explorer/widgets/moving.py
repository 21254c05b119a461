"""The parts of a drawn problem: handles on the picture of its truth, and a form for the chosen one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

from explorer.catalogue import SpecError, problems
from explorer.engine.spec import RunSpec
from explorer.problems.drawn import Shape, listed, parse
from explorer.widgets.canvas import Picture
from explorer.widgets.panels import Controls

#: what a key or a drag changes by or to
_STEPS = ("right", "up", "scale", "turn", "brighter")
#: numbers of a part on a slider: its attribute, name, ends and step; text may go beyond the ends
_SLIDERS = (
    ("width", "half width", 0.01, 1.0, 0.01),
    ("height", "half height", 0.01, 1.0, 0.01),
    ("angle", "angle", -180.0, 180.0, 5.0),
    ("intensity", "intensity", -1.0, 1.0, 0.02),
)
_HELP = {
    "part": "Which part of the picture the form is about; a dot on the picture chooses it as well",
    "width": "Half its width, where half the picture is 1; of a blob its standard deviation",
    "height": "Half its height, where half the picture is 1; of a blob its standard deviation",
    "angle": "By how much it is turned, counter-clockwise",
    "intensity": "What it adds to the image; of a blob at its centre",
}


class Handles:
    """Shows where the parts of a problem are, and changes them as a person drags, steers or sets them.

    A problem whose trait ``handles`` names a knob with a list of parts has handles.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    picture : Picture
        Where they are shown.

    Attributes
    ----------
    form : Controls
        Which part is chosen, and its size, angle and intensity; empty where there are no parts.
    enter : callable
        Called with the dotted name of the knob, its new ``value``, whether to ``remember`` what was before, and ``by``
        what; and with no buffers.
    """

    def __init__(self, lock: threading.RLock, picture: Picture) -> None:
        self._lock, self._picture = lock, picture
        self.form = Controls()
        self.form.on_msg(self._set)
        self.form.add_class("ex-view")
        self.enter: Callable[[str, Mapping[str, Any], Any], None] = lambda *_: None
        self._path = ""
        self._shapes: tuple[Shape, ...] = ()
        self._chosen = -1
        self._wrong: tuple[str, str] = ("", "")  # the number that was not entered, and why
        self._drag: Any = None  # the drag whose beginning can be undone already

    @property
    def keys(self) -> str:
        """The keys that change a part, in one sentence; empty where there is none."""
        said = " On a dot of the picture: arrows move · + − size · [ ] turn · Page Up, Page Down intensity."
        return said if self._shapes else ""

    def show(self, spec: RunSpec) -> None:
        """Show the parts of a specification; none where they cannot be read."""
        knob = problems[spec.problem.name].traits.get("handles")
        self._path, self._shapes = f"problem.params.{knob}", ()
        if knob:
            try:
                self._shapes = parse(spec.problem.params[knob])
            except SpecError:
                pass  # whoever builds the problem says why
        if self._chosen >= len(self._shapes):
            self._chosen = -1
        self._draw()

    def receive(self, content: Mapping[str, Any]) -> None:
        """Choose the part that the page names, and change it: ``to`` a place, to a ``half`` size, or by steps."""
        i, drag = content.get("part"), content.get("drag")
        if type(i) is not int or not 0 <= i < len(self._shapes):
            return  # the part is gone
        shape, numbers = self._shapes[i], dict[str, float]()
        try:
            if "to" in content:
                row, column = (float(f) for f in content["to"])
                numbers = {"x": 2 * column - 1, "y": 1 - 2 * row}
            elif "half" in content:
                height, width = (float(f) for f in content["half"])
                numbers = {"width": 2 * width, "height": 2 * height}
            steps = {name: float(content[name]) for name in _STEPS if name in content}
        except (TypeError, ValueError, OverflowError):
            return
        if not all(map(math.isfinite, (*numbers.values(), *steps.values()))):
            return
        self._choose(i)
        changed = shape.with_numbers(**numbers).changed(**steps) if numbers or steps else shape
        if changed != shape:
            by = f"{self._path}.{i}" if drag is None else ""  # each drag is a change of its own, however short
            going, self._drag = drag is not None and drag == self._drag, drag
            self._change(changed, by, not going)

    def _set(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        """Choose a part by the form, or set one of its numbers."""
        with self._lock, self.form.hold_sync():
            self.form.seq = int(content.get("seq", 0))
            name, value = str(content.get("id")), content.get("value")
            if name == "part":
                names = self._names()
                self._choose(names.index(value) if value in names else -1)
            elif self._chosen >= 0 and name in [slider[0] for slider in _SLIDERS]:
                try:
                    number = float(str(value).replace("−", "-"))
                except ValueError:
                    number = math.nan
                self._wrong = ("", "") if math.isfinite(number) else (name, f"{str(value)[:40]!r} is no number.")
                shape = self._shapes[self._chosen]
                if not self._wrong[0] and (changed := shape.with_numbers(**{name: number})) != shape:
                    self._change(changed, f"{self._path}.{self._chosen}.{name}")
            self._draw()

    def _choose(self, i: int) -> None:
        if i != self._chosen:
            self._chosen, self._wrong = i, ("", "")
            self._draw()

    def _change(self, changed: Shape, by: str, remember: bool = True) -> None:
        """Enter the chosen part as it has become."""
        i = self._chosen
        value = listed([*self._shapes[:i], changed, *self._shapes[i + 1 :]])
        self.enter(self._path, {"value": value, "remember": remember, "by": by}, None)

    def _names(self) -> list[str]:
        return [f"{i}: {shape.kind}" for i, shape in enumerate(self._shapes, 1)]

    def _draw(self) -> None:
        count = len(self._shapes)
        self._picture.parts = [_handle(s, i, count, i == self._chosen + 1) for i, s in enumerate(self._shapes, 1)]
        if not self._shapes:
            self.form.groups = []
            return
        names, shape = self._names(), self._shapes[self._chosen] if self._chosen >= 0 else None
        rows = [
            _row("part", "choice", "Part", names[self._chosen] if shape else "")
            | {"choices": ["", *names], "blank": "choose one to change it"}
        ]
        for name, label, low, high, step in _SLIDERS if shape else ():
            row = _row(name, "float", label, getattr(shape, name)) | {"low": low, "high": high, "step": step}
            rows.append(row | {"error": self._wrong[1] if self._wrong[0] == name else ""})
        self.form.groups = [{"title": "", "rows": rows}]


def _row(name: str, kind: str, label: str, value: Any) -> dict[str, Any]:
    """Return a row of the form, without its range or choices."""
    return {
        "id": name, "type": kind, "label": label[:1].upper() + label[1:], "depth": 0, "value": value,
        "name": "Part that is changed" if name == "part" else f"Chosen part: {label}", "error": "", "optional": False,
        "text": f"{value:.6g}" if isinstance(value, float) else value, "unit": "°" if name == "angle" else "",
        "help": _HELP[name],
    }  # fmt: skip


def _handle(shape: Shape, i: int, count: int, chosen: bool) -> dict[str, Any]:
    """Return what the page draws of a part: lengths are fractions of the picture, its angle is clockwise."""
    words = (
        f"{shape.kind} at ({shape.x:.2f}, {shape.y:.2f}), {shape.width:.3g} × {shape.height:.3g}, {shape.angle:.3g}°, "
        f"intensity {shape.intensity:.3g}"
    )
    return {
        "kind": shape.kind,
        "at": [(1 - shape.y) / 2, (1 + shape.x) / 2],
        "half": [shape.height / 2, shape.width / 2],
        "turn": -shape.angle,
        "name": f"Part {i} of {count}: {shape.kind}",
        "text": f"Part {i}, {words}".replace("-", "−"),
        "chosen": chosen,
    }
