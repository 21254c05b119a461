"""What speed and memory the linear lab aims at, each as a ratio to the least work that it could be.

Times are CPU seconds of one thread, so that what else the machine does counts little.
"""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.catalogue import SpecError, operators
from explorer.engine.build import build
from explorer.engine.problem import Problem
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import Rng, Space
from tests.benchmarks.cases import begin, offers

ROUNDS = 7
#: methods for total variation that are compared with the textbook
METHODS = ("pdhg", "accelerated_pdhg", "adaptive_pdhg", "admm")


class Aim(NamedTuple):
    """One line: what was measured, and what it should be at most."""

    name: str
    found: float
    at_most: float


def ratio(work: Callable[[], Any], least: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Return the median over rounds of the CPU seconds of one work over those of the other, both in turn."""
    found = []
    with torch.no_grad():
        for counted in [False, *[True] * rounds]:
            begun = time.process_time()
            work()
            between = time.process_time()
            least()
            if counted:
                found.append((between - begun) / (time.process_time() - between))
    return statistics.median(found)


def steps_of(spec: RunSpec, problem: Problem, steps: int) -> Callable[[], None]:
    """Return work that takes so many steps of a solver."""

    def work() -> None:
        for _ in itertools.islice(begin(spec, problem, offers(spec, problem)), steps):
            pass

    return work


def products(problem: Problem, forward: int, adjoint: int) -> Callable[[], None]:
    """Return work that applies the operator and its adjoint so many times."""
    x, y = problem.x_true, problem.y

    def work() -> None:
        for _ in range(forward):
            problem.A(x)
        for _ in range(adjoint):
            problem.A.adjoint(y)

    return work


# --- solvers ---


def krylov(size: int = 256, steps: int = 30) -> Iterator[Aim]:
    """A step of a Krylov method beside its products."""
    for operator in (Choice("radon", angles=180), Choice("gaussian_blur")):
        for solver in (Choice("lsqr"), Choice("lsmr"), Choice("minres"), Choice("gmres", restart=30)):
            try:
                spec = RunSpec(problem=Choice("shepp_logan", size=size), operator=operator, solver=solver)
                problem = build(spec)
                begin(spec, problem, offers(spec, problem))
            except SpecError:
                continue  # not a square operator
            adjoint = steps if solver.name in ("lsqr", "lsmr") else 0
            found = ratio(steps_of(spec, problem, steps), products(problem, steps, adjoint))
            yield Aim(f"{solver.name} with {operator.name}, {size}²: a step / its products", found, 1.6)


def hybrid(size: int = 64, steps: int = 30) -> Iterator[Aim]:
    """Hybrid LSQR that chooses λ at every step."""
    for operator in (Choice("radon", angles=180), Choice("gaussian_blur")):
        spec = RunSpec(problem=Choice("shepp_logan", size=size), operator=operator, solver="hybrid_lsqr")
        problem = build(spec)
        found = ratio(steps_of(spec, problem, steps), products(problem, steps, steps))
        yield Aim(f"hybrid_lsqr with {operator.name}, {size}²: {steps} steps / their products", found, 2.0)


def weights(size: int = 256, count: int = 200) -> Iterator[Aim]:
    """Many Tikhonov weights at once where a decomposition is cheap."""
    values = torch.logspace(-6, 0, count).tolist()
    spec = RunSpec(
        problem=Choice("shepp_logan", size=size),
        operator="gaussian_blur",
        solver=Choice("tikhonov", regularization=values),
    )
    problem = build(spec)
    factors = problem.A.svd()
    coefficients = factors.U.adjoint(problem.y[0])

    def inverses() -> None:
        for _ in range(count):
            factors.V(coefficients)

    found = ratio(lambda: begin(spec, problem, offers(spec, problem)), inverses)
    yield Aim(f"{count} weights of tikhonov, {size}²: together / as many inverse transforms", found, 1.5)


# --- tomography ---


def tomography(size: int = 256, angles: int = 180, batch: int = 16) -> Iterator[Aim]:
    """The Radon transform beside one bare product with its sparse matrix, and a batch beside one image."""
    A = operators["radon"].build(domain=Space((size, size)), angles=angles)
    matrix, transposed = A.matrix.pair(torch.float32, torch.device("cpu"))
    x, y = (Rng(0, name).normal((batch, *space.shape)) for name, space in (("x", A.domain), ("y", A.codomain)))
    flat = (x[0].reshape(-1), y[0].reshape(-1))
    stored = sum(t.values().nbytes + t.col_indices().nbytes + t.crow_indices().nbytes for t in A.core._pair())
    pairs = {"forward": (A.forward, x, matrix, flat[0]), "adjoint": (A.adjoint, y, transposed, flat[1])}
    for name, (apply, z, bare, vector) in pairs.items():
        found = ratio(lambda apply=apply, z=z: apply(z[0]), lambda bare=bare, v=vector: bare @ v)
        yield Aim(f"radon {size}² × {angles}, {name}: one / a sparse product", found, 1.2)
        found = ratio(lambda apply=apply, z=z: apply(z), lambda apply=apply, z=z: apply(z[0]))
        yield Aim(f"radon {size}² × {angles}, {name}: {batch} together / one", found, 6.0)
        yield Aim(f"radon {size}² × {angles}, {name}: {batch} together / as many apart", found / batch, 1.0)
    yield Aim(f"radon {size}² × {angles}: MB of the matrix and its transpose", stored / 1e6, 160.0)


# --- total variation ---


def variation(size: int = 256) -> Iterator[Aim]:
    """Total variation to a relative gap of the objective: the fastest of ours beside the textbook's in NumPy."""
    for task in (Task("denoising", "identity", 0.1, 0.1), Task("deblurring", "gaussian_blur", 1e-3, 0.01)):
        spec = RunSpec(
            problem=Choice("camera", size=size),
            operator=task.operator,
            noise=Choice("gaussian", level=task.level),
            prior=Choice("tv", weight=task.weight),
        )
        problems = {name: build(spec.replace(solver=name)) for name in METHODS}
        objective = Objective(problems["pdhg"])
        with torch.no_grad():
            plain = trace(textbook(problems["pdhg"], task.weight), objective)
            ours = {name: trace(iterates(spec.replace(solver=name), p), objective) for name, p in problems.items()}
        best = min(point.value for points in (plain, *ours.values()) for point in points)
        for gap in (1e-3, 1e-4):
            goal = (1 + gap) * best
            least, reached = first(plain, goal), {name: first(points, goal) for name, points in ours.items()}
            name = min(reached, key=lambda name: reached[name].seconds)
            said = f"{name}, {reached[name].step} steps / textbook, {least.step}"
            yield Aim(f"{task.name} {size}² to {gap:g}: {said}", reached[name].seconds / least.seconds, 1.0)


class Point(NamedTuple):
    """Where a method is after some steps."""

    step: int
    seconds: float
    value: float


def trace(steps: Iterator[Any], objective: Objective, every: int = 10, most: float = 6.0) -> list[Point]:
    """Return the objective at every tenth step over CPU seconds, those of looking at it left out."""
    points, seconds = [], 0.0
    while seconds < most:
        begun = time.process_time()
        x = next(itertools.islice(steps, every - 1, None))
        seconds += time.process_time() - begun
        points.append(Point(every * (len(points) + 1), seconds, objective(x)))
    return points


def first(points: list[Point], goal: float) -> Point:
    """Return the first point at which the objective is no more than a goal; the last one where none is."""
    return next((point for point in points if point.value <= goal), points[-1])


class Task(NamedTuple):
    """A problem of total variation: operator, weight of the prior, level of the noise."""

    name: str
    operator: str
    weight: float
    level: float


class Objective:
    """``½‖Ax − y‖² + λ TV(x)`` of a problem, in double precision."""

    def __init__(self, problem: Problem) -> None:
        self.A, self.y = problem.A.to(dtype=torch.float64), problem.y.double()
        self.prior = problem.offers["prior"].to(dtype=torch.float64)

    def __call__(self, x: Any) -> float:
        x = torch.as_tensor(x).double()
        return float(0.5 * ((self.A(x) - self.y) ** 2).sum() + self.prior.value(x))


def iterates(spec: RunSpec, problem: Problem) -> Iterator[Any]:
    """Yield the iterates of a solver."""
    return (step.x for step in begin(spec, problem, offers(spec, problem)))


def textbook(problem: Problem, weight: float) -> Iterator[NDArray[np.floating]]:
    """Plain primal–dual steps with the step sizes of 'pdhg', as one writes them in NumPy."""
    apply, y, norm2 = in_numpy(problem), problem.y.numpy(), float(problem.A.norm()) ** 2
    tau = norm2**-0.5
    sigma_a, sigma_k = 1 / (2 * tau * norm2), 1 / (2 * tau * 8)
    x = x_bar = u = np.zeros_like(y)
    v = np.zeros((2, *y.shape), y.dtype)
    while True:
        u = (u + sigma_a * (apply(x_bar) - y)) / (1 + sigma_a)
        slope = np.zeros_like(v)
        slope[0, :-1] = x_bar[1:] - x_bar[:-1]
        slope[1, :, :-1] = x_bar[:, 1:] - x_bar[:, :-1]
        v = v + sigma_k * slope
        v = v / np.maximum(1, np.sqrt((v**2).sum(0)) / weight)
        pulled = np.zeros_like(x)
        pulled[:-1] -= v[0, :-1]
        pulled[1:] += v[0, :-1]
        pulled[:, :-1] -= v[1, :, :-1]
        pulled[:, 1:] += v[1, :, :-1]
        x_old, x = x, x - tau * (apply(u) + pulled)
        x_bar = 2 * x - x_old
        yield x


def in_numpy(problem: Problem) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
    """Return the identity, or a periodic blur with an even kernel, as one writes it in NumPy."""
    impulse = torch.zeros(problem.domain.shape)
    impulse[(0,) * impulse.ndim] = 1
    kernel = problem.A(impulse)
    if torch.equal(kernel, impulse):
        return lambda x: x
    transfer = np.fft.rfft2(kernel.numpy()).real.astype(np.float32)
    return lambda x: np.fft.irfft2(transfer * np.fft.rfft2(x), x.shape).astype(x.dtype)


# --- memory ---


def memory(size: int = 512) -> Iterator[Aim]:
    """What a problem of each family takes at most while it is built and applied forwards and backwards."""
    context = multiprocessing.get_context("fork")
    for name in operators:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_peak, args=(name, size, theirs))
        child.start()
        theirs.close()
        try:
            found = ours.recv()
        except EOFError:  # killed, by the system or by a limit
            found = float("inf")
        child.join()
        if found is not None:
            yield Aim(f"{name}, {size}²: MB to build and to apply", found, 1000.0)


def _peak(name: str, size: int, answer: Any) -> None:
    """Send the most memory of this process beyond what it began with, in MB; None where an image does not suit."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
    before = _status("VmRSS")
    try:
        A = build(RunSpec(problem=Choice("shepp_logan", size=size), operator=name)).A
        with torch.no_grad():
            A.adjoint(A(A.domain.zeros()))
    except (SpecError, AttributeError):
        answer.send(None)
    else:
        answer.send(_status("VmHWM") - before)


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e3


#: every group of lines by name
GROUPS: dict[str, Callable[[], Iterator[Aim]]] = {
    "krylov": krylov,
    "hybrid": hybrid,
    "weights": weights,
    "tomography": tomography,
    "variation": variation,
    "memory": memory,
}
