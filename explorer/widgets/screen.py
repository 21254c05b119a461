"""What is seen of a problem and of its run: pictures, iterates, and the tabs that explain them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets

from explorer.catalogue import SpecError
from explorer.engine.driver import Snapshot
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec
from explorer.engine.swept import RuleComparison
from explorer.figures import panels
from explorer.figures.curves import convergence, first, marks, measures, noise_level
from explorer.figures.fit import misfit, misfit_figure
from explorer.figures.histogram import distribution
from explorer.figures.lines import profile
from explorer.figures.panels import Panel, after
from explorer.figures.words import Note, compared, explain
from explorer.widgets.advice import AdvicePanel
from explorer.widgets.background import Latest
from explorer.widgets.canvas import Picture
from explorer.widgets.chart import Chart
from explorer.widgets.choices import sentence
from explorer.widgets.compare import Compare
from explorer.widgets.drawing import ExperimentPanel
from explorer.widgets.looking import PointPanel
from explorer.widgets.moving import Handles
from explorer.widgets.panels import Code, Controls, Tabs, about_html, code_pieces, notes_html, text
from explorer.widgets.parameter import ParameterPanel
from explorer.widgets.share import Share
from explorer.widgets.spectral import TABS as SPECTRAL
from explorer.widgets.spectral import Spectral, alike
from explorer.widgets.viewing import COUNTED, Viewing, counted

TABS = (
    "Convergence", *SPECTRAL, "Parameter", "Misfit", "Profile", "Values", "Point", "Experiment", "Compare", "Code",
    "About",
)  # fmt: skip
#: seconds from one growth of the curves to the next: drawing them takes a page as long as several pictures
GROW = 0.3
_LEFT = Note("plain", "How to read it", "Noise alone has no shape: what is still to be seen in the residual is signal.")
#: what a click on a picture shows, where it is not the values along a row
_CLICKS = {"Reconstruction": "its point response", "Data": "how it was measured"}


class Screen:
    """Shows what it is given, and answers the scrubber and the tabs by itself; it starts no run.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    spec : RunSpec
        What the controls say.
    back : callable
        Called with a kept run that the person wants to see again.

    Attributes
    ----------
    parts : tuple of Widget
        Pictures, scrubber, tabs and their panels, from top to bottom.
    problem : Problem or None
        What the truth and the data are of.
    shown : RunSpec or None
        What the reconstruction, the error and the curves are of.
    run : Run or None
        The finished run on the screen.
    cancelled : bool
        Whether a person ended it.
    """

    def __init__(self, lock: threading.RLock, spec: RunSpec, back: Callable[[Run], None]) -> None:
        self._lock, self._spec = lock, spec
        self.problem: Problem | None = None
        self.shown: RunSpec | None = None
        self.run: Run | None = None
        self.cancelled = False
        self._dark, self._width, self._step = False, 640, 0
        self._told: tuple[Run, list[Note]] | None = None  # the notes of a run
        self._charting = Latest("explorer-chart")
        self.spectral = Spectral(lock, self._put, self._draw_spectral)
        self.pictures = {name: Picture(title=name) for name in ("Truth", "Data", "Reconstruction", "Error")}
        self.pictures["Reconstruction"].paced = True  # the others of a frame are painted with it
        self.handles = Handles(lock, self.pictures["Truth"])
        self._panels: dict[str, Panel] = {}  # what the pictures show
        self._height, self._grown = 0.5, 0.0  # where the row of the profile is, and when curves grew last
        for name, picture in self.pictures.items():
            picture.on_msg(self._point)
            picture.click = _CLICKS.get(name, "the values along a row")
        self.pointing, self.experiment = PointPanel(lock), ExperimentPanel(lock)
        self.viewing = Viewing(lock, self._show_again)
        self.scrubber = Controls()
        self.scrubber.on_msg(self.scrub)
        self.parameter = ParameterPanel(lock, self._put, self._walked)
        self.walk = self.parameter.walk
        self.tabs = Tabs(titles=list(TABS))
        self.tabs.observe(lambda _: self._select(), "selected")
        self._chart: Chart | None = None  # heavy to make, so only for a page, and beside its first run
        self.notes = text("", "ex-notes")
        self.code, self.about = Code(), ipywidgets.HTMLMath()
        self.share = Share()
        self._code_panel = ipywidgets.VBox([self.share, self.code])
        self.advice = AdvicePanel(lock)
        self._about_panel = ipywidgets.VBox([self.advice, self.about])
        self.fitted = {name: Picture(title=name, click="") for name in ("Prediction", "Residual")}
        self._fit_panel = row("ex-look", *self.fitted.values())
        self.compare = Compare(lock, self._draw_chart, back)
        self._compare_panel = ipywidgets.VBox([self.compare.table, self.compare.pair])
        self._empty = text("The curves are loading …", "ex-chart")
        self.explained = row("ex-explained", self._empty, self.notes)
        for panel in (
            self.parameter,
            self.pointing,
            self.experiment,
            self._fit_panel,
            self._compare_panel,
            self._code_panel,
            self._about_panel,
        ):
            panel.add_class("ex-hidden")
        self.parts = (
            row("ex-pictures", *self.pictures.values()),
            self.handles.form,
            self.scrubber,
            self.tabs,
            self.viewing.form,
            self.parameter,
            self.explained,
            self.pointing,
            self.experiment,
            self._fit_panel,
            self._compare_panel,
            self._code_panel,
            self._about_panel,
        )

    def open(self) -> None:
        """Make the chart, in the background, for a page that has opened."""
        self._charting(self._make_chart)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is computed for the screen; return whether that came within `timeout` seconds."""
        parts = (
            self._charting, self.parameter, self.spectral, self.share, self.advice, self.pointing, self.experiment,
        )  # fmt: skip
        return all([part.wait(timeout) for part in parts]) and (self._chart is None or self._chart.wait(timeout))

    def fit(self, width: int) -> None:
        """Fill a place of another width in pixels."""
        self._width = max(240, width)
        if self._chart is not None:
            self._chart.fit(self._width)

    def turn(self, dark: bool) -> None:
        """Follow the theme of the page."""
        self._dark = dark
        self._draw_chart()

    @property
    def report(self) -> Any:
        """Picard's plot or the singular values, where somebody has looked at them."""
        return self.spectral.report

    @property
    def swept(self) -> RuleComparison | None:
        """What every rule chose, where a parameter has been swept."""
        return self.parameter.found

    # --- what is shown ---

    def show_spec(self, spec: RunSpec) -> None:
        """Show what the controls say, and mark what belongs to other settings."""
        self._spec = spec
        stale = self.shown is not None and self.shown != spec
        for name in ("Reconstruction", "Error"):
            self.pictures[name].stale = stale and not self.walk.walked
        self.pointing.mark(stale)
        for picture in self.fitted.values():
            picture.stale = stale
        self.handles.show(spec)
        old = stale and self._selected not in ("Compare", "Parameter")  # which are not of the run on the screen
        (self.explained.add_class if old else self.explained.remove_class)("ex-stale")
        self._write()
        if self._selected == "Parameter":
            self.parameter.draw(self._spec, self.problem, self._dark)

    def show_problem(self, problem: Problem) -> None:
        """Show a truth and its data."""
        if problem is not self.problem:
            self.problem = problem
            self.spectral.look_at(problem)
            self.viewing.look_at(problem)
        self._show_pictures(*panels.before(problem, self.viewing.view))
        self.experiment.show(problem)
        self._draw_spectral()

    def unknown_problem(self, unknown: bool) -> None:
        """Say whether the truth and the data belong to settings that cannot be built."""
        for name in ("Truth", "Data"):
            self.pictures[name].stale = unknown

    def show_snapshot(self, spec: RunSpec, problem: Problem, s: Snapshot) -> None:
        """Show an iterate of a run under way."""
        begun = self.shown is not spec
        if begun:
            self.shown = spec
            self.scrubber.groups = []
            if self._selected == "Convergence":
                self.notes.value = notes_html([Note("plain", "Running", "The curves grow as it goes.")])
            self.show_spec(self._spec)
        shown = after(problem, s.x, f"step {s.step}", _system(s.history, s.step), self.viewing.view)
        self._show_pictures(*shown, going=True)
        if not begun and time.monotonic() - self._grown < GROW:
            return
        self._grown = time.monotonic()
        if self._chart is not None and self._selected == "Convergence":
            self._chart.grow(measures(s.history, problem), noise_level(problem), self._dark)
        if self._selected in SPECTRAL:
            self.spectral.draw(self._selected, spec, s.history, s.step, self._dark, going=True)

    def show_run(self, run: Run, cancelled: bool) -> None:
        """Show a finished run at the iterate that its rule or its stop picked."""
        self.run, self.shown, self.cancelled = run, run.spec, cancelled
        self.share.offer(run)
        steps, picked = list(_iterates(run)), marks(run)
        self._step = picked.get("rule", picked.get("stop", max(steps, default=0)))
        self._show_iterate(run)
        facts = " · ".join(f"{name} {step}" for name, step in picked.items())
        rows = [_scrubber_row(steps, self._step, facts)]
        self.scrubber.groups = [] if len(steps) < 2 else [{"title": "", "rows": rows}]
        self.show_spec(self._spec)
        self._draw_chart()

    # --- the iterates that were kept ---

    def scrub(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        """Show another of the iterates that were kept; nothing is solved for it."""
        with self._lock, self.scrubber.hold_sync():
            self.scrubber.seq = int(content.get("seq", 0))
            if self.run is None or not self.scrubber.groups or content.get("id") != "iterate":
                return
            row = self.scrubber.groups[0]["rows"][0]
            try:
                wanted = float(content.get("value"))  # type: ignore[arg-type]
            except (TypeError, ValueError):
                wanted = row["value"]
            self._step = min(row["rests"], key=lambda rest: abs(rest - wanted))
            self.scrubber.groups = [{"title": "", "rows": [{**row, "value": self._step, "text": f"{self._step}"}]}]
            self._show_iterate(self.run)
            self._draw_chart()

    def _walked(self) -> None:
        """Show the solution at the marker of a swept parameter."""
        for name in ("Reconstruction", "Error"):
            self.pictures[name].stale = False
        self._show_pictures(*self.walk.panels())
        self.parameter.draw(self._spec, self.problem, self._dark)

    def _show_iterate(self, run: Run) -> None:
        step = self._step
        self.walk.walked = False
        x = _iterates(run).get(step, run.x)
        name = next((f" ({name})" for name, at in marks(run).items() if at == step), "")
        self.pointing.show(run, step)
        direct = len(run.history.get("seconds", ())) < 2
        label, system = "" if direct else f"step {step}{name}", _system(run.history, step)
        self._show_pictures(*after(run.problem, x, label, system, self.viewing.view))

    def _show_again(self) -> None:
        """Draw the pictures in another way; nothing is solved for it."""
        if self.problem is not None:
            self._show_pictures(*panels.before(self.problem, self.viewing.view))
        if self.run is not None and self.shown == self.run.spec:
            self._show_iterate(self.run)
        if self._selected in ("Values", "Misfit"):
            self._draw_chart()

    def _show_pictures(self, *shown: Panel, going: bool = False) -> None:
        for panel in shown:
            name = panel.title.partition(",")[0]
            self._panels[name] = panel
            self.pictures[name].show(panel, going=going)
        if self._selected in ("Profile", "Values"):
            self._draw_chart()

    def _point(self, picture: Any, content: Mapping[str, Any], _: Any) -> None:
        """Look at what was clicked: of the reconstruction the point's response, else the values along the row."""
        with self._lock:
            if "part" in content:
                self.handles.receive(content)
                return
            try:
                row, column = (min(max(float(f), 0.0), 1.0) for f in content["at"])
            except (KeyError, TypeError, ValueError):
                return
            self._height = row
            if self._selected == "Profile":
                self._draw_chart()
            elif picture is self.pictures["Reconstruction"]:
                self.pointing.choose((row, column))
                self.tabs.selected = TABS.index("Point")
            elif picture is self.pictures["Data"] and self._picked(row, column):
                self.tabs.selected = TABS.index("Experiment")
            else:
                self.tabs.selected = TABS.index("Profile")

    def _picked(self, row: float, column: float) -> bool:
        """Choose the datum that was clicked, where the picture of the data tells which one it is."""
        return self.experiment.pick(row, column, "back-projected" not in self._panels["Data"].note)

    # --- the tabs ---

    @property
    def _selected(self) -> str:
        return TABS[self.tabs.selected]

    def _select(self) -> None:
        """Show the panel of the selected tab."""
        with self._lock:
            instead: Any = {
                "Code": self._code_panel, "About": self._about_panel, "Point": self.pointing,
                "Experiment": self.experiment,
            }.get(self._selected)  # fmt: skip
            shown = [instead] if instead else [self.explained]
            shown += {"Compare": [self._compare_panel], "Misfit": [self._fit_panel]}.get(self._selected, [])
            every = (self.explained, self.pointing, self.experiment)
            for panel in (*every, self._fit_panel, self._compare_panel, self._code_panel, self._about_panel):
                (panel.remove_class if panel in shown else panel.add_class)("ex-hidden")
            self.pointing.look(self._selected == "Point")
            self.experiment.look(self._selected == "Experiment")
            self.viewing.open(self._selected == "Values")
            self.parameter.look(self._selected == "Parameter")
            if self._selected != "Parameter" and self.walk.walked and self.run is not None:
                self._show_iterate(self.run)
            self.show_spec(self._spec)
            self._draw_chart()

    def _write(self) -> None:
        if self._selected == "Code":
            self.code.pieces = code_pieces(self._spec)
            self.share.point_to(self._spec)
        if self._selected == "About":
            self.about.value = about_html(self._spec)
        self.advice.about(self._spec)

    def _draw_chart(self) -> None:
        if self._selected in SPECTRAL:
            self._draw_spectral()
        elif self._selected == "Parameter":
            self.parameter.draw(self._spec, self.problem, self._dark)
        elif self._selected == "Profile":
            if self._chart is not None:
                self._chart.show(profile(self._panels, self._height, self._dark))
            said = "Click a picture to see another row. Signals are drawn whole."
            self.notes.value = notes_html([Note("plain", "Values along a row", said)])
        elif self._selected == "Values":
            arrays = {name: self._panels[name].array for name in COUNTED if name in self._panels}
            known = {name.lower(): array for name, array in arrays.items() if array is not None}
            if known:
                ends = self._panels[next(n for n in COUNTED if arrays.get(n) is not None)]
                draw = partial(distribution, known, "value", self._dark, marked=(ends.low, ends.high), log=True)
                self._put(draw, counted(self._panels))
        elif self._selected == "Misfit":
            self._show_misfit()
        elif self._selected == "Compare":
            if self._chart is not None:
                self._chart.show(self.compare.figure(self._dark))
            self.notes.value = notes_html(compared(self.compare.runs))
        elif self._selected == "Convergence" and self.run is not None and self.shown == self.run.spec:
            if self._chart is not None:
                self._chart.show(convergence(self.run, self._dark, self._step))
            self.notes.value = notes_html(self._explanations(self.run), most=3, here=self._selected)

    def _explanations(self, run: Run) -> list[Note]:
        """Return the notes of a result; one that was cancelled after its stop says that as well."""
        if self._told is None or self._told[0] is not run:
            self._told = run, explain(run)
        notes = list(self._told[1])
        if self.cancelled and Reason(first(run.reason)) is not Reason.CANCELLED:
            steps = len(run.history["seconds"])
            notes.insert(0, Note("warn", f"Cancelled at step {steps:,}", "What was found by then is kept."))
        return notes

    def _draw_spectral(self) -> None:
        """Show the selected tab about the spectrum, at the iterate on the screen where the run is of this problem."""
        if self._selected in SPECTRAL and self.problem is not None:
            run = self.run if self.run is not None and alike(self.run.problem, self.problem) else None
            spec, history = (self._spec, None) if run is None else (run.spec, run.history)
            self.spectral.draw(self._selected, spec, history, self._step, self._dark)

    def _put(self, figure: Callable[[], Any] | None, notes: list[Note]) -> None:
        """Show a figure, where there is a new one and a chart to show it, and notes."""
        if figure is not None and self._chart is not None:
            self._chart.show(figure())
        self.notes.value = notes_html(notes)

    def _show_misfit(self) -> None:
        """Show how well the iterate on the screen explains the data."""
        run = self.run
        if run is None or self.shown != run.spec:
            return
        x = _iterates(run).get(self._step, run.x)
        for panel in panels.fitted(run.problem, x, self.viewing.view):
            self.fitted[panel.title].show(panel)
        try:
            found = misfit(run.problem, x)
        except SpecError as error:
            self.notes.value = notes_html([Note("plain", "No misfit here", sentence(error.message))])
            return
        if self._chart is not None:
            self._chart.show(misfit_figure(found, self._dark))
        self.notes.value = notes_html([Note("plain", "Data against prediction", found.sentence), _LEFT])

    def _make_chart(self) -> None:
        chart = Chart(self._width, instead_of=self._chart)
        with self._lock:
            if self.explained.comm is None:  # closed meanwhile
                chart.widget.close()
                return
            self._chart = chart
            chart.fit(self._width)
            self._draw_chart()
            self.explained.children = (chart.widget, self.notes)


def row(cls: str, *parts: Any) -> ipywidgets.Box:
    """Return a box of widgets with a class of the style sheet."""
    box = ipywidgets.Box(parts)
    box.add_class(cls)
    return box


def _iterates(run: Run) -> dict[int, Any]:
    """Return the iterates that were kept, by step."""
    kept = [*run.snapshots, *(p for p in (run.stopped, run.best) if p is not None)]
    return dict(sorted({int(first(p.step)): p.x for p in kept}.items()))


def _system(history: Mapping[str, Any], step: int) -> int | None:
    """Return the system that a step solved, where there is a sequence of them."""
    return int(history["system"][step - 1]) if "system" in history and step else None


def _scrubber_row(steps: list[int], at: int, facts: str) -> dict[str, Any]:
    last = max(steps, default=0)
    return {
        "id": "iterate", "type": "int", "label": "Iterate", "name": "Iterate shown", "depth": 0, "rests": steps,
        "value": at, "text": f"{at}", "unit": f"of {last} · {facts}" if facts else f"of {last}",
        "optional": False, "play": True, "error": "",
        "help": "Look at another of the iterates that were kept; nothing is solved for it",
    }  # fmt: skip
