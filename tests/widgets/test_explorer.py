"""The Explorer as an object: what a page would do to it, and what it answers."""

import base64
import html
import json
import threading
import time

import pytest
import torch

import explorer as ex
from explorer.catalogue import SHELVES, SpecError
from explorer.engine.reasons import Reason
from explorer.widgets import choices
from explorer.widgets.screen import TABS
from tests.widgets.page import SMALL, report, rows

SLOW = {"stop": {"name": "budget", "params": {"steps": 100_000}}, "record": {"keep_going": True}}


def test_it_runs_what_the_controls_say(make):
    w = make()
    run = w.run().result(60)
    assert w.result is run
    assert run.spec == w.spec
    assert "Discrepancy principle" in w._screen.notes.value
    assert w._screen.pictures["Reconstruction"].kind == "curves"
    assert not w._screen.pictures["Reconstruction"].stale


def test_it_begins_with_semi_convergence_for_all_to_see(make):
    for seed in range(5):
        w = make(None, seed=seed)
        run = w.run().result(60)
        error = run.history["error"]
        assert run.reason is Reason.RULE
        assert run.stopped.step < run.best.step < len(error)
        assert error[-1] > 2 * error[run.best.step - 1]
        assert "noise is being fitted" in w._screen.notes.value


def test_a_control_changes_the_specification_and_marks_the_result_as_stale(make):
    w = make()
    w.run().result(60)
    report(w, id="operator.params.sigma", value=3.5)
    assert w.spec.operator.params["sigma"] == 3.5
    assert w._screen.pictures["Reconstruction"].stale
    assert "ex-stale" in w._screen.explained._dom_classes
    report(w, id="operator.params.sigma", value="2")
    assert not w._screen.pictures["Reconstruction"].stale
    assert "ex-stale" not in w._screen.explained._dom_classes


def test_truth_and_data_follow_the_controls_before_anything_is_solved(make):
    w = make()
    report(w, id="operator.params.sigma", value=3.5)
    assert w.wait(60)
    assert w.result is None
    assert w._screen.pictures["Truth"].kind == w._screen.pictures["Data"].kind == "curves"
    before = w._screen.pictures["Data"].curves
    report(w, id="seed", value="7")
    assert w.wait(60)
    assert w._screen.pictures["Data"].curves != before


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("operator.params.sigma", "50", "Forward model: Width σ is 50, and must be a number from 0.1 to 20 px."),
        ("operator.params.sigma", "wide", "Forward model: Width σ is 'wide', and must be a number from 0.1 to 20 px."),
        ("operator.params.sigma", "nan", "Forward model: Width σ is nan, and must be a number from 0.1 to 20 px."),
        ("problem.params.size", "64.5", "whole number"),
        ("seed", "-1", "Seed is -1"),
        ("solver", "no_such", "There is no solver 'no_such'"),
    ],
)
def test_bad_input_is_one_sentence_and_the_last_result_stays(make, path, value, says):
    w = make()
    run = w.run().result(60)
    pixels = w._screen.pictures["Reconstruction"].curves
    report(w, id=path, value=value)
    assert says in html.unescape(w._message.value)
    assert 'role="alert"' in w._message.value
    assert "Traceback" not in w._message.value
    assert rows(w)[path]["error"]
    assert w.spec == run.spec
    assert w.result is run
    assert w._screen.pictures["Reconstruction"].curves == pixels
    with pytest.raises(SpecError):
        w.run()
    w._run_button.click()  # from the page: a sentence, no traceback
    assert says in html.unescape(w._message.value)
    good = {"seed": "3", "solver": "lsqr"}.get(path, "16")
    report(w, id=path, value=good)
    assert w._message.value == ""
    assert rows(w)[path]["error"] == ""


def test_a_problem_too_large_is_refused_before_it_is_built(make):
    w = make(problem={"name": "shepp_logan", "params": {"size": 128}})
    report(w, id="problem.params.size", value="50000")
    assert "Truth: Size is 50000" in w._message.value


def test_a_misfit_of_parts_marks_the_part_at_fault(make):
    w = make()
    run = w.run().result(60)
    w.change(solver="pdhg", prior="none")
    assert w.wait(60)
    assert "prior" in w._message.value
    assert any(row["error"] for row in rows(w).values())
    job = w.run()
    assert job.wait(60)
    assert w.result is run
    assert w._screen.pictures["Reconstruction"].stale
    w.change(solver="cgls")
    assert w.wait(60)
    assert w._message.value == ""
    assert not any(row["error"] for row in rows(w).values())


def test_an_error_within_a_run_is_a_sentence(make, monkeypatch, caplog):
    w = make()
    run = w.run().result(60)

    def broken(*_):
        raise RuntimeError("no more memory")

    monkeypatch.setattr("explorer.engine.job.finish", broken)
    assert w.run().wait(60)
    assert "The run failed: RuntimeError: no more memory" in w._message.value
    assert w.result is run
    assert "no more memory" in caplog.text


def test_cancel_keeps_the_partial_result_and_says_so(make):
    w = make(problem={"name": "blocks", "params": {"size": 4096}}, **SLOW)
    job = w.run()
    _until(lambda: job.progress.step > 5)
    w.cancel()
    run = job.result(60)
    assert w.result is run
    assert 5 < len(run.history["seconds"]) < 100_000
    assert "Cancelled at step" in w._screen.notes.value
    assert w._cancel_button.disabled


def test_a_second_run_cancels_the_first_and_only_it_is_shown(make):
    w = make(**SLOW)
    first = w.run()
    w.change(stop={"name": "budget", "params": {"steps": 20}})
    second = w.run()
    run = second.result(60)
    assert first.wait(60)
    assert first.progress.state == "cancelled"
    assert w.result is run
    assert w._screen.shown == w.spec == run.spec


def test_many_threads_may_turn_the_knobs_while_it_runs(make):
    w = make(**SLOW)
    failures = []

    def turn(k):
        try:
            for i in range(20):
                report(w, id="operator.params.sigma", value=1 + 0.1 * ((i + 7 * k) % 20))
                report(w, open="solver", kind="solver")
        except Exception as error:
            failures.append(error)

    job = w.run()
    threads = [threading.Thread(target=turn, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    w.cancel()
    assert job.wait(60)
    assert failures == []
    assert job.error is None
    assert w.wait(60)
    w.change(**SMALL, stop="budget")
    assert w.run().result(60).spec == w.spec


def test_at_most_ten_frames_a_second_are_drawn(make):
    w = make(**SLOW)
    drawn = []
    w._screen.pictures["Reconstruction"].observe(lambda _: drawn.append(time.monotonic()), "title")
    begun = time.monotonic()
    job = w.run()
    time.sleep(1.5)
    w.cancel()
    job.wait(60)
    assert 2 <= len(drawn) <= 10 * (time.monotonic() - begun) + 3


def test_any_iterate_that_was_kept_can_be_looked_at_without_solving(make):
    w = make(record={"keep_going": True})
    run = w.run().result(60)
    spent = dict(run.costs)
    row = w._screen.scrubber.groups[0]["rows"][0]
    assert {run.stopped.step, run.best.step, len(run.history["seconds"])} <= set(row["rests"])
    assert row["value"] == run.stopped.step
    picked = w._screen.pictures["Reconstruction"].curves
    w._screen.scrub(None, {"id": "iterate", "value": row["rests"][-1]}, None)
    assert w._screen.pictures["Reconstruction"].curves != picked
    assert w._screen.pictures["Reconstruction"].title == f"Reconstruction, step {row['rests'][-1]}"
    w._screen.scrub(None, {"id": "iterate", "value": "nonsense"}, None)
    w._screen.scrub(None, {"id": "iterate", "value": run.stopped.step}, None)
    assert w._screen.pictures["Reconstruction"].curves == picked
    assert dict(run.costs) == spent


def test_a_click_on_a_picture_draws_the_values_along_its_row(make):
    w = make(problem={"name": "shepp_logan", "params": {"size": 32}})
    w.run().result(60)
    screen = w._screen
    for wrong in ({}, {"at": []}, {"at": ["x", 0]}, {"at": None}):
        screen._point(None, wrong, None)
    assert screen._selected == "Convergence"
    screen._point(None, {"at": [0.25, 0.5]}, None)
    assert screen._selected == "Profile"
    assert "along a row" in screen.notes.value
    assert screen._height == 0.25
    assert screen.pictures["Truth"].low < screen.pictures["Truth"].high


def test_the_misfit_tab_says_how_well_the_data_are_explained(make):
    w = make(noise={"name": "gaussian", "params": {"level": 0.05}})
    w.run().result(60)
    w._screen.tabs.selected = TABS.index("Misfit")
    assert "χ² / m" in w._screen.notes.value
    residual = w._screen.fitted["Residual"]
    assert residual.kind == "curves"
    there = residual.curves
    w._screen.scrub(None, {"id": "iterate", "value": 1}, None)
    assert residual.curves != there  # it follows the iterate
    assert not residual.stale
    w.change(noise="none")
    assert residual.stale
    w.run().result(60)
    w._screen.tabs.selected = TABS.index("Code")
    w._screen.tabs.selected = TABS.index("Misfit")
    assert "no noise to measure" in w._screen.notes.value


def test_reset_returns_to_the_beginning(make):
    w = make()
    w.change(solver="lsqr", seed=5)
    w._reset_button.click()
    assert w._job.wait(60)
    assert w.spec.solver.name == "cgls"
    assert w.result.spec == w.spec


def test_it_takes_a_specification_in_every_form(make):
    spec = ex.RunSpec(**SMALL, seed=3)
    assert make(spec).spec == make(spec.to_json()).spec == make(json.loads(spec.to_json())).spec == spec
    assert make(spec, seed=4).spec == spec.replace(seed=4)
    assert make("").spec == make(None).spec  # papermill's empty parameter


def test_a_wrong_choice_is_refused_at_once():
    with pytest.raises(SpecError, match="did you mean 'cgls'"):
        ex.Explorer(solver="cgsl")


def test_other_parts_are_adapted_to_what_was_asked_for(make):
    w = make(None, solver="pdhg")
    assert w.spec.solver.name == "pdhg"
    assert choices.refusal(w.spec) is None


def test_the_page_answers_every_message_even_a_wrong_one(make):
    w = make()
    for message in ({"id": "no.such.row", "value": 1}, {"id": "seed", "value": None}, {}, {"open": "no_such"}):
        report(w, **message)
    assert w._controls.seq == 4
    assert w.wait(60)


def test_upload_of_a_file_of_ones_own(make, tmp_path, monkeypatch):
    import io

    import numpy as np

    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))
    w = make(problem={"name": "shepp_logan", "params": {"size": 32}})
    report(w, id="problem", value="own_file")
    assert w.wait(60)
    assert "no file" in w._message.value.lower()
    assert rows(w)["problem.params.file"]["error"]
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).random((40, 30)))
    report(w, id="problem.params.file", file="mine.npy", buffers=[memoryview(file.getvalue())])
    assert w.wait(60)
    assert w._message.value == ""
    run = w.run().result(60)
    assert run.x.shape == (40, 30)
    report(w, id="problem.params.file", file="mine.npy", buffers=[b"not an array"])
    assert "mine.npy is not" in w._message.value
    assert w.result is run
    report(w, id="problem.params.file", too_large=10**9)
    assert "too large" in w._message.value


def test_the_code_tab_gives_the_same_run(make):
    w = make(noise={"name": "gaussian", "params": {"level": 0.01}}, seed=5, record={"keep_going": True})
    w._screen.tabs.selected = TABS.index("Code")
    pieces = dict(w._screen.code.pieces)
    assert ex.RunSpec.from_json(pieces["JSON"]) == w.spec
    import shlex

    words = shlex.split(pieces["papermill"])
    assert words[:3] == ["papermill", "notebooks/00-start-here.ipynb", "out.ipynb"]
    assert words[3:5] == ["-p", "spec"]
    assert ex.RunSpec.from_json(words[5]) == w.spec
    names: dict = {}
    exec(pieces["Python"], names)
    assert names["spec"] == w.spec
    assert torch.equal(names["run"].x, w.run().result(60).x)
    report(w, id="seed", value="6")
    assert ex.RunSpec.from_json(dict(w._screen.code.pieces)["JSON"]).seed == 6


@pytest.mark.parametrize("kind", sorted(set(ex.RunSpec.kinds.values())))
def test_the_python_cell_of_every_choice_makes_the_same_specification(kind):
    from explorer.widgets.panels import python_cell

    field = next(f for f, k in ex.RunSpec.kinds.items() if k == kind)
    for name in SHELVES[kind]:
        spec = ex.RunSpec(**{field: name})
        names: dict = {}
        exec(python_cell(spec).replace("run = ex.run(spec)\nrun\n", ""), names)
        assert names["spec"] == spec


def test_the_spectrum_is_computed_when_somebody_looks(make):
    w = make()
    w.run().result(60)
    assert w._screen.report is None
    w._screen.tabs.selected = TABS.index("Spectrum")
    assert w.wait(60)
    report = w._screen.report
    assert report.values.shape == (64,)
    assert "directions" in w._screen.notes.value
    w.run().result(60)
    assert w.wait(60)
    assert w._screen.report is report  # of the same operator and the same data
    w._screen.tabs.selected = 0
    assert "Discrepancy principle" in w._screen.notes.value


def test_the_spectrum_of_a_large_operator_says_how_well_it_is_known(make):
    w = make(
        problem={"name": "shepp_logan", "params": {"size": 48}},
        operator={"name": "radon", "params": {"angles": 40}},
    )
    w.run().result(60)
    w._screen.tabs.selected = TABS.index("Spectrum")
    assert w.wait(60)
    assert w._screen.report.total == 48 * 48
    assert "of 2,304 singular values, from a Krylov space of 128 dimensions" in w._screen.notes.value
    w._screen.tabs.selected = TABS.index("Filter")
    assert w.wait(60)
    assert "No filter here" not in w._screen.notes.value


def test_the_about_tab_tells_of_every_chosen_part(make):
    w = make(solver="cgls")
    w._screen.tabs.selected = TABS.index("About")
    assert "Hestenes &amp; Stiefel 1952" in w._screen.about.value
    assert "A step costs 1 A, 1 Aᴴ." in w._screen.about.value
    assert "$$" in w._screen.about.value


def test_what_strangers_wrote_is_shown_as_text(make):
    w = make()
    report(w, id="solver", value="<img src=x onerror=alert(1)>")
    assert "<img" not in w._message.value
    assert "&lt;img" in w._message.value


def test_a_page_without_a_kernel_shows_a_picture(make):
    w = make()
    bundle = w._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"].startswith("<Explorer: blocks, gaussian_blur, cgls; <Run of cgls")
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_showing_it_twice_solves_once(make):
    w = make()
    report(w, opened=True, dark=False)
    job = w._job
    report(w, opened=True, dark=True)
    assert w._job is job
    assert w.wait(120)
    assert w.result is not None
    assert w._screen._chart is not None


def test_the_parameter_tab_shows_every_rule_and_sweeps_once(make):
    w = make(None, solver="tikhonov")
    assert w.run().wait(60)
    w._screen.tabs.selected = TABS.index("Parameter")
    assert w.wait(60)
    assert "comes nearest" in w._screen.notes.value
    swept = w._screen.swept
    report(w, id="solver.params.regularization", value=0.5)
    assert w.wait(60)
    assert w._screen.swept is swept  # the marker moves, nothing is swept again
    report(w, id="noise.params.level", value=0.2)
    assert w.wait(60)
    assert w._screen.swept is not swept
    w.change(problem="matrix_inverse", operator=None, noise="none", solver="newton_schulz", rule="fixed")
    assert w.wait(60)
    assert "No parameter to choose here" in w._screen.notes.value


def _until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
