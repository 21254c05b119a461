"""Magnetic resonance imaging with several receiver coils, on the grid of frequencies."""

from __future__ import annotations

from typing import Annotated

from explorer.catalogue import Help, Linear, Log, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import complex_dtype
from explorer.operators.capabilities import IMAGE
from explorer.operators.coils import SENSE, Coils, Count, Distance, Parallel, birdcage
from explorer.operators.fourier import MaskedFourier
from explorer.operators.kspace import Pattern, sampled


@operator(
    "Multi-coil MRI",
    name="multicoil_mri",
    papers=[
        SENSE,
        "Lustig, Donoho & Pauly 2007: Sparse MRI: the application of compressed sensing for rapid MR imaging",
        "McCool & Fiume 1992: Hierarchical Poisson disk sampling distributions",
    ],
    equation=r"y_c = M F (s_c \odot x),\quad \textstyle\sum_c |s_c|^2 = 1",
    works="Accelerations well below the number of coils, the middle of the frequencies fully measured.",
    fails="Accelerations near the number of coils: sensitivities are too alike, and unfolding amplifies noise.",
)
def multicoil_mri(
    domain: Annotated[Space, IMAGE],
    rng: Rng,
    *,
    coils: Count = 8,
    acceleration: Annotated[float, Log(1, 50, help="one of so many frequencies is measured")] = 4.0,
    pattern: Annotated[
        Pattern, Help("lines in equal steps, random lines, random points, or points that keep their distance")
    ] = "poisson_disc",
    centre: Annotated[float, Linear(0, 1, help="share of the measurements spent on the lowest frequencies")] = 0.2,
    distance: Distance = 1.5,
) -> Parallel:
    """Fourier transform of an image as every coil sees it, at some of the frequencies: parallel imaging.

    Lines run along the last dimension; all patterns but the even lines thin out away from the middle. Points suit the
    two phase encodings of a volume, of which this is a slice. Several coils tell part of what the missing
    frequencies hide, since none sees the image as the others do.
    """
    space, size = Space(domain.shape, complex_dtype(domain.dtype), domain.device), (domain.shape[0], domain.shape[1])
    kept = sampled(size, pattern, acceleration, centre, rng, domain.device)
    maps = birdcage(size, coils, distance, domain.device)
    return Parallel(MaskedFourier(space, kept), Coils(domain, maps), "Multi-coil MRI")
