"""The Explorer: choose a problem, an operator, noise and a method, run them, and see why the result is what it is."""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets

from explorer.catalogue import SpecError, analyses
from explorer.engine.build import build
from explorer.engine.driver import Snapshot
from explorer.engine.job import Job
from explorer.engine.problem import Problem
from explorer.engine.reasons import Reason
from explorer.engine.run import Run, prepare
from explorer.engine.spec import RunSpec
from explorer.figures import panels
from explorer.figures.curves import convergence, first, marks, measures, noise_level, spectrum
from explorer.figures.panels import Panel, after
from explorer.figures.paper import png, summary
from explorer.figures.words import Note, explain
from explorer.widgets import choices, knobs
from explorer.widgets.background import Latest
from explorer.widgets.canvas import Picture
from explorer.widgets.panels import (
    Chart,
    Code,
    Controls,
    Tabs,
    about_html,
    as_spec,
    code_pieces,
    costs,
    message_html,
    notes_html,
    progress_html,
    text,
)

#: where the widget begins: the discrepancy principle picks an iterate, and the run goes on past it
START: Mapping[str, Any] = {
    "noise": {"name": "gaussian", "params": {"level": 0.05}},
    "rule": "discrepancy",
    "record": {"keep_going": True},
}
#: seconds that a cell waits for the first result, so that its picture is saved with the notebook: while a person
#: looks on, and where nobody does
PATIENCE, PATIENCE_ALONE = 0.5, 60.0
_TITLES = ("Convergence", "Spectrum", "Code", "About")
_FIELD_OF = {kind: field for field, kind in RunSpec.kinds.items()}


class Explorer(ipywidgets.VBox):
    """Inverse problems, live.

    Parameters
    ----------
    spec : RunSpec, str or mapping, optional
        What to begin with: a specification, its JSON text, or plain data.
    **choices
        Fields of a specification, such as ``solver="cgls"``. Other parts are adapted to them where they are not given.

    Attributes
    ----------
    spec : RunSpec
        What the controls say; may be set.
    result : Run or None
        The last run that gave a result.

    Raises
    ------
    SpecError
        If a choice is not allowed, in one sentence that names the field.

    Examples
    --------
    Everything works without a page as well:

    >>> w = Explorer(problem={"name": "blocks", "params": {"size": 64}}, solver="cgls")
    >>> w.run().result().stopped.step == w.result.stopped.step
    True
    """

    _job: Job | None = None  # closing works even if a wrong choice was refused

    def __init__(self, spec: Any = None, **choices: Any) -> None:
        self._lock = threading.RLock()
        self._spec = self._first = _begin(spec, choices)
        self.result: Run | None = None
        self._cancelled = False
        self._problem: Problem | None = None
        self._shown: RunSpec | None = None
        self._typed: dict[str, str] = {}
        self._wrong: dict[str, str] = {}
        self._misfit: SpecError | None = None
        self._report: Any = None
        self._dark = self._opened = False
        self._width = 640
        self._step = 0
        self._looking, self._asking, self._analysing = (Latest(f"explorer-{n}") for n in ("look", "ask", "analyse"))
        self._make_parts()
        super().__init__(self._arranged())
        self.add_class("explorer")
        self._refresh()

    def _make_parts(self) -> None:
        self._controls = Controls()
        self._controls.on_msg(self._receive)
        self._buttons = {name: ipywidgets.Button(description=name) for name in ("▶ Run", "■ Cancel", "↺ Reset")}
        self._run_button, self._cancel_button, self._reset_button = self._buttons.values()
        self._run_button.button_style = "primary"
        self._run_button.tooltip = "Solve with the settings shown"
        self._cancel_button.tooltip = "Stop now and keep what has been found"
        self._reset_button.tooltip = "Go back to the settings this began with"
        self._cancel_button.disabled = True
        self._run_button.on_click(lambda _: self._safely(self.run))
        self._cancel_button.on_click(lambda _: self.cancel())
        self._reset_button.on_click(lambda _: self._safely(self.reset))
        self._progress, self._message = text(progress_html(0, "ready")), text()
        self._pictures = {name: Picture(title=name) for name in ("Truth", "Data", "Reconstruction", "Error")}
        self._scrubber = Controls()
        self._scrubber.on_msg(self._scrub)
        self._tabs = Tabs(titles=list(_TITLES))
        self._tabs.observe(lambda _: self._safely(self._select), "selected")
        self._chart: Chart | None = None  # heavy to make, so only for a page, and beside its first run
        self._notes = text("", "ex-notes")
        self._code, self._about = Code(), ipywidgets.HTMLMath()
        self._code_panel = ipywidgets.Box([self._code])
        for panel in (self._code_panel, self._about):
            panel.add_class("ex-hidden")

    def _arranged(self) -> list[Any]:
        def row(cls: str, *parts: Any) -> Any:
            box = ipywidgets.Box(parts)
            box.add_class(cls)
            return box

        self._explained = row("ex-explained", text("The curves are loading …", "ex-chart"), self._notes)
        main = row(
            "ex-main",
            row("ex-bar", *self._buttons.values(), self._progress),
            self._message,
            row("ex-pictures", *self._pictures.values()),
            self._scrubber,
            self._tabs,
            self._explained,
            self._code_panel,
            self._about,
        )
        return [row("ex-columns", self._controls, main)]

    # --- for the person at the keyboard ---

    @property
    def spec(self) -> RunSpec:
        """What the controls say."""
        return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self._adopt(as_spec(spec))

    def change(self, **choices: Any) -> None:
        """Change fields of the specification, such as ``change(solver="cgls", seed=1)``.

        Raises
        ------
        SpecError
            If a choice is not allowed; nothing is changed then.
        """
        self._adopt(self._spec.replace(**choices))

    def options(self, field: str = "solver") -> list[choices.Option]:
        """Return what could stand in a field beside the other choices; `why` says why not."""
        return choices.options(self._spec, field)

    def run(self) -> Job:
        """Start what the controls say in the background; a run under way is cancelled.

        Raises
        ------
        SpecError
            If a control holds something that cannot be run.
        """
        with self._lock:
            if self._wrong:
                raise SpecError(next(iter(self._wrong.values())))
            if self._job is not None:
                self._job.cancel()
            job = Job(self._spec, lambda s: self._updated(job, s), self._ended)
            self._job = job
            self._cancel_button.disabled = False
            self._progress.value = progress_html(None, "building the problem")
            self._say("")
            job.start()
            return job

    def cancel(self) -> None:
        """Cancel the run under way; what it has found is kept."""
        if self._job is not None:
            self._job.cancel()

    def reset(self) -> None:
        """Go back to the settings this began with, and run them."""
        self._adopt(self._first)
        self.run()

    def close(self) -> None:
        """Cancel what runs and close the widget."""
        self.cancel()
        super().close()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for everything in the background; return whether it ended within `timeout` seconds each."""
        waits = [self._looking.wait, self._asking.wait, self._analysing.wait]
        waits += [self._job.wait] if self._job is not None else []
        return all([wait(timeout) for wait in waits])

    # --- what the page reports ---

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Any) -> None:
        """Answer one message of the form; it is answered even if something is wrong with it."""
        with self._lock, self._controls.hold_sync():
            self._controls.seq = int(content.get("seq", 0))
            if "width" in content:
                self._width = max(240, int(content["width"]))
                if self._chart is not None:
                    self._chart.fit(self._width)
            if "dark" in content:
                self._dark = bool(content["dark"])
                self._draw_chart()
            if content.get("opened"):
                self._safely(self._open)
                self._analysing(self._make_chart)
            elif "open" in content:
                self._asking(partial(self._offer, str(content["open"]), str(content.get("kind", ""))))
            elif "id" in content:
                self._put(str(content["id"]), content, buffers)

    def _put(self, path: str, content: Mapping[str, Any], buffers: Any) -> None:
        """Enter what a person set one control to; what is wrong stays visible, with its sentence."""
        value = content.get("value")
        try:
            if "too_large" in content:
                raise SpecError("is too large: at most 64 MiB are taken from the page", path)
            if "file" in content:
                from explorer.problems.files import add_file

                value = add_file(bytes(buffers[0]), str(content["file"]))
            spec = knobs.assign(self._spec, path, knobs.parsed(knobs.knob_at(self._spec, path), value, path))
        except KeyError:
            return  # the row is gone: another part was chosen meanwhile
        except SpecError as error:
            self._typed[path], self._wrong[path] = str(value), self._sentence(error, path)
            self._say(self._wrong[path])
            self._refresh()
            return
        self._typed.pop(path, None)
        self._wrong.pop(path, None)
        if content.get("fit"):
            self._asking(partial(self._fit, spec, path))
        else:
            self._adopt(spec)

    def _fit(self, spec: RunSpec, field: str) -> None:
        """Adopt a choice with whatever else must change for it."""
        fitted = choices.fit(spec, {field})
        with self._lock:
            if fitted is None:
                self._say(f"No other choice was found with which this can run. {choices.refusal(spec) or ''}")
                return
            changed = [knobs.title_of(fitted, f) for f in choices.difference(spec, fitted)]
            self._adopt(fitted)
            if changed:
                self._say(f"Changed to fit: {'; '.join(changed)}.", "status")

    def _offer(self, field: str, kind: str) -> None:
        """Send the components that a list offers."""
        spec = self._spec
        found = [vars(option) for option in choices.options(spec, field, kind)]
        with self._lock:
            if spec == self._spec:
                self._controls.options = {**self._controls.options, field: found}

    # --- a new specification ---

    def _adopt(self, spec: RunSpec) -> None:
        with self._lock:
            self._spec = spec
            self._controls.options = {}
            self._refresh()
            self._say(next(iter(self._wrong.values()), ""))
            self._looking(partial(self._look, spec))

    def _refresh(self) -> None:
        """Bring the form, the stale marks and the written panels up to the specification."""
        with self._lock:
            misfit = {} if self._misfit is None else {self._row(self._misfit): self._sentence(self._misfit)}
            groups = knobs.groups(self._spec, self._typed, {**misfit, **self._wrong})
            present = {row["id"] for group in groups for row in group["rows"]}
            for gone in (self._typed.keys() | self._wrong.keys()) - present:
                self._typed.pop(gone, None)
                self._wrong.pop(gone, None)
            self._controls.groups = groups
            stale = self._shown is not None and self._shown != self._spec
            for name in ("Reconstruction", "Error"):
                self._pictures[name].stale = stale
            if stale:
                self._explained.add_class("ex-stale")
            else:
                self._explained.remove_class("ex-stale")
            self._write()

    def _write(self) -> None:
        if self._tabs.selected == _TITLES.index("Code"):
            self._code.pieces = code_pieces(self._spec)
        if self._tabs.selected == _TITLES.index("About"):
            self._about.value = about_html(self._spec)

    def _look(self, spec: RunSpec) -> None:
        """Check a specification and show its truth and data, before anything is solved."""
        problem, error = None, None
        try:
            problem = build(spec)
            prepare(spec, problem)
        except SpecError as found:
            error = found
        with self._lock:
            if spec != self._spec:
                return
            self._misfit = error
            if error is not None and not self._wrong:
                self._say(self._sentence(error))
            for name in ("Truth", "Data"):
                self._pictures[name].stale = problem is None
            if problem is not None:
                self._show_problem(problem)
            self._refresh()

    # --- a run ---

    def _updated(self, job: Job, s: Snapshot) -> None:
        """Draw a snapshot, in the job's thread."""
        with self._lock:
            if job is not self._job or job.problem is None:
                return
            if job.problem is not self._problem and job.spec == self._spec:
                self._show_problem(job.problem)
            if self._shown is not job.spec:
                self._shown = job.spec
                self._scrubber.groups = []
                if self._tabs.selected == 0:
                    self._notes.value = notes_html([Note("plain", "Running", "The curves grow as it goes.")])
                self._refresh()
            self._show_pictures(*after(job.problem, s.x, f"step {s.step}", _system(s.history, s.step)))
            if self._chart is not None and self._tabs.selected == 0:
                self._chart.grow(measures(s.history, job.problem), noise_level(job.problem), self._dark)
            left = "" if s.left != s.left else f", left {s.left:.1f} s"
            said = f"step {s.step:,} · {costs(s.costs)} · {s.seconds:.2f} s{left}"
            self._progress.value = progress_html(s.fraction, said)

    def _ended(self, job: Job) -> None:
        """Show how a run ended, in the job's thread; the last good result stays if there is none."""
        with self._lock:
            if job is not self._job:
                return
            self._cancel_button.disabled = True
            if job.error is not None:
                self._failed(job.error)
                return
            before = self.result
            self.result, self._misfit = job.result(0), None
            self._cancelled = job.progress.state == "cancelled"
            try:
                self._show_result(self.result)
            except Exception as error:
                self.result = before
                self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Say what went wrong; the last good result stays on the screen."""
        if isinstance(error, SpecError):
            self._misfit = error
            self._say(self._sentence(error))
        else:
            logging.getLogger(__name__).error("a run of the Explorer failed", exc_info=error)
            self._say(f"The run failed: {type(error).__name__}: {error}")
        self._progress.value = progress_html(0, "no result")
        if self.result is not None:
            self._show_result(self.result)
        self._refresh()

    def _show_result(self, run: Run) -> None:
        self._shown = run.spec
        steps = self._iterates(run)
        picked = marks(run)
        at = picked.get("rule", picked.get("stop", max(steps, default=0)))
        self._step = at
        self._show_iterate(run, at)
        facts = " · ".join(f"{name} {step}" for name, step in picked.items())
        self._scrubber.groups = (
            [] if len(steps) < 2 else [{"title": "", "rows": [_scrubber_row(list(steps), at, facts)]}]
        )
        count = len(run.history.get("seconds", ()))
        seconds = float(run.history["seconds"][-1]) if count else 0.0
        said = f"{count:,} {'step' if count == 1 else 'steps'} · {costs(run.costs)} · {seconds:.2f} s"
        self._progress.value = progress_html(1, said)
        self._refresh()
        self._draw_chart()

    def _iterates(self, run: Run) -> dict[int, Any]:
        """Return the iterates that were kept, by step."""
        kept = [*run.snapshots, *(p for p in (run.stopped, run.best) if p is not None)]
        found = {int(first(p.step)): p.x for p in kept}
        return dict(sorted(found.items()))

    def _show_iterate(self, run: Run, step: int) -> None:
        x = self._iterates(run).get(step, run.x)
        name = next((f" ({name})" for name, at in marks(run).items() if at == step), "")
        direct = len(run.history.get("seconds", ())) < 2
        self._show_pictures(*after(run.problem, x, "" if direct else f"step {step}{name}", _system(run.history, step)))

    def _scrub(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        """Show another of the iterates that were kept; nothing is solved for it."""
        with self._lock, self._scrubber.hold_sync():
            self._scrubber.seq = int(content.get("seq", 0))
            if self.result is None or not self._scrubber.groups or content.get("id") != "iterate":
                return
            row = self._scrubber.groups[0]["rows"][0]
            try:
                wanted = float(content.get("value"))  # type: ignore[arg-type]
            except (TypeError, ValueError):
                wanted = row["value"]
            step = min(row["rests"], key=lambda rest: abs(rest - wanted))
            self._scrubber.groups = [{"title": "", "rows": [{**row, "value": step, "text": f"{step}"}]}]
            self._step = step
            self._show_iterate(self.result, step)
            self._draw_chart()

    # --- drawing ---

    def _show_problem(self, problem: Problem) -> None:
        if problem is not self._problem:
            self._problem, self._report = problem, None
        self._show_pictures(*panels.before(problem))
        if self._tabs.selected == 1:
            self._analyse()

    def _show_pictures(self, *panels: Panel) -> None:
        for panel in panels:
            self._pictures[panel.title.partition(",")[0]].show(panel)

    def _select(self) -> None:
        """Show the panel of the selected tab."""
        with self._lock:
            chosen = _TITLES[self._tabs.selected]
            shown = {"Code": self._code_panel, "About": self._about}.get(chosen, self._explained)
            for panel in (self._explained, self._code_panel, self._about):
                (panel.remove_class if panel is shown else panel.add_class)("ex-hidden")
            self._write()
            self._draw_chart()

    def _draw_chart(self) -> None:
        if self._tabs.selected == 1:
            self._analyse()
        elif self._tabs.selected == 0 and self.result is not None and self._shown == self.result.spec:
            if self._chart is not None:
                self._chart.show(convergence(self.result, self._dark, self._step))
            self._notes.value = notes_html(self._explained_result(self.result))

    def _explained_result(self, run: Run) -> list[Note]:
        """Return the notes of a result; one that was cancelled after its stop says that as well."""
        notes = explain(run)
        if self._cancelled and Reason(first(run.reason)) is not Reason.CANCELLED:
            steps = len(run.history["seconds"])
            notes.insert(0, Note("warn", f"Cancelled at step {steps:,}", "What was found by then is kept."))
        return notes

    def _analyse(self) -> None:
        """Show the spectrum of the operator that is on the screen; computed when somebody looks."""
        problem = self._problem
        if problem is None:
            return
        if self._report is not None:
            if self._chart is not None:
                self._chart.show(spectrum(self._report, self._dark))
            self._notes.value = notes_html([_explained(self._report)])
            return

        def work() -> None:
            try:
                name = "picard" if problem.y is not None else "singular_values"
                report = analyses[name].bind(problem.offers, {})()
            except SpecError as error:
                with self._lock:
                    if problem is self._problem and self._tabs.selected == 1:
                        self._notes.value = notes_html(
                            [Note("plain", "No spectrum here", choices.sentence(error.message))]
                        )
                return
            with self._lock:
                if problem is self._problem:
                    self._report = report
                    if self._tabs.selected == 1:
                        self._analyse()

        self._notes.value = notes_html([Note("plain", "Computing", "The singular values are on their way.")])
        self._analysing(work)

    def _say(self, said: str, kind: str = "alert") -> None:
        self._message.value = message_html(said, kind)

    def _sentence(self, error: SpecError, path: str = "") -> str:
        """Return an error as a sentence with the name of its control as the subject."""
        if not error.message.startswith("is "):
            return choices.sentence(error.message)
        rows = [row for group in knobs.groups(self._spec, {}, {}) for row in group["rows"]]
        where = path or self._row(error)
        name = next((row["name"] for row in rows if row["id"] == where), error.field)
        return choices.sentence(f"{name} {error.message}")

    def _row(self, error: SpecError) -> str:
        """Return the row that an error is about: the nearest that exists."""
        field = error.field.split(".")[0]
        path = ".".join([_FIELD_OF.get(field, field), *error.field.split(".")[1:]])
        present = {row["id"] for group in knobs.groups(self._spec, {}, {}) for row in group["rows"]}
        while path and path not in present:
            path = path.rpartition(".")[0]
        return path

    def _safely(self, work: Any) -> None:
        """Call what a person asked for; a refusal becomes the message, not a traceback."""
        try:
            work()
        except SpecError as error:
            self._say(self._sentence(error))

    # --- being shown ---

    def _open(self) -> None:
        """Solve what is there when the widget is shown for the first time."""
        if not self._opened:
            self._opened = True
            if self.result is None and self._job is None:
                self.run()

    def _make_chart(self) -> None:
        """Make the chart for a page that has opened, and load what its lists will need."""
        chart = Chart(self._width, instead_of=self._chart)
        with self._lock:
            self._chart = chart
            chart.fit(self._width)
            self._draw_chart()
            self._explained.children = (chart.widget, self._notes)
        self._offer("solver", "solver")  # the first judgement loads much

    def __repr__(self) -> str:
        names = [choice.name for choice in (self._spec.problem, self._spec.operator, self._spec.solver) if choice]
        return f"<Explorer: {', '.join(names)}{'; ' + repr(self.result) if self.result is not None else ''}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget, and for pages without a kernel a picture and a line of text."""
        bundle = super()._repr_mimebundle_(**kwargs)
        self._safely(self._open)
        if self._job is not None:
            self._job.wait(PATIENCE if "JPY_SESSION_NAME" in os.environ else PATIENCE_ALONE)
        if bundle is not None and self.result is not None:
            bundle["text/plain"] = repr(self)
            bundle["image/png"] = base64.b64encode(png(summary(self.result))).decode("ascii")
        return bundle


def _begin(spec: Any, chosen: Mapping[str, Any]) -> RunSpec:
    """Return the first specification; parts that were not asked for are adapted to those that were."""
    if spec:
        return as_spec(spec).replace(**chosen)
    wanted = RunSpec(**{**START, **chosen})
    try:
        if chosen:
            prepare(wanted)
    except SpecError:
        return choices.fit(wanted, set(chosen)) or wanted
    return wanted


def _system(history: Mapping[str, Any], step: int) -> int | None:
    """Return the system that a step solved, where there is a sequence of them."""
    return int(history["system"][step - 1]) if "system" in history and step else None


def _scrubber_row(steps: list[int], at: int, facts: str) -> dict[str, Any]:
    return {
        "id": "iterate", "type": "int", "label": "Iterate", "name": "Iterate shown", "depth": 0, "rests": steps,
        "value": at, "text": f"{at}", "unit": f"of {steps[-1]} · {facts}" if facts else f"of {steps[-1]}",
        "optional": False, "help": "Look at another of the iterates that were kept; nothing is solved for it",
        "error": "",
    }  # fmt: skip


def _explained(report: Any) -> Note:
    return Note("plain", "What the spectrum says", report.sentence)
