"""What the kernel sends to a page: how much at once, and nothing twice."""

import json

import ipywidgets
import numpy as np
import pytest

from explorer.engine.driver import Snapshot
from explorer.figures.panels import Panel, quantised
from explorer.widgets import canvas
from explorer.widgets.screen import TABS
from tests.widgets.page import report

#: bytes that a change of a widget's state may have
MOST = 300 * 1024


@pytest.fixture
def sent(monkeypatch):
    """Return a list of the widget, its changed values and the bytes of every change of a state that is sent."""
    found = []

    def note(widget, message, buffers=None):
        if widget.comm is not None and message.get("method") == "update":  # what is set before goes with the opening
            size = len(json.dumps(message["state"])) + sum(memoryview(b).nbytes for b in buffers or ())
            found.append((widget, {*message["state"], *(path[0] for path in message["buffer_paths"])}, size))

    monkeypatch.setattr(ipywidgets.Widget, "_send", note)
    return found


def test_no_change_of_a_state_is_large_whatever_picture_is_looked_at(make, sent):
    w = make(problem={"name": "shepp_logan", "params": {"size": 512}}, stop={"name": "budget", "params": {"steps": 3}})
    report(w, opened=True)
    report(w, open="preset", kind="preset")
    assert w.wait(60)
    assert w._screen._chart is not None
    w._screen._chart._arrived({"new": {"drawn": True}})  # as a page says that has drawn its figure
    w.run().result(60)
    for tab in ("Profile", "Values", "Point", "Experiment", "Convergence"):
        w._screen.tabs.selected = TABS.index(tab)
        assert w.wait(60)
    largest = max(sent, key=lambda change: change[2])
    assert 512 * 512 < largest[2] < MOST, largest[1:]  # that of a picture, one byte a pixel


def test_a_frame_sends_the_pixels_of_two_pictures_and_no_setting_again(make, sent):
    w = make(problem={"name": "shepp_logan", "params": {"size": 64}}, stop={"name": "budget", "params": {"steps": 3}})
    job = w.run()
    job.result(60)
    x, history = w.result.x, w.result.history
    for step in (2, 3):
        sent.clear()
        w._updated(job, Snapshot(step, x + 0.1 * step, history, 0.5, 0.1, 0.1, {"A": step}))
    pixels = [widget for widget, changed, _ in sent if "pixels" in changed]
    assert sorted(widget.title[:5] for widget in pixels) == ["Error", "Recon"]
    assert not {"table", "table_dark", "groups"} & set().union(*(changed for _, changed, _ in sent))
    assert sum(size for *_, size in sent) < 2 * 64 * 64 + 4096


@pytest.mark.parametrize("size", [512, 640])
def test_a_frame_of_a_large_picture_is_coarse_and_the_result_is_not(make, sent, size):
    w = make(problem={"name": "shepp_logan", "params": {"size": size}}, stop={"name": "budget", "params": {"steps": 2}})
    job = w.run()
    run, picture = job.result(60), w._screen.pictures["Reconstruction"]
    assert (picture.coarse, len(picture.pixels)) == (1, size**2)
    sent.clear()
    w._updated(job, Snapshot(2, run.x, run.history, 0.5, 0.1, 0.1, {"A": 2}))
    assert max(bytes for *_, bytes in sent) < MOST
    side = 1 if size == 512 else 2
    assert (picture.coarse, picture.shape) == (side, (size, size))
    means = run.x.double().reshape(size // side, side, size // side, side).mean(dim=(1, 3)).numpy()
    steps = 255 * (means - picture.low) / (picture.high - picture.low)
    pixels = np.frombuffer(picture.pixels, np.uint8).reshape(means.shape)
    assert np.abs(pixels - steps.clip(0, 255)).max() < 0.51  # half a step, and single precision
    w._show_result(run, False)
    assert (picture.coarse, len(picture.pixels)) == (1, size**2)


@pytest.mark.parametrize("shape", [(5, 7), (6, 6), (1, 9)])
def test_squares_at_the_end_of_a_coarse_picture_are_smaller(shape):
    array = np.arange(float(np.prod(shape))).reshape(shape)
    found = quantised(Panel("x", array, 0.0, 255.0), 3)
    expected = [[array[i : i + 3, j : j + 3].mean() for j in range(0, shape[1], 3)] for i in range(0, shape[0], 3)]
    assert np.abs(found - np.array(expected)).max() <= 0.5


def test_a_page_that_has_yet_to_paint_is_sent_no_more_frames(make, sent, monkeypatch):
    w = make(problem={"name": "shepp_logan", "params": {"size": 32}}, stop={"name": "budget", "params": {"steps": 3}})
    job = w.run()
    run, picture = job.result(60), w._screen.pictures["Reconstruction"]

    def frames(steps):
        sent.clear()
        for step in steps:
            w._updated(job, Snapshot(step, run.x + 0.01 * step, run.history, 0.5, 0.1, 0.1, {"A": step}))
        return [widget.title for widget, changed, _ in sent if widget is picture and "frame" in changed]

    monkeypatch.setattr(canvas, "PATIENCE", 60.0)
    assert len(frames(range(1, 5))) == 4  # nobody has answered yet: perhaps nobody looks
    picture._handle_custom_msg({"frame": picture.frame}, None)
    assert len(frames(range(5, 9))) == canvas.AHEAD
    picture._handle_custom_msg({"frame": picture.frame}, None)
    assert frames([9]) == ["Reconstruction, step 9"]
    picture._handle_custom_msg({"frame": picture.frame - 2}, None)
    monkeypatch.setattr(canvas, "PATIENCE", 0.0)  # an answer that does not come is not waited for
    assert len(frames(range(10, 13))) == 3
