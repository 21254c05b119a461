"""Spectra: singular values, and the Picard plot of the data against them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool1d

from explorer.catalogue import Capability, SpecError, analysis
from explorer.linalg import Space
from explorer.operators.base import LinearOperator

#: largest smaller side, and largest number of entries, of a matrix that is decomposed densely
MAX_SIDE, MAX_ENTRIES = 1024, 2**22


def _within_reach(A: LinearOperator) -> bool:
    if not (isinstance(A.domain, Space) and isinstance(A.codomain, Space)):
        return False
    sides = A.domain.size, A.codomain.size
    return A.has_svd or (min(sides) <= MAX_SIDE and math.prod(sides) <= MAX_ENTRIES)


DECOMPOSABLE = Capability(
    f"an operator whose singular values structure gives, or whose smaller side is at most {MAX_SIDE}", _within_reach
)


@dataclass(frozen=True)
class SingularValues:
    """The spectrum of an operator.

    Attributes
    ----------
    values : NDArray
        Singular values, descending, shape ``(min(m, n),)``.
    condition : float
        Largest over smallest singular value; infinite where the smallest is zero.
    rank : int
        Number of values above ``max(m, n) · eps · σ₁``.
    sentence : str
        What this means for inversion.
    """

    values: NDArray[np.floating]
    condition: float
    rank: int
    sentence: str


@dataclass(frozen=True)
class Picard:
    """The data in the singular basis, beside the singular values and the noise.

    Attributes
    ----------
    values : NDArray
        Singular values σᵢ, descending, shape ``(n,)``.
    coefficients : NDArray
        ``|uᵢᴴ y|``, shape ``(*batch, n)``, in the unit of the data.
    ratio : NDArray
        ``|uᵢᴴ y| / σᵢ``, the coefficients of the naive solution, shape ``(*batch, n)``; infinite where σᵢ is zero.
    floor : NDArray
        What noise contributes to a coefficient, ``noise_norm / √m``, at least rounding; shape ``(*batch,)``.
    fails : NDArray of int
        Index from which noise outweighs signal, `n` if it never does; shape ``(*batch,)``.
    sentence : str
        What this means for inversion.
    """

    values: NDArray[np.floating]
    coefficients: NDArray[np.floating]
    ratio: NDArray[np.floating]
    floor: NDArray[np.floating]
    fails: NDArray[np.integer]
    sentence: str


def decompose(A: LinearOperator, y: Tensor | None = None, x: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return singular values, descending, and with them the coefficients ``Uᴴ y`` and ``Vᴴ x`` of what is given.

    Raises
    ------
    SpecError
        If structure gives no singular values and the matrix is too large.
    """
    if not _within_reach(A):
        raise SpecError(
            f"{A.title} from {A.domain} to {A.codomain} has no singular values by structure and is too large for a "
            f"dense decomposition: choose a size whose smaller side is at most {MAX_SIDE}",
            "A",
        )
    given = [(z, space) for z, space in ((y, A.codomain), (x, A.domain)) if z is not None]
    if A.has_svd:
        svd = A.svd()
        s, order = svd.s.reshape(-1).sort(descending=True, stable=True)
        sides = [svd.U if space is A.codomain else svd.V for _, space in given]
        made = [side.adjoint(z).reshape(*space.batch(z), -1) for side, (z, space) in zip(sides, given, strict=True)]
        return s, *(m[..., order] for m in made)
    matrix, flat = A.to_dense(), [z.reshape(*space.batch(z), -1) for z, space in given]
    if A.codomain.is_complex and not A.domain.is_complex:  # inner products are then real parts
        matrix = torch.cat((matrix.real, matrix.imag))
        flat = [torch.cat((z.real, z.imag), -1) if z.is_complex() else z for z in flat]
    if not given:
        return (torch.linalg.svdvals(matrix),)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    bases = [u.conj() if space is A.codomain else vh.mH.conj() for _, space in given]
    return s, *(z @ basis for z, basis in zip(flat, bases, strict=True))


@analysis("Singular values", equation=r"A = U \,\mathrm{diag}(\sigma)\, V^H")
@torch.no_grad()
def singular_values(A: Annotated[LinearOperator, DECOMPOSABLE]) -> SingularValues:
    """All singular values, exactly: from structure where it gives them cheaply, else from the small dense matrix.

    Raises
    ------
    SpecError
        If structure gives none and the matrix is too large.
    """
    (s,) = decompose(A)
    values = s.cpu().numpy()
    largest, smallest = float(values[0]), float(values[-1])
    condition = largest / smallest if smallest > 0 else math.inf
    rank = int((values > max(A.domain.size, A.codomain.size) * A.domain.eps * largest).sum())
    lost = f"{len(values) - rank} of {len(values)} directions are lost to rounding already"
    return SingularValues(
        values,
        condition,
        rank,
        f"Noise may be amplified up to {condition:.3g} times relative to the signal"
        + (f"; {lost}." if rank < len(values) else "."),
    )


@analysis(
    "Picard condition",
    papers=["Hansen 1990: The discrete Picard condition for discrete ill-posed problems"],
    equation=r"|u_i^H y| \text{ against } \sigma_i \text{ and } \|n\| / \sqrt{m}",
)
@torch.no_grad()
def picard(A: Annotated[LinearOperator, DECOMPOSABLE], y: Tensor, noise_norm: Tensor | float | None = None) -> Picard:
    """Say how many singular directions the data determine before noise takes over.

    A direction counts as lost where the coefficients' mean square over a window of neighbours is below twice the
    noise's: noise then outweighs signal. Without a `noise_norm` the floor is rounding.

    Parameters
    ----------
    A : LinearOperator
        With singular values by structure, or small.
    y : Tensor
        Data, shape ``(*batch, *codomain.shape)``.
    noise_norm : Tensor or float, optional
        Expected norm of the noise, in the unit of the data, shape ``(*batch,)``.
    """
    A.codomain.check(y, "the data")
    s, coefficients = decompose(A, y)
    norm = A.codomain.norm(y)
    floor = torch.as_tensor(0.0 if noise_norm is None else noise_norm, dtype=norm.dtype, device=norm.device)
    floor = torch.maximum(floor / math.sqrt(A.codomain.size), A.codomain.eps * norm)
    size = coefficients.abs()
    fails = _first_lost(size**2, floor**2)
    values = s.cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size.cpu().numpy() / values
    return Picard(
        values, size.cpu().numpy(), ratio, floor.cpu().numpy(), fails.cpu().numpy(), _said(fails, values, floor)
    )


def _first_lost(power: Tensor, noise: Tensor) -> Tensor:
    """Return the first index at which the mean of `power` over a window of neighbours is below twice `noise`."""
    n = power.shape[-1]
    half = min(max(2, n // 128), (n - 1) // 2)
    mean = avg_pool1d(power.reshape(-1, 1, n), 2 * half + 1, 1, half, count_include_pad=False).reshape(power.shape)
    lost = mean < 2 * noise.unsqueeze(-1)
    return torch.where(lost.any(-1), lost.to(torch.int8).argmax(-1), n)


def _said(fails: Tensor, values: NDArray[np.floating], floor: Tensor) -> str:
    first, last, n = int(fails.min()), int(fails.max()), len(values)
    if first == n:
        return f"The data determine all {n} directions: no coefficient sinks to the level of the noise."
    directions = f"the first {first}" if first == last else f"between the first {first} and {last}"
    return (
        f"The data determine {directions} of {n} directions; beyond σ = {values[first]:.3g}, "
        f"noise of {float(floor.max()):.3g} a coefficient outweighs signal and division by σ amplifies it."
    )
