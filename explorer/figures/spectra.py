"""Curves over the spectrum of an operator: singular values, data, and what a method lets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from explorer.figures.colours import palette
from explorer.figures.curves import first, layout, thinned, ticks


def spectrum(report: Any, dark: bool = False, ritz: Any = None, step: int = 0, density: Any = None) -> Any:
    """Return singular values, and with them the coefficients of the data where the report has them (Picard's plot).

    Parameters
    ----------
    report : SingularValues or Picard
        Of :mod:`explorer.analyses`.
    dark : bool
        Whether the page is dark.
    ritz : NDArray, optional
        Ritz values of a run as singular values, shape ``(*batch, step)``: they are drawn on the curve.
    step : int
        After which the run has them.
    density : Density, optional
        Of a large operator: beyond the singular values that are known, their estimated course is drawn.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    positive = report.values[report.values > 0]
    decades = float(np.log10(positive.max() / positive.min())) if positive.size else 0.0
    figure = go.Figure(layout=layout("index i", "size", dark, decades, float(np.log10(len(report.values)))))
    colours = palette(dark)
    at = thinned(len(report.values))
    x = at + 1.0
    keep: Callable[[Any], Any] = lambda v: np.where(np.asarray(v)[at] > 0, np.asarray(v, float)[at], np.nan)  # noqa: E731
    figure.add_scatter(
        x=x, y=keep(report.values), name="singular value σᵢ", mode="lines",
        line={"color": colours.series[0], "width": 2.5},
    )  # fmt: skip
    if getattr(report, "error", None) is not None:
        high = np.asarray(report.values) + report.error
        line = {"color": colours.series[0], "width": 1, "dash": "dot"}
        figure.add_scatter(x=x, y=keep(high), name="upper bound of σᵢ", mode="lines", line=line)
    if density is not None and hasattr(density, "above"):
        beyond = (density.above > len(report.values)) & (density.grid > 0)
        sizes = density.grid[beyond][::-1] if density.of == "A" else np.sqrt(density.grid[beyond][::-1])
        line = {"color": colours.faint, "width": 2, "dash": "dot"}
        figure.add_scatter(x=density.above[beyond][::-1], y=sizes, name="estimated", mode="lines", line=line)
    if ritz is not None:
        found = ritz.reshape(-1, ritz.shape[-1])[0]
        found = found[found >= report.values[-1]]
        places = np.interp(-found, -np.asarray(report.values, float), np.arange(1.0, len(report.values) + 1))
        marker = {"color": colours.rule, "symbol": "diamond-open", "size": 8}
        figure.add_scatter(x=places, y=found, name=f"Ritz value, step {step}", mode="markers", marker=marker)
    if not hasattr(report, "coefficients"):
        return figure
    sizes = report.coefficients.reshape(-1, len(report.values))[0]
    figure.add_scatter(
        x=x, y=keep(sizes), name="data |uᵢᴴy|", mode="markers",
        marker={"color": colours.series[1], "symbol": "circle-open", "size": 5},
    )  # fmt: skip
    floor = float(first(report.floor))
    if floor > 0:
        line = {"color": colours.faint, "dash": "dot", "width": 2}
        figure.add_scatter(x=x[[0, -1]], y=[floor, floor], name="noise a coefficient", mode="lines", line=line)
    fails = int(first(report.fails))
    if fails < len(report.values):
        line = {"color": colours.rule, "dash": "dot", "width": 2}
        figure.add_vline(x=fails + 1, line=line)
        figure.add_annotation(
            x=np.log10(fails + 1), y=1, yref="paper", yanchor="bottom",
            xanchor="right" if fails > len(report.values) ** 0.5 else "left", text="noise outweighs signal",
            showarrow=False, font={"color": colours.rule, "size": 13},
        )  # fmt: skip
    return figure


def filters(report: Any, dark: bool = False, lost_below: float | None = None) -> Any:
    """Return the filter factors of a method over the singular values, with its Ritz values on the curve.

    Parameters
    ----------
    report : FilterFactors
        Of :mod:`explorer.analyses`; its first sample is drawn.
    dark : bool
        Whether the page is dark.
    lost_below : float, optional
        Singular value below which noise outweighs signal (Picard's condition).

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    made = layout("singular value σ", "filter factor φ", dark)
    made["yaxis"] |= {"type": "linear", "title": {"text": "filter factor φ", "font": {"size": 13}}, "dtick": 0.25}
    made["yaxis"] |= {"autorange": False, "range": [-0.05, 1.3]}
    figure = go.Figure(layout=made)
    positive = report.values > 0
    values, factors = report.values[positive], report.factors.reshape(-1, len(report.values))[0][positive]
    open_to = values[factors > 1e-3].min(initial=values[0])  # from there on the filter is closed: nothing to see
    end = max(values[-1], min(open_to, lost_below or open_to) / 10)
    ends = np.log10([end, values[0] * 1.2])
    made["xaxis"] |= {"autorange": False, "range": ends.tolist(), **ticks(float(np.ptp(ends)))}
    figure.update_layout(xaxis=made["xaxis"])
    at = thinned(len(values), 800)
    line = {"color": colours.series[0], "width": 2.5}
    figure.add_scatter(x=values[at], y=factors[at], name=f"filter factor after step {report.step}", line=line)
    if report.ritz is not None:
        ritz = report.ritz.reshape(-1, report.ritz.shape[-1])[0]
        seen = ritz[ritz >= end]
        figure.add_scatter(
            x=seen, y=np.ones(len(seen)), name="Ritz value", mode="markers",
            marker={"color": colours.series[1], "symbol": "diamond-open", "size": 8},
        )  # fmt: skip
    line = {"color": colours.faint, "dash": "dot", "width": 1.5}
    figure.add_scatter(x=values[[0, -1]], y=[1, 1], name="everything passes", mode="lines", line=line)
    if lost_below is not None and lost_below > 0:
        figure.add_vline(x=lost_below, line={"color": colours.rule, "dash": "dot", "width": 2})
        figure.add_annotation(
            x=np.log10(lost_below), y=1, yref="paper", yanchor="bottom", xanchor="right",
            text="noise outweighs signal", showarrow=False, font={"color": colours.rule, "size": 13},
        )  # fmt: skip
    return figure
