"""Patterns as pictures: singular vectors, resolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.figures.page import Page


def modes(report: Any, side: str = "right", columns: int = 6) -> Page:
    """Return singular vectors as a strip of pictures, each on its own symmetric scale, or as curves.

    Parameters
    ----------
    report : SingularVectors
        Of :mod:`explorer.analyses`.
    side : str
        ``right`` for patterns of the unknown, ``left`` for patterns of the data.
    columns : int
        Pictures a row.
    """
    vectors = getattr(report, side).detach().cpu().numpy()
    named = zip(report.index, report.values, vectors, strict=True)
    letter = "v" if side == "right" else "u"
    return strip([(f"{letter}$_{{{i}}}$   σ = {s:.3g}", v) for i, s, v in named], columns)


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
            shown = array.reshape(-1, array.shape[-1])
            axes.imshow(shown, cmap="RdBu_r", vmin=-high, vmax=high, interpolation="nearest", aspect="auto")
            axes.set_box_aspect(1)
            axes.set(xticks=[], yticks=[])
    return figure
