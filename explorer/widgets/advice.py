"""Advice on the page: methods to try, what a run will take, and whether the operator is what it says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import ipywidgets

from explorer.analyses.check import check_operator
from explorer.catalogue import SpecError
from explorer.engine.advise import COUNT, Advice, advise
from explorer.engine.build import build
from explorer.engine.spec import RunSpec
from explorer.figures.words import Note
from explorer.widgets.background import Latest
from explorer.widgets.choices import sentence
from explorer.widgets.panels import notes_html, text


class AdvicePanel(ipywidgets.VBox):
    """Two questions to ask of the present settings, and the answers.

    Parameters
    ----------
    lock : RLock
        Held while an answer is shown.

    Attributes
    ----------
    adopt : callable or None
        Called with a specification that the person wants to try.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock, self._asking = lock, Latest("explorer-advise")
        self._spec: RunSpec | None = None
        self.adopt: Callable[[RunSpec], None] | None = None
        self.advice: Advice | None = None
        self.ask = ipywidgets.Button(description="Which method should I try?", tooltip="Three methods, with reasons")
        self.test = ipywidgets.Button(description="Test my operator", tooltip="Dot test, norm, timing, spectrum")
        self.ask.on_click(lambda _: self._answer(self._advise))
        self.test.on_click(lambda _: self._answer(self._check))
        self.takes = [ipywidgets.Button(description=f"Try {i}") for i in range(1, COUNT + 1)]
        for i, button in enumerate(self.takes):
            button.on_click(lambda _, i=i: self._take(i))
        self.answer = text("", "ex-answer")
        bar = ipywidgets.Box([self.ask, self.test, *self.takes])
        bar.add_class("ex-bar")
        super().__init__([bar, self.answer])
        self._clear()

    def about(self, spec: RunSpec) -> None:
        """Answer for a specification from now on; what was said of another one goes."""
        if spec != self._spec:
            self._spec = spec
            self._clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the answers; return whether they came within `timeout` seconds."""
        return self._asking.wait(timeout)

    def _clear(self) -> None:
        self.advice, self.answer.value = None, ""
        for button in self.takes:
            button.layout.display = "none"

    def _take(self, i: int) -> None:
        if self.adopt is not None and self.advice is not None and i < len(self.advice.suggestions):
            self.adopt(self.advice.suggestions[i].spec)

    def _answer(self, find: Callable[[RunSpec], list[Note]]) -> None:
        if self._spec is not None:
            self._clear()
            self.answer.value = notes_html([Note("plain", "Looking", "This takes a moment.")])
            self._asking(partial(self._work, find, self._spec))

    def _work(self, find: Callable[[RunSpec], list[Note]], spec: RunSpec) -> None:
        try:
            notes = find(spec)
        except SpecError as error:
            notes = [Note("warn", "No answer here", sentence(error.message))]
        with self._lock:
            if spec == self._spec:
                self.answer.value = notes_html(notes)

    def _advise(self, spec: RunSpec) -> list[Note]:
        found = advise(spec)
        with self._lock:
            if spec == self._spec:
                self.advice = found
                for i, button in enumerate(self.takes):
                    button.layout.display = None if i < len(found.suggestions) else "none"
        tried = [Note("good", f"{i}. {s.title}", s.why) for i, s in enumerate(found.suggestions, 1)]
        taken = Note("warn" if found.estimate.refusal else "plain", "The present settings", found.estimate.sentence)
        return [*tried, taken, Note("plain", "What this rests on", " ".join(found.properties))]

    def _check(self, spec: RunSpec) -> list[Note]:
        problem = build(spec)
        if problem.A is None:
            raise SpecError("there is no linear operator here to test")
        found = check_operator(problem.A)
        title = f"{problem.A.title[:1].upper()}{problem.A.title[1:]} {'passes' if found.passed else 'fails'}"
        return [Note("good" if found.passed else "warn", title, " ".join(found.sentences))]
