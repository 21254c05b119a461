"""The leading singular values of an operator too large to decompose, each between two bounds.

Halko, Martinsson & Tropp 2011: Finding structure with randomness: probabilistic algorithms for constructing approximate
matrix decompositions.
Musco & Musco 2015: Randomized block Krylov methods for stronger and faster approximate singular value decomposition.
Kuczyński & Woźniakowski 1992: Estimating the largest eigenvalue by the power and Lanczos algorithms with a random
start.
Li & Li 2005: A note on eigenvalues of perturbed Hermitian matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.linalg.golub_kahan import largest_singular_value
from explorer.linalg.rng import Rng
from explorer.linalg.spaces import Space, real_dtype

#: probability with which the norm of what was not found may exceed its bound
RISK = 1e-3


@dataclass(frozen=True)
class Leading:
    """The largest singular values of an operator and their vectors.

    Attributes
    ----------
    values : Tensor
        Descending, shape ``(k,)``: ``values ≤ σ ≤ values + error``.
    error : Tensor
        Shape ``(k,)``; holds with probability ``1 − RISK``.
    nearby : Tensor
        Some singular value is as near to `values` as that: their residuals, and mostly the true error is less. Where
        the space has missed no singular value, it is the one of that index. Shape ``(k,)``.
    rest : float
        Bound on the norm of the operator outside of the whole space that was searched.
    left, right : Tensor
        Rows are singular vectors, orthonormal, shapes ``(k, *codomain.shape)`` and ``(k, *domain.shape)``.
    """

    values: Tensor
    error: Tensor
    nearby: Tensor
    rest: float
    left: Tensor
    right: Tensor


class Flat:
    """An operator on flat vectors; complex data of a real unknown are pairs of real ones, as their inner product is."""

    def __init__(self, A: Any) -> None:
        X, Y = A.domain, A.codomain
        self.A, self.paired = A, Y.is_complex and not X.is_complex
        self.domain = Space((X.size,), X.dtype, X.device)
        dtype = real_dtype(Y.dtype) if self.paired else Y.dtype
        self.codomain = Space((Y.size * (2 if self.paired else 1),), dtype, Y.device)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``A x``, flat."""
        return self.flat(self.A.forward(x.reshape(*x.shape[:-1], *self.A.domain.shape)))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``Aᴴ y``, flat."""
        return self.A.adjoint(self.data(y)).reshape(*y.shape[:-1], -1)

    def flat(self, y: Tensor) -> Tensor:
        """Return data as flat vectors."""
        batch = self.A.codomain.batch(y)
        return (torch.view_as_real(y.resolve_conj()) if self.paired else y).reshape(*batch, -1)

    def data(self, y: Tensor) -> Tensor:
        """Return flat vectors as data."""
        if self.paired:
            y = torch.view_as_complex(y.reshape(*y.shape[:-1], -1, 2))
        return y.reshape(*y.shape[:-1], *self.A.codomain.shape)


class Outside:
    """``(I − U Uᴴ) A``: what of an operator does not land in the span of orthonormal rows."""

    def __init__(self, A: Any, rows: Tensor) -> None:
        self.A, self.rows, self.domain, self.codomain = A, rows, A.domain, A.codomain

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(I − U Uᴴ) A x``."""
        return without(self.A.forward(x), self.rows)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``Aᴴ (I − U Uᴴ) y``."""
        return self.A.adjoint(without(y, self.rows))


def without(rows: Tensor, basis: Tensor) -> Tensor:
    """Return rows less their part in the span of an orthonormal basis, twice for orthogonality to rounding."""
    for _ in range(2):
        rows = rows - (rows @ basis.mH) @ basis
    return rows


def extend(basis: Tensor, rows: Tensor) -> Tensor:
    """Return an orthonormal basis of what `rows` add to the span of `basis`; what is rounding adds nothing."""
    scale = torch.linalg.vector_norm(rows, dim=-1).max()
    new = without(rows, basis)
    q, r = torch.linalg.qr(new.mT)
    weight, order = r.abs().amax(1), torch.finfo(r.dtype).eps * 100
    kept = q.mT[weight > order * scale]
    return torch.linalg.qr(without(kept, basis).mT)[0].mT if len(kept) else kept


def norm_bound(A: Any, rng: Rng, steps: int = 12, starts: int = 4, risk: float = RISK) -> float:
    """Return an upper bound on the spectral norm that fails with probability at most `risk`.

    From a random start, k Lanczos steps on ``AᴴA`` give an eigenvalue that is below the largest one by a fraction ε or
    more with probability at most ``1.648 √n exp(−√ε (2k − 1))`` (Kuczyński & Woźniakowski 1992, theorem 4.2); several
    independent starts must all fail.
    """
    n, most = A.domain.size, min(A.domain.size, A.codomain.size)
    steps = min(steps, most)
    start = rng.normal((starts, *A.domain.shape), A.domain.dtype, A.domain.device)
    found = float(largest_singular_value(A, start, steps).max())
    fraction = (math.log(1.648 * math.sqrt(n) / risk ** (1 / starts)) / (2 * steps - 1)) ** 2
    return found if steps == most else found / math.sqrt(1 - fraction) if fraction < 1 else math.inf


def leading(A: Any, rng: Rng, size: int, block: int = 16) -> Leading:
    """Return the leading singular triplets from a block Krylov space of `size` dimensions.

    With an orthonormal basis U of the space, ``UᴴA`` has singular values θ below those of A, and ``σ² ≤ θ² + ‖D‖²``
    with ``D = (I − U Uᴴ) A``. Where a gap separates the first p of them from the rest and their residual is small, a
    quadratic bound is much closer: with ``c = ‖(I − UUᴴ) A Aᴴ u₁…ₚ‖`` and ``η = θⱼ² − θₚ₊₁² − ‖D‖²``,
    ``σⱼ² ≤ θⱼ² + 2c² / (η + √(η² + 4c²))`` (Li & Li 2005). They cost one more block and 48 products with D and Dᴴ.

    Parameters
    ----------
    A : LinearOperator
        Between two single spaces, both real or both complex.
    rng : Rng
    size : int
        Dimension of the space: so many products with A and with Aᴴ.
    block : int
        Vectors at a time; values of a multiplicity up to this are found together.
    """
    B = Flat(A)
    X, Y = B.domain, B.codomain
    size = min(size, X.size, Y.size)

    def fresh(basis: Tensor) -> Tensor:
        start = rng.fork(str(len(basis))).normal((min(block, size), X.size), X.dtype, X.device)
        return extend(basis, B.forward(start))

    basis = new = fresh(Y.zeros((0,)))
    back = X.zeros((0,))
    last, onward = 0, basis
    while len(new) and len(basis) <= size:
        back, last = torch.cat((back, B.adjoint(new))), len(new)
        onward = B.forward(back[-last:])
        new = extend(basis, onward)
        if not len(new):  # the space is invariant: values of a higher multiplicity may be left
            new = fresh(basis)
        if len(basis) + len(new) > size:  # a part of a block would leave a residual that nobody has computed
            break
        basis = torch.cat((basis, new))
    # UᴴA = (rows of `back`)ᴴ, whose decomposition is that of a small triangle
    q, r = torch.linalg.qr(back.mT)
    w, values, vh = torch.linalg.svd(r.mH)
    whole = len(basis) == min(X.size, Y.size)
    rest = 0.0 if whole else norm_bound(Outside(B, basis), rng.fork("rest"))
    coupling = w.mT[:, len(basis) - last :] @ without(onward, basis)
    rounding = 10 * X.eps * float(values.max()) if len(values) else 0.0
    c = torch.linalg.vector_norm(coupling, dim=-1).double()
    error = _error(values.double(), c, rest) + rounding
    nearby = torch.minimum(error, c / values.double().clamp(min=rounding or 1.0) + rounding)
    left, right = B.data(w.mT @ basis), (vh.conj() @ q.mT).reshape(-1, *A.domain.shape)
    return Leading(values, error.to(values.dtype), nearby.to(values.dtype), rest + rounding, left, right)


def _error(values: Tensor, residual: Tensor, rest: float) -> Tensor:
    """Return bounds on ``σ − θ``: the best over all p of the quadratic bound, and Weyl's."""
    k, square = len(values), values**2
    if rest == 0.0:
        return torch.zeros_like(values)
    increment = torch.full_like(values, rest**2)
    c2 = (residual**2).cumsum(0)
    below = torch.cat((square[1:], torch.zeros_like(square[:1]))) + rest**2  # of what is beyond the first p
    gap = square.unsqueeze(1) - below  # (j, p)
    usable = (gap > 0) & (torch.arange(k)[:, None].to(gap.device) <= torch.arange(k).to(gap.device))
    quadratic = 2 * c2 / (gap + (gap**2 + 4 * c2).sqrt())
    best = torch.where(usable, quadratic, torch.inf).amin(1)
    increment = torch.minimum(increment, best)
    return increment / (values + (square + increment).sqrt())
