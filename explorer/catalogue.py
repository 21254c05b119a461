"""The registry: a component's signature becomes its schema, its widget, its command-line flags and its documentation row.

A component is a plain function or class. Its positional parameters say, by name and annotation, what it *needs*;
its keyword-only parameters, annotated with ranges, are its *knobs*. Nothing else is written for it to appear anywhere.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

#: Every name that a problem may offer and a component may need.
NAMES: Mapping[str, str] = {
    "A": "the linear forward operator",
    "F": "the forward model, linear or not",
    "M": "the matrix itself, a square tensor",
    "y": "the data, a tensor in the codomain of the operator",
    "x0": "the starting point",
    "x_true": "the true unknown, for oracles and figures; never offered to a solver",
    "domain": "the space of the unknown",
    "codomain": "the space of the data",
    "noise": "the noise model",
    "prior": "the prior",
    "precond": "an approximate inverse",
    "denoiser": "a denoiser of the unknown",
    "rng": "the component's own random stream",
    "systems": "a sequence of linear systems",
    "progress": "how far a run has come, for stop rules",
    "residual": "norm of the residual, one value a candidate",
    "dof": "effective degrees of freedom, one value a candidate",
    "solution_norm": "norm of the solution, one value a candidate",
    "data_size": "number of real data",
    "noise_norm": "expected norm of the noise",
    "history": "scalars of a finished run, name to array (steps, *batch)",
}


class SpecError(ValueError):
    """A wrong choice or input, said in one sentence that names the field.

    Parameters
    ----------
    message : str
        What was wrong, its value, what is allowed.
    field : str
        Dotted name of the field at fault, such as ``solver.params.damping``.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


# --- what a signature may say -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """Bounds and meaning of a numeric knob.

    Parameters
    ----------
    low, high : float
        Smallest and largest value allowed, both included.
    unit, help : str
        Unit and one line of help, shown beside the slider.
    degree : float
        Degree of homogeneity in the data: 1 if the knob scales as the data do, 0 if it does not.
    batched : bool
        Whether the knob may take one value a sample of the batch.
    """

    low: float
    high: float
    unit: str = ""
    help: str = ""
    degree: float = 0.0
    batched: bool = False
    scale: str = "linear"


@dataclass(frozen=True)
class Linear(Range):
    """A range on a linear scale."""


@dataclass(frozen=True)
class Log(Range):
    """A range on a logarithmic scale; ``low=0`` means zero or any positive value up to ``high``."""

    scale: str = "log"


@dataclass(frozen=True)
class Part:
    """A knob that is itself a component of the given kind, such as ``Part("preconditioner")``."""

    kind: str
    help: str = ""


@dataclass(frozen=True)
class File:
    """A knob that names a file of the person's data folder by its SHA-256 hash."""

    help: str = ""


@dataclass(frozen=True)
class Help:
    """One line of help for a knob without a range (a choice or a switch)."""

    text: str


@dataclass(frozen=True)
class Capability:
    """What an object must be able to do, as a phrase and a test.

    Parameters
    ----------
    says : str
        Unique phrase completing "needs …", for example "a self-adjoint operator".
    admits : callable
        Whether an object has the capability; never reads data.
    """

    says: str
    admits: Callable[[Any], bool]


@dataclass(frozen=True)
class Need:
    """A positional parameter: an offered object with the capabilities that it must have."""

    name: str
    type: Any
    capabilities: tuple[Capability, ...]
    optional: bool

    @property
    def says(self) -> str:
        """The need as a phrase."""
        phrases = [c.says for c in self.capabilities] or [getattr(self.type, "says", NAMES.get(self.name, self.name))]
        return " that is also ".join(phrases)

    def lacks(self, thing: object) -> str | None:
        """Return the phrase of the first capability that `thing` lacks, or None."""
        if isinstance(self.type, type) and hasattr(self.type, "says") and not isinstance(thing, self.type):
            return str(self.type.says)
        return next((c.says for c in self.capabilities if not c.admits(thing)), None)


@dataclass(frozen=True)
class Knob:
    """A keyword-only parameter: what a person may set."""

    name: str
    type: Literal["float", "int", "bool", "choice", "part", "file", "text"]
    default: Any
    low: float | None = None
    high: float | None = None
    scale: str = "linear"
    unit: str = ""
    help: str = ""
    degree: float = 0.0
    batched: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    kind: str = ""

    @property
    def label(self) -> str:
        """The knob's name for people."""
        return self.name.replace("_", " ")

    @property
    def allowed(self) -> str:
        """What the knob accepts, in words."""
        if self.type == "choice":
            return "one of " + ", ".join(map(str, self.choices))
        if self.low is not None:
            whole = "a whole number" if self.type == "int" else "a number"
            return f"{whole} from {self.low:g} to {self.high:g}" + (f" {self.unit}" if self.unit else "")
        return {"bool": "true or false", "part": f"a {self.kind}", "file": "the SHA-256 hash of a file"}.get(
            self.type, "text"
        )


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
        target = self.function.__init__ if inspect.isclass(self.function) else self.function
        hints = typing.get_type_hints(target, include_extras=True)
        needs, knobs = [], {}
        for parameter in inspect.signature(self.function).parameters.values():
            hint = hints.get(parameter.name, Any)
            if parameter.kind is parameter.KEYWORD_ONLY:
                knobs[parameter.name] = _knob(parameter, hint)
            else:
                needs.append(_need(parameter, hint))
        return tuple(needs), knobs, hints.get("return")

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
        return self._model.model_json_schema()

    @functools.cached_property
    def _model(self) -> Any:
        from pydantic import ConfigDict, create_model

        fields = {knob.name: _schema_field(knob) for knob in self.knobs.values()}
        return create_model(self.name, __config__=ConfigDict(extra="forbid", strict=True, frozen=True), **fields)

    def check(self, params: Mapping[str, Any], field: str = "") -> dict[str, Any]:
        """Return `params` with every default filled in.

        Raises
        ------
        SpecError
            If a knob is unknown or its value is not allowed; nothing is computed.
        """
        from pydantic import ValidationError

        where = field or self.name
        for name in params:
            if name not in self.knobs:
                raise SpecError(f"{self.title} has no knob {name!r}{_nearest(name, self.knobs)}", f"{where}.{name}")
        values = {}
        for name, value in params.items():
            values[name] = (
                check_part(value, self.knobs[name].kind, f"{where}.{name}")
                if self.knobs[name].type == "part"
                else value
            )
        try:
            filled = self._model(**values).model_dump()
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            raise SpecError(
                f"is {_short(params[name])}, and must be {self.knobs[name].allowed}", f"{where}.{name}"
            ) from None
        for name, knob in self.knobs.items():
            if knob.type == "part" and name not in params:
                filled[name] = check_part(knob.default, knob.kind, f"{where}.{name}")
        return filled

    def build(self, **params: Any) -> Any:
        """Call the component with needs and knobs by name.

        Raises
        ------
        SpecError
            If a need is missing or lacks a capability, or a knob is not allowed.
        """
        offers = {n.name: params.pop(n.name) for n in self.needs if n.name in params}
        return self.bind(offers, self.check(params))()

    def bind(self, offers: Mapping[str, Any], params: Mapping[str, Any]) -> Callable[[], Any]:
        """Join needs from `offers` with checked `params`; nested components are built from the same offers."""
        values = dict(params)
        for name, knob in self.knobs.items():
            if knob.type == "part" and isinstance(values.get(name), Mapping):
                part = shelf(knob.kind)[values[name]["name"]]
                values[name] = part.bind(offers, values[name]["params"])()
        needs = {}
        for need in self.needs:
            if offers.get(need.name) is not None:
                needs[need.name] = offers[need.name]
                if (phrase := need.lacks(offers[need.name])) is not None:
                    raise SpecError(f"{self.title} needs {phrase}, and {describe(offers[need.name])} is not", self.kind)
            elif not need.optional:
                raise SpecError(f"{self.title} needs {need.says}, and there is none", self.kind)
        return functools.partial(self.function, **needs, **values)


def describe(thing: object) -> str:
    """Name an object for a sentence."""
    return str(getattr(thing, "title", None) or f"this {type(thing).__name__}")


def check_part(value: Any, kind: str, field: str) -> dict[str, Any] | None:
    """Normalise a nested choice (a bare name or ``{"name", "params"}``) and fill in its defaults."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not set(value) <= {"name", "params"} or not isinstance(value.get("name"), str):
        raise SpecError(f"is {_short(value)}, and must be a name or {{'name': …, 'params': {{…}}}}", field)
    params = value.get("params", {})
    if not isinstance(params, Mapping):
        raise SpecError(f"is {_short(params)}, and must be an object of knobs", f"{field}.params")
    component = shelf(kind).find(value["name"], field)
    return {"name": component.name, "params": component.check(params, f"{field}.params")}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _nearest(name: str, known: Iterator[str] | Mapping[str, Any]) -> str:
    match = difflib.get_close_matches(str(name), list(known), n=1)
    return f": did you mean {match[0]!r}?" if match else f"; known: {', '.join(sorted(known)) or 'none'}"


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """Split an annotation into its bare type, its metadata and whether None is allowed."""
    optional, metadata = False, ()
    while True:
        origin = typing.get_origin(hint)
        if origin is Annotated:
            metadata += typing.get_args(hint)[1:]
            hint = typing.get_args(hint)[0]
        elif origin in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint):
            rest = [a for a in typing.get_args(hint) if a is not type(None)]
            optional = True
            if len(rest) != 1:
                return typing.Union[tuple(rest)], metadata, optional  # noqa: UP007 - built at run time
            hint = rest[0]
        else:
            return hint, metadata, optional


def _need(parameter: inspect.Parameter, hint: Any) -> Need:
    bare, metadata, _ = _parts(hint)
    capabilities = tuple(m for m in metadata if isinstance(m, Capability))
    return Need(parameter.name, bare, capabilities, parameter.default is not parameter.empty)


def _knob(parameter: inspect.Parameter, hint: Any) -> Knob:
    bare, metadata, optional = _parts(hint)
    if parameter.default is parameter.empty:
        raise TypeError(f"the knob {parameter.name!r} needs a default")
    made = functools.partial(Knob, parameter.name, default=parameter.default, optional=optional)
    marks = {type(m): m for m in metadata}
    text = marks[Help].text if Help in marks else ""
    if Part in marks:
        return made(type="part", kind=marks[Part].kind, help=marks[Part].help)
    if File in marks:
        return made(type="file", help=marks[File].help)
    if typing.get_origin(bare) is Literal:
        return made(type="choice", choices=typing.get_args(bare), help=text)
    if bare is bool:
        return made(type="bool", help=text)
    span = next((m for m in metadata if isinstance(m, Range)), None)
    if span is not None:
        about = {k: getattr(span, k) for k in ("low", "high", "scale", "unit", "help", "degree", "batched")}
        return made(type="int" if bare is int else "float", **about)
    if bare is str:
        return made(type="text", help=text)
    raise TypeError(f"the knob {parameter.name!r} needs a range: Annotated[float, Linear(low, high)]")


def _schema_field(knob: Knob) -> tuple[Any, Any]:
    from pydantic import Field

    about = {k: getattr(knob, k) for k in ("scale", "unit", "degree", "batched") if getattr(knob, k)}
    extra: dict[str, Any] = {"description": knob.help, "json_schema_extra": about}
    default = knob.default
    kind: Any
    if knob.type in ("float", "int"):
        limits: dict[str, Any] = {"ge": knob.low, "le": knob.high}
        if knob.type == "float":
            limits["allow_inf_nan"] = False
        kind = Annotated[int if knob.type == "int" else float, Field(**limits)]
        if knob.batched:
            kind = kind | Annotated[tuple[kind, ...], Field(min_length=1, max_length=4096, strict=False)]
    elif knob.type == "choice":
        kind = Literal[knob.choices]
    elif knob.type == "part":
        kind, default = dict[str, Any], None
        extra["json_schema_extra"] = {"kind": knob.kind}
        return (kind | None, Field(default, **extra))
    else:
        limits = {"pattern": "^([0-9a-f]{64})?$"} if knob.type == "file" else {"max_length": 1000}
        kind = bool if knob.type == "bool" else Annotated[str, Field(**limits)]
    return (kind | None if knob.optional else kind, Field(default, **extra))


# --- the shelves --------------------------------------------------------------------------------------------------


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
        self._loaded = False

    def _load(self) -> dict[str, Component]:
        if not self._loaded:
            with _LOADING:
                if not self._loaded:
                    _import_all(self.room)
                    _import_all("explorer.labs")
                    _load_entry_points()
                    self._loaded = True
        return self._items

    def add(self, component: Component) -> None:
        """Register a component; a second one of the same name is refused."""
        known = self._items.get(component.name)
        if known is not None and known.function.__module__ != component.function.__module__:
            raise SpecError(f"a {self.kind} named {component.name!r} is registered by {known.function.__module__}")
        self._items[component.name] = component

    def remove(self, name: str) -> None:
        """Take a component off the shelf."""
        self._items.pop(name, None)

    def find(self, name: str, field: str = "") -> Component:
        """Return the component of that name, or say which known name is nearest."""
        if not isinstance(name, str) or name not in self._load():
            raise SpecError(f"there is no {self.kind} {_short(name)}{_nearest(name, self._load())}", field or self.kind)
        return self._items[name]

    def public(self, name: str, module: str) -> Callable[..., Any]:
        """Return the plain callable of that name, for attribute access on `module`."""
        if name.startswith("_") or name not in self._load():
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return self._items[name].function

    def __getitem__(self, name: str) -> Component:
        return self.find(name)

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def __repr__(self) -> str:
        return f"<{len(self)} {self.kind} components: {', '.join(self)}>"


def _import_all(package: str) -> None:
    module = importlib.import_module(package)
    for info in pkgutil.walk_packages(getattr(module, "__path__", ()), package + "."):
        importlib.import_module(info.name)


@functools.cache
def _load_entry_points() -> None:
    for entry in importlib.metadata.entry_points(group="explorer.components"):
        entry.load()


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
        title: str, *, papers: typing.Sequence[str] = (), equation: str = "", **traits: Any
    ) -> Callable[[F], F]:
        def add(function: F) -> F:
            name = str(traits.pop("name", None) or _snake(function.__name__))
            SHELVES[kind].add(Component(kind, name, title, function, tuple(papers), equation, traits))
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
