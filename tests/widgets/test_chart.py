"""The one chart: what has not changed is not sent again, and what a person did to it goes with the next figure."""

import base64
import subprocess
import sys
import threading

import numpy as np
import plotly.graph_objects as go
import pytest

from explorer.figures.curves import Curve, curve_figure
from explorer.widgets.chart import Chart, Library


def figure(marker, scale=1.0, zoom=None):
    layout = {"xaxis": {"autorange": True}, "yaxis": {"autorange": False, "range": [0, 5]}}
    if zoom:
        layout["xaxis"] = {"autorange": False, "range": zoom}
    line = {"type": "line", "x0": marker, "x1": marker, "y0": 0, "y1": 1, "yref": "y domain"}
    curves = [{"type": "scatter", "x": np.arange(4.0), "y": scale * np.arange(4.0) * k, "name": f"{k}"} for k in (1, 2)]
    return go.Figure(data=curves, layout=layout | {"shapes": [line]})


def show(chart, shown):
    chart.show(shown)
    assert chart.wait(30)


@pytest.fixture
def chart():
    made = Chart(600)
    made._arrived({"new": {"drawn": True}})
    yield made
    made.widget.close()


def test_a_marker_that_moves_leaves_the_curves_alone(chart, monkeypatch):
    show(chart, figure(1.0))
    sent = []
    monkeypatch.setattr(chart.widget, "_send_update_msg", lambda *a, **k: sent.append((a, k)))
    show(chart, figure(2.0))
    assert chart.widget.layout.shapes[0].x0 == 2.0
    ((_, said),) = sent
    assert not said["restyle_data"]
    assert set(said["relayout_data"]) == {"shapes"}
    show(chart, figure(2.0, scale=3.0))
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(chart.widget.data[1].y["bdata"])), [0, 6, 12, 18])
    again = figure(2.0, scale=3.0)
    show(chart, again)
    before = len(sent)
    show(chart, again)
    assert len(sent) == before


def test_axes_are_logarithmic_before_labels_are_placed_on_them():
    """With a change of an axis from linear to logarithmic the page takes logarithms of the places of labels."""
    chart = Chart(600)
    sent = []
    chart.show(curve_figure([Curve("residual", np.arange(1.0, 21), np.geomspace(1, 0.1, 20))], None, {"rule": 10}))
    chart.widget._send_relayout_msg = lambda data, *_: sent.append(data)
    chart.widget._send_update_msg = lambda *_, relayout_data=None, **__: sent.append(relayout_data or {})
    chart._arrived({"new": {"drawn": True}})
    turned = next(i for i, said in enumerate(sent) if "axis" in str(said) and "log" in str(said))
    assert not any(said.get("annotations") for said in sent[: turned + 1])
    assert any(said.get("annotations") for said in sent[turned + 1 :])
    assert chart.widget.layout.annotations[0].x == 1.0
    chart.widget.close()


def test_a_legend_is_placed_once_its_figure_has_its_width():
    chart, sent = Chart(600), []
    chart.show(curve_figure([Curve("residual", np.arange(1.0, 21), np.geomspace(1, 0.1, 20))], None, {"rule": 10}))
    chart._arrived({"new": {"drawn": True}})
    chart.widget._send_relayout_msg = lambda data, *_: sent.append(data)
    for width in (700, 650):
        chart.fit(width)
    assert [next(iter(said)) for said in sent] == ["width", "legend.y"] * 2
    assert sent[1] != sent[3]  # the same place again would not be sent
    assert chart.widget.layout.legend.y == pytest.approx(1.1, abs=1e-3)
    chart.widget.close()


def test_of_figures_in_quick_succession_the_newest_is_drawn_and_nobody_waits(chart, monkeypatch):
    begun, going, drawn = threading.Event(), threading.Event(), []
    lay_out = chart._lay_out

    def slowly(figure):
        begun.set()
        assert going.wait(30)
        drawn.append(figure.layout.shapes[0].x0)
        lay_out(figure)

    monkeypatch.setattr(chart, "_lay_out", slowly)
    chart.show(figure(1.0))
    assert begun.wait(30)
    for marker in (2.0, 3.0, 4.0):  # each returns while the first is still being drawn
        chart.show(figure(marker))
    going.set()
    assert chart.wait(30)
    assert drawn == [1.0, 4.0]


def test_what_the_page_says_is_taken_in_by_the_thread_that_draws(chart):
    """A widget merges what is sent of one trait while it takes something in: another thread's change would be lost."""
    threads, sent = set(), []
    chart.widget.observe(lambda _: threads.add(threading.current_thread().name), "_js2py_layoutDelta")
    chart.widget.observe(lambda change: sent.append(change["new"]), "_py2js_update")
    for edit in range(1, 30):  # the page answers an older figure while a newer one is drawn
        chart.show(figure(float(edit)))
        chart.widget.set_state({"_js2py_layoutDelta": {"layout_delta": {}, "layout_edit_id": edit}})
    assert chart.wait(30)
    assert threads == {"explorer-draw"}
    assert chart.widget.layout.shapes[0].x0 == 29.0
    assert sent
    assert all(sent[::2])
    assert not any(sent[1::2])


def test_axes_of_an_older_figure_leave_nothing_behind(chart):
    """A figure that says why it is empty has no numbers at its axes; the next one has them again."""
    show(chart, figure(1.0).update_layout(xaxis={"showticklabels": False, "tickformat": "~g"}))
    assert chart.widget.layout.xaxis.showticklabels is False
    show(chart, figure(2.0))
    assert chart.widget.layout.xaxis.showticklabels is True
    assert not chart.widget.layout.xaxis.tickformat
    curves = [Curve("residual", np.arange(1.0, 21), np.geomspace(1, 0.1, 20))]
    small = curve_figure(curves, None, {"rule": 10}).update_layout(showlegend=True, legend={"font": {"size": 11}})
    for shown, size, told in ((small, 11, True), (curve_figure(curves, None, {}), 13, None)):
        show(chart, shown)
        assert (chart.widget.layout.legend.font.size, chart.widget.layout.showlegend) == (size, told)


def test_a_zoom_ends_with_the_next_figure_and_a_width_is_kept(chart):
    show(chart, figure(1.0))
    chart.widget.layout.xaxis = {"autorange": False, "range": [1, 2]}
    show(chart, figure(1.5))
    assert chart.widget.layout.xaxis.autorange is True
    chart.widget.layout.yaxis.range = [2, 3]
    chart.fit(700)
    show(chart, figure(1.6))
    assert tuple(chart.widget.layout.yaxis.range) == (0, 5)
    assert chart.widget.layout.width == 700


def test_curves_that_grow_send_their_points_alone(chart, monkeypatch):
    curves = [Curve("residual", np.arange(1.0, n), 1 / np.arange(1.0, n)) for n in (6, 9)]
    chart.grow(curves[:1], 0.1, False)
    assert chart.wait(30)
    sent = []
    monkeypatch.setattr(chart.widget, "_send_update_msg", lambda **said: sent.append(said))
    chart.grow(curves[1:], 0.1, False)
    assert not sent  # the page still draws the first
    chart.widget._trace_edit_in_process = False  # as when it has answered
    chart.grow(curves[1:], 0.1, False)
    (said,) = sent
    assert set(said["restyle_data"]) == {"x", "y"}
    assert not said["relayout_data"]
    residual, noise = chart.widget.data[:2]
    np.testing.assert_array_equal(residual.y, curves[1].y)
    assert noise.name == "noise level ‖n‖ / ‖y‖"
    np.testing.assert_array_equal(noise.x, [1.0, 8.0])


def test_an_axis_that_turns_linear_does_not_keep_one_tick_a_decade(chart, monkeypatch):
    decades = figure(1.0).update_layout(xaxis={"type": "log", "dtick": 1})
    show(chart, decades)
    assert chart.widget.layout.xaxis.tickmode == "linear"
    sent = []
    monkeypatch.setattr(chart.widget, "_send_update_msg", lambda *_, **said: sent.append(said["relayout_data"]))
    show(chart, figure(1.0).update_layout(xaxis={"type": "linear"}))
    assert sent[0]["xaxis.type"] == "linear"
    assert sent[0]["xaxis.tickmode"] == "auto"  # else a label at each of thousands of steps
    assert chart.widget.layout.xaxis.tickmode == "auto"
    show(chart, decades)
    assert chart.widget.layout.xaxis.tickmode == "linear"
    assert chart.widget.layout.xaxis.dtick == 1


def test_charts_share_the_module_of_plotly(chart):
    other = Chart(300)
    assert other.widget.library == chart.widget.library == Library.plotly().model_id
    assert len(Library.plotly().text) > 10**6
    assert len(str(other.widget._esm)) < 5000
    other.widget.close()


def test_a_chart_that_no_page_has_drawn_leaves_no_older_one_behind(chart):
    second = Chart(600, instead_of=chart)
    third = Chart(600, instead_of=second)
    assert chart.widget.comm is None
    assert second.widget.comm is not None
    third._arrived({"new": {"drawn": True}})
    assert second.widget.comm is None
    third.widget.close()


def test_opening_an_explorer_compiles_no_grammar_of_addresses_and_its_first_result_loads_little():
    """Two seconds of every kernel, for an optional check that jsonschema would like; SciPy; torch's compiler."""
    code = (
        "import sys, explorer as ex; w = ex.Explorer(problem={'name': 'shepp_logan', 'params': {'size': 64}});"
        "print('plotly.basewidget' in sys.modules); w._screen.open(); w._screen.wait(60);"
        "print(w._screen._chart is not None, 'rfc3987_syntax' in sys.modules);"
        "print(len(w.run().result(60).history['alpha']) > 2, 'scipy' in sys.modules,"
        "'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["False", "True", "False", "True", "False", "False"]
