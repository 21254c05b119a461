"""The specification of a run: one JSON document for every way of running.

It is safe to load from a stranger: data only, no code, no path, bounded sizes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self
from weakref import WeakValueDictionary

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_serializer, field_validator

from explorer.catalogue import SpecError, check_part, nearest, short

VERSION = 1
MAX_CHARACTERS = 2**20
MAX_DEPTH = 32

#: version -> function that turns a document of that version into one of the next
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def _plain(value: Any) -> Any:
    """Turn the integers of NumPy and the dtypes and devices of torch into plain data."""
    if isinstance(value, np.integer):
        return int(value)
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype | torch.device) else value


_Whole = Annotated[int, BeforeValidator(_plain)]
_Text = Annotated[str, BeforeValidator(_plain)]


class _Frozen(BaseModel):
    """A model that cannot be changed; the description of a field says what it must be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            name, fields = str(first["loc"][0]), type(self).model_fields
            if name not in fields:
                raise SpecError(f"is not part of a {type(self).__name__}{nearest(name, fields)}", label(name)) from None
            raise SpecError(f"is {short(first['input'])}, and must be {fields[name].description}", name) from None

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any = None) -> Self:
        return self


class Choice(_Frozen):
    """A component by name, with its knobs.

    Parameters
    ----------
    name : str
        Name in the catalogue.
    params : mapping, optional
        Knobs; those left out take their defaults.
    **knobs : Any
        The same, one by one.

    Examples
    --------
    Stop rules compose:

    >>> stop = Choice("budget", steps=50) | Choice("discrepancy")
    >>> stop.name, stop.params["first"]["params"]["steps"]
    ('or', 50)
    """

    name: str = Field(max_length=100, description="the name of a component")
    params: Mapping[str, Any] = Field(description="an object of knobs")

    def __init__(self, name: Any, params: Any = None, **knobs: Any) -> None:
        if params is not None and not isinstance(params, Mapping):
            raise SpecError(f"is {short(params)}, and must be an object of knobs", "params")
        given = {**(params or {}), **knobs}
        _refuse_deep(given, "params", MAX_DEPTH - 2)
        super().__init__(name=name, params=thawed(given))

    @field_validator("params", mode="after")
    @classmethod
    def _freeze(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return frozen(value)

    @field_serializer("params")
    def _thaw(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return thawed(value)

    def __or__(self, other: Choice) -> Choice:
        return Choice("or", first=self.as_dict(), second=other.as_dict())

    def __and__(self, other: Choice) -> Choice:
        return Choice("and", first=self.as_dict(), second=other.as_dict())

    def __hash__(self) -> int:
        return hash(canonical(self.as_dict()))

    def __reduce__(self) -> Any:
        return Choice, (self.name, thawed(self.params))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"name": self.name, "params": thawed(self.params)}


class Record(_Frozen):
    """What a run keeps beside its answer.

    Parameters
    ----------
    snapshots : int
        Largest number of iterates kept, spread evenly on a logarithmic axis of steps (of samples: evenly).
    keep_going : bool
        Go on past the stop or the rule up to the budget, so that semi-convergence shows.
    bases : bool
        Keep the bases and matrices that a solver can give.
    warmup : int
        Draws that a sampler discards.
    """

    snapshots: _Whole = Field(default=48, ge=0, le=1000, description="a whole number from 0 to 1000")
    keep_going: bool = Field(default=False, description="true or false")
    bases: bool = Field(default=False, description="true or false")
    warmup: _Whole = Field(default=0, ge=0, le=10**6, description="a whole number from 0 to 1000000")


_KINDS = {
    "problem": "problem",
    "operator": "operator",
    "noise": "noise",
    "prior": "prior",
    "precond": "preconditioner",
    "solver": "solver",
    "rule": "rule",
    "stop": "stop",
    "simulator": "operator",
}
#: fields that may be None
_OPTIONAL = ("operator", "simulator")
_DTYPES = "float32", "float64", "complex64", "complex128"


class RunSpec(_Frozen):
    """Everything that decides a run.

    Parameters
    ----------
    problem, operator, noise, prior, precond, solver, rule, stop : str, mapping or Choice
        A component as a bare name or ``{"name": …, "params": {…}}``; `operator` may be None where the problem offers
        all that the solver needs.
    simulator : str, mapping or Choice, optional
        The operator that makes the data, where it is not the one that the solver knows.
    finer : int
        How many times finer the grid is on which the data are made; 1 is the inverse crime.
    draws : int, optional
        Number of noise draws, run as one batch.
    record : Record or mapping
        What is kept.
    seed : int
        Seed of every random stream.
    device, dtype : str
        ``"cpu"``, ``"cuda"``, …; ``"float32"``, ``"float64"``, ``"complex64"`` or ``"complex128"``.

    Raises
    ------
    SpecError
        In one sentence that names the field, before anything is computed.

    Examples
    --------
    >>> spec = RunSpec(problem="shepp_logan", operator="gaussian_blur", solver="cgls")
    >>> RunSpec.from_json(spec.to_json()) == spec
    True
    """

    kinds: ClassVar[Mapping[str, str]] = MappingProxyType(_KINDS)

    version: int = VERSION
    problem: Choice
    operator: Choice | None
    noise: Choice
    prior: Choice
    precond: Choice
    solver: Choice
    rule: Choice
    stop: Choice
    simulator: Choice | None
    finer: _Whole = Field(ge=1, le=8, description="a whole number from 1 to 8")
    draws: _Whole | None = Field(ge=1, le=4096, description="a whole number from 1 to 4096, or None")
    record: Record
    seed: _Whole = Field(ge=0, le=2**63 - 1, description="a whole number from 0 to 2⁶³ − 1")
    device: _Text = Field(
        pattern=r"^(cpu|meta|mps|cuda(:\d{1,2})?)$", description="'cpu', 'cuda', 'cuda:0', …, 'mps' or 'meta'"
    )
    dtype: _Text = Field(pattern=f"^({'|'.join(_DTYPES)})$", description="one of " + ", ".join(_DTYPES))

    def __init__(
        self,
        *,
        problem: Any = "shepp_logan",
        operator: Any = "gaussian_blur",
        noise: Any = "gaussian",
        prior: Any = "none",
        precond: Any = "none",
        solver: Any = "cgls",
        rule: Any = "fixed",
        stop: Any = "budget",
        simulator: Any = None,
        finer: Any = 1,
        draws: Any = None,
        record: Any = None,
        seed: Any = 0,
        device: Any = "cpu",
        dtype: Any = "float32",
        version: Any = VERSION,
        **unknown: Any,
    ) -> None:
        if type(version) is not int or version != VERSION:
            raise SpecError(f"is {short(version)}, and this release reads versions 1 to {VERSION}", "version")
        given = locals()
        choices = {field: _choice(given[field], field) for field in _KINDS}
        plain = {"finer": finer, "draws": draws, "seed": seed, "device": device, "dtype": dtype, "version": version}
        super().__init__(**choices, **plain, record=_record(record), **unknown)

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """Read a specification; older versions are migrated.

        Raises
        ------
        SpecError
            If the text is not JSON, too large, too deep, of an unknown version, or has an unknown field.
        """
        if not isinstance(text, str):
            raise SpecError(f"the specification is a {type(text).__name__}, and must be JSON text")
        if len(text) > MAX_CHARACTERS:
            raise SpecError(f"the specification has {len(text):,} characters, and at most {MAX_CHARACTERS:,} are read")
        try:
            data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
        except SpecError:
            raise
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise SpecError(f"the specification is not JSON: {error.msg} at {where}") from None
        except ValueError:
            raise SpecError("the specification contains a whole number of thousands of digits") from None
        except RecursionError:
            raise SpecError(f"the specification is nested more than {MAX_DEPTH} deep") from None
        if not isinstance(data, dict):
            raise SpecError(f"the specification is a {type(data).__name__}, and must be an object")
        _refuse_deep(data, "", MAX_DEPTH)
        while type(data.get("version")) is int and data["version"] in MIGRATIONS:
            data = MIGRATIONS[data["version"]](data)
        for name in data:
            if name not in cls.model_fields:
                raise SpecError(f"is not part of a RunSpec{nearest(name, cls.model_fields)}", label(name))
        return cls(**data)

    def to_json(self, indent: int | None = 2) -> str:
        """Return the specification as JSON, defaults included."""
        return json.dumps(self.model_dump(), indent=indent, ensure_ascii=False)

    def key(self) -> str:
        """Return a hash of everything that decides the result, package version included."""
        text = canonical({"package": _package_version(), "spec": self.model_dump()})
        return hashlib.sha256(text.encode()).hexdigest()

    def replace(self, **fields: Any) -> RunSpec:
        """Return a copy with some fields changed."""
        return RunSpec(**{**{name: getattr(self, name) for name in type(self).model_fields}, **fields})

    def __hash__(self) -> int:
        return hash(self.key())

    def __reduce__(self) -> Any:
        return RunSpec.from_json, (self.to_json(),)


#: choices of specifications, whose knobs were checked and whose defaults filled in
_checked: WeakValueDictionary[tuple[str, int], Choice] = WeakValueDictionary()


def _choice(value: Any, field: str) -> Choice | None:
    if value is None and field in _OPTIONAL:
        return None
    if isinstance(value, Choice):
        if _checked.get((field, id(value))) is value:
            return value
        value = value.as_dict()
    _refuse_deep(value, field, MAX_DEPTH - 1)
    made = Choice(**check_part(value, _KINDS[field], field))
    _checked[field, id(made)] = made
    return made


def _record(value: Any) -> Record:
    if isinstance(value, Record):
        return value
    if not isinstance(value, Mapping | None) or not all(isinstance(k, str) for k in value or {}):
        raise SpecError(f"is {short(value)}, and must be an object with {', '.join(Record.model_fields)}", "record")
    try:
        return Record(**(value or {}))
    except SpecError as error:
        raise SpecError(error.message, f"record.{error.field}") from None


def frozen(value: Any) -> Any:
    """Return JSON data that cannot be changed: mapping proxies and tuples."""
    if isinstance(value, Mapping):
        return MappingProxyType({k: frozen(v) for k, v in value.items()})
    return tuple(frozen(v) for v in value) if isinstance(value, list | tuple) else value


def thawed(value: Any) -> Any:
    """Return plain dicts and lists again."""
    if isinstance(value, Mapping):
        return {k: thawed(v) for k, v in value.items()}
    return [thawed(v) for v in value] if isinstance(value, list | tuple) else value


def canonical(value: Any) -> str:
    """Return JSON text that is the same for the same data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _refuse_deep(value: Any, field: str, depth: int) -> None:
    level = [value]
    for _ in range(depth):
        inside = (v.values() if isinstance(v, Mapping) else v for v in level if isinstance(v, Mapping | list | tuple))
        level = [item for items in inside for item in items]
    if level:
        raise SpecError(f"the specification is nested more than {MAX_DEPTH} deep", field)


def label(name: str) -> str:
    """Return an unknown field's name as it may stand in a sentence."""
    return name if name.isidentifier() and len(name) <= 60 else short(name)


def _refuse_constant(name: str) -> None:
    raise SpecError(f"the specification contains {name}, which is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise SpecError(f"the specification names {short(twice)} twice")
    return made


def _package_version() -> str:
    try:
        return importlib.metadata.version("explorer-inverse")
    except importlib.metadata.PackageNotFoundError:
        return "unreleased"
