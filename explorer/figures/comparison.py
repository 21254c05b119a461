"""Several runs in one figure and one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from explorer.catalogue import SpecError, solvers
from explorer.engine.advise import memory
from explorer.engine.run import Run
from explorer.figures.colours import palette
from explorer.figures.curves import column, decades, first, layout, marks, thinned
from explorer.figures.panels import Panel, after, round_up, span

#: what a run can be followed over: name to the title of the axis
AXES = {"step": "step", "products": "products with A and Aᴴ", "seconds": "seconds"}
#: what is followed: name of a history's column to the title of the axis
MEASURES = {"error": "error ‖x − x*‖ / ‖x*‖", "residual": "residual ‖Ax − y‖ / ‖y‖"}
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def compare(runs: Mapping[str, Run], measure: str = "error", axis: str = "step", dark: bool = False) -> Any:
    """Return one curve a run: error or residual over steps, products or seconds.

    Parameters
    ----------
    runs : mapping
        Name to run; the first sample of each is drawn, and its best iterate marked.
    measure : str
        ``error`` or ``residual``.
    axis : str
        ``step``, ``products`` (with the operator and its adjoint) or ``seconds``.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    colours, drawn = palette(dark), []
    for index, (name, run) in enumerate(runs.items()):
        if measure not in run.history:
            continue
        at = thinned(len(run.history[measure]))
        scale = _data_norm(run) if measure == "residual" else 1.0
        x, y = over(run, axis)[at], column(run.history, measure, at) / scale
        best = marks(run).get("best") if measure == "error" else None
        sizes = np.where(at + 1 == best, 11, 0 if len(at) > 3 else 7)
        hue = colours.several[index % len(colours.several)]
        figure.add_scatter(
            x=x, y=y, name=name, mode="lines+markers",
            line={"color": hue, "width": 2.2, "dash": _DASHES[index % len(_DASHES)]},
            marker={"color": hue, "size": sizes, "symbol": "circle-open", "line": {"width": 2}},
        )  # fmt: skip
        drawn.append((x, y))
    along, up = (decades([line[i] for line in drawn]) for i in (0, 1))
    figure.update_layout(layout(AXES[axis], MEASURES[measure], dark, up, along))
    figure.update_layout(showlegend=True)
    return figure


def pair(first: Run, second: Run, names: tuple[str, str] = ("A", "B")) -> tuple[Panel, Panel, Panel]:
    """Return the reconstructions of two runs on one scale, and the second minus the first.

    Parameters
    ----------
    first, second : Run
        Of unknowns of one shape; signals come with the other as reference.
    names : (str, str)

    Raises
    ------
    SpecError
        If they are not on the same grid, or of sequences of systems.
    """
    if any("system" in run.history for run in (first, second)):
        raise SpecError("a run of a sequence of systems has a picture of each: compare runs of one system")
    panels = [after(run.problem, run.x)[0] for run in (first, second)]
    a, b = (panel.array for panel in panels)
    if a is None or b is None or a.shape != b.shape:
        raise SpecError("the pictures of these two runs are not on the same grid: choose two of the same size")
    truths = [r.problem.x_true is not None for r in (first, second)]
    low, high = (panels[0].low, panels[0].high) if truths[0] else span(np.stack([a, b]))
    titles = [
        f"{name}: {solvers[run.spec.solver.name].title}" for name, run in zip(names, (first, second), strict=True)
    ]
    shown = [
        Panel(title, panel.array, low, high, note=panel.note, reference=other if a.ndim == 1 else None)
        for title, panel, other in zip(titles, panels, (b, a), strict=True)
    ]
    apart = np.asarray(b, float) - a
    limit = round_up(span(np.abs(apart))[1])
    root = float(np.sqrt(np.mean(apart[np.isfinite(apart)] ** 2))) if np.isfinite(apart).any() else 0.0
    note = f"root mean square {root:.3g}"
    return shown[0], shown[1], Panel(f"{names[1]} minus {names[0]}", apart, -limit, limit, signed=True, note=note)


def over(run: Run, axis: str) -> np.ndarray:
    """Return the values of an axis at every step, shape ``(steps,)``."""
    steps = len(run.history["seconds"])
    if axis == "seconds":
        return np.asarray(run.history["seconds"], float)
    if axis == "products":
        counted = [np.asarray(run.history[name], float) for name in ("A", "Aᴴ", "J", "Jᴴ") if name in run.history]
        return np.sum(counted, axis=0) if counted else np.arange(1.0, steps + 1)
    return np.arange(1.0, steps + 1)


def facts(run: Run) -> dict[str, Any]:
    """Return what a table says of a run: numbers of its answer, what it cost, and why it ended; of the first sample."""
    quality = {name: float(first(value)) for name, value in run.metrics.items()}
    steps = len(run.history.get("seconds", ()))
    return {
        "steps": steps,
        "products": sum(run.costs.get(name, 0) for name in ("A", "Aᴴ", "J", "Jᴴ")),
        "seconds": float(run.history["seconds"][-1]) if steps else 0.0,
        **quality,
        "memory": memory(run.spec, run.problem, steps) / 2**20,
        "ended": first(run.reason).name.lower() if hasattr(first(run.reason), "name") else str(first(run.reason)),
    }


def _data_norm(run: Run) -> float:
    norm = run.problem.offers.get("data_norm")
    return 1.0 if norm is None else float(norm.reshape(-1)[0]) or 1.0
