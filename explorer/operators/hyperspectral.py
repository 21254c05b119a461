"""Hyperspectral images: the light of a pixel is a mixture of the spectra of its materials."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, operator
from explorer.linalg import Rng, Space
from explorer.operators.algebra import Kronecker
from explorer.operators.base import DenseMatrix, Identity, LinearOperator

MAPS = Capability("maps of several materials, with the materials first", lambda s: isinstance(s, Space) and s.ndim >= 2)
#: dips of a spectrum
DIPS = 4


def reflectances(bands: int, materials: int, similarity: float, rng: Rng, device: torch.device | str = "cpu") -> Tensor:
    """Return synthetic spectra, one a column, values in (0, 1), shape ``(bands, materials)``, float64.

    Each is a straight continuum with four Gaussian absorption dips at random places of [0, 1], 0.02 to 0.12 wide, drawn
    from `rng`; then all are moved by `similarity` towards their mean.
    """
    level, slope = rng.fork("continuum").uniform((2, materials), torch.float64, device)
    place, width, depth = rng.fork("dips").uniform((3, DIPS, 1, materials), torch.float64, device)
    t = ((torch.arange(bands, dtype=torch.float64, device=device) + 0.5) / bands)[:, None]
    dips = (0.2 + 0.6 * depth) * torch.exp(-0.5 * ((t - place) / (0.02 + 0.1 * width)) ** 2)
    spectra = (0.35 + 0.4 * level + 0.4 * (slope - 0.5) * (t - 0.5)) * (1 - dips).prod(0)
    return (1 - similarity) * spectra + similarity * spectra.mean(1, keepdim=True)


class Mixing(Kronecker):
    """``E ⊗ I``: spectra E along the first dimension, every pixel by itself."""

    title = "Spectral mixing"

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Bands and the pixel's place."""
        return (("band", ""), *((name, "px") for name in ("row", "column", "slice")))[: self.codomain.ndim]


@operator(
    "Hyperspectral mixing",
    name="spectral_mixing",
    papers=[
        "Keshava & Mustard 2002: Spectral unmixing",
        "Heinz & Chang 2001: Fully constrained least squares linear spectral mixture analysis method for material "
        "quantification in hyperspectral imagery",
    ],
    equation=r"y_p = E a_p,\quad a_p \ge 0,\ \textstyle\sum_k a_{kp} = 1",
    works="Pixels of a few known materials whose spectra differ clearly, with more bands than materials.",
    fails="Alike spectra, or fewer bands than materials: noise trades one material for another.",
)
def spectral_mixing(
    domain: Annotated[Space, MAPS],
    rng: Rng,
    *,
    bands: Annotated[int, Log(2, 1024, help="number of wavelengths")] = 64,
    similarity: Annotated[float, Linear(0, 0.99, help="how alike the spectra are: 0 independent, 1 all the same")] = (
        0.5
    ),
) -> Mixing:
    """From the share of every material in a pixel to the pixel's spectrum; the materials' spectra are known.

    The first dimension of the unknown counts the materials, that of the data the bands. Alike spectra make a small
    change of the shares as good as invisible; that shares are not negative and sum to one helps (prior ``fractions``).
    """
    materials, pixels = domain.shape[0], Space(domain.shape[1:], domain.dtype, domain.device)
    matrix = reflectances(bands, materials, similarity, rng, domain.device).to(domain.dtype)
    one = lambda n: Space((n,), domain.dtype, domain.device)  # noqa: E731
    spectra = DenseMatrix(one(materials), one(bands), matrix)
    spectra.nonnegative = True
    factors: list[LinearOperator | Tensor] = [spectra, Identity(pixels)]
    return Mixing(domain, factors)
