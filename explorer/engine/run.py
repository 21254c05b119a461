"""A run: what was asked, what happened, and the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Component, SpecError, rules, solvers
from explorer.engine.build import build
from explorer.engine.driver import Drive, Snapshot, refuse_unreported
from explorer.engine.history import History
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.spec import RunSpec
from explorer.engine.stops import compile_stop, largest_step
from explorer.linalg import Rng
from explorer.rules.select import select_parameter
from explorer.solvers.steps import Draw, Solution


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

    @property
    def metrics(self) -> dict[str, Any]:
        """Relative error, PSNR and SSIM of the answer (per sample), as far as there is a truth."""
        from explorer.engine.metrics import metrics

        return metrics(self.problem, self.x)

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
        If the solver cannot work on this problem; nothing has been computed then.
    """
    problem = build(spec) if problem is None else problem
    component, rule = solvers[spec.solver.name], rules[spec.rule.name]
    chosen = None if rule.traits["picks"] == "none" else (rule, spec.rule.params)
    if chosen is not None:
        if component.gives in (Solution,) and "tunes" not in component.traits:
            raise SpecError(f"{component.title} has no parameter for a rule to choose: set the rule to 'fixed'", "rule")
        if not issubclass(_given(component), Solution):
            if issubclass(_given(component), Draw):
                raise SpecError(f"{component.title} draws samples: no rule applies, set the rule to 'fixed'", "rule")
            refuse_unreported(rule, component)
    batch, params, offers = _batched(component, spec, problem)
    offers["rng"] = Rng(spec.seed, f"solver/{component.name}", batch[0] if len(batch) == 1 else None)
    component.bind(offers, params)

    def start() -> Any:
        if chosen is not None and issubclass(_given(component), Solution):
            return _tuned(component, offers, params, chosen)
        return component.bind(offers, params)()

    direct = issubclass(_given(component), Solution)
    reports = None if direct else component.traits.get("reports", ())
    return Drive(
        problem,
        start,
        compile_stop(spec.stop.as_dict(), reports, None if direct else problem.offers),
        1 if direct else largest_step(spec.stop.as_dict()),
        rule=None if direct else chosen,
        record=spec.record,
        batch=batch,
        cancelled=cancelled,
    )


def _given(component: Component) -> type:
    """Return whether a solver gives steps, draws or a solution."""
    import typing

    inner = typing.get_args(component.gives)
    given = inner[0] if inner else component.gives
    if not isinstance(given, type):
        raise SpecError(
            f"{component.title} must declare what it gives: Iterator[Step], Iterator[Draw] or Solution",
            "solver",
        )
    return given


def _batched(
    component: Component, spec: RunSpec, problem: Problem
) -> tuple[tuple[int, ...], dict[str, Any], dict[str, Any]]:
    """Shape batched knobs: a list of values becomes a new leading batch dimension of the data and the start."""
    batch, params, offers = problem.batch, dict(spec.solver.params), dict(problem.offers)
    lists = {k: v for k, v in params.items() if isinstance(v, tuple | list) and component.knobs[k].batched}
    sizes = {len(v) for v in lists.values()}
    if len(sizes) > 1:
        raise SpecError(
            f"the lists of {', '.join(lists)} differ in length, and must have one value a sample",
            "solver.params",
        )
    for name, values in lists.items():
        tensor = torch.tensor(values, dtype=_real(problem), device=problem.domain.device)
        params[name] = tensor.reshape(-1, *(1,) * len(batch)).expand(-1, *batch)
    batch = (*sizes, *batch)
    if sizes and problem.y is not None:
        offers["y"] = problem.codomain.expand(problem.y, batch)
    if "x0" in offers:
        offers["x0"] = problem.domain.expand(offers["x0"], batch)
    return batch, params, offers


def _real(problem: Problem) -> torch.dtype:
    from explorer.linalg.spaces import real_dtype

    return real_dtype(problem.domain.dtype)


def _tuned(
    component: Component,
    offers: Mapping[str, Any],
    params: Mapping[str, Any],
    rule: tuple[Component, Mapping[str, Any]],
) -> Solution:
    """Let a rule choose the parameter of a direct method, then solve with it."""
    knob, power = component.traits["tunes"]
    A, y = offers["A"], offers["y"]
    batch = A.codomain.batch(y)

    def solve(values: Tensor) -> Solution:
        data = y.expand(*values.shape[: values.ndim - len(batch)], *y.shape)
        return component.bind({**offers, "y": data}, {**params, knob: values})()

    def evaluate(values: Tensor) -> Mapping[str, Any]:
        return {**offers, **solve(values).scalars}

    strongest = (A.norm() ** power).expand(batch)
    weakest = strongest * A.domain.eps**power
    chosen, resolved = select_parameter(*rule, evaluate, strongest, weakest)
    solution = solve(chosen)
    solution.scalars |= {knob: chosen, "rule_resolved": resolved.to(chosen.dtype)}
    return solution


def finish(spec: RunSpec, drive: Drive) -> Run:
    """Collect what a drive kept into a run."""
    codes = drive.codes.cpu().numpy()
    picked = drive.stopped.x is not None and not drive.moments.count
    stopped = Picked(drive.stopped.x, _host(drive.stopped.step)) if picked else None
    best = (
        Picked(drive.best.x, _host(drive.best.step)) if drive.best.x is not None and not drive.moments.count else None
    )
    x = stopped.x if stopped is not None else drive.x.clone() if drive.x is not None else None
    if drive.systems:
        last = [drive.systems[i] for i in sorted(drive.systems)]
        x = torch.stack(last) if isinstance(last[0], Tensor) else last
        stopped = best = None
    return Run(
        spec=spec,
        problem=drive.problem,
        x=x,
        history=_settled(drive.history),
        costs=dict(drive.ledger.costs),
        watching=dict(drive.ledger.watching),
        reason=Reason(int(codes)) if codes.ndim == 0 else _reasons(codes),
        stopped=stopped,
        best=best,
        snapshots=[Picked(x, k) for x, k in zip(drive.snapshots.iterates, drive.snapshots.steps, strict=True)],
        samples=torch.stack(drive.samples) if drive.samples else None,
        variance=drive.moments.variance if drive.moments.count > 1 else None,
        r_hat=drive.moments.r_hat if drive.moments.count else None,
        arrays=drive.arrays,
    )


def _settled(history: History) -> dict[str, Any]:
    return {name: history[name] for name in history}


def _host(step: Tensor | None) -> Any:
    if step is None:
        return None
    return int(step) if step.ndim == 0 else step.cpu().numpy()


def _reasons(codes: Any) -> Any:
    made = np.empty(codes.shape, dtype=object)
    for index in np.ndindex(codes.shape):
        made[index] = Reason(int(codes[index]))
    return made


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
        snapshot.x = snapshot.x.clone()
        yield snapshot
