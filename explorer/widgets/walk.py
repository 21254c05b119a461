"""Walking along the curve of a parameter that was swept once: everything follows, nothing is solved again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
import numpy as np

from explorer.analyses.filters import factors_at
from explorer.catalogue import SpecError, solvers
from explorer.engine.along import METHOD, method_knob
from explorer.engine.fields import assign
from explorer.engine.fit import gives
from explorer.engine.spec import RunSpec
from explorer.engine.swept import Path, RuleComparison
from explorer.figures.curves import thinned
from explorer.figures.panels import Panel, after, round_up, span, viewable
from explorer.figures.words import Note
from explorer.solvers.steps import Solution
from explorer.widgets.canvas import Picture
from explorer.widgets.panels import Controls, set_well

#: points of the curve of filter factors
_POINTS = 400


class Walk(ipywidgets.Box):
    """A slider along the swept values, the residual and the filter at the value that it marks.

    Parameters
    ----------
    lock : RLock
        Held while anything changes.
    moved : callable
        Called when the marker has moved.

    Attributes
    ----------
    adopt : callable or None
        Called when the person wants to go on with the value at the marker.
    found, path : RuleComparison, Path
        The sweep, and the solutions along it.
    walked : bool
        Whether the solution at the marker is on the screen.
    """

    def __init__(self, lock: threading.RLock, moved: Callable[[], None]) -> None:
        self.adopt: Callable[[], None] | None = None
        self._lock, self._moved, self._at = lock, moved, 0
        self.walked = False
        self.found: RuleComparison | None = None
        self.path: Path | None = None
        self.form = Controls()
        self.form.on_msg(self._receive)
        self.pictures = {name: Picture(title=name, click="") for name in ("Residual", "Filter")}
        self.button = ipywidgets.Button(
            description="Use this value", tooltip="Choose the method with the parameter at the marker"
        )
        self.button.on_click(lambda _: self.adopt() if self.adopt is not None else None)
        super().__init__([self.form, *self.pictures.values(), self.button])
        self.add_class("ex-walk")

    @property
    def value(self) -> float:
        """The parameter at the marker."""
        return float("nan") if self.path is None else float(self.path.values[self._at])

    def offer(self, found: RuleComparison, path: Path) -> None:
        """Walk along another sweep; the marker waits where the discrepancy principle or the oracle points."""
        self.found, self.path, self.walked = found, path, False
        chosen = next((found.chosen[rule] for rule in ("discrepancy", "oracle") if rule in found.chosen), None)
        index = int(np.reshape(chosen, -1)[0]) if chosen is not None else len(found.values) // 2
        self._show(int(np.abs(path.indices - max(index, 0)).argmin()))

    def panels(self) -> tuple[Panel, ...]:
        """Return reconstruction and error at the marker."""
        assert self.found is not None
        assert self.path is not None
        return after(self.found.problem, self.path.x[self._at], set_well(self.found.at(self.value)))

    def note(self) -> Note:
        """Say how the solution at the marker fits the data, and how near it is to the truth."""
        assert self.found is not None
        assert self.path is not None
        index = int(self.path.indices[self._at])
        at = {name: float(np.reshape(curve[index], -1)[0]) for name, curve in self.found.curves.items()}
        noise, said = self.found.problem.offers.get("noise_norm"), []
        if noise is not None and float(noise.reshape(-1)[0]):
            ratio = at["residual"] / float(noise.reshape(-1)[0])
            means = (
                "the noise is being fitted" if ratio < 0.9 else "more could be fitted" if ratio > 1.1 else "on target"
            )
            said.append(f"‖Ax − y‖ is {ratio:.3g} × the expected noise norm: {means}.")
        if "error" in at:
            least = float(np.reshape(self.found.least_error, -1)[0])
            said.append(f"The error is {at['error']:.3g}, the least {least:.3g}.")
        return Note("plain", f"At {self.found.at(self.value)}", " ".join(said))

    def chosen(self, spec: RunSpec) -> RunSpec:
        """Return `spec` with the method and the value at the marker."""
        assert self.found is not None
        used, value = self.found.spec, self.value
        if self.found.along == "steps":
            return spec.replace(rule="fixed", stop={"name": "budget", "params": {"steps": int(value)}})
        if self.found.along != "parameter":
            knob = method_knob(spec, self.found.along)
            return assign(spec, self.found.along, round(value) if knob.type == "int" else value)
        solver = {"name": used.solver.name, "params": {**used.solver.params, self.found.parameter: value}}
        return spec.replace(solver=solver, prior=used.prior, precond=used.precond, rule="fixed")

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        with self._lock, self.form.hold_sync():
            self.form.seq = int(content.get("seq", 0))
            if self.path is None or content.get("id") != "walk":
                return
            try:
                wanted = float(content.get("value"))  # type: ignore[arg-type]
            except (TypeError, ValueError):
                wanted = np.nan
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = np.log if self.path.values.min() > 0 else np.asarray
                far = np.abs(scale(self.path.values) - scale(wanted))
            self._show(int(far.argmin()) if np.isfinite(far).all() else self._at)
            self.walked = True
            self._moved()

    def _show(self, at: int) -> None:
        """Put the marker somewhere."""
        assert self.found is not None
        assert self.path is not None
        self._at = at
        rests = [float(f"{value:.3g}") for value in self.path.values]
        name = "steps" if self.found.along == "steps" else self.found.parameter.replace("_", " ")
        row = {
            "id": "walk", "type": "float", "label": "Marker", "name": f"Walk along the {name}", "depth": 0,
            "rests": rests, "value": rests[at], "text": f"{rests[at]:.3g}", "unit": "", "optional": False,
            "play": True, "error": "", "help": "Look at other values along the curve; nothing is solved for it",
        }  # fmt: skip
        self.form.groups = [{"title": "", "rows": [row]}]
        self.pictures["Residual"].show(self._residual())
        self.pictures["Filter"].show(self._filter())

    def _residual(self) -> Panel:
        assert self.found is not None
        assert self.path is not None
        problem = self.found.problem
        fit = self.path.fit[self._at]
        lost = viewable((fit - problem.offers["y"].cpu().reshape(fit.shape)), len(problem.F.codomain.shape))
        if lost is None:
            return Panel("Residual", None, note="cannot be drawn")
        limit = round_up(span(np.abs(lost))[1])
        return Panel("Residual", lost, -limit, limit, signed=True, note="Ax − y")

    def _filter(self) -> Panel:
        """Return what is let through of each singular direction, the largest first."""
        assert self.found is not None
        assert self.path is not None
        spec, steps = self.found.spec.solver, self.found.along == "steps"
        if self.found.along.startswith(METHOD) and gives(solvers[spec.name]) is not Solution:
            return Panel("Filter", None, note="of one run: see the Filter tab")
        settings = dict(spec.params) if steps else {**spec.params, self.found.parameter: self.value}
        step = int(self.value) if steps else 1
        if (A := self.found.problem.A) is None:
            return Panel("Filter", None, note="of linear models alone")
        try:
            sigma = A.svd().s.flatten().sort(descending=True).values.cpu().double().numpy()
            at = sigma[thinned(len(sigma), _POINTS)]
            factors = factors_at(at, self.found.history, spec.name, settings, step, float(sigma[0]))
        except SpecError as error:
            return Panel("Filter", None, note=error.message)
        top = float(np.nanmax(factors, initial=0.0))  # conjugate gradients overshoot
        return Panel("Filter", factors, 0.0, 1.0 if top <= 1 else round_up(top), note="factor of each direction")
