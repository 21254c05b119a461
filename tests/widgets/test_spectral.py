"""The tabs about the spectrum: what a method has done to it, live and at the iterate that is looked at."""

import numpy as np
import pytest

import explorer as ex
from explorer.figures.curves import first
from explorer.widgets import spectral
from explorer.widgets.screen import TABS
from tests.widgets.page import report

STEPS = {"stop": {"name": "budget", "params": {"steps": 40}}, "record": {"keep_going": True}}
IMAGE = {"problem": {"name": "camera", "params": {"size": 32}}, "operator": "gaussian_blur", "solver": "cgls"}


def select(w, tab):
    w._screen.tabs.selected = TABS.index(tab)
    assert w.wait(60)


def drawn(w):
    """Keep every figure that a chart would be given."""
    figures = []

    class Chart:
        def show(self, figure):
            figures.append({t.name: t for t in figure.data})

        def grow(self, *_):
            pass

        def wait(self, _):
            return True

    w._screen._chart = Chart()
    return figures


@pytest.mark.parametrize("solver", ["cgls", "lsqr"])
def test_the_polynomial_of_the_iterate_on_the_screen_is_that_of_the_analysis(make, solver):
    w = make(**STEPS, solver=solver)
    run = w.run().result(60)
    figures = drawn(w)
    select(w, "Polynomial")
    for step in (3, 12):
        w._screen.scrub(None, {"id": "iterate", "value": step}, None)
        assert w.wait(60)
        found = ex.analyse(run, "solver_polynomial", step=step)
        figure = figures[-1]
        np.testing.assert_allclose(figure["Ritz value"].x, found.ritz)
        assert len(figure["Ritz value"].x) == step
        assert figure["error left"].y[0] == pytest.approx(found.measured[-1], rel=1e-6)
        assert figure["bound: spectrum"].y[0] == pytest.approx(found.minimax[-1], rel=1e-6)
        assert figure["bound: condition number"].y[0] == pytest.approx(found.chebyshev[-1], rel=1e-6)
        assert f"After {step} steps the error in the energy norm is" in w._screen.notes.value


def test_the_spectrum_carries_the_ritz_values_of_the_iterate(make):
    w = make(**STEPS)
    run = w.run().result(60)
    figures = drawn(w)
    select(w, "Spectrum")
    assert "All 64 singular values are known to rounding" in w._screen.notes.value
    values = w._screen.report.values
    for step in (2, 5):
        w._screen.scrub(None, {"id": "iterate", "value": step}, None)
        ritz = np.sqrt(ex.analyse(run, "ritz_values", step=step).values)
        found = figures[-1][f"Ritz value, step {step}"]
        np.testing.assert_allclose(found.y, ritz)
        for place, value in zip(found.x, found.y, strict=True):  # on the curve
            assert values[int(np.ceil(place)) - 1] <= value * (1 + 1e-6)
            assert values[int(np.floor(place)) - 1] >= value * (1 - 1e-6)


def test_it_follows_a_run_under_way_without_what_takes_long(make, monkeypatch):
    monkeypatch.setattr(spectral, "SHARE", 1e9)
    w = make(None, **IMAGE, **STEPS)
    w.run().result(60)
    select(w, "Polynomial")
    figures = drawn(w)
    history = w.result.history
    for step in (4, 9):
        part = {name: column[:step] for name, column in history.items()}
        w._screen.spectral.draw("Polynomial", w.spec, part, step, False, going=True)
        assert len(figures[-1]["Ritz value"].x) == step
        assert "bound: spectrum" not in figures[-1]
    assert len(figures) == 2
    w.change(stop={"name": "budget", "params": {"steps": spectral.LONG}})
    w.run().result(60)
    assert w.wait(60)
    assert len({len(f["Ritz value"].x) for f in figures}) > 3


def test_live_drawing_takes_a_small_share_of_the_time_and_none_of_a_long_run(make):
    w = make(None, **IMAGE, **STEPS)
    run = w.run().result(60)
    select(w, "Polynomial")
    figures = drawn(w)
    for _ in range(5):
        w._screen.spectral.draw("Polynomial", w.spec, run.history, 30, False, going=True)
    assert len(figures) == 1
    w._screen.spectral._rests_until = 0.0
    w._screen.spectral.draw("Polynomial", w.spec, run.history, spectral.LONG + 1, False, going=True)
    assert len(figures) == 1


@pytest.mark.parametrize("solver", ["cgls", "lsqr"])
def test_many_steps_are_worked_out_in_the_background(make, solver):
    w = make(
        problem={"name": "blocks", "params": {"size": 1024}},
        solver=solver,
        stop={"name": "budget", "params": {"steps": 600}},
        rule="fixed",
    )
    w.run().result(60)
    figures = drawn(w)
    for tab, name in (("Filter", "filter factor after step 600"), ("Polynomial", "|p(λ)| after step 600")):
        w._screen.tabs.selected = TABS.index(tab)
        assert "Computing" in w._screen.notes.value
        assert w.wait(60)
        assert name in figures[-1]


def test_an_update_is_small(make):
    w = make(None, **IMAGE, **STEPS)
    w.run().result(60)
    figures = drawn(w)
    for tab in spectral.TABS:
        select(w, tab)
        assert sum(np.size(axis) * 8 for t in figures[-1].values() for axis in (t.x, t.y)) < 40 * 1024


def test_leading_eigenvalues_are_enough_for_the_polynomial_of_a_large_operator(make):
    w = make(
        problem={"name": "shepp_logan", "params": {"size": 48}},
        operator={"name": "radon", "params": {"angles": 40}},
        **STEPS,
    )
    w.run().result(60)
    figures = drawn(w)
    w._screen.tabs.selected = TABS.index("Polynomial")
    assert "as long as some 200 steps of CGLS" in w._screen.notes.value
    assert w.wait(60)
    assert "how fast the error falls is not known" in w._screen.notes.value
    assert len(figures[-1]["Ritz value"].x) == w._screen._step
    assert not [name for name in figures[-1] if name.startswith("bound")]
    assert (np.abs(figures[-1]["at the eigenvalues"].y[:2]) < 0.1).all()


def test_the_spectrum_of_a_large_operator_goes_on_as_an_estimate(make):
    w = make(
        problem={"name": "shepp_logan", "params": {"size": 40}},
        operator={"name": "radon", "params": {"angles": 40}},
        **STEPS,
    )
    w.run().result(60)
    figures = drawn(w)
    select(w, "Spectrum")
    assert "above a tenth of the largest" in w._screen.notes.value
    known = len(w._screen.report.values)
    exact = np.linalg.svd(w.result.problem.A.to_dense().numpy(), compute_uv=False)
    rest = figures[-1]["estimated"]
    assert rest.x[0] > known
    assert (np.diff(rest.x) >= 0).all()
    for count, size in zip(rest.x, rest.y, strict=True):
        assert abs(count - (exact > size).sum()) < 60 + 0.1 * count


def test_other_methods_say_why_there_is_no_polynomial_and_still_have_a_filter(make):
    w = make(solver={"name": "landweber"}, **STEPS)
    w.run().result(60)
    select(w, "Polynomial")
    assert "a run of a Krylov method on the operator itself" in w._screen.notes.value
    select(w, "Filter")
    assert "more than half" in w._screen.notes.value
    select(w, "Spectrum")
    assert "What the spectrum says" in w._screen.notes.value


def test_a_method_with_weights_filters_the_singular_values_between_them(make):
    w = make(solver={"name": "cimmino"}, **STEPS)
    run = w.run().result(60)
    figures = drawn(w)
    select(w, "Filter")
    assert "A between the weights of the method" in w._screen.notes.value
    found = ex.analyse(run, "filter_factors", step=w._screen._step)
    figure = figures[-1][f"filter factor after step {w._screen._step}"]
    np.testing.assert_allclose(figure.y, found.factors[found.values > 0])


@pytest.mark.parametrize("solver", ["tikhonov", "cgls"])
def test_a_filter_without_a_run_asks_for_one_and_then_comes(make, solver):
    w = make(solver=solver)
    w._looking(lambda: w._look(w.spec))
    assert w.wait(60)
    for tab in ("Filter", "Polynomial"):
        select(w, tab)
        assert "Press Run" in w._screen.notes.value
    select(w, "Filter")
    w.run().result(60)
    assert w.wait(60)
    assert "more than half" in w._screen.notes.value


def test_what_was_found_is_dropped_with_the_operator_or_the_data(make):
    w = make(**STEPS)
    w.run().result(60)
    select(w, "Spectrum")
    old = w._screen.report
    report(w, id="noise", value="gaussian")
    report(w, id="noise.params.level", value=0.3)
    assert w.wait(60)
    assert w._screen.report is not old
    assert first(w._screen.report.fails) < first(old.fails)


def test_a_converged_value_that_was_found_twice_is_called_a_copy(make):
    w = make(operator={"name": "gaussian_blur", "params": {"sigma": 3.0}}, dtype="float64", **STEPS)
    w.run().result(60)
    select(w, "Polynomial")
    w._screen.scrub(None, {"id": "iterate", "value": 40}, None)
    assert w.wait(60)
    assert "lost" in w._screen.notes.value
    assert "orthogonality" in w._screen.notes.value
    w._screen.scrub(None, {"id": "iterate", "value": 2}, None)
    assert "orthogonality" not in w._screen.notes.value
