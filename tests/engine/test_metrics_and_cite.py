"""Metrics against the libraries that define them, the ambiguity of a problem, and citations."""

import re

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import explorer as ex
from explorer.engine.metrics import metrics, psnr, ssim
from explorer.engine.problem import Problem, space_of
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import Blocks
from explorer.problems.base import Truth
from tests.support import assert_close, every_precision, every_seed, normal


def problem(truth, align=None):
    made = Truth(truth) if align is None else Truth(truth, align=align)
    return Problem({}, made, space_of(truth))


@every_seed
@every_precision
def test_psnr_and_ssim_are_scikit_images(seed, dtype):
    truth, x = normal((20, 24), seed, dtype), normal((3, 2, 20, 24), seed + 1, dtype)
    found = metrics(problem(truth), x)
    reference = truth.double().numpy()
    span = reference.max() - reference.min()
    for index in np.ndindex(3, 2):
        image = x[index].double().numpy()
        eps = torch.finfo(dtype).eps
        assert found["psnr"][index] == pytest.approx(
            peak_signal_noise_ratio(reference, image, data_range=span), rel=50 * eps
        )
        assert found["ssim"][index] == pytest.approx(
            structural_similarity(reference, image, data_range=span), rel=1e-12
        )
        alone = metrics(problem(truth), x[index])
        assert alone["ssim"] == found["ssim"][index]
        assert isinstance(alone["psnr"], float)


def test_a_perfect_answer_has_no_error_and_an_infinite_psnr():
    truth = normal((8, 8))
    found = metrics(problem(truth), truth.clone())
    assert found == {"relative_error": 0.0, "psnr": float("inf"), "ssim": pytest.approx(1.0)}


def test_a_constant_truth_has_a_peak_of_one():
    truth = torch.full((8, 8), 3.0)
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0, rel=1e-5)
    assert ssim(truth, truth) == pytest.approx(1.0)


def test_an_answer_that_is_not_finite_has_no_similarity():
    truth = normal((8, 8))
    assert np.isnan(ssim(torch.full((2, 8, 8), float("nan"), dtype=torch.float64), truth)).all()


def test_signals_have_no_ssim_and_small_images_neither():
    assert set(metrics(problem(normal((30,))), normal((30,), 1))) == {"relative_error", "psnr"}
    assert set(metrics(problem(normal((6, 30))), normal((6, 30), 1))) == {"relative_error", "psnr"}
    assert set(metrics(problem(normal((8,), 0, torch.complex64)), normal((8,), 1, torch.complex64))) == {
        "relative_error"
    }
    assert metrics(problem(normal((8,))), None) == {}


@every_seed
def test_the_distance_is_relative_per_sample_and_free_of_the_ambiguity(seed):
    truth = normal((9,), seed)

    def sign(x, reference):
        return x * torch.sign(torch.linalg.vecdot(x, reference)).unsqueeze(-1)

    made = problem(truth, sign)
    x = torch.stack([truth * 1.5, -truth * 1.5, -truth])
    assert_close(made.distance(x), torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64), 20)
    assert_close(made.distance(x[0]), torch.tensor(0.5, dtype=torch.float64), 20)
    assert_close(made.align(x[2]), truth, 1)
    assert_close(problem(truth).distance(x[2]), torch.tensor(2.0, dtype=torch.float64), 20)


def test_the_distance_to_a_zero_truth_is_the_norm():
    made = problem(torch.zeros(4))
    assert float(made.distance(torch.full((4,), 2.0))) == 4.0
    assert float(made.distance(torch.zeros(4))) == 0.0


def test_blocks_have_one_distance():
    truth = Blocks((torch.ones(3), torch.ones(2, 2)))
    made = problem(truth)
    assert float(made.distance(truth * 2.0)) == pytest.approx(1.0)
    assert set(metrics(made, truth * 2.0)) == {"relative_error"}


# --- citations ---


def entries(text):
    return re.findall(r"^@misc\{([^,]+),$", text, re.M)


def test_every_paper_of_a_run_is_cited_once():
    spec = RunSpec(solver="lsqr", rule="discrepancy", stop=Choice("discrepancy") | Choice("budget"))
    text = ex.cite(spec)
    keys = entries(text)
    assert "paige1982lsqr" in keys
    assert keys.count("morozov1966solution") == 1
    assert len(keys) == len(set(keys))
    assert "Paige and Saunders" in text
    assert text.count("{") == text.count("}")


def test_a_finished_run_is_cited_as_its_specification():
    spec = RunSpec(problem={"name": "blocks", "params": {"size": 16}}, stop=Choice("budget", steps=2))
    assert ex.cite(ex.run(spec)) == ex.cite(spec)


def test_nested_parts_are_cited():
    nested = RunSpec(stop=Choice("budget") & Choice("discrepancy"))
    assert "Morozov" in ex.cite(nested)
    assert "Morozov" not in ex.cite(nested.replace(stop="budget"))


def test_every_paper_and_row_of_the_catalogue_has_an_entry():
    from explorer.engine.cite import bibtex

    for shelf in ex.catalogue.SHELVES.values():
        for component in shelf.values():
            keys = entries(bibtex(component))
            assert len(set(keys)) == len(component.papers), component.name
            assert all(key.isascii() and key.isalnum() for key in keys), keys


@pytest.mark.parametrize("draws", [None, 3])
def test_every_snapshot_has_its_metrics(draws):
    problem = {"name": "shepp_logan", "params": {"size": 16}}
    result = ex.run(ex.RunSpec(problem=problem, draws=draws, stop={"name": "budget", "params": {"steps": 30}}))
    found = result.snapshot_metrics
    batch = () if draws is None else (draws,)
    assert found["ssim"].shape == (len(result.snapshots), *batch)
    np.testing.assert_allclose(found["relative_error"], result.history["error"][found["step"] - 1], rtol=1e-5)
    np.testing.assert_array_equal(found["ssim"][-1], ssim(result.snapshots[-1].x, result.x_true))


def test_snapshots_of_a_sequence_of_systems_have_none():
    spec = ex.RunSpec(
        problem={"name": "darcy_sequence", "params": {"cells": 6}}, operator=None, solver="recycled_gmres"
    )
    assert ex.run(spec).snapshot_metrics == {}
