"""The tabs about the spectrum: what the operator does, and what the method has done to it at the iterate shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from explorer.analyses.filters import FilterFactors, filter_report
from explorer.analyses.polynomial import Course
from explorer.catalogue import SpecError, analyses
from explorer.engine.problem import Problem
from explorer.engine.spec import RunSpec
from explorer.figures.curves import first, thinned
from explorer.figures.polynomials import polynomial
from explorer.figures.spectra import filters, spectrum
from explorer.figures.words import Note, filtered, polynomial_notes
from explorer.widgets.background import Latest
from explorer.widgets.choices import sentence

TABS = ("Spectrum", "Filter", "Polynomial")
#: singular values at which filter factors and polynomials are drawn
_POINTS, _DOTS = 800, 400
#: columns of a Krylov method's history from which its polynomial follows
_SCALARS = ("alpha", "beta", "gradient", "residual")


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
        if tab != "Spectrum" and history is None:
            self._say("No run yet", "Press Run: this is what a method does to the spectrum, step by step.")
        elif tab == "Polynomial":
            self._draw_polynomial(spec, history or {}, step, dark, going)
        elif (report := self._sought("spectrum", "singular values", self._spectrum)) is not None:
            passed, said = self._filter(report, spec, history, step)
            if tab == "Filter":
                self._draw_filter(report, passed, said, dark)
            else:
                ritz = None if passed is None else passed.ritz
                notes = [Note("plain", "What the spectrum says", report.sentence)]
                self._show(lambda: spectrum(report, dark, ritz, step), notes)

    # --- what a run does ---

    def _filter(
        self, report: Any, spec: RunSpec, history: Mapping[str, Any] | None, step: int
    ) -> tuple[FilterFactors | None, str]:
        """Return the filter factors at a step, or the sentence why there are none."""
        if history is None:
            return None, ""
        at = thinned(len(report.values), _POINTS)
        try:
            return filter_report(report.values[at], history, spec.solver.name, spec.solver.params, step), ""
        except SpecError as error:
            return None, sentence(error.message)

    def _draw_filter(self, report: Any, passed: FilterFactors | None, refusal: str, dark: bool) -> None:
        """Show what the method lets through."""
        if passed is None:
            self._show(lambda: spectrum(report, dark), [Note("plain", "No filter here", refusal)])
            return
        fails = int(first(getattr(report, "fails", len(report.values))))
        lost = float(report.values[fails]) if fails < len(report.values) else None
        self._show(lambda: filters(passed, dark, lost), filtered(passed, lost))

    def _draw_polynomial(self, spec: RunSpec, history: Mapping[str, Any], step: int, dark: bool, going: bool) -> None:
        """Show the polynomial of a Krylov method; its bound from the spectrum follows when the run rests."""
        settings = {"solver": spec.solver.name, "settings": spec.solver.params}
        course = self._sought(f"course {spec.solver}", "eigenvalues", lambda p: _course(p, settings))
        if course is None:
            return
        one = {name: _first_sample(history[name]) for name in _SCALARS if name in history}
        at = thinned(len(course.eigenvalues), _DOTS)
        try:
            report = course.at(one, step, only=at, least=False)
        except SpecError as error:
            self._say("No polynomial here", sentence(error.message))
            return
        self._show(lambda: polynomial(report, dark), polynomial_notes(report))
        if not going and course.whole and np.isnan(report.minimax[-1]):

            def work() -> None:
                course.at(one, step, only=at)
                with self._lock:
                    self._again()

            self._later(work)

    # --- what takes long ---

    def _sought(self, name: str, what: str, find: Callable[[Problem], Any]) -> Any:
        """Return what was found, or None: then it is on its way, or cannot be, and the notes say so."""
        problem, found = self._problem, self._found.get(name)
        if problem is None or isinstance(found, str):
            self._say("Not here", found or "There is no operator.")
            return None
        if found is not None:
            return found

        def work() -> None:
            if name in self._found:
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

        self._say("Computing", f"The {what} are on their way.")
        self._later(work)
        return None

    def _spectrum(self, problem: Problem) -> Any:
        return analyses["picard" if problem.y is not None else "singular_values"].bind(problem.offers, {})()

    def _say(self, title: str, said: str) -> None:
        self._show(None, [Note("plain", title, said)])


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
    pairs = [(p.offers.get(n) for p in (problem, other)) for n in ("y", "noise_norm", "x0")]
    return problem is other or all(
        a is b or (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and torch.equal(a, b)) for a, b in pairs
    )
