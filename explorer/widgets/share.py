"""Taking a run elsewhere: a link that restores its settings, and files to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anywidget
import traitlets

from explorer.catalogue import SpecError
from explorer.engine.links import to_link
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec
from explorer.engine.store import data
from explorer.figures.paper import png, summary, svg
from explorer.figures.report import report_html
from explorer.widgets.background import Latest
from explorer.widgets.canvas import HERE

#: ending of a file to what its button says, its media type, and what makes it
FILES: Mapping[str, tuple[str, str, Callable[[Run], bytes]]] = {
    "png": ("Figures as PNG", "image/png", lambda run: png(summary(run), dpi=150)),
    "svg": ("Figures as SVG", "image/svg+xml", lambda run: svg(summary(run))),
    "npz": ("Data as npz", "application/octet-stream", data),
    "html": ("Report as HTML", "text/html", lambda run: report_html(run).encode()),
}


class Share(anywidget.AnyWidget):
    """Buttons that copy a link to the present settings and download the run on the screen.

    Parameters
    ----------
    adopt : callable
        Called with a link that the page was opened with.

    Attributes
    ----------
    fragment : str
        The end of the link, from ``#`` on; empty where the settings are too long for one.
    files : list of (ending, label)
        What can be downloaded.
    ready : bool
        Whether there is a run to download.
    said : str
        What happened last, or what is wrong.
    taken : str
        The link that was adopted last; a page opened again does not adopt it once more.
    """

    _esm = HERE / "share.js"

    fragment = traitlets.Unicode("").tag(sync=True)
    files: Any = traitlets.List().tag(sync=True)
    ready = traitlets.Bool(False).tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)
    taken = traitlets.Unicode("").tag(sync=True)

    def __init__(self, adopt: Callable[[str], None] | None = None) -> None:
        self.adopt = adopt
        self._run: Run | None = None
        self._making = Latest("explorer-share")
        super().__init__(files=[[ending, label] for ending, (label, *_) in FILES.items()])
        self.on_msg(self._receive)

    def offer(self, run: Run | None) -> None:
        """Let a run be downloaded."""
        self._run, self.ready = run, run is not None and run.x is not None

    def point_to(self, spec: RunSpec) -> None:
        """Let the link restore a specification."""
        try:
            self.fragment, self.said = to_link(spec), ""
        except SpecError as error:
            self.fragment, self.said = "", f"No link: {error.message}."

    def file(self, ending: str) -> tuple[str, bytes]:
        """Return name and content of a file of the run on the screen.

        Raises
        ------
        SpecError
            If there is no run, or no such kind of file.
        """
        if ending not in FILES:
            raise SpecError(f"is {ending[:20]!r}, and must be one of {', '.join(FILES)}", "file")
        if self._run is None or self._run.x is None:
            raise SpecError("there is no result to download yet: press Run first")
        return f"explorer-{self._run.spec.solver.name}.{ending}", FILES[ending][2](self._run)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the last file that was asked for is made; return whether that came within `timeout` seconds."""
        return self._making.wait(timeout)

    def _receive(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        if "link" in content and self.adopt is not None:
            self.taken = str(content["link"])
            self.adopt(self.taken)
        elif "download" in content:
            self.said = "The file is being made …"
            self._making(partial(self._make, str(content["download"])))

    def _make(self, ending: str) -> None:
        """Make a file and hand it to the page."""
        try:
            name, made = self.file(ending)
        except SpecError as error:
            self.said = error.message[:1].upper() + error.message[1:] + "."
            return
        except Exception:
            self.said = "The file could not be made; the kernel's log says why."
            raise
        self.said = f"{name}: {len(made) / 1024:,.0f} KiB"
        self.send({"file": name, "type": FILES[ending][1]}, buffers=[made])
