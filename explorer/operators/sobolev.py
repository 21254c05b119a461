"""Powers of the Laplacian, which measure or make smoothness."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from explorer.catalogue import Help, Linear, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.transforms import Cosine, Diagonalized, Fourier, Hartley

Order = Annotated[float, Linear(-4, 4, help="order s: above 0 high frequencies weigh more, below 0 less")]
Boundary = Annotated[Literal["neumann", "periodic"], Help("what lies beyond the border: the mirrored image, or itself")]


class Sobolev(Diagonalized):
    """``(1 + |k|²)^{s/2}`` in the Fourier domain, frequencies k in cycles a side: ``‖A x‖`` is the norm of ``H^s``.

    With mirrored borders the waves are cosines, of half a cycle and up.
    """

    title = "the Sobolev operator"

    def __init__(self, domain: Space, order: float, periodic: bool = False) -> None:
        transform: LinearOperator = Cosine(domain)
        if periodic:
            transform = Fourier(domain) if domain.is_complex else Hartley(domain)
        super().__init__(transform, (1 + _squared_frequencies(domain, periodic)) ** (order / 2), positive=True)


def _squared_frequencies(domain: Space, periodic: bool) -> torch.Tensor:
    squares = torch.zeros((), dtype=torch.float64, device=domain.device)
    for n in domain.shape:
        k = torch.arange(n, dtype=torch.float64, device=domain.device)
        k = torch.minimum(k, n - k) if periodic else k / 2
        squares = squares.unsqueeze(-1) + k**2
    return squares.to(real_dtype(domain.dtype))


@operator(
    "Sobolev smoothing",
    name="sobolev",
    papers=[
        "row 81",
        "Zhu, Hu, Lou & Yang 2021: Implicit regularization effects of the Sobolev norms in image processing",
    ],
    equation=r"A = (I - \Delta)^{s/2}",
    works="Tests of rates and priors: the order alone says how ill-posed the problem is.",
    fails="Of negative order, inversion amplifies noise as a power of the frequency: detail goes first.",
)
def sobolev(domain: Space, *, order: Order = -1.0, boundary: Boundary = "neumann") -> Sobolev:
    """A fractional power of ``I − Δ``: of negative order it smooths, of positive order it sharpens."""
    return Sobolev(domain, order, boundary == "periodic")
