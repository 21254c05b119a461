"""A figure for the page, and named pictures side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure


class Page(Figure):
    """A matplotlib figure that shows itself in any notebook, as a PNG and without a plotting back end."""

    def png(self, dpi: int = 90) -> bytes:
        """Return the figure as PNG."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=dpi)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()


def images(
    named: Mapping[str, Any], *, limits: tuple[float, float] | None = None, shared: bool = True, height: float = 2.9
) -> Page:
    """Return pictures side by side, on one grey scale unless told otherwise.

    Parameters
    ----------
    named : mapping
        Title to image ``(rows, columns)`` or signal ``(samples,)``; complex ones are shown by modulus.
    limits : (low, high), optional
        Values shown as black and white; by default those of the first picture, or each picture's own.
    shared : bool
        Whether all pictures have the scale of the first.
    height : float
        Height in inches.
    """
    arrays = {title: _shown(thing) for title, thing in named.items()}
    first = next(iter(arrays.values()))
    if limits is None and shared:
        limits = (float(first.min()), float(first.max()))
    figure = Page(figsize=(2.6 * len(arrays), height), layout="constrained")
    for axes, (title, array) in zip(np.atleast_1d(figure.subplots(1, len(arrays))), arrays.items(), strict=True):
        axes.set_title(title, fontsize=10)
        if array.ndim == 1:
            axes.plot(array, linewidth=1)
            axes.tick_params(labelsize=8)
            continue
        low, high = limits or (float(array.min()), float(array.max()))
        axes.imshow(array, cmap="gray", vmin=low, vmax=high, interpolation="nearest", aspect="auto")
        axes.set_box_aspect(1)
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(f"{low:.3g} … {high:.3g}", fontsize=9)
    return figure


def _shown(thing: Any) -> Any:
    array = thing.detach().cpu().numpy() if isinstance(thing, torch.Tensor) else np.asarray(thing)
    return np.abs(array) if np.iscomplexobj(array) else array
