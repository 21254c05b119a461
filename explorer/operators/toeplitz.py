"""Matrices that are constant along diagonals: Toeplitz, circulant and Hankel, by fast Fourier transforms.

Gray 2006: Toeplitz and Circulant Matrices: A review.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.blur import convolution
from explorer.operators.capabilities import SIGNAL

Signal = Annotated[Space, SIGNAL]
Ratio = Annotated[float, Linear(-0.99, 0.99, help="ratio of neighbouring diagonals, at and below the main one")]


def toeplitz_operator(domain: Space, column: Tensor, row: Tensor | None = None) -> LinearOperator:
    """Return the Toeplitz matrix with this first column and row, ``A_ij = c_{i−j}`` below and ``r_{j−i}`` above.

    Parameters
    ----------
    domain : Space
        Signals of n samples; complex if an entry is.
    column, row : Tensor
        Shape ``(n,)``; without a row it is the column's conjugate, and ``row[0]`` is not used.
    """
    row = column.conj() if row is None else row
    if column.shape != domain.shape or row.shape != domain.shape:
        raise SpecError(f"column and row have shapes {tuple(column.shape)} and {tuple(row.shape)}, not {domain.shape}")
    return convolution(domain, torch.cat((row[1:].flip(0), column)), boundary="zero")


def circulant_operator(domain: Space, column: Tensor) -> LinearOperator:
    """Return the circulant matrix with this first column, ``A_ij = c_{(i−j) mod n}``."""
    if column.shape != domain.shape:
        raise SpecError(f"the first column has shape {tuple(column.shape)}, and must have {domain.shape}")
    return convolution(domain, column.roll(len(column) // 2), boundary="periodic")


class Hankel(LinearOperator):
    """``A_ij = h_{i+j}``, a Toeplitz matrix after reversing the signal; self-adjoint where real.

    Parameters
    ----------
    domain : Space
        Signals of n samples.
    sequence : Tensor
        h, shape ``(2n − 1,)``.
    positive : bool
        Whether the matrix is known to be; it is where h are the moments of a positive density.
    """

    title = "this Hankel matrix"

    def __init__(self, domain: Space, sequence: Tensor, *, positive: bool = False) -> None:
        super().__init__(domain)
        n = domain.size
        if len(sequence) != 2 * n - 1:
            raise SpecError(f"the sequence has {len(sequence)} entries, and must have {2 * n - 1}")
        self.toeplitz = toeplitz_operator(domain, sequence[n - 1 :], sequence[:n].flip(0))
        self.self_adjoint, self.positive = not sequence.is_complex(), positive
        diagonal = sequence[::2].to(domain.device)
        self.diagonal = diagonal.to(domain.dtype if diagonal.is_complex() else real_dtype(domain.dtype))

    def _forward(self, x: Tensor) -> Tensor:
        return self.toeplitz._forward(x.flip(-1))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.toeplitz._adjoint(y).flip(-1)

    def gram_diagonal(self) -> Tensor | None:
        """Return the Toeplitz matrix's, reversed."""
        diagonal = self.toeplitz.gram_diagonal()
        return None if diagonal is None else diagonal.flip(-1)

    def main_diagonal(self) -> Tensor:
        """Return every other entry of the sequence."""
        return self.diagonal


@operator(
    "Toeplitz",
    papers=["Kac, Murdock & Szegő 1953: On the eigenvalues of certain Hermitian forms"],
    equation=r"A_{ij} = \rho^{\,i-j}\ (i \ge j),\quad \tau^{\,j-i}\ (i < j)",
    works="Signals with a memory that fades in time; well-conditioned unless the ratio is near ±1.",
    fails="Equal ratios near 1 weaken fast changes: the condition approaches ((1 + ρ)/(1 − ρ))².",
)
def toeplitz(
    domain: Signal,
    *,
    ratio: Ratio = 0.9,
    upper: Annotated[float | None, Linear(-0.99, 0.99, help="ratio above the main diagonal; if not set, the same")] = (
        None
    ),
) -> LinearOperator:
    """Diagonals that fall off geometrically; with one ratio it is positive, the covariance of a Markov process."""
    k = torch.arange(domain.size, dtype=torch.float64)
    tau = ratio if upper is None else upper
    made = toeplitz_operator(domain, ratio**k, tau**k)
    made.title = "Toeplitz matrix"
    made.positive, made.nonnegative = tau == ratio, min(ratio, tau) >= 0
    return made


@operator(
    "Circulant",
    papers=["Gray 2006: Toeplitz and Circulant Matrices: A review"],
    equation=r"A_{ij} = \rho^{\,(i-j) \bmod n}",
    works="Exponential smoothing on a ring, undone exactly by a Fourier transform.",
    fails="A ratio near 1 weakens all but the mean, by up to (1 + ρ)/(1 − ρ); ends are joined.",
)
def circulant(domain: Signal, *, ratio: Ratio = 0.9) -> LinearOperator:
    """A memory that fades, on a ring: exponential smoothing, whose inverse has two diagonals only."""
    made = circulant_operator(domain, ratio ** torch.arange(domain.size, dtype=torch.float64))
    made.title, made.nonnegative = "Circulant matrix", ratio >= 0
    return made


@operator(
    "Hankel",
    papers=["Widom 1966: Hankel matrices", "Beckermann & Townsend 2017: On the singular values of matrices"],
    equation=r"A_{ij} = (i + j - 1)^{-p}",
    works="Lessons on moments, and on a fast product for a matrix that need not be stored.",
    fails="Eigenvalues fall exponentially: a few dozen coefficients at most survive rounding, and fewer survive noise.",
)
def hankel(
    domain: Signal,
    *,
    power: Annotated[float, Log(0.1, 4, help="how fast entries fall; 1 is the Hilbert matrix")] = 0.5,
) -> Hankel:
    """Moments of the density ``(log 1/t)^{p−1}/Γ(p)`` on [0, 1]: positive, its eigenvalues fall exponentially."""
    made = Hankel(domain, torch.arange(1, 2 * domain.size, dtype=torch.float64) ** -power, positive=True)
    made.title, made.nonnegative = "Hankel matrix", True
    return made
