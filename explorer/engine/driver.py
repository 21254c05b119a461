"""The driver: it advances a solver and owns everything that a solver must not know.

Stop rules, the rule's and the best iterate, history, snapshots, the ledger, cancel, and progress. One loop serves
iterative methods, direct methods, samplers and sequences of systems.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import Component
from explorer.engine.fit import judged
from explorer.engine.history import History
from explorer.engine.picks import Pick, Samples, Snapshots
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.spec import Record
from explorer.engine.stops import Code, Progress
from explorer.linalg import Cancelled, Ledger, clone, copy_
from explorer.linalg.ledger import GRACE
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
    used : callable
        The part of the budget that a progress has used up.
    rule : (Component, params), optional
        Parameter rule that picks an iterate.
    record : Record
        What to keep.
    batch : tuple of int
        Batch dimensions of the iterates.
    cancelled : threading.Event, optional
        Set to end the run.

    Attributes
    ----------
    x : Tensor, Blocks or None
        The present iterate.
    stopped, best : Pick
        The iterate at which each sample stopped, and the one nearest to the truth.
    codes : int or Tensor
        The :class:`Reason` of every sample, 0 while it goes on.
    ended : Reason
        Why the run as a whole ended.
    """

    def __init__(
        self,
        problem: Problem,
        start: Callable[[], Any],
        stop: Callable[[Progress], Code],
        last: int,
        *,
        used: Callable[[Progress], float],
        rule: tuple[Component, Mapping[str, Any]] | None = None,
        record: Record | None = None,
        batch: tuple[int, ...] = (),
        cancelled: threading.Event | None = None,
    ) -> None:
        self.problem, self.record, self.batch = problem, record or Record(), batch
        self._start, self._stop, self._last, self._used, self._rule = start, stop, last, used, rule
        names = {id(problem.F): "F"} | {id(problem.A): "A"}  # one object may be both
        names.pop(id(None), None)
        self.ledger = Ledger(names, cancelled)
        self._device = problem.domain.device
        # one sample on the CPU is followed with numbers, which cost nothing to look at; all others with tensors
        self._single = self._device.type == "cpu" and not batch
        self.history = History()
        self.stopped, self.best = Pick(), Pick()
        self.snapshots = Snapshots(self.record.snapshots, last)
        self.samples = Samples(self.record.snapshots, self.record.warmup, last)
        self.systems: dict[int, Any] = {}
        self.arrays: list[Mapping[str, Tensor]] = []
        self.codes: Any = 0 if self._single else torch.zeros(batch, dtype=torch.int8, device=self._device)
        self.x: Any = None
        self.seconds = 0.0
        self.ended = Reason.RUNNING
        self._unread = False
        self._read_at = 0.0
        self._least: dict[str, float | Tensor] = {}
        self._before: Any = None  # the iterate before, for rules that look at changes
        self._changes = rule is not None and "sensitivity" in [need.name for need in rule[0].needs]
        known = problem.offers.get
        self._progress = Progress(data_norm=known("data_norm"), noise_norm=known("noise_norm"))

    # --- the loop ---

    def __iter__(self) -> Iterator[Snapshot]:
        self._read_at = time.perf_counter()
        try:
            given = self._timed(self._start)
            direct = isinstance(given, Solution)
            steps = iter((given,)) if direct else given
            while not self._over():
                step = self._advance(steps)
                if step is None:
                    self._end(Reason.FINISHED)
                    break
                self._look(step)
                if direct:
                    self._end(Reason.SOLVED)
                yield self._snapshot()
                if self.ledger.cancelled.is_set() and not self._over():
                    raise Cancelled
        except Cancelled:
            self._end(Reason.CANCELLED)

    def _timed(self, work: Callable[..., Any], *arguments: Any) -> Any:
        begun = time.perf_counter()
        try:
            with torch.no_grad(), self.ledger.open():
                return work(*arguments)
        finally:
            self.seconds += time.perf_counter() - begun

    def _advance(self, steps: Iterator[Step]) -> Step | None:
        """Return the next step. A cancel may interrupt a long one, so its iterate is copied before."""
        long = self.x is not None and self.seconds > GRACE / 2 * self.history.steps
        kept = clone(self.x) if long else self.x
        try:
            return self._timed(next, steps, None)
        except Cancelled:
            self.x = kept
            raise

    @torch.no_grad()
    def _look(self, step: Step) -> None:
        """Enter one step: picks, history, error, rule, stop rule."""
        with self.ledger.open(watching=True):
            for name, times in (step.cost or {}).items():
                self.ledger.costs[name] += times
            row = {name: self._number(value) for name, value in step.scalars.items()}
            k = self.history.steps + 1
            if isinstance(step, Draw):
                self.x = self.samples.add(step.x, k)
            else:
                self.x = step.x
                self.snapshots.offer(step.x, k)
            if step.system is not None:
                row["system"] = step.system
                self._keep_system(step)
            if step.arrays and self.record.bases:
                self.arrays.append({name: a.clone() for name, a in step.arrays.items()})
            distance = self.problem.distance(self.x, step.system)
            if distance is not None:
                error = row["error"] = self._number(distance)
                if not isinstance(step, Draw):
                    self._keep_least(self.best, "error", error, k)
            row |= self.ledger.costs
            row["seconds"] = self.seconds
            self.history.append(row)
            self._judge(step, row, k)

    def _keep_system(self, step: Step) -> None:
        if step.system in self.systems:
            copy_(self.systems[step.system], step.x)
        else:
            self.systems[step.system] = clone(step.x)  # type: ignore[index]
            self._progress.past.clear()  # another system's residuals are no measure of progress

    def _number(self, value: Any) -> Any:
        """Return a scalar as it is followed: on the host for a single sample there, else as it is."""
        return value.item() if self._single and isinstance(value, Tensor) and value.ndim == 0 else value

    def _keep_least(self, pick: Pick, name: str, value: Any, k: int) -> None:
        """Let `pick` keep the iterate of least `value`, NaN never being less."""
        least = self._least.get(name, math.inf)
        better = value < least
        pick.take(better, self.x, k)
        self._least[name] = (value if better else least) if self._single else torch.where(better, value, least)

    def _judge(self, step: Step, row: Mapping[str, Any], k: int) -> None:
        progress = self._progress
        progress.step, progress.seconds, progress.cost = k, self.seconds, self.ledger.costs.total()
        if "residual" in step.scalars:
            progress.residual = torch.as_tensor(step.scalars["residual"])
            progress.past.append(progress.residual)
        for name in ("residual", "objective"):
            if name in row:
                value = row[name]
                broken = ~torch.isfinite(value) if isinstance(value, Tensor) else not math.isfinite(value)
                self._mark(broken, Reason.BREAKDOWN, k)
        if self._rule is not None:
            self._apply_rule(step, k)
        code = self._stop(progress)
        if isinstance(code, Tensor):
            self._mark(code > 0, code, k)
        elif code:
            self._end(Reason(code))

    def _apply_rule(self, step: Step, k: int) -> None:
        assert self._rule is not None
        component, params = self._rule
        offers = {**self.problem.offers, **step.scalars, **judged(component, self.problem, step, k, self._before)}
        if self._changes:
            self._before = clone(step.x) if self._before is None else copy_(self._before, step.x)
        scores = self._number(score(component, params, offers))
        if not self._picks_minimum:
            self._mark(scores <= 0, Reason.RULE, k)
            return
        if self._single:
            scores = math.inf if self.codes else scores
        else:
            scores = torch.where(self.codes == 0, scores, math.inf)
        self._keep_least(self.stopped, "score", scores, k)
        self._mark((self.stopped.step > 0) & (k - self.stopped.step >= PATIENCE), Reason.RULE, k)

    # --- the end ---

    @property
    def _picks_minimum(self) -> bool:
        return self._rule is not None and self._rule[0].traits["picks"] == "minimum"

    def _mark(self, mask: Any, code: int | Tensor, k: int) -> None:
        """Stop, for the reason `code`, the samples where `mask` holds and that had not stopped before."""
        if self._single:
            if not mask or self.codes:
                return
            newly, self.codes = True, int(code)
        else:
            newly = mask & (self.codes == 0)
            self.codes = torch.where(newly, code, self.codes).to(torch.int8)
        self._unread = True
        if self.x is not None and not self._picks_minimum:
            self.stopped.take(newly, self.x, k)

    def _end(self, reason: Reason) -> None:
        """End the run; `reason` is that of the samples which had not stopped before."""
        if self.ended:
            return
        self.ended, k = reason, self.history.steps
        self._mark(True if self._single else torch.ones_like(self.codes, dtype=torch.bool), reason, k)
        if self.x is None:
            return
        if self._picks_minimum:
            self.stopped.take(self.stopped.step == 0, self.x, k)  # nothing was ever least: the last iterate
        self.snapshots.end(self.x, k)

    def _over(self) -> bool:
        """Say whether the run has ended; the mask of the samples is read every step on the CPU, else now and then."""
        if self.ended:
            return True
        if self.history.steps >= self._last:
            self._end(Reason.STEPS)
        elif not self.record.keep_going and self._unread and self._readable():
            self._unread = False
            if self.codes if isinstance(self.codes, int) else bool((self.codes > 0).all()):
                self._end(Reason.FINISHED)
        return bool(self.ended)

    def _readable(self) -> bool:
        if self._device.type in ("cpu", "meta"):
            return self._device.type == "cpu"
        now, before = time.perf_counter(), self._read_at
        if now - before >= READ_EVERY:
            self._read_at = now
        return now - before >= READ_EVERY

    def _snapshot(self) -> Snapshot:
        fraction = self._used(self._progress)
        left = self.seconds * (1 - fraction) / fraction if fraction else float("nan")
        return Snapshot(self.history.steps, self.x, self.history, fraction, self.seconds, left, self.ledger.costs)
