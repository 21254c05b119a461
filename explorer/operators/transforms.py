"""Orthogonal transforms, orthonormal, and the operators that are diagonal in them.

Makhoul 1980: A fast cosine transform in one and two dimensions. Bracewell 1983: Discrete Hartley transform.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from explorer.linalg import Space
from explorer.linalg.spaces import complex_dtype
from explorer.operators.algebra import Adjoint
from explorer.operators.base import SVD, Diagonal, Identity, LinearOperator, phase


def on_real_parts(apply: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a real linear map, which takes a batch, to real and imaginary part of `x`."""
    if not x.is_complex():
        return apply(x)
    parts = apply(torch.stack((x.real, x.imag)))
    return torch.complex(parts[0], parts[1])


def dct(x: Tensor, ndim: int) -> Tensor:
    r"""Return the orthonormal cosine transform (DCT-II) of real `x` along its last `ndim` dimensions.

    ``X_k = w_k Σ_j x_j cos(π k (2j+1) / 2n)`` with ``w_0 = √(1/n)`` and ``w_k = √(2/n)``.
    """
    for axis in range(-ndim, 0):
        x = _dct(x.movedim(axis, -1)).movedim(-1, axis)
    return x


def idct(x: Tensor, ndim: int) -> Tensor:
    """Return the inverse of :func:`dct`, which is its transpose."""
    for axis in range(-ndim, 0):
        x = _idct(x.movedim(axis, -1)).movedim(-1, axis)
    return x


def _dct(x: Tensor) -> Tensor:
    """Even samples forwards and odd ones backwards: then X_k = Re(2 e^{−iπk/2n} FFT_k)."""
    reordered = torch.cat((x[..., ::2], x[..., 1::2].flip(-1)), dim=-1)
    return (torch.fft.fft(reordered) * _twiddle(x)).real


def _idct(x: Tensor) -> Tensor:
    """Transpose of :func:`_dct`, step by step backwards."""
    n = x.shape[-1]
    reordered = torch.fft.ifft(x * _twiddle(x).conj(), norm="forward").real
    made = torch.empty_like(reordered)
    made[..., ::2] = reordered[..., : (n + 1) // 2]
    made[..., 1::2] = reordered[..., (n + 1) // 2 :].flip(-1)
    return made


def _twiddle(x: Tensor) -> Tensor:
    n = x.shape[-1]
    k = torch.arange(n, dtype=torch.float64, device=x.device)
    weight = torch.full_like(k, math.sqrt(2 / n))
    weight[0] = math.sqrt(1 / n)
    return torch.polar(weight, -math.pi / 2 / n * k).to(complex_dtype(x.dtype))


class Cosine(LinearOperator):
    """The orthonormal cosine transform (DCT-II) in every dimension."""

    title = "the cosine transform"
    isometry = True
    coisometry = True
    sliced = True

    def _forward(self, x: Tensor) -> Tensor:
        return on_real_parts(lambda u: dct(u, self.domain.ndim), x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return on_real_parts(lambda u: idct(u, self.domain.ndim), y)


class Sine(LinearOperator):
    """The orthonormal sine transform (DST-I) in every dimension, with ``S² = I``.

    ``X_k = √(2/(n+1)) Σ_j x_j sin(π (j+1)(k+1)/(n+1))``
    """

    title = "the sine transform"
    self_adjoint = True
    isometry = True
    coisometry = True
    sliced = True

    def _forward(self, x: Tensor) -> Tensor:
        return on_real_parts(self._real, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def _real(self, x: Tensor) -> Tensor:
        for axis in _axes(self.domain):
            n = x.shape[axis]
            zero = torch.zeros_like(x.narrow(axis, 0, 1))
            odd = torch.cat((zero, x, zero, -x.flip(axis)), dim=axis)
            x = torch.fft.rfft(odd, dim=axis).imag.narrow(axis, 1, n) * (-1 / math.sqrt(2 * (n + 1)))
        return x


class Hartley(LinearOperator):
    """The orthonormal Hartley transform ``H x = Re F x − Im F x`` with the unitary Fourier transform F; ``H² = I``."""

    title = "the Hartley transform"
    self_adjoint = True
    isometry = True
    coisometry = True
    sliced = True

    def _forward(self, x: Tensor) -> Tensor:
        return on_real_parts(self._real, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def _real(self, x: Tensor) -> Tensor:
        z = torch.fft.fftn(x, dim=_axes(self.domain), norm="ortho")
        return z.real - z.imag


class Fourier(LinearOperator):
    """The unitary Fourier transform in every dimension; its codomain is complex."""

    title = "the Fourier transform"
    isometry = True
    sliced = True

    def __init__(self, domain: Space) -> None:
        super().__init__(domain, Space(domain.shape, complex_dtype(domain.dtype), domain.device))
        self.coisometry = domain.is_complex

    def _forward(self, x: Tensor) -> Tensor:
        return torch.fft.fftn(x, dim=_axes(self.domain), norm="ortho")

    def _adjoint(self, y: Tensor) -> Tensor:
        x = torch.fft.ifftn(y, dim=_axes(self.domain), norm="ortho")
        return x if self.domain.is_complex else x.real

    def gram_diagonal(self) -> Tensor:
        """Return ones."""
        return torch.ones(self.domain.shape, dtype=self.domain.dtype, device=self.domain.device).real

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Frequencies."""
        return tuple((f"frequency {i}", "cycles/n") for i in range(self.domain.ndim))


def _axes(space: Space) -> tuple[int, ...]:
    return tuple(range(-space.ndim, 0))


class Diagonalized(LinearOperator):
    """``A = Wᴴ diag(values) W`` with an orthogonal transform W.

    Parameters
    ----------
    transform : LinearOperator
        W, unitary.
    values : Tensor
        Eigenvalues in the shape of W's codomain.
    positive : bool
        Whether they are known to be ≥ 0.
    """

    sliced = True

    def __init__(self, transform: LinearOperator, values: Tensor, *, positive: bool = False) -> None:
        super().__init__(transform.domain)
        self.transform, self.values = transform, values
        self.self_adjoint, self.positive = not values.is_complex(), positive

    has_svd = True

    def _forward(self, x: Tensor) -> Tensor:
        return self.transform._adjoint(self.values * self.transform._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.transform._adjoint(self.values.conj() * self.transform._forward(y))

    def svd(self) -> SVD:
        """Return moduli as values and phases on the left."""
        right = self.transform.H
        signs = Diagonal(self.transform.codomain, phase(self.values))
        signs.isometry = signs.coisometry = True
        return SVD(right if self.positive else right @ signs, self.values.abs(), right)


def same_transform(a: LinearOperator, b: LinearOperator) -> bool:
    """Say whether two bases are the same by structure: one object, or one transform of one space."""
    if a is b:
        return True
    if type(a) is not type(b) or a.domain != b.domain or a.codomain != b.codomain:
        return False
    if isinstance(a, Adjoint) and isinstance(b, Adjoint):
        return same_transform(a.operator, b.operator)
    return isinstance(a, Cosine | Fourier | Hartley | Identity | Sine)


__all__ = [
    "Cosine",
    "Diagonalized",
    "Fourier",
    "Hartley",
    "Identity",
    "Sine",
    "dct",
    "idct",
    "on_real_parts",
    "same_transform",
]
