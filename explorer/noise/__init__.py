"""Noise models: sample, negative log-likelihood, whitening.

Every registered one is also a plain callable here.
"""

from __future__ import annotations

from typing import Any

from explorer import catalogue
from explorer.noise.base import NoiseModel

__all__ = ["NoiseModel"]


def __getattr__(name: str) -> Any:
    return catalogue.noises.public(name, __name__)
