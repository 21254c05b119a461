"""Places that are looked at: a point and its response, the experiment and one of its data."""

import html

import numpy as np
import pytest

from explorer.widgets.screen import TABS

IMAGE = {"problem": {"name": "shepp_logan", "params": {"size": 32}}}


def say(panel, **content):
    panel._receive(None, {"seq": panel.form.seq + 1, **content}, None)


def select(widget, tab):
    widget._screen.tabs.selected = TABS.index(tab)
    assert widget.wait(60)


def values(picture):
    """Return what an image on the page stands for."""
    indices = np.frombuffer(picture.pixels, np.uint8).reshape(picture.shape)
    return picture.low + indices / 255 * (picture.high - picture.low)


def test_a_click_on_the_reconstruction_shows_what_becomes_of_the_point(make):
    w = make(**IMAGE)
    run = w.run().result(60)
    screen = w._screen
    spent = dict(run.costs)
    screen._point(screen.pictures["Reconstruction"], {"at": [0.25, 0.5]}, None)
    assert w.wait(60)
    panel = screen.pointing
    assert screen._selected == "Point"
    assert panel.at == (8, 16)
    assert "comes back with" in panel.notes.value
    shown = values(panel.pictures[0])
    assert np.unravel_index(np.abs(shown).argmax(), shown.shape) == (8, 16)
    assert panel.pictures[1].shape[0] < 32
    assert dict(run.costs) == spent
    assert "click" not in panel.pictures[0].click
    assert screen.pictures["Reconstruction"].click == "its point response"


def test_sliders_choose_the_point_as_well_and_earlier_steps_see_it_less_sharply(make):
    w = make(record={"keep_going": True})
    run = w.run().result(60)
    panel = w._screen.pointing
    select(w, "Point")
    assert panel.pictures[0].kind == "curves"
    assert panel.form.groups[0]["rows"][0]["name"] == "Point: sample"
    say(panel, id="axis0", value="20")
    assert w.wait(60)
    assert panel.at == (20,)
    late = panel.pictures[0].note
    w._screen.scrub(None, {"id": "iterate", "value": 1}, None)
    assert w.wait(60)
    assert "After step 1" in panel.notes.value
    assert float(panel.pictures[0].note.split()[0]) < float(late.split()[0])
    for wrong in ({}, {"id": "axis9", "value": 1}, {"id": "axis0", "value": "x"}, {"id": "axis0", "value": "inf"}):
        say(panel, **wrong)
    assert panel.at == (20,)
    w.change(operator={"name": "gaussian_blur", "params": {"sigma": 4.0}})
    assert panel.pictures[0].stale
    assert w._screen.run is run


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"solver": "pdhg", "prior": "tv"}, "is no linear method"),
        ({"problem": {"name": "shepp_logan", "params": {"size": 64}}, "operator": "radon", "solver": "lsqr"}, "cgls"),
    ],
)
def test_where_a_point_response_is_not_defined_a_sentence_says_so(make, choices, says):
    w = make(**{**IMAGE, **choices}, stop={"name": "budget", "params": {"steps": 4}}, rule="fixed")
    select(w, "Point")
    assert "Press Run" in w._screen.pointing.notes.value
    w.run().result(60)
    assert w.wait(60)
    assert says in html.unescape(w._screen.pointing.notes.value)
    assert w._screen.pointing.pictures[0].kind == "empty"
