"""The Parameter tab: what is walked along, the curve with what every rule chooses, and the marker on it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets

from explorer.catalogue import SHELVES, SpecError, solvers
from explorer.engine.along import METHOD, method_knob, refuse_no_steps, walkable
from explorer.engine.compare_rules import compare_rules, path
from explorer.engine.fields import assign
from explorer.engine.problem import Problem
from explorer.engine.spec import RunSpec
from explorer.engine.stops import largest_step
from explorer.engine.swept import RuleComparison
from explorer.figures.parameter import awaiting, rules
from explorer.figures.words import Note, chosen
from explorer.widgets import knobs
from explorer.widgets.background import Latest, take_turns
from explorer.widgets.choices import sentence
from explorer.widgets.panels import Controls, progress_html, text
from explorer.widgets.walk import Walk

#: unknowns and data of all steps of a run up to which they are swept without being asked: once for each of the rules
QUICK = 2**23


class _Ended(Exception):
    """Raised in a sweep that nobody waits for any more."""


class ParameterPanel(ipywidgets.Box):
    """Sweeps once what a person chooses to walk along, in the background, and shows the curve and its marker.

    A direct method's parameter is swept when somebody looks, and so are the steps of a short run; what takes many or
    long runs waits for its button.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    show : callable
        Called with what makes a figure, or None where there is none, and with notes.
    moved : callable
        Called when the marker has moved.

    Attributes
    ----------
    walk : Walk
        The marker, and what follows it.
    found : RuleComparison or None
        The last sweep.
    """

    def __init__(
        self,
        lock: threading.RLock,
        show: Callable[[Callable[[], Any] | None, list[Note]], None],
        moved: Callable[[], None],
    ) -> None:
        self._lock, self._show = lock, show
        self._later = Latest("explorer-sweep")
        self.wait = self._later.wait
        self._spec: RunSpec | None = None
        self._dark = False
        self._way = ""  # the name for people of what is walked along
        self._ways: dict[str, str] = {}
        self._quick = False
        self._key: Any = None  # what the last sweep depends on
        self._going: Any = None  # and the one under way
        self._ended: Any = None  # and one that a person has ended
        self._marked: Any = None  # the figure of a sweep, and what it was made of
        self._refusal: tuple[Any, str] | None = None
        self.found: RuleComparison | None = None
        self.walk = Walk(lock, moved)
        self.form = Controls()
        self.form.on_msg(self._receive)
        self.button = ipywidgets.Button(description="Sweep", tooltip="Run the method at many values, once")
        self.button.on_click(lambda _: self._press())
        self._progress = text()
        bar = ipywidgets.Box([self.form, self.button, self._progress])
        bar.add_class("ex-sweep")
        super().__init__([bar, self.walk])
        self.add_class("ex-parameter")

    def close(self) -> None:
        """End a sweep under way and close the panel."""
        self._going = None
        super().close()

    def look(self, on: bool) -> None:
        """Say whether the tab is open."""
        (self.remove_class if on else self.add_class)("ex-hidden")

    def draw(self, spec: RunSpec, problem: Problem | None, dark: bool) -> None:
        """Show the sweep of what is chosen, or how to get it.

        Parameters
        ----------
        spec : RunSpec
            What the controls say.
        problem : Problem or None
            The last that was built.
        dark : bool
            Whether the page is dark.
        """
        self._spec, self._dark, self._quick = spec, dark, False
        self._ways = ways(spec, problem) if problem is None or walkable(problem) else {}
        if problem is not None and self._ways:
            each = problem.domain.size + problem.F.codomain.size
            self._quick = largest_step(spec.stop.as_dict()) * each <= QUICK
        self._draw()

    def begin(self) -> None:
        """Sweep what is chosen, unless that is done or under way."""
        with self._lock:
            if self.button.description == "Sweep" and not self.button.disabled:
                self._press()

    def _draw(self) -> None:
        assert self._spec is not None
        if self._way not in self._ways:
            self._way = next(iter(self._ways), "")
        key = _key(self._spec, self._ways[self._way]) if self._ways else None
        if self._going not in (None, key):
            self._going = None  # ends it at its next step
        if self.found is not None and self._key == key and self._ways:
            self._draw_found(self.found)
        elif self._going is None:
            self._offer(key)
        self._fill(key)

    def _offer(self, key: Any) -> None:
        """Sweep what costs little; say of the rest what its button does."""
        self.walk.add_class("ex-hidden")
        along = self._ways.get(self._way, "")
        if not along:
            self._show(None, [Note("plain", "No parameter to choose here", "No model makes one set of data.")])
        elif self._refusal is not None and self._refusal[0] == key:
            self._show(None, [Note("plain", "No parameter to choose here", self._refusal[1])])
        elif along == "parameter" or (along == "steps" and self._quick and self._ended != key):
            self._begin(key)
        else:
            said = "Press Sweep: the method runs at many values, and every rule chooses one."
            if along == "steps":
                said = "Press Sweep: the method runs once, and once more with every rule that can stop it."
            drawn = partial(awaiting, self._way, "Press Sweep to draw this curve", self._dark)
            self._show(drawn, [Note("plain", "Not swept yet", said)])

    def _fill(self, key: Any) -> None:
        """Bring the form and the button up to what is chosen."""
        row = {
            "id": "along", "type": "choice", "label": "Walk along", "name": "Walk along", "depth": 0,
            "choices": list(self._ways), "value": self._way, "error": "",
            "help": "What is swept once; the marker then walks along it, and nothing is solved for that",
        }  # fmt: skip
        groups = [{"title": "", "rows": [row]}]
        if self.form.groups != groups:
            self.form.groups = groups
        going = self._going is not None
        self.button.description = "Cancel" if going else "Sweep"
        self.button.disabled = not going and (self._key == key or not self._ways)
        if not going:
            self._progress.value = ""

    def _draw_found(self, found: RuleComparison) -> None:
        """Show the curve, every rule's choice and the marker."""
        assert self._spec is not None
        present = knobs.value_at(self._spec, found.along) if found.along.startswith(METHOD) else None
        if found.along == "parameter":
            present = self._spec.solver.params.get(found.parameter)
        at = self.walk.value if self.walk.walked else present
        shown = (found, self._dark, float(at) if isinstance(at, int | float) else None)
        if self._marked is None or self._marked[0][1:] != shown[1:] or self._marked[0][0] is not found:
            self._marked = (shown, rules(*shown))  # a marker that is dragged asks for the same figure several times
        notes = [*([self.walk.note()] if self.walk.walked else []), *chosen(found)]
        self._show(lambda: self._marked[1], notes)
        self.walk.remove_class("ex-hidden")

    # --- what a person does ---

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        with self._lock, self.form.hold_sync():
            self.form.seq = int(content.get("seq", 0))
            if content.get("id") == "along" and content.get("value") in self._ways and self._spec is not None:
                self._way = str(content["value"])
                self.walk.walked = False
                self._draw()

    def _press(self) -> None:
        """Begin the sweep, or end the one under way."""
        with self._lock:
            if self._spec is None:
                return
            if self._going is not None:
                self._going, self._ended = None, self._going
                self._draw()
                return
            key = _key(self._spec, self._ways[self._way])
            self._begin(key)
            self._fill(key)

    # --- the sweep ---

    def _begin(self, key: Any) -> None:
        assert self._spec is not None
        along = self._ways[self._way]
        asked = self._spec.replace(draws=None)
        if along == "parameter":
            asked = asked.replace(rule="fixed", stop="budget")
        self._going = key
        drawn = None
        if along != "parameter":
            drawn = partial(awaiting, self._way, "Sweeping …", self._dark)
            self._progress.value = progress_html(None, "building the problem")
        self._show(drawn, [Note("plain", "Sweeping", "Every rule looks at many values.")])
        take_turns()
        self._later(partial(self._sweep, asked, along, key))

    def _sweep(self, spec: RunSpec, along: str, key: Any) -> None:
        found, refusal, told = None, "", -1.0

        def watch(part: float) -> None:
            nonlocal told
            if self._going is not key:
                raise _Ended
            if part - told >= 0.02:
                told = part
                self._progress.value = progress_html(part, f"{100 * part:.0f} % swept")

        try:
            found = compare_rules(spec, along=along, watch=watch)
            steps = path(found)
        except _Ended:
            return
        except SpecError as error:
            refusal = sentence(error.message)
        except Exception as error:
            logging.getLogger(__name__).error("a sweep of the Explorer failed", exc_info=error)
            refusal = f"The sweep failed: {type(error).__name__}: {error}"
        with self._lock:
            if self._going is not key:
                return
            self._going, self._refusal, self._progress.value = None, (key, refusal), ""
            if found is not None:
                self._key, self.found, self._refusal = key, found, None
                self.walk.offer(found, steps)
            if "ex-hidden" not in self._dom_classes and self._spec is not None:
                self._draw()


def ways(spec: RunSpec, problem: Problem | None = None) -> dict[str, str]:
    """Return what can be walked along, its name for people to what :func:`explorer.compare_rules` calls it.

    What regularizes comes first. Tikhonov's method stands beside another where it can solve the problem, if that is
    known.
    """
    solver = solvers[spec.solver.name]
    direct = "tunes" in solver.traits
    first: dict[str, str] = {f"λ of {solver.title}": "parameter"} if direct else {}
    rest: dict[str, str] = {}
    for row in knobs.rows(spec, "Method"):
        field, _, name = row["id"].rpartition(".params.")
        if row["type"] not in ("float", "int") or field not in METHOD or row["value"] is None:
            continue
        knob = method_knob(spec, row["id"])
        if ranged(knob) and not (direct and name == solver.traits["tunes"][0]):
            title = SHELVES[RunSpec.kinds[field]][getattr(spec, field).name].title
            (first if (field, name) == ("prior", "weight") else rest)[f"{knobs.label(knob)} of {title}"] = row["id"]
    try:
        refuse_no_steps(spec)
        first |= {f"steps of {solver.title}": "steps"}
    except SpecError:
        pass
    instead = not direct and (problem is None or solvers["tikhonov"].lacking(problem.offers) is None)
    return first | ({"λ of Tikhonov regularisation instead": "parameter"} if instead else {}) | rest


def ranged(knob: Any) -> bool:
    """Say whether a knob has a range that a sweep can span."""
    return knob.scale == "log" or knob.high - knob.low <= 1e6


def _key(spec: RunSpec, along: str) -> Any:
    """Return what a sweep depends on: not the value that is swept."""
    if along == "steps":
        return along, spec.replace(rule="fixed", record=None, draws=None)
    if along != "parameter":
        return along, assign(spec, along, method_knob(spec, along).default).replace(record=None, draws=None)
    knob = solvers[spec.solver.name].traits.get("tunes", ("",))[0]
    params = {name: value for name, value in spec.solver.as_dict().items() if name != "params"}
    kept = {name: value for name, value in spec.solver.params.items() if name != knob}
    plain = spec.replace(rule="fixed", stop="budget", draws=None)
    return along, plain.replace(solver={**params, "params": kept}, record=None)
