"""Figures are pure functions: a run or a report in, a figure out."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer import figures
from explorer.analyses.spectrum import picard, singular_values
from explorer.engine.reasons import Reason
from explorer.figures import colours, curves, panels, words
from explorer.figures.paper import png

SIGNAL = {"problem": {"name": "blocks", "params": {"size": 64}}}
IMAGE = {"problem": {"name": "shepp_logan", "params": {"size": 32}}}
ON = {"rule": "discrepancy", "record": {"keep_going": True}}


@pytest.fixture(scope="module")
def run():
    return ex.run(ex.RunSpec(**IMAGE, **ON))


def test_convergence_has_residual_error_noise_and_marks(run):
    figure = figures.convergence(run)
    assert [trace.name for trace in figure.data] == [
        "residual ‖Ax − y‖ / ‖y‖",
        "error ‖x − x*‖ / ‖x*‖",
        "noise level ‖n‖ / ‖y‖",
    ]
    assert len({trace.line.dash for trace in figure.data}) == 3  # told apart without colour
    steps = len(run.history["residual"])
    scale = float(run.problem.codomain.norm(run.y))
    np.testing.assert_array_equal(figure.data[0].x, np.arange(1, steps + 1))
    np.testing.assert_allclose(figure.data[0].y, run.history["residual"] / scale, rtol=4 * np.finfo(np.float32).eps)
    np.testing.assert_array_equal(figure.data[1].y, run.history["error"].astype(float))
    assert [a.text for a in figure.layout.annotations] == [f"rule {run.stopped.step}", f"best {run.best.step}"]
    assert [shape.x0 for shape in figure.layout.shapes] == [run.stopped.step, run.best.step]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.title.text == "step (log)"


def test_the_iterate_that_is_looked_at_is_marked(run):
    assert len(figures.convergence(run, shown=3).layout.shapes) == 3
    assert len(figures.convergence(run, shown=run.best.step).layout.shapes) == 2


@pytest.mark.parametrize("count", [1, 2, 499, 500, 501, 10_000, 100_000])
def test_curves_are_thinned_to_what_a_screen_can_show(count):
    at = curves.thinned(count)
    assert len(at) <= curves.POINTS
    assert at[0] == 0
    assert at[-1] == count - 1
    assert np.all(np.diff(at) > 0)


def test_marks_that_coincide_share_a_line_and_its_label():
    """One over the other, nobody can read two labels."""
    curve = curves.Curve("residual", np.arange(1.0, 9), np.geomspace(1, 0.1, 8))
    figure = curves.curve_figure([curve], None, {"stop": 8, "best": 8})
    assert [a.text for a in figure.layout.annotations] == ["stop = best 8"]
    assert [shape.x0 for shape in figure.layout.shapes] == [8]


@pytest.mark.parametrize(
    ("low", "high", "tick", "form"),
    [(0.3, 0.7, None, "~g"), (0.05, 1.0, "D2", "~g"), (1e-8, 1.0, 1, "")],
)
def test_ticks_are_written_out_where_few_powers_of_ten_are_seen(low, high, tick, form):
    """A bare 5 between 10⁻¹ and 1 does not tell that it is 0.5. What counts is all that is seen, not each curve."""
    made = [curves.Curve(str(v), np.array([1.0, 9.0]), np.array([v, v])) for v in (low, high)]
    figure = curves.curve_figure(made, None, {"best": 9})
    assert (figure.layout.yaxis.dtick, figure.layout.yaxis.tickformat) == (tick, form)
    assert (figure.layout.xaxis.dtick, figure.layout.xaxis.tickformat) == ("D2", ",~g")


def test_a_direct_method_takes_one_step_and_no_tenth_of_it():
    figure = curves.curve_figure([curves.Curve("error", np.ones(1), np.ones(1))], None, {"stop": 1, "best": 1})
    assert figure.layout.xaxis.tickvals == (1,)


def test_scales_are_said_to_three_digits_of_their_range():
    said = [panels.Panel("Truth", np.zeros((2, 2)), *ends).range_text for ends in ((4e-8, 1.0), (-0.0349, 0.743))]
    assert said == ["0 … 1", "−0.035 … 0.743"]
    assert panels.Panel("Truth", np.zeros((2, 2)), 1e-9, 3e-8).range_text == "1e−09 … 3e−08"


@pytest.mark.parametrize("operator", ["gaussian_blur", "radon"])
def test_what_an_iterate_leaves_of_the_data_is_drawn(operator):
    made = ex.run(ex.RunSpec(**IMAGE, operator=operator, solver="cgls", noise={"name": "gaussian"}, rule="discrepancy"))
    data, (predicted, left) = panels.before(made.problem)[1], panels.fitted(made.problem, made.x)
    fit = made.problem.A(made.x).numpy()
    np.testing.assert_array_equal(predicted.array, fit)
    np.testing.assert_array_equal(left.array, data.array - fit)
    assert (predicted.low, predicted.high) == (data.low, data.high)
    assert left.signed
    assert (predicted.note, left.note) == ("A x", "y − A x")


def test_data_that_are_no_picture_are_fitted_where_they_are_seen():
    fourier = ex.run(ex.RunSpec(**IMAGE, operator="masked_fourier", solver="cgls", noise={"name": "gaussian"}))
    predicted, left = panels.fitted(fourier.problem, fourier.x)
    assert left.array.shape == predicted.array.shape == (32, 32)
    assert left.note == "back-projected, y − A x"
    assert [panel.array for panel in panels.fitted(fourier.problem, None)] == [None, None]


def test_a_budget_is_no_rule():
    run = ex.run(ex.RunSpec(**SIGNAL, stop={"name": "budget", "params": {"steps": 5}}))
    assert set(curves.marks(run)) == {"stop", "best"}
    assert figures.explain(run)[-1].title == "Predict first"


def test_spectrum_draws_picards_plot_and_where_noise_wins(run):
    report = picard(run.problem.A, run.y, run.problem.offers["noise_norm"])
    figure = figures.spectrum(report)
    assert [trace.name for trace in figure.data] == ["singular value σᵢ", "data |uᵢᴴy|", "noise a coefficient"]
    assert max(len(trace.x) for trace in figure.data) <= curves.POINTS
    assert figure.layout.shapes[0].x0 == int(report.fails) + 1
    values = figures.spectrum(singular_values(run.problem.A))
    assert len(values.data) == 1
    assert values.data[0].y[0] == pytest.approx(report.values[0])


def test_dark_figures_have_light_letters(run):
    light, dark = figures.convergence(run), figures.convergence(run, dark=True)
    assert light.layout.font.color == colours.LIGHT.text
    assert dark.layout.font.color == colours.DARK.text
    assert dark.data[0].line.color != light.data[0].line.color


@pytest.mark.parametrize("palette", [colours.LIGHT, colours.DARK])
def test_every_line_can_be_told_from_its_page(palette):
    """WCAG 2.2: graphics have a contrast of 3 at least, letters of 4.5."""
    page = "#ffffff" if palette is colours.LIGHT else "#111111"
    for colour in (*palette.series, palette.rule, palette.best):
        assert contrast(colour, page) >= 3
    for colour in (palette.text, palette.rule, palette.best):
        assert contrast(colour, page) >= 4.5


def contrast(one, other):
    def luminance(colour):
        c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_colour_tables_are_complete_and_the_signed_ones_symmetric_in_lightness():
    for table in (colours.GRAY, colours.DIVERGING, colours.DIVERGING_DARK):
        assert table.shape == (256, 3)
        assert table.dtype == np.uint8
    light = colours.DIVERGING.astype(int).sum(1)
    assert light.argmax() in range(126, 130)
    assert np.all(np.diff(light[:127]) >= 0)
    assert np.all(np.diff(light[129:]) <= 0)


def test_truth_and_reconstruction_share_one_scale_and_the_error_is_signed(run):
    truth, data = panels.before(run.problem)
    answer, error = panels.after(run.problem, run.x, "step 7")
    assert (truth.low, truth.high) == (answer.low, answer.high) == (0, 1)
    assert data.note == "2 % noise"
    assert answer.title == "Reconstruction, step 7"
    assert answer.note == f"{run.metrics['psnr']:.1f} dB"
    assert error.signed
    assert error.low == -error.high
    assert error.range_text == f"±{error.high:.3g}"
    np.testing.assert_allclose(error.array, (run.x - run.x_true).numpy(), atol=0)
    assert answer.description.startswith("Reconstruction, step 7: image of 32 × 32 pixels, values ")


def test_pixels_fill_the_range_and_what_is_not_finite_becomes_zero():
    array = np.array([[-1.0, 0.0], [0.5, 9.0], [np.nan, np.inf]])
    pixels = panels.quantised(panels.Panel("p", array, 0.0, 1.0))
    assert pixels.tolist() == [[0, 0], [128, 255], [0, 255]]


@pytest.mark.parametrize(
    ("limit", "rounded"), [(0.3, 0.5), (0.5, 0.5), (0.51, 1), (1.2, 2), (7, 10), (0.0, 1), (np.nan, 1), (3e-7, 5e-7)]
)
def test_error_scales_are_round_numbers(limit, rounded):
    assert panels.round_up(limit) == pytest.approx(rounded)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(3, 4, 5),
        torch.zeros(3, 4, dtype=torch.complex64),
        torch.full((6,), torch.nan),
        torch.tensor(1.0),
        torch.zeros(0),
        None,
    ],
)
def test_anything_can_be_looked_at(x):
    array = panels.viewable(x)
    panel = panels.Panel("p", array, *panels.span(array))
    assert panel.description
    assert array is None or (array.ndim in (1, 2) and not np.iscomplexobj(array))


def test_without_a_truth_the_reconstruction_has_its_own_scale(run):
    from explorer.engine.problem import Problem
    from explorer.problems.base import Truth

    blind = Problem(run.problem.offers, Truth(None), run.problem.domain)
    truth, _ = panels.before(blind)
    answer, error = panels.after(blind, run.x)
    assert truth.array is error.array is None
    assert (answer.low, answer.high) == (float(run.x.min()), float(run.x.max()))
    assert error.note == "the truth is not known"


def test_pages_are_drawn_without_a_screen(run):
    for figure in (figures.pictures(run), figures.summary(run)):
        assert png(figure).startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figures.pictures(run).axes]
    assert titles == ["Truth", "Data", f"Reconstruction, step {run.stopped.step}", "Error"]
    assert "noise is being fitted" in figures.summary(run).texts[0].get_text()


def test_signals_and_direct_methods_are_drawn_as_well():
    run = ex.run(ex.RunSpec(**SIGNAL, solver="tikhonov", rule="discrepancy"))
    assert png(figures.summary(run)).startswith(b"\x89PNG")
    assert figures.convergence(run).data[0].mode == "lines+markers"
    notes = figures.explain(run)
    assert notes[0].title == "Solved in one go"
    assert "chose regularization" in notes[0].text


def test_semi_convergence_is_said_and_only_where_it_happened():
    for seed in range(5):
        noisy = ex.run(ex.RunSpec(**SIGNAL, **ON, seed=seed))
        clean = ex.run(ex.RunSpec(**SIGNAL, noise="none", dtype="float64", seed=seed))
        error = noisy.history["error"]
        assert error[-1] > 1.02 * error.min()
        assert figures.explain(noisy)[0].title == "Past the best iterate"
        assert "Past the best iterate" not in [note.title for note in figures.explain(clean)]


@pytest.mark.parametrize(
    ("errors", "stop", "title"),
    [
        ([0.9, 0.5, 0.4, 0.6], 2, "1 step before the best"),
        ([0.9, 0.5, 0.4, 0.6], 1, "2 steps before the best"),
        ([0.9, 0.5, 0.4, 0.402], 4, "As good as the best iterate"),
        ([0.9, 0.5, 0.4, 0.6], 3, "Stopped at the best iterate"),
    ],
)
def test_the_stop_is_compared_with_the_best(run, errors, stop, title):
    from dataclasses import replace

    history = {"error": np.array(errors), "seconds": np.arange(4.0)}
    stopped, best = (replace(run.best, step=step) for step in (stop, 3))
    made = replace(run, history=history, stopped=stopped, best=best)
    assert words._rule_and_best(made).title == title


def test_a_cancelled_run_is_explained(run):
    from dataclasses import replace

    notes = figures.explain(replace(run, reason=Reason.CANCELLED))
    assert any(note.title.startswith("Cancelled at step") for note in notes)
    nothing = replace(run, reason=Reason.CANCELLED, x=None, history={}, stopped=None, best=None, snapshots=[])
    assert figures.explain(nothing)[0].title == "Cancelled before the first step"
    assert png(figures.summary(nothing)).startswith(b"\x89PNG")


def test_filters_draw_factors_ritz_values_and_where_noise_wins(run):
    report = ex.analyse(run, "filter_factors", step=3)
    figure = figures.filters(report, lost_below=0.1)
    names = [trace.name for trace in figure.data]
    assert names == ["filter factor after step 3", "Ritz value", "everything passes"]
    assert len(figure.data[1].x) == 3
    end, start = figure.layout.xaxis.range
    assert start > np.log10(report.values[0])
    assert end <= -1
    assert [shape.x0 for shape in figure.layout.shapes] == [0.1]
    assert figures.spectrum(picard(run.problem.A, run.y)).layout.xaxis.autorange is True  # a chart changes back
