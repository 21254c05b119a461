"""Forward models and their algebra, one family a file.

Every registered operator is also a plain callable here: ``explorer.operators.gaussian_blur(domain, sigma=2)``.
"""

from __future__ import annotations

from typing import Any

from explorer import catalogue
from explorer.operators.base import SVD, ForwardModel, LinearOperator

__all__ = ["SVD", "ForwardModel", "LinearOperator"]


def __getattr__(name: str) -> Any:
    return catalogue.operators.public(name, __name__)
