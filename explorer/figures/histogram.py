"""How values scatter: histograms of several sets of draws, one over the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from explorer.catalogue import SpecError
from explorer.figures.colours import DASHES, palette
from explorer.figures.curves import layout


def distribution(
    samples: Mapping[str, ArrayLike],
    label: str = "value",
    dark: bool = False,
    *,
    bins: int = 60,
    marked: float | Sequence[float] | None = None,
    log: bool = False,
) -> Any:
    """Return outlines of histograms over common bins, for example of errors over draws, one for each set of values.

    Parameters
    ----------
    samples : mapping
        Name to values of any shape; those that are not finite are left out.
    label : str
        What the values are.
    dark : bool
        Whether the page is dark.
    bins : int
        Number of bins from the smallest to the largest value of all.
    marked : float or sequence of float, optional
        Values that all are compared with.
    log : bool
        Whether shares are drawn on a logarithmic axis, on which rare values are seen beside frequent ones.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SpecError
        If there is no finite value.
    """
    import plotly.graph_objects as go

    flat = {name: np.asarray(values, float).ravel() for name, values in samples.items()}
    flat = {name: values[np.isfinite(values)] for name, values in flat.items()}
    if not any(len(values) for values in flat.values()):
        raise SpecError("there is no finite value to show", "samples")
    edges = np.histogram_bin_edges(np.concatenate(list(flat.values())), bins)
    made, colours = layout(label, "share of the values", dark), palette(dark)
    for axis, title in (("xaxis", label), ("yaxis", "share of the values")):
        made[axis] |= {"type": "linear", "title": {"text": title, "font": {"size": 13}}, "exponentformat": "none"}
        made[axis].pop("dtick")
    figure = go.Figure(layout=made)
    for index, (name, values) in enumerate(flat.items()):
        share = np.histogram(values, edges)[0] / max(len(values), 1)
        share = np.maximum(share, 0.5 / max(len(values), 1)) if log else share  # an empty bin stands at half a value
        figure.add_scatter(
            x=edges, y=np.append(share, share[-1]), name=name, mode="lines",
            line={
                "shape": "hv", "width": 2.5, "color": colours.several[index % len(colours.several)],
                "dash": DASHES[index % len(DASHES)],
            },
        )  # fmt: skip
    for value in () if marked is None else np.atleast_1d(marked):
        figure.add_vline(x=float(value), line={"color": colours.faint, "dash": "dot", "width": 2})
    if log:
        figure.update_yaxes(type="log")
    return figure
