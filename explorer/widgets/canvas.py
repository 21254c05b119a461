"""A picture or a curve on a canvas: cheap enough for ten frames a second of several at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from explorer.figures.colours import DIVERGING, DIVERGING_DARK, GRAY, table
from explorer.figures.panels import Panel, coarseness, quantised

HERE = Path(__file__).parent
#: frames of a run that may be on their way to a page that paints, and seconds after which no answer is waited for
AHEAD, PATIENCE = 2, 1.0


class Picture(anywidget.AnyWidget):
    """Shows one :class:`explorer.figures.panels.Panel`: an image by one byte a pixel, or a signal as a curve.

    A click is told as a message ``{"at": [height, width]}``, fractions of the picture. That a part was chosen is told
    as ``{"part": number}``; that it was dragged with ``to``, its middle, or ``half``, its sizes, and ``drag``, which
    drag it is; and what keys do to it as ``right`` and ``up`` (half the picture is 1), ``scale``, ``turn`` (degrees)
    and ``brighter``.

    Attributes
    ----------
    kind : str
        ``image``, ``curves`` or ``empty``.
    shape : tuple of int
        Rows and columns of the image, or number and length of the curves.
    pixels, table, table_dark : bytes
        Indices of colours, and 256 × 3 colours for a light and a dark page (the same if empty).
    frame : int
        Number of the newest frame of a run under way; a page answers ``{"frame": number}`` when it has painted two.
    coarse : int
        Pixels of the image to one of `pixels` along a side: above 1 they are means of squares.
    curves : bytes
        Little-endian float32 from 0 (bottom) to 1 (top), one curve after the other; the first is the most important.
    low, high : float
        Values of the first and of the last colour.
    zero : float
        Height of the line y = 0; drawn if it is from 0 to 1.
    title, note, range_text, description : str
        Caption, a fact at its right, the scale, and the whole in one sentence for those who cannot see it.
    stale : bool
        Whether the picture belongs to other settings than those now chosen.
    click : str
        What a click shows; nothing if empty.
    second, second_title, second_note : bytes, str, str
        Another image of the same shape and scale, which takes turns with the first; none if empty.
    parts : list of dict
        What can be moved on an image: ``kind`` (ellipse, rectangle or blob), ``at`` and ``half`` (its middle, and half
        its height and width, fractions of the picture), ``turn`` (degrees, clockwise), ``name``, ``text``, which says
        all of it, and whether it is ``chosen``.
    """

    _esm = "".join((HERE / name).read_text("utf-8") for name in ("handles.js", "canvas.js"))
    _css = HERE / "explorer.css"

    kind = traitlets.Unicode("empty").tag(sync=True)
    shape = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(0, 0)).tag(sync=True)
    pixels = traitlets.Bytes(b"").tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    coarse = traitlets.Int(1).tag(sync=True)
    table = traitlets.Bytes(GRAY.tobytes()).tag(sync=True)
    table_dark = traitlets.Bytes(b"").tag(sync=True)
    curves = traitlets.Bytes(b"").tag(sync=True)
    low = traitlets.Float(0.0).tag(sync=True)
    high = traitlets.Float(1.0).tag(sync=True)
    zero = traitlets.Float(-1.0).tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    range_text = traitlets.Unicode("").tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)
    stale = traitlets.Bool(False).tag(sync=True)
    click = traitlets.Unicode("the values along a row").tag(sync=True)
    second = traitlets.Bytes(b"").tag(sync=True)
    second_title = traitlets.Unicode("").tag(sync=True)
    second_note = traitlets.Unicode("").tag(sync=True)
    parts: Any = traitlets.List().tag(sync=True)

    paced = False  # whether frames are counted
    _painted: int | None = None  # the newest frame that a page has painted
    _sent = 0.0  # when the newest was sent

    @property
    def behind(self) -> bool:
        """Whether a page has yet to paint what it was sent: more would queue up, and all that follows with it."""
        waits = self._painted is not None and self.frame - self._painted >= AHEAD
        return waits and time.monotonic() - self._sent < PATIENCE

    def _handle_custom_msg(self, content: Mapping[str, Any], buffers: Any) -> None:
        if isinstance(content.get("frame"), int):
            self._painted = content["frame"]
        else:
            super()._handle_custom_msg(content, buffers)

    def show(self, panel: Panel, second: Panel | None = None, going: bool = False) -> None:
        """Draw a panel, and a second image that takes turns with it: one message, whatever it changes.

        Of a run that is `going` on, many frames follow one another: those of a large image are coarse.
        """
        coarse = coarseness(panel.array) if going else 1
        other = second is not None and second.array is not None and second.array.ndim == 2
        values: dict[str, Any] = {
            "second": quantised(second).tobytes() if other and second is not None else b"",
            "second_title": "" if second is None else second.title,
            "second_note": "" if second is None else second.note,
            "title": panel.title,
            "note": panel.note,
            "range_text": panel.range_text,
            "description": panel.description,
            "low": float(panel.low),
            "high": float(panel.high),
        }
        if going and self.paced:
            values["frame"], self._sent = self.frame + 1, time.monotonic()
        if panel.array is None:
            values |= {"kind": "empty", "shape": (0, 0), "pixels": b"", "curves": b""}
        elif panel.array.ndim == 2:
            tables = (DIVERGING, DIVERGING_DARK) if panel.signed else (table(panel.colours), None)
            values |= {
                "kind": "image",
                "shape": panel.array.shape,
                "pixels": quantised(panel, coarse).tobytes(),
                "coarse": coarse,
                "table": tables[0].tobytes(),
                "table_dark": b"" if tables[1] is None else tables[1].tobytes(),
                "curves": b"",
            }
        else:
            values |= {"kind": "curves", "pixels": b"", **_curves(panel)}
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)


def _curves(panel: Panel) -> dict[str, Any]:
    """Scale a signal and the truth behind it to the height of the canvas."""
    assert panel.array is not None
    lines: list[NDArray[np.floating]] = [panel.array]
    if panel.reference is not None and panel.reference.shape == panel.array.shape:
        lines.append(panel.reference)
    low, high = panel.low, panel.high
    if panel.reference is not None:  # room for overshoot, as no colour has to be kept for it
        low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    scaled = (np.stack(lines) - low) / (high - low)
    return {
        "shape": scaled.shape,
        "curves": scaled.clip(-1, 2).astype("<f4").tobytes(),
        "zero": float(-low / (high - low)),
    }
