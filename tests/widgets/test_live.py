"""Live mode and presets."""

import time

import pytest

import explorer as ex
from explorer.engine import advise
from explorer.engine.presets import presets
from explorer.widgets import changes, explorer
from tests.widgets.page import report, rows


def settled(widget, spec, seconds=30):
    """Wait until a result of a specification is on the screen."""
    deadline = time.monotonic() + seconds
    while not (widget.result is not None and widget.result.spec == spec):
        assert time.monotonic() < deadline, "live mode ran nothing"
        time.sleep(0.02)
    assert widget._job.wait(30)


@pytest.mark.parametrize("at_once", [0.0, 60.0])
def test_live_mode_runs_after_every_change_at_once_or_at_rest(make, monkeypatch, at_once):
    monkeypatch.setattr(explorer, "AT_ONCE", at_once)
    w = make()
    w.run().wait(60)
    w._live.value = True
    for sigma in (2.5, 3.0, 3.5):
        report(w, id="operator.params.sigma", value=sigma)
    settled(w, w.spec)
    assert w.spec.operator.params["sigma"] == 3.5
    assert ("live, at once" if at_once else "live, on release") in w._progress.value


def test_without_live_mode_a_change_runs_nothing(make):
    w = make()
    job = w.run()
    job.wait(60)
    report(w, id="operator.params.sigma", value=3.5)
    w.wait(10)
    assert w._job is job
    assert w._screen.pictures["Reconstruction"].stale
    w._live.value = True  # what was waiting runs now
    settled(w, w.spec)


def test_live_mode_leaves_a_wrong_value_alone(make):
    w = make()
    w.run().wait(60)
    job = w._job
    report(w, key="l")
    assert w._live.value
    report(w, id="operator.params.sigma", value=-3)
    assert w._job is job
    assert "Width" in w._message.value


def test_a_preset_changes_everything_and_runs(make, monkeypatch):
    monkeypatch.setattr(changes, "TOGETHER", 0.0)
    w = make()
    report(w, id="preset", value="Shaw and the Picard condition")
    assert w._job.wait(60)
    assert w.spec == presets()["Shaw and the Picard condition"] == w.result.spec
    assert rows(w)["preset"]["value"] == "Shaw and the Picard condition"
    report(w, id="seed", value="3")
    assert rows(w)["preset"]["value"] == ""
    report(w, id="preset", value="no such")
    assert w.spec.seed == 3
    w.undo()
    w.undo()
    assert w.spec.problem.name == "blocks"


def test_every_preset_is_what_its_file_says():
    assert all(ex.RunSpec.from_json(spec.to_json()) == spec for spec in presets().values())


def test_presets_are_cards_with_a_picture_sent_when_somebody_looks(make):
    w = make()
    assert w._controls.pictures == {}
    report(w, open="preset", kind="")
    assert w.wait(60)
    titles = [option["value"] for option in w._controls.options["preset"]]
    assert titles == list(presets())
    assert titles[:2] == ["Deblur a photo", "Tomography from 30 angles"]  # a learner begins there
    assert titles[7:] == sorted(titles[7:])
    assert all(w._controls.pictures[title].startswith("data:image/png;base64,iVBOR") for title in titles)
    assert sum(map(len, w._controls.pictures.values())) < 200 * 1024  # one message of state


def test_what_cannot_fit_is_refused_when_it_is_chosen(make, monkeypatch):
    w = make()
    assert w.run().wait(60)
    kept = w.result
    monkeypatch.setattr(advise, "available", lambda _: 2**10)
    w.change(problem={"name": "blocks", "params": {"size": 512}})
    assert w.wait(60)
    assert "It cannot fit: about" in w._message.value
    assert w.run().wait(60)
    assert "1 KiB are free" in w._message.value
    assert w.result is kept  # the last good result stays
