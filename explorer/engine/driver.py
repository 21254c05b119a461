"""The driver: it advances a solver and owns everything that a solver must not know.

Stop rules, the rule's and the best iterate, history, snapshots, the ledger, cancel, and progress. One loop serves
iterative methods, direct methods, samplers and sequences of systems.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import Component, SpecError
from explorer.engine.history import History
from explorer.engine.picks import Moments, Pick, Snapshots
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.spec import Record
from explorer.engine.stops import Code, Progress
from explorer.linalg import Cancelled, Ledger
from explorer.rules.select import score
from explorer.solvers.steps import Draw, Solution, Step

#: on a GPU, seconds between two reads of the mask of finished samples
READ_EVERY = 0.05
#: steps after a minimum at which a rule that looks for one is believed
PATIENCE = 20


@dataclass
class Snapshot:
    """The state of a run after a step, borrowed until the next one.

    Attributes
    ----------
    step : int
        Number of steps done.
    x : Tensor or Blocks
        The present iterate.
    history : History
        All scalars so far.
    fraction, seconds, left : float
        Part of the budget used, solver time so far, and an estimate of what is left; in seconds.
    costs : mapping
        Named costs so far.
    """

    step: int
    x: Any
    history: History
    fraction: float
    seconds: float
    left: float
    costs: Mapping[str, int]


class Drive:
    """One run under way; iterate over it for a snapshot after every step, then read what it kept.

    Parameters
    ----------
    problem : Problem
        What the answer is compared with.
    start : callable
        Starts the solver: returns a solution, or an iterator of steps or draws.
    stop : callable
        Compiled stop rule.
    last : int
        Step at which the run ends at the latest.
    rule : (Component, params), optional
        Parameter rule that picks an iterate.
    record : Record
        What to keep.
    batch : tuple of int
        Batch dimensions of the iterates.
    """

    def __init__(
        self,
        problem: Problem,
        start: Callable[[], Any],
        stop: Callable[[Progress], Code],
        last: int,
        *,
        rule: tuple[Component, Mapping[str, Any]] | None = None,
        record: Record | None = None,
        batch: tuple[int, ...] = (),
        cancelled: threading.Event | None = None,
    ) -> None:
        self.problem, self.record, self.batch = problem, record or Record(), batch
        self._start, self._stop, self._last, self._rule = start, stop, last, rule
        names = {id(problem.F): "F"} if problem.F is not None else {}
        if problem.A is not None:
            names = {id(problem.A): "A"}
        self.ledger = Ledger(names, cancelled)
        device = getattr(problem.domain, "device", torch.device("cpu"))
        self._on_host = device.type == "cpu" and not batch
        self.history = History()
        self.stopped, self.best = Pick(self._on_host), Pick(self._on_host)
        self.snapshots = Snapshots(self.record.snapshots, last)
        self.moments = Moments()
        self.samples: list[Tensor] = []
        self.systems: dict[int, Any] = {}
        self.arrays: list[Mapping[str, Tensor]] = []
        self.codes = torch.zeros(batch, dtype=torch.int8, device=device)
        self.x: Any = None
        self.seconds = 0.0
        self._least_error: Tensor | None = None
        self._least_score: Tensor | None = None
        self._read_at = 0.0
        self._progress = Progress(**{name: problem.offers.get(name) for name in ("data_norm", "noise_norm")})

    # --- the loop ---

    def __iter__(self) -> Iterator[Snapshot]:
        self._read_at = time.perf_counter()
        try:
            given = self._timed(self._start)
            steps = iter((given,)) if isinstance(given, Solution) else given
            while not self._done():
                step = self._timed(lambda: next(steps, None))
                if step is None:
                    self._end(Reason.FINISHED)
                    break
                self._look(step, isinstance(given, Solution))
                yield self._snapshot()
                if isinstance(given, Solution):
                    break
                if self.ledger.cancelled.is_set():
                    raise Cancelled
        except Cancelled:
            self._end(Reason.CANCELLED)
        if self.x is not None:
            self.snapshots.force(self.x, self.history.steps)

    def _timed(self, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        try:
            with torch.no_grad(), self.ledger.open():
                return work()
        finally:
            self.seconds += time.perf_counter() - begun

    @torch.no_grad()
    def _look(self, step: Step, direct: bool) -> None:
        """Enter one step: history, error, stop rules, picks."""
        with self.ledger.open(watching=True):
            for name, times in (step.cost or {}).items():
                self.ledger.costs[name] += times
            row: dict[str, Any] = dict(step.scalars)
            k = self.history.steps + 1
            if isinstance(step, Draw):
                self._keep_draw(step, k)
                self.x = self.moments.mean if self.moments.count else step.x.mean(0)
            else:
                self.x = step.x
                self.snapshots.offer(step.x, k)
            if step.system is not None:
                row["system"] = float(step.system)
                self.systems[step.system] = step.x.clone()
            if step.arrays and self.record.bases:
                self.arrays.append({name: a.clone() for name, a in step.arrays.items()})
            error = self.problem.distance(self.x, step.system)
            if error is not None:
                row["error"] = error
                self._keep_best(error, k)
            row |= {name: float(n) for name, n in self.ledger.costs.items()}
            row["seconds"] = self.seconds
            self.history.append(row)
            if direct:
                self._mark(torch.full_like(self.codes, int(Reason.SOLVED)), k)
            else:
                self._judge(step, k)

    def _judge(self, step: Step, k: int) -> None:
        progress, residual = self._progress, step.scalars.get("residual")
        progress.step, progress.seconds = k, self.seconds
        progress.cost = sum(self.ledger.costs.values())
        if isinstance(residual, Tensor):
            progress.residual = residual
            progress.past.append(residual)  # type: ignore[attr-defined]
            if not self._on_host or not bool(torch.isfinite(residual)):
                self._mark((~torch.isfinite(residual)).to(torch.int8) * int(Reason.BREAKDOWN), k)
        if self._rule is not None:
            self._apply_rule(step, k)
        code = self._stop(progress)
        if isinstance(code, Tensor):
            self._mark(code, k)
        elif code:
            self._end(Reason(code), k)

    def _apply_rule(self, step: Step, k: int) -> None:
        component, params = self._rule  # type: ignore[misc]
        offers = {**self.problem.offers, **step.scalars}
        scores = score(component, params, offers)
        if component.traits["picks"] == "first":
            self._mark((scores <= 0).to(torch.int8) * int(Reason.RULE), k)
            return
        if self._least_score is None:
            self._least_score = torch.full_like(scores, torch.inf)
        better = (scores < self._least_score) & (self.codes == 0)
        self._least_score = torch.where(better, scores, self._least_score)
        self.stopped.take(better, self.x, k)
        over = (k - self.stopped.step >= PATIENCE) & (self.codes == 0)  # type: ignore[operator]
        self.codes = torch.where(over, int(Reason.RULE), self.codes)

    def _keep_best(self, error: Tensor, k: int) -> None:
        if self._least_error is None:
            self._least_error = torch.full_like(error, torch.inf)
        better = error < self._least_error
        self.best.take(better, self.x, k)
        self._least_error = torch.where(better, error, self._least_error)

    def _keep_draw(self, draw: Step, k: int) -> None:
        if k > self.record.warmup:
            self.moments.add(draw.x)
            every = max(1, (self._last - self.record.warmup) // max(self.record.snapshots, 1))
            if self.record.snapshots and (k - self.record.warmup) % every == 0:
                self.samples.append(draw.x.clone())

    def _mark(self, code: Tensor, k: int) -> None:
        """Stop the samples where `code` is not 0 and that had not stopped before."""
        if self._on_host and not bool(code):
            return
        newly = (self.codes == 0) & (code > 0)
        if self._rule is None or self._rule[0].traits["picks"] == "first":
            self.stopped.take(newly, self.x, k)
        self.codes = torch.where(newly, code.to(torch.int8), self.codes)

    def _end(self, reason: Reason, k: int = 0) -> None:
        """End the run for all samples that had not stopped before."""
        if self.x is not None:
            self._mark(torch.full_like(self.codes, int(reason)), k or self.history.steps)
        self._over = True

    _over = False

    def _done(self) -> bool:
        if self._over or self.history.steps >= self._last:
            return True
        if self.record.keep_going:
            return False
        if self.codes.device.type != "cpu":
            now = time.perf_counter()
            if now - self._read_at < READ_EVERY:
                return False
            self._read_at = now
        return bool((self.codes > 0).all())

    def _snapshot(self) -> Snapshot:
        k = self.history.steps
        fraction = min(1.0, k / self._last)
        left = self.seconds * (1 - fraction) / fraction
        return Snapshot(k, self.x, self.history, fraction, self.seconds, left, self.ledger.costs)


def refuse_unreported(rule: Component, solver: Component) -> None:
    """Refuse a rule that needs a scalar which the solver does not report."""
    for need in rule.needs:
        if need.name in ("residual", "dof", "solution_norm") and need.name not in solver.traits.get("reports", ()):
            raise SpecError(f"{rule.title} needs the {need.says}, which {solver.title} does not report", "rule")
