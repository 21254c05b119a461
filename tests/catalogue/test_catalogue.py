"""The registry: what a signature becomes, what is refused, and how others register."""

import logging
import threading
import types
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import explorer as ex
from explorer import catalogue
from explorer.catalogue import (
    SHELVES,
    Capability,
    File,
    Help,
    Linear,
    Log,
    Part,
    Shelf,
    SpecError,
    analyses,
    analysis,
    registry,
    solvers,
)
from explorer.linalg import Rng, Space

POSITIVE = Capability("a positive number", lambda x: x > 0)


def sample(
    A: Space,
    y: Tensor,
    level: Annotated[float, POSITIVE] = 1.0,
    x0: Tensor | None = None,
    *,
    weight: Annotated[float, Log(0, 10, unit="m", help="a weight", degree=1, batched=True)] = 0.5,
    count: Annotated[int, Linear(1, 9, help="a number")] = 3,
    start: Annotated[float | None, Linear(-1, 1, help="a start")] = None,
    kind: Annotated[Literal["one", "two", 3], Help("a kind")] = "one",
    fast: Annotated[bool, Help("be fast")] = False,
    label: Annotated[str, Help("a label")] = "text",
    image: Annotated[str, File(help="an image")] = "",
    part: Annotated[object, Part("preconditioner", help="a part")] = "none",
) -> dict:
    """Say what was given.

    More.
    """
    return locals()


@pytest.fixture
def component():
    analysis("Sample", papers=["Nobody 2000: A test"], equation="x", solves="nothing")(sample)
    yield analyses["sample"]
    analyses.remove("sample")


@pytest.fixture
def register():
    """Register functions as analyses for one test."""
    names = []

    def add(function, **options):
        analysis("Title", **options)(function)
        names.append(options.get("name", function.__name__))
        return function

    yield add
    for name in names:
        analyses.remove(name)


# --- from a signature ---


def test_a_signature_becomes_needs_and_knobs(component):
    assert (component.kind, component.name, component.title) == ("analysis", "sample", "Sample")
    assert (component.summary, component.equation) == ("Say what was given.", "x")
    assert component.papers == ("Nobody 2000: A test",)
    assert component.traits == {"solves": "nothing"}
    assert component.gives is dict
    assert [(n.name, n.optional) for n in component.needs] == [
        ("A", False),
        ("y", False),
        ("level", True),
        ("x0", True),
    ]
    assert [n.says for n in component.needs[:3]] == ["a space of tensors", catalogue.NAMES["y"], "a positive number"]
    assert {k.name: k.type for k in component.knobs.values()} == {
        "weight": "float",
        "count": "int",
        "start": "float",
        "kind": "choice",
        "fast": "bool",
        "label": "text",
        "image": "file",
        "part": "part",
    }
    weight = component.knobs["weight"]
    assert (weight.low, weight.high, weight.scale, weight.unit, weight.degree) == (0, 10, "log", "m", 1)
    assert weight.batched
    assert component.knobs["count"].scale == "linear"
    assert component.knobs["start"].optional
    assert component.knobs["kind"].choices == ("one", "two", 3)
    assert component.knobs["part"].kind == "preconditioner"


def test_a_class_is_a_component_by_its_init():
    gaussian = ex.catalogue.noises["gaussian"]
    assert gaussian.needs == ()
    assert set(gaussian.knobs) == {"level", "scale"}


def test_a_schema_says_what_is_allowed(component):
    schema = component.schema()
    assert schema["title"] == "Sample"
    assert schema["additionalProperties"] is False
    about = schema["properties"]
    assert set(about) == set(component.knobs)
    assert about["count"] == {
        "description": "a number",
        "default": 3,
        "scale": "linear",
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
    }
    one, several = about["weight"]["anyOf"]
    assert one == {"type": "number", "minimum": 0, "maximum": 10}
    assert several["items"] == one
    assert (about["weight"]["unit"], about["weight"]["degree"], about["weight"]["batched"]) == ("m", 1, True)
    assert about["start"]["anyOf"][1] == {"type": "null"}
    assert about["kind"]["enum"] == ["one", "two", 3]
    assert about["fast"]["type"] == "boolean"
    assert about["part"]["kind"] == "preconditioner"


def test_a_schema_judges_as_the_component_does(component):
    jsonschema = pytest.importorskip("jsonschema")
    schema = component.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = [
        {},
        {"weight": 0.0, "count": 9, "start": None, "kind": 3, "fast": True, "label": "x", "image": "0" * 64},
        {"weight": [1.0, 2.0]},
        {"part": "fourier"},
    ]
    bad = [
        {"weight": -1.0},
        {"weight": []},
        {"weight": "1"},
        {"count": 0},
        {"count": 1.5},
        {"start": 2.0},
        {"kind": "three"},
        {"fast": 1},
        {"label": None},
        {"image": "../etc/passwd"},
        {"unknown": 1},
        {"part": 3},
    ]
    for params in good:
        jsonschema.validate(params, schema)
        component.check(params)
    for params in bad:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(params, schema)
        with pytest.raises(SpecError):
            component.check(params)


def test_defaults_are_filled_in_and_numbers_are_plain(component):
    filled = component.check({"weight": np.float32(0.5), "count": np.int64(4), "start": 1})
    assert list(filled) == list(component.knobs)
    assert type(filled["weight"]) is float
    assert type(filled["count"]) is int
    assert type(filled["start"]) is float
    assert filled["part"] == {"name": "none", "params": {}}


@pytest.mark.parametrize(
    "values", [[0.5, 1], (0.5, 1.0), np.array([0.5, 1.0]), torch.tensor([0.5, 1.0])], ids=lambda v: type(v).__name__
)
def test_a_batched_knob_takes_several_values(component, values):
    assert component.check({"weight": values})["weight"] == (0.5, 1.0)


@pytest.mark.parametrize(
    "values",
    [[], [0.5, 11.0], [0.5, None], [[0.5]], [0.5] * 5000, np.ones((2, 2))],
    ids=lambda v: str(np.shape(v)) if not isinstance(v, list) else str(len(v)),
)
def test_several_values_are_each_checked(component, values):
    with pytest.raises(SpecError, match="weight"):
        component.check({"weight": values})


def test_several_values_are_refused_where_one_is_meant(component):
    with pytest.raises(SpecError, match=r"count: is .*, and must be a whole number from 1 to 9"):
        component.check({"count": [1, 2]})


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"weight": 11.0}, "sample.weight: is 11.0, and must be a number from 0 to 10 m"),
        ({"count": 2.0}, "sample.count: is 2.0, and must be a whole number from 1 to 9"),
        ({"count": True}, "sample.count: is True, and must be a whole number from 1 to 9"),
        ({"kind": "thre"}, "sample.kind: is 'thre', and must be one of one, two, 3"),
        ({"kind": 3.0}, "sample.kind: is 3.0, and must be one of one, two, 3"),
        ({"fast": 1}, "sample.fast: is 1, and must be true or false"),
        ({"image": "x"}, "sample.image: is 'x', and must be the SHA-256 hash of a file"),
        ({"wieght": 1.0}, "sample: Sample has no knob 'wieght': did you mean 'weight'?"),
        ({"part": "nonne"}, "sample.part: there is no preconditioner 'nonne': did you mean 'none'?"),
        ({"part": {"name": "none", "params": {"x": 0}}}, "sample.part.params: No preconditioner has no knob 'x'"),
        ({"part": {"name": "none", "knobs": {}}}, "sample.part: is {'name': 'none', 'knobs': {}}, and must be a name"),
        ({"part": {"name": "none", "params": []}}, "sample.part.params: is [], and must be an object of knobs"),
        ({"part": None}, "sample.part: is None, and must be a name"),
    ],
    ids=str,
)
def test_a_wrong_knob_is_a_sentence_that_names_it(component, params, sentence):
    with pytest.raises(SpecError) as caught:
        component.check(params)
    assert str(caught.value).startswith(sentence)


# --- building ---


def test_building_joins_needs_and_knobs(component):
    space, y = Space((2,)), torch.ones(2)
    made = component.build(A=space, y=y, weight=2)
    assert made["A"] is space
    assert made["y"] is y
    assert made["weight"] == 2.0
    assert made["level"] == 1.0
    assert made["part"] is None


def test_building_passes_a_tensor_of_a_batched_knob_on(component):
    weights = torch.tensor([0.5, 1.0])
    assert component.build(A=Space((2,)), y=torch.ones(2), weight=weights)["weight"] is weights
    with pytest.raises(SpecError, match="weight"):
        component.build(A=Space((2,)), y=torch.ones(2), weight=torch.tensor([0.5, 11.0]))


def test_a_missing_need_and_a_missing_capability_are_named(component):
    with pytest.raises(SpecError, match="Sample needs a space of tensors, and there is none"):
        component.build(y=torch.ones(2))
    with pytest.raises(SpecError, match=r"Sample needs a space of tensors, and .* is not"):
        component.build(A=3, y=torch.ones(2))
    with pytest.raises(SpecError, match=r"Sample needs a positive number, and .* is not"):
        component.build(A=Space((2,)), y=torch.ones(2), level=-1.0)


def test_a_nested_part_is_built_from_the_same_offers_with_its_own_stream(register):
    def inner(rng: Rng, y: Tensor, *, factor: Annotated[float, Linear(0, 9, help="a factor")] = 2.0) -> Tensor:
        """Draw."""
        return factor * y + rng.normal(())

    def outer(rng: Rng, *, part: Annotated[object, Part("analysis", help="a part")] = "inner") -> tuple:
        """Draw after the part."""
        return part, rng.normal(())

    register(inner)
    register(outer)

    def build(**params):
        offers = {"rng": Rng(0, "x"), "y": torch.zeros(())}
        outer = analyses["outer"]
        return outer.bind(offers, outer.check(params))()

    nested, own = build()
    assert float(own) == float(Rng(0, "x").normal(()))
    assert float(nested) != float(own)
    again, _ = build(part={"name": "inner", "params": {"factor": 5.0}})
    assert float(again) == float(nested)
    with pytest.raises(SpecError, match="needs the data"):
        analyses["inner"].build(rng=Rng(0, "x"))


# --- registration ---


def test_a_slip_in_a_signature_shows_where_it_is_made():
    def no_range(*, x: float = 1.0) -> None: ...
    def no_default(*, x: Annotated[float, Linear(0, 1)]) -> None: ...
    def bad_default(*, x: Annotated[float, Linear(0, 1)] = 2.0) -> None: ...
    def starred(*xs: float) -> None: ...
    def keywords(**xs: float) -> None: ...
    def unknown(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for function, part in (
        (no_range, "needs a range"),
        (no_default, "needs a default"),
        (bad_default, "its default: is 2.0, and must be a number from 0 to 1"),
        (starred, "xs cannot be offered or set"),
        (keywords, "xs cannot be offered or set"),
        (unknown, "an annotation cannot be read"),
    ):
        with pytest.raises(TypeError, match=part) as caught:
            analysis("Slip")(function)
        assert function.__name__ in str(caught.value)
        assert function.__name__ not in analyses


def test_duplicates_are_refused_and_the_first_one_stays(register):
    def mine() -> int:
        """One."""
        return 1

    def other() -> int:
        """Two."""
        return 2

    register(mine)
    with pytest.raises(SpecError, match="there is an analysis named 'mine' already"):
        analysis("Other", name="mine")(other)
    assert analyses["mine"].build() == 1
    with pytest.raises(SpecError, match="already, from explorer"):
        catalogue.solver("Mine", name="cgls")(mine)
    assert ex.catalogue.solvers["cgls"].title == "CGLS"


def test_a_cell_that_is_run_again_replaces_its_component(register):
    def define(value):
        def cell() -> int:
            """Return a value."""
            return value

        return cell

    register(define(1))
    register(define(2))
    assert analyses["cell"].build() == 2


def test_a_name_of_a_core_component_is_refused_before_the_shelf_was_ever_looked_at(monkeypatch):
    shelf = Shelf("solver", "explorer.solvers")
    monkeypatch.setitem(SHELVES, "solver", shelf)
    core = dict(solvers)
    monkeypatch.setattr(shelf, "_load", lambda: shelf._items or shelf._items.update(core) or shelf._items)
    with pytest.raises(SpecError, match="there is a solver named 'cgls' already"):
        shelf.add(registry.Component("solver", "cgls", "Mine", lambda: None))


def test_a_broken_package_leaves_the_catalogue_standing(monkeypatch, caplog):
    def load():
        raise ImportError("no such module")

    broken = types.SimpleNamespace(value="broken.package", load=load)
    loaded = []
    fine = types.SimpleNamespace(value="fine.package", load=lambda: loaded.append(1))
    monkeypatch.setattr(
        registry.importlib.metadata,
        "entry_points",
        lambda group: [broken, fine] if group == "explorer.components" else [],
    )
    with caplog.at_level(logging.WARNING):
        registry._load_entry_points.__wrapped__()
    assert loaded == [1]
    assert "broken.package" in caplog.text


def test_shelves_are_loaded_once_however_many_threads_ask(monkeypatch):
    calls = []
    monkeypatch.setattr(registry, "_import_all", lambda package: calls.append(package))
    monkeypatch.setattr(registry, "_load_entry_points", lambda: None)
    shelf = Shelf("solver", "explorer.solvers")
    threads = [threading.Thread(target=lambda: len(shelf)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["explorer.solvers", "explorer.labs"]


def test_a_shelf_that_failed_to_load_says_so_again(monkeypatch):
    def fail(package):
        raise ImportError(package)

    monkeypatch.setattr(registry, "_import_all", fail)
    shelf = Shelf("solver", "explorer.nowhere")
    for _ in range(2):
        with pytest.raises(ImportError):
            len(shelf)


def test_a_shelf_is_a_mapping():
    shelf = ex.catalogue.solvers
    assert "cgls" in shelf
    assert shelf["cgls"] is shelf.find("cgls")
    assert shelf.get("no such solver") is None
    assert list(shelf) == list(shelf.keys())
    assert len(shelf) == len(list(shelf.values()))
    assert "cgls" in repr(shelf)
    with pytest.raises(SpecError, match="did you mean 'cgls'"):
        shelf["cglss"]


def test_components_are_attributes_of_their_rooms_also_beside_modules_of_the_same_name():
    import explorer.solvers.cgls

    assert callable(ex.solvers.cgls)
    assert ex.solvers.cgls.__wrapped__ is ex.catalogue.solvers["cgls"].function
    assert isinstance(explorer.operators.identity, types.FunctionType)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ex.solvers.nothing
    with pytest.raises(AttributeError):
        _ = ex.nothing
    assert {"RunSpec", "run", "catalogue", "solvers"} <= set(dir(ex))
