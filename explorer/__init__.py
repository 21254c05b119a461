"""Explorer: an interactive environment for inverse problems and matrix inversion."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from explorer import catalogue
from explorer.catalogue import SpecError

if TYPE_CHECKING:
    from explorer.analyses.check import check_operator
    from explorer.engine.advise import advise, estimate
    from explorer.engine.analyse import analyse
    from explorer.engine.build import build
    from explorer.engine.cite import cite
    from explorer.engine.compare_rules import compare_rules
    from explorer.engine.compat import compatible
    from explorer.engine.job import Job, start
    from explorer.engine.links import from_link, to_link
    from explorer.engine.notebooks import record
    from explorer.engine.reasons import Reason
    from explorer.engine.run import Run, run, stream
    from explorer.engine.spec import Choice, RunSpec
    from explorer.figures.report import report
    from explorer.operators.foreign import as_operator
    from explorer.problems.files import add_file
    from explorer.widgets import singles as panels
    from explorer.widgets.exercise import Exercise
    from explorer.widgets.explorer import Explorer

#: public name -> module in which it lives; imported on first use
_HOME = {
    "Choice": "engine.spec",
    "Exercise": "widgets.exercise",
    "Explorer": "widgets.explorer",
    "Job": "engine.job",
    "Reason": "engine.reasons",
    "Run": "engine.run",
    "RunSpec": "engine.spec",
    "add_file": "problems.files",
    "advise": "engine.advise",
    "analyse": "engine.analyse",
    "as_operator": "operators.foreign",
    "build": "engine.build",
    "check_operator": "analyses.check",
    "cite": "engine.cite",
    "compare_rules": "engine.compare_rules",
    "compatible": "engine.compat",
    "estimate": "engine.advise",
    "from_link": "engine.links",
    "record": "engine.notebooks",
    "report": "figures.report",
    "run": "engine.run",
    "start": "engine.job",
    "stream": "engine.run",
    "to_link": "engine.links",
}
_ROOMS = (
    "analyses",
    "figures",
    "linalg",
    "noise",
    "operators",
    "preconditioners",
    "priors",
    "problems",
    "rules",
    "solvers",
)

__all__ = [
    "Choice",
    "Exercise",
    "Explorer",
    "Job",
    "Reason",
    "Run",
    "RunSpec",
    "SpecError",
    "add_file",
    "advise",
    "analyse",
    "as_operator",
    "build",
    "catalogue",
    "check_operator",
    "cite",
    "compare_rules",
    "compatible",
    "estimate",
    "from_link",
    "panels",
    "record",
    "report",
    "run",
    "start",
    "stream",
    "to_link",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"explorer.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name == "panels":
        return importlib.import_module("explorer.widgets.singles")
    if name in _ROOMS:
        return importlib.import_module(f"explorer.{name}")
    raise AttributeError(f"module 'explorer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
