"""The Explorer: choose a problem, an operator, noise and a method, run them, and see why the result is what it is."""

from __future__ import annotations

import base64
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets

from explorer.catalogue import SpecError
from explorer.engine.advise import refuse_too_large
from explorer.engine.build import build
from explorer.engine.driver import Snapshot
from explorer.engine.job import Job
from explorer.engine.links import from_link
from explorer.engine.presets import presets
from explorer.engine.run import Run, prepare
from explorer.engine.spec import RunSpec
from explorer.figures.paper import png, summary
from explorer.widgets import cells, choices, knobs
from explorer.widgets.background import Latest, take_turns
from explorer.widgets.changes import Changes, Rest
from explorer.widgets.choices import as_spec, begin
from explorer.widgets.panels import Controls, costs, message_html, progress_html, text
from explorer.widgets.saved import Saved, found, remembered, state
from explorer.widgets.screen import Screen, row

#: seconds that a cell waits for the first result, so that its picture is saved with the notebook: while a person
#: looks on, and where nobody does
PATIENCE, PATIENCE_ALONE = 0.5, 60.0
#: seconds: a run as short is live at once, a longer one when nothing has changed for a while
AT_ONCE, REST = 0.1, 0.35
_HELP = "Keys: R run · C cancel · U undo · Y redo · K keep · L live · ? this help. Arrows move a slider, Tab goes on."
_RECALLED = "Restored what was chosen in this cell before. ↺ Reset goes back to what its code asks for."


class Explorer(ipywidgets.VBox):
    """Inverse problems, live.

    Parameters
    ----------
    spec : RunSpec, str or mapping, optional
        What to begin with: a specification, its JSON text, a link to it, or plain data.
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
    _rest, _saved = Rest(), Saved()

    def __init__(self, spec: Any = None, **choices: Any) -> None:
        self._lock = threading.RLock()
        self._spec = self._first = begin(spec, choices)
        self.result: Run | None = None
        self._typed: dict[str, str] = {}
        self._wrong: dict[str, str] = {}
        self._misfit: SpecError | None = None
        self._opened, self._asked = False, self._first  # what the code had asked for when it was shown
        self._changes, self._rest, self._saved = Changes(), Rest(), Saved()
        self._lasts = float("inf")  # seconds that the last run took, watching it included
        self._looking, self._asking = (Latest(f"explorer-{n}") for n in ("look", "ask"))
        self._make_parts()
        super().__init__(self._arranged())
        self.add_class("explorer")
        self._refresh()

    def _make_parts(self) -> None:
        self._controls = Controls(plain_keys=True)
        self._controls.on_msg(self._receive)
        self._run_button = self._button("▶ Run", "Solve with the settings shown (key R)", self.run)
        self._cancel_button = self._button("■ Cancel", "Stop now and keep what has been found (key C)", self.cancel)
        self._undo_button = self._button("↶ Undo", "Take the last change back (key U)", self.undo)
        self._redo_button = self._button("↷ Redo", "Make the change again (key Y)", self.redo)
        self._keep_button = self._button("☆ Keep", "Keep this run to compare others with it (key K)", self.keep)
        self._reset_button = self._button("↺ Reset", "Go back to the settings this began with", self.reset)
        self._live = ipywidgets.ToggleButton(description="Live", tooltip="Run after every change (key L)")
        self._live.observe(lambda _: self._react(), "value")
        self._run_button.button_style = "primary"
        for button in (self._cancel_button, self._undo_button, self._redo_button, self._keep_button):
            button.disabled = True
        self._progress, self._message = text(progress_html(0, "ready")), text()
        self._screen = Screen(self._lock, self._spec, self._back_to)
        self._screen.handles.enter = self._put
        self._screen.share.adopt, self._screen.advice.adopt = self._restore, self._begin_anew
        self._screen.walk.adopt = lambda: self._begin_anew(self._screen.walk.chosen(self._spec))

    def _button(self, label: str, tooltip: str, work: Callable[[], Any]) -> Any:
        made = ipywidgets.Button(description=label, tooltip=tooltip)
        made.on_click(lambda _: self._safely(work))
        return made

    def _arranged(self) -> list[Any]:
        buttons = (self._run_button, self._cancel_button, self._undo_button, self._redo_button, self._keep_button)
        bar = row("ex-bar", *buttons, self._reset_button, self._live, self._progress)
        main = row("ex-main", bar, self._message, *self._screen.parts)
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
            self._began = time.monotonic()
            self._cancel_button.disabled = False
            self._progress.value = progress_html(None, "building the problem")
            self._say("")
            take_turns()
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

    def reset_group(self, title: str) -> None:
        """Take one group of settings, such as ``"Noise"``, back to what it began with."""
        with self._lock:
            spec = knobs.reset(self._spec, self._first, title)
            for gone in knobs.rows(spec, title):
                self._typed.pop(gone["id"], None)
                self._wrong.pop(gone["id"], None)
            self._adopt(spec)

    def undo(self) -> None:
        """Take the last change of the settings back."""
        with self._lock:
            self._adopt(self._changes.undo(self._spec), remember=False)

    def redo(self) -> None:
        """Make a change that was taken back again."""
        with self._lock:
            self._adopt(self._changes.redo(self._spec), remember=False)

    def keep(self) -> str | None:
        """Keep the result to compare others with it; return its name, or None where there is no result."""
        with self._lock:
            return None if self.result is None else self._screen.compare.keep(self.result)

    def _back_to(self, run: Run) -> None:
        """Show a kept run again, with its settings."""
        with self._lock:
            self._adopt(run.spec)
            self.result = run
            self._show_result(run, False)

    def _restore(self, link: str) -> None:
        """Show what the page was opened with."""
        with self._lock:
            self._safely(lambda: self._begin_anew(from_link(link)))

    def close(self) -> None:
        """Cancel what runs and close the widget."""
        self._rest.cancel()
        self._saved.close()
        self.cancel()
        cells.close_parts(self)
        super().close()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for everything in the background; return whether it ended within `timeout` seconds each."""
        waits = [self._job.wait] if self._job is not None else []
        waits += [self._looking.wait, self._asking.wait, self._screen.wait]
        return all([wait(timeout) for wait in waits])

    # --- what the page reports ---

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Any) -> None:
        """Answer one message of the form; it is answered even if something is wrong with it."""
        with self._lock, self._controls.hold_sync():
            self._controls.seq = int(content.get("seq", 0))
            if "width" in content:
                self._screen.fit(int(content["width"]))
            if "dark" in content:
                self._screen.turn(bool(content["dark"]))
            if "was" in content:
                self._recall(remembered(content["was"], self._asked))
            if content.get("opened"):
                self._safely(self._open)
                self._screen.open()
            elif "key" in content:
                self._press(str(content["key"]))
            elif "open" in content:
                self._asking(partial(self._offer, str(content["open"]), str(content.get("kind", ""))))
            elif "id" in content:
                self._put(str(content["id"]), content, buffers)
            elif "reset" in content:
                self.reset_group(str(content["reset"]))

    def _press(self, key: str) -> None:
        """Do what a plain key asks for."""
        keys = {"r": self.run, "c": self.cancel, "u": self.undo, "y": self.redo, "k": self.keep}
        keys["?"] = lambda: self._say(_HELP + self._screen.handles.keys, "status")
        if key == "l":
            self._live.value = not self._live.value
        elif key in keys:
            self._safely(keys[key])

    def _put(self, path: str, content: Mapping[str, Any], buffers: Any) -> None:
        """Enter what a person set one control to; what is wrong stays visible, with its sentence."""
        value = content.get("value")
        if path == "preset":
            self._begin_with(str(value))
            return
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
            self._typed[path], self._wrong[path] = str(value), choices.told(self._spec, error, path)
            self._say(self._wrong[path])
            self._refresh()
            return
        self._typed.pop(path, None)
        self._wrong.pop(path, None)
        if content.get("fit"):
            self._asking(partial(self._fit, spec, path))
        else:
            self._adopt(spec, content.get("remember", True), content.get("by", path))

    def _begin_with(self, title: str) -> None:
        """Take a preset and run it."""
        if title in presets():
            self._begin_anew(presets()[title])
        else:
            self._refresh()

    def _begin_anew(self, spec: RunSpec) -> None:
        """Take a specification from elsewhere and run it."""
        self._typed.clear()
        self._wrong.clear()
        self._adopt(spec)
        self._safely(self.run)

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
        """Send the components that a list offers, or the presets."""
        spec = self._spec
        found = [vars(option) for option in choices.options(spec, field, kind)]
        with self._lock:
            if field == "preset":
                self._controls.pictures = choices.stamps()
            if spec == self._spec:
                self._controls.options = {**self._controls.options, field: found}

    # --- a new specification ---

    def _adopt(self, spec: RunSpec, remember: bool = True, by: str = "") -> None:
        with self._lock:
            if remember and spec != self._spec:
                self._changes.enter(self._spec, by)
            self._spec = spec
            self._undo_button.disabled, self._redo_button.disabled = not self._changes.past, not self._changes.future
            self._controls.options = {}
            self._refresh()
            self._say(next(iter(self._wrong.values()), ""))
            self._looking(partial(self._look, spec))
            self._react()

    def _react(self) -> None:
        """In live mode run what was chosen: at once where a run is that fast, else when changes have come to rest."""
        with self._lock:
            self._rest.cancel()
            if not self._live.value or self._wrong or self._screen.shown == self._spec:
                return
            if self._lasts <= AT_ONCE:
                self._safely(self.run)
            else:
                self._rest(REST, partial(self._settled, self._spec))

    def _settled(self, spec: RunSpec) -> None:
        with self._lock:
            if spec == self._spec and self._live.value:
                self._safely(self.run)

    def _refresh(self) -> None:
        """Bring the form, the stale marks and the written panels up to the specification."""
        with self._lock:
            spec, wrong, error = self._spec, self._wrong, self._misfit
            if error is not None:
                wrong = {choices.row_of(spec, error): choices.told(spec, error), **wrong}
            groups = knobs.groups(spec, self._typed, wrong, self._first)
            present = {row["id"] for group in groups for row in group["rows"]}
            for gone in (self._typed.keys() | self._wrong.keys()) - present:
                self._typed.pop(gone, None)
                self._wrong.pop(gone, None)
            self._controls.groups = groups
            self._controls.state = state(spec, self._asked)
            self._saved.refresh(self._controls.state, self.result)
            self._screen.show_spec(spec)

    def _look(self, spec: RunSpec) -> None:
        """Check a specification and show its truth and data, before anything is solved."""
        problem, error = None, None
        try:
            prepare(spec, problem := build(spec))
            refuse_too_large(spec, problem)
        except SpecError as found:
            error = found
        with self._lock:
            if spec != self._spec:
                return
            self._misfit = error
            if error is not None and not self._wrong:
                self._say(choices.told(self._spec, error))
            self._screen.unknown_problem(problem is None)
            if problem is not None:
                self._screen.show_problem(problem)
            self._refresh()

    # --- a run ---

    def _updated(self, job: Job, s: Snapshot) -> None:
        """Draw a snapshot, in the job's thread."""
        with self._lock:
            if job is not self._job or job.problem is None or self._screen.pictures["Reconstruction"].behind:
                return
            if job.problem is not self._screen.problem and job.spec == self._spec:
                self._screen.show_problem(job.problem)
            self._screen.show_snapshot(job.spec, job.problem, s)
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
            run, self._misfit = job.result(0), None
            self._lasts = time.monotonic() - self._began
            try:
                self._show_result(run, job.progress.state == "cancelled")
                if self._opened and self.result is None:
                    self._asking(partial(self._offer, "solver", "solver"))  # the first judgement loads much
                self.result = run
                self._saved.refresh(self._controls.state, run)
            except Exception as error:
                self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Say what went wrong; the last good result stays on the screen."""
        if isinstance(error, SpecError):
            self._misfit = error
            self._say(choices.told(self._spec, error))
        else:
            logging.getLogger(__name__).error("a run of the Explorer failed", exc_info=error)
            self._say(f"The run failed: {type(error).__name__}: {error}")
        self._progress.value = progress_html(0, "no result")
        if self.result is not None:
            self._show_result(self.result, self._screen.cancelled)
        self._refresh()

    def _show_result(self, run: Run, cancelled: bool) -> None:
        self._screen.show_run(run, cancelled)
        self._keep_button.disabled = False
        count = len(run.history.get("seconds", ()))
        seconds = float(run.history["seconds"][-1]) if count else 0.0
        steps = f"{count:,} {'step' if count == 1 else 'steps'}"
        said = " · ".join(filter(None, (steps, costs(run.costs), f"{seconds:.2f} s")))
        if self._live.value:
            said += " · live, at once" if self._lasts <= AT_ONCE else " · live, on release"
        self._progress.value = progress_html(1, said)
        self._refresh()

    # --- words ---

    def _say(self, said: str, kind: str = "alert") -> None:
        self._message.value = message_html(said, kind)

    def _safely(self, work: Any) -> None:
        """Call what a person asked for; a refusal becomes the message, not a traceback."""
        try:
            work()
        except SpecError as error:
            self._say(choices.told(self._spec, error))

    # --- being shown ---

    def _open(self) -> None:
        """Solve what is there when the widget is shown for the first time."""
        if not self._opened:
            self._opened = True
            if self.result is None and self._job is None:
                self.run()

    def _recall(self, spec: RunSpec | None) -> None:
        """Take up what was chosen in the same cell before."""
        if spec is not None and spec != self._spec:
            self._begin_anew(spec)
            self._say(_RECALLED, "status")

    def __repr__(self) -> str:
        names = [choice.name for choice in (self._spec.problem, self._spec.operator, self._spec.solver) if choice]
        return f"<Explorer: {', '.join(names)}{'; ' + repr(self.result) if self.result is not None else ''}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget, and for pages without a kernel a picture and a line of text."""
        bundle = super()._repr_mimebundle_(**kwargs)
        cells.shows(self)
        if not self._opened and self._job is None:
            self._asked = self._spec
            self._recall(found(self._asked))
        self._safely(self._open)
        looked_at = "JPY_SESSION_NAME" in os.environ
        if self._job is not None:
            self._job.wait(PATIENCE if looked_at else PATIENCE_ALONE)
        kept = self._saved.publish(state(self._spec, self._asked), self.result, later=looked_at)
        if bundle is not None and self.result is not None:
            bundle["text/plain"] = repr(self)
            if not kept:
                bundle["image/png"] = base64.b64encode(png(summary(self.result))).decode("ascii")
        return bundle
