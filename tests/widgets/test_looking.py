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


def test_a_click_on_the_data_shows_how_that_datum_was_measured(make):
    w = make(**IMAGE, operator={"name": "radon", "params": {"angles": 9}})
    w.run().result(60)
    screen = w._screen
    panel = screen.experiment
    spent = screen.problem.y.clone()
    screen._point(screen.pictures["Data"], {"at": [0.5, 0.5]}, None)
    assert w.wait(60)
    assert screen._selected == "Experiment"
    assert panel.at == (4, 23)
    assert "y = A x + n" in panel.notes.value
    assert "9 (angle) × 46 (detector) = 414 numbers" in panel.notes.value
    assert [sketch.there for sketch in panel.sketches] == [True, False]
    ray = next(s for s in panel.sketches[0].strokes if s["kind"] == "chosen")
    assert len(ray["points"]) == 2
    before = panel.sensitivity.pixels
    for wrong in ({}, {"place": []}, {"place": ["x", 0]}, {"place": None}):
        panel._clicked(panel.sketches[0], wrong, None)
    assert panel.at == (4, 23)
    panel._clicked(panel.sketches[0], {"place": [2.0, 2.0]}, None)
    assert w.wait(60)
    assert panel.at[0] == 4  # another ray of the view
    assert panel.at[1] != 23
    say(panel, id="axis0", value=0)
    assert w.wait(60)
    assert panel.sensitivity.pixels != before
    assert bool((screen.problem.y == spent).all())


def test_a_pixel_of_a_mask_and_a_frequency_are_chosen_in_their_drawings(make):
    w = make(**IMAGE, operator="random_mask")
    w.run().result(60)
    screen = w._screen
    screen._point(screen.pictures["Data"], {"at": [0.99, 0.99]}, None)
    assert w.wait(60)
    assert screen._selected == "Experiment"
    assert screen.experiment.at[0] > 500  # of 512, in reading order
    assert np.count_nonzero(np.abs(values(screen.experiment.sensitivity)) > 0.5) == 1
    w.change(operator="multicoil_mri")
    assert w.wait(60)
    panel = screen.experiment
    assert [sketch.title for sketch in panel.sketches][1].startswith("Coil 4 of 8")
    say(panel, id="axis0", value=6)
    assert w.wait(60)
    panel._clicked(panel.sketches[0], {"place": [16.0, 16.0]}, None)
    assert w.wait(60)
    assert panel.at[0] == 6  # the coil stays
    assert panel.sketches[0].strokes[-1]["points"] == [[16.0, 16.0]]


def test_where_data_are_seen_back_projected_a_click_draws_the_row(make):
    w = make(**IMAGE, operator="masked_fourier")
    w.run().result(60)
    w._screen._point(w._screen.pictures["Data"], {"at": [0.5, 0.5]}, None)
    assert w._screen._selected == "Profile"


def test_a_matrix_to_invert_has_no_experiment(make):
    w = make(problem="matrix_inverse", operator=None, solver="newton_schulz")
    w.run().result(60)
    select(w, "Experiment")
    assert "no forward model" in w._screen.experiment.notes.value
    assert w._screen.experiment.form.groups == []
