"""What a signature says: needs by position, knobs by keyword, and how a value is checked against them."""

from __future__ import annotations

import difflib
import inspect
import numbers
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

#: how many names a sentence lists
_FEW = 12

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
    "weights": "positive weights of the entries of the unknown",
    "rng": "the component's own random stream",
    "systems": "a sequence of linear systems",
    "training": "further rows like those of the left factor, m × n, to learn from",
    "projections": "a projection weighted by a Kronecker product, with its updates and queries",
    "factors": "two matrices whose product is wanted, p × n and n × q",
    "progress": "how far a run has come, for stop rules",
    "probe": "random signs in the data space, offered where a rule asks an iterative solver for degrees of freedom",
    # of every candidate of a rule, one value each
    "residual": "norm of the residual",
    "dof": "effective degrees of freedom",
    "solution_norm": "norm of the solution",
    "regularization": "regularization parameter",
    "growth": "derivative of ‖x‖² by the logarithm of the parameter",
    "curvature": "curvature of ‖x‖ against ‖Ax − y‖ in logarithms",
    "sensitivity": "norm of the derivative of x by the logarithm of the parameter",
    "lost": "sum of 1 − φ over the filter factors φ",
    "inner": "inner product ⟨y, y − Ax⟩",
    "log_lost": "sum of log(1 − φ) over the filter factors φ",
    "flat": "number of directions of the data that the penalty does not see, which the evidence leaves out",
    "iterated": "noise norm below which more steps, or a smaller parameter, surely lower the error",
    "left_out": "squared error of what data that were left out are predicted to be",
    "whiteness": "distance of the residual from white noise",
    "error": "distance from the truth, for the oracle alone",
    "details": "whether a rule needs what a solver reports on request only",
    "has_truth": "truth to measure errors by",
    "data_size": "number of real data",
    "data_norm": "norm of the data, or what else residuals are measured against",
    "noise_norm": "expected norm of the noise",
    "noise_estimated": "whether the noise level was estimated from the data themselves",
    "history": "scalars of a finished run, name to array (steps, *batch)",
    "solver": "name of the solver that made a run, for analyses of its history",
    "settings": "knobs of the solver that made a run",
    "clean": "the data without noise, for analyses; never offered to a solver",
    "contexts": "what is known of each system of a sequence beforehand, one number each",
    "labels": "the classes of the nodes of a graph, ±1",
    "iterates": "iterates that a run kept, with their steps",
    "arrays": "bases and matrices that a run kept, one mapping a step",
    "tasks": "a family of ridge regressions with training and validation data",
    "bases": "whether the run keeps bases and matrices: a solver yields them only then",
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


#: largest number of values of a batched knob
MAX_VALUES = 4096
_TEXTS = {"file": r"([0-9a-f]{64})?", "text": r"[^\ud800-\udfff]{0,1000}"}


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
        words = {"bool": "true or false", "part": f"a {self.kind}", "file": "the SHA-256 hash of a file"}
        return words.get(self.type, "text of at most 1000 characters")

    def clean(self, value: Any, where: str) -> Any:
        """Return `value` as plain data: a number as int or float, the values of a batched knob as a tuple.

        Raises
        ------
        SpecError
            If the value is not allowed; `where` is the field that the sentence names.
        """
        if value is None and (self.optional or self.default is None):
            return None
        if self.batched:
            value = value.tolist() if hasattr(value, "tolist") else value
            if isinstance(value, list | tuple) and 0 < len(value) <= MAX_VALUES:
                return tuple(self._one(v, f"{where}[{i}]") for i, v in enumerate(value))
        return self._one(value, where)

    def _one(self, value: Any, where: str) -> Any:
        number: Any = {"int": numbers.Integral, "float": numbers.Real}.get(self.type)
        if number is not None:
            assert self.low is not None
            assert self.high is not None
            if isinstance(value, number) and not isinstance(value, bool) and self.low <= value <= self.high:
                return int(value) if self.type == "int" else float(value)
        elif self.type == "choice":
            if any(type(value) is type(c) and value == c for c in self.choices):
                return value
        elif self.type == "bool":
            if isinstance(value, bool):
                return value
        elif isinstance(value, str) and re.fullmatch(_TEXTS[self.type], value):
            return value
        raise SpecError(f"is {short(value)}, and must be {self.allowed}", where)

    def schema(self) -> dict[str, Any]:
        """Return the knob's JSON schema."""
        one: dict[str, Any]
        if self.type in ("int", "float"):
            one = {"type": "integer" if self.type == "int" else "number", "minimum": self.low, "maximum": self.high}
        elif self.type == "choice":
            one = {"enum": list(self.choices)}
        elif self.type == "part":
            one = {"type": ["string", "object"], "kind": self.kind}
        else:
            one = (
                {"type": "boolean"} if self.type == "bool" else {"type": "string", "pattern": f"^{_TEXTS[self.type]}$"}
            )
        several = [{"type": "array", "items": one, "minItems": 1, "maxItems": MAX_VALUES}] if self.batched else []
        kinds = [one, *several, *([{"type": "null"}] if self.optional else [])]
        about = {k: getattr(self, k) for k in ("scale", "unit", "degree", "batched") if getattr(self, k)}
        return {
            "description": self.help,
            "default": self.default,
            **about,
            **(one if len(kinds) == 1 else {"anyOf": kinds}),
        }


def short(value: object) -> str:
    """Show a value in a sentence, cut to 60 characters."""
    if not isinstance(value, str | int | float | complex | list | tuple | Mapping | None):
        return f"a {type(value).__name__}"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def nearest(name: object, known: Iterable[str]) -> str:
    """Return the end of a sentence on an unknown name: the nearest known one, or those that there are, cut to a few."""
    names = sorted(known)
    if match := difflib.get_close_matches(str(name)[:100], names, n=1):
        return f": did you mean {match[0]!r}?"
    more = len(names) - _FEW
    return f"; known: {', '.join(names[:_FEW]) or 'none'}" + (f" and {more} more" if more > 0 else "")


def signature(function: Callable[..., Any]) -> tuple[tuple[Need, ...], dict[str, Knob], Any]:
    """Return the needs, the knobs and the return annotation of a function or class.

    Raises
    ------
    TypeError
        If a keyword has no range or no default, its default is not allowed, or an annotation is unknown.
    """
    annotated = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(annotated, include_extras=True)
    except (NameError, AttributeError) as error:
        raise TypeError(f"{function.__name__}: an annotation cannot be read, import what it names: {error}") from None
    needs, knobs = [], {}
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name, Any)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{function.__name__}: *{parameter.name} cannot be offered or set: name each parameter")
        if parameter.kind is parameter.KEYWORD_ONLY:
            knobs[parameter.name] = _knob(parameter, hint, f"{function.__name__}: the knob {parameter.name!r}")
        else:
            needs.append(_need(parameter, hint))
    return tuple(needs), knobs, hints.get("return")


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


def _knob(parameter: inspect.Parameter, hint: Any, who: str) -> Knob:
    bare, metadata, optional = _parts(hint)
    if parameter.default is parameter.empty:
        raise TypeError(f"{who} needs a default")
    marks = {type(m): m for m in metadata}
    span = next((m for m in metadata if isinstance(m, Range)), None)
    about: dict[str, Any] = {"help": marks[Help].text if Help in marks else ""}
    kind: Any
    if Part in marks:
        kind, about = "part", vars(marks[Part])
    elif File in marks:
        kind, about = "file", vars(marks[File])
    elif typing.get_origin(bare) is Literal:
        kind, about["choices"] = "choice", typing.get_args(bare)
    elif span is not None:
        kind, about = "int" if bare is int else "float", vars(span)
    elif bare in (bool, str):
        kind = "bool" if bare is bool else "text"
    else:
        raise TypeError(f"{who} needs a range: Annotated[float, Linear(low, high)]")
    made = Knob(parameter.name, kind, parameter.default, optional=optional, **about)
    if kind != "part":
        try:
            made.clean(made.default, "its default")
        except SpecError as error:
            raise TypeError(f"{who}: {error}") from None
    return made
