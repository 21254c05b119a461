"""The ledger: named costs of a run, shared by everything that the run calls.

The driver opens a ledger around each step of a solver. Operators, denoisers and matrix products enter themselves by
:func:`count`; without an open ledger that costs next to nothing. Every entry is also the place where a cancel shows.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

#: seconds that a step may take to its end after a cancel, so that its iterate is a whole one
GRACE = 0.1


class Cancelled(Exception):
    """The person asked the run to stop."""


class Ledger:
    """Counts of named costs, and the flag that cancels.

    Parameters
    ----------
    names : mapping
        ``id(object) -> name``: which operators are counted, and as what.
    cancelled : threading.Event, optional
        Checked at every entry.

    Attributes
    ----------
    costs, watching : Counter
        What the method itself cost, and what looking at it cost.
    """

    def __init__(self, names: Mapping[int, str] | None = None, cancelled: threading.Event | None = None) -> None:
        self.names = dict(names or {})
        self.cancelled = cancelled or threading.Event()
        self.costs: Counter[str] = Counter()
        self.watching: Counter[str] = Counter()
        self._account = self.costs
        self._opened = -math.inf

    def add(self, name: str, times: int = 1) -> None:
        """Enter `times` uses of `name`."""
        self.check()
        self._account[name] += times

    def check(self) -> None:
        """Raise :class:`Cancelled` in a step that goes on for long after a cancel; a short one may come to its end."""
        if self.cancelled.is_set() and time.monotonic() - self._opened > GRACE:
            raise Cancelled

    @contextlib.contextmanager
    def open(self, watching: bool = False) -> Iterator[Ledger]:
        """Book everything inside to this ledger, under `watching` if so asked."""
        token, before = _current.set(self), self._account
        self._opened = time.monotonic()
        self._account = self.watching if watching else self.costs
        try:
            yield self
        finally:
            self._account = before
            _current.reset(token)


_current: ContextVar[Ledger | None] = ContextVar("ledger", default=None)


def count(name: str, times: int = 1) -> None:
    """Enter a named cost in the open ledger, if there is one."""
    ledger = _current.get()
    if ledger is not None:
        ledger.add(name, times)


def count_call(thing: object, suffix: str = "", name: str = "") -> None:
    """Enter a call of `thing` if the open ledger knows it, or under `name` if that is given."""
    ledger = _current.get()
    if ledger is not None:
        known = name or ledger.names.get(id(thing))
        if known:
            ledger.add(known + suffix)
        else:
            ledger.check()
