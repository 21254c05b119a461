"""What a notebook keeps of an Explorer, going back by one group, and undo of every choice."""

import json

import pytest

import explorer as ex
from explorer.widgets import cells, saved
from tests.widgets.page import SMALL, report, rows

FIRST = ex.RunSpec(**SMALL)
LATER = FIRST.replace(seed=7, solver="lsqr")


class Kernel:
    """A kernel that executes one cell of a notebook."""

    def __init__(self, cell):
        self._cell = cell

    def get_parent(self):
        return {"metadata": {"cellId": self._cell}, "header": {"msg_id": "1"}}


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    """Pretend to run in the cell "here" of a notebook's kernel; return the file and what the cell was sent."""
    file, sent = tmp_path / "n.ipynb", []
    monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    monkeypatch.setattr(cells, "kernel", lambda: Kernel("here"))
    monkeypatch.setattr(saved, "PAUSE", 0.05)
    monkeypatch.setattr("explorer.widgets.explorer.PATIENCE", 60.0)
    monkeypatch.setattr("IPython.display.publish_display_data", lambda data, **how: sent.append((data, how)))
    return file, sent


def write(file, kept, cell="here"):
    """Write a notebook whose cell keeps something."""
    outputs = [{"output_type": "stream", "text": "x"}, {"output_type": "display_data", "data": {saved.KIND: kept}}]
    file.write_text(json.dumps({"cells": [{"id": "other"}, {"id": cell, "outputs": outputs}]}), encoding="utf-8")


def test_the_notebook_is_sent_the_picture_and_the_settings_once_more_after_a_change(make, notebook):
    _, sent = notebook
    w = make()
    bundle = w._repr_mimebundle_()
    data, how = sent[0]
    assert "image/png" not in bundle  # the notebook has it in the output beside
    assert "<img" not in data["text/html"]  # which a person who sees the widget does not wait for
    assert not how["update"]
    w._saved._rest._timer.join(30)
    data, again = sent[-1]
    assert "data:image/png;base64,iVBOR" in data["text/html"]
    assert again == how | {"update": True}
    assert ex.RunSpec.from_json(data[saved.KIND]["spec"]) == w.spec
    for seed in (1, 2, 3):
        report(w, id="seed", value=str(seed))
    w.run().result(60)
    assert w._saved._rest._timer is not None
    w._saved._rest._timer.join(30)
    data, again = sent[-1]
    assert again["update"]
    assert again["transient"] == how["transient"]
    assert ex.RunSpec.from_json(data[saved.KIND]["spec"]).seed == 3
    assert w._controls.state == data[saved.KIND]


def test_running_the_cell_again_restores_the_choices(make, notebook):
    file, _ = notebook
    write(file, saved.state(LATER, FIRST))
    w = make(FIRST)
    w._repr_mimebundle_()
    assert w.spec == LATER == w.result.spec
    assert "Restored what was chosen" in w._message.value
    w.undo()
    assert w.spec == FIRST


@pytest.mark.parametrize("wrong", ["other code", "other cell", "damaged", "unknown", "no file", "no notebook"])
def test_nothing_is_restored_that_belongs_elsewhere(make, notebook, wrong):
    file, _ = notebook
    kept = saved.state(LATER, FIRST.replace(seed=1) if wrong == "other code" else FIRST)
    if wrong in ("damaged", "unknown"):
        kept["spec"] = "{" if wrong == "damaged" else kept["spec"].replace('"lsqr"', '"no_such"')
    if wrong != "no file":
        write(file, kept, "elsewhere" if wrong == "other cell" else "here")
    if wrong == "no notebook":
        file.write_text("[]", encoding="utf-8")
    w = make(FIRST)
    w._repr_mimebundle_()
    assert w.spec == FIRST
    assert w._message.value == ""


def test_what_was_set_in_code_is_not_replaced(make, notebook):
    file, _ = notebook
    write(file, saved.state(LATER, FIRST))
    w = make(FIRST)
    w.run().result(60)
    w._repr_mimebundle_()
    assert w.spec == FIRST


def test_a_page_reminds_the_widget_of_a_kernel_that_is_gone(make):
    w = make(FIRST)
    report(w, opened=True, was=saved.state(LATER, FIRST))
    assert w._job.result(60).spec == w.spec == LATER
    for nonsense in ("x", None, {}, {"spec": 1, "first": 2}, saved.state(FIRST, LATER)):
        report(w, was=nonsense)
        assert w.spec == LATER


@pytest.mark.parametrize(
    ("title", "path", "value"),
    [
        ("Problem", "problem.params.size", 32),
        ("Operator", "operator.params.sigma", 3.5),
        ("Noise", "seed", 4),
        ("Method", "record.keep_going", False),
    ],
)
def test_one_group_goes_back_and_that_can_be_undone(make, title, path, value):
    def offered():
        return [group["title"] for group in w._controls.groups if group.get("changed")]

    w = make()
    first = w.spec
    w.change(dtype="float64")
    kept = w.spec
    assert offered() == []
    report(w, id=path, value=value)
    changed = w.spec
    assert changed != kept
    assert offered() == [title]
    report(w, reset=title)
    assert w.spec == kept
    w.undo()
    assert w.spec == changed
    w.redo()
    assert w.spec == kept
    report(w, reset="No such")
    assert w.spec == kept
    w.reset()
    assert w.spec == first


def test_resetting_a_group_forgets_what_was_mistyped_in_it(make):
    w = make()
    report(w, id="operator.params.sigma", value="wide")
    report(w, reset="Operator")
    assert rows(w)["operator.params.sigma"]["error"] == ""
    assert w._message.value == ""


def test_a_drag_is_undone_as_one_change_and_every_other_choice_by_itself(make):
    w = make()
    first = w.spec
    for sigma in (2.5, 3.0, 3.5):
        report(w, id="operator.params.sigma", value=sigma)
    report(w, id="seed", value="1")
    report(w, reset="Noise")
    report(w, id="solver", value="lsqr")
    seen = []
    for _ in range(4):
        w.undo()
        seen.append((w.spec.solver.name, w.spec.seed, w.spec.operator.params["sigma"]))
    assert seen == [("cgls", 0, 3.5), ("cgls", 1, 3.5), ("cgls", 0, 3.5), ("cgls", 0, 2.0)]
    assert w.spec == first
    assert w._undo_button.disabled
