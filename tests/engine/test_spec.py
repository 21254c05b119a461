"""The specification: what it says, what it refuses, and how."""

import copy
import functools
import json
import operator
import pickle

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError
from explorer.engine import spec as module
from explorer.engine.spec import MAX_CHARACTERS, MAX_DEPTH, Choice, Record, RunSpec

FIELDS = ("problem", "operator", "noise", "prior", "precond", "solver", "rule", "stop", "simulator")


def refusal(make):
    """Return the error of `make`, which must be one clear sentence and nothing of a library's."""
    with pytest.raises(SpecError) as caught:
        make()
    error = caught.value
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400
    assert text.isprintable()
    for foreign in ("pydantic", "validation error", "Input should", "Traceback", "Error(", "object at 0x", "<class"):
        assert foreign not in text
    return error


# --- what it says ---


def test_round_trip_through_json_gives_an_equal_specification_with_an_equal_key():
    spec = RunSpec(
        problem={"name": "blocks", "params": {"size": 32}},
        solver={"name": "cgls", "params": {"damping": [0.1, 0.2]}},
        stop=Choice("budget", steps=3) | Choice("discrepancy") & Choice("stagnation"),
        record={"snapshots": 3, "keep_going": True},
        draws=4,
        seed=7,
        dtype="float64",
    )
    again = RunSpec.from_json(spec.to_json())
    assert again == spec
    assert again.key() == spec.key()
    assert again.to_json() == spec.to_json()
    assert hash(again) == hash(spec)
    assert RunSpec.from_json(spec.to_json(indent=None)) == spec


def test_an_operator_may_be_none():
    spec = RunSpec(operator=None)
    assert spec.operator is None
    assert RunSpec.from_json(spec.to_json()) == spec


def test_a_specification_survives_pickling_and_copying():
    spec = RunSpec(stop=Choice("budget", steps=3) | Choice("discrepancy"))
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert pickle.loads(pickle.dumps(spec.stop)) == spec.stop
    assert copy.deepcopy(spec) == spec
    assert copy.copy(spec.record) == spec.record


def test_defaults_are_filled_in_before_hashing():
    bare = RunSpec(solver="cgls")
    assert bare.solver.params["damping"] == 0.0
    assert RunSpec(solver={"name": "cgls", "params": {"damping": 0}}).key() == bare.key()
    assert RunSpec(solver=Choice("cgls"), stop={"name": "budget"}).key() == bare.key()
    assert RunSpec(stop=Choice("or", first="budget")) == RunSpec(stop=Choice("budget") | Choice("relative_residual"))


def test_the_key_does_not_depend_on_the_order_of_knobs():
    one = RunSpec(stop={"name": "budget", "params": {"steps": 5, "cost": 7}})
    assert one.key() == RunSpec(stop={"params": {"cost": 7, "steps": 5}, "name": "budget"}).key()
    assert len(one.key()) == 64


CHANGES = {
    "simulator": "identity",
    "finer": 2,
    "problem": "blocks",
    "operator": None,
    "noise": "none",
    "prior": None,
    "precond": None,
    "solver": {"name": "cgls", "params": {"damping": 1.0}},
    "rule": "gcv",
    "stop": {"name": "budget", "params": {"steps": 7}},
    "draws": 2,
    "record": {"bases": True},
    "seed": 1,
    "device": "meta",
    "dtype": "float64",
}


def test_every_field_changes_the_key():
    keys = {RunSpec().key()}
    changes = dict(CHANGES)
    for field, kind in (("prior", "prior"), ("precond", "preconditioner")):
        changes[field] = next(name for name in ex.catalogue.shelf(kind) if name != "none")
    assert set(changes) == set(RunSpec.model_fields) - {"version"}
    for field, value in changes.items():
        keys.add(RunSpec(**{field: value}).key())
    assert len(keys) == 1 + len(changes)


def test_the_key_depends_on_the_package_version(monkeypatch):
    before = RunSpec().key()
    monkeypatch.setattr(module, "_package_version", lambda: "99")
    assert RunSpec().key() != before


def test_it_is_frozen_all_the_way_down():
    spec = RunSpec(stop=Choice("budget") | Choice("discrepancy"), solver=Choice("cgls", damping=[1.0, 2.0]))
    with pytest.raises(Exception, match="frozen"):
        spec.seed = 3
    with pytest.raises(Exception, match="frozen"):
        spec.record.bases = True
    with pytest.raises(Exception, match="frozen"):
        spec.solver.name = "lsqr"
    with pytest.raises(TypeError):
        spec.solver.params["damping"] = 2.0
    with pytest.raises(TypeError):
        spec.stop.params["first"]["params"]["steps"] = 2
    assert isinstance(spec.solver.params["damping"], tuple)


def test_later_changes_of_what_was_given_do_not_reach_it():
    params = {"damping": [1.0, 2.0]}
    choice, spec = Choice("cgls", params), RunSpec(solver={"name": "cgls", "params": params})
    params["damping"].append(3.0)
    assert len(choice.params["damping"]) == len(spec.solver.params["damping"]) == 2


def test_numbers_of_numpy_and_torch_become_plain_data():
    spec = RunSpec(
        seed=np.int64(3),
        draws=np.int32(2),
        dtype=torch.float64,
        device=torch.device("cpu"),
        problem={"name": "blocks", "params": {"size": np.int64(64)}},
        solver=Choice("cgls", damping=np.logspace(-2, 0, 3)),
    )
    assert RunSpec.from_json(spec.to_json()) == spec
    assert spec.solver.params["damping"] == (0.01, 0.1, 1.0)
    assert RunSpec(solver=Choice("cgls", damping=torch.tensor(0.5))).solver.params["damping"] == 0.5


def test_a_choice_takes_knobs_by_keyword_or_as_a_mapping():
    assert Choice("budget", steps=3) == Choice(name="budget", params={"steps": 3}) == Choice("budget", {"steps": 3})
    assert Choice("budget").as_dict() == {"name": "budget", "params": {}}
    assert ex.Choice is Choice


def test_replace_changes_some_fields():
    spec = RunSpec(solver=Choice("cgls", damping=0.5), record={"bases": True})
    other = spec.replace(seed=5, problem="blocks")
    assert (other.seed, other.problem.name, other.solver, other.record) == (5, "blocks", spec.solver, spec.record)
    assert spec.seed == 0


def test_older_versions_are_migrated(monkeypatch):
    monkeypatch.setitem(module.MIGRATIONS, 0, lambda old: {**old, "version": 1, "seed": old["seed"] + 1})
    assert RunSpec.from_json('{"version": 0, "seed": 4}').seed == 5


# --- what it refuses ---

WRONG = [
    True,
    -1,
    1.5,
    1e400,
    float("nan"),
    10**400,
    "",
    "no such name",
    "☃" * 5000,
    "\x00\n\u202e",
    b"bytes",
    [],
    [1, [2]],
    ["cgls"] * 10_000,
    {},
    {"name": 3},
    {"name": None, "params": {}},
    {"name": "cgls", "params": []},
    {"name": "cgls", "params": {"x": 1}},
    {"name": "cgls", "extra": 1},
    {1: 2},
    object,
    torch.zeros(3),
    (),
]


@pytest.mark.parametrize("field", [*FIELDS, "finer", "draws", "record", "seed", "device", "dtype", "version"])
def test_a_wrong_type_in_any_field_is_one_sentence_naming_the_field(field):
    fine = {"finer": (), "draws": (), "record": ({},), "seed": (10**400,), "device": (), "dtype": (), "version": ()}
    for value in WRONG:
        if field == "record" and value == {}:
            continue
        error = refusal(lambda value=value: RunSpec(**{field: value}))
        assert error.field.split(".")[0] == field
    assert set(fine) | set(FIELDS) == set(RunSpec.model_fields)


@pytest.mark.parametrize("field", Record.model_fields)
def test_a_wrong_type_in_the_record_is_one_sentence(field):
    for value in (-1, 1.5, "1", [1], {}, None, 10**9):
        error = refusal(lambda value=value: RunSpec(record={field: value}))
        assert error.field == f"record.{field}"


def test_wrong_knobs_name_the_knob():
    for value in (
        -1.0,
        "1",
        None,
        True,
        float("nan"),
        float("inf"),
        1e300,
        10**400,
        [],
        [1, "2"],
        [[1.0]],
        {},
        [1] * 5000,
    ):
        error = refusal(lambda value=value: RunSpec(solver={"name": "cgls", "params": {"damping": value}}))
        assert error.field.startswith("solver.params.damping")
    error = refusal(lambda: RunSpec(stop=Choice("or", first=Choice("budget", steps=0).as_dict())))
    assert error.field == "stop.params.first.params.steps"


def test_unknown_names_bring_the_nearest_known_one():
    assert "did you mean 'cgls'" in str(refusal(lambda: RunSpec(solver="cglss")))
    assert "did you mean 'damping'" in str(refusal(lambda: RunSpec(solver=Choice("cgls", dampign=1.0))))
    assert "did you mean 'solver'" in str(refusal(lambda: RunSpec(solvr="cgls")))
    assert "did you mean 'bases'" in str(refusal(lambda: RunSpec(record={"base": True})))


HOSTILE = {
    "not JSON": "{",
    "nothing": "",
    "a number": "3",
    "a list": "[]",
    "null": "null",
    "text": '"cgls"',
    "byte order mark": "\ufeff{}",
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "closed deep lists": '{"problem": ' + "[" * 500 + "]" * 500 + "}",
    "closed deep objects": '{"stop": ' + '{"name": "or", "params": {"first": ' * 40 + '"budget"' + "}}" * 40 + "}",
    "too large": '{"problem": "' + "x" * MAX_CHARACTERS + '"}',
    "a huge whole number": '{"seed": ' + "9" * 10_000 + "}",
    "a huge list": '{"solver": {"name": "cgls", "params": {"damping": [' + "1," * 100_000 + "1]}}}",
    "NaN": '{"seed": NaN}',
    "Infinity": '{"solver": {"name": "cgls", "params": {"damping": Infinity}}}',
    "-Infinity": '{"solver": {"name": "cgls", "params": {"damping": -Infinity}}}',
    "overflow": '{"solver": {"name": "cgls", "params": {"damping": 1e999}}}',
    "a field twice": '{"seed": 1, "seed": 2}',
    "a nested field twice": '{"solver": {"name": "cgls", "name": "lsqr"}}',
    "an extra key": '{"seeed": 1}',
    "a dunder key": '{"__class__": "os.system"}',
    "self": '{"self": 1}',
    "an odd key": json.dumps({"\x00\n": 1}),
    "a long key": json.dumps({"k" * 100_000: 1}),
    "a lone surrogate": '{"solver": "\\ud800"}',
    "version 0": '{"version": 0}',
    "version 2": '{"version": 2}',
    "version text": '{"version": "1"}',
    "version true": '{"version": true}',
    "version 1.0": '{"version": 1.0}',
    "version null": '{"version": null}',
    "version list": '{"version": [1]}',
    "params a list": '{"solver": {"name": "cgls", "params": [1]}}',
    "params null": '{"solver": {"name": "cgls", "params": null}}',
    "a path as a file": '{"problem": {"name": "own_file", "params": {"file": "../../etc/passwd"}}}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_one_sentence(text):
    refusal(lambda: RunSpec.from_json(text))


def test_json_must_be_text():
    for thing in (None, 3, b"{}", {}, ["{}"]):
        refusal(lambda thing=thing: RunSpec.from_json(thing))


def test_the_version_and_an_extra_key_are_named():
    assert refusal(lambda: RunSpec.from_json('{"version": 2}')).field == "version"
    assert refusal(lambda: RunSpec.from_json('{"sede": 2}')).field == "sede"


def test_text_that_cannot_be_encoded_is_refused():
    @ex.catalogue.analysis("Labelled")
    def labelled(*, text: str = "") -> str:
        """Return a text."""
        return text

    try:
        component = ex.catalogue.analyses["labelled"]
        assert component.build(text="Größe ☃") == "Größe ☃"
        refusal(lambda: component.build(text="\ud800"))
        refusal(lambda: component.build(text="x" * 1001))
    finally:
        ex.catalogue.analyses.remove("labelled")


def test_stop_rules_composed_too_deeply_are_refused_before_they_cannot_be_read_back():
    def composed(number):
        return functools.reduce(operator.or_, [Choice("budget")] * number)

    with pytest.raises(SpecError, match=f"nested more than {MAX_DEPTH} deep"):
        composed(1000)
    spec = RunSpec(stop=composed(15))
    assert RunSpec.from_json(spec.to_json()) == spec


def test_a_specification_of_longest_lists_is_read_back():
    many = [1 / 3 + i for i in range(4096)]
    spec = RunSpec(solver=Choice("cgls", damping=many))
    assert RunSpec.from_json(spec.to_json()) == spec
