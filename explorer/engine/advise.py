"""Which methods suit a problem, with reasons; and what a run will take before it is started."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from explorer.analyses.check import timed
from explorer.analyses.spectrum import Decay, decompose, fitted_decay, within_reach
from explorer.catalogue import SpecError, noises, priors, solvers
from explorer.engine.build import build
from explorer.engine.compat import compatible
from explorer.engine.problem import Problem
from explorer.engine.quickest import quickest
from explorer.engine.run import prepare
from explorer.engine.spec import RunSpec
from explorer.engine.stops import largest_step
from explorer.linalg import Rng, Space
from explorer.operators.base import Identity, LinearOperator

#: how many methods are suggested
COUNT = 3
#: entries of the largest matrix that is decomposed for advice
CHEAP = 2**20
#: iterates of a method's own: solution, direction, and a few of the size of the data
_OF_UNKNOWN, _OF_DATA = 8, 4
#: steps that are tried to see how long one takes, and seconds after which that ends
TRIED, TRIAL = 12, 0.5
#: seconds beyond which a run is said to be long
LONG = 60.0


@dataclass(frozen=True)
class Suggestion:
    """A method to try.

    Attributes
    ----------
    title, why : str
        What it is, and the property of the problem that speaks for it.
    spec : RunSpec
        The whole specification with this method.
    """

    title: str
    why: str
    spec: RunSpec


@dataclass(frozen=True)
class Estimate:
    """What a run will take at most.

    Attributes
    ----------
    steps : int
        Steps after which it ends at the latest.
    seconds : float or None
        Time of all operator applications; None where it is not known beforehand.
    memory : int
        Bytes of the data, the iterates and what is recorded, without what the operator itself holds.
    available : int or None
        Bytes that are free where it would run.
    refusal : str
        Why it cannot fit, with what to change; empty where it can.
    """

    steps: int
    seconds: float | None
    memory: int
    available: int | None
    refusal: str = ""

    @property
    def sentence(self) -> str:
        """The estimate in words."""
        if self.refusal:
            return self.refusal
        memory = f"{_bytes(self.memory)} of memory" + (f" of {_bytes(self.available)} free" if self.available else "")
        if self.seconds is None:
            return f"It needs about {memory}; its time is not known beforehand."
        long = ": a smaller size, fewer steps or float32 make it shorter" if self.seconds > LONG else ""
        steps = "step" if self.steps == 1 else "steps"
        return f"At most {self.steps:,} {steps}, about {_duration(self.seconds)}, and {memory}{long}."


@dataclass(frozen=True)
class Advice:
    """Suggested methods, and what the present one will take.

    Attributes
    ----------
    properties : tuple of str
        What is known of the problem, in sentences.
    suggestions : tuple of Suggestion
        Three, or as many as can work; the most promising first.
    estimate : Estimate
    """

    properties: tuple[str, ...]
    suggestions: tuple[Suggestion, ...]
    estimate: Estimate

    def __repr__(self) -> str:
        tried = [f"{i}. {s.title}: {s.why}" for i, s in enumerate(self.suggestions, 1)]
        return "\n".join([*self.properties, *tried, self.estimate.sentence])


def advise(spec: RunSpec) -> Advice:
    """Suggest methods for the problem of a specification, and estimate what running it takes.

    Nothing is solved: the problem is built, a few steps are timed, and singular values are taken where structure or a
    small matrix gives them.

    Parameters
    ----------
    spec : RunSpec
        Its problem, operator, noise and prior are what advice is for; its solver is what the estimate is for.

    Raises
    ------
    SpecError
        If the problem itself cannot be built.

    Examples
    --------
    >>> found = advise(RunSpec(problem={"name": "camera", "params": {"size": 32}}))
    >>> [s.spec.solver.name for s in found.suggestions]
    ['tikhonov', 'cgls', 'admm']
    """
    taken = estimate(spec)
    if taken.refusal:
        return Advice((taken.refusal,), (), taken)
    facts = _Facts.of(build(spec), spec)
    found: list[Suggestion] = []
    for changes, why in itertools.chain(_candidates(facts), _rest(spec)):
        changed = _made(spec, changes)
        if changed is not None and changed.solver.name not in [s.spec.solver.name for s in found]:
            found.append(Suggestion(_title(changed, spec), why, changed))
        if len(found) == COUNT:
            break
    return Advice(tuple(facts.sentences), tuple(found), taken)


# --- what is known of a problem -----------------------------------------------------------------------------------


@dataclass
class _Facts:
    """Properties of a built problem that decide between methods."""

    problem: Problem
    spec: RunSpec
    decay: Decay | None = None
    lost: float = 0.0
    sentences: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, problem: Problem, spec: RunSpec) -> _Facts:
        made = cls(problem, spec)
        A = problem.A
        if A is None:
            made.sentences.append("There is no linear operator between the unknown and the data.")
            return made
        n, m = A.domain.size, A.codomain.size
        shape = (
            "fewer data than unknowns" if m < n else "as many data as unknowns" if m == n else "more data than unknowns"
        )
        made.sentences.append(f"{n:,} unknowns and {m:,} data: {shape}.")
        traits = [t for t, has in (("self-adjoint", A.self_adjoint), ("positive", A.positive)) if has]
        if traits:
            made.sentences.append(f"The operator is {' and '.join(traits)}.")
        if cheap(A):
            values = decompose(A)[0].cpu().numpy()
            made.decay = fitted_decay(values, A.domain.eps)
            made.lost = float((values <= max(n, m) * A.domain.eps * values[0]).mean())
            made.sentences.append(made.decay.sentence)
        if made.noise:
            made.sentences.append(
                f"The noise is {100 * made.noise:.2g} % of the data ({noises[spec.noise.name].title})."
            )
        if spec.prior.name != "none":
            made.sentences.append(f"A prior is chosen: {priors[spec.prior.name].title}.")
        return made

    @property
    def noise(self) -> float:
        """Expected noise norm relative to the data; 0 where it is not known."""
        noise, data = self.problem.offers.get("noise_norm"), self.problem.offers.get("data_norm")
        if noise is None or data is None or not float(data.reshape(-1)[0]):
            return 0.0
        return float(noise.reshape(-1)[0]) / float(data.reshape(-1)[0])

    @property
    def gentle(self) -> bool:
        """Whether the operator is known to be well conditioned."""
        return self.decay is not None and self.decay.kind == "none" and not self.lost

    @property
    def short(self) -> bool:
        """Whether there are fewer data, or fewer directions, than unknowns."""
        A = self.problem.A
        return A is not None and (A.codomain.size < 0.9 * A.domain.size or self.lost > 0.1)


def cheap(A: Any) -> bool:
    """Say whether all singular values of an operator cost little."""
    if not (isinstance(A, LinearOperator) and within_reach(A)):
        return False
    return A.has_svd or math.prod((A.domain.size, A.codomain.size)) <= CHEAP


# --- which methods -------------------------------------------------------------------------------------------------


Candidate = tuple[Mapping[str, Any], str]


def _candidates(facts: _Facts) -> Iterator[Candidate]:
    """Yield changes of a specification with their reasons, the most promising first."""
    spec, A = facts.spec, facts.problem.A
    kinds = {*facts.problem.offers}
    if "M" in kinds and A is None:
        yield {"solver": "newton_schulz"}, "The matrix itself is there: a few products invert it to full precision."
    if A is None:
        yield {"solver": "gauss_newton", **_stopped(facts)}, "The model is nonlinear: linearise, solve, repeat."
        return
    if spec.prior.name != "none":
        yield from _with_prior(facts)
    if spec.noise.name in ("poisson", "poisson_gaussian") and A.nonnegative:
        why = "Counts of a nonnegative operator: it maximises the Poisson likelihood and stays nonnegative."
        yield {"solver": "mlem", "prior": "none"}, why
    if A.self_adjoint and A.positive and facts.gentle:
        why = "The operator is self-adjoint, positive and well conditioned: one product a step, and few steps."
        yield {"solver": "conjugate_gradient", "prior": "none"}, why
    if facts.short and spec.problem.name == "spikes":
        why = "Fewer data than unknowns, and the truth is a few spikes: the l1 norm finds them."
        yield {"solver": "fista", "prior": {"name": "l1", "params": {"weight": _weight(facts)}}}, why
    if A.has_svd and not facts.gentle:
        rule = "discrepancy" if facts.noise else "gcv"
        why = f"Its singular values are known by structure: the answer for every λ at once, and {rule} chooses."
        yield {"solver": "tikhonov", "prior": "none", "rule": rule}, why
    if facts.gentle:
        yield {"solver": "cgls", "prior": "none", **_stopped(facts)}, "Well conditioned: a few steps reach the answer."
    elif facts.noise:
        why = "Ill-posed with known noise: early steps find the signal, and the discrepancy principle stops in time."
        yield {"solver": "cgls", "prior": "none", **_stopped(facts)}, why
    image = isinstance(A.domain, Space) and A.domain.ndim in (1, 2)
    if image and not A.domain.is_complex and spec.prior.name == "none":
        why = "Edges survive where squares blur them, if the truth is made of pieces: total variation."
        if A.codomain.size < A.domain.size:
            why = "Fewer data than unknowns: total variation fills in what is missing, if the truth is made of pieces."
        prior, (solver, quick) = {"name": "tv", "params": {"weight": _weight(facts)}}, quickest(A)[0]
        yield {"solver": solver, "prior": prior, "rule": "fixed"}, f"{why} {quick}"
    falls = facts.decay.kind != "none" if facts.decay is not None else A.codomain.size >= A.domain.size
    if falls:  # on a flat spectrum its λ is too large
        why = "It projects onto a small space and chooses λ there in every step: no stopping to get wrong."
        yield {"solver": "hybrid_lsqr", "prior": "none", "rule": "fixed"}, why
    why = "The same iterates as conjugate gradients, safer in low precision; its bases show what it sees."
    yield {"solver": "lsqr", "prior": "none", **_stopped(facts)}, why


def _with_prior(facts: _Facts) -> Iterator[Candidate]:
    prior = facts.problem.prior
    direct = prior.has_prox and isinstance(prior.operator, Identity)
    why = "The prior has a proximal map: accelerated steps, one product with A and one with Aᴴ each."
    accelerated = ({"solver": "fista", "rule": "fixed"}, why)
    if direct:
        yield accelerated
    if prior.splits:
        for solver, why in quickest(facts.problem.A):
            yield {"solver": solver, "rule": "fixed"}, why
    if prior.has_prox and not direct:
        yield accelerated
    yield {"solver": "douglas_rachford", "rule": "fixed"}, "It needs no step length from the norm of A."


def _stopped(facts: _Facts) -> dict[str, Any]:
    return {"rule": "discrepancy" if facts.noise else "fixed"}


def _weight(facts: _Facts) -> float:
    """Return a weight of a prior on the scale of the problem: the noise, as the gradient of the misfit sees it."""
    problem = facts.problem
    A, noise, size = problem.A, problem.offers.get("noise_norm"), problem.offers.get("data_size", 1)
    if noise is None or A is None:
        return 0.01
    one = float(noise.reshape(-1)[0]) / math.sqrt(size)  # standard deviation of one datum
    column = float(A.domain.norm(A.adjoint(_one(A)))) / math.sqrt(A.domain.size)
    weight = max(one * column, 1e-6)
    return float(f"{weight:.2g}")


def _one(A: LinearOperator) -> Any:
    """Return white noise of standard deviation one in every datum."""
    return A.codomain.random(Rng(0, "advise"))


def _rest(spec: RunSpec) -> Iterator[Candidate]:
    """Yield every solver that works with the problem as it is."""
    for name, why in compatible(spec).items():
        if why is None:
            yield {"solver": name}, f"It takes this problem as it is. {solvers[name].summary}"


def _made(spec: RunSpec, changes: Mapping[str, Any]) -> RunSpec | None:
    """Return a changed specification if it can run; what was not asked for is kept plain."""
    try:
        changed = spec.replace(**{"precond": "none", **changes})
        if changed.solver.name == spec.solver.name and "solver" in changes:
            changed = changed.replace(solver=spec.solver)
        prepare(changed.replace(device="meta", draws=None))
    except SpecError:
        return None
    return changed


def _title(changed: RunSpec, spec: RunSpec) -> str:
    title = solvers[changed.solver.name].title
    if changed.prior.name not in ("none", spec.prior.name):
        title += f" with {changed.prior.name}"
    return title + (f", {changed.rule.name}" if changed.rule.name != "fixed" else "")


# --- what a run takes ------------------------------------------------------------------------------------------------


def estimate(spec: RunSpec) -> Estimate:
    """Estimate what a run takes; its problem is built on the device only if it fits.

    Raises
    ------
    SpecError
        If the parts do not go together.
    """
    taken = _fitting(spec, build(spec.replace(device="meta")))
    per_step = solvers[spec.solver.name].traits.get("per_step") or {}
    if taken.refusal or not per_step:
        return taken
    return replace(taken, seconds=_seconds(spec, per_step, taken.steps))


def refuse_too_large(spec: RunSpec, problem: Problem) -> None:
    """Refuse a run that cannot fit into memory beside its problem.

    Raises
    ------
    SpecError
        If it cannot, with what is needed and what is free.
    """
    if refusal := _fitting(spec, problem).refusal:
        raise SpecError(refusal.rstrip("."))


def _fitting(spec: RunSpec, problem: Problem) -> Estimate:
    """Return the estimate of steps and memory, whose problem may be one of shapes alone."""
    steps = largest_step(spec.stop.as_dict()) if solvers[spec.solver.name].traits.get("per_step") else 1
    needed, free = memory(spec, problem, steps), available(spec.device)
    refusal = "" if free is None or needed <= free else (
        f"It cannot fit: about {_bytes(needed)} are needed and {_bytes(free)} are free; choose a smaller size, "
        "fewer snapshots or draws, or float32."
    )  # fmt: skip
    return Estimate(steps, None, needed, free, refusal)


def memory(spec: RunSpec, problem: Problem, steps: int) -> int:
    """Return about how many bytes a run of so many steps takes: its data, vectors and the iterates that it keeps."""
    each = math.prod(problem.batch)
    unknown = problem.domain.size * problem.domain.dtype.itemsize * each
    data = problem.codomain.size * problem.codomain.dtype.itemsize * each if problem.codomain is not None else 0
    kept = min(spec.record.snapshots, steps) + 2 if steps > 1 else 2  # the stopped and the best one
    bases = steps * (unknown + data) if spec.record.bases else 0
    return (_OF_UNKNOWN + kept) * unknown + _OF_DATA * data + bases


def _seconds(spec: RunSpec, per_step: Mapping[str, int], steps: int) -> float | None:
    """Return the time of all steps: of the operator's applications, or of a few steps where those take longer."""
    problem = build(spec)
    applied = _applications(problem, per_step)
    enough = threading.Event()
    clock = threading.Timer(TRIAL, enough.set)
    clock.start()
    ends = [snapshot.seconds for snapshot in itertools.islice(prepare(spec, problem, enough), TRIED)]
    clock.cancel()
    stepped = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else ends[0] if ends else TRIAL
    each = max(applied or 0.0, stepped)
    return steps * each if each else None


@torch.no_grad()
def _applications(problem: Problem, per_step: Mapping[str, int]) -> float | None:
    """Return the time of a step's applications of the operator; None where other work is counted."""
    A, batch = problem.A, problem.batch
    if A is None or not set(per_step) <= {"A", "Aᴴ"}:
        return None
    x = A.domain.expand(A.domain.random(Rng(0, "advise/x")), batch)
    y = A.codomain.expand(A.codomain.random(Rng(0, "advise/y")), batch)
    calls = {"A": (A.forward, x), "Aᴴ": (A.adjoint, y)}
    return sum(count * timed(*calls[name]) for name, count in per_step.items())


def available(device: str) -> int | None:
    """Return the bytes that are free on a device, or None where that is not known."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0]) if torch.cuda.is_available() else None
    found = [_within_group(), _free()]
    known = [size for size in found if size is not None]
    return min(known, default=None)


def _free() -> int | None:
    """Return the memory that the machine can still give, as Linux counts it, or all of it elsewhere."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _within_group() -> int | None:
    """Return what is left of the limit of a container, where there is one."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return None


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def _duration(seconds: float) -> str:
    if seconds < 0.1:
        return f"{1e3 * seconds:.2g} ms"
    return f"{seconds:.2g} s" if seconds < 120 else f"{seconds / 60:.2g} minutes"
