"""Preconditioners: approximate inverses.

Every registered one is also a plain callable here.
"""

from __future__ import annotations

from typing import Any

from explorer import catalogue


def __getattr__(name: str) -> Any:
    return catalogue.preconditioners.public(name, __name__)
