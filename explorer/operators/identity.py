"""The identity as a forward model: denoising."""

from __future__ import annotations

from explorer.catalogue import operator
from explorer.linalg import ProductSpace, Space
from explorer.operators.base import Identity


@operator(
    "Identity",
    finer={},
    equation="A = I",
    works="Denoising: the effect of a prior is seen with nothing else in the way.",
    fails="Nothing is ill-posed: without a prior, the noisy data themselves are the least-squares answer.",
)
def identity(domain: Space | ProductSpace) -> Identity:
    """Observe the unknown itself: the problem is denoising."""
    return Identity(domain)
