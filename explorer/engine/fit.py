"""Whether the parts of a specification go together: what every run is checked by, and every choice judged by."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import torch

from explorer.catalogue import NAMES, SHELVES, Component, SpecError, describe
from explorer.engine.left_out import without
from explorer.engine.problem import Problem
from explorer.engine.spec import RunSpec
from explorer.engine.stops import compile_stop
from explorer.rules.whiteness import whiteness
from explorer.solvers.steps import Draw, Solution, Step

#: field of a specification -> the choice that leaves it out
NONE = {"prior": "none", "precond": "none", "operator": None}


def gives(solver: Component) -> type[Step]:
    """Return what a solver gives: `Step`, `Draw` or `Solution`."""
    inner = typing.get_args(solver.gives)
    given = inner[0] if inner else solver.gives
    if not (isinstance(given, type) and issubclass(given, Step)):
        says = "Iterator[Step], Iterator[Draw] or Solution"
        raise SpecError(f"{solver.title} must declare what it gives: {says}", "solver")
    return given


def refuse_unused(spec: RunSpec) -> None:
    """Refuse an operator, a prior or a preconditioner that the solver would silently leave aside."""
    solver = SHELVES["solver"][spec.solver.name]
    names = _names(solver, spec.solver.params)
    for field, none in NONE.items():
        choice = getattr(spec, field)
        used = {"A", "F", "y"} if field == "operator" else {field}
        if choice is not None and choice.name != none and not used & names:
            what = "an operator" if field == "operator" else f"a {RunSpec.kinds[field]}"
            raise SpecError(f"{solver.title} does not use {what}: switch it to {none!r}", "solver")


def _names(component: Component, params: Mapping[str, Any]) -> set[str]:
    """Return the names of everything that a component and its nested parts need."""
    names = {need.name for need in component.needs}
    for name, knob in component.knobs.items():
        if knob.type == "part" and params.get(name) is not None:
            names |= _names(SHELVES[knob.kind][params[name]["name"]], params[name]["params"])
    return names


def refuse_rule(spec: RunSpec, offers: Mapping[str, Any]) -> None:
    """Refuse a parameter rule that has nothing to choose, or needs what neither solver nor problem tell."""
    solver, rule = SHELVES["solver"][spec.solver.name], SHELVES["rule"][spec.rule.name]
    if rule.traits["picks"] == "none":
        return
    if gives(solver) is Draw:
        raise SpecError(f"{solver.title} draws samples: no rule applies, set the rule to 'fixed'", "rule")
    if "systems" in {need.name for need in solver.needs}:
        raise SpecError(f"{solver.title} solves system after system: no one step is to be chosen, use 'fixed'", "rule")
    if gives(solver) is Solution:
        if "tunes" not in solver.traits:
            raise SpecError(f"{solver.title} has no parameter for a rule to choose: set the rule to 'fixed'", "rule")
        knob = solver.traits["tunes"][0]
        if isinstance(spec.solver.params[knob], tuple):
            raise SpecError(f"{rule.title} chooses the {knob}: give one value, or set the rule to 'fixed'", "rule")
    if "refuses" in rule.traits and (why := rule.traits["refuses"](solver, spec.solver.params)):
        raise SpecError(f"{rule.title} needs {why}", "rule")
    known = (*solver.traits.get("reports", ()), *solver.traits.get("on_request", ()), *_found(solver, offers))
    of_direct = rule.traits.get("of_direct", ()) if gives(solver) is Solution else ()
    if of_direct and not {*of_direct} & {*known}:
        raise SpecError(f"{rule.title} needs the {NAMES[of_direct[0]]}, which {solver.title} does not report", "rule")
    for need in rule.needs:
        if need.name in _REPORTED:
            if need.name not in known and not need.optional:
                raise SpecError(
                    f"{rule.title} needs the {NAMES[need.name]}, which {solver.title} does not report", "rule"
                )
        elif need.name not in _JUDGED and offers.get(need.name) is None and not need.optional:
            said = need.says if need.says.startswith(("a ", "an ", "the ")) else f"the {need.says}"
            raise SpecError(f"{rule.title} needs {said}, which is not known for this problem", "rule")
        elif offers.get(need.name) is not None and (phrase := need.lacks(offers[need.name])) is not None:
            raise SpecError(f"{rule.title} needs {phrase}, and {describe(offers[need.name])} is not", "rule")
    if (direct := rule.traits.get("direct")) is not None and gives(solver) is Solution:
        if not direct.admits(offers["A"]):
            raise SpecError(f"{rule.title} needs {direct.says}, and {describe(offers['A'])} is not", "rule")
    elif "left_out" in [need.name for need in rule.needs]:
        less = without(offers["A"], torch.arange(1, offers["A"].codomain.size, device=offers["A"].codomain.device))
        if (lacking := solver.lacking({**offers, "A": less, "F": less, "codomain": less.codomain})) is not None:
            raise SpecError(f"{rule.title} leaves out data, and then {lacking[1]}", "rule")


#: what a solver reports of a candidate, and what the engine itself finds out about it
_REPORTED = (
    "residual", "dof", "solution_norm", "regularization", "growth", "sensitivity", "inner", "log_lost", "iterated",
    "lost", "left_out", "flat", "curvature",
)  # fmt: skip
_JUDGED = ("error", "whiteness")


def _found(solver: Component, offers: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the engine finds out of a method that does not report it.

    Changes from step to step tell of the parameter only where the filter factors depend on nothing but the number of
    steps: those of conjugate gradients jump whenever another Ritz value has converged.
    """
    if gives(solver) is Draw or offers.get("A") is None or offers.get("y") is None:
        return ()
    if gives(solver) is Solution:
        return ("left_out",)
    return "dof", "left_out", "solution_norm", *(("sensitivity",) if "filter" in solver.traits else ())


def on_request(solver: Component, *judges: Component) -> bool:
    """Say whether rules need what a solver reports on request only."""
    return any(need.name in solver.traits.get("on_request", ()) for rule in judges for need in rule.needs)


def judged(rule: Component, problem: Problem, step: Step, number: int = 0, before: Any = None) -> dict[str, Any]:
    """Return what a rule needs to know of a candidate beside the solver's scalars, one value a sample.

    Parameters
    ----------
    rule, problem : Component, Problem
    step : Step
        The candidate.
    number : int
        Number of the step, where it is one of an iteration.
    before : Tensor or Blocks, optional
        The iterate before; the first one has no derivative by the number of steps.
    """
    names, found, x = {need.name for need in rule.needs} - {*step.scalars}, {}, step.x
    if "solution_norm" in names:
        found["solution_norm"] = problem.domain.norm(x)
    if "sensitivity" in names and number:
        change = problem.domain.norm(x if before is None else x - before)
        found["sensitivity"] = torch.full_like(change, torch.inf) if before is None else number * change
    if "error" in names:
        found["error"] = problem.distance(x)
    if "whiteness" in names:
        A, y = problem.A, problem.y
        found["whiteness"] = whiteness(A(x) - A.codomain.expand(y, A.domain.batch(x)), A.codomain)
    return found


def refuse_stop(spec: RunSpec, offers: Mapping[str, Any]) -> None:
    """Refuse a stop rule that needs what neither solver nor problem tell."""
    solver = SHELVES["solver"][spec.solver.name]
    if gives(solver) is not Solution:
        compile_stop(spec.stop.as_dict(), solver.traits.get("reports", ()), offers)
