"""Figures: a run or a report in, a plotly or matplotlib figure out; pure functions.

`drawn_experiment`, `pictures`, `summary`, `strip`, `modes`, `kernels` and `pseudospectra` are matplotlib figures for
the page and the printer; the other ones are plotly figures for the screen; `explain` and `experiment` say what they
show.
"""

from __future__ import annotations

import importlib
from typing import Any

#: public name -> module in which it lives; plotly and matplotlib load on first use
_HOME = {
    "bands": "densities",
    "bounds": "polynomials",
    "browse": "patterns",
    "compare": "comparison",
    "convergence": "curves",
    "counts": "densities",
    "density": "densities",
    "distribution": "histogram",
    "drawn_experiment": "experiments",
    "experiment": "experiments",
    "explain": "words",
    "filters": "spectra",
    "generalised": "pairs",
    "images": "page",
    "isometry": "sensing",
    "kernels": "patterns",
    "l_curve": "parameter",
    "misfit": "fit",
    "misfit_figure": "fit",
    "modes": "patterns",
    "pair": "comparison",
    "phase_map": "sensing",
    "pictures": "paper",
    "polynomial": "polynomials",
    "profile": "lines",
    "pseudospectra": "densities",
    "rules": "parameter",
    "scores": "parameter",
    "spectrum": "spectra",
    "strip": "patterns",
    "summary": "paper",
}

__all__ = [
    "bands",
    "bounds",
    "browse",
    "compare",
    "convergence",
    "counts",
    "density",
    "distribution",
    "drawn_experiment",
    "experiment",
    "explain",
    "filters",
    "generalised",
    "images",
    "isometry",
    "kernels",
    "l_curve",
    "misfit",
    "misfit_figure",
    "modes",
    "pair",
    "phase_map",
    "pictures",
    "polynomial",
    "profile",
    "pseudospectra",
    "rules",
    "scores",
    "spectrum",
    "strip",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"explorer.figures.{_HOME[name]}"), name)
    raise AttributeError(f"module 'explorer.figures' has no attribute {name!r}")
