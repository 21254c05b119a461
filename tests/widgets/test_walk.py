"""Walking along the curve of a parameter: everything follows the marker, and nothing is solved for it."""

import itertools
import threading

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.analyses.filters import filter_factors
from explorer.engine.along import candidates_of, method_knob
from explorer.engine.compare_rules import compare_rules, path
from explorer.engine.presets import presets
from explorer.operators.base import LinearOperator
from explorer.widgets import knobs, parameter
from explorer.widgets.panels import set_well
from explorer.widgets.parameter import ways
from explorer.widgets.screen import TABS
from tests.widgets.page import SMALL, report

SPEC = ex.RunSpec(
    **(SMALL | {"solver": "tikhonov"}), noise={"name": "gaussian", "params": {"level": 0.05}}, dtype="float64"
)


@pytest.fixture
def walking(make):
    """Return an Explorer on whose Parameter tab the sweep is done."""
    w = make(SPEC)
    w.run().result(60)
    w._screen.tabs.selected = TABS.index("Parameter")
    assert w.wait(60)
    return w


def walk(widget, value):
    """Do what the slider's page does."""
    widget._screen.walk._receive(None, {"id": "walk", "value": value, "seq": 1}, None)


def test_the_path_holds_the_solutions_and_what_they_predict():
    found = compare_rules(SPEC)
    along = path(found)
    assert len(along.values) == len(found.values)
    for k in (0, 90, 199):
        alone = ex.run(SPEC.replace(solver={"name": "tikhonov", "params": {"regularization": along.values[k]}}))
        scale = float(alone.x.norm())
        assert float((alone.x - along.x[k]).norm()) < 1e-9 * scale
        assert float((found.problem.A(along.x[k]) - along.fit[k]).norm()) < 1e-12 * scale
        residual = float((along.fit[k] - found.problem.y).norm())
        assert residual == pytest.approx(
            found.curves["residual"][along.indices[k]], rel=1e-6, abs=1000 * 2**-52 * scale
        )
    few = path(found, most=10 * 2 * 64 * 8)
    assert few.x.shape == (10, 64)
    assert set(few.values) <= set(along.values)


def test_picture_fit_and_filter_follow_and_nothing_is_computed_with_the_operator(walking, monkeypatch):
    w, screen = walking, walking._screen
    calls = []
    for name in ("forward", "adjoint"):
        for kind in {type(w.result.problem.A), type(screen.walk.found.problem.A)}:
            real = getattr(kind, name)
            monkeypatch.setattr(kind, name, lambda s, v, real=real: calls.append(v) or real(s, v))
    w.result.problem.A(w.result.x)
    assert len(calls) == 1  # the counter counts
    calls.clear()
    assert isinstance(w.result.problem.A, LinearOperator)
    seen = []
    for value in (1e-6, 1e-3, 1.0):
        walk(w, value)
        seen.append((screen.pictures["Reconstruction"].curves, screen.walk.pictures["Residual"].curves,
                     screen.walk.pictures["Filter"].curves, screen.notes.value))  # fmt: skip
        k = int(np.abs(np.log(screen.walk.path.values / value)).argmin())
        assert screen.walk.value == screen.walk.path.values[k]
        said = set_well(f"λ = {screen.walk.value:.3g}")
        assert said in screen.pictures["Reconstruction"].title
        assert f"At {said}" in screen.notes.value
    assert calls == []
    for column in zip(*seen, strict=True):
        assert len(set(column)) == 3
    assert "the noise is being fitted" in seen[0][3]
    assert "more could be fitted" in seen[2][3]
    assert not screen.pictures["Reconstruction"].stale


def test_the_filter_at_the_marker_is_tikhonovs(walking):
    walk(walking, 1e-2)
    walk_ = walking._screen.walk
    sigma = torch.linalg.svdvals(walk_.found.problem.A.to_dense()).double().numpy()
    expected = sigma**2 / (sigma**2 + walk_.value)
    np.testing.assert_allclose(walk_._filter().array, expected, atol=1e-8)


def test_leaving_the_tab_shows_the_run_again_and_a_value_can_be_taken(walking):
    screen = walking._screen
    before = screen.pictures["Reconstruction"].curves
    walk(walking, 1.0)
    assert screen.pictures["Reconstruction"].curves != before
    screen.tabs.selected = TABS.index("Convergence")
    assert screen.pictures["Reconstruction"].curves == before
    assert "ex-hidden" in screen.parameter._dom_classes
    screen.tabs.selected = TABS.index("Parameter")
    walk(walking, 1.0)
    value = screen.walk.value
    screen.walk.button.click()
    run = walking._job.result(60)
    assert walking.spec.solver.params["regularization"] == value == run.spec.solver.params["regularization"]
    walking.undo()
    assert walking.spec == SPEC
    assert screen.pictures["Reconstruction"].stale


@pytest.mark.parametrize("value", ["nonsense", None, "-3", "nan", ""])
def test_a_marker_stays_where_it_is_if_a_value_makes_no_sense(walking, value):
    walk(walking, 1e-3)
    at = walking._screen.walk.value
    walk(walking, value)
    assert walking._screen.walk.value == at


def test_another_problem_is_swept_anew(walking):
    walk(walking, 1e-3)
    first = walking._screen.walk.found
    report(walking, id="noise.params.level", value=0.2)
    assert walking.wait(60)
    assert walking._screen.walk.found is not first


# --- along anything else ---

TV = ex.RunSpec(
    problem={"name": "camera", "params": {"size": 24}}, operator="gaussian_blur", solver="fista", prior="tv",
    noise={"name": "gaussian", "params": {"level": 0.03}}, stop={"name": "budget", "params": {"steps": 10}},
)  # fmt: skip


def choose(widget, way):
    """Do what the list's page does."""
    widget._screen.parameter._receive(None, {"id": "along", "value": way, "seq": 1}, None)


@pytest.fixture
def looking(make):
    """Return an Explorer that shows the Parameter tab of a method with a prior."""
    w = make(TV)
    w.run().result(60)
    w._screen.tabs.selected = TABS.index("Parameter")
    assert w.wait(60)
    return w


def test_every_number_of_the_method_can_be_walked_along():
    assert list(ways(TV))[:3] == [
        "Weight λ of Total variation", "steps of FISTA", "λ of Tikhonov regularisation instead",
    ]  # fmt: skip
    assert ways(TV)["Inner of Total variation"] == "prior.params.inner"
    direct = ways(SPEC)
    assert next(iter(direct.values())) == "parameter"
    assert "solver.params.regularization" not in direct.values()
    assert "steps" not in direct.values()
    for spec in (TV, SPEC, *presets().values()):
        for along in ways(spec).values():
            if along not in ("parameter", "steps"):
                assert len(candidates_of(method_knob(spec, along), knobs.value_at(spec, along))) > 1


def test_a_weight_is_swept_once_when_asked_and_then_walked(looking):
    screen, panel = looking._screen, looking._screen.parameter
    assert "Press Sweep" in screen.notes.value
    assert "ex-hidden" in panel.walk._dom_classes
    panel.button.click()
    assert looking.wait(60)
    assert "comes nearest" in screen.notes.value
    assert panel.button.disabled  # it is done
    walk(looking, 1.0)
    value = panel.walk.value
    assert value == pytest.approx(1.0, rel=0.5)
    alone = ex.run(TV.replace(prior={"name": "tv", "params": {"weight": value}}))
    k = panel.walk._at
    assert float((alone.x - panel.walk.path.x[k]).norm()) <= 1e-5 * float(alone.x.norm())
    assert f"weight = {value:.3g}" in screen.pictures["Reconstruction"].title
    assert f"At weight = {value:.3g}" in screen.notes.value
    panel.walk.button.click()
    assert looking._job.result(60).spec.prior.params["weight"] == value
    assert looking.wait(60)
    assert "comes nearest" in screen.notes.value  # the same sweep


def test_a_sweep_can_be_ended_and_leaves_nothing(looking, monkeypatch):
    screen, panel = looking._screen, looking._screen.parameter
    steps, begun, told = threading.Event(), threading.Event(), []

    def endless(*_, watch, **__):
        for k in itertools.count():
            begun.set()
            told.append(k)
            watch(min(k / 1000, 0.9))
            steps.wait(0.001)

    monkeypatch.setattr(parameter, "compare_rules", endless)
    panel.button.click()
    assert begun.wait(30)
    assert panel.button.description == "Cancel"
    panel.button.click()
    assert looking.wait(30)
    assert panel.button.description == "Sweep"
    assert "Press Sweep" in screen.notes.value
    assert panel.found is None
    assert "swept" not in panel._progress.value
    monkeypatch.undo()
    panel.button.click()
    screen.tabs.selected = TABS.index("Convergence")
    assert looking.wait(60)
    assert panel.found is not None
    assert panel._progress.value == ""  # nothing is left of it on a tab that nobody sees


def test_a_sweep_that_fails_says_so_and_can_be_tried_again(looking, monkeypatch):
    panel = looking._screen.parameter

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(parameter, "compare_rules", broken)
    panel.button.click()
    assert looking.wait(30)
    assert "The sweep failed: RuntimeError: out of memory" in looking._screen.notes.value
    assert panel.button.description == "Sweep"
    monkeypatch.undo()
    panel.button.click()
    assert looking.wait(60)
    assert panel.found is not None


@pytest.mark.parametrize("end", ["another setting", "close"])
def test_a_sweep_that_nobody_waits_for_ends(looking, monkeypatch, end):
    panel, begun, ended = looking._screen.parameter, threading.Event(), threading.Event()

    def endless(*_, watch, **__):
        try:
            while True:
                begun.set()
                watch(0.5)
        finally:
            ended.set()

    monkeypatch.setattr(parameter, "compare_rules", endless)
    panel.button.click()
    assert begun.wait(30)
    if end == "close":
        looking.close()
        assert ended.wait(30)
        return
    report(looking, id="noise.params.level", value=0.2)
    assert ended.wait(30)
    assert looking.wait(60)
    assert panel.found is None
    assert panel.button.description == "Sweep"
    assert not panel.button.disabled


def test_the_steps_of_a_short_run_are_swept_when_somebody_looks(make):
    w = make(SPEC.replace(solver="cgls"))
    w.run().result(60)
    screen = w._screen
    screen.tabs.selected = TABS.index("Parameter")
    assert w.wait(60)
    assert screen.parameter.found.along == "steps"
    walk(w, 3)
    assert "step 3" in screen.pictures["Reconstruction"].title
    expected = filter_factors(w.result.problem.A, w.result.history, "cgls", dict(w.spec.solver.params), step=3).factors
    np.testing.assert_allclose(screen.walk._filter().array, expected, atol=1e-6)
    picture = screen.pictures["Reconstruction"].curves
    screen.walk.button.click()
    run = w._job.result(60)
    assert w.wait(60)
    assert len(run.history["seconds"]) == 3
    screen.tabs.selected = TABS.index("Convergence")
    assert screen.pictures["Reconstruction"].curves == picture
    choose(w, "λ of Tikhonov regularisation instead")
    screen.tabs.selected = TABS.index("Parameter")
    assert w.wait(60)
    assert screen.parameter.found.along == "parameter"
    choose(w, "nonsense")
    assert screen.parameter.found.along == "parameter"
