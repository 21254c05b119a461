"""A run in a background thread: progress, cancel, and updates at most ten times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from explorer.engine.advise import refuse_too_large
from explorer.engine.driver import Drive, Snapshot
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.run import Run, finish, prepare
from explorer.engine.spec import RunSpec

#: seconds between two updates
INTERVAL = 0.1


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come.

    Attributes
    ----------
    state : str
        ``building``, ``running``, ``done``, ``cancelled`` or ``failed``.
    step : int
    fraction, seconds, left : float
        Part of the budget used; solver time so far and the estimate of what is left, in seconds.
    costs : mapping
        Named costs so far.
    """

    state: str = "building"
    step: int = 0
    fraction: float = 0.0
    seconds: float = 0.0
    left: float = float("nan")
    costs: dict[str, int] = field(default_factory=dict)


class Job:
    """A run under way in a thread.

    Parameters
    ----------
    spec : RunSpec
        What to run.
    on_update : callable, optional
        Called in the job's thread with a :class:`Snapshot` at most ten times a second, once after the first step and
        once after the last; the snapshot's iterate is borrowed. An exception in it fails the job.
    on_end : callable, optional
        Called in the job's thread with this job when it has ended in any way.
    problem : Problem, optional
        Already built.

    Attributes
    ----------
    progress : JobProgress
    problem : Problem or None
        What is being solved, known from before the first update.
    error : BaseException or None
        What went wrong, once it has.
    """

    def __init__(
        self,
        spec: RunSpec,
        on_update: Callable[[Snapshot], None] | None = None,
        on_end: Callable[[Job], None] | None = None,
        problem: Problem | None = None,
    ) -> None:
        self.spec, self.progress = spec, JobProgress()
        self.error: BaseException | None = None
        self.problem = problem
        self._run: Run | None = None
        self._on_update, self._on_end = on_update, on_end
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._work, name="explorer-job", daemon=True)

    def start(self) -> Job:
        """Start the thread."""
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the run to stop; it does at its next counted call, and what it has found is kept."""
        self._cancelled.set()

    @property
    def done(self) -> bool:
        """Whether the run has ended in any way."""
        return self.progress.state in ("done", "cancelled", "failed")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end and for `on_end`, which need not wait; return whether it came within `timeout` seconds."""
        if threading.current_thread() is self._thread:
            return self.done
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self, timeout: float | None = None) -> Run:
        """Wait for the run and return it.

        Raises
        ------
        TimeoutError
            If it has not ended within `timeout` seconds.
        SpecError
            What went wrong, if it failed.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"the run has not ended within {timeout:g} s: wait longer or cancel it")
        if self.error is not None:
            raise self.error
        assert self._run is not None
        return self._run

    def _work(self) -> None:
        torch.set_flush_denormal(True)
        torch.set_num_threads(1)
        state = "failed"
        try:
            drive = prepare(self.spec, self.problem, self._cancelled)
            refuse_too_large(self.spec, drive.problem)
            self.problem = drive.problem
            self._advance(drive)
            self._run = finish(self.spec, drive)
            state = "cancelled" if drive.ended is Reason.CANCELLED else "done"
        except BaseException as error:
            self.error = error
        finally:
            self.progress = JobProgress(**{**vars(self.progress), "state": state, "left": 0.0})
            if self._on_end is not None:
                self._on_end(self)

    def _advance(self, drive: Drive) -> None:
        published, snapshot, shown = -INTERVAL, None, True
        for snapshot in drive:
            now = time.monotonic()
            shown = now - published >= INTERVAL
            if shown:
                published = now
                self._publish(snapshot)
            time.sleep(0)  # lets other threads of Python have their turn
        if snapshot is not None and not shown:
            self._publish(snapshot, told=not self._cancelled.is_set())  # who cancels waits for the result alone

    def _publish(self, s: Snapshot, told: bool = True) -> None:
        self.progress = JobProgress("running", s.step, s.fraction, s.seconds, s.left, dict(s.costs))
        if told and self._on_update is not None:
            self._on_update(s)


def start(spec: RunSpec | str, **callbacks: Any) -> Job:
    """Start a specification in a background thread; see :class:`Job`."""
    return Job(RunSpec.from_json(spec) if isinstance(spec, str) else spec, **callbacks).start()
