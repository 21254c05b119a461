"""The registry: components on shelves, one shelf a kind, filled on first use."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import json
import logging
import pkgutil
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from explorer.catalogue.signature import Knob, Need, SpecError, nearest, short, signature

F = TypeVar("F", bound=Callable[..., Any])

# --- sources ---------------------------------------------------------------------------------------------------------


@functools.cache
def _rows() -> Mapping[str, str]:
    """Return the titles of the method list by number."""
    return json.loads(Path(__file__).with_name("rows.json").read_text("utf-8"))


def source(paper: str) -> str:
    """Return an entry of a component's `papers` for the reader: a row of the method list with its title.

    >>> source("row 228")
    'Row 228: Accelerated Primal-Dual Methods for Convex-Strongly-Concave Saddle Point Problems'
    """
    number = paper.removeprefix("row ")
    return f"Row {number}: {_rows()[number]}" if number in _rows() else paper


# --- components ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Component:
    """One registered method with what its signature says.

    Attributes
    ----------
    kind, name, title, summary, equation, papers : str
        What it is; `papers` are ``"Authors year: Title"`` or ``"row NN"``.
    function : callable
        The function or class itself.
    traits : mapping
        Further declarations of its decorator (``solves``, ``reads``, ``per_step``, …).
    """

    kind: str
    name: str
    title: str
    function: Callable[..., Any]
    papers: tuple[str, ...] = ()
    equation: str = ""
    traits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @functools.cached_property
    def _signature(self) -> tuple[tuple[Need, ...], dict[str, Knob], Any]:
        return signature(self.function)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What must be offered for it to run."""
        return self._signature[0]

    @property
    def knobs(self) -> dict[str, Knob]:
        """What may be set, by name."""
        return self._signature[1]

    @property
    def gives(self) -> Any:
        """The return annotation."""
        return self._signature[2]

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the knobs."""
        return {
            "title": self.title,
            "description": self.summary,
            "type": "object",
            "properties": {name: knob.schema() for name, knob in self.knobs.items()},
            "additionalProperties": False,
        }

    def check(self, params: Mapping[str, Any], field: str = "") -> dict[str, Any]:
        """Return `params` with every default filled in.

        Raises
        ------
        SpecError
            If a knob is unknown or its value is not allowed; nothing is computed.
        """
        where = field or self.name
        for name in params:
            if name not in self.knobs:
                raise SpecError(f"{self.title} has no knob {short(name)}{nearest(name, self.knobs)}", where)
        filled = {}
        for name, knob in self.knobs.items():
            value, at = params.get(name, knob.default), f"{where}.{name}"
            nested = knob.type == "part" and not (value is None and (knob.optional or knob.default is None))
            filled[name] = check_part(value, knob.kind, at) if nested else knob.clean(value, at)
        return filled

    def build(self, **params: Any) -> Any:
        """Call the component with needs and knobs by name.

        Raises
        ------
        SpecError
            If a need is missing or lacks a capability, or a knob is not allowed.
        """
        offers = {n.name: params.pop(n.name) for n in self.needs if n.name in params}
        tensors = {name: value for name, value in params.items() if hasattr(value, "tolist")}
        return self.bind(offers, {**self.check(params), **tensors})()

    def __call__(self, *needs: Any, **values: Any) -> Any:
        """Call the function itself, with nested components made from their names and the same needs."""
        offers = dict(zip((n.name for n in self.needs), needs, strict=False)) | values
        for name, knob in self.knobs.items():
            value = values.get(name, knob.default)
            if knob.type == "part" and isinstance(value, str | Mapping):
                part = check_part(value, knob.kind, name)
                values[name] = shelf(knob.kind)[part["name"]].bind(self._within(offers), part["params"])()
        return self.function(*needs, **values)

    def bind(self, offers: Mapping[str, Any], params: Mapping[str, Any]) -> Callable[[], Any]:
        """Join needs from `offers` with checked `params`; nested components are built from the same offers.

        A component whose parts live elsewhere, on a slice of a volume, says so by its trait ``domain_within``: a
        function from its own domain to theirs.
        """
        if (lacking := self.lacking(offers)) is not None:
            raise SpecError(lacking[1], self.kind)
        values = dict(params)
        for name, knob in self.knobs.items():
            if knob.type == "part" and isinstance(values.get(name), Mapping):
                part = shelf(knob.kind)[values[name]["name"]]
                own = {"rng": offers["rng"].fork(f"{name}/{part.name}")} if "rng" in offers else {}
                values[name] = part.bind({**self._within(offers), **own}, values[name]["params"])()
        needs = {n.name: offers[n.name] for n in self.needs if offers.get(n.name) is not None}
        return functools.partial(self.function, **needs, **values)

    def _within(self, offers: Mapping[str, Any]) -> Mapping[str, Any]:
        narrow = self.traits.get("domain_within")
        return offers if narrow is None or "domain" not in offers else {**offers, "domain": narrow(offers["domain"])}

    def lacking(self, offers: Mapping[str, Any]) -> tuple[Need, str] | None:
        """Return the first need that `offers` do not meet, with a sentence that says so; None where all are met."""
        for need in self.needs:
            thing = offers.get(need.name)
            if thing is None and not need.optional:
                return need, f"{self.title} needs {need.says}, and there is none"
            if thing is not None and (phrase := need.lacks(thing)) is not None:
                return need, f"{self.title} needs {phrase}, and {describe(thing)} is not"
        return None


def describe(thing: object) -> str:
    """Name an object for a sentence."""
    if isinstance(thing, str):  # text has a method `title`
        return repr(thing)
    return str(getattr(thing, "title", None) or f"this {type(thing).__name__}")


def check_part(value: Any, kind: str, field: str) -> dict[str, Any]:
    """Normalise a nested choice (a bare name or ``{"name", "params"}``) and fill in its defaults."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not set(value) <= {"name", "params"} or not isinstance(value.get("name"), str):
        raise SpecError(f"is {short(value)}, and must be a name or {{'name': …, 'params': {{…}}}}", field)
    params = value.get("params", {})
    if not isinstance(params, Mapping):
        raise SpecError(f"is {short(params)}, and must be an object of knobs", f"{field}.params")
    component = shelf(kind).find(value["name"], field)
    return {"name": component.name, "params": component.check(params, f"{field}.params")}


# --- the shelves --------------------------------------------------------------------------------------------------


_LOG = logging.getLogger(__name__)
_LOADING = threading.RLock()


class Shelf(Mapping[str, Component]):
    """The components of one kind by name; families are imported on first use.

    Parameters
    ----------
    kind : str
        Singular name of the kind.
    room : str
        Package or module in which the core components of the kind live.
    """

    def __init__(self, kind: str, room: str) -> None:
        self.kind, self.room = kind, room
        self._items: dict[str, Component] = {}
        self._loaded = self._loading = False

    def _load(self) -> dict[str, Component]:
        if not self._loaded:
            with _LOADING:
                if not self._loaded and not self._loading:
                    self._loading = True
                    try:
                        _import_all(self.room)
                        _import_all("explorer.labs")
                        _load_entry_points()
                        self._loaded = True
                    finally:
                        self._loading = False
        return self._items

    def add(self, component: Component) -> None:
        """Register a component; a second one of the same name is refused, unless it replaces itself (a cell run again).

        Raises
        ------
        SpecError
            If the name is taken.
        """
        if not component.function.__module__.startswith("explorer."):
            self._load()
        known = self._items.get(component.name)
        if known is not None and _home(known) != _home(component):
            a = "an" if self.kind[0] in "aeiou" else "a"
            raise SpecError(f"there is {a} {self.kind} named {component.name!r} already, from {'.'.join(_home(known))}")
        self._items[component.name] = component
        _uncover(self.room, component.name)

    def remove(self, name: str) -> None:
        """Take a component off the shelf."""
        self._items.pop(name, None)

    def find(self, name: str, field: str = "") -> Component:
        """Return the component of that name, or say which known name is nearest."""
        if not isinstance(name, str) or name not in self._load():
            raise SpecError(f"there is no {self.kind} {short(name)}{nearest(name, self._load())}", field or self.kind)
        return self._items[name]

    def public(self, name: str, module: str) -> Callable[..., Any]:
        """Return the plain callable of that name, for attribute access on `module`."""
        if name.startswith("_") or name not in self._load():
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        component = self._items[name]
        if any(knob.type == "part" for knob in component.knobs.values()):
            return functools.wraps(component.function)(functools.partial(component))
        return component.function

    def __getitem__(self, name: str) -> Component:
        return self.find(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the component of that name, or `default`."""
        return self._load().get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._load()))

    def __len__(self) -> int:
        return len(self._load())

    def __repr__(self) -> str:
        return f"<{len(self)} {self.kind} components: {', '.join(self)}>"


class _Room(types.ModuleType):
    """A room package, in which a component is never hidden by the module of the same name that it comes from."""

    def __setattr__(self, name: str, value: Any) -> None:
        hides = any(s.room == self.__name__ and name in s._items for s in SHELVES.values())
        if not (hides and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


def _uncover(room: str, name: str) -> None:
    """Let attribute access on `room` find the component `name`, now and after later imports."""
    module = sys.modules.get(room)
    if module is not None:
        module.__class__ = _Room
        if isinstance(vars(module).get(name), types.ModuleType):
            delattr(module, name)


def _home(component: Component) -> tuple[str, str]:
    return component.function.__module__, component.function.__qualname__


def _import_all(package: str) -> None:
    module = importlib.import_module(package)
    for info in pkgutil.walk_packages(getattr(module, "__path__", ()), package + "."):
        importlib.import_module(info.name)


@functools.cache
def _load_entry_points() -> None:
    for entry in importlib.metadata.entry_points(group="explorer.components"):
        try:
            entry.load()
        except Exception:  # somebody else's package must not take the catalogue down with it
            _LOG.warning("the components of %s cannot be loaded", entry.value, exc_info=True)


operators = Shelf("operator", "explorer.operators")
noises = Shelf("noise", "explorer.noise")
priors = Shelf("prior", "explorer.priors")
preconditioners = Shelf("preconditioner", "explorer.preconditioners")
solvers = Shelf("solver", "explorer.solvers")
rules = Shelf("rule", "explorer.rules")
analyses = Shelf("analysis", "explorer.analyses")
problems = Shelf("problem", "explorer.problems")
stops = Shelf("stop", "explorer.engine.stops")

SHELVES: Mapping[str, Shelf] = {
    s.kind: s for s in (problems, operators, noises, priors, preconditioners, solvers, rules, stops, analyses)
}


def shelf(kind: str) -> Shelf:
    """Return the shelf of a kind."""
    return SHELVES[kind]


def _decorator(kind: str) -> Callable[..., Callable[[F], F]]:
    def register(
        title: str, *, name: str = "", papers: Sequence[str] = (), equation: str = "", **traits: Any
    ) -> Callable[[F], F]:
        def add(function: F) -> F:
            component = Component(
                kind, name or _snake(function.__name__), title, function, tuple(papers), equation, traits
            )
            _ = component.knobs  # a slip in the signature shows where it was made
            SHELVES[kind].add(component)
            return function

        return add

    register.__doc__ = f"Register a function or class as a {kind}; further keywords become its traits."
    return register


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


operator = _decorator("operator")
noise = _decorator("noise")
prior = _decorator("prior")
preconditioner = _decorator("preconditioner")
solver = _decorator("solver")
rule = _decorator("rule")
analysis = _decorator("analysis")
problem = _decorator("problem")
stop = _decorator("stop")
