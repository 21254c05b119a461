"""A sentence or two for the person who looks at a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """A sentence or two about a run.

    Attributes
    ----------
    kind : str
        ``warn``, ``good`` or ``plain``: how it is set; the title says the same in words.
    title, text : str
    tab : str
        Tab whose figure shows it, if there is one.
    """

    kind: str
    title: str
    text: str
    tab: str = ""
