"""Single panels for a person's own notebook: the Explorer's pictures, curves, spectrum and parameter, one at a time."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from typing import Any

import ipywidgets

from explorer.engine.build import build
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec
from explorer.figures.paper import curves, drawn, pictures, png
from explorer.figures.parameter import rules
from explorer.figures.spectra import spectrum
from explorer.widgets.choices import as_spec
from explorer.widgets.screen import TABS, Screen, row

__all__ = ["Convergence", "Parameter", "Pictures", "Spectrum"]

#: seconds that a page without a kernel waits for its picture
PATIENCE = 60.0


class _Single(ipywidgets.VBox):
    """One part of a screen, with what the page has to tell it."""

    _tab = "Convergence"

    def __init__(self, spec: RunSpec) -> None:
        self._lock = threading.RLock()
        self._screen = Screen(self._lock, spec, lambda _: None)
        self._screen.scrubber.on_msg(self._receive)
        super().__init__(self._parts())
        self.add_class("explorer")
        self._screen.tabs.selected = TABS.index(self._tab)

    def _parts(self) -> list[Any]:
        return [self._screen.scrubber, self._screen.explained]

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        """Follow the page: its width, its theme, and that it is there."""
        with self._lock:
            if "width" in content:
                self._screen.fit(int(content["width"]))
            if "dark" in content:
                self._screen.turn(bool(content["dark"]))
            if content.get("opened") and self._screen.explained in self.children:
                self._screen.open()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is computed; return whether that came within `timeout` seconds."""
        return self._screen.wait(timeout)

    def picture(self) -> Any:
        """Return the panel as a matplotlib figure, or None where there is nothing to draw."""
        return None

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget, and for pages without a kernel a picture."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None and (figure := self.picture()) is not None:
            bundle["image/png"] = base64.b64encode(png(figure)).decode("ascii")
        return bundle


class _OfRun(_Single):
    def __init__(self, run: Run) -> None:
        super().__init__(run.spec)
        self.run = run
        self._screen.show_problem(run.problem)
        self._screen.show_run(run, False)


class Pictures(_OfRun):
    """Truth, data, reconstruction and error of a run, with a slider through its iterates.

    Parameters
    ----------
    run : Run
    """

    def _parts(self) -> list[Any]:
        return [row("ex-pictures", *self._screen.pictures.values()), self._screen.scrubber]

    def picture(self) -> Any:
        """Return the four pictures as a matplotlib figure."""
        return pictures(self.run)


class Convergence(_OfRun):
    """Residual and error over the steps of a run, and what they say.

    Parameters
    ----------
    run : Run
    """

    def picture(self) -> Any:
        """Return the curves as a matplotlib figure."""
        return curves(self.run)


class Spectrum(_OfRun):
    """Singular values of a run's operator against the data, and what they say.

    Parameters
    ----------
    run : Run
    """

    _tab = "Spectrum"

    def picture(self) -> Any:
        """Return the spectrum as a matplotlib figure, or None where there is none."""
        self.wait(PATIENCE)
        return None if self._screen.report is None else drawn(spectrum(self._screen.report))


class Parameter(_Single):
    """Error and residual over what regularizes, with what every rule chooses, and a marker to walk along it.

    Parameters
    ----------
    spec : RunSpec, JSON text or mapping
        A method with a parameter, a weight or steps to choose.
    """

    _tab = "Parameter"

    def __init__(self, spec: Any) -> None:
        super().__init__(as_spec(spec))
        self._screen.show_problem(build(as_spec(spec)))
        self._screen.parameter.look(True)
        self._screen.show_spec(as_spec(spec))
        self._screen.parameter.begin()

    def _parts(self) -> list[Any]:
        return [self._screen.parameter, self._screen.explained]

    def picture(self) -> Any:
        """Return the curves as a matplotlib figure, or None where there is no parameter to choose."""
        self.wait(PATIENCE)
        return None if self._screen.swept is None else drawn(rules(self._screen.swept))
