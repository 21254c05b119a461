"""From a specification to a problem: truth, operator, noise, data, prior, preconditioner, in that order."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import SHELVES, SpecError
from explorer.engine.problem import Problem, space_of
from explorer.engine.spec import Choice, RunSpec, canonical
from explorer.linalg import Blocks, Rng, Space, convert
from explorer.operators.base import LinearOperator
from explorer.problems.base import Truth

#: largest number of unknowns or data that is built
MAX_ENTRIES = 2**26


class _Recent:
    """The last few things made, by key: problems and operators are immutable and shared between runs."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._items: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        made = make()
        with self._lock:
            self._items[key] = made
            while len(self._items) > self._size:
                self._items.popitem(last=False)
        return made


_truths, _operators = _Recent(16), _Recent(4)


def dtype_of(spec: RunSpec) -> torch.dtype:
    """Return the torch dtype of a specification."""
    return getattr(torch, spec.dtype)


def device_of(spec: RunSpec) -> torch.device:
    """Return the device of a specification.

    Raises
    ------
    SpecError
        If this machine has no such device.
    """
    device = torch.device(spec.device)
    present = {
        "cpu": True,
        "meta": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present[device.type] or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise SpecError(f"is {spec.device!r}, and this machine has no such device: use 'cpu'", "device")
    return device


def make(choice: Choice, kind: str, offers: Mapping[str, Any], spec: RunSpec, draws: int | None = None) -> Any:
    """Build one component with its own random stream."""
    component = SHELVES[kind][choice.name]
    stream = {"rng": Rng(spec.seed, f"{kind}/{choice.name}", draws)}
    return component.bind({**offers, **stream}, choice.params)()


def build(spec: RunSpec) -> Problem:
    """Build the problem of a specification.

    Parameters
    ----------
    spec : RunSpec
        On device ``meta`` everything is shaped and nothing is computed.

    Raises
    ------
    SpecError
        If a component refuses what it is given, the device is absent, or the problem is too large.
    """
    device, dtype = device_of(spec), dtype_of(spec)
    truth = _truth(spec, device, dtype)
    domain = truth.domain if truth.domain is not None else space_of(truth.x)
    _refuse_huge(domain.size, "unknowns", "problem")
    offers: dict[str, Any] = {"domain": domain, **truth.offers}
    draws = () if spec.draws is None else (spec.draws,)
    clean = None
    if spec.operator is not None:
        model = _operator(spec, offers)
        _refuse_huge(model.codomain.size * (spec.draws or 1), "data", "operator")
        offers |= {"F": model, "codomain": model.codomain}
        if isinstance(model, LinearOperator):
            offers["A"] = model
    noise = make(spec.noise, "noise", offers, spec)
    offers["noise"] = noise
    if spec.operator is not None:
        with torch.no_grad():
            if "y" not in offers and truth.x is not None:
                clean = offers["F"].forward(truth.x)
                noise = offers["noise"] = noise.at(clean, offers["codomain"])
                offers["y"] = _sample(noise, clean, Rng(spec.seed, "noise", spec.draws))
        if "y" in offers:
            offers["codomain"].check(offers["y"], "the data")
            offers["data_norm"] = offers["codomain"].norm(offers["y"])
            offers["data_size"] = offers["codomain"].size * (2 if offers["codomain"].is_complex else 1)
            if clean is not None and not isinstance(clean, Blocks):
                offers["noise_norm"] = noise.expected_norm(clean, offers["codomain"]).expand(draws)
    offers["prior"] = make(spec.prior, "prior", offers, spec)
    if (precond := make(spec.precond, "preconditioner", offers, spec)) is not None:
        offers["precond"] = precond
    return Problem(offers, truth, domain, clean, draws if "y" in offers else ())


def _sample(noise: Any, clean: Any, rng: Rng) -> Any:
    if isinstance(clean, Blocks):
        return Blocks(noise.sample(b, rng.fork(str(i))) for i, b in enumerate(clean))
    return noise.sample(clean, rng)


def _truth(spec: RunSpec, device: torch.device, dtype: torch.dtype) -> Truth:
    key = canonical([spec.problem.as_dict(), spec.seed])
    truth = _truths.get(key, lambda: make(spec.problem, "problem", {}, spec))
    _refuse_bad(truth.x, "problem")
    move = lambda thing: convert(thing, device, dtype)  # noqa: E731
    x = move(truth.x)
    if isinstance(x, Tensor) and dtype.is_complex:
        x = x.to(dtype)
    return Truth(x, move(dict(truth.offers)), truth.align, move(truth.domain))


def _operator(spec: RunSpec, offers: Mapping[str, Any]) -> Any:
    assert spec.operator is not None
    domain = offers["domain"]
    names = [n.name for n in SHELVES["operator"][spec.operator.name].needs]
    if not set(names) <= {"domain", "rng"}:
        return make(spec.operator, "operator", offers, spec)
    seed = spec.seed if "rng" in names else 0
    key = canonical([spec.operator.as_dict(), str(domain), str(domain.dtype), str(domain.device), seed])
    return _operators.get(key, lambda: make(spec.operator, "operator", offers, spec))  # type: ignore[arg-type]


def _refuse_huge(entries: int, what: str, field: str) -> None:
    if entries > MAX_ENTRIES:
        raise SpecError(
            f"there would be {entries:,} {what}, and at most {MAX_ENTRIES:,} fit: choose a smaller size",
            field,
        )


def _refuse_bad(x: Any, field: str) -> None:
    for part in x if isinstance(x, Blocks) else (x,):
        if isinstance(part, Tensor) and part.device.type != "meta" and not bool(torch.isfinite(part).all()):
            raise SpecError("the signal contains NaN or infinite values: replace them before it is used", field)


__all__ = ["MAX_ENTRIES", "Space", "build", "device_of", "dtype_of", "make"]
