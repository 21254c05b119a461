"""Analyses: what explains an operator or a run.

Every registered one is also a plain callable here.
"""

from __future__ import annotations

from typing import Any

from explorer import catalogue


def __getattr__(name: str) -> Any:
    return catalogue.analyses.public(name, __name__)
