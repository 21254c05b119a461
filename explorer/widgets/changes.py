"""What was changed: taken back and made again; and the wait until changes have come to rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from explorer.engine.spec import RunSpec

#: seconds within which changes of one control are taken back together: a drag is one change
TOGETHER = 0.7


class Changes:
    """The specifications that were, and those that were taken back."""

    def __init__(self) -> None:
        self.past: list[RunSpec] = []
        self.future: list[RunSpec] = []
        self._last, self._by = -TOGETHER, ""

    def enter(self, before: RunSpec, by: str = "") -> None:
        """Remember what was there before a change, and which control made it."""
        now = time.monotonic()
        if now - self._last > TOGETHER or not by or by != self._by or not self.past:
            self.past.append(before)
        self._last, self._by = now, by
        self.future.clear()

    def undo(self, now: RunSpec) -> RunSpec:
        """Return what was there before the last change; `now` if there was none."""
        if not self.past:
            return now
        self.future.append(now)
        return self.past.pop()

    def redo(self, now: RunSpec) -> RunSpec:
        """Return what was taken back last; `now` if there is nothing."""
        if not self.future:
            return now
        self.past.append(now)
        return self.future.pop()


class Rest:
    """Calls once when nothing has been asked for during some seconds."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def __call__(self, seconds: float, work: Callable[[], None]) -> None:
        """Do `work` after so many seconds instead of what waits already."""
        self.cancel()
        self._timer = threading.Timer(seconds, work)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Forget what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
