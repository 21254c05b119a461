"""A cell that is run again replaces its Explorer: the older one is closed, with all that it is made of."""

from types import SimpleNamespace

import pytest
from ipywidgets.widgets import widget as registry

from explorer.widgets import cells
from explorer.widgets.chart import Library


class Kernel:
    """A kernel whose cells are run one after the other."""

    def __init__(self):
        self.where, self.runs, self.waiting = "a", 0, []
        self.shell = SimpleNamespace(events=SimpleNamespace(register=self._register, unregister=self._unregister))

    def get_parent(self):
        return {"metadata": {"cellId": self.where}, "header": {"msg_id": str(self.runs)}}

    def _register(self, event, call):
        assert event == "post_run_cell"
        self.waiting.append(call)

    def _unregister(self, event, call):
        self.waiting.remove(call)

    def run(self, where, *widgets):
        """Execute a cell that shows widgets."""
        self.where, self.runs = where, self.runs + 1
        for widget in widgets:
            widget._repr_mimebundle_()
        for call in tuple(self.waiting):
            call(None)
        assert not self.waiting


@pytest.fixture
def kernel(monkeypatch):
    made = Kernel()
    monkeypatch.setattr(cells, "kernel", lambda: made)
    monkeypatch.setattr(cells, "_CELLS", {})
    monkeypatch.setattr("explorer.widgets.explorer.PATIENCE_ALONE", 0.0)
    monkeypatch.setattr("IPython.display.publish_display_data", lambda *_, **__: None)
    return made


def _open(widget):
    return widget.comm is not None


def test_the_older_explorer_of_a_cell_is_closed_after_the_cell(make, kernel):
    first, second, third = make(), make(), make()
    kernel.run("a", first)
    kernel.run("b", second)
    kernel.run("a", third)
    assert not _open(first)
    assert _open(second)
    assert _open(third)


def test_one_shown_again_or_in_another_cell_stays(make, kernel):
    kept, everywhere, late = make(), make(), make()
    kernel.run("a", kept, everywhere)
    kernel.run("b", everywhere)
    kernel.run("a", late, kept)
    assert _open(kept)
    assert _open(everywhere)
    kernel.run("a", late)
    assert not _open(kept)
    kernel.run("c")  # shows nothing
    assert _open(everywhere)


def test_a_page_that_does_not_name_its_cells_closes_nothing(make, kernel):
    first, second = make(), make()
    kernel.get_parent = lambda: {"metadata": {}, "header": {"msg_id": "1"}}
    kernel.run("a", first)
    kernel.run("a", second)
    assert _open(first)


def test_an_explorer_closed_while_its_chart_is_made_gets_none(make):
    Library.plotly()
    before = set(registry._instances)
    w = make()
    with w._lock:
        w._screen.open()
        w.close()
    assert w.wait(60)
    assert set(registry._instances) == before


def test_closing_leaves_nothing_open(make):
    Library.plotly()  # which all Explorers share
    before = set(registry._instances)
    w = make()
    w._screen.open()
    w.run().result(60)
    assert w.wait(60)
    assert len(registry._instances) > len(before) + 100
    w.close()
    assert set(registry._instances) == before
