"""Approximate inverses that a transform diagonalises: optimal circulants, Poisson's equation, Sobolev norms."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, preconditioner
from explorer.linalg import safe_divide
from explorer.operators.base import LinearOperator
from explorer.operators.gradient import Gradient
from explorer.operators.rows import MAX_ENTRIES, dense
from explorer.operators.sobolev import Boundary, Order, Sobolev
from explorer.operators.transforms import Fourier
from explorer.preconditioners.diagonal import System, positive_system
from explorer.preconditioners.matrices import Inverse

Shift = Annotated[float, Log(0, 1, help="μ, added to the eigenvalues, relative to the largest")]


def middle(H: LinearOperator) -> Tensor:
    """Return ``⟨e, H e⟩`` for an impulse e in the middle: what says how large H is."""
    index = tuple(n // 2 for n in H.domain.shape)
    impulse = H.domain.zeros()
    impulse[index] = 1
    return H(impulse)[index].real


class _Diagonal(Inverse):
    """``W⁻¹ diag(v)⁻¹ W`` with a transform W, and the eigenvalues v made at first use."""

    def __init__(self, H: LinearOperator, transform: LinearOperator, shift: float) -> None:
        super().__init__(H)
        self.transform, self.shift = transform, shift

    def _values(self) -> Tensor:
        raise NotImplementedError

    def _prepare(self) -> Tensor:
        values = self._values()
        values = values + self.shift * values.max()
        return safe_divide(torch.ones_like(values), values)

    def _solve(self, parts: Tensor, x: Tensor) -> Tensor:
        W = self.transform
        return W._adjoint(parts * W._forward(x.reshape(-1, *self.domain.shape)))


class _Optimal(_Diagonal):
    def _values(self) -> Tensor:
        H, W = self.system, self.transform
        if self.domain.size**2 <= MAX_ENTRIES:
            columns = W._forward(dense(H).mT.reshape(-1, *self.domain.shape)).reshape(self.domain.size, -1)
            both = W._forward(columns.mH.reshape(-1, *self.domain.shape)).reshape(self.domain.size, -1)
            return both.diagonal().real.clamp(min=0).reshape(self.domain.shape)
        index = tuple(n // 2 for n in self.domain.shape)
        impulse = self.domain.zeros()
        impulse[index] = 1
        answer = H(impulse)
        for axis, n in enumerate(self.domain.shape):
            away = (torch.arange(n, device=answer.device, dtype=answer.real.dtype) - n // 2).abs() / n
            answer = answer * (1 - away).reshape(-1, *(1,) * (self.domain.ndim - axis - 1))
        axes = tuple(range(-self.domain.ndim, 0))
        return torch.fft.fftn(answer.roll([-i for i in index], axes), dim=axes).real.clamp(min=0)


@preconditioner(
    "Optimal circulant (T. Chan)",
    name="optimal_circulant",
    equation=r"M = C^{-1},\quad C = \mathrm{argmin}_C \|H - C\|_F = F^{-1} \mathrm{diag}(\mathrm{diag}(F H F^{-1})) F",
    papers=[
        "Chan 1988: An optimal circulant preconditioner for Toeplitz systems",
        "Tyrtyshnikov 1992: Optimal and superoptimal circulant preconditioners",
    ],
    works="Toeplitz matrices of good condition, such as narrow blurs with zero borders.",
    fails="Ill-conditioned ones: mean diagonals miss the small eigenvalues, so the condition stays large.",
)
def optimal_circulant(A: LinearOperator, *, system: System = "A", shift: Shift = 0.0) -> LinearOperator:
    """Invert the circulant matrix nearest to H: its diagonals are the means of those of H, wrapped round.

    Strang's, which copies the middle diagonals, is the preconditioner 'fourier'. Where the matrix is too large to be
    made, H is taken to be block Toeplitz and to reach no further than half the size: its answer to an impulse in the
    middle, tapered by ``1 − |k|/n``, then gives the same means.
    """
    H = positive_system(A, system)
    M = _Optimal(H, Fourier(H.domain), shift)
    M.title = f"the optimal circulant inverse of {H.title}"
    return M


class _Poisson(_Diagonal):
    def __init__(self, H: LinearOperator, periodic: bool, shift: float) -> None:
        gram = Gradient(H.domain, periodic=periodic).gram_svd()
        super().__init__(H, gram.V.H, shift)
        self.laplacian = Gradient(H.domain, periodic=periodic)

    def _values(self) -> Tensor:
        degree = self.laplacian.gram_diagonal()[tuple(n // 2 for n in self.domain.shape)]
        return self.laplacian.gram_svd().s * safe_divide(middle(self.system), degree)


@preconditioner(
    "Poisson by fast transforms",
    name="poisson",
    equation=r"M = \tfrac{1}{c} (-\Delta + \mu)^{-1}",
    papers=["Buzbee, Golub & Nielson 1970: On direct methods for solving Poisson's equations"],
    works="Systems that differentiate, such as diffusion with coefficients that vary little.",
    fails="Blurs: it damps the high frequencies that they damp already, and the condition gets worse.",
)
def poisson(
    A: LinearOperator, *, system: System = "A", boundary: Boundary = "neumann", shift: Shift = 1e-3
) -> LinearOperator:
    """Invert the Laplacian, by cosines where the image is mirrored at its border: for problems that differentiate.

    The scale c makes both answer an impulse in the middle alike. Without the shift the mean, which the Laplacian does
    not see, is left out.
    """
    H = positive_system(A, system)
    M = _Poisson(H, boundary == "periodic", shift)
    M.title = f"Poisson's inverse of {H.title}"
    return M


class _Sobolev(_Diagonal):
    def __init__(self, H: LinearOperator, order: float, periodic: bool) -> None:
        smooth = Sobolev(H.domain, -2 * order, periodic)
        super().__init__(H, smooth.transform, 0.0)
        self.smooth = smooth

    def _values(self) -> Tensor:
        return self.smooth.values * (middle(self.system) / middle(self.smooth))


@preconditioner(
    "Sobolev",
    name="sobolev",
    equation=r"M = \tfrac{1}{c} (I - \Delta)^{s}",
    papers=["row 81", "Neuberger 1997: Sobolev gradients and differential equations"],
    works="Noisy deblurring with s below 0: noise comes in late, and the best step is hard to miss.",
    fails="It inverts nothing: below 0 fine detail takes many steps, above 0 noise comes in early.",
)
def sobolev(
    A: LinearOperator, *, system: System = "A", order: Order = -1.0, boundary: Boundary = "periodic"
) -> LinearOperator:
    """Measure the misfit in a Sobolev norm, for convolutions: high frequencies come late (s < 0) or soon.

    For a convolution ``Aᴴ(I − Δ)ˢ(A x − y)`` is the plain gradient behind this M: below 0 noise comes in late and the
    iteration regularises, above 0 it sharpens. M approximates no inverse; c gives it the scale of one.
    """
    H = positive_system(A, system)
    M = _Sobolev(H, order, boundary == "periodic")
    M.title = f"a Sobolev weight of order {order:g}"
    return M
