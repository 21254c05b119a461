"""Curves for the screen: how a run converged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.run import Run
from explorer.figures.colours import DASHES, palette

#: points of a curve; more cannot be told apart on a screen
POINTS = 500
#: columns of a history that are costs or bookkeeping, not measures of the iterate
_NOT_MEASURES = ("seconds", "system")
_NAMES = {"residual": "residual ‖Ax − y‖ / ‖y‖", "error": "error ‖x − x*‖ / ‖x*‖"}


@dataclass(frozen=True)
class Curve:
    """One curve: values over steps.

    Attributes
    ----------
    name : str
        What it is, with its formula.
    x, y : NDArray
        Shape ``(points,)``.
    """

    name: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]


def thinned(count: int, points: int = POINTS) -> NDArray[np.intp]:
    """Return at most `points` indices below `count`, even on a logarithmic axis, the first and the last included."""
    if count <= points:
        return np.arange(count)
    return np.unique(np.geomspace(1, count, points).round().astype(np.intp)) - 1


def column(history: Mapping[str, Any], name: str, at: NDArray[np.intp]) -> NDArray[np.floating]:
    """Return some rows of a history's column for the first sample."""
    values = np.asarray(history[name])[at]
    return np.asarray(values.reshape(len(at), -1)[:, 0], dtype=float)


def measures(history: Mapping[str, Any], problem: Problem) -> list[Curve]:
    """Return residual and error over steps, or the first other measure of a solver that reports neither.

    Parameters
    ----------
    history : mapping
        Of a run under way or a finished one.
    problem : Problem
        Whose data scale the residual.
    """
    names = [n for n in _NAMES if n in history]
    if not names:
        scalars = [n for n in history if n not in _NOT_MEASURES and n[0].islower()]
        names = scalars[:1]
    if not names:
        return []
    at = thinned(len(history[names[0]]))
    scale = _data_norm(problem)
    curves = []
    for name in names:
        values = column(history, name, at)
        if name == "residual" and scale:
            values = values / scale
        label = _NAMES.get(name, name) if name != "residual" or scale else "residual ‖Ax − y‖"
        curves.append(Curve(label, at + 1.0, values))
    return curves


def noise_level(problem: Problem) -> float | None:
    """Return the expected noise norm relative to the data, or None where it is not known or zero."""
    noise, scale = problem.offers.get("noise_norm"), _data_norm(problem)
    if noise is None or not scale:
        return None
    return float(noise.reshape(-1)[0]) / scale or None


def _data_norm(problem: Problem) -> float:
    norm = problem.offers.get("data_norm")
    return 0.0 if norm is None else float(norm.reshape(-1)[0])


def first(value: Any) -> Any:
    """Return a per-sample value of the first sample."""
    return value if np.ndim(value) == 0 else np.asarray(value).reshape(-1)[0]


def marks(run: Run) -> dict[str, int]:
    """Return the steps of the rule's and of the best iterate, where there are such."""
    picked = {"rule" if Reason(first(run.reason)) is Reason.RULE else "stop": run.stopped, "best": run.best}
    return {name: int(first(p.step)) for name, p in picked.items() if p is not None}


def convergence(run: Run, dark: bool = False, shown: int | None = None) -> Any:
    """Return residual and error over the steps of a run, with the rule's and the best iterate marked.

    Parameters
    ----------
    run : Run
    dark : bool
        Whether the page is dark.
    shown : int, optional
        Step of the iterate that is looked at.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    figure = curve_figure(measures(run.history, run.problem), noise_level(run.problem), marks(run), dark)
    if shown is not None and shown not in marks(run).values():
        figure.add_vline(x=shown, line={"color": palette(dark).text, "width": 1.5})
    return figure


def curve_points(
    curves: list[Curve], noise: float | None
) -> list[tuple[str, NDArray[np.floating], NDArray[np.floating]]]:
    """Return name, x and y of every line of :func:`curve_figure`: the curves, and the noise level beside a residual."""
    lines = [(curve.name, curve.x, curve.y) for curve in curves]
    if curves and noise is not None and curves[0].name.startswith("residual"):
        lines.append(("noise level ‖n‖ / ‖y‖", curves[0].x[[0, -1]], np.full(2, noise)))
    return lines


def curve_figure(curves: list[Curve], noise: float | None, steps: Mapping[str, int], dark: bool = False) -> Any:
    """Return the convergence figure of curves that may still be growing."""
    import plotly.graph_objects as go

    lines = curve_points(curves, noise)
    last = max((int(x[-1]) for _, x, _ in lines), default=1)
    made = layout("step", "relative norm", dark, decades([y for *_, y in lines]), float(np.log10(last)))
    if steps and last == 1:
        made["xaxis"]["tickvals"] = [1]  # a direct method takes no tenth of a step
    figure = go.Figure(layout=made)
    colours = palette(dark)
    for index, (name, x, y) in enumerate(lines):
        if index < len(curves):
            line = {"color": colours.series[index], "dash": DASHES[index], "width": 2.5}
            mode = "lines+markers" if len(x) < 4 else "lines"
            figure.add_scatter(x=x, y=y, name=name, mode=mode, line=line, marker={"size": 7})
        else:
            line = {"color": colours.faint, "dash": "dot", "width": 1.5}
            figure.add_scatter(x=x, y=y, name=name, mode="lines", line=line)
    for step in sorted(set(steps.values())):
        names = [name for name, at in steps.items() if at == step]  # two that coincide share a line and its label
        left = step < max(steps.values())
        colour = colours.best if "best" in names else colours.rule
        figure.add_vline(x=step, line={"color": colour, "dash": "dashdot" if "best" in names else "dot", "width": 2})
        figure.add_annotation(
            x=np.log10(step), y=1, yref="paper", yanchor="bottom", xanchor="right" if left else "left",
            text=f"{' = '.join(names)} {step:,}", showarrow=False, font={"color": colour, "size": 13},
        )  # fmt: skip
    return figure


def decades(lines: list[NDArray[np.floating]]) -> float:
    """Return how many powers of ten the positive values of several lines span together."""
    values = np.concatenate([*lines, np.empty(0)])
    seen = values[np.isfinite(values) & (values > 0)]
    return float(np.log10(seen.max() / seen.min())) if seen.size else 0.0


def ticks(span: float) -> dict[str, Any]:
    """Return distance and format of the ticks of a logarithmic axis: whole numbers where few powers of ten are seen."""
    if span < 2.5:
        return {"dtick": "D2" if span > 0.8 else None, "tickformat": "~g"}  # plotly spaces less than a decade evenly
    return {"dtick": max(1, round(span / 6)), "tickformat": ""}


def layout(x: str, y: str, dark: bool, tall: float = 9.0, counted: float | None = None) -> dict[str, Any]:
    """Return the layout of every figure here: logarithmic axes, the colours of the page, no background.

    Parameters
    ----------
    x, y : str
        Titles of the axes.
    dark : bool
        Whether the page is dark.
    tall : float
        Powers of ten that are seen along y.
    counted : float, optional
        Powers of ten along x, where x counts something.
    """
    colours = palette(dark)
    axis = {
        "type": "log", "autorange": True, "zeroline": False, "showline": True,
        "gridcolor": colours.grid, "linecolor": colours.faint,
        "ticks": "outside", "tickcolor": colours.faint, "exponentformat": "power", "minor": {"ticks": ""},
        "tickfont": {"size": 12, "color": colours.text},
    }  # fmt: skip
    along = {"dtick": 1, "tickformat": ""} if counted is None else {**ticks(counted), "tickformat": ",~g"}
    return {
        "xaxis": {**axis, "title": {"text": f"{x} (log)", "font": {"size": 13}}, **along},
        "yaxis": {**axis, "title": {"text": f"{y} (log)", "font": {"size": 13}}, **ticks(tall)},
        "font": {"color": colours.text, "size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom", "xanchor": "left", "font": {"size": 13}},
        # room for two rows of a legend
        "margin": {"l": 64, "r": 12, "t": 84, "b": 44},
        "height": 332,
        "autosize": True,
        "hovermode": "x unified",
        "template": "none",
    }
