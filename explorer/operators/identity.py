"""The identity as a forward model: denoising."""

from __future__ import annotations

from explorer.catalogue import operator
from explorer.linalg import ProductSpace, Space
from explorer.operators.base import Identity


@operator("Identity", finer={}, equation="A = I")
def identity(domain: Space | ProductSpace) -> Identity:
    """Observe the unknown itself: the problem is denoising."""
    return Identity(domain)
