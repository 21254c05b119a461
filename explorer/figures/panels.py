"""What is looked at: a problem and an iterate become four arrays, each with its range, caption and description.

Screen and paper draw the same panels: the truth, the data, the reconstruction on the scale of the truth, the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.engine.metrics import psnr
from explorer.engine.problem import Problem
from explorer.figures.colours import CYCLIC
from explorer.linalg import Blocks, ProductSpace, Space
from explorer.operators.base import LinearOperator

#: pixels of one frame of a run under way: 256 KiB
MOST = 512 * 512

Part = Literal["modulus", "phase", "real part", "imaginary part"]


@dataclass(frozen=True)
class View:
    """How an element becomes a picture.

    Attributes
    ----------
    colours : str
        Of :data:`explorer.figures.colours.TABLES`; errors keep their own, which tell the sign.
    scale : {"truth", "own", "chosen"}
        Whether truth and reconstruction are drawn on the scale of the truth, each on its own, or between `low` and
        `high`.
    part : {"modulus", "phase", "real part", "imaginary part"}
        What is drawn of complex values.
    slice : int
        Which picture of a volume or a sequence, counted through all leading dimensions; the last if there are fewer.
    """

    colours: str = "gray"
    scale: Literal["truth", "own", "chosen"] = "truth"
    low: float = 0.0
    high: float = 1.0
    part: Part = "modulus"
    slice: int = 0

    def of(self, x: Tensor) -> Tensor:
        """Return the part of complex values that is looked at; real ones as they are."""
        if not x.is_complex():
            return x
        parts = {"phase": torch.angle, "real part": torch.real, "imaginary part": torch.imag}
        return parts.get(self.part, torch.abs)(x)

    def limits(self, array: NDArray[np.floating] | None, truth: NDArray[np.floating] | None) -> tuple[float, float]:
        """Return the values of the first and the last colour of a truth or a reconstruction."""
        if self.scale == "chosen":
            return self.low, self.high
        return span(truth if self.scale == "truth" and truth is not None else array)


USUAL = View()


@dataclass(frozen=True)
class Panel:
    """One picture or curve.

    Attributes
    ----------
    title, note : str
        What it is, and one fact about it.
    array : NDArray or None
        Image of shape ``(rows, columns)`` or signal of shape ``(n,)``, real; None where there is nothing to show.
    low, high : float
        Values at the ends of the scale; what lies outside is shown as the end.
    signed : bool
        Whether the sign matters: the scale is then symmetric around zero.
    reference : NDArray or None
        For a signal, the truth behind it.
    colours : str
        Name of the colour table, where the sign does not matter.
    """

    title: str
    array: NDArray[np.floating] | None
    low: float = 0.0
    high: float = 1.0
    signed: bool = False
    note: str = ""
    reference: NDArray[np.floating] | None = None
    colours: str = "gray"

    @property
    def range_text(self) -> str:
        """The scale in a few characters."""
        if self.array is None:
            return ""
        text = f"±{self.high:.3g}" if self.signed else f"{self._short(self.low)} … {self._short(self.high)}"
        return text.replace("-", "−")

    def _short(self, value: float) -> str:
        """Return a value to three digits of the range: a lowest one of 4e-8 beside a highest one of 1 is 0."""
        span = self.high - self.low
        near = round(value, 2 - math.floor(math.log10(span))) if 0 < span < math.inf else value
        return f"{near + 0.0:.3g}"

    @property
    def description(self) -> str:
        """The panel in one sentence, for those who cannot see it."""
        if self.array is None:
            return f"{self.title}: {self.note or 'nothing to show'}."
        size = " × ".join(map(str, self.array.shape))
        kind = "image of" if self.array.ndim == 2 else "signal of"
        unit = "pixels" if self.array.ndim == 2 else "samples"
        finite = self.array[np.isfinite(self.array)]
        values = f"values {finite.min():.3g} to {finite.max():.3g}" if finite.size else "no finite values"
        return f"{self.title}: {kind} {size} {unit}, {values}{', ' + self.note if self.note else ''}."


def viewable(x: Any, ndim: int | None = None, view: View = USUAL) -> NDArray[np.floating] | None:
    """Return an element as a real array of one or two dimensions, or None.

    Of several samples or blocks it is the first.

    Parameters
    ----------
    x : Tensor, Blocks or None
    ndim : int, optional
        Number of trailing dimensions that are no batch.
    view : View
        Which slice, and which part of complex values.
    """
    if isinstance(x, Blocks):
        return viewable(x[0], view=view)
    if not isinstance(x, torch.Tensor) or x.device.type == "meta" or not x.numel():
        return None
    keep = x.ndim if ndim is None else ndim
    while x.ndim > keep:
        x = x[0]
    if keep > 2:
        x = x.flatten(0, -3)
        x = x[min(view.slice, len(x) - 1)]
    return view.of(x.detach()).cpu().reshape(x.shape or (1,)).numpy()


def span(array: NDArray[np.floating] | None) -> tuple[float, float]:
    """Return the smallest and largest finite value, at least a hair apart."""
    finite = array[np.isfinite(array)] if array is not None else np.empty(0)
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def round_up(limit: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, … × 10ⁿ, so that a scale does not flicker from frame to frame."""
    if not math.isfinite(limit) or limit <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(limit))
    return next(m * decade for m in (1, 2, 5, 10) if limit <= m * decade * (1 + 1e-9))


def coarseness(array: NDArray[np.floating] | None) -> int:
    """Return the side of the squares whose means leave at most :data:`MOST` pixels of an image."""
    size = 0 if array is None or array.ndim != 2 else array.size
    side = math.isqrt(max(0, size - 1) // MOST) + 1
    return side if size else 1


def quantised(panel: Panel, side: int = 1) -> NDArray[np.uint8]:
    """Return the panel's image as indices into a colour table; what is not finite becomes 0.

    Parameters
    ----------
    panel : Panel
        With an image of shape ``(rows, columns)``.
    side : int
        Above 1, an index stands for the mean of so many pixels along each side, fewer at the end.
    """
    assert panel.array is not None
    array: NDArray[np.floating] = np.asarray(panel.array, np.float32)
    with np.errstate(all="ignore"):
        for axis in range(array.ndim if side > 1 else 0):
            starts = np.arange(0, array.shape[axis], side)
            counts = np.diff(starts, append=array.shape[axis]).astype(np.float32)
            array = np.add.reduceat(array, starts, axis) / np.expand_dims(counts, 1 - axis)
        scaled = (array - panel.low) * np.float32(255.0 / (panel.high - panel.low))
    return np.nan_to_num(np.clip(scaled, 0, 255), nan=0.0).round().astype(np.uint8)


def before(problem: Problem, view: View = USUAL) -> tuple[Panel, Panel]:
    """Return what is there before a run: the truth and the data."""
    truth = viewable(problem.x_true, _ndim(problem), view)
    low, high = view.limits(truth, truth)
    colours = _colours(problem.x_true, view)
    first = Panel("Truth", truth, low, high, note="" if truth is not None else "not known", colours=colours)
    data, note = _data(problem, view)
    low, high = span(data)
    return first, Panel("Data", data, low, high, note=note, colours=view.colours)


def slices(problem: Problem) -> int:
    """Return how many pictures the unknown of a problem is made of."""
    return math.prod(problem.domain.shape[:-2]) if (_ndim(problem) or 0) > 2 else 1


def after(
    problem: Problem, x: Any, label: str = "", system: int | None = None, view: View = USUAL
) -> tuple[Panel, Panel]:
    """Return the reconstruction on the scale of the truth, and its signed error.

    Parameters
    ----------
    problem : Problem
    x : Tensor, Blocks or None
        Shape ``(*batch, *shape)``; the first sample is shown.
    label : str
        Which iterate it is.
    system : int, optional
        Of a sequence of systems, the one that `x` solves.
    view : View
        How they are drawn.
    """
    title = f"Reconstruction, {label}" if label else "Reconstruction"
    if x is None:
        return Panel(title, None, note="none yet"), Panel("Error", None, note="none yet")
    truth, colours = viewable(problem.reference(system), _ndim(problem), view), _colours(x, view)
    if truth is None:
        shown = viewable(x, _ndim(problem), view)
        low, high = view.limits(shown, None)
        return Panel(title, shown, low, high, colours=colours), Panel("Error", None, note="the truth is not known")
    reference, ndim = problem.reference(system), _ndim(problem)
    aligned = problem.align(_first(x, problem.domain), system)
    angles = colours == CYCLIC
    shown = viewable(aligned, ndim, view)
    error = viewable(aligned * reference.conj() if angles else aligned - reference, ndim, view)
    low, high = view.limits(shown, truth)
    limit = round_up(span(np.abs(error))[1]) if error is not None else 1.0
    signed = view.part != "modulus" or not (isinstance(aligned, torch.Tensor) and aligned.is_complex())
    return (
        Panel(title, shown, low, high, note=_quality(aligned, reference), reference=truth, colours=colours),
        Panel("Error", error, -limit if signed else 0.0, limit, signed=signed, note=_sign(error) if signed else ""),
    )


def _sign(error: NDArray[np.floating] | None) -> str:
    """Say how to read the sign of an error: by the colours of a picture, or by what a curve is."""
    if error is None:
        return ""
    return "red: too high, blue: too low" if error.ndim == 2 else "reconstruction − truth"


def _ndim(problem: Problem) -> int | None:
    return getattr(problem.domain, "ndim", None)


def _first(x: Any, space: Space | ProductSpace) -> Any:
    """Return the first sample of a batch."""
    for _ in space.batch(x):
        x = x.map(lambda block: block[0]) if isinstance(x, Blocks) else x[0]
    return x


def _colours(x: Any, view: View) -> str:
    """Return the colours of an element: cyclic where its angles are shown."""
    angles = isinstance(x, torch.Tensor) and x.is_complex() and view.part == "phase"
    return CYCLIC if angles else view.colours


def _data(problem: Problem, view: View) -> tuple[NDArray[np.floating] | None, str]:
    """Return data to look at (back-projected where they are no picture) and the noise in them."""
    y = problem.y
    if y is None:
        matrix = viewable(problem.offers.get("M"), view=view)
        return matrix, "the matrix itself" if matrix is not None else "none"
    shown, is_data = _seen(problem, y, view)
    return shown, noise_note(problem) if is_data else f"back-projected, {noise_note(problem)}"


def _seen(problem: Problem, y: Any, view: View) -> tuple[NDArray[np.floating] | None, bool]:
    """Return something of the data space as an array to look at, and whether it is not back-projected for that."""
    A = problem.A
    if isinstance(y, Blocks) or not isinstance(A, LinearOperator) or not hasattr(A.domain, "ndim"):
        return viewable(y, getattr(problem.codomain, "ndim", None), view), True
    with torch.no_grad():
        seen = A.picture(y)
    is_data = seen is y
    return viewable(seen, A.codomain.ndim if is_data else A.domain.ndim, view), is_data


def fitted(problem: Problem, x: Any, view: View = USUAL) -> tuple[Panel, Panel]:
    """Return what an iterate predicts of the data, on their scale, and what it leaves of them; of the first sample.

    Parameters
    ----------
    problem : Problem
    x : Tensor, Blocks or None
        Shape ``(*batch, *shape)``.
    view : View
        How they are drawn.
    """
    model, y, space = problem.offers.get("F"), problem.y, problem.codomain
    if x is None or model is None or space is None or not isinstance(y, torch.Tensor):
        return Panel("Prediction", None, note="none"), Panel("Residual", None, note="none")
    data = _first(y, space)
    with torch.no_grad():
        predicted = model.forward(_first(x, problem.domain))
    (seen, is_data), (shown, _), (left, _) = (_seen(problem, v, view) for v in (data, predicted, data - predicted))
    symbol, of = "F(x)" if problem.A is None else "A x", "" if is_data else "back-projected, "
    low, high = span(seen)
    limit = round_up(span(np.abs(left))[1]) if left is not None else 1.0
    signed = view.part != "modulus" or not data.is_complex() or not is_data
    return (
        Panel("Prediction", shown, low, high, note=f"{of}{symbol}", reference=seen, colours=view.colours),
        Panel("Residual", left, -limit if signed else 0.0, limit, signed=signed, note=f"{of}y − {symbol}"),
    )


def noise_note(problem: Problem) -> str:
    """Return how much noise is in the data, in a few words; empty where it is not known."""
    space = problem.codomain
    if problem.clean is None or space is None or isinstance(problem.clean, Blocks):
        return ""
    y = _first(problem.y, space)
    size, whole = space.norm(y - problem.clean), space.norm(problem.clean)
    level = float(size / whole) if float(whole) else 0.0
    return f"{100 * level:.2g} % noise" if level else "no noise"


def _quality(x: Any, truth: Any) -> str:
    if not isinstance(x, torch.Tensor) or x.is_complex() or x.shape != truth.shape:
        return ""
    value = float(np.mean(psnr(x, truth)))
    return f"{value:.1f} dB" if math.isfinite(value) else ""
