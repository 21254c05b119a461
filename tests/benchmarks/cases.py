"""A small problem for every solver of the catalogue, found from the catalogue itself."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

from explorer.catalogue import SHELVES, Component, SpecError, operators, preconditioners, priors, problems, solvers
from explorer.engine.batches import shaped
from explorer.engine.build import build
from explorer.engine.problem import Problem
from explorer.engine.run import prepare
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import Rng

SIZE = 32


@functools.cache
def spec_for(solver: str) -> RunSpec:
    """Return the first specification with which a solver runs: the usual problem, else any of the catalogue.

    Raises
    ------
    LookupError
        If no problem, operator, prior and preconditioner of the catalogue suit it.
    """
    needs = {need.name for need in solvers[solver].needs}
    some_priors = [name for name in priors if name != "none"] if "prior" in needs else []
    some_preconds = [name for name in preconditioners if name != "none"] if "precond" in needs else []
    for problem, operator in _pairs():
        for prior, precond in itertools.product(["none", *some_priors], ["none", *some_preconds]):
            parts = {"problem": problem, "operator": operator, "prior": prior, "precond": precond, "solver": solver}
            try:
                prepare(RunSpec(**parts, device="meta"))
            except SpecError:
                continue
            return RunSpec(**parts)
    raise LookupError(f"nothing in the catalogue suits {solver!r}")


def _pairs() -> Iterator[tuple[Choice, str | None]]:
    yield _small("shepp_logan"), "gaussian_blur"
    for problem in problems:
        if not any(knob.type == "file" for knob in problems[problem].knobs.values()):
            yield from ((_small(problem), operator) for operator in (None, *operators))


def _small(problem: str) -> Choice:
    knobs = problems[problem].knobs
    return Choice(problem, size=SIZE) if "size" in knobs and knobs["size"].low <= SIZE else Choice(problem)


def offers(spec: RunSpec, problem: Problem) -> dict[str, Any]:
    """Return what the solver of a specification is offered."""
    return {**problem.offers, "rng": Rng(spec.seed, f"solver/{spec.solver.name}", spec.draws), "bases": False}


def begin(spec: RunSpec, problem: Problem, given: dict[str, Any]) -> Any:
    """Start the solver of a specification without the driver."""
    component: Component = SHELVES["solver"][spec.solver.name]
    domain = problem.domain
    return component.bind(given, shaped(component, spec.solver.params, problem.batch, domain.dtype, domain.device))()


def problem_for(solver: str) -> Problem:
    """Return the problem of :func:`spec_for`."""
    return build(spec_for(solver))
