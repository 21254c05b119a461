"""The last picture and the choices, kept in the notebook: seen without a kernel, and found again by the next one."""

from __future__ import annotations

import base64
import html
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.catalogue import SpecError
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec
from explorer.figures.paper import png, summary
from explorer.widgets import cells
from explorer.widgets.changes import Rest

#: what the output is called beside its picture
KIND = "application/vnd.explorer.state+json"
#: seconds of rest before the output is written again: a picture costs more than most changes
PAUSE = 1.0
_SAID = "Kept with the notebook. Run this cell to go on from these settings."
#: the page says of a widget without a kernel only that its model was not found
_STYLE = (
    "<style>.jp-OutputArea-child:has(.ex-saved) ~ * > .jp-OutputArea-output.jupyter-widgets:not(:has(*)) "
    "{ display: none; } .ex-saved img { max-width: 100%; background: #fff; }</style>"
)


class Saved:
    """An output beside the widget, which the widget's style sheet hides as long as the widget is there."""

    def __init__(self) -> None:
        self._display = {"display_id": f"explorer-{uuid.uuid4()}"}
        self._drawn: tuple[Run | None, str] = (None, "")  # a run and its picture
        self._published = False
        self._rest = Rest()

    def publish(self, kept: Mapping[str, str], run: Run | None, later: bool = False) -> bool:
        """Put the output into the cell that is being executed; return whether there is one.

        Its picture can come `later`: it takes a second, for which a person who sees the widget need not wait.
        """
        if cells.kernel() is None:
            return False
        self._send(kept, None if later else run, update=False)
        self._published = True
        if later:
            self.refresh(kept, run)
        return True

    def refresh(self, kept: Mapping[str, str], run: Run | None) -> None:
        """Write the output again when nothing has changed for a while."""
        if self._published:
            self._rest(PAUSE, lambda: self._send(kept, run, update=True))

    def close(self) -> None:
        """Write nothing any more."""
        self._published = False
        self._rest.cancel()

    def _send(self, kept: Mapping[str, str], run: Run | None, update: bool) -> None:
        from IPython.display import publish_display_data

        if run is not None and self._drawn[0] is not run:
            self._drawn = run, base64.b64encode(png(summary(run))).decode("ascii")
        said = "Explorer, not run yet" if run is None else repr(run)
        publish_display_data(output(kept, said, self._drawn[1]), transient=self._display, update=update)


def output(kept: Mapping[str, str], said: str, picture: str) -> dict[str, Any]:
    """Return the output: a picture for people, and the settings.

    Parameters
    ----------
    kept : mapping
        Of :func:`state`.
    said : str
        The result in a line.
    picture : str
        A PNG, in base 64; empty where there is none yet.
    """
    shown = f'<img alt="{html.escape(said)}" src="data:image/png;base64,{picture}">' if picture else ""
    return {
        "text/plain": said,
        "text/html": f'<div class="ex-saved">{_STYLE}{shown}<p>{_SAID}</p></div>',
        KIND: dict(kept),
    }


def state(spec: RunSpec, first: RunSpec) -> dict[str, str]:
    """Return what is kept of a cell: what was chosen, and what its own code asks for."""
    return {"spec": spec.to_json(indent=None), "first": first.to_json(indent=None)}


def remembered(kept: Any, first: RunSpec) -> RunSpec | None:
    """Return the settings that were kept, if they were made from the same code."""
    try:
        return RunSpec.from_json(kept["spec"]) if RunSpec.from_json(kept["first"]) == first else None
    except (SpecError, KeyError, TypeError):
        return None


def found(first: RunSpec) -> RunSpec | None:
    """Return the settings that the notebook's file keeps for the cell that is being executed.

    JupyterLab tells the kernel both the file and the cell; nothing is found where nobody does.
    """
    cell, file = cells.executed(), Path(os.environ.get("JPY_SESSION_NAME", ""))
    if cell is None or file.suffix != ".ipynb":
        return None
    try:
        return in_notebook(json.loads(file.read_text(encoding="utf-8")), cell, first)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def in_notebook(notebook: Mapping[str, Any], cell: str, first: RunSpec) -> RunSpec | None:
    """Return the settings that a cell of a notebook keeps for the same code, or None."""
    outputs = [o for c in notebook["cells"] if c.get("id") == cell for o in c.get("outputs", ())]
    kept = (remembered(o.get("data", {}).get(KIND), first) for o in outputs)
    return next((spec for spec in kept if spec is not None), None)
