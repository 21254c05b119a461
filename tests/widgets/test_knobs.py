"""Rows of the form, generated from signatures."""

import pytest

from explorer.catalogue import SHELVES, Knob, SpecError
from explorer.engine.spec import RunSpec
from explorer.widgets import knobs

SPEC = RunSpec(problem="blocks")


EVERY = [
    pytest.param(RunSpec(**{field: name}), id=f"{field}-{name}")
    for field, kind in RunSpec.kinds.items()
    for name in SHELVES[kind]
]


def rows_of(spec):
    every = [row for group in knobs.groups(spec, {}, {}) for row in group["rows"]]
    return [row for row in every if row["id"] != "preset"]  # which is no part of a specification


@pytest.mark.parametrize("spec", EVERY)
def test_every_knob_of_every_component_has_a_row_with_a_name_of_its_own(spec):
    rows = rows_of(spec)
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert all(row["name"] and row["label"] and row["help"] for row in rows)
    ids = {row["id"] for row in rows}
    for field, kind in RunSpec.kinds.items():
        choice = getattr(spec, field)
        knobs_of = SHELVES[kind][choice.name].knobs if choice is not None else ()
        assert {f"{field}.params.{name}" for name in knobs_of} | {field} <= ids


@pytest.mark.parametrize("spec", EVERY)
def test_entering_what_a_row_shows_changes_nothing(spec):
    for row in rows_of(spec):
        knob = knobs.knob_at(spec, row["id"])
        if row["type"] == "component":
            entered = knobs.assign(spec, row["id"], knobs.parsed(knob, row["value"], row["id"]))
            assert type(knobs.value_at(entered, row["id"])) is type(knobs.value_at(spec, row["id"]))
            continue
        shown = row["text"] if "text" in row and row["type"] in ("float", "int", "text") else row["value"]
        entered = knobs.assign(spec, row["id"], knobs.parsed(knob, shown, row["id"]))
        value, expected = knobs.value_at(entered, row["id"]), knobs.value_at(spec, row["id"])
        assert value == (pytest.approx(expected, rel=1e-5) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("spec", EVERY)
def test_every_position_of_every_slider_is_allowed(spec):
    for row in rows_of(spec):
        for value in row.get("rests", [row[end] for end in ("low", "high") if end in row]):
            knobs.assign(spec, row["id"], int(value) if row["type"] == "int" else value)


def test_a_logarithmic_slider_rests_at_round_numbers_and_ends_at_an_explicit_zero():
    knob = Knob("damping", "float", 0.0, 0.0, 1e6, "log")
    values = knobs.rests(knob)
    assert values[:3] == [0.0, 1e-8, 1.2e-8]
    assert values[-1] == 1e6
    assert values == sorted(set(values))
    assert knobs.rests(Knob("size", "int", 128, 8, 2048, "log"))[:3] == [8, 10, 12]
    assert 128 in knobs.rests(Knob("size", "int", 128, 8, 2048, "log"))
    assert knobs.rests(Knob("level", "float", 0.02, 0.0, 10.0, "log"))[:2] == [0.0, 2e-6]


@pytest.mark.parametrize(
    ("knob", "expected"),
    [
        (Knob("sigma", "float", 1.0, help="width σ of the kernel"), "Width σ"),
        (Knob("tau", "float", 1.0, help="safety factor τ ≥ 1"), "Safety factor τ"),
        (Knob("damping", "float", 0.0, help="Tikhonov weight λ"), "Damping λ"),
        (Knob("level", "float", 0.0, help="relative: ‖n‖ / ‖A x‖"), "Level"),
        (Knob("step_size", "float", 0.0, help="in units of 1 / L"), "Step size"),
    ],
)
def test_a_label_is_the_word_and_its_symbol(knob, expected):
    assert knobs.label(knob) == expected


@pytest.mark.parametrize(
    ("text", "knob", "value"),
    [
        ("1e-3", Knob("a", "float", 0.0, 0, 1), 1e-3),
        (" −2 ", Knob("a", "float", 0.0, -5, 1), -2),
        ("1e3", Knob("n", "int", 1, 1, 9999), 1000),
        ("0.1, 1", Knob("a", "float", 0.0, 0, 1, batched=True), [0.1, 1]),
        ("", Knob("a", "float", None, 0, 1, optional=True), None),
    ],
)
def test_text_is_read_as_people_write_numbers(text, knob, value):
    assert knobs.parsed(knob, text, "a") == value


@pytest.mark.parametrize("text", ["", "wide", "1 2", "0x10", "--1"])
def test_text_that_is_no_number_is_refused(text):
    with pytest.raises(SpecError, match="must be a number from 0 to 1"):
        knobs.parsed(Knob("a", "float", 0.0, 0, 1), text, "a")


def test_nested_parts_have_rows_and_can_be_set():
    spec = knobs.assign(SPEC, "stop", "or")
    spec = knobs.assign(spec, "stop.params.second", "discrepancy")
    spec = knobs.assign(spec, "stop.params.second.params.tau", 1.5)
    assert spec.stop.as_dict()["params"]["second"] == {"name": "discrepancy", "params": {"tau": 1.5}}
    row = next(r for r in rows_of(spec) if r["id"] == "stop.params.second.params.tau")
    assert row["name"] == "Stop, second: Safety factor τ"
    with pytest.raises(SpecError) as caught:
        knobs.assign(spec, "stop.params.second.params.tau", 1e9)
    assert caught.value.field == "stop.params.second.params.tau"


def seen(spec):
    return [
        row["id"] for g in knobs.groups(spec, {}, {}) if not g["folded"] for row in g["rows"] if not row.get("rare")
    ]


def test_a_preset_and_seven_settings_are_seen_at_once_and_the_others_are_named_below():
    spec = RunSpec(problem="shepp_logan")
    assert seen(spec) == [
        "preset",
        "problem",
        "operator",
        "operator.params.sigma",
        "noise",
        "noise.params.level",
        "prior",
        "solver",
    ]
    groups = {group["title"]: group for group in knobs.groups(spec, {}, {}, spec)}
    assert groups["Problem"]["more"] == "size"
    assert groups["Noise"]["more"] == "scale, seed"
    assert groups["Method"]["more"].startswith("preconditioner, solver: damping λ, rule, ")
    changed = spec.replace(seed=7)
    assert knobs.groups(changed, {}, {}, spec)[3]["more"] == "scale, seed 7"


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        (RunSpec(problem="shepp_logan", solver="tikhonov"), {"solver.params.regularization"}),
        (RunSpec(problem="shepp_logan", prior="tv", solver="fista"), {"prior", "prior.params.weight"}),
        (RunSpec(problem="shepp_logan", operator="radon"), {"operator.params.angles"}),
    ],
)
def test_what_a_choice_turns_on_is_seen_at_once(spec, there):
    assert there <= set(seen(spec))


def test_what_was_typed_and_refused_stays_visible_with_its_sentence():
    made = knobs.groups(SPEC, {"seed": "many"}, {"seed": "Seed is wrong."})
    row = next(r for g in made for r in g["rows"] if r["id"] == "seed")
    assert (row["text"], row["error"]) == ("many", "Seed is wrong.")
