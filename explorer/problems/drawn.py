"""A phantom drawn from a short list of parts, each of which can be moved, resized and turned."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Help, SpecError, problem
from explorer.catalogue.signature import short
from explorer.problems.base import Truth
from explorer.problems.images import Size

KINDS = ("ellipse", "rectangle", "blob")
#: most parts of a phantom
MAX_PARTS = 16
#: name and range of the six numbers of a part
_NUMBERS = (
    ("x", -1.0, 1.0),
    ("y", -1.0, 1.0),
    ("half width", 0.01, 1.0),
    ("half height", 0.01, 1.0),
    ("angle", -180.0, 180.0),
    ("intensity", -10.0, 10.0),
)
_FORM = f"{', '.join(KINDS[:-1])} or {KINDS[-1]} and six numbers: {', '.join(name for name, *_ in _NUMBERS)}"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
#: a pixel is the mean of as many samples a side, where the grid is not finer than this anyhow
_SAMPLES, _FINEST = 4, 2048
#: standard deviations at which a blob ends: it is 2e-8 there
_ENDS = 6
_FIELD = "problem.params.parts"
_HELP = f"up to {MAX_PARTS} parts with ; between: kind, x, y, half width, half height, angle, intensity"
_START = (
    "ellipse 0 0 0.72 0.88 0 0.4; ellipse -0.3 0.25 0.18 0.36 20 0.4; rectangle 0.3 0.35 0.22 0.14 -15 0.5; "
    "blob 0.2 -0.35 0.16 0.16 0 0.5; ellipse -0.28 -0.45 0.08 0.08 0 0.6"
)


@dataclass(frozen=True)
class Shape:
    """A part of a phantom, on the square [−1, 1]².

    Attributes
    ----------
    kind : str
        ``ellipse``, ``rectangle`` or ``blob``, a Gaussian.
    x, y : float
        Its centre: x to the right, y upwards.
    width, height : float
        Half its width and half its height before it is turned; of a blob the two standard deviations.
    angle : float
        Degrees by which it is turned, counter-clockwise.
    intensity : float
        What it adds to the image; of a blob at its centre.
    """

    kind: str
    x: float
    y: float
    width: float
    height: float
    angle: float
    intensity: float

    def changed(
        self, *, right: float = 0.0, up: float = 0.0, scale: float = 1.0, turn: float = 0.0, brighter: float = 0.0
    ) -> Shape:
        """Return the part moved, scaled, turned and made brighter, within what is allowed."""
        return self.with_numbers(
            x=self.x + right,
            y=self.y + up,
            width=self.width * scale,
            height=self.height * scale,
            angle=(self.angle + turn + 180) % 360 - 180,
            intensity=self.intensity + brighter,
        )

    def with_numbers(self, **numbers: float) -> Shape:
        """Return the part with other numbers, all kept within what is allowed and to three decimals."""
        kind, *values = astuple(replace(self, **numbers))  # type: ignore[arg-type]
        kept = [round(min(max(v, low), high), 3) + 0.0 for v, (_, low, high) in zip(values, _NUMBERS, strict=True)]
        return Shape(kind, *kept)

    def __str__(self) -> str:
        """Return the part as it is written in a list of parts."""
        kind, *numbers = astuple(self)
        return " ".join([kind, *(f"{v:.6g}" for v in numbers)])


def parse(text: str) -> tuple[Shape, ...]:
    """Return the parts that a text lists, separated by semicolons.

    Raises
    ------
    SpecError
        If there is none or there are too many, or one is not written as it must be.

    Examples
    --------
    >>> parse("ellipse 0 0.5 0.2 0.1 30 1")[0].angle
    30.0
    """
    written = [part.split() for part in text.replace("−", "-").split(";") if part.strip()]
    if not 0 < len(written) <= MAX_PARTS:
        raise SpecError(f"is a list of {len(written)} parts, and must have from 1 to {MAX_PARTS}", _FIELD)
    return tuple(_shape(words, i) for i, words in enumerate(written, 1))


def _shape(words: Sequence[str], i: int) -> Shape:
    kind, *numbers = words
    if kind not in KINDS or len(numbers) != len(_NUMBERS) or not all(map(_NUMBER.fullmatch, numbers)):
        raise SpecError(f"is wrong in part {i}, {short(' '.join(words))}, which must be {_FORM}", _FIELD)
    values = [float(v) for v in numbers]
    for value, (name, low, high) in zip(values, _NUMBERS, strict=True):
        if not low <= value <= high:
            raise SpecError(f"is wrong in part {i}: its {name} is {value:g}, and must be {low:g} to {high:g}", _FIELD)
    return Shape(kind, *values)


def listed(shapes: Sequence[Shape]) -> str:
    """Return the text that lists parts, which :func:`parse` reads.

    Examples
    --------
    >>> listed(parse("blob 0 0 .5 .5 0 1;"))
    'blob 0 0 0.5 0.5 0 1'
    """
    return "; ".join(map(str, shapes))


def image(shapes: Sequence[Shape], size: int) -> Tensor:
    """Return the sum of parts, each pixel the mean of the values within it, shape ``(size, size)``, float64."""
    samples = max(1, min(_SAMPLES, _FINEST // size))
    grid = (torch.arange(samples * size, dtype=torch.float64) + 0.5) * 2 / (samples * size) - 1
    fine = torch.zeros(len(grid), len(grid), dtype=torch.float64)
    for part in shapes:
        cos, sin = math.cos(math.radians(part.angle)), math.sin(math.radians(part.angle))
        x, y = grid - part.x, -grid[:, None] - part.y
        u, v = (x * cos + y * sin) / part.width, (y * cos - x * sin) / part.height
        if part.kind == "blob":
            r2 = u**2 + v**2
            fine += part.intensity * (-r2 / 2).exp_() * (r2 < _ENDS**2)
        elif part.kind == "ellipse":
            fine += part.intensity * (u**2 + v**2 <= 1)
        else:
            fine += part.intensity * ((u.abs() <= 1) & (v.abs() <= 1))
    return fine.reshape(size, samples, size, samples).mean(dim=(1, 3))


@problem("Drawn phantom", handles="parts")
def drawn_phantom(
    *,
    size: Size = 128,
    parts: Annotated[str, Help(_HELP)] = _START,
) -> Truth:
    """Ellipses, rectangles and Gaussian blobs that add up; each can be dragged on the picture of the truth.

    The square is [−1, 1]², x to the right and y upwards; angles are in degrees, counter-clockwise. A pixel is the mean
    of what lies within it, so that a part that is moved by less than a pixel moves the image as well.

    Raises
    ------
    SpecError
        If the list of parts is not written as it must be.
    """
    return Truth(image(parse(parts), size))
