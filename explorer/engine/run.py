"""A run: what was asked, what happened, and the answer."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Component, rules, solvers
from explorer.engine.batches import shaped
from explorer.engine.build import build
from explorer.engine.driver import Drive, Snapshot
from explorer.engine.fit import gives, judged, on_request, refuse_rule, refuse_stop, refuse_unused
from explorer.engine.freedom import probed
from explorer.engine.left_out import folded, predicted
from explorer.engine.picks import Pick
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason, reasons
from explorer.engine.spec import RunSpec
from explorer.engine.stops import compile_stop, largest_step, used
from explorer.linalg import Rng, clone
from explorer.linalg.quadrature import random_signs
from explorer.rules.select import select_parameter
from explorer.solvers.steps import Solution


@dataclass
class Picked:
    """An iterate that was kept, with the step it came from.

    Attributes
    ----------
    x : Tensor or Blocks
        Shape ``(*batch, *shape)``.
    step : int or array of int
        Step number, from 1, per sample.
    """

    x: Any
    step: Any


@dataclass
class Run:
    """The result of a run.

    Attributes
    ----------
    spec : RunSpec
        What was asked.
    problem : Problem
        Operator, data, noise and prior that were built.
    x : Tensor or Blocks
        The answer: where a rule or a stop rule picked an iterate that one, else the last; a sampler's mean.
    history : mapping
        Name to array ``(steps, *batch)``: the solver's scalars, ``error``, costs, ``seconds``.
    costs, watching : mapping
        Named costs of the method, and of looking at it.
    reason : Reason or array of Reason
        Why it ended, per sample; ``reason.sentence`` says it in words.
    stopped, best : Picked or None
        The iterate that the rule picked, and the one nearest to the truth (never for a sampler).
    snapshots : list of Picked
        Thinned iterates.
    samples : Tensor or None
        Thinned draws, shape ``(draws, chains, *batch, *shape)``; `variance` and `r_hat` cover all of them.
    arrays : list of mapping
        Bases and matrices, where `record` asked for them.
    """

    spec: RunSpec
    problem: Problem
    x: Any
    history: Mapping[str, Any]
    costs: Mapping[str, int]
    watching: Mapping[str, int]
    reason: Any
    stopped: Picked | None = None
    best: Picked | None = None
    snapshots: list[Picked] = field(default_factory=list)
    samples: Tensor | None = None
    variance: Tensor | None = None
    r_hat: Tensor | None = None
    arrays: list[Mapping[str, Tensor]] = field(default_factory=list)

    @property
    def x_true(self) -> Any:
        """The truth, or None."""
        return self.problem.x_true

    @property
    def y(self) -> Any:
        """The data, or None."""
        return self.problem.y

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """Relative error, PSNR and SSIM of the answer (per sample), as far as there is a truth."""
        from explorer.engine.metrics import metrics

        return metrics(self.problem, self.x)

    @functools.cached_property
    def snapshot_metrics(self) -> dict[str, Any]:
        """The metrics of every snapshot, name to array ``(snapshots, *batch)``, beside their ``step``.

        Empty without a truth, and for a sequence of systems.
        """
        from explorer.engine.metrics import metrics

        if "system" in self.history:
            return {}
        rows = [metrics(self.problem, picked.x) for picked in self.snapshots]
        if not rows or not rows[0]:
            return {}
        steps = np.array([picked.step for picked in self.snapshots])
        return {"step": steps, **{name: np.array([row[name] for row in rows]) for name in rows[0]}}

    def save(self, folder: Any) -> None:
        """Write the run into a folder: ``spec.json``, ``run.json`` and ``arrays.npz``."""
        from explorer.engine.store import save

        save(self, folder)

    @staticmethod
    def load(folder: Any) -> Run:
        """Read a run back; nothing is unpickled and the problem is built anew from its specification."""
        from explorer.engine.store import load

        return load(folder)

    def __repr__(self) -> str:
        reason = self.reason.sentence if isinstance(self.reason, Reason) else f"{self.reason.size} samples"
        shown = ", ".join(f"{k} {float(np.mean(v)):.4g}" for k, v in self.metrics.items())
        return f"<Run of {self.spec.solver.name}: {len(self.history.get('seconds', ()))} steps; {reason} {shown}>"


def prepare(spec: RunSpec, problem: Problem | None = None, cancelled: threading.Event | None = None) -> Drive:
    """Bind the solver of a specification to its problem, ready to run.

    Raises
    ------
    SpecError
        If the parts do not go together; nothing has been solved then.
    """
    problem = build(spec) if problem is None else problem
    component, rule = solvers[spec.solver.name], rules[spec.rule.name]
    chosen = None if rule.traits["picks"] == "none" else (rule, spec.rule.params)
    rng = Rng(spec.seed, f"solver/{component.name}", spec.draws)
    offers = {**problem.offers, "rng": rng, "bases": spec.record.bases}
    if chosen is not None:
        offers["details"] = on_request(component, rule)
    params = shaped(component, spec.solver.params, problem.batch, problem.domain.dtype, problem.domain.device)
    component.bind(offers, params)
    refuse_unused(spec)
    refuse_rule(spec, offers)
    refuse_stop(spec, offers)
    direct = gives(component) is Solution
    probe = None
    needed = set() if chosen is None or direct else {n.name for n in rule.needs if not n.optional}
    if needed & {"dof", "log_lost"}:
        assert problem.codomain is not None
        signs = random_signs(problem.codomain, Rng(spec.seed, "rule/probe", spec.draws))
        probe = problem.codomain.expand(signs, problem.batch)
    if "dof" in component.traits.get("reports", ()) or "log_lost" in needed:
        offers["probe"], probe = probe, None
    stop = spec.stop.as_dict()

    def start() -> Any:
        if direct and chosen is not None:
            return _tuned(component, problem, offers, params, chosen)
        if "left_out" in needed:
            return folded(component, offers, params, **spec.rule.params)
        if probe is not None:
            return probed(component, offers, params, probe)
        return component.bind(offers, params)()

    return Drive(
        problem,
        start,
        (lambda _: 0) if direct else compile_stop(stop),
        1 if direct else largest_step(stop),
        used=(lambda _: 1.0) if direct else functools.partial(used, stop),
        rule=None if direct else chosen,
        record=spec.record,
        batch=problem.batch,
        cancelled=cancelled,
    )


#: entries of the iterates that candidates of a parameter may take at a time
_TUNED_AT_ONCE = 2**24


def _tuned(
    component: Component,
    problem: Problem,
    offers: Mapping[str, Any],
    params: Mapping[str, Any],
    rule: tuple[Component, Mapping[str, Any]],
) -> Solution:
    """Let a rule choose the parameter of a direct method, then solve with it."""
    knob, power = component.traits["tunes"]
    A, batch = offers["A"], problem.batch
    strongest = (A.norm() ** power).expand(batch)
    weakest = strongest * A.domain.eps**power

    def evaluate(values: Tensor) -> Mapping[str, Any]:
        return candidates(component, problem, offers, params, values, dict([rule]))

    chosen, resolved = select_parameter(*rule, evaluate, strongest, weakest)
    solution = solved(component, offers, params, chosen)
    solution.scalars |= {knob: chosen, "rule_resolved": resolved.to(chosen.dtype)}
    return solution


def solved(component: Component, offers: Mapping[str, Any], params: Mapping[str, Any], values: Tensor) -> Solution:
    """Return the solutions of a direct method for values of its parameter, shape ``(*values.shape, *shape)``."""
    data = offers["A"].codomain.expand(offers["y"], values.shape)
    return component.bind({**offers, "y": data}, {**params, component.traits["tunes"][0]: values})()


def candidates(
    component: Component,
    problem: Problem,
    offers: Mapping[str, Any],
    params: Mapping[str, Any],
    values: Tensor,
    judges: Mapping[Component, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what rules need to know of every candidate, a few at a time.

    Parameters
    ----------
    component : Component
        A direct method that has a parameter to choose.
    problem, offers, params : Problem, mapping, mapping
        What it is run on, and its other knobs.
    values : Tensor
        Candidates, shape ``(number, *batch)``.
    judges : mapping
        The rules, with their knobs.
    """
    at_once = max(1, _TUNED_AT_ONCE // max(1, problem.domain.size * math.prod(problem.batch)))
    offers, rows = {**offers, "details": on_request(component, *judges)}, []
    for part in values.split(at_once):
        solution = solved(component, offers, params, part)
        row = dict(solution.scalars)
        for rule in judges:
            row |= judged(rule, problem, solution)
            if "left_out" in [need.name for need in rule.needs]:
                row["left_out"] = predicted(component, offers, params, part, **judges[rule])
        rows.append(row)
    return {**offers, **{name: torch.cat([torch.as_tensor(row[name]) for row in rows]) for name in rows[0]}}


def finish(spec: RunSpec, drive: Drive) -> Run:
    """Collect what a drive kept into a run."""
    moments = drive.samples.moments
    picks = not moments.count and not drive.systems
    stopped, best = (_picked(pick) if picks else None for pick in (drive.stopped, drive.best))
    x = stopped.x if stopped is not None else None if drive.x is None else clone(drive.x)
    if drive.systems:
        last = [drive.systems[i] for i in sorted(drive.systems)]
        x = torch.stack(last) if isinstance(last[0], Tensor) else last
    return Run(
        spec=spec,
        problem=drive.problem,
        x=x,
        history={name: drive.history[name] for name in drive.history},
        costs=dict(drive.ledger.costs),
        watching=dict(drive.ledger.watching),
        reason=reasons(np.asarray(drive.codes.cpu() if isinstance(drive.codes, Tensor) else drive.codes)),
        stopped=stopped,
        best=best,
        snapshots=[Picked(x, k) for x, k in zip(drive.snapshots.iterates, drive.snapshots.steps, strict=True)],
        samples=torch.stack(drive.samples.kept) if drive.samples.kept else None,
        variance=moments.variance,
        r_hat=moments.r_hat,
        arrays=drive.arrays,
    )


def _picked(pick: Pick) -> Picked | None:
    """Return a pick with its step on the host; None where no sample has one."""
    step = pick.step.cpu().numpy() if isinstance(pick.step, Tensor) else np.asarray(pick.step)
    return Picked(pick.x, int(step) if step.ndim == 0 else step) if step.any() else None


def run(spec: RunSpec | str) -> Run:
    """Run a specification (or its JSON text) to its end.

    Examples
    --------
    >>> from explorer.engine.spec import RunSpec
    >>> result = run(RunSpec(problem={"name": "blocks", "params": {"size": 64}}, solver="cgls"))
    >>> result.x.shape
    torch.Size([64])
    """
    spec = RunSpec.from_json(spec) if isinstance(spec, str) else spec
    drive = prepare(spec)
    for _ in drive:
        pass
    return finish(spec, drive)


def stream(spec: RunSpec | str) -> Iterator[Snapshot]:
    """Run a specification step by step; every snapshot owns its iterate."""
    spec = RunSpec.from_json(spec) if isinstance(spec, str) else spec
    for snapshot in prepare(spec):
        snapshot.x = clone(snapshot.x)
        yield snapshot
