"""Parts of a phantom that are dragged and steered on the picture of the truth, without a page."""

import time

import numpy as np
import pytest

from explorer.problems.drawn import parse
from explorer.widgets import changes
from tests.widgets.page import report, rows

PARTS = "ellipse 0 0 0.7 0.8 0 0.4; rectangle 0.25 0.5 0.2 0.1 30 0.5"
DRAWN = {"problem": {"name": "drawn_phantom", "params": {"size": 32, "parts": PARTS}}, "operator": "gaussian_blur"}
FIELD = "problem.params.parts"


def say(widget, **content):
    truth = widget._screen.pictures["Truth"]
    widget._screen._point(truth, content, None)


def shapes(widget):
    return parse(widget.spec.problem.params["parts"])


def test_the_picture_of_the_truth_has_a_handle_for_each_part(make):
    w = make(**DRAWN)
    truth = w._screen.pictures["Truth"]
    assert [part["name"] for part in truth.parts] == ["Part 1 of 2: ellipse", "Part 2 of 2: rectangle"]
    second = truth.parts[1]
    assert second["at"] == [0.25, 0.625]  # y points up, rows go down
    assert second["half"] == [0.05, 0.1]
    assert second["turn"] == -30
    assert second["text"].startswith("Part 2, rectangle at (0.25, 0.50), 0.2 × 0.1, 30°")
    assert all(not w._screen.pictures[name].parts for name in ("Data", "Reconstruction", "Error"))
    assert rows(w)[FIELD]["text"] == PARTS
    w.change(problem={"name": "shepp_logan", "params": {"size": 32}})
    assert truth.parts == []


def test_a_drag_moves_the_part_the_truth_and_the_data_and_is_one_change(make, monkeypatch):
    monkeypatch.setattr(changes, "TOGETHER", 0.0)  # a slow drag is one change too
    w = make(**DRAWN)
    w.run().result(60)
    assert w.wait(60)
    truth, data = w._screen.pictures["Truth"], w._screen.pictures["Data"]
    before = truth.pixels, data.pixels
    for row, column in ((0.3, 0.6), (0.5, 0.5), (0.75, 0.25)):
        say(w, part=1, to=[row, column], drag=7)
    assert w.wait(60)
    assert (shapes(w)[1].x, shapes(w)[1].y) == (-0.5, -0.5)
    assert shapes(w)[0] == parse(PARTS)[0]
    assert truth.parts[1]["at"] == [0.75, 0.25]
    assert truth.pixels != before[0]
    assert data.pixels != before[1]
    assert w._screen.pictures["Reconstruction"].stale
    w.undo()
    assert w.spec.problem.params["parts"] == PARTS
    assert w._undo_button.disabled
    w.redo()
    assert shapes(w)[1].x == -0.5


def test_two_drags_are_two_changes_however_quick(make):
    w = make(**DRAWN)
    say(w, part=0, to=[0.5, 0.5], drag=1)  # it is there already: no change
    say(w, part=0, to=[0.5, 0.6], drag=1)
    say(w, part=0, to=[0.5, 0.7], drag=1)
    say(w, part=0, to=[0.5, 0.8], drag=2)
    w.undo()
    assert shapes(w)[0].x == pytest.approx(0.4)
    w.undo()
    assert shapes(w)[0].x == 0
    assert w._undo_button.disabled


def test_keys_move_scale_and_turn_a_part_and_are_undone_together(make):
    w = make(**DRAWN)
    for change in ({"right": 0.0625}, {"up": -0.0625}, {"scale": 1.1}, {"turn": 5}):
        say(w, part=1, **change)
    part = shapes(w)[1]
    assert (part.x, part.y, part.width, part.height, part.angle) == (0.312, 0.438, 0.22, 0.11, 35)
    w.undo()
    assert w.spec.problem.params["parts"] == PARTS


def test_what_is_no_move_changes_nothing(make):
    w = make(**DRAWN)
    wrong = (
        {"part": 2, "to": [0, 0]}, {"part": -1, "to": [0, 0]}, {"part": "0", "to": [0, 0]}, {"part": None},
        {"part": True, "to": [0, 0]}, {"part": 0}, {"part": 0, "to": []}, {"part": 0, "to": None},
        {"part": 0, "to": ["x", 0]}, {"part": 0, "to": [float("nan"), 0]}, {"part": 0, "scale": float("inf")},
        {"part": 0, "turn": [1]}, {"part": 0, "up": 10**400},
    )  # fmt: skip
    for content in wrong:
        say(w, **content)
    assert w.spec.problem.params["parts"] == PARTS
    assert w._undo_button.disabled
    say(w, part=0, to=[9.0, -9.0])  # beyond the picture: at its edge
    assert (shapes(w)[0].x, shapes(w)[0].y) == (-1, -1)


def test_a_list_that_cannot_be_read_has_no_handles_and_says_why(make):
    w = make(**DRAWN)
    report(w, id=FIELD, value="circle 0 0 1 1 0 1")
    assert w.wait(60)
    assert w._screen.pictures["Truth"].parts == []
    assert "wrong in part 1" in w._message.value
    report(w, id=FIELD, value="blob 0 0 0.3 0.3 0 1")
    assert w.wait(60)
    assert len(w._screen.pictures["Truth"].parts) == 1
    assert w._message.value == ""


def test_live_mode_follows_the_drag(make):
    w = make(**DRAWN)
    first = w.run().result(60)
    w._live.value = True
    say(w, part=1, to=[0.7, 0.3], drag=1)
    deadline = time.monotonic() + 30
    while w.result is first:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert w._job.wait(30)
    assert w.result.spec == w.spec
    bright = np.unravel_index(int((w.result.x - first.x).argmax()), (32, 32))
    assert np.abs(np.subtract(bright, (22, 9))).max() <= 3


def fill(widget, name, value):
    form = widget._screen.handles.form
    widget._screen.handles._set(form, {"seq": form.seq + 1, "id": name, "value": value}, None)


def form(widget):
    return {row["id"]: row for group in widget._screen.handles.form.groups for row in group["rows"]}


def test_the_rim_is_dragged_and_keys_change_the_intensity(make):
    w = make(**DRAWN)
    w.run().result(60)
    before = w._screen.pictures["Truth"].pixels
    for half in ([0.1, 0.2], [0.25, 0.3]):
        say(w, part=1, half=half, drag=1)
    assert w.wait(60)
    assert (shapes(w)[1].width, shapes(w)[1].height) == (0.6, 0.5)
    assert w._screen.pictures["Truth"].parts[1]["half"] == [0.25, 0.3]
    assert w._screen.pictures["Truth"].pixels != before
    w.undo()
    assert w.spec.problem.params["parts"] == PARTS
    say(w, part=1, brighter=0.05)
    say(w, part=1, brighter=0.05)
    assert shapes(w)[1].intensity == pytest.approx(0.6)
    w.undo()
    assert w.spec.problem.params["parts"] == PARTS
    for wrong in ([], [1], ["x", 1], [float("nan"), 1], None):
        say(w, part=1, half=wrong, drag=2)
    assert w.spec.problem.params["parts"] == PARTS
    say(w, part=1, half=[9.0, 0.0], drag=3)
    assert (shapes(w)[1].width, shapes(w)[1].height) == (0.01, 1.0)  # within what the problem allows


def test_a_form_below_the_pictures_changes_the_chosen_part(make):
    w = make(**DRAWN)
    assert form(w)["part"]["choices"] == ["", "1: ellipse", "2: rectangle"]
    assert list(form(w)) == ["part"]  # nothing to change before one is chosen
    say(w, part=1)
    assert form(w)["part"]["value"] == "2: rectangle"
    assert [part["chosen"] for part in w._screen.pictures["Truth"].parts] == [False, True]
    assert w._undo_button.disabled  # to choose is no change
    expected = {"width": 0.2, "height": 0.1, "angle": 30, "intensity": 0.5}
    assert {name: row["value"] for name, row in form(w).items() if name != "part"} == expected
    for value in (0.3, 0.4):  # one drag of a slider
        fill(w, "width", value)
    fill(w, "intensity", "−2.5")
    assert (shapes(w)[1].width, shapes(w)[1].intensity) == (0.4, -2.5)
    assert rows(w)[FIELD]["text"] == w.spec.problem.params["parts"]
    assert "intensity −2.5" in w._screen.pictures["Truth"].parts[1]["text"]
    w.undo()
    w.undo()
    assert w.spec.problem.params["parts"] == PARTS
    assert form(w)["width"]["value"] == 0.2
    fill(w, "width", "wide")
    assert form(w)["width"]["error"] == "'wide' is no number."
    fill(w, "width", 7)
    assert not form(w)["width"]["error"]
    assert shapes(w)[1].width == 1
    fill(w, "part", "")
    assert list(form(w)) == ["part"]
    fill(w, "width", 0.5)
    assert shapes(w)[1].width == 1  # of no part
    w.change(problem={"name": "shepp_logan", "params": {"size": 32}})
    assert form(w) == {}


def test_the_help_names_the_keys_of_parts_where_there_are_parts(make):
    w = make(**DRAWN)
    report(w, key="?")
    assert "Page Up" in w._message.value
    w.change(problem={"name": "shepp_logan", "params": {"size": 32}})
    report(w, key="?")
    assert "Page Up" not in w._message.value


def test_live_mode_follows_the_form(make):
    w = make(**DRAWN)
    first = w.run().result(60)
    w._live.value = True
    say(w, part=1)
    fill(w, "intensity", -1.0)
    deadline = time.monotonic() + 30
    while w.result is first:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert w._job.wait(30)
    assert w.result.spec == w.spec
    assert shapes(w)[1].intensity == -1
