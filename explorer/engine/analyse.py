"""Analyses of a run or of a problem, by name."""

from __future__ import annotations

from typing import Any

from explorer.catalogue import analyses
from explorer.engine.problem import Problem
from explorer.engine.run import Run


def analyse(what: Run | Problem, name: str, **knobs: Any) -> Any:
    """Return the report of an analysis.

    Parameters
    ----------
    what : Run or Problem
        What is looked at; an analysis of a run's history needs a run.
    name : str
        Name in ``explorer.catalogue.analyses``.
    **knobs : Any
        Knobs of the analysis.

    Raises
    ------
    SpecError
        If the analysis needs what is not there, in one sentence.

    Examples
    --------
    >>> import explorer as ex
    >>> run = ex.run(ex.RunSpec(problem="blocks", noise="none", solver="cgls"))
    >>> ex.analyse(run, "filter_factors", step=3).factors.shape
    (256,)
    """
    component = analyses[name]
    return component.bind(offered(what), component.check(knobs))()


def offered(what: Run | Problem) -> dict[str, Any]:
    """Return everything that an analysis may need, by its documented name."""
    problem = what.problem if isinstance(what, Run) else what
    offers = {**problem.offers, "x_true": problem.x_true, "clean": problem.clean}
    if isinstance(what, Run):
        made = what.spec.solver
        offers |= {"history": what.history, "solver": made.name, "settings": dict(made.params), "arrays": what.arrays}
        offers["iterates"] = [(picked.step, picked.x) for picked in what.snapshots]
    return {name: thing for name, thing in offers.items() if thing is not None}
