"""Blurs: convolution with a kernel under a boundary condition."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear, operator
from explorer.linalg import Space
from explorer.operators.base import LinearOperator


class PeriodicConvolution(LinearOperator):
    """Convolution with periodic boundaries, ``A = F⁻¹ diag(h) F``."""

    def __init__(self, domain: Space, transfer: Tensor) -> None:
        super().__init__(domain)
        self.transfer = transfer

    def _forward(self, x: Tensor) -> Tensor:
        dims = tuple(range(-self.domain.ndim, 0))
        return torch.fft.irfftn(torch.fft.rfftn(x, dim=dims) * self.transfer, s=self.domain.shape, dim=dims)

    def _adjoint(self, y: Tensor) -> Tensor:
        dims = tuple(range(-self.domain.ndim, 0))
        return torch.fft.irfftn(torch.fft.rfftn(y, dim=dims) * self.transfer.conj(), s=self.domain.shape, dim=dims)


@operator("Gaussian blur", equation=r"(Ax)(t) = \int g_\sigma(t-s) x(s) ds")
def gaussian_blur(
    domain: Space, *, sigma: Annotated[float, Linear(0.1, 20, unit="px", help="width σ of the kernel")] = 2.0
) -> LinearOperator:
    """Blur with a Gaussian kernel."""
    axes = [torch.fft.fftfreq(n, dtype=torch.float64) for n in domain.shape[:-1]] + [
        torch.fft.rfftfreq(domain.shape[-1], dtype=torch.float64)
    ]
    squared = sum(f**2 for f in torch.meshgrid(*axes, indexing="ij"))
    h = torch.exp(-2 * torch.pi**2 * sigma**2 * squared)
    made = PeriodicConvolution(domain, h.to(domain.device, domain.dtype))
    made.title = "Gaussian blur"
    made.self_adjoint = made.positive = True
    return made
