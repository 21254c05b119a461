"""Random measurements that suffice for sparse unknowns: compressed sensing.

Foucart & Rauhut 2013: A Mathematical Introduction to Compressive Sensing.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.mask import random_subset
from explorer.operators.sketch import gaussian, random_signs
from explorer.operators.sparse import SharedMatrix, SparseMatrix

Share = Annotated[float, Linear(0.01, 1, help="measurements for each unknown")]


def _count(share: float, domain: Space) -> int:
    return max(1, round(share * domain.size))


@operator(
    "Gaussian measurements",
    papers=["Candès, Romberg & Tao 2006: Stable signal recovery from incomplete and inaccurate measurements"],
    equation=r"A_{ij} \sim N(0, 1/m)",
    works="Sparse unknowns with several data for every non-zero.",
    fails="Fewer data than the phase transition asks for: recovery fails all at once.",
)
def gaussian_sensing(domain: Space, rng: Rng, *, share: Share = 0.4) -> LinearOperator:
    """A dense matrix of independent normal entries: in every basis as good as can be, and slow."""
    made = gaussian(domain, _count(share, domain), rng)
    assert isinstance(made, DenseMatrix)
    made.title = "Gaussian measurements"
    return made


def walsh_hadamard(x: Tensor) -> Tensor:
    """Return the orthonormal Walsh–Hadamard transform of the last dimension, in the order of Sylvester.

    Its length n must be a power of two; n log₂ n additions.
    """
    n, step = x.shape[-1], 1
    while step < n:
        pairs = x.reshape(*x.shape[:-1], n // (2 * step), 2, step)
        even, odd = pairs.unbind(-2)
        x = torch.stack((even + odd, even - odd), dim=-2).reshape(x.shape)
        step *= 2
    return x / math.sqrt(n)


class SubsampledHadamard(LinearOperator):
    """``A = R H P D``: signs, zeros up to a power of two, the Walsh–Hadamard transform, some of its coefficients.

    Parameters
    ----------
    domain : Space
    kept : Tensor
        Different indices into the transform, shape ``(m,)``.
    signs : Tensor, optional
        In the shape of the domain.
    """

    title = "Hadamard measurements"

    def __init__(self, domain: Space, kept: Tensor, signs: Tensor | None = None) -> None:
        super().__init__(domain, Space((len(kept),), domain.dtype, domain.device))
        self.kept, self.signs, self.length = kept, signs, power_of_two(domain.size)
        self.coisometry = self.length == domain.size

    def _forward(self, x: Tensor) -> Tensor:
        x = x if self.signs is None else self.signs * x
        flat = x.reshape(*self.domain.batch(x), self.domain.size)
        padded = torch.nn.functional.pad(flat, (0, self.length - self.domain.size))
        return walsh_hadamard(padded).index_select(-1, self.kept)

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = self.codomain.batch(y)
        x = walsh_hadamard(y.new_zeros((*batch, self.length)).index_copy_(-1, self.kept, y))
        x = x[..., : self.domain.size].reshape(*batch, *self.domain.shape)
        return x.clone() if self.signs is None else self.signs * x

    def gram_diagonal(self) -> Tensor:
        """Return the kept share: every entry of H has modulus ``1/√n``."""
        share, space = len(self.kept) / self.length, self.domain
        return torch.full(space.shape, share, dtype=real_dtype(space.dtype), device=space.device)


def power_of_two(n: int) -> int:
    """Return the smallest power of two that is not below n."""
    return 1 << (n - 1).bit_length()


@operator(
    "Hadamard measurements",
    papers=["Duarte et al. 2008: Single-pixel imaging via compressive sampling"],
    equation=r"A = R H D,\quad H_{ij} = \pm n^{-1/2}",
    works="Cameras with a single pixel and sparse scenes, too large for a stored matrix.",
    fails="Without the scramble, smooth images hang on whether their few large coefficients are drawn.",
)
def hadamard_sensing(
    domain: Space,
    rng: Rng,
    *,
    share: Share = 0.4,
    scramble: Annotated[bool, Help("random signs before the transform; without them it is a poor one for images")] = (
        True
    ),
) -> SubsampledHadamard:
    """Random patterns of ±1, as the mirrors of a single-pixel camera, by the fast Walsh–Hadamard transform."""
    ones = torch.ones(power_of_two(domain.size), device=domain.device)
    kept = random_subset(ones, _count(share, domain), rng.fork("rows"))
    return SubsampledHadamard(domain, kept, random_signs(domain, rng) if scramble else None)


@operator(
    "Sparse binary measurements",
    papers=["Berinde, Gilbert, Indyk, Karloff & Strauss 2008: Combining geometry and combinatorics"],
    equation=r"A_{ij} \in \{0, 1\},\quad \sum_i A_{ij} = d",
    works="Sparse unknowns, where each datum should be the sum of a few of them.",
    fails="Few ones a column: unknowns in the same rows cannot be told apart, and recovery fails.",
)
def sparse_binary(
    domain: Space,
    rng: Rng,
    *,
    share: Share = 0.4,
    ones: Annotated[int, Linear(1, 64, help="ones in each column, in different rows")] = 8,
) -> SparseMatrix:
    """Sums of a few unknowns each: the edges of a random graph in which every unknown has as many neighbours.

    Rows are divided into as many stripes as a column has ones, with one of them in each stripe.
    """
    m, n = _count(share, domain), domain.size
    if ones > m:
        raise SpecError(f"a column has {ones} ones, and there are {m} rows only: choose fewer ones or a larger share")

    def make() -> Any:
        from scipy.sparse import csc_array

        starts = torch.arange(ones + 1) * m // ones
        within = rng.fork("rows").uniform((n, ones), torch.float64)
        row = starts[:-1] + (within * starts.diff()).floor().long()
        ends = torch.arange(n + 1) * ones
        parts = (torch.ones(n * ones, dtype=torch.float64), row.reshape(-1).to(torch.int32), ends.to(torch.int32))
        return csc_array(tuple(part.numpy() for part in parts), (m, n))

    made = SparseMatrix(domain, Space((m,), domain.dtype, domain.device), SharedMatrix(make))
    made.title, made.nonnegative = "Sparse binary measurements", True
    return made
