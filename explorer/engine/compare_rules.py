"""Every parameter rule on one problem, from one sweep of the parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.catalogue import Component, SpecError, rules, solvers
from explorer.engine.batches import shaped
from explorer.engine.build import build
from explorer.engine.fit import gives, refuse_rule
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.run import Run, candidates, finish, prepare, solved
from explorer.engine.spec import RunSpec
from explorer.rules.select import score
from explorer.solvers.steps import Step

#: entries of all candidates of a draw together, unless their number is given
AT_MOST = 2**24


@dataclass(frozen=True)
class RuleComparison:
    """What every rule chooses, and the error to which it leads.

    Attributes
    ----------
    spec : RunSpec
        What was asked.
    problem : Problem
        On which it was.
    parameter : str
        Name of the knob that is chosen, or ``step``.
    values : NDArray
        Candidates, from the strongest regularization to the weakest: a parameter falls, steps rise; shape ``(k,)``.
    curves : dict
        ``residual``, ``solution_norm`` and, with a truth, ``error`` (relative) of every candidate, ``(k, *batch)``.
    scores : dict
        Rule to its score of every candidate, shape ``(k, *batch)``.
    chosen : dict
        Rule to the index of its choice, shape ``(*batch,)``; −1 where it found none.
    refused : dict
        Rule to the sentence why it does not apply.
    """

    spec: RunSpec
    problem: Problem
    parameter: str
    values: NDArray[np.floating]
    curves: dict[str, NDArray[np.floating]]
    scores: dict[str, NDArray[np.floating]]
    chosen: dict[str, NDArray[np.integer]]
    refused: dict[str, str]

    def value(self, rule: str) -> NDArray[np.floating]:
        """Return the parameter that a rule chose, NaN where it found none, shape ``(*batch,)``."""
        return np.where(self.chosen[rule] < 0, np.nan, self.values[self.chosen[rule]])

    def error(self, rule: str) -> NDArray[np.floating]:
        """Return the relative error at a rule's choice, NaN where it found none, shape ``(*batch,)``."""
        at = np.maximum(self.chosen[rule], 0)[None]
        return np.where(self.chosen[rule] < 0, np.nan, np.take_along_axis(self.curves["error"], at, 0)[0])

    @property
    def least_error(self) -> NDArray[np.floating]:
        """The least relative error of any candidate, shape ``(*batch,)``."""
        return np.nanmin(self.curves["error"], axis=0)

    def table(self) -> list[tuple[str, float, float, float]]:
        """Return rule, parameter, error and error over the least one, medians over draws, the best first."""
        rows = []
        for rule in self.chosen:
            value, error = np.nanmedian(self.value(rule)), np.nan
            if "error" in self.curves:
                error = float(np.nanmedian(self.error(rule)))
            rows.append((rule, float(value), error, error / float(np.median(self._least()))))
        return sorted(rows, key=lambda row: (np.isnan(row[2]), row[2]))

    def _least(self) -> NDArray[np.floating]:
        return self.least_error if "error" in self.curves else np.array(np.nan)

    def __repr__(self) -> str:
        lines = [f"{'rule':18} {self.parameter:>16} {'error':>8} {'/ least':>8}"]
        lines += [f"{rule:18} {value:16.4g} {error:8.3f} {ratio:8.3f}" for rule, value, error, ratio in self.table()]
        return "\n".join(lines)


def compare_rules(
    what: RunSpec | Problem | str,
    rules_: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    values: int | None = None,
    along: Literal["parameter", "steps"] = "parameter",
) -> RuleComparison:
    """Let every parameter rule choose from one batched sweep of a direct method's parameter, or a step of an iteration.

    Parameters
    ----------
    what : RunSpec, Problem or str
        A specification (its solver must be a direct method with a parameter; Tikhonov takes its place if it is not),
        its JSON text, or a built problem, which Tikhonov then solves.
    rules_ : mapping, optional
        Rule to its knobs; all rules of the catalogue with their defaults unless given.
    values : int, optional
        Number of candidates, evenly on a logarithmic axis; unless given 200, and fewer of a large problem, at least 60.
    along : str
        ``"steps"``: every rule stops the iterative method of the specification, each in a run of its own on the same
        data, since some rules need more than the iterates; the steps are the candidates, from the first on, and
        nothing has scores.

    Raises
    ------
    SpecError
        If the operator has no decomposition that a direct method could use, or a method has no steps to choose from.

    Examples
    --------
    >>> from explorer.engine.spec import RunSpec
    >>> found = compare_rules(RunSpec(problem="shaw", operator="shaw", dtype="float64"), values=50)
    >>> found.chosen["oracle"].shape
    ()
    """
    if along not in ("parameter", "steps"):
        raise SpecError(f"is {along!r}, and must be 'parameter' or 'steps'", "along")
    if along == "steps":
        if isinstance(what, Problem):
            raise SpecError("a problem has no steps: give a specification with an iterative solver", "along")
        return _along_steps(RunSpec.from_json(what) if isinstance(what, str) else what, rules_)
    if isinstance(what, Problem):
        spec, problem = RunSpec(solver="tikhonov", dtype=str(what.domain.dtype).removeprefix("torch.")), what
    else:
        spec = RunSpec.from_json(what) if isinstance(what, str) else what
        if "tunes" not in solvers[spec.solver.name].traits:
            spec = spec.replace(solver="tikhonov", prior="none", precond="none")
        problem = build(spec)
    component = solvers[spec.solver.name]
    knob, power = component.traits["tunes"]
    domain = problem.domain
    params = shaped(component, spec.solver.params, problem.batch, domain.dtype, domain.device)
    component.bind(problem.offers, params)  # refuses what has no decomposition
    A = problem.offers["A"]
    judges, refused = {}, {}
    for name, given in _wanted(rules_).items():
        try:
            asked = spec.replace(rule={"name": name, "params": dict(given)})
            refuse_rule(asked, problem.offers)
            judges[name] = asked.rule.params
        except SpecError as error:
            refused[name] = error.message
    top = float(A.norm()) ** power
    count = min(200, max(60, AT_MOST // max(domain.size, A.codomain.size))) if values is None else values
    grid = np.geomspace(top, top * domain.eps**power, count)
    tensor = torch.as_tensor(grid, dtype=torch.float64).to(domain.device, torch.empty(0, dtype=domain.dtype).real.dtype)
    tensor = tensor.reshape(-1, *(1,) * len(problem.batch)).expand(-1, *problem.batch)
    shown: list[Component] = [rules[name] for name in judges]
    if problem.x_true is not None and "oracle" not in judges:
        shown.append(rules["oracle"])
    with torch.no_grad():
        told = candidates(component, problem, problem.offers, params, tensor, *shown)
        scores = {name: score(rules[name], given, told).expand(tensor.shape) for name, given in judges.items()}
    chosen = {name: _choose(rules[name], values_.cpu().numpy()) for name, values_ in scores.items()}
    names = [n for n in ("residual", "solution_norm", "error") if n in told]
    return RuleComparison(
        spec=spec,
        problem=problem,
        parameter=knob,
        values=grid,
        curves={n: torch.as_tensor(told[n]).cpu().numpy() for n in names},
        scores={name: s.cpu().numpy() for name, s in scores.items()},
        chosen=chosen,
        refused=refused,
    )


def _wanted(rules_: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    return {name: {} for name in rules if name != "fixed"} if rules_ is None else dict(rules_)


def _along_steps(spec: RunSpec, rules_: Mapping[str, Mapping[str, Any]] | None) -> RuleComparison:
    """Let every rule stop the same iteration."""
    component = solvers[spec.solver.name]
    if gives(component) is not Step or "residual" not in component.traits.get("reports", ()):
        raise SpecError(f"{component.title} has no steps of which a residual is known: choose an iteration", "solver")
    problem = build(spec)
    spec = spec.replace(rule="fixed", record={"snapshots": 0, "keep_going": True})
    whole = _run(spec, problem)
    chosen, refused = {}, {}
    for name, given in _wanted(rules_).items():
        try:
            run = _run(spec.replace(rule={"name": name, "params": dict(given)}, record={"snapshots": 0}), problem)
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
        parameter="step",
        values=np.arange(1.0, len(whole.history["residual"]) + 1),
        curves={n: np.asarray(whole.history[n]) for n in ("residual", "error") if n in whole.history},
        scores={},
        chosen=chosen,
        refused=refused,
    )


def _run(spec: RunSpec, problem: Problem) -> Run:
    drive = prepare(spec, problem)
    for _ in drive:
        pass
    return finish(spec, drive)


@dataclass(frozen=True)
class Path:
    """Solutions along a swept parameter, for looking at them without solving again.

    Attributes
    ----------
    values : NDArray
        Of the parameter, ascending, shape ``(k,)``.
    indices : NDArray
        Their places among the candidates of the sweep.
    x, fit : Tensor
        Solutions, shape ``(k, *batch, *shape)``, and the data that they predict; on the CPU.
    """

    values: NDArray[np.floating]
    indices: NDArray[np.integer]
    x: torch.Tensor
    fit: torch.Tensor


def path(found: RuleComparison, most: int = 2**26) -> Path:
    """Return the solutions at the candidates of a sweep: all of them, or evenly as many as fit.

    Parameters
    ----------
    found : RuleComparison
        The sweep.
    most : int
        Bytes that solutions and predictions may take together.

    Examples
    --------
    >>> from explorer.engine.spec import RunSpec
    >>> spec = RunSpec(problem="shaw", operator="shaw", noise="gaussian", solver="tikhonov", dtype="float64")
    >>> path(compare_rules(spec)).x.shape
    torch.Size([200, 64])
    """
    problem, component = found.problem, solvers[found.spec.solver.name]
    if "tunes" not in component.traits:
        raise SpecError("along the steps of an iteration the solutions are the snapshots of its run", "along")
    domain, A = problem.domain, problem.offers["A"]
    params = shaped(component, found.spec.solver.params, problem.batch, domain.dtype, domain.device)
    one = domain.dtype.itemsize * (domain.size + A.codomain.size) * math.prod(problem.batch)
    count = min(len(found.values), max(2, most // one))
    indices = np.unique(np.linspace(0, len(found.values) - 1, count).round().astype(int))[::-1]
    real = torch.empty(0, dtype=domain.dtype).real.dtype
    values = torch.as_tensor(found.values[indices].copy()).to(domain.device, real)
    values = values.reshape(-1, *(1,) * len(problem.batch)).expand(-1, *problem.batch)
    x, fit = [], []
    with torch.no_grad():
        for part in values.split(max(1, 2**24 // domain.size)):
            solution = solved(component, problem.offers, params, part).x
            x.append(solution.cpu())
            fit.append(A(solution).cpu())
    return Path(found.values[indices], indices, torch.cat(x), torch.cat(fit))


def _choose(rule: Component, scores: NDArray[np.floating]) -> NDArray[np.integer]:
    """Return the index of the choice of each sample, −1 where there is none."""
    if rule.traits["picks"] == "minimum":
        known = np.where(np.isnan(scores), np.inf, scores)
        return np.where(np.isfinite(known).any(0), known.argmin(0), -1)
    found = scores <= 0
    return np.where(found.any(0), found.argmax(0), -1)
