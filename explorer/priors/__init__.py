"""Priors: value, proximal map, gradient, denoiser.

Every registered one is also a plain callable here.
"""

from __future__ import annotations

from typing import Any

from explorer import catalogue
from explorer.priors.base import Prior

__all__ = ["Prior"]


def __getattr__(name: str) -> Any:
    return catalogue.priors.public(name, __name__)
