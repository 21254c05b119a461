"""Colours, range, slice, the part of complex values, and how values are spread: nothing is solved for them."""

import dataclasses
import html

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.figures import panels
from explorer.figures.colours import CYCLIC, TABLES, table
from explorer.figures.panels import View, after, before
from explorer.widgets.screen import TABS

IMAGE = {"problem": {"name": "shepp_logan", "params": {"size": 16}}}


def say(widget, **content):
    viewing = widget._screen.viewing
    viewing._receive(None, {"seq": viewing.form.seq + 1, **content}, None)


def offered(widget):
    return {row["id"]: row for group in widget._screen.viewing.form.groups for row in group["rows"]}


@pytest.fixture
def shown(make):
    w = make(**IMAGE)
    w.run().result(60)
    w._screen.tabs.selected = TABS.index("Values")
    return w


def test_colours_change_and_errors_keep_theirs(shown):
    pictures, job = shown._screen.pictures, shown._job
    error, pixels = pictures["Error"].table, pictures["Reconstruction"].pixels
    for name in TABLES:
        say(shown, id="colours", value=name)
        assert pictures["Truth"].table == pictures["Data"].table == table(name).tobytes()
    assert pictures["Error"].table == error
    assert pictures["Reconstruction"].pixels == pixels
    assert shown._job is job
    w = shown._screen
    w.scrub(None, {"id": "iterate", "value": 1}, None)
    assert pictures["Reconstruction"].table == table("magma").tobytes()


@pytest.mark.parametrize("name", TABLES)
def test_lightness_grows_with_the_value(name):
    linear = np.where(table(name) > 10, ((table(name) / 255 + 0.055) / 1.055) ** 2.4, table(name) / 255 / 12.92)
    assert (np.diff(linear @ (0.2126, 0.7152, 0.0722)) > -1e-3).all()


def test_the_range_is_of_the_truth_or_of_each_picture_or_chosen(shown):
    pictures, run = shown._screen.pictures, shown.result
    truth = pictures["Truth"]
    assert (truth.low, truth.high) == (pictures["Reconstruction"].low, pictures["Reconstruction"].high)
    say(shown, id="scale", value="of each picture")
    assert pictures["Reconstruction"].high == pytest.approx(float(run.x.max()))
    say(shown, id="scale", value="chosen")
    assert (truth.low, truth.high) == pytest.approx((float(run.x_true.min()), float(run.x_true.max())))
    say(shown, id="high", value="0.5")
    assert (truth.high, pictures["Reconstruction"].high) == (0.5, 0.5)
    assert "lie beyond" in shown._screen.notes.value
    beyond = float((run.x_true > 0.5).double().mean())
    assert f"{100 * beyond:.2g} % lie beyond" in shown._screen.notes.value
    for wrong in ("x", "nan", "inf", None):
        say(shown, id="high", value=wrong)
        assert offered(shown)["high"]["error"] == f"{wrong} is no number"
    say(shown, id="low", value=7)
    assert offered(shown)["high"]["error"] == "White must be above black."
    assert (truth.low, truth.high) == (pytest.approx(float(run.x_true.min())), 0.5)
    for wrong in ({}, {"id": "scale", "value": "wide"}, {"id": "colours", "value": "jet"}, {"id": "x", "value": 1}):
        say(shown, **wrong)
    assert pictures["Truth"].high == 0.5


def test_values_are_counted_for_truth_and_reconstruction(shown):
    figure = ex.figures.distribution({"a": [0.0] * 90 + [1.0] * 10}, marked=(0.0, 1.0), log=True, bins=4)
    assert np.nanmax(figure.data[0].y) == pytest.approx(0.9)
    assert figure.data[0].y[1] == pytest.approx(0.005)  # half a value of a hundred
    assert figure.layout.yaxis.type == "log"
    assert len(figure.layout.shapes) == 2
    said = html.unescape(shown._screen.notes.value)
    assert "Values of the truth" in said
    assert "Values of the reconstruction" in said
    shown._screen.tabs.selected = 0
    assert offered(shown) == {}  # in the way of nobody


def test_a_volume_is_seen_slice_by_slice_without_solving(make):
    w = make(problem={"name": "head_volume", "params": {"side": 16}}, operator="gaussian_blur")
    run = w.run().result(60)
    count = run.x.shape[0]
    row = offered(w)["slice"]  # whatever the tab
    assert (row["low"], row["high"], row["unit"]) == (1, count, f"of {count}")
    costs = dict(run.costs)
    say(w, id="slice", value=count // 2 + 1)
    w._screen.tabs.selected = TABS.index("Code")
    assert offered(w)["slice"]["value"] == count // 2 + 1
    shown = w._screen._panels["Truth"].array
    np.testing.assert_array_equal(shown, run.x_true[count // 2].numpy())
    np.testing.assert_array_equal(w._screen._panels["Reconstruction"].array, run.x[count // 2].numpy())
    say(w, id="slice", value=10_000)
    np.testing.assert_array_equal(w._screen._panels["Truth"].array, run.x_true[-1].numpy())
    assert dict(run.costs) == costs


def test_complex_values_are_seen_as_modulus_phase_and_parts():
    run = ex.run(ex.RunSpec(**IMAGE, operator="masked_fourier", dtype="complex64", stop="budget"))
    truth = run.x_true * torch.polar(torch.ones(16, 16), torch.linspace(-3, 3, 16).expand(16, 16))
    run.problem.truth = dataclasses.replace(run.problem.truth, x=truth)
    x = truth * (1 + 0.1j)
    for part, make in (("modulus", torch.abs), ("real part", torch.real), ("imaginary part", torch.imag)):
        first, error = after(run.problem, x, view=View(part=part))
        np.testing.assert_allclose(first.array, make(x).numpy())
        np.testing.assert_allclose(error.array, make(x - truth).numpy())
        assert error.signed == (part != "modulus")
    phase, error = after(run.problem, x, view=View(part="phase"))
    assert phase.colours == before(run.problem, View(part="phase"))[0].colours == CYCLIC
    inside = truth.abs().numpy() > 0.1
    np.testing.assert_allclose(phase.array, x.angle().numpy())
    np.testing.assert_allclose(error.array[inside], np.angle(1 + 0.1j), rtol=1e-4)  # angles, not numbers, differ


def test_complex_unknowns_offer_their_parts(make):
    w = make(**IMAGE, operator="masked_fourier", dtype="complex64")
    w.run().result(60)
    assert offered(w)["part"]["choices"] == ["modulus", "phase", "real part", "imaginary part"]
    say(w, id="part", value="phase")
    assert w._screen.pictures["Truth"].table == table(CYCLIC).tobytes()
    assert panels.slices(build(w.spec)) == 1
