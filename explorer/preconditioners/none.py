"""No preconditioner."""

from __future__ import annotations

from explorer.catalogue import preconditioner


@preconditioner("No preconditioner", name="none", equation="M = I")
def none() -> None:
    """Leave the system as it is."""
