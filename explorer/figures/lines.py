"""Values along a line of the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from explorer.figures.colours import DASHES, palette
from explorer.figures.curves import layout
from explorer.figures.fit import plain
from explorer.figures.panels import Panel, span


def profile(panels: Mapping[str, Panel], height: float = 0.5, dark: bool = False) -> Any:
    """Return truth, reconstruction and (where they are on the same grid) data along one row of the pictures.

    Parameters
    ----------
    panels : mapping
        Panels by name: ``Truth``, ``Reconstruction``, ``Data``; those that are missing or empty are left out.
    height : float
        Where the row is, from 0 (top) to 1 (bottom). Signals are drawn whole.
    dark : bool
        Whether the page is dark.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    shown = {name: panels[name].array for name in ("Reconstruction", "Truth", "Data") if name in panels}
    arrays = {name: array for name, array in shown.items() if array is not None}
    shape = next((array.shape for array in arrays.values()), (0,))
    row = min(int(height * shape[0]), shape[0] - 1) if len(shape) == 2 else None
    where = "sample" if row is None else f"column, in row {row}"
    lines = {n: np.asarray(a if row is None else a[row], float) for n, a in arrays.items() if a.shape == shape}
    low, high = span(np.concatenate([*lines.values(), [0.0]]))
    figure = go.Figure(layout=plain(layout("", "", dark), where, "value", (shape[-1], high - low)))
    colours = palette(dark)
    for index, (name, values) in enumerate(lines.items()):
        line = {"color": colours.series[index], "dash": DASHES[index], "width": 2}
        figure.add_scatter(x=np.arange(len(values)), y=values, name=name.lower(), mode="lines", line=line)
    return figure
