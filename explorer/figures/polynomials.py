"""The polynomial of a Krylov method over the spectrum, and its bounds over the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.analyses.filters import residual_polynomial
from explorer.figures.colours import DASHES, Palette, palette
from explorer.figures.curves import layout, thinned

#: polynomials below that are drawn there, and points of their curve
LEAST, CURVE = 1e-8, 300


def polynomial(report: Any, dark: bool = False) -> Any:
    """Return ``|p_k|`` at the eigenvalues, with Ritz and harmonic Ritz values below, and the error beside its bounds.

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
    ritz, harmonic = (r.reshape(-1, r.shape[-1])[0] for r in (report.ritz, report.harmonic))
    at = thinned(n, 800)
    eigenvalues = report.eigenvalues[at]
    shown = np.clip(np.abs(report.values.reshape(-1, n)[0][at]), LEAST, 1e8)
    left = ritz[-1] / 30 if eigenvalues[-1] < ritz[-1] / 30 else min(eigenvalues[-1], ritz[-1] / 2)  # beyond, p is 1
    ends = np.array([left, eigenvalues[0]])
    low, high = float(shown.min()), 3 * max(1.0, float(shown.max()))
    made = layout(f"eigenvalue of {report.of}", "size", dark, float(np.log10(high / low)) + 2)
    made["xaxis"]["dtick"] = max(1, round(float(np.log10(ends[1] / ends[0])) / 8))
    if ends[1] < 30 * ends[0]:
        made["xaxis"] |= {"type": "linear", "dtick": None}
        made["xaxis"]["title"]["text"] = f"eigenvalue of {report.of}"
    else:
        reach = [float(np.floor(np.log10(left))), float(np.log10(1.2 * ends[1]))]
        made["xaxis"] |= {"autorange": False, "range": reach}
    made["yaxis"] |= {"autorange": False, "range": [float(np.log10(low)) - 1.5, float(np.log10(high))]}
    made["legend"] |= {"font": {"size": 11}}
    figure = go.Figure(layout={**made, "height": 360})
    between = np.geomspace(ends[0], ends[1], CURVE)
    curve = np.abs(residual_polynomial(between, ritz))
    line = {"color": colours.series[0], "width": 1}
    figure.add_scatter(
        x=between, y=np.clip(curve, low, 1e8), name=f"|p(λ)| after step {report.step}", mode="lines", line=line
    )
    figure.add_scatter(
        x=eigenvalues, y=shown, name="at the eigenvalues", mode="markers",
        marker={"color": colours.series[0], "size": 5},
    )  # fmt: skip
    energy = report.weights.reshape(-1, n)[0][at]
    figure.add_scatter(
        x=eigenvalues, y=np.where(energy >= low, energy, np.nan), name="error at the start", mode="markers",
        marker={"color": colours.faint, "size": 4, "symbol": "x-thin-open"},
    )  # fmt: skip
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
    for (name, size, colour), dash in zip(_errors(report, colours), DASHES, strict=True):
        if np.isfinite(size) and size >= low:
            line = {"color": colour, "dash": dash, "width": 2}
            figure.add_scatter(x=ends, y=[size, size], name=name, mode="lines", line=line)
    return figure


def _errors(report: Any, colours: Palette) -> tuple[tuple[str, float, str], ...]:
    """Return the error after the step and its two bounds: name, size, colour."""
    return (
        ("error left", float(report.measured.reshape(len(report.steps), -1)[-1, 0]), colours.series[0]),
        ("bound: spectrum", float(report.minimax[-1]), colours.best),
        ("bound: condition number", float(report.chebyshev[-1]), colours.faint),
    )


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
