"""Walking along the curve of a parameter: everything follows the marker, and nothing is solved for it."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.engine.compare_rules import compare_rules, path
from explorer.operators.base import LinearOperator
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
        assert f"λ = {screen.walk.value:.3g}" in screen.pictures["Reconstruction"].title
        assert f"At λ = {screen.walk.value:.3g}" in screen.notes.value
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
    assert "ex-hidden" in screen.walk._dom_classes
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
