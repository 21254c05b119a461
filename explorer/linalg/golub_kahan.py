"""Golub–Kahan bidiagonalization.

Golub & Kahan 1965: Calculating the singular values and pseudo-inverse of a matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.linalg.arithmetic import axpy, safe_divide, scale


def largest_singular_value(A: Any, v: Any, steps: int) -> Tensor:
    """Estimate the spectral norm of `A` from below by Golub–Kahan steps from `v`, without reorthogonalisation.

    Parameters
    ----------
    A : LinearOperator
    v : Tensor
        Start in the domain, shape ``(*batch, *domain.shape)``.
    steps : int
        Number of steps, at most the size of the domain.

    Returns
    -------
    Tensor
        The largest singular value of the bidiagonal matrix, shape ``(*batch,)``.
    """
    steps = min(steps, A.domain.size, A.codomain.size)
    v = scale(safe_divide(torch.ones((), device=A.domain.device), A.domain.norm(v)), v)
    alphas, betas = [], []
    u, beta = A.codomain.zeros(A.domain.batch(v)), torch.zeros((), device=A.domain.device)
    for _ in range(steps):
        u = axpy(-beta, u, A.forward(v))
        alpha = A.codomain.norm(u)
        u = scale(safe_divide(torch.ones_like(alpha), alpha), u)
        v = axpy(-alpha, v, A.adjoint(u))
        beta = A.domain.norm(v)
        v = scale(safe_divide(torch.ones_like(beta), beta), v)
        alphas.append(alpha)
        betas.append(beta)
    k = len(alphas)
    bidiagonal = torch.zeros(*alphas[0].shape, k, k + 1, dtype=alphas[0].dtype, device=alphas[0].device)
    bidiagonal.diagonal(0, -2, -1).copy_(torch.stack(alphas, -1))
    # with the last one: exact once u has been through the codomain
    bidiagonal.diagonal(1, -2, -1).copy_(torch.stack(betas, -1))
    return torch.linalg.matrix_norm(bidiagonal, 2)
