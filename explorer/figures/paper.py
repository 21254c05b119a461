"""Pictures for the page: matplotlib figures drawn by Agg, without a screen."""

from __future__ import annotations

import io
import textwrap
from typing import Any

import numpy as np

from explorer.engine.run import Run
from explorer.figures.colours import DASHES, DIVERGING, LIGHT
from explorer.figures.curves import marks, measures, noise_level
from explorer.figures.panels import Panel, after, before
from explorer.figures.words import explain


def pictures(run: Run) -> Any:
    """Return truth, data, reconstruction and error of a run side by side.

    Parameters
    ----------
    run : Run

    Returns
    -------
    matplotlib.figure.Figure
    """
    from explorer.figures.page import Page

    figure = Page(figsize=(10, 2.9))
    _draw_panels(figure.subplots(1, 4, gridspec_kw=_margins(bottom=0.14, top=0.9)), run)
    return figure


def summary(run: Run) -> Any:
    """Return a run on one page: the four pictures, the curves, and why it ended.

    Parameters
    ----------
    run : Run

    Returns
    -------
    matplotlib.figure.Figure
    """
    from explorer.figures.page import Page

    figure = Page(figsize=(10, 6.2))
    _draw_panels(figure.subplots(1, 4, gridspec_kw=_margins(bottom=0.58, top=0.95)), run)
    place = figure.add_gridspec(1, 1, left=0.07, right=0.985, bottom=0.16, top=0.5)
    _draw_curves(figure.add_subplot(place[0]), run)
    if notes := explain(run):
        said = textwrap.fill(f"{notes[0].title}. {notes[0].text}", 130)
        figure.text(0.07, 0.02, said, fontsize=10, va="bottom")
    return figure


def curves(run: Run) -> Any:
    """Return residual and error over the steps of a run, with the rule's and the best iterate marked.

    Parameters
    ----------
    run : Run

    Returns
    -------
    matplotlib.figure.Figure
    """
    from explorer.figures.page import Page

    figure = Page(figsize=(10, 3.6))
    _draw_curves(figure.subplots(1, 1, gridspec_kw=_margins(bottom=0.16, top=0.95, left=0.07)), run)
    return figure


def drawn(figure: Any) -> Any:
    """Return a plotly figure of curves as a matplotlib figure, for pages without scripts.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Of scatter traces, such as :func:`explorer.figures.spectrum` returns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from explorer.figures.page import Page

    page = Page(figsize=(10, 3.8))
    axes = page.subplots(1, 1, gridspec_kw=_margins(bottom=0.16, top=0.95, left=0.08))
    for trace in figure.data:
        marked = "o" if "markers" in (trace.mode or "lines") else ""
        line = "-" if "lines" in (trace.mode or "lines") else ""
        colour = (trace.line.color if line else trace.marker.color) or LIGHT.text
        axes.plot(trace.x, trace.y, line or " ", marker=marked, markersize=4, color=colour, label=trace.name)
    axes.set(xscale=figure.layout.xaxis.type or "linear", yscale=figure.layout.yaxis.type or "linear")
    for set_limits, axis in ((axes.set_xlim, figure.layout.xaxis), (axes.set_ylim, figure.layout.yaxis)):
        if axis.range is not None:
            set_limits(*(10.0**end if axis.type == "log" else end for end in axis.range))
    axes.set_xlabel(figure.layout.xaxis.title.text, fontsize=9)
    axes.set_ylabel(figure.layout.yaxis.title.text, fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    return page


def _margins(**edges: float) -> dict[str, float]:
    """Return the place of four panels in a row; fixed, as a layout found by trial costs more than the drawing."""
    return {"left": 0.04, "right": 0.985, "wspace": 0.2, **edges}


def png(figure: Any, dpi: int = 90) -> bytes:
    """Return a matplotlib figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.dpi = dpi
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def svg(figure: Any) -> bytes:
    """Return a matplotlib figure as SVG, with its letters as letters."""
    import matplotlib as mpl

    file = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _draw_panels(row: Any, run: Run) -> None:
    label = f"step {marks(run)['rule']}" if "rule" in marks(run) else ""
    panels = (*before(run.problem), *after(run.problem, run.x, label))
    for axes, panel in zip(row, panels, strict=True):
        _draw_panel(axes, panel)


def _draw_panel(axes: Any, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=10)
    image = panel.array is not None and panel.array.ndim == 2
    scale = panel.range_text if image else ""  # a curve has its axes
    axes.set_xlabel("   ".join(filter(None, (scale, panel.note))), fontsize=9)
    if panel.array is None:
        axes.set(xticks=[], yticks=[])
    elif panel.array.ndim == 2:
        from matplotlib.colors import ListedColormap

        colours = ListedColormap(DIVERGING / 255) if panel.signed else "gray"
        axes.imshow(panel.array, cmap=colours, vmin=panel.low, vmax=panel.high, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
    else:
        if panel.reference is not None:
            axes.plot(panel.reference, color=LIGHT.faint, linewidth=1, linestyle=":")
        axes.plot(panel.array, color=LIGHT.series[0], linewidth=1)
        axes.tick_params(labelsize=8)


def _draw_curves(axes: Any, run: Run) -> None:
    styles = {"solid": "-", "dash": "--", "dot": ":"}
    drawn = measures(run.history, run.problem)
    for curve, colour, dash in zip(drawn, LIGHT.series, DASHES, strict=False):
        few = "o" if len(curve.x) < 4 else None
        axes.plot(curve.x, curve.y, styles[dash], color=colour, marker=few, label=curve.name)
    noise = noise_level(run.problem)
    if drawn and noise is not None:
        axes.axhline(noise, color=LIGHT.faint, linestyle=":", linewidth=1, label="noise level ‖n‖ / ‖y‖")
    for name, step in marks(run).items():
        axes.axvline(step, color=LIGHT.best if name == "best" else LIGHT.rule, linestyle="-.", linewidth=1)
        axes.annotate(f" {name} {step}", (step, 1), xycoords=("data", "axes fraction"), va="top", fontsize=9)
    if any(np.any(curve.y > 0) for curve in drawn):
        from matplotlib.ticker import LogLocator, NullLocator

        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        axes.legend(fontsize=9, frameon=False)
    axes.set_xlabel("step (log)", fontsize=9)
    axes.set_ylabel("relative norm (log)", fontsize=9)
    axes.tick_params(labelsize=8)
