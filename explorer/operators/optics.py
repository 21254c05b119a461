"""Blurs of optical instruments: out of focus, different from place to place, and with fewer pixels than the scene.

Hansen, Nagy & O'Leary 2006: Deblurring Images: Matrices, Spectra, and Filtering.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, SpecError, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.algebra import Kronecker
from explorer.operators.base import LinearOperator
from explorer.operators.blur import MAX_DENSE_SIDE, Boundary, BoundaryKnob, convolution, gaussian_blur

# --- out of focus -------------------------------------------------------------------------------------------------


def disc_kernel(radius: float, ndim: int = 2) -> Tensor:
    """Return the share of a disc that lies in each pixel; in one dimension, of an interval.

    Parameters
    ----------
    radius : float
        In pixels; the middle of the disc is the middle of the central pixel.

    Returns
    -------
    Tensor
        Odd lengths, sum 1, symmetric to the last bit, float64.
    """
    reach = max(0, math.ceil(radius - 0.5))
    edge = torch.arange(-reach, reach + 2, dtype=torch.float64) - 0.5
    edge = edge.clamp(-radius, radius)
    if ndim == 1:
        kernel = edge.diff() / (2 * radius)
        return (kernel + kernel.flip(0)) / 2
    corner = _disc_area(edge.abs()[:, None], edge.abs(), radius) * edge.sign()[:, None] * edge.sign()
    kernel = corner.diff(dim=0).diff(dim=1).clamp(min=0) / (math.pi * radius**2)
    kernel = kernel + kernel.T
    return (kernel + kernel.flip(0) + kernel.flip(1) + kernel.flip((0, 1))) / 8


def _disc_area(x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Return the area of ``{0 ≤ u ≤ x, 0 ≤ v ≤ y, u² + v² ≤ r²}`` for 0 ≤ x, y ≤ r."""
    start = (radius**2 - y**2).clamp(min=0).sqrt()  # the arc is below y from here on
    stem = lambda u: (u * (radius**2 - u**2).clamp(min=0).sqrt() + radius**2 * torch.asin(u / radius)) / 2  # noqa: E731
    return torch.where(x <= start, x * y, start * y + stem(x) - stem(start))


@operator(
    "Out-of-focus blur",
    papers=["Hansen, Nagy & O'Leary 2006: Deblurring Images: Matrices, Spectra, and Filtering"],
    finer={"radius": 1},
    equation=r"(Ax)(t) = \frac{1}{\pi r^2} \int_{|u| \le r} x(t - u)\, du",
    works="Flat scenes out of focus by the same, known radius.",
    fails="Rings of frequencies at zeros of the transfer function are lost; a wrong radius makes ripples round edges.",
)
def defocus_blur(
    domain: Space,
    *,
    radius: Annotated[float, Linear(0.1, 50, unit="px", help="radius of the disc that a point becomes")] = 4.0,
    boundary: BoundaryKnob = "periodic",
) -> LinearOperator:
    """Blur of a lens out of focus: a point becomes a disc. Its transfer function has zeros, and negative values."""
    if domain.ndim not in (1, 2):
        raise SpecError(f"the disc acts on signals and images, and the domain has {domain.ndim} dimensions")
    made = convolution(domain, disc_kernel(radius, domain.ndim), boundary=boundary)
    made.title, made.nonnegative = "Out-of-focus blur", True
    return made


# --- different from place to place --------------------------------------------------------------------------------


class ProductConvolution(LinearOperator):
    """``A x = Σ_k C_k (w_k · x)``: what each place sends out is spread by a mixture of convolutions.

    Parameters
    ----------
    convolutions : sequence of LinearOperator
        C_k, from one space to itself.
    weights : Tensor
        w_k, real, shape ``(k, *domain.shape)``; the kernel of a place is ``Σ_k w_k c_k`` there.
    """

    title = "this product–convolution"

    def __init__(self, convolutions: Sequence[LinearOperator], weights: Tensor) -> None:
        super().__init__(convolutions[0].domain, convolutions[0].codomain)
        self.convolutions, self.weights = tuple(convolutions), weights

    def _forward(self, x: Tensor) -> Tensor:
        y = self.convolutions[0]._forward(self.weights[0] * x)
        for convolve, weight in zip(self.convolutions[1:], self.weights[1:], strict=True):
            y = y + convolve._forward(weight * x)
        return y

    def _adjoint(self, y: Tensor) -> Tensor:
        x = self.weights[0] * self.convolutions[0]._adjoint(y)
        for convolve, weight in zip(self.convolutions[1:], self.weights[1:], strict=True):
            x = x + weight * convolve._adjoint(y)
        return x


@operator(
    "Space-varying blur",
    papers=[
        "Nagy & O'Leary 1998: Restoring images degraded by spatially variant blur",
        "Escande & Weiss 2017: Approximation of integral operators using product-convolution expansions",
    ],
    finer={"sigma": 1, "edge": 1},
    equation=r"Ax = \sum_k g_{\sigma_k} * (w_k\, x),\quad \sum_k w_k = 1",
    works="Simple lenses that are sharp in the middle and soft in the corners.",
    fails="Fine detail in the corners is lost first; no transform diagonalises it for spectral filters.",
)
def space_varying_blur(
    domain: Space,
    *,
    sigma: Annotated[float, Linear(0.1, 20, unit="px", help="width σ of the kernel in the middle")] = 0.7,
    edge: Annotated[float, Linear(0.1, 20, unit="px", help="width σ of the kernel in the corners")] = 3.0,
    levels: Annotated[int, Linear(1, 16, help="number of kernels; 1 is the same blur everywhere")] = 4,
    boundary: BoundaryKnob = "periodic",
) -> ProductConvolution:
    """Blur that grows from the middle to the corners, as by a simple lens; between two widths, kernels are mixed."""
    middles = [(torch.arange(n, dtype=torch.float64, device=domain.device) + 0.5) * (2 / n) - 1 for n in domain.shape]
    distance = torch.linalg.vector_norm(torch.stack(torch.meshgrid(*middles, indexing="ij")), dim=0)
    level = distance / math.sqrt(domain.ndim) * (levels - 1)
    index = torch.arange(levels, device=domain.device).reshape(-1, *(1,) * domain.ndim)
    weights = (1 - (level - index).abs()).clamp(min=0).to(real_dtype(domain.dtype))
    widths = [sigma + (edge - sigma) * k / max(levels - 1, 1) for k in range(levels)]
    made = ProductConvolution([gaussian_blur(domain, sigma=s, boundary=boundary) for s in widths], weights)
    made.title, made.nonnegative = "Space-varying blur", True
    return made


# --- fewer pixels -------------------------------------------------------------------------------------------------

Pooling = Literal["box", "gaussian"]


@operator(
    "Super-resolution",
    papers=["Park, Park & Kang 2003: Super-resolution image reconstruction: a technical overview"],
    finer={"factor": 1},
    equation=r"(Ax)_i = \sum_j k\!\left(c_i - j\right) x_j,\quad c_i = s\,(i + \tfrac12) - \tfrac12",
    works="Mild shrinking with little noise.",
    fails="Detail finer than the coarse pixels, which a prior can only invent.",
)
def super_resolution(
    domain: Space,
    *,
    factor: Annotated[int, Linear(2, 16, help="pixels of the unknown a pixel of the data, along each side")] = 2,
    kernel: Annotated[
        Pooling, Help("a pixel of the data is the mean of its own, or a Gaussian around its middle")
    ] = "gaussian",
    sigma: Annotated[float, Linear(0.1, 4, unit="px", help="width σ of the Gaussian, in pixels of the data")] = 0.5,
    boundary: BoundaryKnob = "reflexive",
) -> Kronecker:
    """Blur against aliasing, then keep one of every few pixels: a camera with large pixels.

    Both steps are one small matrix along each dimension, so that the singular values are cheap.
    """
    for n in domain.shape:
        if n % factor:
            raise SpecError(f"a side has {n} pixels, and {factor} of them cannot make one each time: choose a divisor")
        if n > 4 * MAX_DENSE_SIDE:
            raise SpecError(f"a side has {n} pixels, and at most {4 * MAX_DENSE_SIDE} are supported: choose fewer")
    made = Kronecker(domain, [pooling(n, factor, kernel, sigma, boundary, domain) for n in domain.shape])
    made.title, made.nonnegative = "Super-resolution", True
    return made


def pooling(n: int, factor: int, kernel: Pooling, sigma: float, boundary: Boundary, like: Space) -> Tensor:
    """Return the matrix that blurs and decimates one dimension, shape ``(n / factor, n)``, its rows of sum 1.

    Near a zero boundary the sum is less.
    """
    i = torch.arange(n // factor, device=like.device)[:, None]
    if kernel == "box":
        own = torch.arange(n, device=like.device) // factor == i
        return own.to(like.dtype) / factor
    reach = math.ceil(10 * sigma * factor)
    j = torch.arange(-reach, n + reach, device=like.device)
    gauss = lambda distance: torch.exp(-0.5 * (distance / (sigma * factor)) ** 2)  # noqa: E731
    all_around = gauss(torch.arange(-reach, reach + 1, dtype=torch.float64, device=like.device) + (factor - 1) / 2 % 1)
    weights = gauss((i + 0.5) * factor - 0.5 - j.to(torch.float64)) / all_around.sum()
    if boundary == "zero":
        return weights[:, reach : reach + n].to(like.dtype)
    beyond = j % n if boundary == "periodic" else torch.minimum(j % (2 * n), (-1 - j) % (2 * n))
    return weights.new_zeros(n // factor, n).index_add_(1, beyond, weights).to(like.dtype)
