"""A run as a picture of the size of a stamp."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from explorer.catalogue import SpecError
from explorer.engine.run import Run
from explorer.figures.colours import LIGHT
from explorer.figures.panels import after, quantised

#: width and height in pixels
SIZE = (96, 72)


def thumbnail(run: Run) -> bytes:
    """Return the reconstruction as a small PNG: an image that fills it, or a signal as a curve.

    Parameters
    ----------
    run : Run

    Raises
    ------
    SpecError
        If the result is nothing that could be drawn.
    """
    from PIL import Image, ImageOps

    panel = next(p for p in after(run.problem, run.x, "") if p.title.startswith("Reconstruction"))
    if panel.array is None:
        raise SpecError("there is no picture of this result: it is neither a signal nor an image")
    if panel.array.ndim == 2:
        whole = Image.fromarray(quantised(panel))
        made = ImageOps.fit(whole, SIZE, Image.Resampling.BILINEAR).convert("RGB")
    else:
        made = _curve(panel.array)
    file = io.BytesIO()
    made.quantize(24).save(file, "PNG", optimize=True)
    return file.getvalue()


def _curve(values: Any) -> Any:
    """Return a curve that fills a stamp, drawn at four times its size."""
    from PIL import Image, ImageDraw

    width, height = 4 * SIZE[0], 4 * SIZE[1]
    low, high = np.nanmin(values), np.nanmax(values)
    x = np.linspace(0.04, 0.96, len(values)) * width
    y = (0.9 - 0.8 * (np.nan_to_num(values, nan=low) - low) / max(high - low, np.finfo(float).tiny)) * height
    made = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(made).line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=LIGHT.series[0], width=8)
    return made.resize(SIZE, Image.Resampling.LANCZOS)
