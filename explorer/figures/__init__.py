"""Figures: a run or a report in, a plotly or matplotlib figure out; pure functions.

`pictures` and `summary` are matplotlib figures for the page and the printer; `convergence`, `spectrum`, `filters`
and `distribution` are plotly figures for the screen; `explain` says in sentences what they show.
"""

from __future__ import annotations

import importlib
from typing import Any

#: public name -> module in which it lives; plotly and matplotlib load on first use
_HOME = {
    "compare": "comparison",
    "convergence": "curves",
    "distribution": "histogram",
    "explain": "words",
    "filters": "spectra",
    "images": "page",
    "pictures": "paper",
    "rules": "parameter",
    "spectrum": "spectra",
    "summary": "paper",
}

__all__ = [
    "compare",
    "convergence",
    "distribution",
    "explain",
    "filters",
    "images",
    "pictures",
    "rules",
    "spectrum",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"explorer.figures.{_HOME[name]}"), name)
    raise AttributeError(f"module 'explorer.figures' has no attribute {name!r}")
