"""Sweeps that take runs: along the steps of an iteration, and along any number of a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import NAMES, Knob, SpecError, rules, solvers
from explorer.catalogue.signature import MAX_VALUES, short
from explorer.engine.build import build, refuse_huge
from explorer.engine.fields import assign, knob_at, value_at
from explorer.engine.fit import gives, judged
from explorer.engine.freedom import nudged
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.run import Run, finish, prepare
from explorer.engine.spec import RunSpec
from explorer.engine.swept import Path, RuleComparison
from explorer.linalg import Rng, Space, safe_divide
from explorer.linalg.quadrature import random_signs
from explorer.rules.select import choose, score
from explorer.solvers.steps import Solution, Step

#: values of a knob unless their number is given
COUNT = 25
#: decades that they reach to either side of the present value; a whole number often counts work
DECADES = {"float": 3, "int": 1}
#: entries of the iterates of one batch
_AT_ONCE = 2**22
#: what is told of the solutions of a knob, from which rules may choose
_TOLD = {"residual", "dof", "whiteness", "error"}
#: fields of a specification whose knobs a sweep may change: the data stay the same
METHOD = ("solver", "prior", "precond")
Watch = Callable[[float], None]
Values = int | Sequence[float] | NDArray[np.floating] | None


def wanted(rules_: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    """Return the rules that are asked for, with their knobs: all of them unless given."""
    return {name: {} for name in rules if name != "fixed"} if rules_ is None else dict(rules_)


def falling(values: Values, make: Callable[[int], NDArray[np.floating]], usual: int) -> NDArray[np.floating]:
    """Return candidates from the largest to the smallest: those that are given, or as many as are asked for."""
    number = usual if values is None else values
    if isinstance(number, int) and 0 < number <= MAX_VALUES:
        return make(number)
    given = np.atleast_1d(np.array([] if isinstance(number, int) else number, float))
    if given.ndim > 1 or not given.size or not np.isfinite(given).all():
        raise SpecError(f"is {short(number)}, and must be finite numbers, or how many from 1 to {MAX_VALUES}", "values")
    return np.sort(given)[::-1].copy()


def along_steps(
    spec: RunSpec, rules_: Mapping[str, Mapping[str, Any]] | None, watch: Watch | None = None
) -> RuleComparison:
    """Let every rule stop the same iteration; see :func:`explorer.compare_rules`."""
    refuse_no_steps(spec)
    problem = build(spec)
    _refuse_many(problem)
    spec = spec.replace(rule="fixed", record={"keep_going": True})
    asked = wanted(rules_)
    share = 1 / (1 + len(asked))
    whole = _run(spec, problem, watch, 0.0, share)
    chosen, refused = {}, {}
    for i, (name, given) in enumerate(asked.items(), 1):
        judging = spec.replace(rule={"name": name, "params": dict(given)}, record={"snapshots": 0})
        try:
            run = _run(judging, problem, watch, i * share, share)
        except SpecError as error:
            refused[name] = error.message
            continue
        assert run.stopped is not None
        found = np.asarray(run.reason) == Reason.RULE
        if rules[name].traits["picks"] == "minimum":
            found = np.ones_like(found)  # at the end of the budget it is the least score so far
        chosen[name] = np.where(found, np.asarray(run.stopped.step) - 1, -1)
    return RuleComparison(
        spec=spec,
        problem=problem,
        along="steps",
        parameter="step",
        values=np.arange(1.0, len(whole.history["residual"]) + 1),
        curves={n: np.asarray(whole.history[n]) for n in ("residual", "error") if n in whole.history},
        scores={},
        chosen=chosen,
        refused=refused,
        path=_of_steps(whole),
        history=whole.history,
    )


def _refuse_many(problem: Problem) -> None:
    if not walkable(problem):
        raise SpecError("a sweep needs a model that makes one set of data: choose such a problem", "problem")


def walkable(problem: Problem) -> bool:
    """Say whether a problem has one unknown and one set of data, each a single array."""
    return problem.F is not None and isinstance(problem.y, Tensor) and isinstance(problem.domain, Space)


def refuse_no_steps(spec: RunSpec) -> None:
    """Refuse a method that has no steps of which a residual is known."""
    component = solvers[spec.solver.name]
    if gives(component) is not Step or "residual" not in component.traits.get("reports", ()):
        raise SpecError(f"{component.title} has no steps of which a residual is known: choose an iteration", "solver")


def _of_steps(run: Run) -> Path | None:
    """Return the iterates that a run kept as a path."""
    if not run.snapshots:
        return None
    steps = np.array([picked.step for picked in run.snapshots])
    x = torch.stack([picked.x for picked in run.snapshots])
    with torch.no_grad():
        fit = run.problem.F.forward(x)
    return Path(steps.astype(float), steps - 1, x.cpu(), fit.cpu())


def along_knob(
    spec: RunSpec,
    field: str,
    rules_: Mapping[str, Mapping[str, Any]] | None,
    values: Values = None,
    watch: Watch | None = None,
) -> RuleComparison:
    """Run a method at many values of one of its numbers; see :func:`explorer.compare_rules`."""
    knob = method_knob(spec, field)
    spec = spec.replace(record={"snapshots": 0})
    problem = build(spec)
    _refuse_many(problem)
    grid = falling(values, lambda number: candidates_of(knob, value_at(spec, field), number), COUNT)
    refuse_huge(len(grid) * max(problem.domain.size, problem.F.codomain.size), "values of solutions", "values")
    asked, judges, refused = wanted(rules_), {}, {}
    for name, given in asked.items():
        if (why := _unfit(name, spec, field, problem)) is None:
            judges[name] = spec.replace(rule={"name": name, "params": dict(given)}, stop="budget").rule.params
        else:
            refused[name] = why
    names = {need.name for name in judges for need in rules[name].needs}
    found = []
    for several, begun, share in _parts(grid, knob, problem):
        halves = 2 if "dof" in names else 1
        changed = assign(spec, field, several if knob.batched else several[0])
        run = _run(changed, None, watch, begun, share / halves)
        told = _told(run, alone=not knob.batched)
        if "dof" in names:
            told["dof"] = _freedom(changed, run, told, watch, begun + share / 2, share / 2)
        found.append(told)
    whole = {name: torch.cat([part[name] for part in found]) for name in found[0]}
    offers = {**problem.offers, **{name: value for name, value in whole.items() if name in _TOLD}}
    scores = {name: score(rules[name], given, offers).expand(whole["residual"].shape) for name, given in judges.items()}
    arrays = {name: s.cpu().numpy() for name, s in scores.items()}
    up = np.arange(len(grid))[::-1].copy()
    return RuleComparison(
        spec=spec,
        problem=problem,
        along=field,
        parameter=knob.name,
        values=grid,
        curves={name: whole[name].cpu().numpy() for name in ("residual", "error") if name in whole},
        scores=arrays,
        chosen={name: choose(rules[name], array) for name, array in arrays.items()},
        refused=refused,
        path=Path(grid[up], up, whole["x"][torch.from_numpy(up)].cpu(), whole["fit"][torch.from_numpy(up)].cpu()),
    )


def method_knob(spec: RunSpec, field: str) -> Knob:
    """Return a number of the method by its dotted name.

    Raises
    ------
    SpecError
        If there is no such number.
    """
    try:
        knob = knob_at(spec, field)
    except (KeyError, AttributeError, TypeError):
        knob = None
    if knob is None or knob.type not in ("float", "int") or field.partition(".")[0] not in METHOD:
        allowed = "'parameter', 'steps', or a number of solver, prior or preconditioner such as 'prior.params.weight'"
        raise SpecError(f"is {field[:60]!r}, and must be {allowed}", "along")
    return knob


def candidates_of(knob: Knob, present: Any, count: int = COUNT) -> NDArray[np.floating]:
    """Return values of a knob from the largest to the smallest: around the present one on a logarithmic axis.

    On a linear axis they span the knob's range. A whole number takes every value at most once.
    """
    assert knob.low is not None
    assert knob.high is not None
    middle = next((v for v in (present, knob.default) if isinstance(v, int | float) and v > 0), None)
    if knob.scale == "log":
        middle = middle if middle is not None else min(1.0, knob.high)
        far = 10.0 ** DECADES[knob.type]
        grid = np.geomspace(min(knob.high, middle * far), max(knob.low, middle / far), count)
    else:
        grid = np.linspace(knob.high, knob.low, count)
    if knob.type == "int":
        grid = np.unique(grid.round())[::-1].copy()
    return np.clip(grid, knob.low, knob.high)


def _is_weight(spec: RunSpec, field: str) -> bool:
    """Say whether a knob says how much is regularized: the weight of a prior, or Tikhonov's in a solver."""
    place, _, knob = field.partition(".params.")
    if place == "solver" and spec.solver.params.get("choice", "fixed") == "fixed":
        return knob == solvers[spec.solver.name].traits.get("weighs")
    return place.startswith("prior") and field.endswith(".weight")


def _unfit(name: str, spec: RunSpec, field: str, problem: Problem) -> str | None:
    """Return why a rule cannot choose a value of a knob, or None where it can."""
    rule = rules[name]
    if name != "oracle" and not _is_weight(spec, field):
        return f"{rule.title} chooses how much is regularized, and {field.rpartition('.')[2]} is no such weight"
    if name == "oracle" and problem.x_true is None:
        return f"{rule.title} needs the truth, which is not known for this problem"
    lacking = [need.name for need in rule.needs if not need.optional]
    lacking = [n for n in lacking if n not in _TOLD and problem.offers.get(n) is None]
    return f"{rule.title} needs the {NAMES[lacking[0]]}, which runs alone do not tell" if lacking else None


def _parts(grid: NDArray[np.floating], knob: Knob, problem: Problem) -> Iterator[tuple[list[float], float, float]]:
    """Give the values that are run together, the part of the work done before, and their part of it."""
    at_once = max(1, _AT_ONCE // max(problem.domain.size, problem.F.codomain.size)) if knob.batched else 1
    for i in range(0, len(grid), at_once):
        several = [int(v) if knob.type == "int" else float(v) for v in grid[i : i + at_once]]
        yield several, i / len(grid), len(several) / len(grid)


def _told(run: Run, alone: bool) -> dict[str, Tensor]:
    """Return what is known of the solutions of a run, with a leading dimension of the values: 1 of one alone."""
    problem, Y = run.problem, run.problem.F.codomain
    with torch.no_grad():
        fit = problem.F.forward(run.x)
        step = Solution(run.x, residual=Y.norm(fit - Y.expand(problem.y, problem.batch)))
        told = {"x": run.x, "fit": fit, "residual": step.scalars["residual"]}
        if problem.A is not None:
            told |= judged(rules["ncp"], problem, step)
        if problem.x_true is not None:
            told |= judged(rules["oracle"], problem, step)
    return {name: torch.as_tensor(value)[None] for name, value in told.items()} if alone else told


def _freedom(
    spec: RunSpec, run: Run, told: Mapping[str, Tensor], watch: Watch | None, begun: float, share: float
) -> Tensor:
    """Return effective degrees of freedom: how the fit answers slightly other data, along random signs."""
    problem = run.problem
    Y = problem.F.codomain
    w = Y.expand(random_signs(Y, Rng(spec.seed, "rule/probe", spec.draws)), problem.batch)
    h, moved = nudged(Y, problem.y, w)
    other = Problem({**problem.offers, "y": moved}, problem.truth, problem.domain, problem.clean, problem.batch)
    beside = _run(spec, other, watch, begun, share)
    with torch.no_grad():
        apart = problem.F.forward(beside.x) - told["fit"].reshape(*problem.batch, *Y.shape)
    return safe_divide(Y.inner(w, apart).real, h).reshape(told["residual"].shape)


def _run(spec: RunSpec, problem: Problem | None, watch: Watch | None, begun: float, share: float) -> Run:
    """Run to the end, telling how far all of the work has come."""
    drive = prepare(spec, problem)
    for snapshot in drive:
        if watch is not None:
            watch(begun + share * snapshot.fraction)
    return finish(spec, drive)
