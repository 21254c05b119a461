"""Curves over a regularization parameter, with what every rule chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.catalogue import SpecError
from explorer.catalogue import rules as shelf
from explorer.engine.swept import RuleComparison
from explorer.figures.colours import DASHES, palette
from explorer.figures.curves import layout, ticks

#: pixels of a sweep's figure, of which the legend of a dozen rules takes a third
HEIGHT = 440
#: symbols of the rules' choices on the error curve
_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")


def rules(found: RuleComparison, dark: bool = False, shown: float | None = None) -> Any:
    """Return error and residual over the parameter, and the choice of every rule on them; of the first sample.

    Parameters
    ----------
    found : RuleComparison
        Of :func:`explorer.compare_rules`.
    dark : bool
        Whether the page is dark.
    shown : float, optional
        Value of the parameter that is looked at.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    curves = {name: _first(values) for name, values in found.curves.items()}
    scale = _norm(found, "data_norm")
    residual = curves["residual"] / scale
    main = curves.get("error", residual)
    kept = np.concatenate([c[np.isfinite(c) & (c > 0)] for c in (main, residual)])
    decades = float(np.log10(min(kept.max(), 10 * main.min()) / kept.min())) if kept.size else 1.0
    made = layout(_axis(found), "relative norm", dark, decades)
    log = logarithmic(found)
    top = np.log10(min(np.nanmax(main), 10 * np.nanmin(main)) * 1.3)
    low = np.log10(max(min(np.nanmin(main), np.nanmin(residual)), np.nanmin(main) / 100) / 1.5)
    made["yaxis"] |= {"autorange": False, "range": [float(low), float(top)]}
    useful = found.values[main <= 10 * np.nanmin(main)]  # beyond, the error is off the scale
    picked = [found.values[i] for i in (int(np.reshape(at, -1)[0]) for at in found.chosen.values()) if i >= 0]
    if log:
        left = max(found.values.min(), min([*picked, useful.min()]) / 10)
        ends = [float(np.log10(left)), float(np.log10(found.values.max()))]
        made["xaxis"] |= {"autorange": False, "range": ends, "dtick": max(1, round((ends[1] - ends[0]) / 6))}
    else:
        title = {"text": _axis(found), "font": {"size": 13}}
        made["xaxis"] |= {"type": "linear", "tickmode": "auto", "nticks": 8, "title": title}
    made |= {"legend": made["legend"] | {"font": {"size": 11}}, "hovermode": "closest", "height": HEIGHT, "shapes": []}
    x = found.values
    traces: list[dict[str, Any]] = [
        {
            "x": x, "y": residual, "name": "residual ‖Ax − y‖ / ‖y‖", "mode": "lines",
            "line": {"color": colours.series[0], "width": 2.5},
        }
    ]  # fmt: skip
    if "error" in curves:
        line = {"color": colours.series[1], "width": 2.5, "dash": "dash"}
        name = "error ‖x − x*‖ / ‖x*‖"
        traces.append({"x": x, "y": curves["error"], "name": name, "mode": "lines", "line": line})
    for index, (name, at) in enumerate(found.chosen.items()):
        i = int(np.reshape(at, -1)[0])
        if i >= 0:
            marker = _marker(index, name, colours)
            traces.append({"x": [x[i]], "y": [main[i]], "name": shelf[name].title, "mode": "markers", "marker": marker})
    noise = _norm(found, "noise_norm")
    if noise and noise != 1.0:
        line, level = {"color": colours.faint, "dash": "dot", "width": 1.5}, noise / scale
        place = {"xref": "x domain", "x0": 0, "x1": 1, "y0": level, "y1": level}
        made["shapes"].append({"type": "line", **place, "line": line})
        height = float(np.log10(level)) if made["yaxis"].get("type") == "log" else level
        font = {"color": colours.text, "size": 11}
        where = {"xref": "x domain", "x": 0, "y": height, "xanchor": "left", "yanchor": "bottom"}
        made["annotations"] = [{"text": "noise level: the target", "font": font, "showarrow": False, **where}]
    if shown is not None and (shown > 0 or not log):
        line = {"color": colours.text, "width": 1.5}
        made["shapes"] += [
            {"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "x0": shown, "x1": shown, "line": line}
        ]
    # all at once: adding one after the other takes several times as long, and a dragged marker has no time
    return go.Figure(data=[{"type": "scatter", **trace} for trace in traces], layout=made)


def awaiting(what: str, said: str, dark: bool = False) -> Any:
    """Return the axes of a sweep that has not been made.

    Parameters
    ----------
    what : str
        Along which it would go.
    said : str
        What stands in place of the curve.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    made = layout(what, "relative norm", dark)
    made["xaxis"] |= {"autorange": False, "range": [-2, 2], "showticklabels": False}
    made["yaxis"] |= {"autorange": False, "range": [-2, 1], "showticklabels": False}
    font = {"color": palette(dark).text, "size": 14}
    place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    made["annotations"] = [{"text": said, "showarrow": False, "font": font, **place}]
    return go.Figure(layout=made | {"height": HEIGHT})


def l_curve(found: RuleComparison, dark: bool = False) -> Any:
    """Return the norm of the solution over that of the residual, with the choice of every rule; of the first sample.

    Parameters
    ----------
    found : RuleComparison
        Of :func:`explorer.compare_rules`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    _refuse_steps(found)
    colours = palette(dark)
    residual = _first(found.curves["residual"]) / _norm(found, "data_norm")
    size = _first(found.curves["solution_norm"])
    picked = [int(np.reshape(at, -1)[0]) for at in found.chosen.values()]
    usual = (
        float(np.median(size[[i for i in picked if i >= 0]])) if max(picked, default=-1) >= 0 else np.nanmedian(size)
    )
    seen = (size > usual / 100) & (size < 100 * usual)  # beyond, there is noise alone or nothing
    made = layout("residual ‖Ax − y‖ / ‖y‖", "norm of the solution ‖x‖", dark, float(np.ptp(np.log10(size[seen]))))
    for axis, values in (("xaxis", residual[seen]), ("yaxis", size[seen])):
        low, high = np.log10(values.min()), np.log10(values.max())
        made[axis] |= {"autorange": False, "range": [float(low) - 0.1, float(high) + 0.1]}
        made[axis] |= ticks(float(high - low))
    figure = go.Figure(layout=made)
    line = {"color": colours.series[0], "width": 2.5}
    label = [f"λ = {value:.3g}" for value in found.values]
    figure.add_scatter(x=residual, y=size, name="L-curve", mode="lines", line=line, text=label)
    for index, (name, at) in enumerate(found.chosen.items()):
        i = int(np.reshape(at, -1)[0])
        if i >= 0:
            figure.add_scatter(
                x=[residual[i]],
                y=[size[i]],
                name=shelf[name].title,
                mode="markers",
                marker=_marker(index, name, colours),
            )
    figure.update_layout(legend={"font": {"size": 11}}, hovermode="closest", height=360)
    return figure


def scores(found: RuleComparison, dark: bool = False) -> Any:
    """Return what every rule that minimises something minimises, each on its own scale; of the first sample.

    Parameters
    ----------
    found : RuleComparison
        Of :func:`explorer.compare_rules`.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    _refuse_steps(found)
    colours = palette(dark)
    made = layout(_axis(found), "score, from 0 (least) to 1 (median)", dark)
    made["yaxis"] |= {"type": "linear", "autorange": False, "range": [-0.1, 1.5], "dtick": 0.5}
    made["yaxis"]["title"] = {"text": "score, from 0 (least) to 1 (median)", "font": {"size": 13}}
    usual = float(np.median(found.values[_picked(found)]))
    ends = np.log10([max(found.values[-1], 1e-6 * usual), found.values[0]])
    made["xaxis"] |= {"autorange": False, "range": ends.tolist(), "dtick": max(1, round(float(np.ptp(ends)) / 6))}
    figure = go.Figure(layout=made)
    for index, (name, values) in enumerate(found.scores.items()):
        if shelf[name].traits["picks"] != "minimum":
            continue
        one = np.where(np.isfinite(_first(values)), _first(values), np.nan)
        if np.isnan(one).all():
            continue
        low, middle = np.nanmin(one), np.nanmedian(one)
        colour = colours.several[index % len(colours.several)]
        line = {"color": colour, "width": 2, "dash": DASHES[index % len(DASHES)]}
        scaled = (one - low) / (middle - low if middle > low else 1.0)
        figure.add_scatter(x=found.values, y=scaled, name=shelf[name].title, mode="lines", line=line)
        figure.add_scatter(
            x=[found.values[int(np.nanargmin(one))]], y=[0], mode="markers", showlegend=False, hoverinfo="skip",
            marker=_marker(index, name, colours),
        )  # fmt: skip
    figure.update_layout(legend={"font": {"size": 11}}, hovermode="closest", height=360)
    return figure


def _refuse_steps(found: RuleComparison) -> None:
    if found.along != "parameter":
        raise SpecError("steps and knobs have neither scores nor norms of solutions: draw `rules`", "found")


def logarithmic(found: RuleComparison) -> bool:
    """Say whether the values of a sweep lie on a logarithmic axis."""
    return bool(found.values.min() > 0 and found.values.max() >= 20 * found.values.min())


def _axis(found: RuleComparison) -> str:
    return found.parameter.replace("_", " ") + (" λ" if found.along == "parameter" else "")


def _picked(found: RuleComparison) -> NDArray[np.integer]:
    """Return the indices that rules chose; every index where none did."""
    at = np.array([int(np.reshape(at, -1)[0]) for at in found.chosen.values()], int)
    return at[at >= 0] if (at >= 0).any() else np.arange(len(found.values))


def _marker(index: int, name: str, colours: Any) -> dict[str, Any]:
    return {
        "color": colours.several[index % len(colours.several)], "size": 11,
        "symbol": _SYMBOLS[index % len(_SYMBOLS)] + ("-open" if name == "oracle" else ""),
    }  # fmt: skip


def _first(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return values.reshape(len(values), -1)[:, 0]


def _norm(found: RuleComparison, name: str) -> float:
    norm = found.problem.offers.get(name)
    return 1.0 if norm is None else float(norm.reshape(-1)[0]) or 1.0
