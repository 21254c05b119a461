"""The specification of a run: one JSON document for every way of running.

It is safe to load from a stranger: data only, no code, no path, bounded sizes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator

from explorer.catalogue import SpecError, check_part

VERSION = 1
MAX_CHARACTERS = 262_144
MAX_DEPTH = 12

#: version -> function that turns a document of that version into one of the next
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                raise SpecError(
                    f"is not part of a {type(self).__name__}; known: {', '.join(type(self).model_fields)}",
                    where,
                ) from None
            raise SpecError(f"is {first['input']!r:.80}, and is refused: {first['msg'].lower()}", where) from None


class Choice(_Frozen):
    """A component by name, with its knobs.

    Parameters
    ----------
    name : str
        Name in the catalogue.
    params : mapping
        Knobs; those left out take their defaults.

    Examples
    --------
    Stop rules compose:

    >>> stop = Choice(name="budget", params={"steps": 50}) | Choice(name="discrepancy")
    >>> stop.name
    'or'
    """

    name: str = Field(max_length=100)
    params: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("params", mode="after")
    @classmethod
    def _freeze(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return frozen(value)

    @field_serializer("params")
    def _thaw(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return thawed(value)

    def __or__(self, other: Choice) -> Choice:
        return Choice(name="or", params={"first": self.as_dict(), "second": other.as_dict()})

    def __and__(self, other: Choice) -> Choice:
        return Choice(name="and", params={"first": self.as_dict(), "second": other.as_dict()})

    def __hash__(self) -> int:
        return hash(canonical(self.as_dict()))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"name": self.name, "params": thawed(self.params)}


class Record(_Frozen):
    """What a run keeps beside its answer.

    Parameters
    ----------
    snapshots : int
        Largest number of iterates kept, spread evenly on a logarithmic axis of steps.
    keep_going : bool
        Go on past the stop or the rule up to the budget, so that semi-convergence shows.
    bases : bool
        Keep the bases and matrices that a solver can give.
    warmup : int
        Draws that a sampler discards.
    """

    snapshots: int = Field(48, ge=0, le=1000)
    keep_going: bool = False
    bases: bool = False
    warmup: int = Field(0, ge=0, le=1_000_000)


_KINDS = {
    "problem": "problem",
    "operator": "operator",
    "noise": "noise",
    "prior": "prior",
    "precond": "preconditioner",
    "solver": "solver",
    "rule": "rule",
    "stop": "stop",
}


class RunSpec(_Frozen):
    """Everything that decides a run.

    Parameters
    ----------
    problem, operator, noise, prior, precond, solver, rule, stop : str, mapping or Choice
        A component as a bare name or ``{"name": …, "params": {…}}``; `operator` may be None where the problem offers
        all that the solver needs.
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
    draws: int | None = Field(None, ge=1, le=4096)
    record: Record = Record()
    seed: int = Field(0, ge=0, le=2**63 - 1)
    device: str = Field("cpu", max_length=20, pattern=r"^(cpu|meta|mps|cuda(:\d{1,2})?)$")
    dtype: str = Field("float32", pattern="^(float32|float64|complex64|complex128)$")

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
        record: Any = None,
        version: Any = VERSION,
        **rest: Any,
    ) -> None:
        if version != VERSION:
            raise SpecError(f"is {version!r}, and this release reads versions 1 to {VERSION}", "version")
        chosen = dict(
            problem=problem,
            operator=operator,
            noise=noise,
            prior=prior,
            precond=precond,
            solver=solver,
            rule=rule,
            stop=stop,
        )
        choices = {field: _choice(value, field) for field, value in chosen.items()}
        made = record if isinstance(record, Record) else _record(record)
        super().__init__(version=version, record=made, **choices, **rest)

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """Read a specification; older versions are migrated.

        Raises
        ------
        SpecError
            If the text is not JSON, too large, too deep, of an unknown version, or has an unknown field.
        """
        if len(text) > MAX_CHARACTERS:
            raise SpecError(f"the specification has {len(text):,} characters, and at most {MAX_CHARACTERS:,} are read")
        try:
            data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
        except RecursionError:
            raise SpecError(f"the specification is nested more than {MAX_DEPTH} deep") from None
        except json.JSONDecodeError as error:
            raise SpecError(
                f"the specification is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
            ) from None
        if not isinstance(data, dict):
            raise SpecError(f"the specification is a {type(data).__name__}, and must be an object")
        if _depth(data) > MAX_DEPTH:
            raise SpecError(f"the specification is nested more than {MAX_DEPTH} deep")
        while isinstance(data.get("version"), int) and data["version"] in MIGRATIONS:
            data = MIGRATIONS[data["version"]](data)
        unknown = [k for k in data if k not in cls.model_fields]
        if unknown:
            raise SpecError(f"is not part of a RunSpec; known: {', '.join(cls.model_fields)}", unknown[0])
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


def _choice(value: Any, field: str) -> Choice | None:
    if value is None and field == "operator":
        return None
    if isinstance(value, Choice):
        value = value.as_dict()
    checked = check_part(value, _KINDS[field], field)
    if checked is None:
        raise SpecError(f"is None, and must name a {_KINDS[field]}", field)
    return Choice(**checked)


def _record(value: Any) -> Record:
    if value is None:
        return Record()
    if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
        raise SpecError(f"is {value!r:.60}, and must be an object with {', '.join(Record.model_fields)}", "record")
    try:
        return Record(**value)
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


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _refuse_constant(name: str) -> None:
    raise SpecError(f"the specification contains {name}, which is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise SpecError("the specification names a field twice")
    return made


def _package_version() -> str:
    try:
        return importlib.metadata.version("explorer-inverse")
    except importlib.metadata.PackageNotFoundError:
        return "unreleased"
