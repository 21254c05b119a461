"""Every registered component, found from the registry: what people read of it is there and in its form."""

import re

import pytest

from explorer.catalogue import NAMES, SHELVES, solvers, source
from explorer.engine.fit import gives
from explorer.solvers.steps import Solution, Step

CORE = [
    pytest.param(component, id=f"{kind}/{name}")
    for kind, shelf in SHELVES.items()
    for name, component in shelf.items()
    if component.function.__module__.startswith("explorer.")
]
every = pytest.mark.parametrize("component", CORE)
every_solver = pytest.mark.parametrize("solver", [p for p in CORE if p.values[0].kind == "solver"])

_PAPER = re.compile(r"(row \d+|[^\d:]+ \d{4}: \S.+)")


@every
def test_it_has_a_title_and_a_summary(component):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", component.name)
    assert component.title == component.title.strip()
    assert 3 <= len(component.title) <= 60
    assert not component.title.endswith(".")
    assert component.summary.endswith(".")
    assert 10 <= len(component.summary) <= 200


@every
def test_its_papers_are_citable(component):
    for paper in component.papers:
        assert _PAPER.fullmatch(paper), f"write {paper!r} as 'Authors year: Title' or 'row NN'"
        assert source(paper).partition(": ")[2].strip(), f"there is no {paper}"


@every
def test_everything_that_it_needs_has_a_documented_name(component):
    for need in component.needs:
        assert need.name in NAMES, f"{need.name!r} is not in catalogue.NAMES: document it there"
        assert need.says


@every
def test_every_knob_has_one_line_of_help(component):
    for knob in component.knobs.values():
        assert knob.help, f"the knob {knob.name!r} has no help"
        assert "\n" not in knob.help
        assert len(knob.help) <= 120
        assert not knob.help.endswith(".")


@every
def test_every_knob_has_a_range_that_can_be_shown(component):
    for knob in component.knobs.values():
        if knob.low is not None:
            assert knob.low < knob.high
            assert knob.scale in ("linear", "log")
            if knob.scale == "log":
                assert knob.low >= 0


@every
def test_its_defaults_are_allowed_and_complete(component):
    filled = component.check({})
    assert list(filled) == list(component.knobs)
    assert component.check(filled) == filled


@every
def test_its_schema_names_every_knob(component):
    schema = component.schema()
    assert list(schema["properties"]) == list(component.knobs)
    for about in schema["properties"].values():
        assert about["description"]


@every_solver
def test_a_solver_declares_what_it_gives_and_reports(solver):
    assert issubclass(gives(solver), Step)
    assert isinstance(solver.traits.get("reports", ()), tuple)
    assert all(isinstance(times, int) for times in solver.traits.get("per_step", {}).values())
    if "tunes" in solver.traits:
        knob, power = solver.traits["tunes"]
        assert gives(solver) is Solution
        assert solver.knobs[knob].batched
        assert power in (1, 2)


@pytest.mark.parametrize("rule", SHELVES["rule"].values(), ids=list(SHELVES["rule"]))
def test_a_rule_declares_how_it_picks(rule):
    assert rule.traits["picks"] in ("first", "minimum", "none")


def test_phrases_of_capabilities_are_unique():
    said = {}
    for shelf in SHELVES.values():
        for component in shelf.values():
            for need in component.needs:
                for capability in need.capabilities:
                    assert said.setdefault(capability.says, capability) == capability


def test_there_is_something_on_every_shelf():
    assert all(len(shelf) for shelf in SHELVES.values())
    assert "cgls" in solvers


@pytest.mark.parametrize("kind", ["operator", "noise", "prior", "preconditioner", "solver", "rule", "stop"])
def test_when_a_part_works_and_fails_is_said(kind):
    """What a learner chooses says in a sentence each when it works and when it fails."""
    for component in SHELVES[kind].values():
        if component.name in ("none", "fixed", "budget"):
            continue
        for name in ("works", "fails"):
            said = component.traits[name]
            assert said[0].isupper(), component.name
            assert said.endswith("."), component.name
