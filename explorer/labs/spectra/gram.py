r"""A bound of the spectral norm by repeated squaring (row 154).

Delattre, Barthélemy, Araujo & Allauzen 2023. The Frobenius norm bounds the spectral norm, and so does the root of the
Frobenius norm of a power of the Gram matrix. For a circular convolution the Gram matrix falls into one small block a
frequency; a convolution with zeros outside is a part of a circular one on a larger grid, so that the bound of that one
holds for it too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis, operator
from explorer.linalg import Rng, Space, safe_divide
from explorer.operators.base import LinearOperator

_PAPERS = [
    "row 154",
    "Delattre, Barthélemy, Araujo & Allauzen 2023: Efficient bound of Lipschitz constant for convolutional layers by "
    "Gram iteration",
]
#: largest number of entries of a matrix, or of all blocks of a convolution
MAX_ENTRIES = 2**22


def gram_bounds(G: Tensor, steps: int) -> Tensor:
    """Return upper bounds of the spectral norm after 0, 1, …, `steps` squarings; differentiable.

    ``G ← GᴴG`` after a division by the Frobenius norm, whose logarithm is kept in ``r ← 2 (r + log ‖G‖_F)``; after t
    of them the bound is ``‖G‖_F^(1/2ᵗ) exp(r / 2ᵗ)``.

    Parameters
    ----------
    G : Tensor
        Matrices, shape ``(*batch, m, n)``.

    Returns
    -------
    Tensor
        Real, shape ``(steps + 1, *batch)``.
    """
    G = G.mH if G.shape[-2] < G.shape[-1] else G
    norm = torch.linalg.matrix_norm(G)
    r, bounds = torch.zeros_like(norm), [norm]
    for t in range(1, steps + 1):
        G = G / torch.where(norm > 0, norm, 1.0)[..., None, None]
        r = 2 * (r + torch.where(norm > 0, norm, 1.0).log())
        G = G.mH @ G
        norm = torch.linalg.matrix_norm(G)
        bounds.append(norm ** (0.5**t) * (r * 0.5**t).exp())
    return torch.stack(bounds)


class ChannelConvolution(LinearOperator):
    """Convolution of several channels with a kernel for every pair of input and output channel.

    Parameters
    ----------
    domain : Space
        Channels first, shape ``(c_in, *grid)``.
    kernel : Tensor
        Shape ``(c_out, c_in, *size)``, none of the sizes above the grid's.
    boundary : str
        ``circular``, or ``zero`` for zeros outside the grid; the data have the grid of the unknown.
    """

    title = "Channel convolution"

    def __init__(self, domain: Space, kernel: Tensor, boundary: Literal["circular", "zero"]) -> None:
        grid, size = domain.shape[1:], tuple(kernel.shape[2:])
        if any(k > n for k, n in zip(size, grid, strict=True)):
            raise SpecError(f"has the sizes {size}, and none may be above the grid's, {tuple(grid)}", "kernel")
        super().__init__(domain, Space((kernel.shape[0], *grid), domain.dtype, domain.device))
        self.kernel, self.boundary = kernel, boundary
        extra = [k - 1 if boundary == "zero" else 0 for k in size]
        self.padded = tuple(n + e for n, e in zip(grid, extra, strict=True))
        self._cache_blocks: Tensor | None = None

    def blocks(self) -> Tensor:
        """Return the matrix of every frequency of the (padded) grid, complex, shape ``(frequencies, c_out, c_in)``."""
        cached = getattr(self, "_cache_blocks", None)
        if cached is None:
            axes = tuple(range(2, self.kernel.ndim))
            pad = [p for n, k in zip(self.padded[::-1], self.kernel.shape[:1:-1], strict=True) for p in (0, n - k)]
            centred = torch.nn.functional.pad(self.kernel, pad)
            centred = centred.roll([-(k // 2) for k in self.kernel.shape[2:]], axes)
            cached = self._cache_blocks = torch.fft.fftn(centred, dim=axes).flatten(2).movedim(-1, 0)
        return cached

    def _apply_blocks(self, x: Tensor, blocks: Tensor) -> Tensor:
        g = len(self.padded)
        axes = tuple(range(-g, 0))
        spectrum = torch.fft.fftn(x, s=self.padded, dim=axes).flatten(-g)
        made = torch.einsum("foi,...if->...of", blocks, spectrum).unflatten(-1, self.padded)
        y = torch.fft.ifftn(made, dim=axes)
        for axis, n in zip(axes, self.domain.shape[1:], strict=True):
            y = y.narrow(axis, 0, n)
        return y if self.domain.is_complex else y.real.contiguous()

    def _forward(self, x: Tensor) -> Tensor:
        return self._apply_blocks(x, self.blocks())

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._apply_blocks(y, self.blocks().mH)


CHANNELS = Capability(
    "a signal or image of several channels, with the channels first", lambda s: isinstance(s, Space) and s.ndim >= 2
)


@operator(
    "Channel convolution",
    papers=_PAPERS,
    equation=r"y_o = \sum_i k_{oi} * x_i,\quad k_{oi} \sim N(0, 1/(c s))",
    works="Layers of convolutional networks; well conditioned with far more channels in the data than in the input.",
    fails="Fewer channels in the data leave a null space; with as many, a few frequencies are nearly lost.",
)
def channel_convolution(
    domain: Annotated[Space, CHANNELS],
    rng: Rng,
    *,
    channels: Annotated[int, Log(1, 512, help="channels of the data")] = 4,
    size: Annotated[int, Log(1, 31, unit="px", help="side of the kernels")] = 3,
    boundary: Annotated[Literal["circular", "zero"], Help("what lies outside: the other side again, or zeros")] = (
        "circular"
    ),
) -> ChannelConvolution:
    """A layer of a convolutional network with random weights: every channel of the data sees every input channel."""
    c, *grid = domain.shape
    if channels * c * math.prod(n + size for n in grid) > MAX_ENTRIES:
        raise SpecError(f"is {channels}: its blocks have more than {MAX_ENTRIES:,} entries", "channels")
    weights = rng.normal((channels, c, *(size for _ in grid)), domain.dtype, domain.device)
    return ChannelConvolution(domain, weights / math.sqrt(c * size ** len(grid)), boundary)


def _bounded(A: LinearOperator) -> bool:
    single = isinstance(A.domain, Space) and isinstance(A.codomain, Space)
    return isinstance(A, ChannelConvolution) or (single and A.domain.size * A.codomain.size <= MAX_ENTRIES)


BOUNDED = Capability(f"a channel convolution, or an operator of at most {MAX_ENTRIES:,} entries", _bounded)


@dataclass(frozen=True)
class GramBound:
    """The spectral norm, enclosed from above and from below.

    Attributes
    ----------
    upper : NDArray
        Bounds after 0, 1, … squarings, shape ``(steps + 1,)``.
    lower : NDArray
        ``‖A v‖`` after 1, 2, … power iterations on ``AᴴA``, which never exceeds the norm, shape ``(power_steps,)``.
    step_size : float
        ``1 / upper²`` at the end: below ``2 / ‖A‖²``, so safe for gradient descent on ``½ ‖A x − y‖²``.
    sentence : str
        What this means.
    """

    upper: NDArray[np.floating]
    lower: NDArray[np.floating]
    step_size: float
    sentence: str


@analysis(
    "Gram iteration",
    papers=_PAPERS,
    equation=r"\|A\|_2 \le \|(A^H A)^{2^{t-1}}\|_F^{2^{-t}}",
)
@torch.no_grad()
def gram_iteration(
    A: Annotated[LinearOperator, BOUNDED],
    *,
    steps: Annotated[int, Linear(1, 20, help="number t of squarings")] = 8,
    power_steps: Annotated[int, Log(1, 1000, help="power iterations, for the lower bound")] = 64,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the start of the power iteration")] = 0,
) -> GramBound:
    """Bound the spectral norm from above by squaring the Gram matrix, and from below by the power iteration.

    The upper bound is never too small, and its relative excess, at most ``log(rank) / 2^{t+1}`` and much less once the
    first two singular values are told apart, falls faster than with any fixed rate. A power iteration always stays
    below. With zeros outside, the bound of a convolution is that of a circular one on a grid larger by the kernel,
    and does not become sharp.
    """
    if isinstance(A, ChannelConvolution):
        matrices = A.blocks()
    else:
        matrices = A.to_dense()
        if A.codomain.is_complex and not A.domain.is_complex:
            matrices = torch.cat((matrices.real, matrices.imag))
    wide = torch.complex128 if matrices.is_complex() else torch.float64
    upper = gram_bounds(matrices.to(wide), steps).reshape(steps + 1, -1).amax(1).cpu().numpy()
    v, lower = A.domain.random(Rng(seed, "power")), []
    for _ in range(power_steps):
        u = A(safe_divide(v, A.domain.norm(v)))
        lower.append(A.codomain.norm(u))
        v = A.adjoint(u)
    below = torch.stack(lower).cpu().numpy()
    step = 1 / float(upper[-1]) ** 2 if upper[-1] > 0 else math.inf
    return GramBound(
        upper,
        below,
        step,
        f"The spectral norm lies between {below[-1]:.6g}, after {power_steps} power iterations, and {upper[-1]:.6g}, "
        f"after {steps} squarings: gradient descent is safe with steps of {step:.3g}.",
    )
