"""Figures: a run or a report in, a plotly or matplotlib figure out; pure functions.

`pictures`, `summary` and `modes` are matplotlib figures for the page and the printer; `convergence`, `spectrum`,
`filters`, `polynomial`, `bounds` and `distribution` are plotly figures for the screen; `explain` says in sentences what
they show.
"""

from __future__ import annotations

import importlib
from typing import Any

#: public name -> module in which it lives; plotly and matplotlib load on first use
_HOME = {
    "bounds": "polynomials",
    "compare": "comparison",
    "convergence": "curves",
    "distribution": "histogram",
    "explain": "words",
    "filters": "spectra",
    "images": "page",
    "modes": "patterns",
    "pictures": "paper",
    "polynomial": "polynomials",
    "rules": "parameter",
    "spectrum": "spectra",
    "summary": "paper",
}

__all__ = [
    "bounds",
    "compare",
    "convergence",
    "distribution",
    "explain",
    "filters",
    "images",
    "modes",
    "pictures",
    "polynomial",
    "rules",
    "spectrum",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"explorer.figures.{_HOME[name]}"), name)
    raise AttributeError(f"module 'explorer.figures' has no attribute {name!r}")
