"""The tabs about the spectrum: what the operator does, and what the method has done to it at the iterate shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from explorer.analyses.filters import filter_report, filtered_values
from explorer.analyses.krylov import ritz_values
from explorer.analyses.polynomial import PLAIN_KRYLOV, Course
from explorer.analyses.spectrum import within_reach
from explorer.catalogue import SpecError, analyses
from explorer.engine.problem import Problem
from explorer.engine.spec import RunSpec
from explorer.figures.curves import first, thinned
from explorer.figures.polynomials import polynomial
from explorer.figures.spectra import filters, spectrum
from explorer.figures.words import Note, counted, filtered, polynomial_notes
from explorer.widgets.background import Latest
from explorer.widgets.choices import sentence

TABS = ("Spectrum", "Filter", "Polynomial")
#: singular values at which filter factors and polynomials are drawn
_POINTS, _DOTS = 800, 400
#: steps up to which everything follows at once, so that it can be drawn live
LONG = 300
#: share of a run's time that live drawing may take
SHARE = 0.2
#: columns of a Krylov method's history from which its polynomial follows
_SCALARS = ("alpha", "beta", "gradient", "residual")
#: what the spectrum, the data in its basis, and a method's course over it depend on, besides the operator
_DATA = ("y", "noise_norm", "x0")


class Spectral:
    """Shows the tabs about the spectrum; what takes long is computed when somebody looks, in the background, and once.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    show : callable
        Called with what makes a figure, or None where there is none, and with notes.
    again : callable
        Called when what was computed can be drawn.
    """

    def __init__(
        self,
        lock: threading.RLock,
        show: Callable[[Callable[[], Any] | None, list[Note]], None],
        again: Callable[[], None],
    ) -> None:
        self._lock, self._show, self._again = lock, show, again
        self._later = Latest("explorer-spectrum")
        self.wait = self._later.wait
        self._problem: Problem | None = None
        self._rests_until = 0.0
        self._found: dict[str, Any] = {}  # what was computed, or the sentence why it cannot be

    @property
    def report(self) -> Any:
        """Picard's plot or the singular values, or None where nobody has looked or there are none."""
        found = self._found.get("spectrum")
        return None if isinstance(found, str) else found

    def look_at(self, problem: Problem) -> None:
        """Take another problem; what was found is kept where its operator and its data are those of the last one."""
        if not alike(problem, self._problem):
            self._found = {}
        self._problem = problem

    def draw(
        self, tab: str, spec: RunSpec, history: Mapping[str, Any] | None, step: int, dark: bool, going: bool = False
    ) -> None:
        """Show a tab.

        Parameters
        ----------
        tab : str
            One of `TABS`.
        spec : RunSpec
            Of the run.
        history : mapping or None
            Of the run; None where there is none for this problem.
        step : int
            Of the iterate that is looked at.
        dark : bool
            Whether the page is dark.
        going : bool
            Whether the run is under way, and time is short.
        """
        begun = time.monotonic()
        if going and (step > LONG or begun < self._rests_until):
            return
        if tab != "Spectrum" and history is None:
            self._say("No run yet", "Press Run: this is what a method does to the spectrum, step by step.")
        elif tab == "Polynomial":
            self._draw_polynomial(spec, history or {}, step, dark, going)
        elif (report := self._sought("spectrum", "spectrum", _spectrum)) is not None:
            if tab == "Filter":
                self._draw_filter(report, spec, history or {}, step, dark)
            else:
                ritz = _ritz(spec, history, step)
                exact = f" All {len(report.values):,} singular values are known to rounding."
                said = report.sentence + (exact if report.error is None else "")
                notes = [Note("plain", "What the spectrum says", said)]
                density = self._found.get("density")
                if report.error is not None and not going:
                    if density is None:
                        self._begin("density", _density)
                    notes += counted(density)
                self._show(lambda: spectrum(report, dark, ritz, step, density), notes)
        if going:
            self._rests_until = time.monotonic() + (time.monotonic() - begun) / SHARE

    # --- what a run does ---

    def _draw_filter(self, report: Any, spec: RunSpec, history: Mapping[str, Any], step: int, dark: bool) -> None:
        """Show what the method lets through."""
        name, settings = spec.solver.name, spec.solver.params
        seen = self._sought(f"filtered {spec.solver}", "filter", lambda p: filtered_values(p.A, name, settings))
        if seen is None:
            return
        values, weighted = seen.values[thinned(len(seen.values), _POINTS)], seen.weights is not None
        passed = self._of_steps(
            "filter", spec, step, lambda: filter_report(values, history, name, settings, step, weighted)
        )
        if passed is not None:
            fails = int(first(getattr(report, "fails", len(report.values))))
            lost = None if weighted or fails >= len(report.values) else float(report.values[fails])
            said = [Note("plain", "Whose singular values", f"Those of {seen.of} of the method.")] if weighted else []
            self._show(lambda: filters(passed, dark, lost), [*filtered(passed, lost), *said])

    def _draw_polynomial(self, spec: RunSpec, history: Mapping[str, Any], step: int, dark: bool, going: bool) -> None:
        """Show the polynomial of a Krylov method; its bound from the spectrum follows when the run rests."""
        settings = {"solver": spec.solver.name, "settings": spec.solver.params}
        course = self._sought(f"course {spec.solver}", "polynomial", lambda problem: _course(problem, settings))
        if course is None:
            return
        one = {name: _first_sample(history[name]) for name in _SCALARS if name in history}
        at = thinned(len(course.eigenvalues), _DOTS)
        report = self._of_steps("polynomial", spec, step, lambda: course.at(one, step, only=at, least=False))
        if report is None:
            return
        self._show(lambda: polynomial(report, dark), polynomial_notes(report))
        if not going and course.whole and np.isnan(report.minimax[-1]) and step <= LONG:

            def work() -> None:
                course.at(one, step, only=at)
                with self._lock:
                    self._again()

            self._later(work)

    def _of_steps(self, what: str, spec: RunSpec, step: int, find: Callable[[], Any]) -> Any:
        """Return what follows from the steps of a run: at once, or in the background where they are many."""
        if step > LONG:
            return self._sought(f"{what} {step} {spec.to_json(indent=None)}", what, lambda _: find())
        try:
            return find()
        except SpecError as error:
            self._say(f"No {what} here", sentence(error.message))
            return None

    # --- what takes long ---

    def _sought(self, name: str, what: str, find: Callable[[Problem], Any]) -> Any:
        """Return what was found, or None: then it is on its way, or cannot be, and the notes say so."""
        problem, found = self._problem, self._found.get(name)
        if problem is None or isinstance(found, str):
            self._say(f"No {what} here", found or "There is no problem yet.")
            return None
        if found is not None:
            return found

        self._say("Computing", f"The {what} is on its way.{_patience(problem.A)}")
        self._begin(name, find)
        return None

    def _begin(self, name: str, find: Callable[[Problem], Any]) -> None:
        """Find something in the background, and draw again when it is there."""
        problem = self._problem

        def work() -> None:
            if name in self._found or problem is None:
                return
            try:
                made = find(problem)
            except SpecError as error:
                made = sentence(error.message)
            with self._lock:
                if alike(problem, self._problem):
                    kind = name.split()[0]  # of each, the last one
                    self._found = {k: v for k, v in self._found.items() if k.split()[0] != kind} | {name: made}
                    self._again()

        self._later(work)

    def _say(self, title: str, said: str) -> None:
        self._show(None, [Note("plain", title, said)])


def _patience(A: Any) -> str:
    """Say how long the leading singular values of a large operator take."""
    if A is None or within_reach(A):
        return ""
    return " The operator is too large to decompose: it takes as long as some 200 steps of CGLS, the first time."


def _spectrum(problem: Problem) -> Any:
    return analyses["picard" if problem.y is not None else "singular_values"].bind(problem.offers, {})()


def _density(problem: Problem) -> Any:
    """Return the estimated course of all singular values."""
    found = analyses["density_of_states"].bind({"A": problem.A}, {"steps": 40, "probes": 4})()
    if found.of == "A" and found.grid[0] < -0.05 * found.grid[-1]:
        raise SpecError(f"{problem.A.title} has eigenvalues of either sign", "A")
    return found


def _ritz(spec: RunSpec, history: Mapping[str, Any] | None, step: int) -> Any:
    """Return the Ritz values of a run on the operator itself as singular values; None of other runs and long ones."""
    if not history or step > LONG or not PLAIN_KRYLOV.admits(spec.solver.name):
        return None
    one = {name: _first_sample(history[name]) for name in ("alpha", "beta")}
    try:
        found = ritz_values(one, spec.solver.name, step=step)
    except SpecError:
        return None
    return found.values if found.of == "A" else np.sqrt(found.values)


def _course(problem: Problem, settings: Mapping[str, Any]) -> Course:
    """Return the course of a Krylov method over the spectrum, of the first sample; refused where there is none."""
    analyses["solver_polynomial"].bind({**problem.offers, "history": {}, **settings}, {})
    x0 = problem.offers.get("x0")
    with torch.no_grad():
        y = problem.y.reshape(-1, *problem.A.codomain.shape)[0]
        return Course(problem.A, y, x0=None if x0 is None else x0.reshape(-1, *problem.domain.shape)[0], **settings)


def _first_sample(column: Any) -> Any:
    return np.asarray(column).reshape(len(column), -1)[:, 0]


def alike(problem: Problem | None, other: Problem | None) -> bool:
    """Say whether two problems have one operator and the same data and noise, so that their spectra are one."""
    if problem is None or other is None or problem.A is not other.A:
        return problem is other
    return problem is other or all(map(_equal, *([p.offers.get(n) for n in _DATA] for p in (problem, other))))


def _equal(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and torch.equal(a, b))
