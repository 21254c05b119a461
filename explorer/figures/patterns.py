"""Patterns as pictures: singular vectors, generalised ones, point responses."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.figures.colours import DIVERGING, DIVERGING_DARK, palette
from explorer.figures.curves import layout
from explorer.figures.page import Page

#: pictures above which a strip has no titles, and is a mosaic
TITLED = 36


def modes(report: Any, side: str = "right", columns: int = 0) -> Page:
    """Return singular vectors as a strip of pictures, each on its own symmetric scale, or as curves.

    More than 36 become a mosaic without titles, such as v₁ … v₂₀₀ on one page.

    Parameters
    ----------
    report : SingularVectors or GeneralisedValues
        Of :mod:`explorer.analyses`.
    side : str
        ``right`` for patterns of the unknown, ``left`` for patterns of the data.
    columns : int
        Pictures a row; 6, or 20 of a mosaic, unless given.
    """
    vectors, letter = _vectors(report, side)
    if len(vectors) > TITLED and vectors.ndim > 2:
        return _mosaic(vectors, report.index, letter, columns or 20)
    values = _values(report)
    named = zip(report.index, values, vectors, strict=True)
    symbol = "γ" if hasattr(report, "patterns") else "σ"
    return strip([(f"{letter}$_{{{i}}}$   {symbol} = {s:.3g}", v) for i, s, v in named], columns or 6)


def _vectors(report: Any, side: str) -> tuple[NDArray[Any], str]:
    generalised = hasattr(report, "patterns")
    found = report.patterns if generalised else getattr(report, side)
    array = found.detach().cpu().numpy()
    return (array.real if np.iscomplexobj(array) else array), "x" if generalised else "v" if side == "right" else "u"


def _values(report: Any) -> NDArray[np.floating]:
    return report.values[report.index - 1] if hasattr(report, "patterns") else report.values


def _flat(picture: NDArray[Any]) -> NDArray[Any]:
    """Return one picture: what has more dimensions is stacked downwards."""
    return picture.reshape(-1, picture.shape[-1])


def _mosaic(vectors: NDArray[Any], index: NDArray[np.integer], letter: str, columns: int) -> Page:
    pictures = [_flat(v) / (np.abs(v).max() or 1.0) for v in vectors]
    high, wide = pictures[0].shape
    rows, gap = -(-len(pictures) // columns), max(1, high // 16)
    sheet = np.full((rows * (high + gap) - gap, columns * (wide + gap) - gap), np.nan)
    for k, picture in enumerate(pictures):
        top, left = (k // columns) * (high + gap), (k % columns) * (wide + gap)
        sheet[top : top + high, left : left + wide] = picture
    width = 12.0
    figure = Page(figsize=(width, 0.4 + width * sheet.shape[0] / sheet.shape[1]), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set(xticks=[])
    axes.set_yticks(
        [(high + gap) * row + high / 2 for row in range(rows)],
        [f"{letter}$_{{{i}}}$" for i in index[::columns]],
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def strip(pictures: list[tuple[str, Any]], columns: int = 6) -> Page:
    """Return signed pictures in rows, zero in the middle grey of each."""
    rows = -(-len(pictures) // columns)
    across = min(columns, len(pictures))
    figure = Page(figsize=(1.7 * across, 1.95 * rows), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, across)).reshape(-1)
    for axes in grid[len(pictures) :]:
        axes.set_axis_off()
    for axes, (title, vector) in zip(grid, pictures, strict=False):
        axes.set_title(title, fontsize=9)
        array = vector.real if np.iscomplexobj(vector) else vector
        if array.ndim == 1:
            axes.plot(array, linewidth=1)
            axes.axhline(0, color="0.6", linewidth=0.5)
            axes.tick_params(labelsize=6)
        else:
            high = float(np.abs(array).max()) or 1.0
            axes.imshow(_flat(array), cmap="RdBu_r", vmin=-high, vmax=high, interpolation="nearest", aspect="auto")
            axes.set_box_aspect(1)
            axes.set(xticks=[], yticks=[])
    return figure


def browse(report: Any, side: str = "right", dark: bool = False) -> Any:
    """Return singular vectors one at a time, with a slider over their index that needs no kernel.

    Parameters
    ----------
    report : SingularVectors or GeneralisedValues
        Of :mod:`explorer.analyses`.
    side : str
        ``right`` for patterns of the unknown, ``left`` for patterns of the data.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    vectors, letter = _vectors(report, side)
    symbol = "γ" if hasattr(report, "patterns") else "σ"
    titles = [f"{letter}<sub>{i}</sub>, {symbol} = {s:.3g}" for i, s in zip(report.index, _values(report), strict=True)]
    made = layout("", "", dark)
    curves = vectors.ndim == 2
    for axis, name in (("xaxis", "sample"), ("yaxis", "value")):
        made[axis] |= {"type": "linear", "title": {"text": name if curves else "", "font": {"size": 13}}, "dtick": None}
    top = float(np.abs(vectors).max()) or 1.0
    if curves:
        made["yaxis"] |= {"autorange": False, "range": [-1.05 * top, 1.05 * top]}
        line = {"color": palette(dark).series[0], "width": 2}
        traces = [go.Scatter(y=v, mode="lines", line=line, showlegend=False) for v in vectors]
    else:
        for axis in ("xaxis", "yaxis"):
            made[axis] |= {"visible": False}
        made["yaxis"] |= {"scaleanchor": "x"}
        traces = [go.Image(source=_picture(_flat(v), dark), hoverinfo="skip") for v in vectors]
    frames = [
        go.Frame(name=str(i), data=[trace], layout={"title": {"text": title}})
        for i, trace, title in zip(report.index, traces, titles, strict=True)
    ]
    steps = [
        {"label": frame.name, "method": "animate", "args": [[frame.name], {"mode": "immediate", "transition": None,
         "frame": {"duration": 0, "redraw": True}}]} for frame in frames
    ]  # fmt: skip
    figure = go.Figure(data=[traces[0]], layout=made, frames=frames)
    figure.update_layout(
        title={"text": titles[0], "font": {"size": 14}}, hovermode="closest", height=420,
        sliders=[{"steps": steps, "currentvalue": {"prefix": "index "}, "pad": {"t": 24}}],
    )  # fmt: skip
    return figure


def _picture(array: NDArray[Any], dark: bool) -> str:
    """Return a signed picture as a PNG within an address, at least 256 pixels a side."""
    from PIL import Image

    high = float(np.abs(array).max()) or 1.0
    index = np.clip((array / high + 1) * 127.5, 0, 255).round().astype(np.uint8)
    scale = max(1, round(256 / max(array.shape)))
    colours = (DIVERGING_DARK if dark else DIVERGING)[index].repeat(scale, 0).repeat(scale, 1)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def kernels(report: Any) -> Page:
    """Return what a method makes of points and data: its point responses, their gain, and how much each datum counts.

    Parameters
    ----------
    report : Resolution
        Of :mod:`explorer.analyses`.
    """
    responses = report.responses.detach().cpu().numpy()
    pictures = [("point responses", responses.sum(0)), ("model resolution Rⱼⱼ", report.model.detach().cpu().numpy())]
    pictures.append(("data resolution Nᵢᵢ", report.data.detach().cpu().numpy()))
    figure = Page(figsize=(10, 3.1), layout="constrained")
    for axes, (title, array) in zip(figure.subplots(1, 3), pictures, strict=True):
        axes.set_title(title, fontsize=10)
        array = array.real if np.iscomplexobj(array) else array
        if array.ndim == 1:
            axes.plot(array, linewidth=1)
            axes.tick_params(labelsize=8)
            continue
        high = float(np.abs(array).max()) or 1.0
        signed = title == "point responses"
        image = axes.imshow(
            _flat(array), cmap="RdBu_r" if signed else "viridis", vmin=-high if signed else 0.0, vmax=high,
            interpolation="nearest", aspect="auto",
        )  # fmt: skip
        axes.set_box_aspect(1)
        axes.set(xticks=[], yticks=[])
        figure.colorbar(image, ax=axes, shrink=0.8)
    return figure
