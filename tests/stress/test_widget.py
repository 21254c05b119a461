"""The widget runs the stress set without a line of its own: blocks, matrices, no operator, nested parts, batches."""

import logging

import numpy as np
import pytest

import explorer as ex
from explorer.figures.curves import convergence
from explorer.figures.paper import png, summary
from explorer.widgets.screen import TABS

SIGNAL = {"name": "blocks", "params": {"size": 32}}
SPECS = {
    "bilinear, alternating": {
        "problem": "gains_and_signal", "operator": "gain_calibration", "solver": "alternating_least_squares",
    },
    "bilinear, complex": {
        "problem": {"name": "gains_and_signal", "params": {"phases": True}}, "operator": "gain_calibration",
        "solver": {"name": "gauss_newton", "params": {"inner": 10}}, "draws": 2,
    },
    "matrix inversion": {"problem": "matrix_inverse", "operator": None, "solver": "newton_schulz"},
    "diffusion with a mixture prior": {
        "problem": "mixture_signal", "operator": "gaussian_matrix", "prior": "gaussian_mixture",
        "solver": "decomposed_diffusion",
    },
    "a sampler": {
        "problem": SIGNAL, "operator": "gaussian_blur", "prior": "tikhonov", "solver": "unadjusted_langevin",
    },
    "a sequence of systems": {"problem": "darcy_sequence", "operator": None, "solver": "recycled_gmres"},
    "nested preconditioner": {
        "problem": SIGNAL, "operator": "gaussian_blur",
        "solver": {"name": "steepest_descent", "params": {"preconditioner": {"name": "fourier"}}},
    },
    "a rule around a direct method": {"problem": SIGNAL, "operator": "shaw", "solver": "tikhonov", "rule": "gcv"},
    "a rule around a Krylov method": {"problem": SIGNAL, "operator": "shaw", "solver": "lsqr", "rule": "gcv"},
    "many values of lambda": {
        "problem": SIGNAL, "operator": "gaussian_blur",
        "solver": {"name": "cgls", "params": {"damping": np.geomspace(1e-6, 1, 200).tolist()}},
    },
    "nonlinear": {
        "problem": SIGNAL, "operator": {"name": "exponential", "params": {"strength": 0.2}},
        "solver": {"name": "gauss_newton", "params": {"inner": 10}},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_a_stress_spec_runs_in_the_widget(name, caplog):
    spec = ex.RunSpec(**{"stop": {"name": "budget", "params": {"steps": 8}}, **SPECS[name]})
    with caplog.at_level(logging.WARNING):
        widget = ex.Explorer(spec)
        assert widget.spec == spec
        run = widget.run().result(60)
        assert widget.wait(60)
        for tab in range(len(TABS)):
            widget._screen.tabs.selected = tab
            assert widget.wait(60)
    assert [record.getMessage() for record in caplog.records] == []
    assert widget.result is run
    assert widget._message.value == ""
    assert "step" in widget._progress.value
    for title in ("Truth", "Reconstruction", "Error"):
        assert widget._screen.pictures[title].description.startswith(title)
        assert "nothing to show" not in widget._screen.pictures[title].description
    again = ex.run(spec)
    for column in set(run.history) - {"seconds"}:
        np.testing.assert_array_equal(run.history[column], again.history[column])
    assert run.costs == again.costs
    widget.close()


@pytest.mark.parametrize("name", SPECS)
def test_its_result_is_drawn_on_paper(name):
    run = ex.run(ex.RunSpec(**{"stop": {"name": "budget", "params": {"steps": 8}}, **SPECS[name]}))
    assert png(summary(run)).startswith(b"\x89PNG")
    assert len(convergence(run).data) > 0


@pytest.mark.parametrize("name", SPECS)
def test_every_choice_is_judged_in_the_widget(name):
    widget = ex.Explorer(ex.RunSpec(**SPECS[name]))
    for field in ex.RunSpec.kinds:
        options = widget.options(field)
        chosen = getattr(widget.spec, field)
        if chosen is not None:
            assert next(option.why for option in options if option.value == chosen.name) == "", field
    widget.close()
