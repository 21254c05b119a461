"""What a linear method makes of one point."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from explorer.analyses.resolution import PointResponse
from explorer.engine.run import Run
from explorer.figures.panels import Panel, round_up, viewable

#: a close-up shows at least so many pixels to every side of the point, and twice its width
CLOSE = 6


def point_panels(found: PointResponse) -> tuple[Panel, Panel]:
    """Return a point response, whole and around its point, on one scale.

    Parameters
    ----------
    found : PointResponse
        Of a signal or an image; of a volume, the slice through the point is shown.
    """
    at, response = found.at, found.response
    while response.ndim > 2:
        at, response = at[1:], response[at[0]]
    shown = viewable(response)
    assert shown is not None
    signed = not response.is_complex()
    limit = round_up(float(np.abs(shown).max()))
    low = -limit if signed else 0.0
    reach = max(CLOSE, math.ceil(2 * found.width))
    near = shown[tuple(slice(max(0, i - reach), i + reach + 1) for i in at)]
    height = f"{100 * found.gain:.2g} % of its height"
    return (
        Panel("Point response", shown, low, limit, signed, note=height, reference=_point(shown, at, limit)),
        Panel("Close-up", near, low, limit, signed, note=f"{found.width:.2g} px wide"),
    )


def _point(shown: NDArray[np.floating], at: tuple[int, ...], limit: float) -> NDArray[np.floating] | None:
    """Return the point itself behind a signal."""
    if shown.ndim != 1:
        return None
    point = np.zeros_like(shown)
    point[at] = limit
    return point


def point_figure(run: Run, at: tuple[int, ...] | None = None, step: int = 0) -> tuple[PointResponse, tuple[Panel, ...]]:
    """Return the response of a run at a point (the middle, if none is given), and the panels that show it.

    Raises
    ------
    SpecError
        If the method of the run has none.
    """
    from explorer.analyses.resolution import point_response
    from explorer.catalogue import SpecError
    from explorer.operators.base import LinearOperator

    A = run.problem.A
    if not isinstance(A, LinearOperator):
        raise SpecError("a point response needs a linear operator, and this problem has none")
    if "system" in run.history:
        raise SpecError("a sequence of systems has a point response each: run one of them alone")
    middle = tuple(n // 2 for n in getattr(A.domain, "shape", ()))
    found = point_response(A, run.history, run.spec.solver.name, run.spec.solver.params, at or middle, step)
    return found, point_panels(found)
