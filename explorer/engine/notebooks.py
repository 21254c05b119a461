"""Notebooks as tests: numbers recorded in a MIME bundle, executed by papermill, read back with nbformat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from explorer.catalogue import SpecError

MIME = "application/vnd.explorer.result+json"


class Numbers:
    """Named numbers that a notebook cell shows and a test reads back.

    Parameters
    ----------
    values : mapping
        Name to number, list of numbers, text or truth value; arrays and tensors become lists.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {name: _plain(value) for name, value in values.items()}

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME: self.values, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {_short(value)}" for name, value in self.values.items())


def record(**values: Any) -> Numbers:
    """Record numbers of a notebook: make this the last line of a cell.

    Examples
    --------
    >>> record(best_step=48, psnr=20.31)
    best_step: 48
    psnr: 20.31
    """
    return Numbers(values)


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def execute(notebook: str | Path, output: str | Path, parameters: Mapping[str, Any] | None = None) -> Path:
    """Execute a copy of a notebook with parameters.

    Raises
    ------
    SpecError
        If the notebook has no such parameter; papermill itself would only warn.
    """
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    for name in parameters or {}:
        if name not in known:
            has = ", ".join(known) or "none"
            raise SpecError(f"{Path(notebook).name} has no parameter {name!r}; it has {has}", "notebook")
    papermill.execute_notebook(
        str(notebook),
        str(output),
        parameters=dict(parameters or {}),
        progress_bar=False,
        store_widget_state=False,
        cwd=str(Path(notebook).parent),
    )
    return Path(output)


def numbers(notebook: str | Path) -> dict[str, Any]:
    """Return every number that an executed notebook recorded."""
    import nbformat

    found: dict[str, Any] = {}
    for cell in nbformat.read(str(notebook), as_version=4).cells:
        for output in cell.get("outputs", []):
            found |= output.get("data", {}).get(MIME, {})
    return found
