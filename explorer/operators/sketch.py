r"""Random sketches ``S``: maps to few dimensions that nearly keep the norms of whatever they were not made for.

All are scaled so that ``E ‖S x‖² = ‖x‖²``, act on flattened elements, and are drawn from their own random stream at
first use. Woodruff 2014: Sketching as a tool for numerical linear algebra.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Help, Log, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.mask import Mask, random_subset
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.operators.transforms import Cosine

Kind = Literal["cosine", "gaussian", "sparse", "fast"]

#: largest number of random entries that is drawn for one sketch
MAX_ENTRIES = 2**25


class MixedSketch(LinearOperator):
    """``S = P H D``: random signs D, the orthonormal cosine transform H (or none), and a projection P.

    Signs and transform spread every element over all coordinates, so that few of them tell its norm.

    Parameters
    ----------
    signs : Tensor
        In the shape of the domain.
    projection : LinearOperator
        From the domain to the sketch.
    mix : bool
        Whether there is a transform between them.
    """

    title = "this sketch"

    def __init__(self, signs: Tensor, projection: LinearOperator, factor: float = 1.0, *, mix: bool = True) -> None:
        super().__init__(projection.domain, projection.codomain)
        self.signs, self.projection, self.factor = signs, projection, factor
        self.transform = Cosine(projection.domain) if mix else None

    def _forward(self, x: Tensor) -> Tensor:
        x = self.signs * x
        if self.transform is not None:
            x = self.transform._forward(x)
        return self.factor * self.projection._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        x = self.factor * self.projection._adjoint(y)
        if self.transform is not None:
            x = self.transform._adjoint(x)
        return self.signs * x


class SparseSketch(SparseMatrix):
    """A random sparse matrix, drawn at first use."""

    @property
    def nonzeros(self) -> int:
        """Number of its nonzero entries."""
        return len(self._pair()[0].values())


def subsampled_cosine(domain: Space, rows: int, rng: Rng) -> LinearOperator:
    """Return ``√(n/m) R H D``: signs, cosine transform, and m of its n coefficients without replacement.

    Ailon & Chazelle 2009, Tropp 2011: Improved analysis of the subsampled randomized Hadamard transform.
    """
    if rows > domain.size:
        raise SpecError(f"is {rows}, and a subsampled transform has at most the {domain.size} of the domain", "rows")
    kept = random_subset(torch.ones(domain.size, device=domain.device), rows, rng.fork("rows"))
    return MixedSketch(random_signs(domain, rng), Mask(domain, kept), math.sqrt(domain.size / rows))


def gaussian(domain: Space, rows: int, rng: Rng) -> LinearOperator:
    """Return a matrix of independent normal entries of variance 1/m."""
    refuse_large(rows, domain.size)
    entries = rng.normal((rows, domain.size), real_dtype(domain.dtype), domain.device) / math.sqrt(rows)
    return DenseMatrix(domain, Space((rows,), domain.dtype, domain.device), entries.to(domain.dtype))


def sparse_signs(domain: Space, rows: int, nonzeros: int, rng: Rng) -> SparseSketch:
    """Return a matrix with `nonzeros` entries ``±1/√nonzeros`` a column, one in each of so many stripes of rows.

    One is CountSketch, several OSNAP. Nelson & Nguyễn 2013: OSNAP: Faster numerical linear algebra algorithms via
    sparser subspace embeddings.
    """
    if nonzeros > rows:
        raise SpecError(f"is {nonzeros}, and a column has at most the {rows} entries of its rows", "nonzeros")

    def make() -> Any:
        from scipy.sparse import csc_array

        ends = np.arange(nonzeros + 1) * rows // nonzeros
        shape = (domain.size, nonzeros)
        within = rng.fork("rows").uniform(shape, torch.float64).numpy()
        row = (ends[:-1] + np.floor(within * np.diff(ends))).astype(np.int32)
        values = np.where(rng.fork("signs").uniform(shape, torch.float64).numpy() < 0.5, -1, 1) / math.sqrt(nonzeros)
        start = np.arange(domain.size + 1, dtype=np.int32) * nonzeros
        return csc_array((values.reshape(-1), row.reshape(-1), start), (rows, domain.size))

    return SparseSketch(domain, Space((rows,), domain.dtype, domain.device), SharedMatrix(make))


def sparse_normal(domain: Space, rows: int, density: float, rng: Rng) -> SparseSketch:
    """Return a matrix whose entries are kept with probability q, and then normal of variance ``1 / (q m)``."""
    refuse_large(rows, domain.size)

    def make() -> Any:
        from scipy.sparse import csr_array

        kept, values, n = rng.fork("kept"), rng.fork("values"), domain.size
        at_once = max(1, 2**20 // n)  # rows whose entries are decided on together
        blocks = [(start, min(at_once, rows - start)) for start in range(0, rows, at_once)]
        chosen = [
            start * n + np.flatnonzero(kept.uniform((count * n,), torch.float64).numpy() < density)
            for start, count in blocks
        ]
        row, column = np.divmod(np.concatenate(chosen), n)
        ends = np.searchsorted(row, np.arange(rows + 1))
        entries = values.normal((len(row),), torch.float64).numpy() / math.sqrt(density * rows)
        return csr_array((entries, column, ends), (rows, n))

    return SparseSketch(domain, Space((rows,), domain.dtype, domain.device), SharedMatrix(make))


def random_signs(domain: Space, rng: Rng) -> Tensor:
    """Return independent signs in the shape of the domain, real."""
    u = rng.fork("signs").uniform(domain.shape, real_dtype(domain.dtype), domain.device)
    return torch.where(u < 0.5, -1.0, 1.0).to(u.dtype)


def refuse_large(rows: int, columns: int) -> None:
    """Refuse a sketch for which too many random entries would be drawn."""
    if rows * columns > MAX_ENTRIES:
        raise SpecError(
            f"the sketch would have {rows} × {columns} random entries, and at most {MAX_ENTRIES:,} are drawn: "
            "choose fewer rows, or the kind 'cosine' or 'sparse'"
        )


def draw_sketch(kind: Kind, domain: Space, rows: int, rng: Rng, *, nonzeros: int = 1) -> LinearOperator:
    """Return a sketch of a kind, from `domain` to `rows` numbers; `nonzeros` a column is for the kind ``sparse``."""
    if kind == "cosine":
        return subsampled_cosine(domain, rows, rng)
    if kind == "gaussian":
        return gaussian(domain, rows, rng)
    if kind == "fast":
        return fast_johnson_lindenstrauss(domain, rng, rows=rows)
    return sparse_signs(domain, rows, nonzeros, rng)


def a_quarter(rows: int | None, domain: Space) -> int:
    """Return the number of rows, a quarter of the unknowns where it is not set."""
    return max(1, domain.size // 4) if rows is None else rows


Rows = Annotated[int | None, Log(1, 65_536, help="numbers that remain; a quarter of the unknowns if not set")]
Nonzeros = Annotated[int, Log(1, 64, help="nonzero entries a column of a sparse sketch: 1 is CountSketch")]
SketchKind = Annotated[
    Kind, Help("cosine: signs, transform, some coefficients; sparse: a few signs a column; fast: row 153")
]


@operator(
    "Random sketch",
    papers=[
        "Woodruff 2014: Sketching as a tool for numerical linear algebra",
        "Charikar et al. 2002: Finding frequent items in data streams",
    ],
    equation=r"\mathbb{E}\,\|S x\|_2^2 = \|x\|_2^2",
    works="Shrinking sets of points or least-squares problems that were fixed before the sketch was drawn.",
    fails="With fewer rows than unknowns it has a null space: as a measurement it needs sparse unknowns.",
)
def random_sketch(
    domain: Space, rng: Rng, *, kind: SketchKind = "cosine", rows: Rows = None, nonzeros: Nonzeros = 1
) -> LinearOperator:
    """A random map to few numbers that nearly keeps norms: dense, by a fast transform, or sparse.

    For m rows a norm is kept up to a relative error of about ``1 / √(2m)``.
    """
    made = draw_sketch(kind, domain, a_quarter(rows, domain), rng, nonzeros=nonzeros)
    made.title = "Random sketch"
    return made


@operator(
    "Fast Johnson–Lindenstrauss transform",
    papers=[
        "row 153",
        "Ailon & Chazelle 2009: The fast Johnson–Lindenstrauss transform and approximate nearest neighbors",
    ],
    equation=r"S = P H D,\quad P_{ij} \sim \begin{cases} N(0, 1/(q m)) & \text{with probability } q\\ 0\end{cases}",
    works="Many points of many numbers whose distances are to be kept at little cost.",
    fails="Far too large a saving distorts distances; without mixing, points of few non-zeros are lost.",
)
def fast_johnson_lindenstrauss(
    domain: Space,
    rng: Rng,
    *,
    rows: Rows = None,
    points: Annotated[int, Log(2, 1e6, help="number N of points whose distances are to be kept")] = 300,
    saving: Annotated[float, Log(1, 1000, help="factor α that the projection is sparser than ln²(N)/n")] = 1.0,
    mix: Annotated[bool, Help("spread the points by signs and a transform first; without it spikes are lost")] = True,
) -> MixedSketch:
    r"""Signs, a cosine transform, and a sparse projection whose entries are kept with ``q = min(1, ln²(N) / (α n))``.

    The classical analysis has α = 1, the newer one allows ``α = Ω(min(ln(1/ε)/ε, ln N))``, and not more.
    """
    m = a_quarter(rows, domain)
    density = min(1.0, math.log(points) ** 2 / (domain.size * saving))
    signs = random_signs(domain, rng)
    made = MixedSketch(signs, sparse_normal(domain, m, density, rng.fork("projection")), mix=mix)
    made.title = "Fast Johnson–Lindenstrauss transform"
    return made


__all__ = ["Kind", "MixedSketch", "SparseSketch", "draw_sketch", "fast_johnson_lindenstrauss", "random_sketch"]
