"""Sparsity in a basis: sums of moduli of the coefficients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, prior
from explorer.linalg import Space, expand, safe_divide
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.transforms import Cosine
from explorer.operators.wavelets import FAMILIES, Wavelet
from explorer.priors.base import Prior

Basis = Annotated[
    Literal["entries", "cosine", "wavelet"],
    Help("where the unknown is sparse: its entries, cosines, or Daubechies wavelets of four moments"),
]


def basis_of(domain: Space, name: str) -> LinearOperator | None:
    """Return the orthonormal transform to a basis; None for the entries themselves."""
    if name == "wavelet":
        return Wavelet(domain, "db4")
    return Cosine(domain) if name == "cosine" else None


def soft_threshold(x: Tensor, threshold: float | Tensor) -> Tensor:
    """Return ``x`` with its modulus reduced by `threshold` (one value a sample), and 0 below it; phases are kept."""
    if not x.is_complex():
        threshold = torch.as_tensor(expand(threshold, x), dtype=x.dtype, device=x.device)
        return x - torch.minimum(torch.maximum(x, -threshold), threshold)
    modulus = x.abs()
    return x * safe_divide((modulus - expand(threshold, x)).clamp(min=0), modulus)


def onto_ball(z: Tensor, modulus: Tensor, radius: float | Tensor) -> Tensor:
    """Return `z`, whose groups have this `modulus`, projected onto balls of `radius` (one value a sample)."""
    radius = torch.as_tensor(expand(radius, z), dtype=modulus.dtype, device=z.device)
    least = torch.finfo(modulus.dtype).tiny  # with it nothing is divided by zero where the radius is 0
    return z * (radius / torch.maximum(modulus, radius.clamp(min=least)))


@prior(
    "Sparsity (l1)",
    name="l1",
    equation=r"R(x) = \lambda \|C x\|_1",
    papers=[
        "Tibshirani 1996: Regression shrinkage and selection via the lasso",
        "Chen, Donoho & Saunders 1998: Atomic decomposition by basis pursuit",
    ],
    works="Few non-zeros, in the pixels or in a basis.",
    fails="Unknowns with many small values; every value is drawn towards zero.",
)
class L1(Prior):
    """The sum of moduli of the entries, or of the coefficients in an orthonormal basis."""

    title = "the l1 prior"
    has_prox = splits = True
    #: one factor a coefficient, or 1
    weights: Any = 1.0

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        basis: Basis = "entries",
    ) -> None:
        super().__init__(domain, weight, basis_of(domain, basis))

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ w |C x|``."""
        return self.weight * (self.weights * self.operator(x).abs()).sum(tuple(range(-self.domain.ndim, 0)))

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the soft threshold at ``step λ w`` of the coefficients."""
        c = self.operator(x)
        return self.operator.adjoint(soft_threshold(c, self._levels(step * self.weight, c)))

    def dual_prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        """Return `z` with moduli cut at ``λ w``."""
        return onto_ball(z, z.abs(), self._levels(self.weight, z))

    def _levels(self, level: float | Tensor, c: Tensor) -> float | Tensor:
        """Return `level` (one value a sample) times the weight of every coefficient."""
        if not isinstance(self.weights, Tensor):
            return level
        return (expand(level, c) * self.weights).expand(c.shape)


@prior(
    "Weighted sparsity",
    name="weighted_l1",
    equation=r"R(x) = \lambda \sum_k w_k |(C x)_k|,\quad w_k = (1 + |k|)^p",
    papers=[
        "Candès, Wakin & Boyd 2008: Enhancing sparsity by reweighted l1 minimization",
        "Rauhut & Ward 2016: Interpolation via weighted l1 minimization",
    ],
    works="Smooth unknowns with few cosine coefficients, the rarer the higher their frequency.",
    fails="Edges and texture, whose high frequencies growing weights remove; wrong weights cut true coefficients.",
)
class WeightedL1(L1):
    """Sparsity in which some coefficients cost more: the given weights, else those that grow with the frequency.

    Parameters
    ----------
    weights : Tensor, optional
        One weight ≥ 0 a coefficient, in the shape of the domain. Without it, the power `growth` of ``1 + |k|``, where
        ``|k|`` is the length of the vector of indices: of half cycles in the cosine basis, of entries from the corner.
    """

    title = "the weighted l1 prior"

    def __init__(
        self,
        domain: Space,
        weights: Tensor | None = None,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        basis: Annotated[Literal["cosine", "entries"], Help("where the unknown is sparse")] = "cosine",
        growth: Annotated[float, Linear(-4, 4, help="power p with which the weights grow")] = 1.0,
    ) -> None:
        super().__init__(domain, weight=weight, basis=basis)
        self.weights = (1 + _index_lengths(domain)) ** growth if weights is None else weights.to(domain.device)


def _index_lengths(domain: Space) -> Tensor:
    squares = torch.zeros((), dtype=torch.float64, device=domain.device)
    for n in domain.shape:
        squares = squares.unsqueeze(-1) + torch.arange(n, dtype=torch.float64, device=domain.device) ** 2
    return squares.sqrt().to(real_dtype(domain.dtype))


@prior(
    "Sparse wavelets",
    name="wavelet_l1",
    equation=r"R(x) = \lambda \sum_j 2^{p j} \|(W x)_j\|_1",
    papers=[
        "Donoho & Johnstone 1994: Ideal spatial adaptation by wavelet shrinkage",
        "Lassas, Saksman & Siltanen 2009: Discretization-invariant Bayesian inversion and Besov space priors",
    ],
    works="Photographs and signals, which have few large wavelet coefficients.",
    fails="Where coefficients are cut it leaves marks in the shape of the wavelet.",
)
class WaveletL1(L1):
    """Moduli of orthonormal wavelet coefficients; finer scales j may cost more, and the coarsest averages nothing.

    With the power ``p = s − d/2`` in d dimensions this is the norm of the Besov space ``B^s_{1,1}``.
    """

    title = "the wavelet prior"

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        wavelet: Annotated[Literal[FAMILIES], Help("family, with its number of moments")] = "db4",  # type: ignore[valid-type]
        levels: Annotated[int, Linear(1, 20, help="most scales; fewer where the size is not even so often")] = 20,
        growth: Annotated[float, Linear(-2, 4, help="power p of two by which each finer scale costs more")] = 0.0,
        averages: Annotated[bool, Help("penalise the coarsest averages too")] = False,
    ) -> None:
        transform = Wavelet(domain, wavelet, levels)
        Prior.__init__(self, domain, weight, transform)
        scales = transform.scales()
        self.weights = torch.where(scales < 0, float(averages), 2.0 ** (growth * scales.clamp(min=0)))
        self.weights = self.weights.to(real_dtype(domain.dtype))


@prior(
    "Elastic net",
    name="elastic_net",
    equation=r"R(x) = \lambda \|C x\|_1 + \tfrac{\mu}{2} \|x\|_2^2",
    papers=["Zou & Hastie 2005: Regularization and variable selection via the elastic net"],
    works="Few non-zeros among columns that are alike.",
    fails="Values come out too small, as it shrinks them twice.",
)
class ElasticNet(L1):
    """Sparse and small: coefficients that go together stay together."""

    title = "the elastic net"

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ of the moduli", degree=1, batched=True)] = 1e-2,
        ridge: Annotated[float | Tensor, Log(0, 1e6, help="weight μ of the squares", batched=True)] = 1e-2,
        basis: Basis = "entries",
    ) -> None:
        super().__init__(domain, weight=weight, basis=basis)
        self.ridge = ridge

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ |C x| + μ/2 ‖x‖²``."""
        return super().value(x) + self.ridge / 2 * self.domain.norm2(x)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the soft threshold at ``step λ``, over ``1 + step μ``."""
        return super().prox(x, step) / (1 + expand(step * self.ridge, x))

    def dual_prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        """Return what Moreau makes of the proximal map: ``z − step · soft(z, λ) / (step + μ)``."""
        shrunk = soft_threshold(z, self.weight)
        return z - shrunk * expand(step / (step + self.ridge), z)


__all__ = ["L1", "Basis", "ElasticNet", "WaveletL1", "WeightedL1", "basis_of", "onto_ball", "soft_threshold"]
