"""Where rounding ends what a method can still do; relative to the sample itself, so that scale does not matter."""

from __future__ import annotations

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
    return (gradient2 <= eps**2 * norm2 * residual2) | (residual2 <= eps**2 * data2)
