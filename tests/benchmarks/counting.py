"""Counts of what one step of a solver does: they depend on the code and on nothing else."""

from __future__ import annotations

import copy
import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from explorer.engine.run import prepare
from explorer.engine.spec import Choice
from explorer.linalg import Ledger
from explorer.operators.base import SVD
from explorer.solvers.steps import Solution
from tests.benchmarks.cases import begin, offers, problem_for, spec_for

#: steps before the count begins, and steps counted
FIRST, COUNTED = 2, 4
#: operations that wait for the device to tell the host a value
READS = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "_unique2", "item"}
#: what operators, priors, preconditioners and noise models do is counted by their calls, not by what is within
METHODS = (
    *("_forward", "_adjoint", "svd", "linearize", "partial", "gram_diagonal", "norm"),
    *("value", "prox", "gradient", "gradient_lipschitz", "dual_prox", "denoise"),
)


class Counter(TorchDispatchMode):
    """Counts operations, those on vectors, reads by the host, and the most memory held at a time.

    Parameters
    ----------
    size : int
        Number of entries from which a tensor is a vector.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.calls = self.passes = self.reads = self.held = self.peak = 0
        self._quiet = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.name().removeprefix("aten::").partition(".")[0]
        tensors = [t for t in _leaves((args, kwargs, result)) if isinstance(t, Tensor)]
        self.reads += name in READS
        if not self._quiet:
            self.calls += 1
            self.passes += not function.is_view and any(t.numel() >= self.size for t in tensors)
        for t in _leaves(result):
            if isinstance(t, Tensor) and t.layout is torch.strided:
                self._hold(t.untyped_storage())
        return result

    def _hold(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()

        def release(_: Any) -> None:
            self.held -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, release)
        self.held += size
        if not self._quiet:
            self.peak = max(self.peak, self.held)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Count nothing within."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1
            self.peak = max(self.peak, self.held)


def _leaves(thing: Any) -> Iterator[Any]:
    if isinstance(thing, list | tuple):
        for part in thing:
            yield from _leaves(part)
    elif isinstance(thing, dict):
        yield from _leaves(list(thing.values()))
    else:
        yield thing


def hushed(thing: Any, counter: Counter) -> Any:
    """Return a copy of an operator, prior, … within whose methods nothing is counted but the memory of results."""
    if isinstance(thing, SVD):
        return SVD(hushed(thing.U, counter), thing.s, hushed(thing.V, counter))
    if isinstance(thing, tuple):
        return tuple(hushed(part, counter) for part in thing)
    if not hasattr(thing, "_movable"):
        return thing
    made = copy.copy(thing)

    def hush(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with counter.quiet():
                result = method(*args, **kwargs)
            parts = result if isinstance(result, tuple) else (result,)
            same = [made if part is thing else hushed(part, counter) for part in parts]
            return tuple(same) if isinstance(result, tuple) else same[0]

        return call

    for name in METHODS:
        if hasattr(type(thing), name):
            setattr(made, name, hush(getattr(thing, name)))
    return made


@functools.cache
def counts(solver: str) -> dict[str, Any]:
    """Return per step: named costs, torch calls, passes over vectors, reads by the host, vectors held at the most.

    A direct method is one step.
    """
    spec, problem = spec_for(solver), problem_for(solver)
    counter = Counter(min(s.size for s in getattr(problem.domain, "spaces", (problem.domain,))))
    made = {id(thing): hushed(thing, counter) for thing in problem.offers.values()}  # one object may have two names
    given = {name: made.get(id(thing), thing) for name, thing in offers(spec, problem).items()}
    ledger = Ledger({id(given[name]): name for name in ("F", "A") if name in given})

    def count(work: Callable[[], Any]) -> Any:
        gc.disable()  # what cycles hold stays, instead of being freed at any time
        try:
            with torch.no_grad(), ledger.open(), counter:
                return work()
        finally:
            gc.enable()

    steps, number = count(lambda: begin(spec, problem, given)), 1
    if not isinstance(steps, Solution):
        for _ in range(FIRST):
            count(lambda: next(steps))
        ledger.costs.clear()
        counter.calls = counter.passes = counter.reads = 0
        counter.peak = counter.held
        number = sum(count(lambda: next(steps, None)) is not None for _ in range(COUNTED))
    unit = problem.domain.size * problem.domain.dtype.itemsize
    found = {"calls": counter.calls, "passes": counter.passes, "reads": counter.reads}
    return {
        "costs": {name: round(times / number, 2) for name, times in sorted(ledger.costs.items())},
        **{name: round(n / number, 2) for name, n in found.items()},
        "vectors": round(counter.peak / unit, 1),
    }


def watching() -> dict[str, Any]:
    """Return what the driver adds to a step of CGLS: error, best iterate, history and a stop rule on the residual."""
    spec = spec_for("cgls").replace(stop=Choice("budget", steps=FIRST + COUNTED) | Choice("discrepancy", tau=0.1))
    problem = problem_for("cgls")
    counter = Counter(problem.domain.size)
    drive, numbers = prepare(spec.replace(record={"snapshots": 0}), problem), []
    with counter:
        for _ in drive:
            numbers.append((counter.calls, counter.passes, counter.reads))
    last, first = numbers[-1], numbers[FIRST - 1]
    calls, passes, reads = ((b - a) / COUNTED for a, b in zip(first, last, strict=True))
    whole = {"calls": calls, "passes": passes, "reads": reads}
    bare = _bare_cgls()
    return {name: round(whole[name] - bare[name], 2) for name in whole}


def _bare_cgls() -> dict[str, float]:
    spec, problem = spec_for("cgls"), problem_for("cgls")
    counter = Counter(problem.domain.size)
    with torch.no_grad():
        steps = begin(spec, problem, offers(spec, problem))
        for _ in range(FIRST):
            next(steps)
        with counter:
            for _ in range(COUNTED):
                next(steps)
    return {name: getattr(counter, name) / COUNTED for name in ("calls", "passes", "reads")}


__all__ = ["Counter", "counts", "watching"]
