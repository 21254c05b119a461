"""Stop rules: when a run ends. They compose with ``|`` and ``&`` on :class:`explorer.engine.spec.Choice`.

A stop rule returns, per sample, 0 to go on or the :class:`Reason` to stop; budgets are known on the host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import NAMES, Linear, Log, Part, SpecError, stop, stops
from explorer.engine.reasons import Reason

Code = Tensor | int

#: steps after which every run ends, whatever its stop rule
CAP = 100_000
#: largest window of stagnation
WINDOW = 1000


@dataclass
class Progress:
    """How far a run has come: what stop rules see after each step.

    Attributes
    ----------
    step : int
        Number of steps done.
    residual, data_norm, noise_norm : Tensor
        Per sample, shape ``(*batch,)``; a rule declares what it ``requires`` of the solver's reports and what must be
        ``offered`` by the problem, and sees nothing else.
    cost : int
        Operator applications and denoiser calls so far.
    seconds : float
        Solver time so far.
    past : sequence of Tensor
        Residuals of the last steps, at most `WINDOW` before the present one.
    """

    says = "the progress of a run"

    step: int = 0
    residual: Any = None
    data_norm: Any = None
    noise_norm: Any = None
    cost: int = 0
    seconds: float = 0.0
    past: deque[Tensor] = field(default_factory=lambda: deque(maxlen=WINDOW + 1))


def _where(mask: Tensor, reason: Reason) -> Tensor:
    return mask.to(torch.int8) * int(reason)


@stop("Budget")
def budget(
    progress: Progress,
    *,
    steps: Annotated[int, Log(1, CAP, unit="steps", help="largest number of steps")] = 200,
    cost: Annotated[
        int, Log(0, 10_000_000, unit="calls", help="largest number of operator and denoiser calls; 0: none")
    ] = 0,
    seconds: Annotated[float, Log(0, 86_400, unit="s", help="longest solver time; 0: none")] = 0.0,
) -> Code:
    """Stop after so many steps, calls or seconds, whichever comes first."""
    if progress.step >= steps:
        return Reason.STEPS
    if cost and progress.cost >= cost:
        return Reason.COST
    return Reason.SECONDS if seconds and progress.seconds >= seconds else 0


@stop(
    "Relative residual",
    requires=("residual",),
    offered=("data_norm",),
    works="Data without noise, where a system is to be solved to a given accuracy.",
    fails="Noisy data: it fits their noise before it stops, or never ends where no answer comes so near.",
)
def relative_residual(
    progress: Progress,
    *,
    tolerance: Annotated[float, Log(1e-16, 1, help="‖r‖ / ‖y‖ at which to stop")] = 1e-6,
) -> Code:
    """Stop where ``‖r‖ ≤ tolerance · ‖y‖``."""
    return _where(progress.residual <= tolerance * progress.data_norm, Reason.RESIDUAL)


@stop(
    "Discrepancy principle",
    papers=["Morozov 1966: On the solution of functional equations by the method of regularization"],
    requires=("residual",),
    offered=("noise_norm",),
    works="Noise of known size, and solvers that would fit it if they ran on.",
    fails="A noise norm that is too large ends it early; with one too small, or a wrong operator, it may never end.",
)
def discrepancy(progress: Progress, *, tau: Annotated[float, Log(0.1, 10, help="safety factor τ")] = 1.02) -> Code:
    """Stop where ``‖r‖ ≤ τ · E‖n‖``."""
    return _where(progress.residual <= tau * progress.noise_norm, Reason.DISCREPANCY)


@stop(
    "Stagnation",
    requires=("residual",),
    works="Noise of unknown size, to end a run that gains nothing more.",
    fails="Slow solvers and plateaus, at which it ends too early; a residual that jumps counts as stagnation too.",
)
def stagnation(
    progress: Progress,
    *,
    tolerance: Annotated[float, Linear(0, 1, help="smallest relative decrease of the residual")] = 1e-4,
    window: Annotated[int, Log(1, WINDOW, unit="steps", help="over so many steps")] = 10,
) -> Code:
    """Stop where the residual fell by less than `tolerance` over `window` steps."""
    if len(progress.past) <= window:
        return 0
    return _where(progress.residual >= (1 - tolerance) * progress.past[-1 - window], Reason.STAGNATION)


@stop(
    "Either of two",
    name="or",
    works="A rule that may never hold, with a budget beside it as a limit.",
    fails="The hastier rule decides: one that holds too early ends the run whatever the other says.",
)
def either(
    progress: Progress,
    *,
    first: Annotated[Any, Part("stop", help="a stop rule")] = "budget",
    second: Annotated[Any, Part("stop", help="another stop rule")] = "relative_residual",
) -> Code:
    """Stop where the first or the second does, with the reason of the first that holds."""
    one, two = first(progress), second(progress)
    return torch.where(one > 0, one, two) if isinstance(one, Tensor) else one or two


@stop(
    "Both of two",
    name="and",
    works="A rule that holds too early, beside a budget as the least number of steps.",
    fails="Where one rule never holds, the run goes on to 100,000 steps; both must hold after the same step.",
)
def both(
    progress: Progress,
    *,
    first: Annotated[Any, Part("stop", help="a stop rule")] = "budget",
    second: Annotated[Any, Part("stop", help="another stop rule")] = "relative_residual",
) -> Code:
    """Stop where the first and the second do, with the reason of the second."""
    one, two = first(progress), second(progress)
    return torch.where(one > 0, two, 0) if isinstance(one, Tensor) else two if one else 0


def compile_stop(
    choice: Mapping[str, Any], reports: Sequence[str] | None = None, offers: Mapping[str, Any] | None = None
) -> Callable[[Progress], Code]:
    """Return the stop rule of a checked choice as one function of the progress.

    Parameters
    ----------
    choice : mapping
        ``{"name", "params"}`` with defaults filled in.
    reports : sequence of str, optional
        What the solver reports; a rule that requires more is refused.
    offers : mapping, optional
        What the problem offers; likewise.
    """
    component, params = stops[choice["name"]], dict(choice["params"])
    for name in component.traits.get("requires", ()):
        if reports is not None and name not in reports:
            raise SpecError(
                f"{component.title} needs the {name}, which this solver does not report: use a budget", "stop"
            )
    for name in component.traits.get("offered", ()):
        if offers is not None and offers.get(name) is None:
            raise SpecError(
                f"{component.title} needs the {NAMES[name]}, which is not known for this problem: use a budget", "stop"
            )
    for name, knob in component.knobs.items():
        if knob.type == "part":
            params[name] = compile_stop(params[name], reports, offers)
    return lambda progress: component.function(progress, **params)


def largest_step(choice: Mapping[str, Any]) -> int:
    """Return the number of steps after which a choice certainly ends a run, at most :data:`CAP`."""
    params = choice["params"]
    if choice["name"] == "budget":
        return int(params["steps"])
    if choice["name"] == "or":
        return min(largest_step(params["first"]), largest_step(params["second"]))
    return CAP


def used(choice: Mapping[str, Any], progress: Progress) -> float:
    """Return the part of its budgets, 0 to 1, that a run has used up."""
    params = choice["params"]
    if choice["name"] == "or":
        return max(used(params["first"], progress), used(params["second"], progress))
    if choice["name"] != "budget":
        return 0.0
    spent = {"steps": progress.step, "cost": progress.cost, "seconds": progress.seconds}
    return min(1.0, max(spent[name] / params[name] for name in spent if params[name]))
