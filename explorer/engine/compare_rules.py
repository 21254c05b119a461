"""Every parameter rule on one problem, from one sweep of the parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from explorer.catalogue import SpecError, rules, solvers
from explorer.engine.along import Values, along_knob, along_steps, falling, wanted
from explorer.engine.batches import shaped
from explorer.engine.build import build
from explorer.engine.fit import refuse_rule
from explorer.engine.problem import Problem
from explorer.engine.run import candidates, solved
from explorer.engine.spec import RunSpec
from explorer.engine.swept import Path, RuleComparison
from explorer.rules.select import choose, score

#: entries of all candidates of a draw together, unless their number is given
AT_MOST = 2**24


def compare_rules(
    what: RunSpec | Problem | str,
    rules_: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    values: Values = None,
    along: str = "parameter",
    watch: Callable[[float], None] | None = None,
) -> RuleComparison:
    """Let every parameter rule choose from one sweep: of a direct method's parameter, of the steps, or of any knob.

    Parameters
    ----------
    what : RunSpec, Problem or str
        A specification (its solver must be a direct method with a parameter; Tikhonov takes its place if it is not),
        its JSON text, or a built problem, which Tikhonov then solves.
    rules_ : mapping, optional
        Rule to its knobs; all rules of the catalogue with their defaults unless given.
    values : int, sequence of float or array, optional
        The candidates, or their number; they lie evenly on a logarithmic axis (on a linear one where the knob does).
        Unless given there are 200 of a parameter, fewer of a large problem but at least 60, and 25 of a knob.
    along : str
        ``"parameter"`` of a direct method. ``"steps"``: every rule stops the iterative method of the specification,
        each in a run of its own on the same data, since some rules need more than the iterates; the steps are the
        candidates, from the first on, and nothing has scores. Or the dotted name of a number of the solver, the prior
        or the preconditioner, such as ``"prior.params.weight"``: there is a run for each of its values, all in one
        batch where the knob takes one value a sample. Of a prior's weight, and of Tikhonov's in a Krylov method (its
        damping), the rules choose that can be told from runs alone; degrees of freedom are then estimated by a second
        run on slightly other data, as in Monte-Carlo SURE.
    watch : callable, optional
        Called with the part of the work that is done, from 0 to 1; what it raises ends the sweep.

    Raises
    ------
    SpecError
        If the operator has no decomposition that a direct method could use, a method has no steps to choose from, or
        there is no such knob.

    Examples
    --------
    >>> from explorer.engine.spec import RunSpec
    >>> found = compare_rules(RunSpec(problem="shaw", operator="shaw", dtype="float64"), values=50)
    >>> found.chosen["oracle"].shape
    ()
    """
    if along != "parameter":
        if isinstance(what, Problem):
            raise SpecError("a problem has no method to walk along: give a specification with a solver", "along")
        asked = RunSpec.from_json(what) if isinstance(what, str) else what
        if along == "steps":
            return along_steps(asked, rules_, watch)
        return along_knob(asked, along, rules_, values, watch)
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
    if (lacking := component.lacking(problem.offers)) is not None:
        way = "along='steps' or 'solver.params.damping'"
        raise SpecError(f"{lacking[1]}: compare the rules on an iteration such as 'lsqr', {way}", "solver")
    A = problem.offers["A"]
    judges, refused = {}, {}
    for name, given in wanted(rules_).items():
        try:
            asked = spec.replace(rule={"name": name, "params": dict(given)})
            refuse_rule(asked, problem.offers)
            judges[name] = asked.rule.params
        except SpecError as error:
            refused[name] = error.message
    top = float(A.norm()) ** power
    count = min(200, max(60, AT_MOST // max(domain.size, A.codomain.size)))
    grid = falling(values, lambda number: np.geomspace(top, top * domain.eps**power, number), count)
    tensor = torch.as_tensor(grid, dtype=torch.float64).to(domain.device, torch.empty(0, dtype=domain.dtype).real.dtype)
    tensor = tensor.reshape(-1, *(1,) * len(problem.batch)).expand(-1, *problem.batch)
    shown = {rules[name]: given for name, given in judges.items()}
    if problem.x_true is not None and "oracle" not in judges:
        shown[rules["oracle"]] = {}
    with torch.no_grad():
        told = candidates(component, problem, problem.offers, params, tensor, shown)
        scores = {name: score(rules[name], given, told).expand(tensor.shape) for name, given in judges.items()}
    chosen = {name: choose(rules[name], values_.cpu().numpy()) for name, values_ in scores.items()}
    names = [n for n in ("residual", "solution_norm", "error") if n in told]
    return RuleComparison(
        spec=spec,
        problem=problem,
        along="parameter",
        parameter=knob,
        values=grid,
        curves={n: torch.as_tensor(told[n]).cpu().numpy() for n in names},
        scores={name: s.cpu().numpy() for name, s in scores.items()},
        chosen=chosen,
        refused=refused,
    )


def path(found: RuleComparison, most: int = 2**26) -> Path:
    """Return the solutions at the candidates of a sweep: those that came with it, or all, or evenly as many as fit.

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
    if found.path is not None:
        return found.path
    problem, component = found.problem, solvers[found.spec.solver.name]
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
