"""A run as one HTML file: pictures, curves, what they mean, what it cost, how to repeat and to cite it."""

from __future__ import annotations

import base64
import html
import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from explorer.catalogue import SHELVES, SpecError
from explorer.engine.cite import cite
from explorer.engine.links import to_link
from explorer.engine.run import Run
from explorer.engine.spec import Choice, RunSpec
from explorer.figures.comparison import facts
from explorer.figures.panels import after, before
from explorer.figures.paper import curves, pictures, png
from explorer.figures.words import explain

#: nothing is asked from anywhere, whatever stands in the file
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; max-width: 60rem; margin: 2rem auto;
    padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
img { max-width: 100%; height: auto }
.note { border-left: 4px solid #6b7480; padding: 0 0.8rem; margin: 0.6rem 0 }
.warn { border-color: #8a5300 } .good { border-color: #0f6b3f }
table { border-collapse: collapse } th, td { text-align: left; padding: 0.15rem 1rem 0.15rem 0; vertical-align: top }
pre { background: #f4f5f7; padding: 0.8rem; overflow-x: auto; font-size: 13px }
"""
_WORDS = {
    "steps": "steps", "products": "products with A and Aᴴ", "seconds": "seconds", "relative_error": "relative error",
    "psnr": "PSNR / dB", "ssim": "SSIM", "memory": "memory / MiB, about",
}  # fmt: skip


def report(run: Run, path: str | Path) -> Path:
    """Write a run as one HTML file that needs nothing else, and return its path.

    Parameters
    ----------
    run : Run
    path : str or Path
        Where to write; a file that is there is replaced.

    Raises
    ------
    SpecError
        If the file cannot be written.
    """
    path = Path(path)
    try:
        path.write_text(report_html(run), encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path.name!r} cannot be written: {error.strerror}", "path") from None
    return path


def report_html(run: Run) -> str:
    """Return a run as an HTML document; see :func:`report`."""
    spec = run.spec
    title = " · ".join(_title(RunSpec.kinds[f], c) for f in ("problem", "operator", "solver") if (c := _part(spec, f)))
    seen = " ".join(panel.description for panel in (*before(run.problem), *after(run.problem, run.x)))
    notes = "".join(
        f'<div class="note {_said(n.kind)}"><b>{_said(n.title)}</b><p>{_said(n.text)}</p></div>' for n in explain(run)
    )
    sections = {
        "What came out": _image(pictures(run), seen) + notes,
        "How it went": _image(curves(run), "Residual and error over the steps of the run."),
        "In numbers": _table((_WORDS.get(k, k), v) for k, v in facts(run).items() if k != "ended")
        + _table((f"products or calls: {name}", count) for name, count in sorted(run.costs.items())),
        "What it is made of": "".join(_about(spec, field, kind) for field, kind in RunSpec.kinds.items()),
        "The same again": f"<p>In Python: <code>ex.run(ex.RunSpec.from_json(text))</code>, with this text:</p>"
        f"<pre>{_said(spec.to_json())}</pre>{_link(spec)}",
        "To cite": f"<pre>{_said(cite(spec) or 'nothing was named by the parts of this run')}</pre>",
    }
    body = "".join(f"<section><h2>{_said(name)}</h2>{inside}</section>" for name, inside in sections.items())
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_said(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{_said(title)}</h1>{body}<footer><p>{_said(_made_by())}</p></footer></body></html>\n"
    )


def _said(text: Any) -> str:
    return html.escape(str(text))


def _part(spec: RunSpec, field: str) -> Choice | None:
    choice: Choice | None = getattr(spec, field)
    return choice


def _title(kind: str, choice: Choice) -> str:
    return SHELVES[kind][choice.name].title


def _image(figure: Any, description: str) -> str:
    data = base64.b64encode(png(figure, dpi=130)).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{_said(description)}">'


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{_said(name)}</th><td>{_said(_number(value))}</td></tr>' for name, value in rows
    )
    return f"<table>{cells}</table>"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _about(spec: RunSpec, field: str, kind: str) -> str:
    choice = _part(spec, field)
    if choice is None or choice.name in ("none", "fixed"):
        return ""
    component = SHELVES[kind][choice.name]
    equation = f"<p><code>{_said(component.equation)}</code></p>" if component.equation else ""
    head = f"<h3>{_said(component.title)} <small>({_said(field)})</small></h3><p>{_said(component.summary)}</p>"
    return head + equation + _table(_flat(choice.as_dict()["params"]))


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield every knob with its dotted name, those of nested parts included."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield f"{prefix}{name}", value.get("name", "")
            yield from _flat(value.get("params", {}), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _link(spec: RunSpec) -> str:
    try:
        return f"<p>As the end of a link to any page with an Explorer:</p><pre>{_said(to_link(spec))}</pre>"
    except SpecError:  # too long for one
        return ""


def _made_by() -> str:
    try:
        return f"Made by Explorer {importlib.metadata.version('explorer-inverse')}."
    except importlib.metadata.PackageNotFoundError:
        return "Made by Explorer."
