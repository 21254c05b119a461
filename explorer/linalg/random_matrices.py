"""Spectra of large matrices of independent entries, and of such matrices to which something small was added.

Marchenko & Pastur 1967: Distribution of eigenvalues for some sets of random matrices.
Baik, Ben Arous & Péché 2005: Phase transition of the largest eigenvalue for nonnull complex sample covariance matrices.
Benaych-Georges & Nadakuditi 2011: The eigenvalues and eigenvectors of finite, low rank perturbations of large random
matrices. 2012: The singular values and vectors of low rank perturbations of large rectangular random matrices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def marchenko_pastur(at: Tensor, ratio: float, variance: float = 1.0) -> Tensor:
    """Return the density of eigenvalues of ``XᴴX / m``, X of m × n independent entries, ``ratio = n/m``, zeros apart.

    Marchenko & Pastur 1967: Distribution of eigenvalues for some sets of random matrices. It integrates to
    ``min(1, 1/ratio)``.
    """
    low, high = marchenko_pastur_edges(ratio, variance)
    inside = (at > low) & (at < high)
    body = ((high - at) * (at - low)).clamp(min=0).sqrt()
    return torch.where(inside, body / (2 * math.pi * variance * ratio * torch.where(inside, at, 1.0)), 0.0)


def marchenko_pastur_edges(ratio: float, variance: float = 1.0) -> tuple[float, float]:
    """Return the ends of the bulk, ``σ² (1 ∓ √ratio)²``."""
    return variance * (1 - math.sqrt(ratio)) ** 2, variance * (1 + math.sqrt(ratio)) ** 2


def semicircle(at: Tensor, radius: float) -> Tensor:
    """Return Wigner's density ``2/(π R²) √(R² − x²)`` of a symmetric matrix of independent entries, R = 2σ√n.

    Wigner 1958: On the distribution of the roots of certain symmetric matrices.
    """
    return 2 / (math.pi * radius**2) * (radius**2 - at**2).clamp(min=0).sqrt()


def spiked_value(strength: Tensor, ratio: float) -> Tensor:
    """Return where a component shows among the eigenvalues of ``XᴴX / m``: at the edge where it is too weak.

    Parameters
    ----------
    strength : Tensor
        Squared singular value of the component over m, for entries of variance one.
    ratio : float
        ``n/m``.
    """
    t = torch.clamp(strength, min=math.sqrt(ratio))
    return (1 + t) * (ratio + t) / t


def spike_strength(value: Tensor, ratio: float) -> Tensor:
    """Return the strength that shows at an eigenvalue above the bulk, the inverse of :func:`spiked_value`."""
    b = value - 1 - ratio
    return (b + (b**2 - 4 * ratio).clamp(min=0).sqrt()) / 2


def spike_overlaps(strength: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Return the squared cosines between the component's right and left vectors and the observed ones."""
    t = torch.clamp(strength, min=math.sqrt(ratio))
    return (t**2 - ratio) / (t * (t + ratio)), (t**2 - ratio) / (t * (t + 1))


def spiked_eigenvalue(strength: Tensor, radius: float) -> Tensor:
    """Return where an eigenvalue that was added to a symmetric matrix of chance shows: at the edge if too small."""
    t = strength.sign() * strength.abs().clamp(min=radius / 2)
    return t + radius**2 / (4 * t)


def spike_of_eigenvalue(value: Tensor, radius: float) -> Tensor:
    """Return the inverse of :func:`spiked_eigenvalue` outside the bulk."""
    return (value + value.sign() * (value**2 - radius**2).clamp(min=0).sqrt()) / 2


def spike_overlap(strength: Tensor, radius: float) -> Tensor:
    """Return the squared cosine between the eigenvector that was added and the observed one."""
    return 1 - radius**2 / (4 * strength.abs().clamp(min=radius / 2) ** 2)
