"""Figures of spectra, patterns, densities and sensing draw what their reports say."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

import explorer as ex
from explorer import figures
from explorer.figures import colours
from tests import support
from tests.analyses.test_spectrum import hidden

SPEC = ex.RunSpec(
    problem={"name": "camera", "params": {"size": 16}}, operator={"name": "gaussian_blur", "params": {"sigma": 0.8}},
    solver="cgls", stop={"name": "budget", "params": {"steps": 8}}, dtype="float64",
)  # fmt: skip
PERIODIC = {"name": "gradient", "params": {"boundary": "periodic"}}


@pytest.fixture(scope="module")
def run():
    return ex.run(SPEC)


def test_two_hundred_patterns_are_one_mosaic_and_few_are_a_strip_with_titles(run):
    many = figures.modes(ex.analyse(run, "singular_vectors", count=200))
    assert len(many.axes) == 1
    (image,) = many.axes[0].images
    assert image.get_array().shape == (10 * 17 - 1, 20 * 17 - 1)
    assert [label.get_text() for label in many.axes[0].get_yticklabels()][:2] == ["v$_{1}$", "v$_{21}$"]
    report = ex.analyse(run, "singular_vectors", first=21, count=1).right[0]
    shown = image.get_array()[17:33, :16].filled()
    np.testing.assert_allclose(shown, report / report.abs().max(), atol=1e-12)
    few = figures.modes(ex.analyse(run, "generalised_singular_values", operator=PERIODIC, count=6))
    assert few.axes[0].get_title() == "x$_{1}$   γ = inf"
    assert few.png().startswith(b"\x89PNG")


def test_a_slider_goes_through_the_patterns_without_a_kernel(run):
    report = ex.analyse(run, "singular_vectors", first=5, count=30)
    figure = figures.browse(report)
    assert [frame.name for frame in figure.frames] == [str(i) for i in range(5, 35)]
    assert [step.label for step in figure.layout.sliders[0].steps] == [frame.name for frame in figure.frames]
    assert "v<sub>7</sub>" in figure.frames[2].layout.title.text
    assert len(figure.to_json()) < 400_000
    png = figure.frames[2].data[0].source.removeprefix("data:image/png;base64,")
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))[::16, ::16]
    assert seen.shape == (16, 16, 3)
    v = report.right[2].numpy()
    strongest = np.unravel_index(np.abs(v).argmax(), v.shape)
    np.testing.assert_array_equal(seen[strongest], colours.DIVERGING[255 if v[strongest] > 0 else 0])
    curves = figures.browse(ex.analyse(ex.build(ex.RunSpec(problem="blocks")), "singular_vectors", count=3))
    assert len(curves.frames[1].data[0].y) == 256


def test_both_parts_of_generalised_values_are_drawn_and_what_is_free_is_counted(run):
    report = ex.analyse(run, "generalised_singular_values", operator=PERIODIC)
    figure = figures.generalised(report)
    assert [trace.name[:2] for trace in figure.data] == ["γᵢ", "cᵢ", "sᵢ"]
    assert np.isnan(figure.data[0].y[0])
    np.testing.assert_array_equal(figure.data[1].y, report.c)
    assert figure.layout.annotations[0].text == "1 free"


def test_resolution_is_three_pictures(run):
    page = figures.kernels(ex.analyse(run, "resolution", points=3))
    assert page.axes[0].get_title() == "point responses"
    assert page.axes[0].images[0].get_array().shape == (16, 16)
    signal = ex.run(SPEC.replace(problem={"name": "blocks", "params": {"size": 64}}))
    assert len(figures.kernels(ex.analyse(signal, "resolution")).axes[1].lines) == 1


def test_the_law_has_its_bulk_and_what_sticks_out(run):
    X = support.normal((300, 100), 1)
    X = X + 80 * torch.outer(support.isometry(300, 1, 2)[:, 0], support.isometry(100, 1, 3)[:, 0])
    figure = figures.density(ex.analyses.random_matrix_law(hidden(X)))
    assert [trace.name for trace in figure.data] == ["eigenvalues", "Marchenko–Pastur law", "sticking out"]
    assert len(figure.data[2].x) == 1
    assert figure.data[2].x[0] > 4 * figure.data[0].x.max()
    structure = figures.density(ex.analyse(run, "random_matrix_law"))
    assert [trace.name for trace in structure.data][-1] == "sticking out"


def test_counts_have_their_errors(run):
    report = ex.analyse(run, "density_of_states", steps=20)
    low, high, estimate = figures.counts(report).data
    assert (np.asarray(low.y) <= report.above).all()
    assert (np.asarray(high.y) >= report.above).all()
    np.testing.assert_array_equal(estimate.y, report.above)


def test_maps_and_isometry_are_drawn(run):
    A = hidden(support.normal((40, 40), 0))
    report = ex.analyses.phase_transition(A, shares=3, levels=6, trials=4, steps=60)
    heat, border, half = figures.phase_map(report).data
    np.testing.assert_array_equal(heat.z, report.success.T)
    assert border.name == "statistical dimension (l1)"
    assert len(half.x) == np.isfinite(report.half).sum()
    assert len(figures.isometry(ex.analyse(run, "sensing", supports=10)).data) == 3


def test_every_rule_is_on_the_l_curve_and_those_that_minimise_have_scores():
    found = ex.compare_rules(SPEC.replace(solver="tikhonov"), values=60)
    curve = figures.l_curve(found)
    names = [trace.name for trace in curve.data]
    assert names[0] == "L-curve"
    assert len(names) == 1 + sum(int(at) >= 0 for at in found.chosen.values())
    at = int(found.chosen["discrepancy"])
    mark = curve.data[names.index("Discrepancy principle")]
    assert mark.y[0] == found.curves["solution_norm"][at]
    lines = [trace for trace in figures.scores(found).data if trace.mode == "lines"]
    assert {trace.name for trace in lines} >= {"Generalised cross-validation", "Predictive risk (UPRE, SURE)"}
    assert all(np.nanmin(trace.y) == 0 for trace in lines)
