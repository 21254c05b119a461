"""Colours: tables for pictures, and one palette for curves, told apart also without colour vision."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.uint8]


def _table(*anchors: str) -> Table:
    """Return 256 colours, shape ``(256, 3)``, interpolated between hexadecimal anchors at equal distances."""
    rgb = np.array([[int(a[i : i + 2], 16) for i in (0, 2, 4)] for a in anchors])
    at, of = np.linspace(0, 1, 256), np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(at, of, channel) for channel in rgb.T], -1).round().astype(np.uint8)


#: values from low to high
GRAY = _table("000000", "ffffff")
#: signed values: blue below zero, red above, safe for the common kinds of colour blindness; white or dark at zero
DIVERGING = _table("053061", "2166ac", "4393c3", "92c5de", "f7f7f7", "f4a582", "d6604d", "b2182b", "67001f")
DIVERGING_DARK = _table("9ecbff", "5aa2e0", "2f74b3", "1d4468", "16181c", "6b2f22", "b24a32", "e57a55", "ffc2a3")


#: tables for values from low to high: all but the first are perceptually uniform and safe for colour blindness
TABLES = ("gray", "viridis", "cividis", "magma")
#: for angles: its ends are of one colour
CYCLIC = "twilight"


@functools.cache
def table(name: str) -> Table:
    """Return 256 colours, shape ``(256, 3)``: grey, or a colour map of matplotlib by its name."""
    if name == "gray":
        return GRAY
    from matplotlib import colormaps

    return np.ascontiguousarray(colormaps[name](np.arange(256), bytes=True)[:, :3])


@dataclass(frozen=True)
class Palette:
    """Colours of curves and their surroundings, as CSS.

    Attributes
    ----------
    text, grid, faint : str
        Letters, grid lines, and what is only for comparison.
    series : sequence of str
        First, second and third curve; they differ by dash and marker as well.
    rule, best : str
        Marks of the iterate that the rule picked and of the one nearest to the truth.
    several : sequence of str
        Runs beside each other.
    """

    text: str
    grid: str
    faint: str
    series: Sequence[str]
    rule: str
    best: str
    several: Sequence[str]


_SEVERAL = ("#0b5fd0", "#c2410c", "#0f6b3f", "#7a3fb0", "#8a5300", "#a81e5b")
_SEVERAL_DARK = ("#6cb0ff", "#ff9a62", "#5fd29a", "#c79bf2", "#e8b04b", "#ff8fb8")
LIGHT = Palette("#24292f", "#e3e6ea", "#6b7480", ("#0b5fd0", "#c2410c", "#5b6b7b"), "#8a5300", "#0f6b3f", _SEVERAL)
DARK = Palette("#e6e8eb", "#3a3f46", "#a3abb5", ("#6cb0ff", "#ff9a62", "#a9b7c6"), "#e8b04b", "#5fd29a", _SEVERAL_DARK)
DASHES = ("solid", "dash", "dot")


def palette(dark: bool) -> Palette:
    """Return the colours of a theme."""
    return DARK if dark else LIGHT
