"""How an experiment is drawn: rays and detector, the frequencies or pixels that are measured, antennas, coils.

An operator that has more to show than its matrix defines ``drawings(datum)``, which returns a tuple of
:class:`Drawing`; `datum` is the index, into the flattened data, of one measurement to be marked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from explorer.operators.base import ForwardModel

Kind = Literal["ray", "chosen", "detector", "view", "source", "receiver", "antenna", "spoke"]
#: what is drawn as dots, not as a line
DOTS = ("view", "source", "receiver", "antenna")


@dataclass(frozen=True)
class Stroke:
    """A line or some dots.

    Attributes
    ----------
    kind : str
        ``chosen`` is what belongs to the marked measurement.
    points : Tensor
        Row and column, shape ``(k, 2)``, in pixels of the drawing's image; the middle of the first pixel is (0, 0).
    datum : int
        Index of the measurement that it stands for, or of the first of them along the line, or −1.
    count : int
        How many measurements stand along the line.
    """

    kind: Kind
    points: Tensor
    datum: int = -1
    count: int = 1


@dataclass(frozen=True)
class Drawing:
    """A part of an experiment.

    Attributes
    ----------
    title, sentence : str
        What it is, and how to read it.
    image : Tensor or None
        What lies behind the strokes, real, shape ``(rows, columns)``.
    over : bool
        Whether the unknown itself lies behind the strokes, in place of an image.
    strokes : tuple of Stroke
    view : tuple of float or None
        First row, first column, last row, last column of what is seen; the image if None.
    index : Tensor or None
        For every pixel of the image the index of the measurement made there, or −1.
    """

    title: str
    sentence: str
    image: Tensor | None = None
    over: bool = False
    strokes: tuple[Stroke, ...] = ()
    view: tuple[float, float, float, float] | None = None
    index: Tensor | None = None


def drawings(model: ForwardModel, datum: int = 0) -> tuple[Drawing, ...]:
    """Return the drawings of a forward model; none if it defines none.

    Parameters
    ----------
    model : ForwardModel
    datum : int
        Index of the marked measurement.
    """
    found = getattr(model, "drawings", None)
    return () if found is None else found(datum)


def sampled_places(title: str, what: str, shape: tuple[int, ...], kept: Tensor, datum: int) -> tuple[Drawing, ...]:
    """Return a picture that is 1 where something is measured, and 0 elsewhere.

    Parameters
    ----------
    title : str
    what : str
        What is measured there, in the plural.
    shape : tuple of int
        Of the grid; a line is drawn as a strip, and of more than two dimensions nothing.
    kept : Tensor
        Flat indices of what is measured, shape ``(m,)``.
    datum : int
        Which of them is marked.
    """
    if len(shape) > 2:
        return ()
    kept, columns = kept.cpu(), shape[-1]
    index = torch.full((shape[0] if len(shape) == 2 else 1, columns), -1)
    index.view(-1)[kept] = torch.arange(len(kept))
    index.view(-1)[kept[datum]] = datum  # others may share its place
    place = torch.tensor([[int(kept[datum]) // columns, int(kept[datum]) % columns]], dtype=torch.float64)
    if len(shape) == 1:
        index = index.expand(max(1, columns // 8), columns)
        place[0, 0] = (len(index) - 1) / 2
    sentence = f"White where it is measured: {len(kept):,} of {math.prod(shape):,} {what}. The dot is the chosen datum."
    return (Drawing(title, sentence, (index >= 0).double(), strokes=(Stroke("chosen", place, datum),), index=index),)


def spread(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers below `count`, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long().tolist()
