"""Effective degrees of freedom of conjugate gradients, by a random probe.

Girard 1989: A fast Monte-Carlo cross-validation procedure for large least squares problems with noisy data.
Santos & De Pierro 2003: A cheaper way to compute generalized cross-validation as a stopping rule for linear stationary
iterative methods.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from explorer.linalg import axpy, axpy_, clone, xpay_
from explorer.operators.base import LinearOperator


class Influence:
    """Follows conjugate gradients on a probe, and so estimates the trace of the map from data to fitted data.

    With its step lengths α and β held, k steps of the method are a linear map K of the data; for a probe w of random
    signs ``E⟨w, A K w⟩ = trace(A K)``. That the lengths depend on the data themselves is left out. The number of steps
    is no substitute on large problems: one step fits many directions. Costs one A and one Aᴴ a step.

    Parameters
    ----------
    A : LinearOperator
    probe : Tensor
        Random signs in the codomain, shape ``(*batch, *codomain.shape)``; real and imaginary where complex.
    damping : float or Tensor
        Tikhonov weight λ of the method.
    """

    def __init__(self, A: LinearOperator, probe: Tensor, damping: float | Tensor = 0.0) -> None:
        self.A, self.damping = A, damping
        self.x: Any = A.domain.zeros(A.codomain.batch(probe))
        self.r = clone(probe)
        self.back = A.adjoint(probe)
        self.p = clone(self.back)

    def follow(self, alpha: Tensor, beta: Tensor) -> Tensor:
        """Take the step that the method took, and return the degrees of freedom so far, shape ``(*batch,)``."""
        axpy_(self.x, alpha, self.p)
        axpy_(self.r, -alpha, self.A(self.p))
        xpay_(self.p, beta, axpy(-self.damping, self.x, self.A.adjoint(self.r)))
        return self.A.domain.inner(self.back, self.x).real
