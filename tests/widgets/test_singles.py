"""Single panels, advice and exercises, without a page."""

import base64
import html

import numpy as np
import pytest

import explorer as ex
from explorer.catalogue import SpecError
from explorer.widgets.exercise import without_truth
from explorer.widgets.panels import about_html
from explorer.widgets.screen import TABS
from tests.widgets.page import SMALL, report, rows

SPEC = ex.RunSpec(**SMALL, noise={"name": "gaussian", "params": {"level": 0.05}}, record={"keep_going": True})


@pytest.fixture(scope="module")
def run():
    return ex.run(SPEC)


@pytest.mark.parametrize("name", ["Convergence", "Pictures", "Spectrum"])
def test_panels_of_a_run_stand_alone(run, name):
    panel = getattr(ex.panels, name)(run)
    assert panel.wait(60)
    bundle = panel._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    said = {"Spectrum": "directions", "Convergence": "Past the best iterate", "Pictures": ""}[name]
    assert said in panel._screen.notes.value
    if name == "Pictures":
        shown = panel._screen.pictures["Reconstruction"].curves
        panel._screen.scrub(None, {"id": "iterate", "value": 1}, None)
        assert panel._screen.pictures["Reconstruction"].curves != shown
    panel._receive(None, {"opened": True, "dark": True, "width": 700}, None)
    assert panel.wait(60)
    assert (panel._screen._chart is None) == (name == "Pictures")


def test_the_parameter_panel_sweeps_every_rule():
    panel = ex.panels.Parameter(SPEC.replace(solver="tikhonov"))
    assert panel.wait(60)
    assert "comes nearest" in panel._screen.notes.value
    assert panel.picture().axes[0].get_xscale() == "log"
    none = ex.panels.Parameter(
        SPEC.replace(problem="matrix_inverse", operator=None, noise="none", solver="newton_schulz")
    )
    assert none.wait(60)
    assert none.picture() is None
    assert "No parameter to choose" in none._screen.notes.value


def test_panels_change_nothing_of_the_run(run):
    before = {name: np.array(column) for name, column in run.history.items()}
    for panel in (ex.panels.Pictures(run), ex.panels.Convergence(run)):
        panel.picture()
    assert all(np.array_equal(before[name], run.history[name]) for name in before)


# --- advice in the About tab ---------------------------------------------------------------------------------------


def test_advice_is_given_when_asked_for_and_can_be_taken(make):
    w = make()
    w._screen.tabs.selected = TABS.index("About")
    advice = w._screen.advice
    assert [button.layout.display for button in advice.takes] == ["none"] * 3
    advice.ask.click()
    assert w.wait(60)
    found = advice.advice
    assert found.suggestions[0].why in html.unescape(advice.answer.value)
    assert found.estimate.sentence in html.unescape(advice.answer.value)
    advice.takes[0].click()
    assert w.wait(60)
    assert w.spec == w.result.spec == found.suggestions[0].spec
    assert advice.answer.value == ""  # it was about other settings
    w.undo()
    assert w.spec.solver.name == "cgls"


def test_the_operator_of_the_screen_is_tested_when_asked_for(make):
    w = make()
    w._screen.advice.test.click()
    assert w.wait(60)
    assert "passes" in w._screen.advice.answer.value
    assert "The adjoint fits" in w._screen.advice.answer.value
    w.change(problem="matrix_inverse", operator=None, noise="none", solver="newton_schulz")
    w._screen.advice.test.click()
    assert w.wait(60)
    assert "There is no linear operator here to test." in w._screen.advice.answer.value
    report(w, id="seed", value="3")
    assert rows(w)


# --- exercises ------------------------------------------------------------------------------------------------------


@pytest.fixture
def task():
    made = ex.Exercise(SPEC, hide=("truth", "operator.sigma"), ask="How wide is the blur?", why="It is half the edge.")
    yield made
    made.close()
    assert made.wait(60)


def test_what_is_hidden_stays_hidden_until_it_is_revealed(task):
    assert task.wait(60)
    pictures = task._screen.pictures
    assert pictures["Truth"].kind == pictures["Error"].kind == "empty"
    assert pictures["Reconstruction"].kind == "curves"
    assert pictures["Reconstruction"].shape[0] == 1  # no truth behind it
    assert pictures["Reconstruction"].note == ""
    assert "Forward model: Width σ: <b>?</b>" in task._settings.value
    assert "Noise model: Level: <b>0.05" in task._settings.value
    assert task.reveal() == 2.0
    assert pictures["Truth"].kind == pictures["Error"].kind == "curves"
    assert "Width σ: <b>2 " in task._settings.value
    assert "The answer is 2" in task._verdict.value
    assert "It is half the edge." in task._verdict.value


@pytest.mark.parametrize(
    ("value", "title"),
    [(2, "Right"), ("2.1", "Right"), ("2,1", "Right"), (2.3, "Not yet"), (-2, "Not yet"), ("wide", "Not a number"),
     ("nan", "Not a number"), ("1e400", "Not a number"), ("<b>", "Not a number")],
)  # fmt: skip
def test_predictions_are_judged(task, value, title):
    assert task.predict(value).title == title
    assert task.predictions == [value]
    assert "<b><b>" not in task._verdict.value


def test_a_page_predicts_checks_and_reveals(task):
    task._check_button.click()
    assert "Predict first" in task._verdict.value
    task._receive(None, {"id": "prediction", "value": "5", "seq": 1}, None)
    assert task._entry.seq == 1
    task._check_button.click()
    assert "The answer is smaller" in task._verdict.value
    task._reveal_button.click()
    assert "You predicted 5." in task._verdict.value
    assert base64.b64decode(task._repr_mimebundle_()["image/png"]).startswith(b"\x89PNG")


def test_answers_may_come_from_the_run_or_be_words():
    step = ex.Exercise(SPEC, ask="Which step is best?", answer=lambda run: run.best.step, tolerance=0.2)
    best = step.result.best.step
    assert step.predict(best).title == "Right"
    assert step.reveal() == best
    word = ex.Exercise(SPEC, hide=(), ask="Does the residual still fall?", answer="yes")
    assert word.predict(" Yes").title == "Right"
    assert word.predict("no").title == "Not yet"
    assert word.wait(60)


def test_a_page_without_a_kernel_does_not_give_the_answer_away(task):
    bundle = task._repr_mimebundle_()
    assert bundle["text/plain"] == "<Exercise: How wide is the blur?>"
    hidden = without_truth(task.result)
    assert hidden.problem.x_true is None
    assert "error" not in hidden.history
    assert hidden.best is None
    assert task.result.problem.x_true is not None


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"hide": "operator.width"}, "'operator.width', and must be 'truth' or a knob"),
        ({"hide": "no.such"}, "must be 'truth' or a knob"),
        ({}, "answer: is missing"),
        ({"answer": 1, "tolerance": -1}, "tolerance: is -1"),
    ],
)
def test_exercises_that_make_no_sense_are_refused(choices, says):
    with pytest.raises(SpecError, match=says):
        ex.Exercise(SPEC, ask="?", **choices)


def test_about_says_when_a_part_works_and_fails():
    page = about_html(ex.RunSpec(solver="cgls"))
    assert "<b>Works:</b> Any linear operator" in page
    assert "<b>Fails:</b> Run on, it fits the noise" in page
    assert about_html(ex.RunSpec(solver="showalter")).count("<b>Fails:</b>") >= 2
