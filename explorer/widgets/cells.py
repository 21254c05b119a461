"""Which widgets a cell shows: when it is run again the older ones are closed, or every page would load them too."""

from __future__ import annotations

from typing import Any

import ipywidgets

#: cell to its last execution and what that has shown
_CELLS: dict[str, tuple[str, list[ipywidgets.Widget]]] = {}


def kernel() -> Any:
    """Return the kernel that this runs in, or None."""
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None)


def executed() -> str | None:
    """Return the cell that is being executed, where the page tells the kernel."""
    try:
        return str(kernel().get_parent()["metadata"]["cellId"])
    except (AttributeError, KeyError, TypeError):
        return None


def shows(widget: ipywidgets.Widget) -> None:
    """Note that the cell that is being executed shows a widget.

    Whatever an earlier execution of the same cell showed is closed at the end of this one, unless it is shown again,
    or in another cell.
    """
    where = executed()
    if where is None:
        return
    execution = str(kernel().get_parent()["header"]["msg_id"])
    before, there = _CELLS.get(where, ("", []))
    if before == execution:
        there.append(widget)
        return
    _CELLS[where] = execution, [widget]
    if not there:
        return
    events = kernel().shell.events

    def close_older(*_: Any) -> None:
        events.unregister("post_run_cell", close_older)
        elsewhere = {id(kept) for _, widgets in _CELLS.values() for kept in widgets}
        for old in there:
            if id(old) not in elsewhere:
                old.close()

    events.register("post_run_cell", close_older)


def close_parts(widget: ipywidgets.Widget) -> None:
    """Close the widgets of which a widget is made, shown or not; closing it alone leaves them open."""
    met: dict[int, Any] = {}
    waiting: list[Any] = [widget]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, (list, tuple)):
            waiting += thing
        elif isinstance(thing, dict):
            waiting += list(thing.values())
        elif id(thing) not in met and (isinstance(thing, ipywidgets.Widget) or _ours(thing)):
            met[id(thing)] = thing
            waiting.append(vars(thing))  # among them the traits: children, layout and style
    for thing in met.values():
        if isinstance(thing, ipywidgets.Widget) and thing is not widget:
            thing.close()


def _ours(thing: Any) -> bool:
    return type(thing).__module__.startswith("explorer.widgets.") and hasattr(thing, "__dict__")
