"""Approximate inverses that are diagonal: in the entries, or in the Fourier or cosine basis.

The contract of every preconditioner: from a positive self-adjoint operator H it makes a positive self-adjoint
``M ≈ H⁻¹``. H is the operator A itself, for methods that solve ``A x = y``, or ``AᴴA``, for methods of least squares.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch.nn.functional import pad

from explorer.catalogue import Help, Log, SpecError, preconditioner
from explorer.linalg import Space, safe_divide
from explorer.operators.base import Diagonal, LinearOperator
from explorer.operators.blur import PeriodicConvolution
from explorer.operators.transforms import Cosine, Diagonalized

System = Annotated[Literal["A", "gram"], Help("what is inverted: A itself, or for least squares its Gram operator AᴴA")]


def positive_system(A: LinearOperator, system: str) -> LinearOperator:
    """Return the operator to be inverted, A or ``AᴴA``.

    Raises
    ------
    SpecError
        If A itself is meant and is not positive and self-adjoint, or acts on blocks.
    """
    H = A.H @ A if system == "gram" else A
    if not isinstance(H.domain, Space):
        raise SpecError(f"{A.title} acts on blocks, and these preconditioners on one space: use 'none'", "precond")
    if not (H.self_adjoint and H.positive):
        raise SpecError(
            f"{A.title} is not positive and self-adjoint: set the preconditioner's system to 'gram', "
            "for methods of least squares",
            "precond.params.system",
        )
    return H


@preconditioner(
    "Jacobi",
    name="jacobi",
    equation=r"M = \mathrm{diag}(H)^{-1}",
    papers=["van der Sluis 1969: Condition numbers and equilibration of matrices"],
    works="Unknowns of very unlike scales, such as columns whose norms differ by decades.",
    fails="Blurs and Laplacians, whose diagonal is nearly constant: it rescales them and saves no step.",
)
def jacobi(A: LinearOperator, *, system: System = "A") -> LinearOperator:
    """Divide by the diagonal: what helps where unknowns are of unlike scales; 0 where the diagonal is 0."""
    H = positive_system(A, system)
    diagonal = H.main_diagonal()
    if diagonal is None:
        raise SpecError(f"the diagonal of {H.title} is not known cheaply: try the preconditioner 'fourier'", "precond")
    M = Diagonal(H.domain, safe_divide(torch.ones_like(diagonal), diagonal), positive=True)
    M.title = f"Jacobi's inverse of {H.title}"
    return M


@preconditioner(
    "Fourier diagonal (Strang)",
    name="fourier",
    equation=r"M = F^{-1} \,\mathrm{diag}(\hat h + \mu)^{-1} F",
    papers=[
        "Strang 1986: A proposal for Toeplitz matrix calculations",
        "Ng, Chan & Tang 1999: A fast algorithm for deblurring models with Neumann boundary conditions",
    ],
    works="Blurs and other operators that do the same everywhere, the basis chosen to match the borders.",
    fails="Operators that vary over the image; too small a shift lifts the frequencies where only noise is left.",
)
def fourier(
    A: LinearOperator,
    *,
    system: System = "A",
    basis: Annotated[Literal["fourier", "cosine"], Help("cosines suit borders that mirror the image")] = "fourier",
    shift: Annotated[float, Log(0, 1, help="μ, added to the eigenvalues, relative to the largest")] = 1e-2,
) -> LinearOperator:
    """Invert the convolution that answers an impulse in the middle as H does.

    Where H is Toeplitz this is Strang's circulant matrix: the diagonals in the middle, wrapped around. The inverse is
    exact (but for the shift) where H is a convolution with periodic borders, or with mirroring ones in
    the cosine basis. Eigenvalues below zero, which a truncated answer can have, count as zero.
    """
    H = positive_system(A, system)
    X, middle = H.domain, tuple(n // 2 for n in H.domain.shape)
    impulse = X.zeros()
    impulse[middle] = 1
    answer = H(impulse)
    axes = tuple(range(-X.ndim, 0))
    if basis == "cosine":  # the cosines are the even waves of twice the length
        answer = pad(answer, [side for n in reversed(X.shape) for side in (0, n)])
    values = torch.fft.fftn(answer.roll([-m for m in middle], axes), dim=axes).real.clamp(min=0)
    values = values[tuple(slice(n) for n in X.shape)]
    values = values + shift * values.max()
    inverse = safe_divide(torch.ones_like(values), values)
    M: LinearOperator = (
        Diagonalized(Cosine(X), inverse, positive=True)
        if basis == "cosine"
        else PeriodicConvolution(X, inverse, positive=True)
    )
    M.title = f"a Fourier inverse of {H.title}"
    return M
