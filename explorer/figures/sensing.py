"""What sparse signals a set of measurements tells apart: isometry, and the map of the phase transition."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.figures.colours import DASHES, palette
from explorer.figures.curves import layout


def _plain(x: str, y: str, dark: bool) -> dict[str, Any]:
    made = layout(x, y, dark)
    for axis, name in (("xaxis", x), ("yaxis", y)):
        made[axis] |= {"type": "linear", "title": {"text": name, "font": {"size": 13}}, "dtick": None}
    return made


def phase_map(report: Any, dark: bool = False) -> Any:
    """Return the share of recovered signals over measurements and sparsity, with the border that theory predicts.

    Parameters
    ----------
    report : PhaseTransition
        Of :mod:`explorer.analyses`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    made = _plain("measurements for each unknown", "share of entries that are not zero", dark)
    made["hovermode"] = "closest"
    figure = go.Figure(layout=made)
    figure.add_heatmap(
        x=report.shares, y=report.sparsity, z=report.success.T, zmin=0, zmax=1, colorscale="Greys_r",
        colorbar={"title": {"text": "recovered"}, "thickness": 12},
    )  # fmt: skip
    inside = (report.predicted >= report.shares[0]) & (report.predicted <= report.shares[-1])
    line = {"color": colours.series[1], "width": 3}
    figure.add_scatter(
        x=report.predicted[inside],
        y=report.sparsity[inside],
        mode="lines",
        line=line,
        name="statistical dimension (l1)",
    )
    known = np.isfinite(report.half)
    marker = {"color": colours.series[0], "symbol": "circle-open", "size": 8, "line": {"width": 2}}
    figure.add_scatter(
        x=report.shares[known], y=report.half[known], mode="markers", marker=marker, name="half of them come back"
    )
    return figure


def isometry(report: Any, dark: bool = False) -> Any:
    """Return how far columns are from orthonormal over the size of a support, between the bounds that are known.

    Parameters
    ----------
    report : Sensing
        Of :mod:`explorer.analyses`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    figure = go.Figure(layout=_plain("nonzero entries s", "largest |σ² − 1| of s columns", dark))
    curves = (
        ("worst support drawn (δ from below)", report.delta),
        ("typical support", report.typical),
        ("bound from the coherence", report.gershgorin),
    )
    for (name, values), colour, dash in zip(curves, colours.series, DASHES, strict=True):
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(x=report.sparsity, y=values, name=name, mode="lines+markers", line=line)
    figure.add_hline(y=1, line={"color": colours.faint, "dash": "dot", "width": 1.5})
    figure.update_layout(yaxis={"range": [0, 1.15 * max(1.0, float(report.delta.max()))], "autorange": False})
    return figure
