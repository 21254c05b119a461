"""What to cite for a run."""

from __future__ import annotations

import re

from explorer.catalogue import SHELVES, Component
from explorer.engine.run import Run
from explorer.engine.spec import RunSpec

_PAPER = re.compile(r"^(?P<authors>.+?) (?P<year>\d{4}): (?P<title>.+)$")


def cite(run: Run | RunSpec) -> str:
    """Return BibTeX entries of the papers behind every part of a run, each once.

    Parameters
    ----------
    run : Run or RunSpec
    """
    spec = run.spec if isinstance(run, Run) else run
    found: dict[str, str] = {}
    for field, kind in RunSpec.kinds.items():
        choice = getattr(spec, field)
        if choice is not None:
            found |= bibtex(SHELVES[kind][choice.name])
    return "\n\n".join(found.values())


def bibtex(component: Component) -> dict[str, str]:
    """Return a component's papers as BibTeX by key; rows of the method list have no entry of their own."""
    made = {}
    for paper in component.papers:
        if (match := _PAPER.match(paper)) is not None:
            first = re.split(r"[ ,&]", match["authors"])[0].lower()
            key = f"{first}{match['year']}{component.name}"
            authors = re.sub(r"\s*(?:,|&)\s*", " and ", match["authors"])
            made[key] = (
                f"@misc{{{key},\n  author = {{{authors}}},\n  title = {{{match['title']}}},\n  year = {{{match['year']}}}\n}}"
            )
    return made
