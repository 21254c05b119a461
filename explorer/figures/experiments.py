"""The experiment, drawn: what is measured and how, the equation in words and sizes, and what one datum is sensitive to.

A drawing shows what an operator has to show (rays, frequencies, antennas, a mask); of others, the matrix or one of its
columns. A row of A, the adjoint of one datum, says which unknowns that datum weighs, and how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import SpecError
from explorer.engine.problem import Problem
from explorer.figures.panels import Panel, before, noise_note, round_up, span, viewable
from explorer.figures.words import Note
from explorer.linalg import Blocks, ProductSpace, Space
from explorer.operators.base import LinearOperator
from explorer.operators.drawing import DOTS, Drawing, Stroke, drawings

#: entries of a matrix that is drawn as a picture
MATRIX = 2**18
#: of the largest weight: below it an unknown counts as not measured, and a kernel as ended
SMALL = 1e-3


@dataclass(frozen=True)
class Scene:
    """A panel with strokes on it.

    Attributes
    ----------
    panel : Panel
        Its array lies behind; None for a plain ground.
    sentence : str
        How to read it.
    strokes : tuple of Stroke
        In pixels of the panel's array.
    view : tuple of float
        First row, first column, last row, last column of what is seen.
    index : NDArray or None
        For every pixel, the index of the measurement made there, or −1.
    """

    panel: Panel
    sentence: str
    strokes: tuple[Stroke, ...]
    view: tuple[float, float, float, float]
    index: NDArray[np.integer] | None = None

    def nearest(self, row: float, column: float) -> int | None:
        """Return the measurement nearest to a place in the drawing, or None where there is none to choose."""
        if self.index is not None:
            places = np.argwhere(self.index >= 0)
            away = ((places - (row, column)) ** 2).sum(-1)
            return int(self.index[tuple(places[away.argmin()])]) if len(places) else None
        place = torch.tensor([row, column], dtype=torch.float64)
        found = [_along(place, stroke) for stroke in self.strokes if stroke.datum >= 0]
        return min(found)[1] if len(found) > 1 else None


def _along(place: Tensor, stroke: Stroke) -> tuple[float, int]:
    """Return the distance of a place from a line, and the measurement nearest to it there."""
    start, way = stroke.points[0], stroke.points[-1] - stroke.points[0]
    share = ((place - start) @ way / (way @ way).clamp_min(1e-300)).clamp(0, 1)
    away = torch.linalg.vector_norm(place - start - share * way)
    return float(away), stroke.datum + round(float(share) * (stroke.count - 1))


@dataclass(frozen=True)
class Experiment:
    """An experiment in pictures and words.

    Attributes
    ----------
    scenes : tuple of Scene
    sensitivity : Panel
        The row of A of the datum.
    notes : tuple of Note
        The equation with its sizes, how many data there are for each unknown, how to read the drawings, the datum.
    shape, axes : tuple
        Of the data: length and name of every dimension.
    """

    scenes: tuple[Scene, ...]
    sensitivity: Panel
    notes: tuple[Note, ...]
    shape: tuple[int, ...]
    axes: tuple[str, ...]


@torch.no_grad()
def experiment(problem: Problem, datum: Sequence[int] | None = None) -> Experiment:
    """Return the experiment of a problem, with one of its data marked.

    Parameters
    ----------
    problem : Problem
    datum : sequence of int, optional
        Index of a measurement; the one in the middle if not given.

    Raises
    ------
    SpecError
        If nothing is measured, or data are blocks, or a nonlinear model has no truth at which to be linearised.
    """
    model, Y = problem.F, problem.codomain
    if model is None or not isinstance(Y, Space):
        why = "there is no forward model here" if model is None else "the data are blocks"
        raise SpecError(f"an experiment is drawn of a single set of data, and {why}")
    A = model if isinstance(model, LinearOperator) else _linearised(problem)
    at = tuple(n // 2 for n in Y.shape) if datum is None else tuple(int(i) for i in datum)
    if len(at) != Y.ndim or not all(0 <= i < n for i, n in zip(at, Y.shape, strict=True)):
        raise SpecError(f"there is no datum {at} among data of shape {Y.shape}", "datum")
    flat = int(np.ravel_multi_index(at, Y.shape))
    axes = tuple(name for name, _ in A.data_axes)
    row = _row(A, Y, flat)
    where = ", ".join(f"{name} {i}" for name, i in zip(axes, at, strict=True))
    scenes = tuple(_scene(d, problem) for d in drawings(model, flat)) or _column(A, at)
    notes = [_equation(problem, A), _counted(problem.domain, Y)]
    notes += [Note("plain", scene.panel.title, scene.sentence) for scene in scenes]
    shown, weighed, limit = _weights(row)
    of = "a row of A" if A is model else "a row of the Jacobian at the truth"
    panel = Panel(f"Sensitivity of one datum: {of}", shown, -limit, limit, signed=True, note=where)
    said = f"{_measured(problem, flat)}It weighs {weighed}"
    return Experiment(scenes, panel, (*notes, Note("plain", f"The datum at {where}", said)), Y.shape, axes)


def _linearised(problem: Problem) -> LinearOperator:
    if problem.x_true is None:
        raise SpecError("a nonlinear model has a sensitivity at a place only, and the truth is not known")
    made: LinearOperator = problem.F.linearize(problem.x_true)[1]
    return made


def _row(A: LinearOperator, Y: Space, flat: int) -> Any:
    """Return the row of A that makes one datum; of complex ones the real part of what it measures."""
    unit = Y.zeros()
    unit.view(-1)[flat] = 1
    return A.adjoint(unit)


def _weights(row: Any) -> tuple[NDArray[np.floating] | None, str, float]:
    """Return the weights as a picture, what there is of them in words, and the end of their scale."""
    blocks = [b.real if b.is_complex() else b for b in (row if isinstance(row, Blocks) else [row])]
    sizes = torch.cat([b.abs().reshape(-1) for b in blocks])
    largest = float(sizes.max())
    used = int((sizes > SMALL * largest).sum())
    said = f"{used:,} of {len(sizes):,} unknowns with more than a thousandth of the largest weight, {largest:.3g}."
    x = blocks[0]
    while x.ndim > 2:  # the slice that it sees most of
        x = x[x.reshape(len(x), -1).norm(dim=-1).argmax()]
    return viewable(x), said, round_up(largest)


# --- drawings -----------------------------------------------------------------------------------------------------


def _scene(drawing: Drawing, problem: Problem) -> Scene:
    """Return an operator's drawing with what lies behind it."""
    index = None if drawing.index is None else drawing.index.numpy()
    if drawing.over:
        behind = before(problem)[0]
        array, low, high = behind.array, behind.low, behind.high
    else:
        array = None if drawing.image is None else drawing.image.double().numpy()
        low, high = span(array)
        low = min(low, 0.0)
    panel = Panel(drawing.title, array, low, high, note=drawing.sentence if array is None else "")
    return Scene(panel, drawing.sentence, drawing.strokes, drawing.view or _whole(array), index)


def _whole(array: NDArray[np.floating] | None) -> tuple[float, float, float, float]:
    rows, columns = (1, 1) if array is None or array.ndim < 2 else array.shape
    return -0.5, -0.5, rows - 0.5, columns - 0.5


def _column(A: LinearOperator, at: tuple[int, ...]) -> tuple[Scene, ...]:
    """Return the matrix of a small operator between signals, else what one pixel does to the data."""
    X, Y = A.domain, A.codomain
    if not isinstance(X, Space):
        return ()
    if X.ndim == Y.ndim == 1 and X.size * Y.size <= MATRIX and not (X.is_complex and not Y.is_complex):
        matrix = viewable(A.to_dense().real)
        assert matrix is not None
        limit = round_up(float(np.abs(matrix).max()))
        index = np.repeat(np.arange(Y.size)[:, None], X.size, axis=1)
        row = Stroke("chosen", torch.tensor([[at[0], -0.5], [at[0], X.size - 0.5]], dtype=torch.float64), at[0])
        said = f"{Y.size:,} rows, {X.size:,} columns: a row makes a datum, a column is what an unknown does to them."
        return (Scene(Panel("The matrix A", matrix, -limit, limit, True), said, (row,), _whole(matrix), index),)
    if Y.ndim < 2:
        return ()
    same = X.shape == Y.shape
    place = at if same else tuple(n // 2 for n in X.shape)
    unit = X.zeros()
    unit[place] = 1
    made = A.forward(unit)
    made = made.real if made.is_complex() and not X.is_complex else made
    for _ in range(Y.ndim - 2):
        made = made[made.reshape(len(made), -1).norm(dim=-1).argmax()]
    shown = viewable(made)
    assert shown is not None
    title, close = "What becomes of one pixel", _cropped(shown) if same and A.nonnegative else shown
    said = f"A column of A: the data of a single pixel of size one at {place}."
    if close.size < shown.size:
        title, shown, size = "Blur kernel (point spread function)", close, " × ".join(map(str, close.shape))
        said = f"A column of A: what becomes of a single pixel, here the one at {place}; {size} pixels of it are drawn."
    limit = round_up(float(np.abs(shown).max()))
    return (Scene(Panel(title, shown, -limit, limit, True), said, (), _whole(shown)),)


def _cropped(shown: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a kernel without what is negligible around it; one that wraps around the border is moved to the middle."""
    peak = np.unravel_index(np.abs(shown).argmax(), shown.shape)
    middle = tuple(n // 2 for n in shown.shape)
    moved = np.roll(shown, tuple(int(m - p) for m, p in zip(middle, peak, strict=True)), (0, 1))
    used = np.argwhere(np.abs(moved) > SMALL * np.abs(moved).max()) - middle
    reach = np.maximum(np.abs(used).max(0), 4)
    return moved[tuple(slice(max(0, m - r), m + r + 1) for m, r in zip(middle, reach, strict=True))]


# --- words --------------------------------------------------------------------------------------------------------


def _equation(problem: Problem, A: LinearOperator) -> Note:
    model, linear = problem.F, A is problem.F
    noise = problem.noise.title if problem.noise is not None else "noise"
    level = noise_note(problem)
    much = f", {level.removesuffix(' noise')} of the data" if "%" in level else ""
    symbol = "A x" if linear else "F(x)"
    said = (
        f"x, the unknown: {_sized(problem.domain)}. {symbol[0]}: {model.title}. "
        f"y, the data: {_sized(problem.codomain, A.data_axes)}. n: {noise}{much}."
    )
    return Note("plain", f"y = {symbol} + n", said)


def _sized(space: Any, axes: tuple[tuple[str, str], ...] = ()) -> str:
    """Return a space in words: ``36 (angle) × 92 (detector) = 3,312 numbers``."""
    if isinstance(space, ProductSpace):
        return " and ".join(_sized(s) for s in space.spaces)
    kind = "complex numbers" if space.is_complex else "numbers"
    if space.ndim == 1:
        return f"{space.size:,} {kind}"
    names = [name for name, _ in axes]
    if not names or names == ["row", "column"]:
        grid = " × ".join(f"{n:,}" for n in space.shape)
        return f"{grid}{' pixels' if space.ndim == 2 else ''} = {space.size:,} {kind}"
    sides = " × ".join(f"{n:,} ({name})" for n, name in zip(space.shape, names, strict=True))
    return f"{sides} = {space.size:,} {kind}"


def _counted(X: Any, Y: Space) -> Note:
    """Say how many data there are for each unknown, all counted as real numbers."""
    count = lambda s: sum(p.size * (2 if p.is_complex else 1) for p in getattr(s, "spaces", (s,)))  # noqa: E731
    n, m = count(X), count(Y)
    if m < n:
        return Note(
            "warn", "Fewer data than unknowns",
            f"{m / n:.2g} data for each unknown. Many unknowns explain them: what is known beforehand, or a method, "
            "has to choose.",
        )  # fmt: skip
    title = "More data than unknowns" if m > n else "As many data as unknowns"
    each = "One datum" if m == n else f"{m / n:.3g} data"
    said = f"{each} for each unknown. Even so, noise can drown some directions: the spectrum tells which."
    return Note("plain", title, said)


def _measured(problem: Problem, flat: int) -> str:
    y, clean, Y = problem.y, problem.clean, problem.codomain
    if not isinstance(y, Tensor) or not isinstance(clean, Tensor) or Y is None:
        return ""
    value, true = (t.reshape(-1, Y.size)[0, flat].item() for t in (y, clean))
    return f"Measured: {_number(value)}; without noise it would be {_number(true)}. "


def _number(value: float | complex) -> str:
    if isinstance(value, complex):
        return f"{value.real:.3g} {'+' if value.imag >= 0 else '−'} {abs(value.imag):.3g} i".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


# --- for the page -------------------------------------------------------------------------------------------------

_STYLES: dict[str, dict[str, Any]] = {
    "ray": {"color": "#6cb0ff", "linewidth": 0.8}, "spoke": {"color": "#2166ac", "linewidth": 0.6},
    "chosen": {"color": "#c2410c", "linewidth": 2.2, "marker": "o", "markersize": 3},
    "detector": {"color": "#0f6b3f", "linewidth": 4},
    "view": {"color": "#6b7480", "marker": ".", "markersize": 2}, "source": {"color": "#8a5300", "marker": "s"},
    "receiver": {"color": "#0f6b3f", "marker": "v"}, "antenna": {"color": "#0b5fd0", "marker": "^"},
}  # fmt: skip


def drawn_experiment(problem: Problem, datum: Sequence[int] | None = None) -> Any:
    """Return the experiment on paper: its drawings, the sensitivity of one datum, and the equation.

    Parameters
    ----------
    problem : Problem
    datum : sequence of int, optional
        Index of a measurement; the one in the middle if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import textwrap

    from explorer.figures.page import Page

    found = experiment(problem, datum)
    scenes = [*found.scenes, Scene(found.sensitivity, "", (), _whole(found.sensitivity.array))]
    figure = Page(figsize=(3.3 * len(scenes), 4.2), layout="constrained")
    for axes, scene in zip(np.atleast_1d(figure.subplots(1, len(scenes))), scenes, strict=True):
        panel = scene.panel
        axes.set_title(textwrap.fill(panel.title, 34), fontsize=10)
        if panel.array is not None and panel.array.ndim == 1:
            axes.plot(panel.array, linewidth=1)
            continue
        if panel.array is not None:
            colours = "RdBu_r" if panel.signed else "gray"
            axes.imshow(panel.array, cmap=colours, vmin=panel.low, vmax=panel.high, interpolation="nearest")
            axes.set_xlabel(panel.range_text, fontsize=9)
        for stroke in scene.strokes:
            row, column = stroke.points.T.numpy()
            axes.plot(column, row, **{"linestyle": "" if stroke.kind in DOTS else "-", **_STYLES[stroke.kind]})
        top, left, bottom, right = scene.view
        axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="auto")
        axes.set_box_aspect(1)
    figure.supxlabel(textwrap.fill(f"{found.notes[0].title}: {found.notes[0].text}", 45 * len(scenes)), fontsize=9)
    return figure
