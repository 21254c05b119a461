"""From a specification to a problem."""

import threading

import numpy as np
import pytest
import torch

from explorer.catalogue import NAMES, SpecError, operator, operators, problem, problems
from explorer.engine import build as module
from explorer.engine.build import build
from explorer.engine.run import prepare, run
from explorer.engine.spec import Choice, RunSpec
from explorer.figures.words import explain
from explorer.linalg import Space
from explorer.operators.base import Identity, LinearOperator
from explorer.problems.base import Truth
from tests.support import assert_close, assert_same_bits

SMALL = {"problem": {"name": "blocks", "params": {"size": 16}}}


def spec(**fields):
    return RunSpec(**{**SMALL, **fields})


@pytest.fixture
def given():
    """Register problems for one test: ``given(name=truth)``."""
    names = []

    def register(**truths):
        for name, truth in truths.items():
            problem(name.capitalize(), name=name)(_giving(truth))
            names.append(name)

    yield register
    for name in names:
        problems.remove(name)


def _giving(truth):
    def made() -> Truth:
        """Return the truth of a test."""
        return truth

    return made


# --- what is built ---


def test_the_same_specification_gives_the_same_bits():
    chosen = spec(draws=2, seed=3, dtype="float64")
    one, two = build(chosen), build(chosen)
    assert_same_bits(one.y, two.y)
    assert_same_bits(one.x_true, two.x_true)
    assert_same_bits(run(chosen).x, run(chosen).x)


def test_draw_j_is_the_same_alone_or_in_a_batch():
    many, few, one = (build(spec(draws=draws)).y for draws in (5, 2, None))
    assert_same_bits(many[:2], few)
    assert_same_bits(many[0], one)


def test_the_seed_changes_the_noise_and_nothing_else():
    one, two = build(spec(seed=0)), build(spec(seed=1))
    assert_same_bits(one.clean, two.clean)
    assert not torch.equal(one.y, two.y)


def test_the_problem_offers_what_is_known_of_its_data():
    made = build(spec(draws=3))
    assert made.batch == (3,)
    assert made.y.shape == (3, 16)
    assert made["data_size"] == 16
    assert made["noise_norm"].shape == made["data_norm"].shape == (3,)
    assert_close(made["data_norm"], made.codomain.norm(made.y), 1)
    assert made.A is made.F
    assert "x_true" not in made.offers
    assert "clean" not in made.offers


def test_complex_data_count_twice():
    made = build(spec(operator="identity", dtype="complex64"))
    assert made.x_true.dtype == made.y.dtype == torch.complex64
    assert made["data_size"] == 32


def test_without_an_operator_there_are_no_data():
    made = build(RunSpec(problem="matrix_inverse", operator=None, solver="newton_schulz"))
    assert made.y is None
    assert made.A is None
    assert made.codomain is None


def test_an_operator_is_shared_between_runs_until_its_cell_is_run_again():
    def register(factor):
        @operator("Multiple", name="multiple")
        def multiple(domain: Space) -> LinearOperator:
            """Multiply by a number."""
            return factor * Identity(domain)

    try:
        register(2.0)
        first = build(spec(operator="multiple", noise="none"))
        assert build(spec(operator="multiple", seed=1)).A is first.A
        register(3.0)
        assert_close(build(spec(operator="multiple", noise="none")).y, first.y * 1.5, 4)
    finally:
        operators.remove("multiple")


def test_builds_on_meta_do_not_push_operators_out_of_the_cache():
    made = build(spec())
    for size in range(16, 32):
        build(spec(problem={"name": "blocks", "params": {"size": size}}, device="meta"))
    assert build(spec()).A is made.A


def test_a_build_on_meta_has_shapes_and_no_data():
    made = build(spec(device="meta", draws=2))
    assert made.y.device.type == made.x_true.device.type == "meta"
    assert made.y.shape == (2, 16)
    prepare(spec(device="meta", draws=2))


def test_building_in_many_threads_gives_the_same_problem():
    found = []
    threads = [threading.Thread(target=lambda: found.append(build(spec(seed=9)).y)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for y in found:
        assert_same_bits(y, found[0])


def test_every_precision_rounds_the_same_truth_and_noise():
    coarse, fine = build(spec(operator="identity")), build(spec(operator="identity", dtype="float64"))
    assert_same_bits(coarse.x_true, fine.x_true.float())
    assert_close(coarse.y, fine.y.float(), 4)


# --- batched knobs ---


def test_a_list_in_the_prior_makes_a_batch_as_one_in_the_solver_does():
    weights = [0.01, 0.1, 1.0]
    chosen = spec(
        solver="fista", prior=Choice("tikhonov", weight=weights), stop=Choice("budget", steps=20), dtype="float64"
    )
    together = run(chosen)
    assert together.x.shape == (3, 16)
    for i, weight in enumerate(weights):
        alone = run(chosen.replace(prior=Choice("tikhonov", weight=weight)))
        assert_close(together.x[i], alone.x, 1000)


def test_lists_and_draws_make_two_batch_dimensions():
    made = build(spec(solver=Choice("cgls", damping=[0.0, 1.0]), draws=3))
    assert made.batch == (2, 3)
    assert made.y.shape == (2, 3, 16)
    assert made.y.stride()[0] == 0
    assert made["noise_norm"].shape == (2, 3)


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(SpecError, match=r"solver.params.damping 2.*prior.params.weight 3|weight 3.*damping 2"):
        build(spec(solver=Choice("cgls", damping=[0.0, 1.0]), prior=Choice("tikhonov", weight=[1.0, 2.0, 3.0])))


# --- what is refused ---


def refused(chosen, field, match):
    with pytest.raises(SpecError, match=match) as caught:
        build(chosen)
    assert caught.value.field == field


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_data_that_are_not_finite_are_refused_wherever_they_come_from(given, bad):
    clean = torch.ones(16, dtype=torch.float64)
    wrong = clean.clone()
    wrong[3] = bad
    given(bad_signal=Truth(wrong), bad_data=Truth(clean, {"y": wrong}), bad_matrix=Truth(clean, {"M": wrong}))
    for name in ("bad_signal", "bad_data", "bad_matrix"):
        refused(spec(problem=name, operator="identity"), "problem", "NaN or infinite values")


def test_an_operator_that_gives_nothing_finite_is_refused(given):
    given(huge=Truth(torch.full((16,), 1e38, dtype=torch.float64)))

    @operator("Overflow", name="overflow")
    def overflow(domain: Space) -> LinearOperator:
        """Multiply by much."""
        return 1e30 * Identity(domain)

    try:
        refused(spec(problem="huge", operator="overflow", noise="none"), "operator", "NaN or infinite")
    finally:
        operators.remove("overflow")


def test_data_of_another_shape_are_refused(given):
    given(odd=Truth(torch.ones(16, dtype=torch.float64), {"y": torch.ones(15, dtype=torch.float64)}))
    with pytest.raises(SpecError, match=r"the data has shape \(15\), and must have shape \(…, 16\)"):
        build(spec(problem="odd", operator="identity"))


def test_draws_are_refused_where_no_noise_is_simulated(given):
    given(own=Truth(None, {"y": torch.ones(16, dtype=torch.float64)}, domain=Space((16,), torch.float64)))
    assert build(spec(problem="own", operator="identity")).y.shape == (16,)
    refused(spec(problem="own", operator="identity", draws=3), "draws", "not simulated")
    refused(RunSpec(problem="matrix_inverse", operator=None, draws=3), "draws", "not simulated")


def test_a_person_s_own_data_have_no_truth(given):
    given(own=Truth(None, {"y": torch.ones(16, dtype=torch.float64)}, domain=Space((16,), torch.float64)))
    result = run(spec(problem="own", operator="gaussian_blur", stop=Choice("budget", steps=3)))
    assert result.x_true is None
    assert result.metrics == {}
    assert result.best is None
    assert "error" not in result.history


def test_too_large_is_refused_before_it_is_allocated(monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 100)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: pytest.fail("noise was drawn"))
    refused(spec(draws=50), "problem", "there would be 800 unknowns, and at most 100 fit")
    refused(spec(solver=Choice("cgls", damping=[1.0] * 7)), "problem", "112 unknowns")


def test_more_data_than_unknowns_are_counted_too(monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 300)
    chosen = RunSpec(problem={"name": "shepp_logan", "params": {"size": 16}}, operator="gradient")
    assert build(chosen.replace(device="meta", operator="gaussian_blur")).codomain.size == 256
    refused(chosen, "operator", "there would be 512 data")


def test_an_absent_device_is_refused():
    absent = "cuda:99" if torch.cuda.is_available() else "cuda"
    refused(spec(device=absent), "device", "this machine has no such device: use 'cpu'")


def test_a_component_that_does_not_fit_says_what_it_needs():
    with pytest.raises(SpecError, match="Gaussian blur needs a space of tensors, and ℝ"):
        build(RunSpec(problem="gains_and_signal", operator="gaussian_blur"))


def test_nothing_unnamed_is_offered():
    for made in (build(spec()), build(RunSpec(problem="matrix_inverse", operator=None))):
        assert set(made.offers) <= set(NAMES)


def test_noise_has_its_expected_norm_on_average():
    made = build(spec(draws=400, dtype="float64", noise=Choice("gaussian", level=0.1)))
    mean_square = float(((made.y - made.clean) ** 2).sum(-1).mean())
    expected = float(made["noise_norm"][0]) ** 2
    assert abs(mean_square / expected - 1) < 5 * np.sqrt(2 / (400 * 16))


@pytest.mark.parametrize("draws", [(), (5,)])
def test_the_noise_level_of_own_data_is_estimated_and_a_run_says_so(given, draws):
    """A smooth signal of 400 samples: within 15 % of the truth, and the rule stops at it."""
    t = torch.linspace(0, 1, 400, dtype=torch.float64)
    clean = torch.exp(-80 * (t - 0.4) ** 2)
    noise = 0.05 * torch.randn((*draws, 400), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    own = Truth(None, {"y": clean + noise}, domain=Space((400,), torch.float64))
    given(own=own)
    chosen = RunSpec(problem="own", operator="gaussian_blur", solver="cgls", rule="discrepancy", dtype="float64")
    made = build(chosen)
    assert made["noise_norm"].shape == draws
    np.testing.assert_allclose(made["noise_norm"].numpy(), noise.norm(dim=-1).numpy(), rtol=0.15)
    result = run(chosen)
    last = np.take_along_axis(
        result.history["residual"].reshape(-1, 5 if draws else 1), np.atleast_2d(result.stopped.step) - 1, 0
    )
    assert (last <= 1.02 * made["noise_norm"].numpy()).all()
    titles = [note.title for note in explain(result)]
    assert "Noise level from the data" in titles
    stopped = chosen.replace(rule="fixed", stop=Choice("budget", steps=3) | Choice("discrepancy"))
    assert "Noise level from the data" in [note.title for note in explain(run(stopped))]
    plain = run(stopped.replace(stop=Choice("budget", steps=3)))
    assert "Noise level from the data" not in [note.title for note in explain(plain)]


def test_where_noise_is_said_to_be_none_or_the_data_tell_nothing_no_level_is_offered(given):
    given(
        own=Truth(None, {"y": torch.ones(400)}, domain=Space((400,))),
        few=Truth(None, {"y": torch.ones(2)}, domain=Space((2,))),
    )
    for name, noise in (("own", "none"), ("few", "gaussian")):
        chosen = RunSpec(problem=name, operator="identity", noise=noise, solver="cgls")
        for device in ("cpu", "meta"):
            assert "noise_norm" not in build(chosen.replace(device=device)).offers
        with pytest.raises(SpecError, match="expected norm of the noise, which is not known"):
            run(chosen.replace(rule="discrepancy"))
