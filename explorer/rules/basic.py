"""The first rules: fixed, the discrepancy principle and generalised cross-validation."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, rule


@rule("Fixed parameter", picks="none")
def fixed() -> Tensor:
    """Take the solver's own parameter and its last step."""
    return torch.zeros(())


@rule(
    "Discrepancy principle",
    papers=["Morozov 1966: On the solution of functional equations by the method of regularization"],
    equation=r"\|A x_\lambda - y\| = \tau\, \mathbb{E}\|n\|",
    picks="first",
    works="Noise of known level.",
    fails="A level that is under-stated is never reached; one that is over-stated smooths too much.",
)
def discrepancy(
    residual: Tensor,
    noise_norm: Tensor,
    *,
    tau: Annotated[float, Linear(0.5, 5, help="safety factor τ ≥ 1 when the noise level is exact")] = 1.02,
) -> Tensor:
    """Take the strongest regularisation whose residual is within τ times the expected noise norm."""
    return residual - tau * noise_norm


@rule(
    "Generalised cross-validation",
    papers=["Golub, Heath & Wahba 1979: Generalized cross-validation as a method for choosing a good ridge parameter"],
    equation=r"\min\; \|A x_\lambda - y\|^2 / (m - \mathrm{dof}_\lambda)^2",
    picks="minimum",
    works="White noise of unknown level, and many data.",
    fails="Correlated noise; few data, with which its minimum is flat and it may pick far too little.",
)
def gcv(residual: Tensor, dof: Tensor, data_size: int) -> Tensor:
    """Take the candidate of least predicted error, without knowing the noise level.

    Direct methods know their effective degrees of freedom; CGLS and LSQR estimate them by a random probe.
    """
    free = data_size - dof
    return torch.where(torch.as_tensor(free > 0), residual**2 / free**2, torch.inf)
