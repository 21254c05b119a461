"""Spectra: singular values, and the Picard plot of the data against them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Log, SpecError, analysis
from explorer.linalg import Rng, Space
from explorer.linalg.block_krylov import Flat, Leading, leading
from explorer.operators.base import LinearOperator

#: largest smaller side, and largest number of entries, of a matrix that is decomposed densely
MAX_SIDE, MAX_ENTRIES = 1024, 2**22
#: bytes that a Krylov basis of a larger one may take
MAX_BYTES = 2**29
#: vectors at a time: with few, a space of the same dimension knows more values, as it has seen higher powers of A
BLOCK = 4
#: values of a larger one are shown where their residual is below this part of them
SHOWN = 0.05
#: singular values above this part of the largest do not amplify noise to speak of
LEVEL = 0.5


def _single(A: LinearOperator) -> bool:
    """Say whether an operator is between two single spaces and linear over their scalars."""
    single = isinstance(A.domain, Space) and isinstance(A.codomain, Space)
    return single and (A.codomain.is_complex or not A.domain.is_complex)


def within_reach(A: LinearOperator) -> bool:
    """Say whether all singular values can be had: by structure, or from a small dense matrix."""
    if not (isinstance(A.domain, Space) and isinstance(A.codomain, Space)):
        return False
    sides = A.domain.size, A.codomain.size
    return A.has_svd or (_single(A) and min(sides) <= MAX_SIDE and math.prod(sides) <= MAX_ENTRIES)


DECOMPOSABLE = Capability(
    f"an operator whose singular values structure gives, or whose smaller side is at most {MAX_SIDE}", within_reach
)
SINGLE = Capability(
    "an operator between two single spaces, linear over their scalars", lambda A: _single(A) or within_reach(A)
)


@dataclass(frozen=True)
class Decay:
    """How fast singular values fall.

    Attributes
    ----------
    kind : str
        ``none`` (condition below ten), ``mild`` (``i^−α``, α ≤ 1), ``moderate`` (α > 1) or ``severe`` (exponential).
    rate : float
        α, or for ``severe`` β in ``e^−βi``; 0 for ``none``.
    sentence : str
    """

    kind: Literal["none", "mild", "moderate", "severe"]
    rate: float
    sentence: str


@dataclass(frozen=True)
class SingularValues:
    """The spectrum of an operator.

    Attributes
    ----------
    values : NDArray
        Singular values, descending, shape ``(min(m, n),)``; of a large operator the first ones.
    condition : float
        Largest over smallest of them; infinite where the smallest is zero.
    rank : int
        Number of values above ``max(m, n) · eps · σ₁``.
    decay : Decay
        The class of ill-posedness.
    sentence : str
        What this means for inversion.
    error : NDArray or None
        Of a large operator: ``values ≤ σ ≤ values + error``, which fails with probability 0.001; shape ``(k,)``.
    nearby : NDArray or None
        Of a large operator: some singular value lies as near as that, shape ``(k,)``.
    total : int
        Number of all singular values, ``min(m, n)``.
    """

    values: NDArray[np.floating]
    condition: float
    rank: int
    decay: Decay
    sentence: str
    error: NDArray[np.floating] | None = None
    nearby: NDArray[np.floating] | None = None
    total: int = 0


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
    error, nearby, total
        As for :class:`SingularValues`.
    """

    values: NDArray[np.floating]
    coefficients: NDArray[np.floating]
    ratio: NDArray[np.floating]
    floor: NDArray[np.floating]
    fails: NDArray[np.integer]
    sentence: str
    error: NDArray[np.floating] | None = None
    nearby: NDArray[np.floating] | None = None
    total: int = 0


def decompose(A: LinearOperator, y: Tensor | None = None, x: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return singular values, descending, and with them the coefficients ``Uᴴ y`` and ``Vᴴ x`` of what is given.

    Raises
    ------
    SpecError
        If structure gives no singular values and the matrix is too large.
    """
    if not within_reach(A):
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


def leading_of(A: LinearOperator, vectors: int = 128) -> Leading:
    """Return the leading singular triplets of an operator too large to decompose; computed once and kept with it.

    Parameters
    ----------
    A : LinearOperator
    vectors : int
        Dimension of the Krylov space, at most what fits in memory.
    """
    bytes_each = (A.domain.size + 2 * A.codomain.size) * A.codomain.dtype.itemsize
    vectors = max(1, min(vectors, MAX_BYTES // bytes_each))
    kept = A.__dict__.setdefault("_cache_leading", {})
    if vectors not in kept:
        kept.clear()
        kept[vectors] = leading(A, Rng(0, "analysis/leading"), vectors, BLOCK)
    return kept[vectors]


def shown(found: Leading) -> int:
    """Return how many of the leading values are good enough to show: the first ones of small residual."""
    fine = found.nearby <= SHOWN * found.values
    return max(1, int(fine.to(torch.int8).cumprod(0).sum()))


def values_of(A: LinearOperator, vectors: int = 128) -> NDArray[np.floating]:
    """Return all singular values where they are within reach, else the leading ones."""
    if within_reach(A):
        return decompose(A)[0].cpu().numpy()
    found = leading_of(A, vectors)
    return found.values[: shown(found)].cpu().numpy()


def signed_values(A: LinearOperator) -> NDArray[np.floating]:
    """Return the eigenvalues of a self-adjoint operator in the order of :func:`values_of`, which are their moduli."""
    values = values_of(A)
    if A.positive:
        return values
    if A.has_svd:
        svd = A.svd()
        order = svd.s.reshape(-1).sort(descending=True, stable=True).indices
        one = torch.ones(svd.s.shape, dtype=svd.V.domain.dtype, device=svd.s.device)
        signs = svd.U.adjoint(svd.V(one)).real.sign().reshape(-1)[order]
    elif within_reach(A):
        u, _, vh = torch.linalg.svd(A.to_dense(), full_matrices=False)
        signs = (u.conj() * vh.mH).sum(0).real.sign()
    else:
        found = leading_of(A)
        left, right = (Flat(A).flat(v[: len(values)]) for v in (found.left, found.right))
        signs = (left.conj() * right).sum(-1).real.sign()
    return values * signs.cpu().numpy()


def fitted_decay(values: NDArray[np.floating], eps: float) -> Decay:
    """Return the class of ill-posedness by the better of two fits, a power and an exponential, over log-spaced indices.

    Hofmann 1986: Regularization for applied inverse and ill-posed problems.
    """
    v = np.asarray(values, np.float64)
    v = v[v > len(v) * eps * v[0]]
    if len(v) < 4 or v[0] < 10 * v[-1]:
        return Decay("none", 0.0, f"The {len(v)} values span less than a factor ten: hardly ill-posed.")
    at = np.unique(np.geomspace(1, len(v), min(len(v), 60)).round().astype(int))
    size = np.log(v[at - 1])
    power, power_off = np.polyfit(np.log(at), size, 1, full=True)[:2]
    exponential, exponential_off = np.polyfit(at, size, 1, full=True)[:2]
    alpha, beta = -float(power[0]), -float(exponential[0])
    if exponential_off.sum() < power_off.sum():
        return Decay("severe", beta, f"Severely ill-posed: values fall like e^(−{beta:.2g} i), exponentially.")
    kind: Literal["mild", "moderate"] = "mild" if alpha <= 1 else "moderate"
    return Decay(kind, alpha, f"{kind.capitalize()}ly ill-posed: values fall like i^−{alpha:.2g}, a power.")


@analysis(
    "Singular values",
    papers=[
        "Musco & Musco 2015: Randomized block Krylov methods for stronger and faster approximate singular value "
        "decomposition",
        "Hofmann 1986: Regularization for applied inverse and ill-posed problems",
    ],
    equation=r"A = U \,\mathrm{diag}(\sigma)\, V^H",
)
@torch.no_grad()
def singular_values(
    A: Annotated[LinearOperator, SINGLE],
    *,
    vectors: Annotated[int, Log(8, 2048, help="for a large operator: dimension of the Krylov space")] = 128,
) -> SingularValues:
    """All singular values, exactly, where structure or a small matrix gives them; else the leading ones, with bounds.

    A large operator is applied to `vectors` vectors, in blocks of 4. A value is shown while its residual is below 5 %.
    """
    found = None if within_reach(A) else leading_of(A, vectors)
    count = shown(found) if found is not None else None
    values = values_of(A, vectors)
    largest, smallest, total = float(values[0]), float(values[-1]), min(A.domain.size, A.codomain.size)
    condition = largest / smallest if smallest > 0 else math.inf
    rank = int((values > max(A.domain.size, A.codomain.size) * A.domain.eps * largest).sum())
    decay = fitted_decay(values, A.domain.eps)
    if found is not None and decay.kind == "none":
        decay = replace(decay, sentence="They span less than a factor ten: too few to tell the class of decay.")
    amplified = f"Noise may be amplified {{}} {condition:.3g} times relative to the signal"
    if found is not None:
        said = f"{_accuracy(found, total)} {amplified.format('at least')}. {decay.sentence}"
        error, nearby = (t[:count].cpu().numpy() for t in (found.error, found.nearby))
        return SingularValues(values, condition, rank, decay, said, error, nearby, total)
    lost = f"{len(values) - rank} of {len(values)} directions are lost to rounding already"
    said = amplified.format("up to") + (f"; {lost}." if rank < len(values) else ".") + f" {decay.sentence}"
    return SingularValues(values, condition, rank, decay, said, total=total)


def _accuracy(found: Leading, total: int) -> str:
    """Say how many values are known, and how well."""
    count = shown(found)
    sure = found.error <= 0.01 * found.values
    certain = int(sure.to(torch.int8).cumprod(0).sum())
    worst = float((found.nearby / found.values)[:count].max())
    return (
        f"The first {count:,} of {total:,} singular values, from a Krylov space of {len(found.values)} dimensions: "
        f"each lies within {100 * worst:.2g} % of one of the operator's; the first {certain} are bounded to 1 %, and "
        f"what is beyond the space has norm below {found.rest:.3g}."
    )


@analysis(
    "Picard condition",
    papers=["Hansen 1990: The discrete Picard condition for discrete ill-posed problems"],
    equation=r"|u_i^H y| \text{ against } \sigma_i \text{ and } \|n\| / \sqrt{m}",
)
@torch.no_grad()
def picard(
    A: Annotated[LinearOperator, SINGLE],
    y: Tensor,
    noise_norm: Tensor | float | None = None,
    *,
    vectors: Annotated[int, Log(8, 2048, help="for a large operator: dimension of the Krylov space")] = 128,
) -> Picard:
    """Say how many singular directions the data determine before noise takes over.

    A direction counts as lost where the coefficients' mean square over a window of neighbours is below twice the
    noise's: noise then outweighs signal. Without a `noise_norm` the floor is rounding. Of a large operator the leading
    directions are looked at.

    Parameters
    ----------
    A : LinearOperator
        With singular values by structure, or small; of a large one the leading directions.
    y : Tensor
        Data, shape ``(*batch, *codomain.shape)``.
    noise_norm : Tensor or float, optional
        Expected norm of the noise, in the unit of the data, shape ``(*batch,)``.
    """
    A.codomain.check(y, "the data")
    found = None if within_reach(A) else leading_of(A, vectors)
    if found is None:
        s, coefficients = decompose(A, y)
    else:
        count = shown(found)
        s, flat = found.values[:count], Flat(A)
        coefficients = flat.flat(y) @ flat.flat(found.left[:count]).mH
    norm = A.codomain.norm(y)
    floor = torch.as_tensor(0.0 if noise_norm is None else noise_norm, dtype=norm.dtype, device=norm.device)
    floor = torch.maximum(floor / math.sqrt(A.codomain.size), A.codomain.eps * norm)
    size = coefficients.abs()
    fails = _first_lost(size**2, floor**2)
    values = s.cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size.cpu().numpy() / values
    said, total = _said(fails, values, floor), min(A.domain.size, A.codomain.size)
    report = Picard(values, size.cpu().numpy(), ratio, floor.cpu().numpy(), fails.cpu().numpy(), said, total=total)
    if found is None:
        return report
    error, nearby = (t[: len(values)].cpu().numpy() for t in (found.error, found.nearby))
    said = f"{_of_leading(fails, len(values))}{_accuracy(found, total)}"
    return replace(report, error=error, nearby=nearby, sentence=said)


def _of_leading(fails: Tensor, count: int) -> str:
    """Say what the leading directions alone tell of the data."""
    first = int(fails.min())
    if first == count:
        return f"The data determine all {count} leading directions, and noise takes over later. "
    return f"The data determine the first {first} directions; beyond, noise outweighs signal. "


def _first_lost(power: Tensor, noise: Tensor) -> Tensor:
    """Return the first index at which the mean of `power` over a window of neighbours is below twice `noise`."""
    n = power.shape[-1]
    half = min(max(2, n // 128), (n - 1) // 2)
    tail = torch.cat((power.double().flip(-1).cumsum(-1).flip(-1), power.new_zeros((*power.shape[:-1], 1))), -1)
    at = torch.arange(n, device=power.device)  # sums from the end: small numbers are not lost beside large ones
    low, high = (at - half).clamp(min=0), (at + half + 1).clamp(max=n)
    mean = (tail[..., low] - tail[..., high]) / (high - low)
    lost = mean < 2 * noise.unsqueeze(-1)
    return torch.where(lost.any(-1), lost.to(torch.int8).argmax(-1), n)


def _said(fails: Tensor, values: NDArray[np.floating], floor: Tensor) -> str:
    first, last, n = int(fails.min()), int(fails.max()), len(values)
    if first == n:
        return f"The data determine all {n:,} directions: no coefficient sinks to the level of the noise."
    directions = f"the first {first:,}" if first == last else f"between the first {first:,} and {last:,}"
    directions = directions if last else "none"
    size = f"noise of {float(floor.max()):.3g} a coefficient outweighs signal"
    if values[first:].min() > LEVEL * values[0]:
        return f"The data determine {directions} of {n:,} directions: beyond, {size}, though nothing amplifies it."
    return (
        f"The data determine {directions} of {n:,} directions; beyond σ = {values[first]:.3g}, {size} "
        "and division by σ amplifies it."
    )
