"""What a run shows, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from explorer.catalogue import rules, solvers, stops
from explorer.engine.reasons import Reason
from explorer.engine.run import Run
from explorer.engine.swept import RuleComparison
from explorer.figures.comparison import facts
from explorer.figures.curves import column, first
from explorer.figures.diagnoses import diagnoses
from explorer.figures.note import Note

#: errors below so many eps are rounding, and their ups and downs say nothing
ROUNDING = 1000
#: two errors that differ by less than this factor are as good as each other
ALIKE = 1.01


def explain(run: Run) -> list[Note]:
    """Say why a run ended, whether it went past its best iterate, and what to try next; of the first sample.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of Note
        The most important first.
    """
    found = diagnoses(run)
    beware, beside = ([n for n in found if (n.kind == "warn") is wanted] for wanted in (True, False))
    said = (_ending(run), _rule_and_best(run), _noise_level(run), _chains(run))
    made = (_past_best(run), *beware, *said, *beside, *_predict(run))
    return [note for note in made if note is not None]


def _steps(run: Run) -> int:
    return len(run.history.get("seconds", ()))


def _column(run: Run, name: str) -> np.ndarray:
    return column(run.history, name, np.arange(_steps(run))) if name in run.history else np.empty(0)


def _ending(run: Run) -> Note:
    reason = Reason(first(run.reason))
    if run.x is None:
        return Note("warn", "Cancelled before the first step", "There is no iterate to show.")
    step = int(first(run.stopped.step)) if run.stopped is not None else _steps(run)
    title = {
        Reason.SOLVED: "Solved in one go",
        Reason.CANCELLED: f"Cancelled at step {_steps(run)}",
        Reason.BREAKDOWN: f"Broke down at step {step}",
        Reason.FINISHED: f"Finished at step {step}",
        Reason.RULE: f"{rules[run.spec.rule.name].title}: step {step}",
    }.get(reason, f"Stopped at step {step}")
    kind = "warn" if reason in (Reason.CANCELLED, Reason.BREAKDOWN) else "good"
    return Note(kind, title, " ".join(filter(None, (reason.sentence, _in_numbers(run, step), _chosen(run)))))


def _in_numbers(run: Run, step: int) -> str:
    """Compare the residual at the stop with the noise."""
    residual, noise = _column(run, "residual"), run.problem.offers.get("noise_norm")
    if noise is None or not len(residual) or not float(noise.reshape(-1)[0]):
        return ""
    return f"‖Ax − y‖ is {residual[step - 1] / float(noise.reshape(-1)[0]):.3g} × the expected noise norm there."


def _chosen(run: Run) -> str:
    """Name the parameter that a rule chose for a direct method."""
    knob = solvers[run.spec.solver.name].traits.get("tunes", ("",))[0]
    values = _column(run, knob)
    if run.spec.rule.name == "fixed" or not len(values):
        return ""
    return f"{rules[run.spec.rule.name].title} chose {knob.replace('_', ' ')} = {values[-1]:.3g}."


def _past_best(run: Run) -> Note | None:
    """Say that the run went past its best iterate, if the curves show it."""
    error, residual = _column(run, "error"), _column(run, "residual")
    if run.best is None or len(error) < 3:
        return None
    best = int(first(run.best.step))
    if not error[-1] > 1.02 * error[best - 1] or error[best - 1] < ROUNDING * run.problem.domain.eps:
        return None
    rises = f"the error rises since step {best:,}, from {error[best - 1]:.3g} to {error[-1]:.3g}"
    if len(residual) and residual[-1] < residual[best - 1]:
        text = f"The residual still falls but {rises}: noise is being fitted."
        return Note("warn", "Past the best iterate", text, "Convergence")
    return Note("warn", "Past the best iterate", f"Here {rises}.", "Convergence")


def _rule_and_best(run: Run) -> Note | None:
    """Compare what the rule picked with the best."""
    error = _column(run, "error")
    if run.stopped is None or run.best is None or len(error) < 2 or Reason(first(run.reason)) is Reason.CANCELLED:
        return None
    stop, best = int(first(run.stopped.step)), int(first(run.best.step))
    if stop == best:
        return Note("good", "Stopped at the best iterate", f"The error there is {error[best - 1]:.3g}.")
    if error[stop - 1] <= ALIKE * error[best - 1]:
        text = f"The error is {error[stop - 1]:.3g}; step {best:,} is better by less than one percent."
        return Note("good", "As good as the best iterate", text)
    apart, when = abs(best - stop), "before" if stop < best else "after"
    return Note(
        "plain",
        f"{apart:,} {'step' if apart == 1 else 'steps'} {when} the best",
        f"The error is {error[stop - 1]:.3g} at the stop and {error[best - 1]:.3g} at best, in step {best:,}; "
        "without the truth nobody would know the best.",
    )


def _noise_level(run: Run) -> Note | None:
    """Say that what a rule, a stop rule or the solver took for the noise level comes from the data themselves."""
    offers, spec = run.problem.offers, run.spec
    needs = {need.name for part in (rules[spec.rule.name], solvers[spec.solver.name]) for need in part.needs}
    if not offers.get("noise_estimated") or not ("noise_norm" in needs or _stops_at_noise(spec.stop.as_dict())):
        return None
    level = float(offers["noise_norm"].reshape(-1)[0]) / float(offers["data_norm"].reshape(-1)[0])
    text = (
        f"Nobody knows the noise of these data. Its norm, {level:.2g} of theirs, is estimated from how rough they are, "
        "which holds where neighbouring data are alike, as in a picture."
    )
    return Note("plain", "Noise level from the data", text)


def _stops_at_noise(choice: Mapping[str, Any]) -> bool:
    """Say whether a stop rule, or a part of it, compares with the noise."""
    parts = [value for value in choice["params"].values() if isinstance(value, Mapping)]
    return "noise_norm" in stops[choice["name"]].traits.get("offered", ()) or any(map(_stops_at_noise, parts))


def _chains(run: Run) -> Note | None:
    if run.r_hat is None:
        return None
    worst = float(run.r_hat.max())
    text = "the chains agree." if worst < 1.05 else "the chains have not yet forgotten where they began: draw more."
    return Note("good" if worst < 1.05 else "warn", f"R-hat up to {worst:.3g}", f"At {worst:.3g}, {text}")


def _predict(run: Run) -> list[Note]:
    """Ask for a prediction before the next run."""
    if run.best is not None and _steps(run) > 2 and "level" in run.spec.noise.params:
        text = "Halve the noise level: does the best step move left or right? Then press Run."
    elif "regularization" in run.spec.solver.params:
        text = "Raise the regularization tenfold: does the error rise or fall? Then press Run."
    else:
        return []
    return [Note("plain", "Predict first", text)]


def filtered(report: Any, lost_below: float | None) -> list[Note]:
    """Say what the filter factors of a method mean; of the first sample.

    Parameters
    ----------
    report : FilterFactors
    lost_below : float or None
        Singular value below which noise outweighs signal.
    """
    factors = report.factors.reshape(-1, len(report.values))[0]
    passing = report.values[factors > 0.5]
    edge = f"down to σ = {passing.min():.2g}" if passing.size else "at none of the singular values"
    notes = [Note("plain", f"After step {report.step}", f"The method lets more than half through {edge}.")]
    if lost_below is not None and passing.size:
        if passing.min() < lost_below:
            text = f"Beyond σ = {lost_below:.2g} the data are mostly noise, and the filter lets some of it in."
            notes.append(Note("warn", "Noise passes", text))
        else:
            text = f"The data are more signal than noise down to σ = {lost_below:.2g}; the filter stops before."
            notes.append(Note("good", "Little noise passes", text))
    if report.ritz is not None:
        text = (
            "Conjugate gradients make a polynomial of the singular values that is zero at the Ritz values: there the "
            "filter factor is exactly 1. Each step adds one Ritz value; large singular values are found first."
        )
        notes.append(Note("plain", "Why", text))
    notes.append(Note("plain", "Predict first", "Move the iterate: which way does the edge of the filter go?"))
    return notes


def counted(density: Any) -> list[Note]:
    """Say how many singular values a large operator has above a tenth of the largest, by an estimate.

    Parameters
    ----------
    density : Density or None
        Of AᴴA or of a self-adjoint A; None while it is on its way, a sentence where there is none.
    """
    if density is None:
        return [Note("plain", "All of them", "How many there are of each size is being estimated from random probes.")]
    if isinstance(density, str):
        return []
    tenth = np.abs(density.grid).max() / (10 if density.of == "A" else 100)
    at = int(np.argmin(np.abs(density.grid - tenth)))
    text = (
        f"About {density.above[at]:,.0f} of {density.size:,} are above a tenth of the largest (standard error "
        f"{density.above_error[at]:,.2g}), by random probes: the dotted course."
    )
    return [Note("plain", "All of them", text)]


def polynomial_notes(report: Any) -> list[Note]:
    """Say what the polynomial of a Krylov method means; of the first sample.

    Parameters
    ----------
    report : SolverPolynomial
    """
    notes = [Note("plain", f"After step {report.step}", report.sentence)]
    ritz = report.ritz.reshape(-1, report.ritz.shape[-1])[0]
    copies = int((-np.diff(ritz) < 1e-7 * ritz[:-1]).sum())
    if copies:
        text = (
            f"{copies:,} Ritz {'value is a copy' if copies == 1 else 'values are copies'} of others: rounding has cost "
            "the Lanczos vectors their orthogonality once a value had converged. Each copy is a step lost; "
            "orthogonalising against all earlier vectors would save it, at their cost."
        )
        notes.append(Note("warn", "Found twice", text))
    text = (
        "The error along every eigenvector has been multiplied by p(λ), a polynomial with p(0) = 1 that is zero at the "
        "Ritz values. Where it is still near 1, close to zero, nothing has happened: neither signal nor noise came in."
    )
    notes.append(Note("plain", "Why", text))
    text = "Move the iterate: where will the next Ritz value appear, and what does it do to the small eigenvalues?"
    notes.append(Note("plain", "Predict first", text))
    return notes


def compared(runs: Mapping[str, Run]) -> list[Note]:
    """Say which of several runs did best, and which with the fewest products; of the first sample of each."""
    told = {name: facts(run) for name, run in runs.items()}
    known = {name: row for name, row in told.items() if np.isfinite(row.get("relative_error", np.nan))}
    if len(known) < 2:
        return [Note("plain", "Predict first", "Which change will lower the error: another method, or a prior?")]
    drawn = Note("plain", "What is drawn", "A curve for each run; a circle marks its best iterate.")
    problems = {(run.spec.problem, run.spec.operator, run.spec.noise, run.spec.seed) for run in runs.values()}
    if len(problems) > 1:
        return [Note("warn", "Not the same problem", "Errors of runs on different data do not rank methods."), drawn]
    nearest = min(known, key=lambda name: known[name]["relative_error"])
    cheapest = min(known, key=lambda name: known[name]["products"])
    others = [row["relative_error"] for name, row in known.items() if name != nearest]
    notes = [
        Note(
            "good",
            f"Run {nearest} is nearest to the truth",
            f"Its error is {known[nearest]['relative_error']:.3g}; the next has {min(others):.3g}.",
        )
    ]
    few, many = known[cheapest]["products"], known[nearest]["products"]
    if few < many:
        notes.append(Note("plain", f"Run {cheapest} is cheapest", f"It took {few:,} products, run {nearest} {many:,}."))
    return [*notes, drawn]


#: rules that do not apply of which the reasons are told
_FEW = 3


def chosen(found: RuleComparison) -> list[Note]:
    """Say what parameter rules chose, of the first sample."""
    rows = {name: (float(np.reshape(found.value(name), -1)[0])) for name in found.chosen}
    knob = found.parameter.replace("_", " ")
    notes = []
    if "error" in found.curves:
        errors = {name: float(np.reshape(found.error(name), -1)[0]) for name in found.chosen}
        least = float(np.reshape(found.least_error, -1)[0])
        known = {name: e for name, e in errors.items() if name != "oracle" and np.isfinite(e)}
        if known:
            best, worst = min(known, key=lambda name: known[name]), max(known, key=lambda name: known[name])
            notes.append(
                Note(
                    "good",
                    f"{rules[best].title} comes nearest",
                    f"It chooses {found.at(rows[best])}: the error is {known[best]:.3g}, the least {least:.3g}.",
                )
            )
            if known[worst] > 1.2 * least:
                text = f"It chooses {found.at(rows[worst])}: the error is {known[worst] / least:.2g} times the least."
                notes.append(Note("warn", f"{rules[worst].title} is farthest", text))
    lost = [rules[name].title for name, value in rows.items() if not np.isfinite(value)]
    if lost:
        notes.append(Note("warn", "Found nothing", f"{', '.join(lost)}: no candidate satisfies the rule."))
    if found.refused:
        titles = ", ".join(rules[name].title for name in found.refused) + "."
        few = " ".join(f"{why.rstrip('.')}." for why in found.refused.values())
        notes.append(Note("plain", "Do not apply here", few if len(found.refused) <= _FEW else titles))
    solver = solvers[found.spec.solver.name].title
    what = "steps" if found.along == "steps" else f"values of the {knob}"
    drawn = f"{solver} at {len(found.values)} {what}, and what each rule picks."
    notes.append(Note("plain", "What is drawn", drawn))
    return notes
