"""Background jobs: progress, cancel, errors, updates."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import explorer as ex
from explorer.catalogue import Component, SpecError, solvers
from explorer.engine.job import INTERVAL, Job
from explorer.engine.reasons import Reason
from explorer.engine.run import run
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import count
from explorer.linalg.ledger import GRACE
from explorer.solvers.steps import Step
from tests.support import assert_same_bits

#: the products that the solvers below have asked for
PRODUCTS: list[int] = []
SPEC = RunSpec(problem={"name": "blocks", "params": {"size": 16}}, stop=Choice("budget", steps=5))


def sleepy(y: Tensor) -> Iterator[Step]:
    """Take two milliseconds a step, for ever."""
    x = torch.zeros_like(y)
    for k in itertools.count(1):
        time.sleep(0.002)
        PRODUCTS.append(k)
        count("A")
        x.fill_(k)
        yield Step(x, residual=y.norm())


def failing(y: Tensor) -> Iterator[Step]:
    """Fail at the third step."""
    yield from itertools.islice(sleepy(y), 2)
    raise RuntimeError("no memory left")


def endless(y: Tensor) -> Iterator[Step]:
    """Never come to the end of the first step."""
    while True:
        time.sleep(0.001)
        PRODUCTS.append(0)
        count("A")
    yield Step(y)


@pytest.fixture(autouse=True)
def _registered():
    made = (sleepy, failing, endless)
    for function in made:
        solvers.add(
            Component("solver", function.__name__, function.__name__, function, traits={"reports": ("residual",)})
        )
    yield
    for function in made:
        solvers.remove(function.__name__)


def long(solver="sleepy", steps=100_000):
    return SPEC.replace(solver=solver, stop=Choice("budget", steps=steps))


def test_a_job_gives_the_same_bits_as_a_run():
    job = ex.start(SPEC)
    result = job.result(timeout=60)
    assert_same_bits(result.x, run(SPEC).x)
    assert (job.progress.state, job.done, job.progress.step) == ("done", True, 5)
    assert job.progress.fraction == 1.0
    assert job.error is None


def test_json_is_enough_to_start():
    assert ex.start(SPEC.to_json()).result(timeout=60).spec == SPEC


def test_progress_says_how_far_it_is():
    job = ex.start(long(steps=1000))
    while job.progress.step < 20:
        time.sleep(0.01)
    progress = job.progress
    assert progress.state == "running"
    assert not job.done
    assert 0 < progress.fraction < 1
    assert progress.left == pytest.approx(progress.seconds * (1 - progress.fraction) / progress.fraction)
    assert progress.costs["A"] == progress.step
    job.cancel()
    job.result(timeout=60)


@pytest.mark.parametrize("solver", ["sleepy", "endless"])
def test_a_cancel_ends_with_the_next_product(solver):
    for _ in range(3):
        job = ex.start(long(solver))
        while job.problem is None:
            time.sleep(0.001)
        time.sleep(2 * GRACE)  # a step as long is not waited for
        job.cancel()
        before = len(PRODUCTS)
        result = job.result(timeout=60)
        assert len(PRODUCTS) <= before + 2  # the one under way, and the one that is told
        assert job.progress.state == "cancelled"
        assert result.reason is Reason.CANCELLED


def test_a_cancelled_job_keeps_what_it_has_found():
    job = ex.start(long())
    while job.progress.step < 20:
        time.sleep(0.01)
    job.cancel()
    result = job.result(timeout=60)
    steps = len(result.history["residual"])
    assert steps >= 20
    assert result.stopped.step == steps
    assert_same_bits(result.x, torch.full((16,), float(steps)))


def test_who_cancels_is_told_the_result_and_no_other_step():
    steps = []
    job = ex.start(long(), on_update=lambda s: steps.append(s.step))
    while job.progress.step < 20:
        time.sleep(0.01)
    before = len(steps)
    job.cancel()
    result = job.result(timeout=60)
    assert len(steps) <= before + 1  # one that was due at the same time
    assert job.progress.step == result.stopped.step


def test_a_cancel_before_the_start_runs_at_most_one_step():
    job = Job(long())
    job.cancel()
    result = job.start().result(timeout=60)
    assert result.reason is Reason.CANCELLED
    assert len(result.history.get("residual", ())) <= 1


def test_a_cancel_after_the_end_changes_nothing():
    job = ex.start(SPEC)
    result = job.result(timeout=60)
    job.cancel()
    assert job.progress.state == "done"
    assert job.result().reason is result.reason


def test_updates_come_at_most_ten_times_a_second_and_with_the_first_and_the_last_step():
    at, steps = [], []

    def update(snapshot):
        at.append(time.monotonic())
        steps.append(snapshot.step)

    ex.start(long(steps=200), on_update=update).result(timeout=60)
    assert steps[0] == 1
    assert steps[-1] == 200
    assert len(steps) == len(set(steps))
    gaps = [b - a for a, b in itertools.pairwise(at[:-1])]  # the last update waits for nothing
    assert all(gap > INTERVAL - 0.005 for gap in gaps)
    assert len(steps) >= 3


def test_one_step_is_one_update():
    steps = []
    ex.start(SPEC.replace(solver="tikhonov"), on_update=lambda s: steps.append(s.step)).result(timeout=60)
    assert steps == [1]


def test_an_error_in_the_solver_is_reported_where_the_result_is_asked_for():
    ended = []
    job = ex.start(long("failing"), on_end=ended.append)
    with pytest.raises(RuntimeError, match="no memory left"):
        job.result(timeout=60)
    assert job.progress.state == "failed"
    assert isinstance(job.error, RuntimeError)
    assert ended == [job]


def test_a_specification_that_does_not_fit_fails_with_its_sentence():
    job = ex.start(SPEC.replace(solver="preconditioned_cg"))
    with pytest.raises(SpecError, match="needs"):
        job.result(timeout=60)
    assert job.progress.state == "failed"


def test_an_error_in_a_callback_fails_the_job():
    def update(_snapshot):
        raise ValueError("no canvas")

    with pytest.raises(ValueError, match="no canvas"):
        ex.start(SPEC, on_update=update).result(timeout=60)


def test_the_end_is_told_once_and_by_then_the_result_is_there():
    told = []
    job = ex.start(SPEC, on_end=lambda job: told.append((job.done, job.result().reason)))
    job.result(timeout=60)
    assert told == [(True, Reason.STEPS)]


def test_waiting_has_a_deadline():
    job = ex.start(long())
    assert not job.wait(0.01)
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.01 s"):
        job.result(timeout=0.01)
    job.cancel()
    assert job.wait(10)


def test_two_jobs_at_once_do_not_mix_their_counts_nor_their_bits():
    specs = [SPEC.replace(stop=Choice("budget", steps=steps), seed=seed) for steps, seed in ((40, 0), (70, 1))]
    jobs = [ex.start(spec) for spec in specs for _ in range(2)]
    results = [job.result(timeout=60) for job in jobs]
    assert [r.costs["A"] for r in results] == [40, 40, 70, 70]
    for result, spec in zip(results, (specs[0], specs[0], specs[1], specs[1]), strict=True):
        assert_same_bits(result.x, run(spec).x)


def test_a_shared_operator_is_moved_in_two_jobs_at_once():
    specs = [SPEC.replace(dtype=dtype, solver="landweber") for dtype in ("float32", "float64")]
    for spec, job in [(spec, ex.start(spec)) for spec in specs * 2]:
        assert_same_bits(job.result(timeout=60).x, run(spec).x)


def test_a_job_leaves_no_thread_behind():
    job = ex.start(SPEC)
    job.result(timeout=60)
    assert not [t for t in threading.enumerate() if t.name == "explorer-job" and t.is_alive()]
