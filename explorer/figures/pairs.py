"""What the data tell of each pattern against how much a prior minds it."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.figures.colours import palette
from explorer.figures.curves import layout, thinned


def generalised(report: Any, dark: bool = False) -> Any:
    """Return generalised singular values over their index, with both of their parts.

    Patterns that the prior leaves free have no finite value: they are counted at the left edge.

    Parameters
    ----------
    report : GeneralisedValues
        Of :mod:`explorer.analyses`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    finite = np.isfinite(report.values) & (report.values > 0)
    sizes = np.concatenate((report.values[finite], report.c[report.c > 0], report.s[report.s > 0]))
    figure = go.Figure(layout=layout("index i", "size", dark, float(np.log10(sizes.max() / sizes.min()))))
    at = thinned(len(report.values), 800)
    for name, values, colour, dash in (
        ("γᵢ = cᵢ / sᵢ", report.values, colours.series[0], "solid"),
        ("cᵢ: told by the data", report.c, colours.series[1], "dash"),
        ("sᵢ: minded by the prior", report.s, colours.series[2], "dot"),
    ):
        shown = np.where(np.isfinite(values[at]) & (values[at] > 0), values[at], np.nan)
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(x=at + 1.0, y=shown, name=name, mode="lines", line=line)
    if report.free:
        figure.add_annotation(
            x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False,
            text=f"{report.free:,} free", font={"color": colours.rule, "size": 13},
        )  # fmt: skip
    return figure
