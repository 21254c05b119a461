"""Runs that were kept, undo and redo, and the plain keys."""

import numpy as np
import pytest

import explorer as ex
from explorer.figures.words import compared
from explorer.widgets import changes, compare
from explorer.widgets.screen import TABS
from tests.widgets.page import report, rows


def act(widget, action, name):
    widget._screen.compare._receive(None, {"action": action, "id": name}, None)


@pytest.fixture
def two(make):
    """Return an Explorer with two runs kept: A by CGLS and B by Landweber."""
    w = make()
    for solver in ("cgls", "landweber"):
        w.change(solver=solver)
        assert w.run().wait(60)
        w._keep_button.click()
    return w


def test_kept_runs_stand_in_a_table_with_what_differs(two):
    table = two._screen.compare.table
    assert [row["id"] for row in table.rows] == ["A", "B"]
    at = table.columns.index("What differs")
    assert "solver CGLS" in table.rows[0]["cells"][at]
    assert "solver Landweber" in table.rows[1]["cells"][at]
    assert "level" not in table.rows[0]["cells"][at]
    error = table.columns.index("Error")
    run = two._screen.compare.runs["B"]
    assert table.rows[1]["keys"][error] == pytest.approx(run.metrics["relative_error"])
    memory = table.columns.index("≈ MiB")
    kept = run.problem.domain.size * run.problem.domain.dtype.itemsize * len(run.snapshots) / 2**20
    assert kept < table.rows[1]["keys"][memory] < 10 * kept
    assert [row["shown"] for row in table.rows] == [False, True]


def test_the_same_run_is_kept_once_and_the_button_waits_for_a_result(make):
    w = make()
    assert w._keep_button.disabled
    assert w.keep() is None
    w.run().wait(60)
    assert not w._keep_button.disabled
    assert w.keep() == w.keep() == "A"


def test_a_pinned_run_is_what_the_others_are_compared_with(two):
    act(two, "pin", "A")
    table = two._screen.compare.table
    error = table.columns.index("Error")
    first, second = (row["keys"][error] for row in table.rows)
    sign = "+" if second > first else "−"
    assert f"({sign}{abs(second - first):.2g})" in table.rows[1]["cells"][error]
    assert "(" not in table.rows[0]["cells"][error]
    act(two, "pin", "A")
    assert "(" not in two._screen.compare.table.rows[1]["cells"][error]


def test_a_kept_run_comes_back_with_its_settings_and_without_solving(two):
    job = two._job
    act(two, "show", "A")
    assert two.spec.solver.name == "cgls"
    assert two.result is two._screen.compare.runs["A"]
    assert not two._screen.pictures["Reconstruction"].stale
    assert two._job is job


def test_a_run_can_be_forgotten_and_names_are_not_used_again(two):
    act(two, "remove", "A")
    assert list(two._screen.compare.runs) == ["B"]
    two.change(solver="lsqr")
    two.run().wait(60)
    assert two.keep() == "C"


def test_the_oldest_goes_where_there_are_too_many_but_not_the_pinned(two, monkeypatch):
    monkeypatch.setattr(compare, "MOST", 2)
    act(two, "pin", "A")
    two.change(solver="lsqr")
    two.run().wait(60)
    two.keep()
    assert list(two._screen.compare.runs) == ["A", "C"]


@pytest.mark.parametrize("content", [{}, {"action": "show", "id": "Z"}, {"action": "axis", "id": "money"}, {"id": 3}])
def test_a_message_that_makes_no_sense_changes_nothing(two, content):
    before = two._screen.compare.table.rows
    two._screen.compare._receive(None, content, None)
    assert two._screen.compare.table.rows == before


@pytest.mark.parametrize("axis", ["step", "products", "seconds"])
@pytest.mark.parametrize("measure", ["error", "residual"])
def test_the_curves_of_all_runs_lie_over_the_chosen_axis(two, axis, measure):
    act(two, "axis", axis)
    act(two, "measure", measure)
    figure = two._screen.compare.figure(False)
    assert [trace.name for trace in figure.data] == ["A: CGLS", "B: Landweber"]
    assert all(len(set(trace.line.dash for trace in figure.data)) == 2 for _ in "x")
    steps = [len(run.history["seconds"]) for run in two._screen.compare.runs.values()]
    last = [trace.x[-1] for trace in figure.data]
    if axis == "step":
        assert last == steps
    if axis == "products":
        assert last[0] == 2 * steps[0] + 1  # a product before the first step


def test_the_compare_tab_says_which_run_is_nearest(two):
    two._screen.tabs.selected = TABS.index("Compare")
    errors = {name: run.metrics["relative_error"] for name, run in two._screen.compare.runs.items()}
    assert f"Run {min(errors, key=errors.get)} is nearest to the truth" in two._screen.notes.value
    assert "ex-hidden" not in two._screen._compare_panel._dom_classes
    two._screen.tabs.selected = 0
    assert "ex-hidden" in two._screen._compare_panel._dom_classes


def test_runs_on_other_data_are_not_ranked_without_a_warning(make):
    w = make()
    for seed in (0, 1):
        w.change(seed=seed)
        w.run().wait(60)
        w.keep()
    w._screen.tabs.selected = TABS.index("Compare")
    assert "Not the same problem" in w._screen.notes.value


def test_undo_and_redo_go_through_the_changes(make, monkeypatch):
    monkeypatch.setattr(changes, "TOGETHER", 0.0)
    w = make()
    first = w.spec
    assert w._undo_button.disabled
    w.change(seed=1)
    second = w.spec
    w.change(solver="lsqr")
    w._undo_button.click()
    assert w.spec == second
    w._undo_button.click()
    assert w.spec == first
    assert w._undo_button.disabled
    w.undo()  # nothing left to take back
    w._redo_button.click()
    assert w.spec == second
    w.change(seed=7)
    assert w._redo_button.disabled  # another way was taken


def test_a_drag_is_taken_back_at_once(make, monkeypatch):
    monkeypatch.setattr(changes, "TOGETHER", 60.0)
    w = make()
    first = w.spec
    for sigma in (2.5, 3.0, 3.5):
        report(w, id="operator.params.sigma", value=sigma)
    w.undo()
    assert w.spec == first


def test_plain_keys_run_keep_and_explain_themselves(make):
    w = make()
    report(w, key="r")
    assert w._job.wait(60)
    report(w, key="k")
    assert list(w._screen.compare.runs) == ["A"]
    w.change(seed=3)
    report(w, key="u")
    assert w.spec.seed == 0
    report(w, key="y")
    assert w.spec.seed == 3
    report(w, key="?")
    assert "R run" in w._message.value
    report(w, key="x")
    report(w, key="c")
    assert rows(w)["seed"]["text"] == "3"


def test_compare_works_without_a_widget():
    runs = {name: ex.run(ex.RunSpec(problem="blocks", solver=name)) for name in ("cgls", "lsqr")}
    figure = ex.figures.compare(runs, "residual", "products")
    assert figure.layout.xaxis.title.text.startswith("products with A and Aᴴ")
    assert len(figure.data) == 2


def test_two_kept_runs_take_turns_and_their_difference_is_seen(make):
    w = make(problem={"name": "shepp_logan", "params": {"size": 16}})
    for solver in ("cgls", "landweber", "lsqr"):
        w.change(solver=solver)
        w.run().wait(60)
        w.keep()
    pair, runs = w._screen.compare.pair, w._screen.compare.runs
    assert pair.chosen == ["A", "C"]
    assert pair.children == (pair.both, pair.beside, pair.apart, pair.form)
    assert pair.beside.title == "C: LSQR"
    assert (pair.both.title, pair.both.second_title) == ("A: CGLS", "C: LSQR")
    assert len(pair.both.second) == len(pair.both.pixels) == 256
    a, _, apart = ex.figures.pair(runs["A"], runs["B"])
    pair._receive(None, {"id": "second", "value": "B"}, None)
    assert pair.both.second_title == "B: Landweber"
    np.testing.assert_allclose(apart.array, (runs["B"].x - runs["A"].x).numpy(), atol=1e-7)
    root = float((runs["B"].x - runs["A"].x).square().mean().sqrt())
    assert pair.apart.note == f"root mean square {root:.3g}"
    assert (a.low, a.high) == (pair.both.low, pair.both.high)
    act(w, "pin", "C")
    assert pair.chosen == ["C", "B"]
    for wrong in ({}, {"id": "second", "value": "Z"}, {"id": "third", "value": "A"}):
        pair._receive(None, wrong, None)
    assert pair.chosen == ["C", "B"]
    act(w, "remove", "B")
    assert pair.chosen == ["C", "A"]
    act(w, "remove", "A")
    assert pair.children == ()


def test_pictures_of_two_sizes_are_not_compared(two):
    pair = two._screen.compare.pair
    assert pair.both.kind == "curves"  # of signals both are drawn at once
    assert pair.both.shape[0] == 2
    assert pair.both.second == b""
    two.change(problem={"name": "blocks", "params": {"size": 32}})
    two.run().wait(60)
    two.keep()
    assert pair.children == (pair.form, pair.notes)
    assert "not on the same grid" in pair.notes.value


def test_runs_on_different_data_are_not_ranked(two):
    assert any(note.title.endswith("is nearest to the truth") for note in compared(two._screen.compare.runs))
    two.change(seed=5)
    assert two.run().wait(60)
    two.keep()
    titles = [note.title for note in compared(two._screen.compare.runs)]
    assert titles == ["Not the same problem", "What is drawn"]
