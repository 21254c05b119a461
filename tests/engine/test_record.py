"""What a run keeps: history, snapshots, bases, answers of a sequence, moments of samples; progress on any device."""

import itertools
import math
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.catalogue import Component, solvers
from explorer.engine.run import finish, prepare, run, stream
from explorer.engine.spec import Choice, Record, RunSpec
from explorer.solvers.steps import Draw, Step
from tests.engine.driving import RELATIVE, N, drive, driven, falling, spec
from tests.support import assert_same_bits, every_seed

# --- history and snapshots ---


def test_history_has_the_steps_in_front_and_the_batch_behind():
    result = run(
        spec(
            operator="gaussian_blur", solver=Choice("cgls", damping=[0.0, 0.1]), draws=3, stop=Choice("budget", steps=4)
        )
    )
    for name in ("residual", "alpha", "beta", "error"):
        assert result.history[name].shape == (4, 2, 3)
    for name in ("A", "Aᴴ", "seconds", "dof"):
        assert result.history[name].shape == (4,)
    assert result.x.shape == (2, 3, N)
    assert result.reason.shape == result.stopped.step.shape == (2, 3)
    assert run(spec(stop=Choice("budget", steps=4))).history["residual"].shape == (4,)


def test_a_list_of_values_and_draws_agree_with_a_loop():
    values = [0.01, 0.1, 1.0]
    make = lambda damping: run(  # noqa: E731
        spec(
            operator="gaussian_blur",
            dtype="float64",
            solver=Choice("cgls", damping=damping),
            draws=2,
            stop=Choice("budget", steps=5),
        )
    )
    together = make(values)
    for i, value in enumerate(values):
        alone = make(value)
        torch.testing.assert_close(together.x[i], alone.x, rtol=0, atol=200 * 2**-52)
        np.testing.assert_allclose(together.history["residual"][:, i], alone.history["residual"], rtol=1e-12)


def test_snapshots_are_thinned_and_end_with_the_last_iterate():
    result = driven(falling(1.0), stop=Choice("budget", steps=1000), snapshots=10)
    steps = [s.step for s in result.snapshots]
    assert len(steps) <= 10
    assert steps[0] == 1
    assert steps[-1] == 1000
    assert (np.diff(np.log(steps[2:])) < 1.2).all()
    for s in result.snapshots:
        assert_same_bits(s.x, torch.full((N,), float(s.step)))


@pytest.mark.parametrize("capacity", [0, 1, 2, 5])
@pytest.mark.parametrize("last", [1, 3, 500])
def test_never_more_snapshots_than_asked_for_also_when_the_run_ends_early(capacity, last):
    result = driven(itertools.islice(falling(1.0), last), stop=Choice("budget", steps=500), snapshots=capacity)
    assert len(result.snapshots) <= capacity
    assert capacity == 0 or result.snapshots[-1].step == last


def test_large_iterates_are_kept_less_often(monkeypatch):
    monkeypatch.setattr("explorer.engine.picks.MAX_BYTES", 3 * 4 * N)
    assert len(driven(falling(1.0), stop=Choice("budget", steps=100), snapshots=50).snapshots) == 3


def test_a_stream_owns_its_iterates():
    kept = list(stream(spec(operator="gaussian_blur", stop=Choice("budget", steps=3))))
    assert len({s.x.data_ptr() for s in kept}) == 3
    assert not torch.equal(kept[0].x, kept[2].x)


def test_bases_are_kept_only_where_asked_for():
    steps = lambda: (Step(torch.zeros(N), arrays={"H": torch.full((2, 2), float(k))}) for k in range(3))  # noqa: E731
    assert driven(steps()).arrays == []
    assert [float(a["H"][0, 0]) for a in driven(steps(), bases=True).arrays] == [0.0, 1.0, 2.0]


def telltale(y: Tensor, bases: bool = False) -> Iterator[Step]:
    """Yield once, and tell what was asked for."""
    yield Step(y, asked=float(bases))


@pytest.mark.parametrize("bases", [False, True])
def test_a_solver_is_told_whether_bases_are_kept(bases):
    solvers.add(Component("solver", "telltale", "Telltale", telltale, traits={"reports": ("asked",)}))
    try:
        assert run(spec(solver="telltale", record={"bases": bases})).history["asked"].tolist() == [float(bases)]
    finally:
        solvers.remove("telltale")


# --- no truth, sequences, samples ---


def test_without_a_truth_there_is_no_error_and_no_best():
    chosen, made = drive(falling(1.0), stop=Choice("budget", steps=3))
    object.__setattr__(made.problem.truth, "x", None)
    for _ in made:
        pass
    result = finish(chosen, made)
    assert result.best is None
    assert "error" not in result.history
    assert result.metrics == {}


def test_a_sequence_of_systems_has_an_answer_for_each():
    chosen, made = drive(iter(()), stop=Choice("budget", steps=100))
    truths = torch.stack([made.problem.x_true * c for c in (1.0, 2.0, 3.0)])
    object.__setattr__(made.problem.truth, "x", truths)

    def sequence():
        x = torch.empty(N)
        for system, steps in enumerate((3, 1, 4)):
            for k in range(steps):
                torch.mul(truths[system], 1 - 0.5 ** (k + 1), out=x)
                yield Step(x, system=system, residual=torch.tensor(0.5 ** (k + 1)))

    made._start = sequence
    for _ in made:
        pass
    result = finish(chosen, made)
    assert result.x.shape == (3, N)
    assert result.history["system"].tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    np.testing.assert_allclose(result.history["error"], [0.5, 0.25, 0.125, 0.5, 0.5, 0.25, 0.125, 0.0625], rtol=1e-6)
    np.testing.assert_allclose(result.metrics["relative_error"], [0.125, 0.5, 0.0625], rtol=1e-6)
    assert result.stopped is None
    assert result.best is None


def chains(seed, shape, draws):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        yield Draw(torch.randn(shape, generator=generator) * 2 + 3)


@every_seed
@pytest.mark.parametrize("draws", [None, 2])
def test_samples_have_the_moments_that_numpy_finds(seed, draws):
    batch = () if draws is None else (draws,)
    shape, warmup, number = (4, *batch, N), 7, 40
    result = driven(chains(seed, shape, number), draws=draws, warmup=warmup, snapshots=5)
    every = torch.stack([d.x for d in chains(seed, shape, number)])[warmup:].double().numpy()
    n = len(every)
    together = every.reshape(-1, *batch, N)
    tolerance = {"rtol": 0, "atol": 100 * 2**-23 * 10}
    np.testing.assert_allclose(result.x, together.mean(0), **tolerance)
    np.testing.assert_allclose(result.variance, together.var(0, ddof=1), **tolerance)
    within = every.var(0, ddof=1).mean(0)
    between = n * every.mean(0).var(0, ddof=1)
    np.testing.assert_allclose(result.r_hat, np.sqrt((n - 1) / n + between / n / within), **tolerance)
    assert result.best is None
    assert result.stopped is None
    assert result.samples.shape == (len(result.samples), *shape)
    assert 3 <= len(result.samples) <= 5


def test_r_hat_of_chains_that_disagree_is_large_and_of_one_chain_unknown():
    apart = (Draw(torch.stack([torch.full((N,), float(c)) for c in range(3)])) for _ in range(10))
    assert torch.isinf(driven(apart).r_hat).all()
    still = (Draw(torch.ones(3, N)) for _ in range(10))
    assert (driven(still).r_hat == 1).all()
    one = driven(chains(0, (1, N), 10))
    assert one.r_hat is None
    assert one.variance is not None


def test_complex_samples_have_a_real_variance():
    generator = torch.Generator().manual_seed(0)
    every = [torch.randn(3, N, generator=generator, dtype=torch.complex64) for _ in range(20)]
    result = driven(Draw(x) for x in every)
    together = torch.stack(every).reshape(-1, N).numpy()
    assert not result.variance.is_complex()
    np.testing.assert_allclose(result.variance, together.var(0, ddof=1), rtol=0, atol=100 * 2**-23)


# --- meta ---


def test_the_driver_reads_nothing_of_a_device_within_its_steps():
    """On meta every read fails: what is left is the mask, read now and then on a GPU."""
    for chosen in (
        spec(device="meta", stop=RELATIVE | Choice("budget", steps=4)),
        spec(device="meta", operator="gaussian_blur", rule="discrepancy", draws=2, stop=Choice("budget", steps=4)),
        spec(device="meta", operator="gaussian_blur", rule="gcv", stop=Choice("budget", steps=4)),
    ):
        assert [s.step for s in prepare(chosen)] == [1, 2, 3, 4]


def test_a_gpu_is_read_now_and_then_and_the_stop_is_exact_all_the_same(monkeypatch):
    monkeypatch.setattr("explorer.engine.driver.READ_EVERY", 0.05)
    looks = []

    def slow():
        for step in falling([1.0, 1.0], [0.05, 1.0], [0.05, 0.05], batch=(2,)):
            time.sleep(0.004)
            looks.append(time.perf_counter())
            yield step

    chosen, made = drive(slow(), stop=RELATIVE | Choice("budget", steps=1000), draws=2)
    made._device = torch.device("cuda")  # the tensors stay where they are
    for _ in made:
        pass
    result = finish(chosen, made)
    assert result.stopped.step.tolist() == [2, 3]
    assert result.x[:, 0].tolist() == [2.0, 3.0]
    assert 3 < len(looks) < 100
    assert looks[-1] - looks[0] > 0.04


@pytest.mark.gpu
@pytest.mark.parametrize("draws", [None, 3])
def test_a_run_on_a_gpu_is_the_one_on_the_cpu_to_rounding(draws):
    chosen = RunSpec(dtype="float64", draws=draws, stop=Choice("discrepancy") | Choice("budget", steps=20))
    here, there = run(chosen), run(chosen.replace(device="cuda"))
    assert there.x.device.type == "cuda"
    np.testing.assert_array_equal(there.stopped.step, here.stopped.step)
    torch.testing.assert_close(there.x.cpu(), here.x, rtol=0, atol=1e4 * 2**-52)


def test_time_left_is_estimated_from_what_was_used():
    def slow():
        for step in falling(1.0):
            time.sleep(0.01)
            yield step

    _, made = drive(slow(), stop=Choice("budget", steps=10))
    for snapshot in made:
        assert math.isclose(snapshot.left, snapshot.seconds * (10 - snapshot.step) / snapshot.step, rel_tol=1e-9)


def test_record_defaults_keep_snapshots_and_nothing_else():
    assert Record() == Record(snapshots=48, keep_going=False, bases=False, warmup=0)
