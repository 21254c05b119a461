"""What went wrong in a run, or may mislead: one sentence each, from the run itself, and where it is to be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from explorer.analyses.krylov import KRYLOV, ritz_values
from explorer.analyses.spectrum import LEVEL, picard
from explorer.catalogue import SpecError, solvers
from explorer.engine.reasons import Reason
from explorer.engine.run import Run
from explorer.figures.curves import column, first
from explorer.figures.note import Note
from explorer.figures.panels import viewable

#: steps whose Ritz values are looked at; more take longer than a picture
_MOST_RITZ = 300
#: unknowns up to which singular vectors are computed, or are known by structure, only to look at them
_MOST_SINGULAR, _MOST_KNOWN = 256, 2**14
#: a slope below this part of the largest value is flat; a picture with more flat places than this is a staircase
_FLAT, _STAIRS = 1e-3, 0.5


def diagnoses(run: Run) -> list[Note]:
    """Return what to beware of in a run; of the first sample.

    Parameters
    ----------
    run : Run
    """
    if run.x is None:
        return []
    made = (_never_reached(run), _diverges(run), _staircase(run), _copies(run), _picard(run), _crime(run))
    return [note for note in made if note is not None]


def _column(run: Run, name: str) -> np.ndarray:
    steps = np.arange(len(run.history.get("seconds", ())))
    return column(run.history, name, steps) if name in run.history else np.empty(0)


def _parts(choice: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a component and those within it."""
    yield choice
    for value in choice["params"].values():
        if isinstance(value, Mapping) and "name" in value:
            yield from _parts(value)


def _never_reached(run: Run) -> Note | None:
    """The discrepancy principle waited in vain."""
    asked = [part for choice in (run.spec.rule, run.spec.stop) for part in _parts(choice.as_dict())]
    wanted = next((part["params"] for part in asked if part["name"] == "discrepancy"), None)
    residual, noise = _column(run, "residual"), run.problem.offers.get("noise_norm")
    if wanted is None or noise is None or len(residual) < 2 or Reason(first(run.reason)) is Reason.CANCELLED:
        return None
    ratio = residual / max(float(noise.reshape(-1)[0]), np.finfo(float).tiny)
    if not ratio.min() > wanted["tau"]:
        return None
    later = ratio[len(ratio) // 2]
    penalty = run.spec.prior.name != "none" or any(run.spec.solver.params.get(k) for k in ("damping", "regularization"))
    held = "the penalty weighs too much, " if penalty else ""
    why = (
        "it still falls: give it more steps."
        if ratio[-1] < 0.97 * later
        else f"it falls no further: {held}the noise level is under-stated, or the model is not the one that made the "
        "data."
    )
    said = f"After {len(ratio):,} steps ‖Ax − y‖ is {ratio[-1]:.3g} × the expected noise norm, and {why}"
    return Note("warn", "The discrepancy principle was never reached", said, "Convergence")


def _diverges(run: Run) -> Note | None:
    """A method of fixed steps whose residual grows and grows."""
    knobs = solvers[run.spec.solver.name].knobs
    name = next((knob for knob in ("step_size", "relaxation") if knob in knobs), None)
    residual = _column(run, "residual")
    if name is None or len(residual) < 6:
        return None
    with np.errstate(all="ignore"):
        growth = residual[1:] / residual[:-1]
    late = growth[np.isfinite(growth)][-5:]
    if len(late) < 5 or not (late > 1.001).all() or not residual[np.isfinite(residual)].max() > 2 * residual[0]:
        return None
    said = (
        f"The residual grows {np.median(late):.3g}-fold a step. A gradient step converges below 2 / L, L = ‖A‖²: "
        f"lower the {name.replace('_', ' ')}, or check the operator's norm and adjoint."
    )
    return Note("warn", "Step size above 2 / L", said, "Convergence")


def _staircase(run: Run) -> Note | None:
    """Total variation made steps of what has none, as far as can be told."""
    if not any("tv" in part["name"].split("_") for part in _parts(run.spec.prior.as_dict())):
        return None
    stairs = _flatness(viewable(run.x, len(run.problem.domain.shape)))
    truth = run.problem.x_true
    known = None if truth is None else _flatness(viewable(truth, len(run.problem.domain.shape)))
    if stairs < _STAIRS or (known is not None and known > 0.6 * stairs):
        return None
    than = "" if known is None else f", {100 * known:.0f} % of the truth"
    said = f"{100 * stairs:.0f} % of the reconstruction is flat{than}: TGV or a smooth prior keeps slopes."
    return Note("warn", "TV staircasing likely", said, "Profile")


def _flatness(array: Any) -> float:
    """Return the share of neighbours that are alike."""
    if array is None:
        return 0.0
    scale = float(np.ptp(array)) or 1.0
    flat = [np.abs(np.diff(array, axis=axis)).ravel() < _FLAT * scale for axis in range(array.ndim)]
    return float(np.concatenate(flat).mean())


def _copies(run: Run) -> Note | None:
    """Ritz values that a Krylov method has found twice: its vectors are no longer orthogonal."""
    steps = len(run.history.get("seconds", ()))
    if not KRYLOV.admits(run.spec.solver.name) or not 3 <= steps or not {"alpha", "beta"} <= run.history.keys():
        return None
    try:
        found = ritz_values(run.history, run.spec.solver.name, step=min(steps, _MOST_RITZ))
    except SpecError:
        return None
    values = np.reshape(found.values, (-1, found.step))[0]
    apart = -np.diff(values)
    large = np.abs(values) > 1e-3 * np.abs(values).max()  # small ones may be alike without being copies
    copies = int(((apart < 100 * run.problem.domain.eps * np.abs(values).max()) & large[:-1] & large[1:]).sum())
    if copies < 2:
        return None
    said = (
        f"{copies} of the {found.step} Ritz values are copies of others: rounding has cost the Krylov vectors their "
        "orthogonality. Each copy is a step in which the residual stagnates."
    )
    return Note("plain", "Orthogonality is lost", said, "Spectrum")


def _picard(run: Run) -> Note | None:
    """The singular direction from which on the data are noise, where it costs little to know."""
    A, y = run.problem.offers.get("A"), run.problem.y
    if A is None or y is None or A.domain.size > (_MOST_KNOWN if A.has_svd else _MOST_SINGULAR):
        return None
    try:
        found = picard(A, y, run.problem.offers.get("noise_norm"))
    except SpecError:
        return None
    fails, count = int(first(found.fails)), len(found.values)
    if fails >= count or found.values[fails:].min() > LEVEL * found.values[0]:  # noise, but nothing amplifies it
        return None
    said = (
        f"From there on {count - fails:,} of {count:,} coefficients of the data are noise, and dividing them by σ "
        "makes them larger and larger: what is beyond must come from elsewhere."
    )
    return Note("plain", f"The Picard condition fails at index {fails + 1}", said, "Spectrum")


def _crime(run: Run) -> Note | None:
    """The data were made by the very operator that inverts them."""
    offers, spec = run.problem.offers, run.spec
    if spec.simulator is not None or spec.finer > 1 or run.problem.x_true is None or not {"A", "y"} <= offers.keys():
        return None
    said = (
        "The operator that inverts the data also made them, which flatters every method: "
        "choose another in “Data from”, or a finer data grid."
    )
    return Note("plain", "Inverse crime", said)
