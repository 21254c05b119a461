"""The parts of a drawn problem, as handles on the picture of its truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from explorer.catalogue import SpecError, problems
from explorer.engine.spec import RunSpec
from explorer.problems.drawn import Shape, listed, parse
from explorer.widgets.canvas import Picture


class Handles:
    """Shows where the parts of a problem are, and changes them as a person drags or steers them.

    A problem whose trait ``handles`` names a knob with a list of parts has handles.

    Parameters
    ----------
    picture : Picture
        Where they are shown.

    Attributes
    ----------
    enter : callable
        Called with the dotted name of the knob, its new ``value``, whether to ``remember`` what was before, and ``by``
        what; and with no buffers.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self.enter: Callable[[str, Mapping[str, Any], Any], None] = lambda *_: None
        self._path = ""
        self._shapes: tuple[Shape, ...] = ()
        self._drag: Any = None  # the drag whose beginning can be undone already

    def show(self, spec: RunSpec) -> None:
        """Show the parts of a specification; none where they cannot be read."""
        knob = problems[spec.problem.name].traits.get("handles")
        self._path, self._shapes = f"problem.params.{knob}", ()
        if knob:
            try:
                self._shapes = parse(spec.problem.params[knob])
            except SpecError:
                pass  # whoever builds the problem says why
        self._picture.parts = [_handle(shape, i, len(self._shapes)) for i, shape in enumerate(self._shapes, 1)]

    def receive(self, content: Mapping[str, Any]) -> None:
        """Change the part that the page names: ``to`` a place, or by ``right``, ``up``, ``scale`` and ``turn``."""
        i, drag = content.get("part"), content.get("drag")
        if type(i) is not int or not 0 <= i < len(self._shapes):
            return  # the part is gone
        shape, change = self._shapes[i], {k: content[k] for k in ("right", "up", "scale", "turn") if k in content}
        try:
            if "to" in content:
                row, column = (float(f) for f in content["to"])
                change = {"right": 2 * column - 1 - shape.x, "up": 1 - 2 * row - shape.y}
            numbers = {name: float(value) for name, value in change.items()}
        except (TypeError, ValueError, OverflowError):
            return
        if not all(map(math.isfinite, numbers.values())):
            return
        changed = shape.changed(**numbers)
        if changed == shape:
            return
        value = listed([*self._shapes[:i], changed, *self._shapes[i + 1 :]])
        going = drag is not None and drag == self._drag
        self._drag = drag
        by = f"{self._path}.{i}" if drag is None else ""  # each drag is a change of its own, however short
        self.enter(self._path, {"value": value, "remember": not going, "by": by}, None)


def _handle(shape: Shape, i: int, count: int) -> dict[str, Any]:
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
    }
