"""What to cite for a run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from string import ascii_lowercase
from typing import Any

from explorer.catalogue import SHELVES, Component, source
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec

_PAPER = re.compile(r"^(?P<authors>.+?) (?P<year>\d{4}): (?P<title>.+)$")


def cite(run: Run | RunSpec) -> str:
    """Return BibTeX entries of the papers behind every part of a run, nested parts included, each once.

    Parameters
    ----------
    run : Run or RunSpec

    Examples
    --------
    >>> print(cite(RunSpec(problem="blocks", solver="cgls")).splitlines()[0])
    @misc{donoho1994ideal,
    """
    spec = run.spec if isinstance(run, Run) else run
    papers: dict[str, None] = {}
    for field, kind in RunSpec.kinds.items():
        choice = getattr(spec, field)
        if choice is not None:
            papers |= _papers(SHELVES[kind][choice.name], choice.params)
    return _entries(papers)


def bibtex(component: Component) -> str:
    """Return a component's own papers as BibTeX."""
    return _entries(component.papers)


def _papers(component: Component, params: Mapping[str, Any]) -> dict[str, None]:
    found = dict.fromkeys(component.papers)
    for name, knob in component.knobs.items():
        if knob.type == "part" and params.get(name) is not None:
            found |= _papers(SHELVES[knob.kind][params[name]["name"]], params[name]["params"])
    return found


def _entries(papers: Iterable[str]) -> str:
    """Return the entries of papers; a key that is taken already gets a letter, as is the custom."""
    made: dict[str, str] = {}
    for entry in filter(None, map(_entry, papers)):
        key = entry.partition("{")[2].partition(",")[0]
        free = next(k for k in (key, *(key + letter for letter in ascii_lowercase[1:])) if k not in made)
        made[free] = entry.replace(key, free, 1)
    return "\n\n".join(made.values())


def _entry(paper: str) -> str:
    """Return the BibTeX entry of ``Authors year: Title``; its key is first author, year and first word of weight.

    A row of the method list is cited by its title; its authors and year are for the reader to add.
    """
    match = _PAPER.match(paper)
    if match is None:
        number, _, title = source(paper).partition(": ")
        return f"@misc{{{_plain(number)},\n  title = {{{title}}}\n}}" if title else ""
    first = _plain(re.split(r"[\s,&]", match["authors"])[0])
    words = [_plain(word) for word in match["title"].split()]
    key = first + match["year"] + next((w for w in words if w not in ("", "a", "an", "on", "the")), "")
    authors = re.sub(r"\s*(?:,|&)\s*", " and ", match["authors"])
    fields = {"author": authors, "title": match["title"], "year": match["year"]}
    return f"@misc{{{key},\n" + ",\n".join(f"  {k} = {{{v}}}" for k, v in fields.items()) + "\n}"


def _plain(word: str) -> str:
    """Return a word in lower-case ASCII letters and digits, as keys of BibTeX must be."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", word).lower())
