"""The driver: stops, picks, budgets, breakdown, cancel, history, snapshots, samples, sequences."""

import itertools
import math
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.catalogue import Component, SpecError, rules, solvers
from explorer.engine.build import build
from explorer.engine.driver import PATIENCE, Drive
from explorer.engine.fit import refuse_stop
from explorer.engine.reasons import Reason
from explorer.engine.run import finish, prepare, run, stream
from explorer.engine.spec import Choice, Record, RunSpec
from explorer.engine.stops import CAP, compile_stop, largest_step, used
from explorer.linalg import count
from explorer.solvers.steps import Draw, Solution, Step
from tests.support import assert_same_bits, every_seed

N = 8


def spec(**fields):
    return RunSpec(**{"problem": {"name": "blocks", "params": {"size": N}}, "operator": "identity", **fields})


def drive(steps, stop=None, draws=None, rule=None, cancelled=None, **record):
    """Drive an iterator of steps, as a solver would give them."""
    chosen = spec(draws=draws, stop=stop or Choice("budget", steps=50), rule=rule or "fixed", record=record)
    problem = build(chosen)
    problem.offers["data_norm"] = torch.ones_like(problem.offers["data_norm"])
    problem.offers["noise_norm"] = torch.full_like(problem.offers["noise_norm"], 0.5)
    choice = chosen.stop.as_dict()
    picker = None if rule is None else (rules[rule], chosen.rule.params)
    made = Drive(
        problem,
        lambda: steps,
        compile_stop(choice),
        largest_step(choice),
        used=lambda progress: used(choice, progress),
        rule=picker,
        record=chosen.record,
        batch=problem.batch,
        cancelled=cancelled,
    )
    return chosen, made


def driven(steps, **options):
    chosen, made = drive(steps, **options)
    snapshots = [s.step for s in made]
    result = finish(chosen, made)
    assert snapshots == list(range(1, len(snapshots) + 1))
    return result


def falling(*residuals, batch=()):
    """Steps whose iterate k is full of k, in place, with given residuals; the last one goes on for ever."""
    x = torch.zeros(*batch, N)
    for k in itertools.count(1):
        x.fill_(k)
        value = residuals[min(k, len(residuals)) - 1]
        yield Step(x, residual=torch.as_tensor(value, dtype=torch.float32).expand(batch))


RELATIVE = Choice("relative_residual", tolerance=0.1)


# --- stop rules ---


def test_a_run_stops_at_the_exact_step_with_the_iterate_of_that_step():
    result = driven(falling(1.0, 0.5, 0.09, 0.01), stop=RELATIVE)
    assert result.reason is Reason.RESIDUAL
    assert result.stopped.step == 3
    assert_same_bits(result.x, torch.full((N,), 3.0))
    assert len(result.history["residual"]) == 3


def test_or_stops_at_the_first_and_and_at_the_last_of_two():
    rules_ = Choice("relative_residual", tolerance=0.3), Choice("discrepancy", tau=1.2)  # at steps 4 and 2
    values = 1.0, 0.6, 0.5, 0.25, 0.1
    either = driven(falling(*values), stop=rules_[0] | rules_[1])
    assert (either.stopped.step, either.reason) == (2, Reason.DISCREPANCY)
    both = driven(falling(*values), stop=rules_[0] & rules_[1])
    assert (both.stopped.step, both.reason) == (4, Reason.DISCREPANCY)


@pytest.mark.parametrize("order", [0, 1])
def test_a_budget_composes_with_a_residual_in_either_order(order):
    few = Choice("budget", steps=3)
    one, two = (few, RELATIVE) if order else (RELATIVE, few)
    early = driven(falling(1.0, 0.05), stop=one | two)
    assert (early.stopped.step, early.reason) == (2, Reason.RESIDUAL)
    late = driven(falling(1.0), stop=one | two)
    assert (late.stopped.step, late.reason) == (3, Reason.STEPS)
    least = driven(falling(1.0, 0.05), stop=one & two)
    assert least.stopped.step == 3
    longer = driven(falling(*[1.0] * 5, 0.05), stop=one & two)
    assert longer.stopped.step == 6


def test_stagnation_compares_with_the_residual_a_window_ago():
    values = [1 / 2**k for k in range(6)] + [1 / 2**5]
    result = driven(falling(*values), stop=Choice("stagnation", window=3, tolerance=0.5) | Choice("budget", steps=40))
    assert (result.stopped.step, result.reason) == (8, Reason.STAGNATION)  # 2⁻⁵ at steps 6, 7, 8; 2⁻⁴ at step 5


def test_every_sample_stops_at_its_own_step():
    values = [1.0, 1.0, 1.0], [1.0, 0.05, 1.0], [1.0, 0.01, 0.05], [0.05, 0.01, 0.01]
    result = driven(falling(*values, batch=(3,)), stop=RELATIVE, draws=3)
    assert result.stopped.step.tolist() == [4, 2, 3]
    assert_same_bits(result.x[:, 0], torch.tensor([4.0, 2.0, 3.0]))
    assert (result.reason == np.array([Reason.RESIDUAL] * 3, dtype=object)).all()
    assert len(result.history["residual"]) == 4


def test_samples_that_never_stop_have_the_last_iterate():
    values = [1.0, 1.0], [0.05, 1.0]
    result = driven(falling(*values, batch=(2,)), stop=RELATIVE | Choice("budget", steps=5), draws=2)
    assert result.stopped.step.tolist() == [2, 5]
    assert result.x[:, 0].tolist() == [2.0, 5.0]
    assert result.reason.tolist() == [Reason.RESIDUAL, Reason.STEPS]


def test_going_on_keeps_the_stopped_iterate_and_the_best():
    problem = build(spec())

    def approaching():
        x = torch.empty(N)
        for k in itertools.count(1):
            torch.mul(problem.x_true, 1 + abs(k - 6) / 10, out=x)  # the nearest at step 6
            yield Step(x, residual=torch.tensor(1.0 / k))

    result = driven(approaching(), stop=Choice("discrepancy", tau=0.5) | Choice("budget", steps=12), keep_going=True)
    assert len(result.history["error"]) == 12
    assert (result.stopped.step, result.reason) == (4, Reason.DISCREPANCY)
    assert_same_bits(result.x, problem.x_true * 1.2)
    assert result.best.step == 6
    assert_same_bits(result.best.x, problem.x_true)
    assert result.history["error"].argmin() == 5


def test_a_stop_rule_without_a_budget_ends_at_the_cap(monkeypatch):
    monkeypatch.setattr("tests.engine.test_driver.largest_step", lambda _: 30)
    result = driven(falling(1.0), stop=RELATIVE)
    assert (result.reason, result.stopped.step) == (Reason.STEPS, 30)
    assert result.x[0] == 30


@pytest.mark.parametrize(
    ("stop", "last"),
    [
        (Choice("budget", steps=7), 7),
        (Choice("budget", steps=7) | Choice("budget", steps=5), 5),
        (Choice("budget", steps=7) & Choice("budget", steps=5), CAP),
        (Choice("discrepancy"), CAP),
    ],
)
def test_the_largest_number_of_steps_is_known_beforehand(stop, last):
    assert largest_step(spec(stop=stop).stop.as_dict()) == last


def test_a_method_that_finishes_by_itself_says_so():
    result = driven(itertools.islice(falling(1.0), 4))
    assert (result.reason, result.stopped.step) == (Reason.FINISHED, 4)


def test_a_method_without_any_step_has_no_answer_and_still_a_reason():
    result = driven(iter(()))
    assert result.reason is Reason.FINISHED
    assert result.x is None
    assert result.metrics == {}
    assert "finished" in repr(result)


def test_a_direct_method_is_solved_whatever_the_stop_rule():
    for stop in (RELATIVE, Choice("budget", steps=9)):
        result = run(spec(solver="tikhonov", stop=stop))
        assert result.reason is Reason.SOLVED
        assert result.stopped.step == 1


def test_a_stop_rule_that_needs_more_than_is_known_is_refused():
    with pytest.raises(SpecError, match="needs the residual, which this solver does not report"):
        compile_stop(spec(stop="discrepancy").stop.as_dict(), ("objective",))
    with pytest.raises(SpecError, match="needs the expected norm of the noise, which is not known"):
        compile_stop(spec(stop=RELATIVE | Choice("discrepancy")).stop.as_dict(), ("residual",), {"data_norm": 1})
    with pytest.raises(SpecError, match="stop: "):
        refuse_stop(spec(stop="relative_residual"), {})


# --- budgets ---


def test_a_budget_of_cost_counts_what_the_method_costs_and_nothing_else():
    def costly():
        for step in falling(1.0):
            count("A", 3)
            step.cost = {"denoise": 1}
            yield step

    result = driven(costly(), stop=Choice("budget", cost=10))
    assert (result.reason, result.stopped.step) == (Reason.COST, 3)
    assert result.costs == {"A": 9, "denoise": 3}
    assert result.history["A"].tolist() == [3.0, 6.0, 9.0]
    assert result.history["denoise"].tolist() == [1.0, 2.0, 3.0]


def test_watching_is_booked_apart_from_the_costs():
    chosen, made = drive(falling(1.0), stop=Choice("budget", steps=3))
    align = made.problem.truth.align

    def counted(x, reference):
        count("A", 5)
        return align(x, reference)

    object.__setattr__(made.problem.truth, "align", counted)
    for _ in made:
        pass
    result = finish(chosen, made)
    assert result.costs == {}
    assert result.watching == {"A": 15}


def test_a_budget_of_seconds_counts_the_solver_and_not_the_watcher():
    def slow():
        for step in falling(1.0):
            time.sleep(0.02)
            yield step

    chosen, made = drive(slow(), stop=Choice("budget", seconds=0.05))
    begun = time.perf_counter()
    for _ in made:
        time.sleep(0.03)
    elapsed = time.perf_counter() - begun
    result = finish(chosen, made)
    seconds = result.history["seconds"]
    assert result.reason is Reason.SECONDS
    assert seconds[-1] >= 0.05 > seconds[:-1].max(initial=0)
    assert (np.diff(seconds) >= 0.02).all()
    assert elapsed - seconds[-1] >= 0.03 * len(seconds)


def test_progress_is_the_part_of_the_budget_nearest_to_its_end():
    chosen, made = drive(falling(1.0), stop=Choice("budget", steps=10) | Choice("discrepancy", tau=0.1))
    fractions = [s.fraction for s in made]
    np.testing.assert_allclose(fractions, np.arange(1, 11) / 10)

    def costly():
        for step in falling(1.0):
            count("A")
            yield step

    _, made = drive(costly(), stop=Choice("budget", steps=100, cost=4))
    assert [s.fraction for s in made] == [0.25, 0.5, 0.75, 1.0]
    assert chosen.stop.name == "or"


# --- breakdown ---


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_residual_that_is_not_finite_ends_the_sample_alone(bad):
    values = [1.0, 1.0], [1.0, bad], [0.5, bad]
    result = driven(falling(*values, batch=(2,)), stop=Choice("budget", steps=6), draws=2)
    assert result.reason.tolist() == [Reason.STEPS, Reason.BREAKDOWN]
    assert result.stopped.step.tolist() == [6, 2]
    alone = driven(falling(1.0, bad))
    assert (alone.reason, alone.stopped.step) == (Reason.BREAKDOWN, 2)


def test_an_objective_that_is_not_finite_is_a_breakdown_too():
    steps = (Step(torch.zeros(N), objective=torch.tensor(v)) for v in (1.0, float("inf"), 1.0))
    assert driven(steps).reason is Reason.BREAKDOWN


def test_a_direct_answer_that_is_not_finite_is_a_breakdown():
    solution = Solution(torch.zeros(N), residual=torch.tensor(float("nan")))
    assert driven(solution).reason is Reason.BREAKDOWN


# --- parameter rules ---


def gcv_steps(minimum, batch=()):
    """Steps whose GCV score falls to the step `minimum` and rises again."""
    lowest = torch.as_tensor(minimum, dtype=torch.float32).expand(batch)
    x = torch.zeros(*batch, N)
    for k in itertools.count(1):
        x.fill_(k)
        yield Step(x, residual=((k - lowest).abs() + 1), dof=0.0)


def test_a_rule_that_looks_for_a_minimum_is_believed_after_some_patience():
    result = driven(gcv_steps(5), rule="gcv", stop=Choice("budget", steps=100))
    assert (result.stopped.step, result.reason) == (5, Reason.RULE)
    assert len(result.history["residual"]) == 5 + PATIENCE
    assert result.x[0] == 5


def test_every_sample_has_its_own_minimum():
    result = driven(gcv_steps([5, 9, 60], (3,)), rule="gcv", stop=Choice("budget", steps=50), draws=3)
    assert result.stopped.step.tolist() == [5, 9, 50]
    assert result.x[:, 0].tolist() == [5.0, 9.0, 50.0]
    assert result.reason.tolist() == [Reason.RULE, Reason.RULE, Reason.STEPS]


def test_going_on_past_a_minimum_keeps_it():
    result = driven(gcv_steps(5), rule="gcv", stop=Choice("budget", steps=60), keep_going=True)
    assert (result.stopped.step, result.reason, len(result.history["residual"])) == (5, Reason.RULE, 60)
    assert result.x[0] == 5


def test_a_rule_that_never_found_a_minimum_gives_the_last_iterate():
    nan = float("nan")
    steps = (
        Step(torch.full((2, N), float(k)), residual=torch.ones(2), dof=torch.tensor([0.0, nan])) for k in range(1, 100)
    )
    result = driven(steps, rule="gcv", stop=Choice("budget", steps=30), draws=2)
    assert result.x[1, 0] == 30
    assert result.stopped.step[1] == 30


def test_a_rule_that_takes_the_first_stops_at_it():
    result = driven(falling(1.0, 0.8, 0.45, 0.2), rule="discrepancy")
    assert (result.stopped.step, result.reason) == (3, Reason.RULE)


# --- cancel ---


def test_a_cancel_between_steps_keeps_the_iterate():
    flag = threading.Event()
    chosen, made = drive(falling(1.0), cancelled=flag)
    for snapshot in made:
        if snapshot.step == 4:
            flag.set()
    result = finish(chosen, made)
    assert (result.reason, result.stopped.step) == (Reason.CANCELLED, 4)
    assert result.x[0] == 4
    assert len(result.history["residual"]) == 4


def test_a_cancel_within_a_long_step_keeps_the_iterate_of_the_step_before():
    flag = threading.Event()

    def long():
        x = torch.zeros(N)
        for k in itertools.count(1):
            for _ in range(40):
                count("A")
                time.sleep(0.005)
                x += 1  # in place, as a solver may
            yield Step(x, residual=torch.tensor(1.0))
            if k == 2:
                threading.Timer(0.05, flag.set).start()

    chosen, made = drive(long(), cancelled=flag)
    begun = time.monotonic()
    for _ in made:
        pass
    assert time.monotonic() - begun < 3 * 0.2 + 0.25
    result = finish(chosen, made)
    assert result.reason is Reason.CANCELLED
    assert_same_bits(result.x, torch.full((N,), 80.0))


def test_a_cancel_before_the_first_step_has_no_answer_and_a_reason():
    flag = threading.Event()
    flag.set()

    def start():
        time.sleep(0.12)
        count("A")
        yield Step(torch.zeros(N))

    chosen, made = drive(start(), cancelled=flag)
    assert list(made) == []
    result = finish(chosen, made)
    assert result.reason is Reason.CANCELLED
    assert result.x is None


def test_samples_that_had_stopped_before_a_cancel_keep_their_reason():
    flag = threading.Event()
    chosen, made = drive(falling([0.05, 1.0], batch=(2,)), stop=RELATIVE, draws=2, cancelled=flag)
    for snapshot in made:
        if snapshot.step == 3:
            flag.set()
    assert finish(chosen, made).reason.tolist() == [Reason.RESIDUAL, Reason.CANCELLED]


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
