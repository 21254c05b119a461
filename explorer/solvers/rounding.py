"""Where rounding ends what a method can still do; relative to the sample itself, so that scale does not matter."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def settled(gradient2: Tensor, residual2: Tensor, norm2: Tensor, data2: Tensor, eps: float) -> Tensor:
    r"""Return where ``‖Aᴴr‖ ≤ eps ‖A‖ ‖r‖`` or ``‖r‖ ≤ eps ‖y‖``: rounding of zero, where going on gains nothing.

    These are the stopping rules of Paige & Saunders 1982 (LSQR: An algorithm for sparse linear equations and sparse
    least squares) at machine precision. With damping, ``λ ‖x‖ ≤ ‖A‖ ‖r‖`` at the solution, so that the same bound
    covers the rounding of ``Aᴴr − λx``.

    Parameters
    ----------
    gradient2, residual2, norm2, data2 : Tensor
        Squares of ‖Aᴴr‖, ‖r‖, ‖A‖ (an estimate from below will do) and ‖y‖, shape ``(*batch,)``.
    eps : float
        Rounding unit of the precision.

    Returns
    -------
    Tensor
        Boolean, shape ``(*batch,)``; false where something is NaN.
    """
    unit = _unit(eps**2, norm2.dtype, norm2.device)
    return (gradient2 <= unit * norm2 * residual2) | (residual2 <= unit * data2)


@functools.cache
def _unit(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a number as a tensor; to make one of it in every product takes longer than the product."""
    return torch.tensor(value, dtype=dtype, device=device)
