"""Work beside the kernel's main thread: the newest request wins."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

import torch

#: seconds after which a busy thread of Python lets another have its turn; five milliseconds are the default, and a
#: message of the page waits as long several dozen times
TURN = 5e-4


def take_turns() -> None:
    """Let what answers the page have its turn soon while a solver is busy."""
    sys.setswitchinterval(min(TURN, sys.getswitchinterval()))


class Latest:
    """Does the newest of the tasks given to it, one at a time, in a thread; an older one not yet begun is dropped."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._next: Callable[[], None] | None = None
        self._busy = False

    def __call__(self, task: Callable[[], None]) -> None:
        """Do `task` next."""
        with self._changed:
            self._next = task
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do; return whether that came within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout)

    def _work(self) -> None:
        torch.set_num_threads(1)  # as a job: two threads on a small transform are slower than one
        while True:
            with self._changed:
                task, self._next = self._next, None
                if task is None:
                    self._busy = False
                    self._changed.notify_all()
                    return
            try:
                task()
            except Exception:
                logging.getLogger(__name__).exception("a background task of the Explorer failed")
