"""Problems: signals, images, phantoms and the person's own files.

Every registered one is also a plain callable here.
"""

from __future__ import annotations

from typing import Any

from explorer import catalogue
from explorer.problems.base import Truth

__all__ = ["Truth"]


def __getattr__(name: str) -> Any:
    return catalogue.problems.public(name, __name__)
