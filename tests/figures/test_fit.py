"""The misfit in units of the noise, and values along a row of the pictures."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError
from explorer.figures.panels import Panel, after, before
from tests import support

SPEC = ex.RunSpec(
    problem={"name": "shepp_logan", "params": {"size": 32}}, operator="gaussian_blur",
    noise={"name": "gaussian", "params": {"level": 0.05}}, dtype="float64",
)  # fmt: skip


@pytest.mark.parametrize("seed", support.SEEDS)
@pytest.mark.parametrize("noise", ["gaussian", "poisson"])
def test_the_truth_leaves_noise_and_nothing_else(noise, seed):
    problem = ex.build(SPEC.replace(noise=noise, seed=seed))
    found = ex.figures.misfit(problem, problem.x_true)
    assert abs(found.ratio - 1) < 5 * (2 / 1024) ** 0.5
    assert "as large as the noise" in found.sentence


def test_complex_data_count_as_pairs():
    problem = ex.build(SPEC.replace(operator="masked_fourier"))
    found = ex.figures.misfit(problem, problem.x_true)
    assert len(found.values) == 2 * problem.codomain.size
    assert abs(found.ratio - 1) < 5 * (2 / len(found.values)) ** 0.5
    assert abs(float(np.mean(found.values**4)) - 3) < 0.6


def test_too_smooth_and_too_close_are_told_apart():
    problem = ex.build(SPEC)
    assert "does not explain the data yet" in ex.figures.misfit(problem, 0 * problem.x_true).sentence
    last = ex.run(SPEC.replace(solver="cgls", stop={"name": "budget", "params": {"steps": 300}}))
    assert "fitted better than noise allows" in ex.figures.misfit(problem, last.x).sentence


def test_the_misfit_is_refused_in_a_sentence():
    for spec, said in (
        (SPEC.replace(noise="none"), "no noise to measure"),
        (SPEC.replace(noise={"name": "impulse"}), "whiten"),
    ):
        problem = ex.build(spec)
        with pytest.raises(SpecError, match=said):
            ex.figures.misfit(problem, problem.x_true)


def test_few_data_are_drawn_one_by_one_and_many_as_a_density():
    few = ex.build(ex.RunSpec(problem={"name": "shaw", "params": {"size": 64}}, operator="shaw"))
    figure = ex.figures.misfit_figure(ex.figures.misfit(few, few.x_true))
    assert len(figure.data) == 1
    assert len(figure.data[0].x) == 64
    assert sorted(shape.y0 for shape in figure.layout.shapes) == [-1, 1]
    problem = ex.build(SPEC)
    density, normal = ex.figures.misfit_figure(ex.figures.misfit(problem, problem.x_true)).data
    width = density.x[1] - density.x[0]
    assert sum(density.y) * width == pytest.approx(1)
    assert sum(normal.y) * width == pytest.approx(1, abs=1e-3)


def test_a_profile_is_a_row_of_every_picture_on_the_grid():
    problem = ex.build(SPEC)
    panels = {p.title: p for p in (*before(problem), *after(problem, problem.x_true))}
    figure = ex.figures.profile(panels, 0.25)
    assert [t.name for t in figure.data] == ["reconstruction", "truth", "data"]
    np.testing.assert_array_equal(figure.data[1].y, problem.x_true[8].numpy())
    assert "row 8" in figure.layout.xaxis.title.text
    sinogram = ex.build(SPEC.replace(operator="radon"))
    panels = {p.title: p for p in (*before(sinogram), *after(sinogram, None))}
    assert [t.name for t in ex.figures.profile(panels, 1.0).data] == ["truth"]
    assert len(ex.figures.profile({"Truth": Panel("Truth", None)}).data) == 0


def test_a_signal_is_drawn_whole():
    problem = ex.build(ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, operator="gaussian_blur"))
    panels = {p.title: p for p in (*before(problem), *after(problem, torch.zeros(64)))}
    assert all(len(t.x) == 64 for t in ex.figures.profile(panels).data)


@pytest.mark.parametrize("seed", range(5))
def test_data_that_are_missing_count_neither_as_fitted_nor_as_left(seed):
    spec = ex.RunSpec(problem={"name": "camera", "params": {"size": 32}}, noise="missing", seed=seed, dtype="float64")
    problem = ex.build(spec)
    found = ex.figures.misfit(problem, problem.x_true)
    assert len(found.values) == int((problem.y != 0).sum()) < problem.codomain.size
    assert abs(found.ratio - 1) < 5 * (2 / len(found.values)) ** 0.5
    assert "as large as the noise" in found.sentence
