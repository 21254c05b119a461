"""What a page does to an Explorer, for tests that have none."""

from typing import Any

from explorer.widgets.explorer import Explorer

SMALL = {"problem": {"name": "blocks", "params": {"size": 64}}, "operator": "gaussian_blur", "solver": "cgls"}


def report(widget: Explorer, **message: Any) -> None:
    """Say to an Explorer what its page would say."""
    buffers = message.pop("buffers", None)
    widget._receive(widget._controls, {"seq": widget._controls.seq + 1, **message}, buffers)


def rows(widget: Explorer) -> dict[str, dict[str, Any]]:
    """Return the rows of the form by their id."""
    return {row["id"]: row for group in widget._controls.groups for row in group["rows"]}
