"""Blurs: convolution with a kernel under a boundary condition.

Ng, Chan & Tang 1999: A fast algorithm for deblurring models with Neumann boundary conditions. Hansen, Nagy & O'Leary
2006: Deblurring Images: Matrices, Spectra, and Filtering.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, SpecError, operator
from explorer.linalg import Space
from explorer.linalg.spaces import complex_dtype, real_dtype
from explorer.operators.algebra import Kronecker
from explorer.operators.base import SVD, DenseMatrix, LinearOperator, phase
from explorer.operators.transforms import Cosine, Diagonalized, Fourier, Hartley

Boundary = Literal["periodic", "zero", "reflexive"]
BoundaryKnob = Annotated[Boundary, Help("what lies beyond the border: the other side, nothing, or the mirror image")]

#: longest side for which a Gaussian with zero boundary is a product of small dense matrices, with an SVD
MAX_DENSE_SIDE = 1024


class _Convolution(LinearOperator):
    """Extend to a periodic grid, multiply by the transfer function in the Fourier domain, restrict.

    Parameters
    ----------
    domain : Space
    transfer : Tensor
        Fourier transform of the kernel on the whole grid, real where the kernel is symmetric.
    """

    title = "this convolution"
    sliced = True

    def __init__(self, domain: Space, transfer: Tensor) -> None:
        super().__init__(domain)
        self.transfer = transfer

    def _filter(self, x: Tensor, transfer: Tensor) -> Tensor:
        """Convolve periodically on the grid of the transfer function; `x` is padded by zeros to it."""
        grid = tuple(transfer.shape)
        axes = tuple(range(-self.domain.ndim, 0))
        if x.is_complex():
            return torch.fft.ifftn(torch.fft.fftn(x, s=grid, dim=axes) * transfer, dim=axes)
        half = transfer[..., : grid[-1] // 2 + 1]
        return torch.fft.irfftn(torch.fft.rfftn(x, s=grid, dim=axes) * half, s=grid, dim=axes)

    def _restrict(self, x: Tensor) -> Tensor:
        for axis, n in zip(range(-self.domain.ndim, 0), self.domain.shape, strict=True):
            x = x.narrow(axis, 0, n)
        return x


class PeriodicConvolution(_Convolution):
    """Convolution with periodic boundaries, ``A = F⁻¹ diag(h) F``.

    Parameters
    ----------
    domain : Space
    transfer : Tensor
        h in the shape of the domain; ``h(−k) = conj h(k)`` exactly if the domain is real, and real for a symmetric
        kernel.
    """

    def __init__(self, domain: Space, transfer: Tensor, *, positive: bool = False) -> None:
        if tuple(transfer.shape) != domain.shape:
            raise SpecError(f"the transfer function has shape {tuple(transfer.shape)}, and must have {domain.shape}")
        super().__init__(domain, transfer)
        self.self_adjoint, self.positive = not transfer.is_complex(), positive

    def _forward(self, x: Tensor) -> Tensor:
        return self._filter(x, self.transfer)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self.transfer.conj())

    has_svd = True

    def svd(self) -> SVD:
        """Return ``U = P V``, ``s = |h|`` with the convolution P by the phases of h, and V the Hartley transform.

        ``F⁻¹ diag(|h|) F = V diag(|h|) V`` because |h| is even. Complex signals have the Fourier transform for V.
        """
        right = Fourier(self.domain).H if self.domain.is_complex else Hartley(self.domain)
        phases = PeriodicConvolution(self.domain, phase(self.transfer))
        phases.isometry = phases.coisometry = True
        return SVD(right if self.positive else phases @ right, self.transfer.abs(), right)

    def gram_diagonal(self) -> Tensor:
        """Return the kernel's energy everywhere."""
        return (self.transfer.abs() ** 2).mean().expand(self.domain.shape).clone()


class ZeroConvolution(_Convolution):
    """Convolution of a signal that is zero beyond its border, by a grid long enough that nothing wraps around."""

    def __init__(self, domain: Space, transfer: Tensor, *, positive: bool = False) -> None:
        super().__init__(domain, transfer)
        self.self_adjoint, self.positive = not transfer.is_complex(), positive

    def _forward(self, x: Tensor) -> Tensor:
        return self._restrict(self._filter(x, self.transfer))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._restrict(self._filter(y, self.transfer.conj()))

    def gram_diagonal(self) -> Tensor:
        """Return the energy of that part of the kernel which stays inside: a correlation of its squares with ones."""
        energy = torch.fft.fftn(torch.fft.ifftn(self.transfer).abs() ** 2).to(complex_dtype(self.transfer.dtype))
        ones = torch.ones(self.domain.shape, dtype=self.domain.dtype, device=self.domain.device).real
        return self._restrict(self._filter(ones, energy.conj()))


class ReflexiveConvolution(_Convolution):
    """Convolution of a signal that is mirrored at its border; the transfer function has twice its length."""

    def _forward(self, x: Tensor) -> Tensor:
        for axis in range(-self.domain.ndim, 0):
            x = torch.cat((x, x.flip(axis)), dim=axis)
        return self._restrict(self._filter(x, self.transfer))

    def _adjoint(self, y: Tensor) -> Tensor:
        x = self._filter(y, self.transfer.conj())
        for axis in range(-self.domain.ndim, 0):
            inside, mirrored = x.chunk(2, dim=axis)
            x = inside + mirrored.flip(axis)
        return x


def convolution(domain: Space, kernel: Tensor, *, boundary: Boundary = "periodic") -> LinearOperator:
    """Return the convolution with any kernel.

    Parameters
    ----------
    domain : Space
        Signals or images; complex if the kernel is.
    kernel : Tensor
        One dimension for each of the domain; its entry ``size // 2`` is the origin.
    boundary : {"periodic", "zero", "reflexive"}

    Returns
    -------
    LinearOperator
        Self-adjoint where the kernel is symmetric and the boundary leaves it so; positive where in addition the
        kernel's centre outweighs all its other entries together.
    """
    if kernel.ndim != domain.ndim:
        raise SpecError(f"the kernel has {kernel.ndim} dimensions, and must have {domain.ndim} as the domain does")
    if kernel.is_complex() and not domain.is_complex:
        raise SpecError("the kernel is complex, and the signal is real: use a complex dtype")
    if boundary not in get_args(Boundary):
        raise SpecError(f"the boundary is {boundary!r}, and must be one of {', '.join(get_args(Boundary))}")
    kernel = kernel.cpu().to(torch.complex128 if kernel.is_complex() else torch.float64)
    kernel = torch.nn.functional.pad(kernel, [p for n in reversed(kernel.shape) for p in (0, 1 - n % 2)])
    axes = tuple(range(kernel.ndim))
    hermitian = torch.equal(kernel, kernel.flip(axes).conj())
    even = all(torch.equal(kernel, kernel.flip(a)) for a in axes)
    centre = kernel[tuple(n // 2 for n in kernel.shape)]
    positive = hermitian and bool(2 * centre.real >= kernel.abs().sum())
    if boundary == "periodic":
        h = _transfer(kernel, domain.shape, domain, real=hermitian)
        return PeriodicConvolution(domain, h, positive=positive)
    if boundary == "zero":
        reach = [min(k // 2, n - 1) for k, n in zip(kernel.shape, domain.shape, strict=True)]
        kernel = kernel[tuple(slice(k // 2 - r, k // 2 + r + 1) for k, r in zip(kernel.shape, reach, strict=True))]
        grid = [_fast_length(n + r) for n, r in zip(domain.shape, reach, strict=True)]
        return ZeroConvolution(domain, _transfer(kernel, grid, domain, real=hermitian), positive=positive)
    double = [2 * n for n in domain.shape]
    if not even:
        return ReflexiveConvolution(domain, _transfer(kernel, double, domain, real=hermitian))
    values = _transfer(kernel, double, domain, real=hermitian)[tuple(slice(n) for n in domain.shape)]
    return Diagonalized(Cosine(domain), values.contiguous(), positive=positive)


def _transfer(kernel: Tensor, grid: Sequence[int], domain: Space, *, real: bool) -> Tensor:
    """Return the Fourier transform of a kernel of odd lengths, wrapped around `grid`; on ``meta`` its shape alone.

    A real kernel's transfer function is made conjugate symmetric to the last bit, so that its phases are too.
    """
    dtype = real_dtype(domain.dtype) if real else complex_dtype(domain.dtype)
    if domain.device.type == "meta":
        return torch.empty(tuple(grid), dtype=dtype, device="meta")
    position = torch.zeros((), dtype=torch.int64)
    for k, g in zip(kernel.shape, grid, strict=True):
        position = position.unsqueeze(-1) * g + (torch.arange(k) - k // 2) % g
    wrapped = torch.zeros(math.prod(grid), dtype=kernel.dtype).index_add_(0, position.reshape(-1), kernel.reshape(-1))
    h = torch.fft.fftn(wrapped.reshape(tuple(grid)))
    if not kernel.is_complex():
        axes = tuple(range(h.ndim))
        h = (h + h.flip(axes).roll((1,) * h.ndim, axes).conj()) / 2
    return (h.real if real else h).to(domain.device, dtype)


def _fast_length(n: int) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(n, real=True))


# --- Gaussian -----------------------------------------------------------------------------------------------------


def gaussian_transfer(sigma: float, frequency: Tensor) -> Tensor:
    r"""Return the transfer function of the sampled Gaussian ``exp(−j²/2σ²)``, normalised to 1 at frequency 0.

    By Poisson's summation it is ``Σ_m exp(−2π²σ²(f+m)²)`` up to the factor, hence positive; no digits cancel.
    """
    aliases = torch.arange(-math.ceil(2 / sigma) - 1, math.ceil(2 / sigma) + 2, dtype=torch.float64)
    at = lambda f: torch.exp(-2 * (math.pi * sigma * (f.unsqueeze(-1) + aliases)) ** 2).sum(-1)  # noqa: E731
    return at(frequency.to(torch.float64)) / at(torch.zeros(1, dtype=torch.float64))


def gaussian_samples(sigma: float, reach: int) -> Tensor:
    """Return the sampled Gaussian at 0 … reach, normalised to sum 1 over all integers."""
    g = torch.exp(-0.5 * (torch.arange(max(reach, math.ceil(10 * sigma)) + 1, dtype=torch.float64) / sigma) ** 2)
    return g[: reach + 1] / (2 * g.sum() - 1)


@operator(
    "Gaussian blur",
    finer={"sigma": 1},
    equation=r"(Ax)_i = \sum_j g_\sigma(i-j)\, x_j",
    works="Views out of focus that are alike everywhere.",
    fails="Fine detail: singular values fall exponentially, and noise soon outweighs it.",
)
def gaussian_blur(
    domain: Space,
    *,
    sigma: Annotated[float, Linear(0.1, 20, unit="px", help="width σ of the kernel")] = 2.0,
    boundary: BoundaryKnob = "periodic",
) -> LinearOperator:
    """Blur with a sampled Gaussian kernel, the same in every direction; symmetric and positive."""
    made: LinearOperator
    if boundary == "periodic":
        frequencies = [torch.fft.fftfreq(n, dtype=torch.float64) for n in domain.shape]
        h = _product([gaussian_transfer(sigma, f) for f in frequencies], domain)
        made = PeriodicConvolution(domain, h, positive=True)
    elif boundary == "reflexive":
        frequencies = [torch.arange(n, dtype=torch.float64) / (2 * n) for n in domain.shape]
        h = _product([gaussian_transfer(sigma, f) for f in frequencies], domain)
        made = Diagonalized(Cosine(domain), h, positive=True)
    elif max(domain.shape) <= MAX_DENSE_SIDE:
        made = Kronecker(domain, [_toeplitz(gaussian_samples(sigma, n - 1), domain) for n in domain.shape])
    else:
        reach = [min(n - 1, math.ceil(10 * sigma)) for n in domain.shape]
        kernels = [gaussian_samples(sigma, r) for r in reach]
        grid = [_fast_length(n + r) for n, r in zip(domain.shape, reach, strict=True)]
        line = lambda g, n: torch.fft.fft(torch.cat((g, g.new_zeros(n + 1 - 2 * len(g)), g[1:].flip(0)))).real  # noqa: E731
        made = ZeroConvolution(domain, _product(list(map(line, kernels, grid)), domain), positive=True)
    made.title, made.nonnegative = "Gaussian blur", True
    return made


def _product(factors: Sequence[Tensor], domain: Space) -> Tensor:
    """Return the outer product of one-dimensional transfer functions, where and as precise as `domain` is."""
    product = torch.ones((), dtype=torch.float64, device=domain.device)
    for factor in factors:
        product = product.unsqueeze(-1) * factor.to(domain.device)
    return product.to(real_dtype(domain.dtype))


def _toeplitz(first: Tensor, domain: Space) -> DenseMatrix:
    n = len(first)
    space = Space((n,), domain.dtype, domain.device)
    i = torch.arange(n, device=domain.device)
    matrix = first.to(domain.device, domain.dtype)[(i[:, None] - i).abs()]
    return DenseMatrix(space, space, matrix, self_adjoint=True, positive=True)


# --- motion -------------------------------------------------------------------------------------------------------


def motion_kernel(length: float, angle: float, ndim: int = 2) -> Tensor:
    """Return the kernel of a uniform motion: the share of a line segment that lies in each pixel.

    Parameters
    ----------
    length : float
        Length of the segment in pixels; its middle is the middle of the central pixel.
    angle : float
        Degrees from the horizontal, counter-clockwise; without meaning in one dimension.

    Returns
    -------
    Tensor
        Odd lengths, sum 1, symmetric to the last bit.
    """
    theta = math.radians(angle)
    direction = torch.tensor([-math.sin(theta), math.cos(theta)] if ndim == 2 else [1.0], dtype=torch.float64)
    direction[direction.abs() < 1e-12] = 0
    reach = [math.ceil(abs(d) * length / 2 - 0.5) for d in direction.tolist()]
    ends = [torch.tensor([-length / 2, length / 2], dtype=torch.float64)]
    for d, r in zip(direction.tolist(), reach, strict=True):
        if r > 0:
            ends.append((torch.arange(-r, r) + 0.5) / d)
    t = torch.cat(ends).clamp(-length / 2, length / 2).sort().values
    middle = ((t[1:] + t[:-1]) / 2)[:, None] * direction
    size = [2 * max(r, 0) + 1 for r in reach]
    pixel = (middle.round().long() + torch.tensor(size) // 2).unbind(-1)
    kernel = torch.zeros(size, dtype=torch.float64).index_put_(pixel, (t[1:] - t[:-1]) / length, accumulate=True)
    return (kernel + kernel.flip(tuple(range(ndim)))) / 2


@operator(
    "Motion blur",
    finer={"length": 1},
    equation=r"(Ax)(t) = \frac1L \int_{-L/2}^{L/2} x(t - u\,e_\theta)\, du",
    works="A camera that moved in a straight line while it looked.",
    fails="Frequencies at which the kernel is zero are lost whatever the noise.",
)
def motion_blur(
    domain: Space,
    *,
    length: Annotated[float, Linear(1, 100, unit="px", help="length of the motion")] = 9.0,
    angle: Annotated[float, Linear(0, 180, unit="°", help="direction, counter-clockwise from the horizontal")] = 30.0,
    boundary: BoundaryKnob = "periodic",
) -> LinearOperator:
    """Blur along a straight line, as by a camera that moves steadily; in one dimension the angle has no meaning."""
    if domain.ndim not in (1, 2):
        raise SpecError(f"the motion blur acts on signals and images, and the domain has {domain.ndim} dimensions")
    made = convolution(domain, motion_kernel(length, angle, domain.ndim), boundary=boundary)
    made.title, made.nonnegative = "Motion blur", True
    return made
