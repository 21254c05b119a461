"""The parts of the Explorer beside its controls: chart, sentences, code, and what is known of the chosen parts."""

from __future__ import annotations

import html
import re
import shlex
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import plotly.graph_objects as go
import traitlets

from explorer.catalogue import SHELVES, Component, source
from explorer.engine.cite import cite
from explorer.engine.spec import RunSpec
from explorer.figures.curves import Curve, curve_figure, curve_points
from explorer.figures.words import Note
from explorer.widgets.canvas import HERE

#: curves that the one chart has at first
CURVES = 4


class Controls(anywidget.AnyWidget):
    """A form drawn from plain data; what a person does comes back as a message.

    Attributes
    ----------
    groups : list of dict
        Titles and rows, as :func:`explorer.widgets.knobs.groups` makes them.
    options : dict
        Row to the components that it offers, for lists that have been opened.
    pictures : dict
        Option to its picture, as the address of an image, for lists of cards.
    seq : int
        Number of the newest message that `groups` takes account of.
    plain_keys : bool
        Whether plain keys pressed anywhere in the Explorer are reported.
    state : dict
        What the page remembers of the cell, for the kernel that comes after this one.
    """

    _esm = HERE / "controls.js"
    _css = HERE / "explorer.css"

    groups: Any = traitlets.List().tag(sync=True)
    options: Any = traitlets.Dict().tag(sync=True)
    pictures: Any = traitlets.Dict().tag(sync=True)
    seq = traitlets.Int(0).tag(sync=True)
    plain_keys = traitlets.Bool(False).tag(sync=True)
    state: Any = traitlets.Dict().tag(sync=True)


class Tabs(anywidget.AnyWidget):
    """A row of tabs, of which one is `selected`."""

    _esm = HERE / "tabs.js"

    titles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)


class Code(anywidget.AnyWidget):
    """Pieces of text to copy: pairs of title and text."""

    _esm = HERE / "code.js"

    pieces: Any = traitlets.List().tag(sync=True)


class Chart:
    """The one plotly figure of an Explorer; it is heavy to make and cheap to change.

    It begins empty and is filled when the page has drawn it: what is sent before that can be lost.

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
        self._figure, self._width = go.Figure(layout=bare), width
        self._sent: tuple[list[dict[str, Any]], dict[str, Any]] = ([], {})  # what the page has, as far as known
        self.widget = go.FigureWidget(layout=bare)
        self.widget._config = {"displayModeBar": False}
        self.widget.observe(self._arrived, "_js2py_traceDeltas")

    def show(self, figure: go.Figure) -> None:
        """Show another figure in one message, and one more if it has more curves than any before."""
        with self._lock:
            same, self._figure = figure is self._figure, figure
            if same or not self.widget.data:
                return  # there already, or not on the page yet
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
        """Change linear axes to logarithmic ones or back beforehand: with the change the page converts annotations."""
        types = {f"{axis}_type": figure.layout[axis].type for axis in ("xaxis", "yaxis")}
        if any(self.widget.layout[name[:5]].type not in (None, kind) for name, kind in types.items()):
            self.widget.update_layout(shapes=[], annotations=[], **types)
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
        """Show curves of a run under way; only their points are sent if the same curves are there already."""
        lines = curve_points(list(curves), noise)
        with self._lock:
            if [t.name for t in self._figure.data] != [name for name, *_ in lines] or self._figure.layout.shapes:
                self.show(curve_figure(list(curves), noise, {}, dark))
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

    def forget_older(self) -> None:
        """Close the chart that this one stands in for."""
        if self._instead_of is not None:
            self._instead_of.widget.close()
            self._instead_of = None

    def _arrived(self, change: Mapping[str, Any]) -> None:
        """Fill the figure when the page has drawn it for the first time."""
        with self._lock:
            if change["new"] and not self.widget.data:
                self.widget.add_traces(_traces(self._figure))
                self._lay_out(self._figure)
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
    return {"shapes": [], "annotations": [], "font": {"color": "#000"}, **layout, "template": "none"}


def text(value: str = "", *classes: str) -> ipywidgets.HTML:
    """Return a piece of HTML that fills its place."""
    made = ipywidgets.HTML(value)
    for name in classes:
        made.add_class(name)
    return made


def notes_html(notes: Sequence[Note], most: int = 5) -> str:
    """Return notes as cards; those after the first `most` are folded."""
    cards = [
        f'<div class="ex-note ex-{html.escape(n.kind)}"><b>{html.escape(n.title)}</b><p>{html.escape(n.text)}'
        f"{f' Seen in the tab {html.escape(n.tab)}.' if n.tab else ''}</p></div>"
        for n in notes
    ]
    rest = len(cards) - most
    folded = f'<details class="ex-more"><summary>{rest} more</summary>{"".join(cards[most:])}</details>'
    return "".join(cards[:most]) + (folded if rest > 0 else "")


def progress_html(fraction: float | None, said: str) -> str:
    """Return a progress bar with its text; without a fraction it only shows that something happens."""
    value = "" if fraction is None else f' value="{fraction:.3f}"'
    return (
        f'<div class="ex-progress"><progress max="1"{value} aria-label="Progress of the run"></progress>'
        f"<span>{html.escape(said)}</span></div>"
    )


def message_html(said: str, kind: str) -> str:
    """Return the message line: an alert is read out at once, a status when there is time."""
    if not said:
        return ""
    role = "alert" if kind == "alert" else "status"
    return f'<div class="ex-message ex-{kind}" role="{role}">{html.escape(said)}</div>'


def costs(spent: Any) -> str:
    """Return named costs in words: ``280 A, 280 Aᴴ``."""
    return ", ".join(f"{spent[name]:,} {name}" for name in sorted(spent))


# --- code ---------------------------------------------------------------------------------------------------------


def code_pieces(spec: RunSpec) -> list[list[str]]:
    """Return the same run in Python, as JSON, for papermill, for the command line, and what to cite."""
    compact = spec.to_json(indent=None)
    run = "papermill notebooks/00-start-here.ipynb out.ipynb -p spec"
    pieces = [
        ["Python", python_cell(spec)],
        ["JSON", spec.to_json()],
        ["papermill", f"{run} {shlex.quote(compact)}"],
        ["Command line, with the JSON above as spec.json", "python -m explorer run spec.json --out DIR"],
    ]
    references = cite(spec)
    return [*pieces, ["BibTeX", references]] if references else pieces


def python_cell(spec: RunSpec) -> str:
    """Return a Python cell that makes the same run; what is left at its default is left out."""
    lines = []
    for name, value in spec.model_dump().items():
        default = getattr(RunSpec(), name)
        if name != "version" and getattr(spec, name) != default:
            lines.append(f"    {name}={_brief(spec, name, value)},\n")
    return f"import explorer as ex\n\nspec = ex.RunSpec(\n{''.join(lines)})\nrun = ex.run(spec)\nrun\n"


def _brief(spec: RunSpec, name: str, value: Any) -> str:
    if name in RunSpec.kinds and value is not None:
        defaults = SHELVES[RunSpec.kinds[name]][value["name"]].check({})
        changed = {k: v for k, v in value["params"].items() if v != defaults[k]}
        return repr({"name": value["name"], "params": changed} if changed else value["name"])
    if name == "record":
        fields = type(spec.record)().model_dump()
        return repr({k: v for k, v in value.items() if v != fields[k]})
    return repr(value)


# --- about --------------------------------------------------------------------------------------------------------


def about_html(spec: RunSpec) -> str:
    """Return what is known of every chosen part: equation, summary, cost of a step, papers."""
    parts = []
    for field, kind in RunSpec.kinds.items():
        choice = getattr(spec, field)
        if choice is not None and choice.name not in ("none", "fixed", "budget"):
            parts.append(_about(SHELVES[kind][choice.name]))
    return f'<div class="ex-about">{"".join(parts)}</div>'


def _about(component: Component) -> str:
    escape = html.escape
    lines = [f"<h4>{escape(component.title)} <small>{escape(component.kind)}</small></h4>"]
    summary = re.sub("``(.+?)``", r"<code>\1</code>", escape(component.summary))
    lines.append(f"<p>{summary}</p>")
    if component.equation:
        lines.append(f"<p>$${escape(component.equation, quote=False)}$$</p>")
    if component.traits.get("per_step"):
        lines.append(f"<p>A step costs {escape(costs(component.traits['per_step']))}.</p>")
    if component.papers:
        items = "".join(f"<li>{escape(source(paper))}</li>" for paper in component.papers)
        lines.append(f"<ul>{items}</ul>")
    return f"<section>{''.join(lines)}</section>"
