"""The one plotly figure of an Explorer, and plotly's own code for the page, which all of them share."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import traitlets

from explorer.figures.curves import Curve, curve_figure, curve_points
from explorer.widgets.background import Latest
from explorer.widgets.canvas import HERE

#: curves that the one chart has at first
CURVES = 4
#: seconds for which a page that still draws is waited for before the curves of a run grow again
PATIENCE = 2.0


class Library(ipywidgets.Widget):
    """A module for the page that many widgets use: five megabytes of plotly, sent and evaluated once, not by each.

    Attributes
    ----------
    text : str
        The module's source.
    """

    text = traitlets.Unicode("").tag(sync=True)

    _plotly: Library | None = None

    @classmethod
    def plotly(cls) -> Library:
        """Return the one that holds plotly's module."""
        if cls._plotly is None or cls._plotly.comm is None:
            cls._plotly = cls(text=str(_figure_widget()._esm))
        return cls._plotly


def _figure_widget() -> Any:
    """Return plotly's widget, imported when it is first needed.

    With it comes jsonschema, and with that an optional check of internationalised addresses, which compiles a grammar
    for longer than everything else takes to load; nobody here asks for it.
    """
    optional = "rfc3987_syntax"
    known = optional in sys.modules
    sys.modules.setdefault(optional, None)  # type: ignore[arg-type]
    try:
        return go.FigureWidget
    finally:
        if not known:
            del sys.modules[optional]


@functools.cache
def _figure() -> Any:
    """Return plotly's widget with the module of the library."""

    class Figure(_figure_widget()):  # type: ignore[misc]
        _esm = HERE / "chart.js"
        _heard: Callable[[Mapping[str, Any]], None] | None = None

        library = traitlets.Unicode().tag(sync=True)

        @traitlets.default("library")
        def _from(self) -> str:
            return str(Library.plotly().model_id)

        def set_state(self, sync_data: Mapping[str, Any]) -> None:
            """Hand what the page says to whoever draws; see `Chart`."""
            (self._heard or self.take)(sync_data)

        def take(self, sync_data: Mapping[str, Any]) -> None:
            """Take in what the page says."""
            super().set_state(sync_data)

    return Figure


class Chart:
    """The one plotly figure of an Explorer; it is heavy to make and cheap to change.

    It begins empty and is filled when the page has drawn it: what is sent before that can be lost. A change is made in
    a thread of its own, as a page has to wait for an answer meanwhile; what the page says of the figure is taken in by
    that thread as well. While a widget takes something in it merges what is sent of one trait, and plotly sets each of
    its messages back to None: a change made by another thread at that time would never arrive.

    Parameters
    ----------
    width : int
        Width of its place on the page, in pixels.
    instead_of : Chart, optional
        An older one, of a page that was left; it is closed once this one is there.

    Attributes
    ----------
    widget : plotly.graph_objects.FigureWidget
    """

    def __init__(self, width: int, instead_of: Chart | None = None) -> None:
        self._instead_of = instead_of
        if instead_of is not None:
            instead_of.forget_older()  # which no page shows any more
        self._lock = threading.RLock()
        bare = {"template": "none"}  # the default template is a heavy thing of its own
        self._figure = self._drawn = go.Figure(layout=bare)  # what is wanted, and what there is
        self._width, self._grown, self._drawing = width, -PATIENCE, Latest("explorer-draw")
        self._sent: tuple[list[dict[str, Any]], dict[str, Any]] = ([], {})  # what the page has, as far as known
        self.widget = _figure()(layout=bare)
        self.widget._config = {"displayModeBar": False}
        self.widget.observe(self._arrived, "_js2py_traceDeltas")
        self._said: deque[Mapping[str, Any]] = deque()  # by the page, and not taken in yet
        self.widget._heard = self._hear

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the figure is what was asked for; return whether that came within `timeout` seconds."""
        return self._drawing.wait(timeout)

    def show(self, figure: go.Figure) -> None:
        """Show another figure, unless a newer one comes before it is its turn."""
        self._figure = figure
        self._drawing(self._work)

    def _hear(self, said: Mapping[str, Any]) -> None:
        """Let the thread that draws take in what the page says."""
        self._said.append(said)
        self._drawing(self._work)

    def _work(self) -> None:
        """Take in all that the page has said, then draw what is wanted."""
        with self._lock:
            try:
                while self._said:
                    self.widget.take(self._said.popleft())
            finally:
                self._draw()

    def _draw(self) -> None:
        """Change the figure in one message, and one more if it has more curves than any before."""
        figure = self._figure
        if figure is self._drawn or not self.widget.data:
            return  # there already, or not on the page yet
        self._drawn = figure
        there = len(self.widget.data)
        traces = _traces(figure, there)
        if len(traces) > there:
            self.widget.add_traces(traces[there:])
        self._turn_axes(figure)
        with self.widget.batch_update():
            old = [*self._sent[0], *[{}] * there]
            for trace, new, known in zip(self.widget.data, traces[:there], old, strict=False):
                if not _same(new, known):  # a marker that moves leaves the curves alone
                    trace.update({name: value for name, value in new.items() if name != "type"})
            self._sent = traces, self._sent[1]
            self._lay_out(figure)

    def _turn_axes(self, figure: go.Figure) -> None:
        """Change linear axes to logarithmic ones or back beforehand: with the change the page converts annotations.

        Plotly places their ticks meanwhile: one a decade would be one a unit, and 500 labels stop a page for seconds.
        """
        types = {axis: figure.layout[axis].type or "linear" for axis in ("xaxis", "yaxis")}
        if any((self.widget.layout[axis].type or "linear") != kind for axis, kind in types.items()):
            turned = {axis: {"type": kind, "tickmode": "auto"} for axis, kind in types.items()}
            self.widget.update_layout(shapes=[], annotations=[], **turned)
            self._sent = self._sent[0], {}

    def _lay_out(self, figure: go.Figure) -> None:
        laid, known = _layout(figure) | {"width": self._width}, self._sent[1]
        self._sent = self._sent[0], laid
        changed = {
            name: value
            for name, value in laid.items()
            if not known
            or not _same(value, known.get(name))
            or (name in ("xaxis", "yaxis") and self._zoomed(name, value))
        }
        for name in ("shapes", "annotations"):  # an update would leave older ones where the new figure has fewer
            if name in changed:
                self.widget.layout[name] = changed.pop(name)
        self.widget.layout.update(changed)

    def _zoomed(self, axis: str, laid: Mapping[str, Any]) -> bool:
        """Say whether a person has zoomed since an axis was laid out."""
        there = self.widget.layout[axis]
        if laid.get("autorange", True):
            return there.autorange is False
        return tuple(there.range or ()) != tuple(laid.get("range") or ())

    def grow(self, curves: Sequence[Curve], noise: float | None, dark: bool) -> None:
        """Show curves of a run under way; only their points are sent if the same curves are there already.

        Nothing is sent while the page draws what it was sent before.
        """
        late = time.monotonic() - self._grown > PATIENCE
        if not late and (self._figure is not self._drawn or self.widget._trace_edit_in_process):
            return
        self._grown = time.monotonic()
        lines = curve_points(list(curves), noise)
        with self._lock:
            if [t.name for t in self._figure.data] != [name for name, *_ in lines] or self._figure.layout.shapes:
                self.show(curve_figure(list(curves), noise, {}, dark))
                return
            if self._figure is not self._drawn:
                return
            self._sent = [], self._sent[1]  # a whole figure would take many times as long as its points
            with self.widget.batch_update():
                for trace, (_, x, y) in zip(self.widget.data, lines, strict=False):
                    trace.x, trace.y = x, y

    def fit(self, width: int) -> None:
        """Fill a place of another width."""
        with self._lock:
            self._width, self._sent = width, (self._sent[0], {})
            if self.widget.data:
                self.widget.layout.width = width
                self._place_legend()

    def _place_legend(self) -> None:
        """Let the page place the legend anew: with a width plotly does so before it has made room for its rows."""
        given = self._figure.layout.legend.y
        if given is not None:
            self.widget.layout.legend.y = given + 1e-4 if self.widget.layout.legend.y == given else given

    def forget_older(self) -> None:
        """Close the chart that this one stands in for."""
        if self._instead_of is not None:
            self._instead_of.widget.close()
            self._instead_of = None

    def _arrived(self, change: Mapping[str, Any]) -> None:
        """Fill the figure when the page has drawn it for the first time."""
        with self._lock:
            if change["new"] and not self.widget.data:
                self._drawn = self._figure
                self.widget.add_traces(_traces(self._figure))
                self._turn_axes(self._figure)
                self._lay_out(self._figure)
                self._place_legend()
                self.forget_older()


def _traces(figure: go.Figure, there: int = CURVES) -> list[dict[str, Any]]:
    """Return as many traces as a chart has, each with all that may differ, so that nothing of an older one is left."""
    made: list[dict[str, Any]] = []
    shown = figure.to_plotly_json()["data"]
    for trace in [*shown, *[{}] * (there - len(shown))]:
        line = {"color": "#000", "dash": "solid", "shape": "linear", "width": 1, **trace.get("line", {})}
        marker = {"color": line["color"], "symbol": "circle", "size": 6, **trace.get("marker", {})}
        blank = {"type": "scatter", "x": [], "y": [], "name": "", "mode": "lines", "visible": bool(trace)}
        made.append({**blank, **trace, "line": line, "marker": marker})
    return made


def _same(a: Any, b: Any) -> bool:
    """Say whether two parts of a figure are equal, arrays included."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f" == np.asarray(b).dtype.kind)
    return bool(a == b)


def _layout(figure: go.Figure) -> dict[str, Any]:
    layout = dict(figure.to_plotly_json()["layout"])
    layout.pop("template", None)
    for axis in ("xaxis", "yaxis"):
        given = layout.get(axis, {})
        mode = "array" if "tickvals" in given else "linear" if "dtick" in given else "auto"
        usual = {"showticklabels": True, "tickformat": ""}  # what an older figure had otherwise would stay
        layout[axis] = {**usual, **given, "tickmode": mode}
    whole: dict[str, Any] = {"shapes": [], "annotations": [], "font": {"color": "#000"}, "showlegend": None}
    return {**whole, **layout, "template": "none"}
