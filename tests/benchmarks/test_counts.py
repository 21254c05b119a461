"""Counts per step of every solver, against those recorded: what a step costs does not grow unnoticed."""

import subprocess
import sys

import pytest
import torch

from explorer.catalogue import solvers
from tests.benchmarks.__main__ import dragged, first_picture
from tests.benchmarks.baseline import own, recorded
from tests.benchmarks.counting import Counter, counts, watching

NAMES = [name for name in solvers if own(name)]
#: what is counted of a solver is counted once, in the process that has all of its tests
every_solver = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(f"counts of {name}")) for name in NAMES]
)


def baseline(name):
    known = recorded().get(name)
    if known is None:
        pytest.fail(f"the counts of {name!r} are not recorded: run `python -m tests.benchmarks --record {name}`")
    return known


@every_solver
def test_a_step_costs_what_was_recorded(name):
    assert counts(name)["costs"] == baseline(name)["costs"]


@every_solver
@pytest.mark.parametrize("what", ["calls", "passes", "vectors"])
def test_a_step_takes_no_more_than_was_recorded(name, what):
    found, known = counts(name)[what], baseline(name)[what]
    again = f"if that is right, run `python -m tests.benchmarks --record {name}`"
    assert found <= known, f"{name} takes {found} {what} a step, and {known} were recorded: {again}"


@every_solver
def test_a_step_reads_the_device_as_often_as_is_declared(name):
    assert counts(name)["reads"] <= solvers[name].traits.get("reads", 0)


@every_solver
def test_the_declared_costs_are_the_counted_ones(name):
    declared = solvers[name].traits.get("per_step", {})
    costs = counts(name)["costs"]
    if set(declared) <= set(costs):
        assert {kind: costs[kind] for kind in declared} == declared


def test_every_recorded_solver_is_still_there():
    assert set(recorded()) <= set(NAMES), "run `python -m tests.benchmarks --record`"


def test_counting_is_deterministic():
    first = counts("cgls")
    counts.cache_clear()
    assert counts("cgls") == first


def test_the_counter_counts():
    x = torch.ones(100)
    with Counter(100) as counter:
        y = x + 1  # one pass, a vector held
        y.mul_(2)  # one pass
        z = y.reshape(10, 10)  # a view
        float(z.sum())  # a pass, a read
        del y, z
        torch.ones(50).add_(1)  # two calls, no vector
    assert counter.calls == 7
    assert counter.passes == 3
    assert counter.reads == 1
    assert counter.peak == 4 * 100 + 4
    assert counter.held == 0


def test_watching_a_step_takes_few_calls_and_two_passes():
    added = watching()
    assert added["passes"] <= 3  # the distance to the truth, the copy of the best
    assert added["calls"] <= 16
    assert added["reads"] <= 8


def test_importing_the_package_costs_little_more_than_torch():
    code = (
        "import time, sys; t = time.perf_counter(); import torch; a = time.perf_counter(); import explorer;"
        "b = time.perf_counter(); print((b - t) / (a - t));"
        "print(*[m for m in ('pydantic', 'scipy', 'plotly', 'matplotlib', 'skimage', 'ipywidgets', 'anywidget',"
        " 'papermill', 'dask', 'IPython', 'PIL') if m in sys.modules])"
    )
    ratios = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
        ratio, loaded = done.stdout.split("\n")[:2]
        assert loaded == ""
        ratios.append(float(ratio))
    assert min(ratios) <= 1.15


def test_the_first_picture_comes_within_a_second_of_the_start():
    assert first_picture() < 1.0


def test_a_dragged_marker_redraws_within_a_tenth_of_a_second_of_kernel_time():
    walked, solved = dragged(6)
    assert min(walked) < 0.1
    assert min(solved) < 0.1
