"""How well an iterate explains the data: the misfit in units of the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.catalogue import SpecError
from explorer.engine.problem import Problem
from explorer.figures.colours import palette
from explorer.figures.curves import layout
from explorer.figures.panels import round_up
from explorer.linalg import Blocks

#: more data than these are drawn as a histogram
SINGLE = 300


@dataclass(frozen=True)
class Misfit:
    """What is left of the data, whitened: standard normal numbers where the iterate explains them and no more.

    Attributes
    ----------
    values : NDArray
        ``(y − A x) / σ`` of the data that are there, real and imaginary parts as two numbers, shape ``(m,)``.
    ratio : float
        Their mean square, χ² / m: 1 is expected, for white Gaussian noise to within ``√(2 / m)``.
    sentence : str
    """

    values: NDArray[np.floating]
    ratio: float
    sentence: str


@torch.no_grad()
def misfit(problem: Problem, x: Any) -> Misfit:
    """Return the whitened misfit of an iterate; of the first sample.

    Parameters
    ----------
    problem : Problem
        With data and a forward model.
    x : Tensor or Blocks
        Shape ``(*batch, *domain.shape)``.

    Raises
    ------
    SpecError
        If there are no data, or their noise is not known or cannot be whitened.
    """
    model, y, space = problem.offers.get("F"), problem.y, problem.codomain
    if model is None or y is None or space is None:
        raise SpecError("the misfit needs data and an operator, and this problem has none")
    if isinstance(y, Blocks):
        raise SpecError("the misfit is drawn of a single set of data, and these are blocks")
    noise = problem.offers["noise"]
    predicted = model.forward(x)
    if not float(noise.expected_norm(predicted, space).max()):
        raise SpecError("there is no noise to measure the misfit by: choose a noise model")
    white, told = noise.whiten(y, predicted, space), noise.tells(y).expand_as(predicted)
    for _ in space.batch(white):
        white, told = white[0], told[0]
    white = white[told]
    values = torch.view_as_real(white * math.sqrt(2)) if white.is_complex() else white
    made = values.flatten().double().cpu().numpy()
    ratio, room = float(np.mean(made**2)), 3 * math.sqrt(2 / len(made))
    return Misfit(made, ratio, f"χ² / m = {ratio:.3g}: {_judged(ratio, room)}")


def _judged(ratio: float, room: float) -> str:
    if ratio < 1 - room:
        return "the data are fitted better than noise allows. The iterate has begun to explain the noise."
    if ratio > 1 + room:
        return "what is left is larger than the noise. The iterate does not explain the data yet."
    return "what is left is as large as the noise. More cannot be asked of the data."


def misfit_figure(found: Misfit, dark: bool = False) -> Any:
    """Return the misfit of every datum with lines at ±1, or of many data their histogram over the normal density.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    colours = palette(dark)
    if len(found.values) <= SINGLE:
        figure = go.Figure(
            layout=plain(layout("", "", dark), "datum", "(y − Ax) / σ", (len(found.values), np.ptp(found.values)))
        )
        figure.add_scatter(
            x=np.arange(1, len(found.values) + 1), y=found.values, name="misfit in units of the noise",
            mode="markers", marker={"color": colours.series[0], "size": 6},
        )  # fmt: skip
        for at in (-1, 1):
            figure.add_hline(y=at, line={"color": colours.rule, "dash": "dot", "width": 1.5})
        return figure
    end = float(max(4.0, min(np.abs(found.values).max(), 12.0)))
    edges = np.linspace(-end, end, 61)
    heights, _ = np.histogram(found.values.clip(-end, end), edges, density=True)
    figure = go.Figure(layout=plain(layout("", "", dark), "(y − Ax) / σ", "density", (2 * end, heights.max())))
    middles = (edges[1:] + edges[:-1]) / 2
    figure.add_scatter(
        x=middles, y=heights, name="misfit in units of the noise", mode="lines",
        line={"color": colours.series[0], "width": 2.5, "shape": "hvh"},
    )  # fmt: skip
    normal = np.exp(-(middles**2) / 2) / math.sqrt(2 * math.pi)
    line = {"color": colours.series[1], "width": 2, "dash": "dash"}
    figure.add_scatter(x=middles, y=normal, name="noise alone, N(0, 1)", mode="lines", line=line)
    for at in (-1, 1):
        figure.add_vline(x=at, line={"color": colours.rule, "dash": "dot", "width": 1.5})
    return figure


def plain(made: dict[str, Any], x: str, y: str, spans: tuple[float, float]) -> dict[str, Any]:
    """Return a layout with linear axes of these titles, over about these spans."""
    for axis, title, whole in zip(("xaxis", "yaxis"), (x, y), spans, strict=True):
        tick = round_up(whole / 8) if whole > 0 else 1.0
        made[axis] |= {"type": "linear", "title": {"text": title, "font": {"size": 13}}, "dtick": tick}
    return made
