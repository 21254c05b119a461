"""Times as ratios, medians in one run: ``python -m tests.benchmarks``; ``--record [solver …]`` records counts instead.

Ratios to aim at: a solver in place without a truth at most 1.4 times its operator applications, textbook form 2; the
driver with error and best at most 1.3 times the solver; ``import explorer`` at most 1.15 times ``import torch``. A
dragged λ redraws within 100 ms of kernel time. ``--aims [group …]`` prints only what :mod:`tests.benchmarks.aims` has,
``--widget`` only what :mod:`tests.benchmarks.interface` finds in a browser.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

import explorer as ex
from explorer.catalogue import SpecError, solvers
from explorer.engine.build import build
from explorer.engine.compat import compatible
from explorer.engine.fit import gives
from explorer.engine.problem import Problem
from explorer.engine.run import prepare
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import Ledger, Space
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.solvers.steps import Step
from tests.benchmarks.aims import GROUPS, Aim
from tests.benchmarks.baseline import own, record
from tests.benchmarks.cases import begin, offers
from tests.benchmarks.interface import measured

SIZE, ROUNDS = 256, 7
#: rows of the dense matrix, which has one column a pixel
ROWS = 512


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--record", nargs="*", metavar="SOLVER", help="record the counts of a step, by default of all")
    parser.add_argument("--solver", nargs="*", default=[], help="time these solvers only")
    parser.add_argument("--aims", nargs="*", metavar="GROUP", help=f"only these, by default all of {', '.join(GROUPS)}")
    parser.add_argument("--widget", action="store_true", help="only the interface, in a browser")
    options = parser.parse_args()
    if options.record is not None:
        record(options.record)
        return 0
    if options.widget:
        return aims({"widget": measured})
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if options.aims is not None:
        return aims({name: GROUPS[name] for name in options.aims or GROUPS})
    _say(f"import explorer / import torch: {import_ratio():.3f}")
    _say(f"first picture after the start in a warm process: {first_picture():.3f} s")
    walked, changed = (1e3 * statistics.median(seconds) for seconds in dragged())
    _say(f"a marker dragged along the swept λ at {SIZE}² redraws after {walked:.0f} ms of kernel time")
    _say(f"a new λ at {SIZE}², live, is solved and drawn after {changed:.0f} ms of kernel time")
    _say(f"\n{SIZE}² unknowns, one thread, medians of {ROUNDS} rounds in turn")
    _say(f"{'operator':14} {'solver':24} {'ms / step':>10} {'solver / operator':>18} {'driver / solver':>16}")
    for name, problem in _problems():
        for solver in options.solver or solvers:
            if own(solver) and (row := _row(solver, problem)) is not None:
                _say(f"{name:14} {solver:24} {1e3 * row[0]:10.2f} {row[1]:18.2f} {row[2]:16.2f}")
    return aims({**GROUPS, "widget": measured})


def aims(groups: Mapping[str, Callable[[], Iterator[Aim]]]) -> int:
    """Print what was aimed at and what was found; those beyond the aim have a mark."""
    _say(f"\n{'':2}{'medians':80} {'found':>8} {'at most':>8}")
    for lines in groups.values():
        for name, found, at_most in lines():
            _say(f"{'' if found <= at_most else '!':2}{name:80} {found:8.2f} {at_most:8g}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _problems() -> Iterator[tuple[str, Problem]]:
    image = Choice("shepp_logan", size=SIZE)
    for operator in ("gaussian_blur", "radon"):
        yield operator, build(RunSpec(problem=image, operator=operator))
    blurred = build(RunSpec(problem=image))
    pixels = blurred.domain
    matrix = torch.randn(ROWS, pixels.size, generator=torch.Generator().manual_seed(0)) / ROWS**0.5
    dense = DenseMatrix(pixels, Space((ROWS,)), matrix)
    y = dense(blurred.x_true)
    given = {**blurred.offers, "A": dense, "F": dense, "codomain": dense.codomain, "y": y, "data_norm": y.norm()}
    yield "dense", Problem(given, blurred.truth, pixels, y)


def _row(solver: str, problem: Problem) -> tuple[float, float, float] | None:
    """Return seconds a step, and the ratios solver / operator and driver / solver; None where it does not apply."""
    if gives(solvers[solver]) is not Step:
        return None  # a direct method has no steps, and a sampler's chains are many vectors
    spec = next((s for s in _specs(solver) if _fits(s, problem)), None)
    if spec is None:
        return None
    steps = _affordable(spec, problem)
    spec = spec.replace(stop=Choice("budget", steps=steps), record={"snapshots": 0})
    costs = _costs(spec, problem, steps)
    if not {"A", "Aᴴ"} & costs.keys():
        return None
    x, y = problem.x_true, problem.A(problem.x_true)

    @torch.no_grad()
    def apply() -> None:
        for _ in range(costs.get("A", 0)):
            problem.A(x)
        for _ in range(costs.get("Aᴴ", 0)):
            problem.A.adjoint(y)

    @torch.no_grad()
    def solve() -> None:
        for _ in itertools.islice(begin(spec, problem, offers(spec, problem)), steps):
            pass

    def drive() -> None:
        for _ in prepare(spec, problem):
            pass

    applied, solved, driven = _medians(apply, solve, drive)
    return solved / steps, solved / applied, driven / solved


def _specs(solver: str) -> Iterator[RunSpec]:
    needs = {need.name for need in solvers[solver].needs}
    for prior in ("none", "tikhonov", "l1", "tv") if "prior" in needs else ("none",):
        yield RunSpec(problem=Choice("shepp_logan", size=SIZE), solver=solver, prior=prior)


def _fits(spec: RunSpec, problem: Problem) -> bool:
    problem.offers["prior"] = build(spec.replace(solver="cgls", prior="none")).prior
    if spec.prior.name != "none":
        problem.offers["prior"] = ex.catalogue.priors[spec.prior.name].build(domain=problem.domain)
    try:
        prepare(spec, problem)
    except SpecError:
        return False
    return isinstance(problem.A, LinearOperator)


@torch.no_grad()
def _affordable(spec: RunSpec, problem: Problem) -> int:
    """Return the number of steps that take a twentieth of a second, at least 3."""
    steps = begin(spec, problem, offers(spec, problem))
    next(steps)
    begun = time.perf_counter()
    next(steps)
    return max(3, min(30, int(0.05 / (time.perf_counter() - begun))))


@torch.no_grad()
def _costs(spec: RunSpec, problem: Problem, steps: int) -> dict[str, int]:
    ledger = Ledger({id(problem.A): "A"})
    with ledger.open():
        for _ in itertools.islice(begin(spec, problem, offers(spec, problem)), steps):
            pass
    return dict(ledger.costs)


def _medians(*works: Callable[[], Any]) -> list[float]:
    """Time each work in turn, round after round; return their median seconds."""
    seconds: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(ROUNDS):
        for work, taken in zip(works, seconds, strict=True):
            begun = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begun)
    return [statistics.median(taken) for taken in seconds]


def import_ratio() -> float:
    code = (
        "import time; t = time.perf_counter(); import torch; a = time.perf_counter(); import explorer;"
        "print((time.perf_counter() - t) / (a - t))"
    )
    ran = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return statistics.median(float(done.stdout) for done in ran)


def first_picture() -> float:
    spec = RunSpec()
    compatible(spec)
    ex.run(spec.replace(problem="blocks"))
    seconds = []
    for seed in range(5):
        shown: list[float] = []
        begun = time.perf_counter()
        job = ex.start(spec.replace(seed=seed), on_update=lambda _, shown=shown: shown.append(time.perf_counter()))
        job.result(timeout=60)
        seconds.append(shown[0] - begun)
    return statistics.median(seconds)


def dragged(drags: int = 9) -> tuple[list[float], list[float]]:
    """Return processor seconds of each drag of the marker along a sweep, and of each new λ that is solved live."""
    from explorer.widgets.screen import TABS
    from tests.widgets.page import report

    tikhonov = Choice("tikhonov", regularization=1e-3)
    widget = ex.Explorer(RunSpec(problem=Choice("camera", size=SIZE), solver=tikhonov, rule="fixed"))
    widget.run().wait(60)
    report(widget, opened=True)
    widget._screen.tabs.selected = TABS.index("Parameter")
    widget.wait(60)
    widget._screen._chart._arrived({"new": {"drawn": True}})  # as a page says that has drawn its figure
    walk, path = widget._screen.walk, torch.logspace(-4, -1, drags).tolist()

    def along(regularization: float) -> None:
        walk._receive(walk.form, {"seq": walk.form.seq + 1, "id": "walk", "value": regularization}, None)

    def solved(regularization: float) -> None:
        report(widget, id="solver.params.regularization", value=regularization)
        while widget.result.spec != widget.spec:
            time.sleep(0.002)
        widget.wait(60)

    seconds = []
    for work in (along, solved):
        widget._live.value = work is solved
        taken = []
        for regularization in path:
            begun = time.process_time()
            work(regularization)
            taken.append(time.process_time() - begun)
        seconds.append(taken)
    widget.close()
    return seconds[0], seconds[1]


if __name__ == "__main__":
    sys.exit(main())
