"""Densities, pseudospectra, and bands of errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.figures.colours import palette
from explorer.figures.curves import layout
from explorer.figures.page import Page


def density(report: Any, dark: bool = False) -> Any:
    """Return the density of a spectrum; with a random-matrix law the bulk, the law, and what sticks out.

    Parameters
    ----------
    report : Density or RandomLaw
        Of :mod:`explorer.analyses`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    figure = go.Figure(layout=_plain(dark, "eigenvalue λ", "density"))
    if hasattr(report, "law"):
        _against_law(figure, report, colours)
        return figure
    line = {"color": colours.series[0], "width": 2.5}
    name = f"density of eigenvalues of {report.of}"
    figure.add_scatter(x=report.grid, y=report.density, name=name, mode="lines", line=line)
    return figure


def _plain(dark: bool, x: str, y: str) -> dict[str, Any]:
    made = layout(x, y, dark)
    for axis, name in (("xaxis", x), ("yaxis", y)):
        made[axis] |= {"type": "linear", "title": {"text": name, "font": {"size": 13}}, "dtick": None}
    return made


def _against_law(figure: Any, report: Any, colours: Any) -> None:
    low, high = report.edges
    room = 3 * (high - low) * len(report.values) ** (-2 / 3)  # what is beyond that sticks out
    bulk = (report.values >= low - room) & (report.values <= high + room)
    if not bulk.sum() > len(report.values) / 2:  # no bulk: everything is drawn alike
        bulk = np.ones_like(bulk)
    inside = report.values[bulk]
    heights, edges = np.histogram(inside, bins=min(60, max(8, len(inside) // 8)), density=True)
    line = {"color": colours.series[0], "width": 1.5, "shape": "hv"}
    figure.add_scatter(x=edges, y=np.append(heights, 0), name="eigenvalues", mode="lines", line=line)
    line = {"color": colours.series[1], "dash": "dash", "width": 2.5}
    figure.add_scatter(x=report.grid, y=report.density, name=f"{report.law} law", mode="lines", line=line)
    out = report.values[~bulk]
    if len(out):
        marker = {"color": colours.rule, "symbol": "diamond", "size": 9}
        figure.add_scatter(x=out, y=np.zeros(len(out)), name="sticking out", mode="markers", marker=marker)


def counts(report: Any, dark: bool = False) -> Any:
    """Return how many eigenvalues are above each value, within two standard errors of the probes.

    Parameters
    ----------
    report : Density
        Of :mod:`explorer.analyses`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    figure = go.Figure(layout=_plain(dark, "eigenvalue λ", f"eigenvalues of {report.of} above λ"))
    thin = {"color": colours.series[0], "width": 0.5}
    low, high = (np.clip(report.above + side * 2 * report.above_error, 0, report.size) for side in (-1, 1))
    figure.add_scatter(x=report.grid, y=low, mode="lines", line=thin, showlegend=False)
    figure.add_scatter(
        x=report.grid, y=high, mode="lines", line=thin, fill="tonexty", name="two standard errors", opacity=0.5
    )
    line = {"color": colours.series[0], "width": 2.5}
    figure.add_scatter(x=report.grid, y=report.above, mode="lines", line=line, name="estimate")
    return figure


def pseudospectra(report: Any) -> Page:
    """Return level lines of the distance to a matrix with eigenvalue z, eigenvalues, and the field of values.

    Parameters
    ----------
    report : Pseudospectrum
        Of :mod:`explorer.analyses`.
    """
    figure = Page(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.subplots()
    size = np.log10(np.maximum(report.distance, 1e-300))
    top = np.floor(size.max())
    levels = np.arange(max(np.floor(size.min()), top - 8), top + 0.5, 0.5 if np.ptp(size) < 3 else 1.0)
    lines = axes.contour(report.real, report.imaginary, size, levels=np.unique(levels), linewidths=1, cmap="viridis")
    figure.colorbar(lines, ax=axes, label=r"$\log_{10}\,\varepsilon$")
    closed = np.append(report.field, report.field[:1])
    axes.plot(closed.real, closed.imag, "k--", linewidth=1, label="field of values")
    axes.plot(report.eigenvalues.real, report.eigenvalues.imag, "r.", markersize=4, label="eigenvalues")
    axes.set(xlabel="Re z", ylabel="Im z", aspect="equal")
    axes.legend(loc="upper right", fontsize=8)
    return figure


def bands(report: Any, dark: bool = False) -> Any:
    """Return the band of errors over the draws of a run, with bias and variance where iterates were kept.

    Parameters
    ----------
    report : ErrorAnatomy
        Of :mod:`explorer.analyses`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    parts = [report.low, report.high, report.bias, report.deviation]
    seen = np.concatenate([p[p > 0] for p in parts])
    figure = go.Figure(layout=layout("step", "relative error", dark, float(np.log10(seen.max() / seen.min()))))
    thin = {"color": colours.series[0], "width": 0.5}
    figure.add_scatter(x=report.steps, y=report.low, mode="lines", line=thin, showlegend=False)
    figure.add_scatter(
        x=report.steps, y=report.high, mode="lines", line=thin, fill="tonexty", name="most draws", opacity=0.5
    )
    line = {"color": colours.series[0], "width": 2.5}
    figure.add_scatter(x=report.steps, y=report.median, mode="lines", line=line, name="median error")
    for name, values, colour, dash in (
        ("bias", report.bias, colours.series[1], "dash"), ("variance (root)", report.deviation, colours.rule, "dot")
    ):  # fmt: skip
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(x=report.kept, y=values, mode="lines+markers", line=line, name=name)
    return figure
