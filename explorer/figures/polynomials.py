"""The polynomial of a Krylov method over the spectrum, and its bounds over the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.figures.colours import DASHES, palette
from explorer.figures.curves import layout, thinned


def polynomial(report: Any, dark: bool = False) -> Any:
    """Return ``|p_k|`` at the eigenvalues, with Ritz and harmonic Ritz values below.

    Parameters
    ----------
    report : SolverPolynomial
        Of :mod:`explorer.analyses`; its first sample is drawn.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    n = len(report.eigenvalues)
    sizes = np.abs(report.values.reshape(-1, n)[0])
    shown = np.clip(sizes, 1e-16, 1e8)
    ritz, harmonic = (r.reshape(-1, r.shape[-1])[0] for r in (report.ritz, report.harmonic))
    made = layout(f"eigenvalue of {report.of}", "size", dark, float(np.log10(shown.max() / shown.min())))
    made["xaxis"]["dtick"] = max(1, round(float(np.log10(report.eigenvalues[0] / report.eigenvalues[-1])) / 8))
    if report.eigenvalues[0] < 30 * report.eigenvalues[-1]:
        made["xaxis"] |= {"type": "linear", "title": {"text": f"eigenvalue of {report.of}"}, "dtick": None}
    figure = go.Figure(layout=made)
    at = thinned(n, 800)
    figure.add_scatter(
        x=report.eigenvalues[at], y=shown[at], name=f"residual polynomial |p(λ)| after step {report.step}",
        mode="markers", marker={"color": colours.series[0], "size": 5},
    )  # fmt: skip
    energy = report.weights.reshape(-1, n)[0][at]
    figure.add_scatter(
        x=report.eigenvalues[at], y=np.where(energy > 1e-20, energy, np.nan), name="error at the start", mode="markers",
        marker={"color": colours.faint, "size": 4, "symbol": "x-thin-open"},
    )  # fmt: skip
    low = float(shown.min())
    for row, (name, zeros, symbol, colour) in enumerate(
        (
            ("Ritz value", ritz, "diamond-open", colours.series[1]),
            ("harmonic Ritz value", harmonic, "circle-open", colours.rule),
        )
    ):
        figure.add_scatter(
            x=zeros, y=np.full(len(zeros), low / 10 ** (0.5 + 0.5 * row)), name=name, mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
        )  # fmt: skip
    return figure


def bounds(report: Any, dark: bool = False) -> Any:
    """Return the measured error of a Krylov method over its steps beside what the spectrum allows.

    Parameters
    ----------
    report : SolverPolynomial
        Of :mod:`explorer.analyses`; its first sample is drawn.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    measured = report.measured.reshape(len(report.steps), -1)[:, 0]
    curves = (
        ("measured error, energy norm", measured, colours.series[0]),
        ("bound from every eigenvalue", report.minimax, colours.series[1]),
        ("bound from the condition number (Chebyshev)", report.chebyshev, colours.faint),
    )
    seen = np.concatenate([c[c > 0] for _, c, _ in curves])
    figure = go.Figure(layout=layout("step", "relative error", dark, float(np.log10(seen.max() / seen.min()))))
    for (name, values, colour), dash in zip(curves, DASHES, strict=True):
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(
            x=report.steps, y=np.where(values > 0, values, np.nan), name=name, mode="lines+markers", line=line
        )
    return figure
