"""Masked Fourier transforms, as in magnetic resonance imaging.

Lustig, Donoho & Pauly 2007: Sparse MRI: the application of compressed sensing for rapid MR imaging.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.drawing import Drawing, sampled_places
from explorer.operators.kspace import distances
from explorer.operators.mask import Mask, random_subset
from explorer.operators.transforms import Fourier

Pattern = Literal["random", "cartesian", "radial"]


class MaskedFourier(LinearOperator):
    """``A = M F``: the unitary Fourier transform at the frequencies that are kept.

    Parameters
    ----------
    domain : Space
        Real or complex; with a real one, the inner product of the data is its real part.
    kept : Tensor
        Different indices into the flattened transform, zero frequency first, shape ``(m,)``.
    """

    title = "Masked Fourier transform"

    def __init__(self, domain: Space, kept: Tensor) -> None:
        self.fourier = Fourier(domain)
        self.mask = Mask(self.fourier.codomain, kept)
        super().__init__(domain, self.mask.codomain)
        self.coisometry = domain.is_complex

    def _forward(self, x: Tensor) -> Tensor:
        return self.mask._forward(self.fourier._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.fourier._adjoint(self.mask._adjoint(y))

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the frequencies that are measured, zero in the middle."""
        shape, flat = self.domain.shape, self.mask.kept.cpu()
        middle = torch.zeros_like(flat)
        for axis, n in enumerate(shape):
            along = flat // math.prod(shape[axis + 1 :]) % n
            middle = middle * n + (along + n // 2) % n
        return sampled_places("Frequencies that are measured (k-space)", "frequencies", shape, middle, datum)

    def gram_diagonal(self) -> Tensor:
        """Return the kept fraction: every entry of F has modulus ``1/√n``."""
        fraction = self.codomain.size / self.domain.size
        return torch.full(self.domain.shape, fraction, dtype=real_dtype(self.domain.dtype), device=self.domain.device)


@operator(
    "Masked Fourier transform",
    papers=["Lustig, Donoho & Pauly 2007: Sparse MRI: the application of compressed sensing for rapid MR imaging"],
    equation=r"A = M F",
    works="Patterns that are dense in the middle and irregular outside.",
    fails="Regular gaps, which fold the picture over itself.",
)
def masked_fourier(
    domain: Space,
    rng: Rng,
    *,
    acceleration: Annotated[float, Log(1, 50, help="one of so many frequencies is measured")] = 4.0,
    pattern: Annotated[
        Pattern, Help("random frequencies, random lines along the last dimension, or lines through the origin")
    ] = "random",
    centre: Annotated[float, Linear(0, 0.5, help="share of the measurements spent on the lowest frequencies")] = 0.2,
) -> MaskedFourier:
    """Unitary Fourier transform at some of the frequencies, denser near the origin.

    Random frequencies and lines are drawn with a density that falls off with the cube of the distance from the edge;
    radial lines are spread evenly, so many that about the wanted share is kept.
    """
    if pattern == "radial":
        return MaskedFourier(domain, _radial(domain, acceleration))
    along = domain.shape[-1] if pattern == "cartesian" and domain.ndim > 1 else 1
    radius = distances(domain.shape[:-1] if along > 1 else domain.shape, domain.device)
    size = max(1, round(len(radius) / acceleration))
    weight = (1 - radius) ** 3 + 1e-3  # the floor lets the highest frequencies be drawn too
    weight[radius.argsort(stable=True)[: round(centre * size)]] = math.inf
    lines = random_subset(weight, size, rng)
    return MaskedFourier(domain, (lines[:, None] * along + torch.arange(along, device=domain.device)).reshape(-1))


def _radial(domain: Space, acceleration: float) -> Tensor:
    """Return the frequencies nearest to evenly spread lines through zero, ascending."""
    if domain.ndim != 2:
        raise SpecError(f"radial lines need an image, and the domain {domain} is none: choose 'random'", "pattern")
    lines = max(1, round(min(domain.shape) / acceleration))  # each has as many points as the longer side
    theta = torch.arange(lines, dtype=torch.float64) * (math.pi / lines)
    t = torch.linspace(-1, 1, max(domain.shape) + 1, dtype=torch.float64)[:, None]
    rows, columns = domain.shape
    i = (t * theta.sin() * (rows // 2)).round().long() % rows
    j = (t * theta.cos() * (columns // 2)).round().long() % columns
    return (i * columns + j).unique().to(domain.device)
