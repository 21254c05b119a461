"""Exercises: something is hidden, a prediction is asked for, checked, and then all is revealed."""

from __future__ import annotations

import base64
import html
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets

from explorer.catalogue import SpecError
from explorer.engine.job import Job
from explorer.engine.problem import Problem
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec
from explorer.figures.paper import pictures, png
from explorer.figures.words import Note, explain
from explorer.widgets import cells, knobs
from explorer.widgets.choices import as_spec
from explorer.widgets.panels import Controls, notes_html, text
from explorer.widgets.screen import Screen, row

#: seconds that a cell waits for the run, so that its picture is saved with the notebook
PATIENCE = 60.0


class Exercise(ipywidgets.VBox):
    """A run of which something is hidden until it has been predicted.

    Parameters
    ----------
    spec : RunSpec, JSON text, link or mapping
        What is run.
    hide : str or sequence of str
        ``"truth"``, and knobs by their dotted names, such as ``"operator.sigma"``.
    ask : str
        The question.
    answer : number, str, bool or callable, optional
        What is right, or a function of the finished run that returns it; by default the value of the hidden knob.
    tolerance : float
        Largest relative distance of a number from the answer that counts as right.
    why : str
        What is said when all is revealed.

    Raises
    ------
    SpecError
        If there is no such knob to hide, or nothing to compare a prediction with.

    Examples
    --------
    It works without a page as well:

    >>> task = Exercise(
    ...     RunSpec(problem={"name": "blocks", "params": {"size": 64}}, solver="cgls"),
    ...     hide=("truth", "operator.sigma"),
    ...     ask="How wide is the blur, in samples?",
    ... )
    >>> task.predict(40).title
    'Not yet'
    >>> task.reveal()
    2.0
    """

    _job: Job | None = None

    def __init__(
        self,
        spec: Any,
        hide: str | Sequence[str] = ("truth",),
        *,
        ask: str,
        answer: float | str | bool | Callable[[Run], Any] | None = None,
        tolerance: float = 0.1,
        why: str = "",
    ) -> None:
        self.spec: RunSpec = as_spec(spec)
        hidden = (hide,) if isinstance(hide, str) else tuple(hide)
        self._truth_hidden = "truth" in hidden
        self._hidden = {_path(self.spec, name): name for name in hidden if name != "truth"}
        if answer is None and not self._hidden:
            raise SpecError("is missing: give it, or hide a knob whose value is the answer", "answer")
        if not tolerance >= 0:
            raise SpecError(f"is {tolerance}, and must be a number from 0", "tolerance")
        self._answer, self._tolerance, self._why, self.question = answer, tolerance, why, ask
        self.predictions: list[Any] = []
        self.revealed = False
        self._lock, self._given = threading.RLock(), ""
        self._make_parts()
        super().__init__(self._arranged())
        self.add_class("explorer")
        self._draw_settings()
        self._job = Job(self.spec, on_end=self._ended).start()

    def _make_parts(self) -> None:
        self._screen = Screen(self._lock, self.spec, lambda _: None)
        self._settings, self._verdict = text(), text("", "ex-notes")
        self._entry = Controls()
        self._entry.groups = [{"title": "Your prediction", "folded": "", "rows": [_entry_row()]}]
        self._entry.on_msg(self._receive)
        self._check_button = ipywidgets.Button(description="Check", tooltip="Compare the prediction with the answer")
        self._reveal_button = ipywidgets.Button(description="Reveal", tooltip="Show the answer and what is hidden")
        self._check_button.on_click(lambda _: self._check())
        self._reveal_button.on_click(lambda _: self.reveal())

    def _arranged(self) -> list[Any]:
        question = text(f"<h3>{html.escape(self.question)}</h3>")
        shown = row("ex-pictures", *self._screen.pictures.values())
        bar = row("ex-bar", self._check_button, self._reveal_button)
        return [question, shown, self._screen.scrubber, self._settings, self._entry, bar, self._verdict]

    # --- for the person at the keyboard ---

    @property
    def result(self) -> Run:
        """The run, with everything that is hidden; it is waited for."""
        assert self._job is not None
        return self._job.result(PATIENCE)

    def predict(self, value: Any) -> Note:
        """Compare a prediction with the answer, and say how near it is."""
        right = self._right()
        with self._lock:
            self.predictions.append(value)
            note = _judged(value, right, self._tolerance)
            self._verdict.value = notes_html([note])
            return note

    def reveal(self) -> Any:
        """Show what is hidden, and return the answer."""
        right, run = self._right(), self.result  # waited for before the lock, which the job needs to end
        with self._lock:
            self.revealed = True
            self._draw_settings()
            self._screen.show_problem(run.problem)
            self._screen.show_run(run, False)
            before = f"You predicted {', '.join(map(str, self.predictions))}." if self.predictions else ""
            said = " ".join(filter(None, (before, self._why)))
            self._verdict.value = notes_html(
                [Note("good", f"The answer is {_said(right)}", said), *explain(self.result)]
            )
        return right

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the run; return whether it ended within `timeout` seconds."""
        return self._job is None or self._job.wait(timeout)

    def close(self) -> None:
        """Cancel the run and close the widget."""
        if self._job is not None:
            self._job.cancel()
        cells.close_parts(self)
        super().close()

    # --- inside ---

    def _right(self) -> Any:
        if callable(self._answer):
            return self._answer(self.result)
        return next(knobs.value_at(self.spec, p) for p in self._hidden) if self._answer is None else self._answer

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        with self._lock, self._entry.hold_sync():
            self._entry.seq = int(content.get("seq", 0))
            if "dark" in content:
                self._screen.turn(bool(content["dark"]))
            if content.get("id") == "prediction":
                self._given = str(content.get("value", ""))[:200]
                self._entry.groups = [{**self._entry.groups[0], "rows": [_entry_row(self._given)]}]

    def _check(self) -> None:
        if self._given.strip():
            self.predict(self._given)
        else:
            self._verdict.value = notes_html([Note("plain", "Predict first", "Write down what you expect.")])

    def _ended(self, job: Job) -> None:
        """Show the run without what is hidden, in the job's thread."""
        with self._lock:
            if job.error is not None:
                self._verdict.value = notes_html([Note("warn", "The exercise cannot run", f"{job.error}")])
                return
            shown = self._shown(job.result(0))
            self._screen.show_problem(shown.problem)
            self._screen.show_run(shown, False)

    def _shown(self, run: Run) -> Run:
        return without_truth(run) if self._truth_hidden and not self.revealed else run

    def _draw_settings(self) -> None:
        cells = []
        for group in knobs.groups(self.spec, {}, {}):
            for line in group["rows"]:
                if line["id"] == "preset" or (line["type"] == "component" and line["value"] in ("", "none", "fixed")):
                    continue
                secret = line["id"] in self._hidden and not self.revealed
                value = line.get("text", line.get("value", ""))
                said = "?" if secret else f"{value} {line.get('unit', '')}"
                cells.append(f"<li>{html.escape(line['name'])}: <b>{html.escape(said)}</b></li>")
        self._settings.value = f"<details><summary>What is known</summary><ul>{''.join(cells)}</ul></details>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget, and for pages without a kernel a picture and the question."""
        bundle = super()._repr_mimebundle_(**kwargs)
        cells.shows(self)
        if bundle is not None and self.wait(PATIENCE) and self._job is not None and self._job.error is None:
            bundle["text/plain"] = repr(self)
            bundle["image/png"] = base64.b64encode(png(pictures(self._shown(self.result)))).decode("ascii")
        return bundle

    def __repr__(self) -> str:
        return f"<Exercise: {self.question}>"


def without_truth(run: Run) -> Run:
    """Return a run as it looks to somebody who does not know the truth."""
    old = run.problem
    problem = Problem(old.offers, replace(old.truth, x=None), old.domain, None, old.batch)
    history = {name: column for name, column in run.history.items() if name != "error"}
    return replace(run, problem=problem, history=history, best=None)


def _path(spec: RunSpec, name: str) -> str:
    """Return the row of a knob that may be named without ``params``."""
    field, _, rest = name.partition(".")
    path = name if ".params." in name or not rest or field == "record" else f"{field}.params.{rest}"
    try:
        knobs.knob_at(spec, path)
        knobs.value_at(spec, path)
    except (KeyError, TypeError, AttributeError):
        raise SpecError(f"is {name!r}, and must be 'truth' or a knob of the specification", "hide") from None
    return path


def _entry_row(given: str = "") -> dict[str, Any]:
    return {
        "id": "prediction", "type": "text", "label": "Prediction", "name": "Your prediction", "depth": 0,
        "text": given, "help": "Write down what you expect, then press Check", "error": "",
    }  # fmt: skip


def _judged(value: Any, right: Any, tolerance: float) -> Note:
    """Compare a prediction with the answer: numbers by their relative distance, words by their letters."""
    if isinstance(right, str | bool):
        same = str(value).strip().casefold() == str(right).casefold()
        return Note("good", "Right", "") if same else Note("warn", "Not yet", "Look again, and predict anew.")
    try:
        given = float(str(value).strip().replace("−", "-").replace(",", "."))
    except ValueError:
        return Note("warn", "Not a number", f"{str(value)[:40]!r} is not a number: the question asks for one.")
    if not math.isfinite(given):
        return Note("warn", "Not a number", "The question asks for a finite number.")
    gap = abs(given - right)
    if gap <= tolerance * abs(right):
        return Note("good", "Right", "" if not gap else f"To within {100 * gap / abs(right):.2g} %.")
    return Note("warn", "Not yet", f"The answer is {'larger' if right > given else 'smaller'}: predict anew.")


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
