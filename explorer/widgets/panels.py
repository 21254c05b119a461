"""The parts of the Explorer beside its controls: sentences, code, and what is known of the chosen parts."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Sequence
from typing import Any

import anywidget
import ipywidgets
import traitlets

from explorer.catalogue import SHELVES, Component, source
from explorer.engine.cite import cite
from explorer.engine.spec import RunSpec
from explorer.figures.words import Note
from explorer.widgets.canvas import HERE

#: a space at which no line ends
UNBROKEN = "\u00a0"


class Controls(anywidget.AnyWidget):
    """A form drawn from plain data; what a person does comes back as a message.

    Attributes
    ----------
    groups : list of dict
        Titles and rows, as :func:`explorer.widgets.knobs.groups` makes them.
    options : dict
        Row to the components that it offers, for lists that have been opened.
    pictures : dict
        Option to its picture, as the address of an image, for lists of cards.
    seq : int
        Number of the newest message that `groups` takes account of.
    plain_keys : bool
        Whether plain keys pressed anywhere in the Explorer are reported.
    state : dict
        What the page remembers of the cell, for the kernel that comes after this one.
    """

    _esm = HERE / "controls.js"
    _css = HERE / "explorer.css"

    groups: Any = traitlets.List().tag(sync=True)
    options: Any = traitlets.Dict().tag(sync=True)
    pictures: Any = traitlets.Dict().tag(sync=True)
    seq = traitlets.Int(0).tag(sync=True)
    plain_keys = traitlets.Bool(False).tag(sync=True)
    state: Any = traitlets.Dict().tag(sync=True)


class Tabs(anywidget.AnyWidget):
    """A row of tabs, of which one is `selected`."""

    _esm = HERE / "tabs.js"

    titles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)


class Code(anywidget.AnyWidget):
    """Pieces of text to copy: pairs of title and text."""

    _esm = HERE / "code.js"

    pieces: Any = traitlets.List().tag(sync=True)


def text(value: str = "", *classes: str) -> ipywidgets.HTML:
    """Return a piece of HTML that fills its place."""
    made = ipywidgets.HTML(value)
    for name in classes:
        made.add_class(name)
    return made


def notes_html(notes: Sequence[Note], most: int = 5, here: str = "") -> str:
    """Return notes as cards, with a way to the tab that shows it, unless it is `here`; all but `most` are folded."""
    cards = [
        f'<div class="ex-note ex-{html.escape(n.kind)}"><b>{html.escape(set_well(n.title))}</b>'
        f"<p>{html.escape(set_well(n.text))}{_leads_to(n) if n.tab not in ('', here) else ''}</p></div>"
        for n in notes
    ]
    rest = len(cards) - most
    folded = f'<details class="ex-more"><summary>{rest} more</summary>{"".join(cards[most:])}</details>'
    return "".join(cards[:most]) + (folded if rest > 0 else "")


def _leads_to(note: Note) -> str:
    """Return a button to the tab with the figure that shows what a note says."""
    tab, name = html.escape(note.tab), html.escape(f"Show it in the tab {note.tab}: {note.title}", quote=True)
    return f' <button type="button" class="ex-to-tab" data-ex-tab="{tab}" aria-label="{name}">See {tab}</button>'


def set_well(said: str) -> str:
    """Return a sentence with its numbers and norms as print sets them: 3e-07 as 3 × 10⁻⁷, and no line ends within."""
    powers = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    said = re.sub(r"(\d)e([+-]\d+)\b", lambda m: f"{m[1]} × 10{str(int(m[2])).translate(powers)}", said)
    said = re.sub(r"(?<![\w.)\]])-(?=\d)", "−", said)
    return re.sub(r"‖[^‖]{1,12}‖|\d × 10", lambda m: m[0].replace(" ", UNBROKEN), said)


def progress_html(fraction: float | None, said: str) -> str:
    """Return a progress bar with its text; without a fraction it only shows that something happens."""
    value = "" if fraction is None else f' value="{fraction:.3f}"'
    return (
        f'<div class="ex-progress"><progress max="1"{value} aria-label="Progress of the run"></progress>'
        f"<span>{' · '.join(f'<span>{html.escape(part)}</span>' for part in said.split(' · '))}</span></div>"
    )


def message_html(said: str, kind: str) -> str:
    """Return the message line: an alert is read out at once, a status when there is time."""
    if not said:
        return ""
    role = "alert" if kind == "alert" else "status"
    return f'<div class="ex-message ex-{kind}" role="{role}">{html.escape(said)}</div>'


def costs(spent: Any) -> str:
    """Return named costs in words: ``280 A, 280 Aᴴ``."""
    return ", ".join(f"{spent[name]:,} {name}" for name in sorted(spent))


# --- code ---------------------------------------------------------------------------------------------------------


def code_pieces(spec: RunSpec) -> list[list[str]]:
    """Return the same run in Python, as JSON, for papermill, for the command line, and what to cite."""
    compact = spec.to_json(indent=None)
    run = "papermill notebooks/00-start-here.ipynb out.ipynb -p spec"
    pieces = [
        ["Python", python_cell(spec)],
        ["JSON", spec.to_json()],
        ["papermill", f"{run} {shlex.quote(compact)}"],
        ["Command line, with the JSON above as spec.json", "python -m explorer run spec.json --out DIR"],
    ]
    references = cite(spec)
    return [*pieces, ["BibTeX", references]] if references else pieces


def python_cell(spec: RunSpec) -> str:
    """Return a Python cell that makes the same run; what is left at its default is left out."""
    lines = []
    for name, value in spec.model_dump().items():
        default = getattr(RunSpec(), name)
        if name != "version" and getattr(spec, name) != default:
            lines.append(f"    {name}={_brief(spec, name, value)},\n")
    return f"import explorer as ex\n\nspec = ex.RunSpec(\n{''.join(lines)})\nrun = ex.run(spec)\nrun\n"


def _brief(spec: RunSpec, name: str, value: Any) -> str:
    if name in RunSpec.kinds and value is not None:
        defaults = SHELVES[RunSpec.kinds[name]][value["name"]].check({})
        changed = {k: v for k, v in value["params"].items() if v != defaults[k]}
        return repr({"name": value["name"], "params": changed} if changed else value["name"])
    if name == "record":
        fields = type(spec.record)().model_dump()
        return repr({k: v for k, v in value.items() if v != fields[k]})
    return repr(value)


# --- about --------------------------------------------------------------------------------------------------------


def about_html(spec: RunSpec) -> str:
    """Return what is known of every chosen part: equation, summary, cost, when it works and when it fails, papers."""
    parts = []
    for field, kind in RunSpec.kinds.items():
        choice = getattr(spec, field)
        if choice is not None and choice.name not in ("none", "fixed", "budget"):
            parts.append(_about(SHELVES[kind][choice.name]))
    return f'<div class="ex-about">{"".join(parts)}</div>'


def _about(component: Component) -> str:
    escape = html.escape
    lines = [f"<h4>{escape(component.title)} <small>{escape(component.kind)}</small></h4>"]
    summary = re.sub("``(.+?)``", r"<code>\1</code>", escape(component.summary))
    lines.append(f"<p>{summary}</p>")
    if component.equation:
        lines.append(f"<p>$${escape(component.equation, quote=False)}$$</p>")
    if component.traits.get("per_step"):
        lines.append(f"<p>A step costs {escape(costs(component.traits['per_step']))}.</p>")
    told = {title: component.traits.get(name) for name, title in _WHEN.items()}
    lines += [f"<p><b>{title}:</b> {escape(said)}</p>" for title, said in told.items() if said]
    if component.papers:
        items = "".join(f"<li>{escape(source(paper))}</li>" for paper in component.papers)
        lines.append(f"<ul>{items}</ul>")
    return f"<section>{''.join(lines)}</section>"


_WHEN = {"works": "Works", "fails": "Fails"}
