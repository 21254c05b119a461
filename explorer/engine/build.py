"""From a specification to a problem: truth, operator, noise, data, prior, preconditioner, in that order."""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import SHELVES, SpecError
from explorer.engine.batches import batch_of, shaped
from explorer.engine.problem import Problem, space_of
from explorer.engine.simulate import averaged, finer_operator, finer_problem, refuse_other_data
from explorer.engine.spec import Choice, RunSpec, canonical
from explorer.linalg import Blocks, Rng, Space, convert
from explorer.noise.gaussian import NoNoise
from explorer.operators.base import LinearOperator
from explorer.problems.base import Truth

#: largest number of unknowns or data that is built
MAX_ENTRIES = 2**26


class _Recent:
    """The last things made, by key, up to a total weight: problems and operators are immutable and shared by runs."""

    def __init__(self, most: int, weight: Callable[[Any], int] = lambda _: 1) -> None:
        self._most, self._weight, self._lock = most, weight, threading.Lock()
        self._items: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        made = make()
        with self._lock:
            self._items[key] = made
            while len(self._items) > 1 and sum(map(self._weight, self._items.values())) > self._most:
                self._items.popitem(last=False)
        return made


def _entries(thing: Any) -> int:
    """Return the number of values in the tensors of a truth."""
    if isinstance(thing, Truth):
        return _entries((thing.x, *thing.offers.values()))
    if isinstance(thing, tuple | list | Blocks):
        return sum(map(_entries, thing))
    return thing.numel() if isinstance(thing, Tensor) else 0


#: truths by size, as one of every problem is made to say which of them fit
_truths, _operators = _Recent(2**25, _entries), _Recent(4)


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
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present[device.type]:
        raise SpecError(f"is {spec.device!r}, and this machine has no such device: use 'cpu'", "device")
    return device


def make(choice: Choice, kind: str, offers: Mapping[str, Any], spec: RunSpec) -> Any:
    """Build one component with its own random stream, its batched knobs as tensors over the batch."""
    component, batch = SHELVES[kind][choice.name], batch_of(spec)
    params = shaped(component, choice.params, batch, dtype_of(spec), torch.device(spec.device))
    return component.bind({**offers, "rng": Rng(spec.seed, f"{kind}/{choice.name}")}, params)()


def build(spec: RunSpec) -> Problem:
    """Build the problem of a specification.

    Parameters
    ----------
    spec : RunSpec
        On device ``meta`` everything is shaped and nothing is computed.

    Raises
    ------
    SpecError
        If a component refuses what it is given, the device is absent, the problem is too large, or its data are not
        finite.
    """
    device, batch = device_of(spec), batch_of(spec)
    truth = fine = _truth(spec, device)
    if spec.finer > 1:
        fine = _truth(spec.replace(problem=finer_problem(spec)), device)
        truth = replace(truth, x=averaged(fine.x, space_of(truth.x), spec.finer))
    domain = truth.domain if truth.domain is not None else space_of(truth.x)
    refuse_huge(domain.size * math.prod(batch), "unknowns", "problem")
    offers: dict[str, Any] = {"domain": domain, **truth.offers}
    if truth.x is not None:
        offers["has_truth"] = True
    clean = None
    if spec.operator is not None and truth.x is not None and domain.batch(truth.x):
        raise SpecError(
            "an operator measures one unknown, and this problem is a sequence of them: set it to None", "operator"
        )
    model = None if "y" in offers else offers.get("A")  # a problem may bring its own
    if spec.operator is not None:
        model = _operator(spec, spec.operator, offers)
    if model is not None:
        refuse_huge(model.codomain.size * math.prod(batch), "data", "operator")
        offers |= {"F": model, "codomain": model.codomain}
        if isinstance(model, LinearOperator):
            offers["A"] = model
    offers["noise"] = make(spec.noise, "noise", offers, spec)
    simulated = model is not None and truth.x is not None and "y" not in offers
    if spec.draws is not None and not simulated:
        raise SpecError(f"is {spec.draws}, and the data are not simulated: draws are of their noise", "draws")
    if model is not None:
        if "y" in offers:
            offers["codomain"].check(offers["y"], "the data")
            batch = (*batch, *offers["codomain"].batch(offers["y"]))
        with torch.no_grad():
            clean = _data(spec, fine, offers, batch)
    if "x0" in offers:
        offers["x0"] = domain.expand(offers["x0"], batch)
    offers["prior"] = make(spec.prior, "prior", offers, spec)
    if (precond := make(spec.precond, "preconditioner", offers, spec)) is not None:
        offers["precond"] = precond
    return Problem(offers, truth, domain, clean, batch)


def _data(spec: RunSpec, truth: Truth, offers: dict[str, Any], batch: tuple[int, ...]) -> Any:
    """Offer the data and what is known of them; return the data without noise where they are simulated."""
    Y, clean = offers["codomain"], None
    if "y" not in offers and truth.x is not None:
        clean = _measured(spec, truth, offers)
        noise = offers["noise"] = offers["noise"].at(clean, Y)
        offers["y"] = _sample(noise, clean, Rng(spec.seed, "noise", spec.draws))
        if not isinstance(clean, Blocks):
            offers["noise_norm"] = noise.expected_norm(clean, Y).expand(batch)
    elif "y" in offers and "noise_norm" not in offers:
        offers |= _estimated(offers["noise"], offers["y"], Y, batch)
    if "y" in offers:
        _refuse_bad(offers["y"], "the data contain", "operator" if clean is not None else "problem")
        offers["data_norm"] = Y.norm(offers["y"]).expand(batch)
        offers["data_size"] = sum(s.size * (2 if s.is_complex else 1) for s in getattr(Y, "spaces", (Y,)))
        offers["y"] = Y.expand(offers["y"], batch)
    return clean


def _estimated(noise: Any, y: Any, space: Any, batch: tuple[int, ...]) -> dict[str, Any]:
    """Offer what the data of a person's own tell of the level of the chosen noise; nothing where they do not."""
    if isinstance(noise, NoNoise) or not isinstance(space, Space):
        return {}
    try:
        made = noise.estimate(y, space)
    except SpecError:
        return {}
    return {"noise": made, "noise_norm": made.expected_norm(y, space).expand(batch), "noise_estimated": True}


def _measured(spec: RunSpec, fine: Truth, offers: Mapping[str, Any]) -> Any:
    """Return what the simulator gives of the truth, before the noise."""
    if spec.simulator is None and spec.finer == 1:
        return offers["F"].forward(fine.x)
    choice = spec.simulator or spec.operator
    assert choice is not None
    if spec.finer > 1:
        choice = finer_operator(choice, spec)
    model = _operator(spec, choice, {**offers, "domain": space_of(fine.x)})
    refuse_huge(model.codomain.size, "data", "finer" if spec.simulator is None else "simulator")
    clean = model.forward(fine.x)
    clean = averaged(clean, offers["codomain"], spec.finer)
    refuse_other_data(clean, offers["codomain"], spec)
    return clean


def _sample(noise: Any, clean: Any, rng: Rng) -> Any:
    if isinstance(clean, Blocks):
        return Blocks(noise.sample(b, rng.fork(str(i))) for i, b in enumerate(clean))
    return noise.sample(clean, rng)


def _truth(spec: RunSpec, device: torch.device) -> Truth:
    """Return the truth in the device and the precision of a specification."""
    component, dtype = SHELVES["problem"][spec.problem.name], dtype_of(spec)

    def made() -> Truth:
        truth = make(spec.problem, "problem", {}, spec)
        for thing in (truth.x, *truth.offers.values()):
            _refuse_bad(thing, "the signal or its data contain", "problem")
        return truth

    truth = _truths.get((component, canonical([spec.problem.as_dict(), spec.seed])), made)
    move = functools.partial(convert, device=device, dtype=dtype)
    x = move(truth.x)
    if isinstance(x, Tensor) and dtype.is_complex:
        x = x.to(dtype)
    return Truth(x, move(dict(truth.offers)), truth.align, move(truth.domain))


def _operator(spec: RunSpec, choice: Choice, offers: Mapping[str, Any]) -> Any:
    """Return the operator: a recent one where it depends on nothing but the domain. Operators are immutable."""
    component, domain = SHELVES["operator"][choice.name], offers["domain"]
    build = functools.partial(make, choice, "operator", offers, spec)
    names = {n.name for n in component.needs}
    if not names <= {"domain", "rng"} or domain.device.type == "meta":
        return build()
    seed = spec.seed if "rng" in names else 0
    return _operators.get((component, canonical(choice.as_dict()), repr(domain), seed), build)


def refuse_huge(entries: int, what: str, field: str) -> None:
    """Refuse a problem that would not fit, before it is allocated."""
    if entries > MAX_ENTRIES:
        raise SpecError(
            f"there would be {entries:,} {what}, and at most {MAX_ENTRIES:,} fit: choose a smaller size", field
        )


def _refuse_bad(thing: Any, what: str, field: str) -> None:
    for part in thing if isinstance(thing, Blocks) else (thing,):
        if isinstance(part, Tensor) and not part.is_meta and not torch.isfinite(part).all():
            raise SpecError(f"{what} NaN or infinite values: replace them before they are used", field)
