"""Approximate inverses that know some of the spectrum: polynomials, Nyström, deflation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, preconditioner
from explorer.linalg import Rng, safe_divide
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.rows import dense
from explorer.operators.transforms import idct
from explorer.preconditioners.diagonal import System, positive_system
from explorer.preconditioners.matrices import Inverse, matrix_at_hand
from explorer.preconditioners.transforms import middle

# --- symmetric polynomials ---


def symmetric_polynomials(values: Tensor, degree: int) -> Tensor:
    """Return the elementary symmetric polynomials ``e_0 … e_degree`` of positive values, shape ``(degree + 1,)``.

    They are the coefficients of ``Π (1 + v z)``, multiplied pair by pair, without cancellation.
    """
    size = 1 << max(len(values) - 1, 0).bit_length()
    factors = torch.zeros(size, degree + 1, dtype=values.dtype, device=values.device)
    factors[:, 0] = 1
    if degree:
        factors[: len(values), 1] = values
    while len(factors) > 1:
        left, right = factors[::2], factors[1::2]
        factors = torch.stack([(left[:, : k + 1] * right[:, : k + 1].flip(-1)).sum(-1) for k in range(degree + 1)], -1)
    return factors[0]


class _Polynomial(Inverse):
    def __init__(self, H: LinearOperator, degree: int) -> None:
        super().__init__(H if H.has_svd else matrix_at_hand(H))
        self.degree = min(degree, H.domain.size - 1)
        self.title = f"a polynomial of {H.title}"

    def _prepare(self) -> tuple[Tensor, Tensor]:
        """Return the trace τ of H and the coefficients of M in powers of H/τ."""
        values = self.system.svd().s if self.system.has_svd else torch.linalg.eigvalsh(dense(self.system))
        values = values.reshape(-1).double().clamp(min=0)
        trace, t = values.sum(), self.degree
        e = symmetric_polynomials(safe_divide(values, trace), t + 1)
        signs = torch.tensor([(-1.0) ** j for j in range(t + 1)], dtype=e.dtype, device=e.device)
        coefficients = signs * e[: t + 1].flip(0) * safe_divide(self.domain.size / (t + 1) / trace, e[t + 1])
        real = real_dtype(self.domain.dtype)
        return trace.to(real), coefficients.to(real)

    def _solve(self, parts: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        trace, coefficients = parts
        x = x.reshape(-1, *self.domain.shape)
        made = x * coefficients[-1]
        for coefficient in reversed(coefficients[:-1].unbind()):  # Horner
            made = self.system(made) / trace + x * coefficient
        return made


@preconditioner(
    "Symmetric polynomial",
    name="polynomial",
    equation=r"P_t = \tfrac1t \sum_{i=1}^t (-1)^{i-1} P_{t-i} \left(\mathrm{tr}(H^i) I - H^i\right),\quad P_0 = I",
    papers=["row 122", "Doikov & Rodomanov 2023: Polynomial preconditioning for gradient methods"],
    works="A few large eigenvalues far above the others, on small matrices or with a cheap decomposition.",
    fails="Spectra that fall evenly to small values; each use costs t products, which CG would use better.",
)
def polynomial(
    A: LinearOperator,
    *,
    system: System = "A",
    degree: Annotated[int, Linear(0, 8, help="degree t, and products with H in each use")] = 3,
) -> LinearOperator:
    """Take away the gaps between the largest ``t + 1`` eigenvalues: P_t has the symmetric polynomials of the others.

    Written out ``P_t = Σ_j (−1)^j e_{t−j} H^j`` with the elementary symmetric polynomials e of all eigenvalues, which
    the traces determine; scaled so that the eigenvalues of ``M H`` have the mean 1. The eigenvalues come from a cheap
    decomposition or from the matrix: traces that are but estimated leave P_t indefinite, as its value at the largest
    eigenvalue is a small difference of them.
    """
    return _Polynomial(positive_system(A, system), degree)


# --- Nyström ---


class _Nystrom(Inverse):
    def __init__(self, H: LinearOperator, rank: int, shift: float, rng: Rng) -> None:
        super().__init__(H)
        self.rank, self.shift = min(rank, H.domain.size), shift
        self.start = rng.normal((H.domain.size, self.rank), H.domain.dtype, H.domain.device)
        self.title = f"a Nyström inverse of {H.title}"

    def _prepare(self) -> tuple[Tensor, Tensor]:
        """Return the eigenvectors U and what ``M λ_r`` does beyond the identity in them."""
        basis = torch.linalg.qr(self.start).Q
        image = self.system(basis.mT.reshape(-1, *self.domain.shape)).reshape(self.rank, -1).mT
        nu = self.domain.size**0.5 * self.domain.eps * torch.linalg.matrix_norm(image)
        image = image + nu * basis
        core = basis.mH @ image
        factor = torch.linalg.cholesky((core + core.mH) / 2)
        half = torch.linalg.solve_triangular(factor, image.mH, upper=False).mH
        vectors, roots, _ = torch.linalg.svd(half, full_matrices=False)
        values = (roots**2 - nu).clamp(min=0)
        mu = self.shift * values[0]
        last = values[-1] + mu
        return vectors, torch.stack([(last / (values + mu) - 1) / last, (1 / last).expand_as(values)])

    def _solve(self, parts: Any, x: Tensor) -> Tensor:
        vectors, (change, rest) = parts
        c = x @ vectors.conj()
        return rest[0] * x + (change * c) @ vectors.mT


@preconditioner(
    "Nyström",
    name="nystrom",
    equation=r"M = U (\hat\Lambda + \mu)^{-1} U^* + \tfrac{1}{\hat\lambda_r + \mu} (I - U U^*)",
    papers=["Frangella, Tropp & Udell 2023: Randomized Nyström preconditioning"],
    works="Damped problems with a quickly falling spectrum, the shift near the damping.",
    fails="Slowly falling spectra, which need a rank as large as the number of eigenvalues above the shift.",
)
def nystrom(
    A: LinearOperator,
    rng: Rng | None = None,
    *,
    system: System = "A",
    rank: Annotated[
        int, Log(1, 1024, help="rank r of the approximation, and products with H before the first use")
    ] = 20,
    shift: Annotated[float, Log(1e-12, 1, help="μ, relative to the largest eigenvalue: the regularisation")] = 1e-3,
) -> LinearOperator:
    """Invert the leading eigenvalues, from a randomised low-rank approximation, and leave the others where they are."""
    return _Nystrom(positive_system(A, system), rank, shift, rng if rng is not None else Rng(0, "nystrom"))


# --- deflation ---


class _Deflation(Inverse):
    """``Q + (I − Q H) c⁻¹ (I − H Q)`` with ``Q = Z (Zᴴ H Z)⁻¹ Zᴴ``; H Z is kept, so that no use needs H."""

    def __init__(self, H: LinearOperator, space: str, parts: int) -> None:
        super().__init__(H)
        self.space, self.parts = space, parts
        self.title = f"a deflation of {H.title}"

    def _vectors(self) -> Tensor:
        """Return Z, orthonormal, shape ``(k, n)``."""
        made = torch.ones((1, 1), dtype=self.domain.dtype, device=self.domain.device)
        for n in self.domain.shape:
            k = min(self.parts, n)
            if self.space == "blocks":
                index = torch.arange(n, device=made.device) * k // n
                one = (index == torch.arange(k, device=made.device)[:, None]).to(made.dtype)
                one = one / one.sum(-1, keepdim=True).sqrt()
            else:
                one = idct(torch.eye(n, dtype=real_dtype(made.dtype), device=made.device)[:k], 1).to(made.dtype)
            made = torch.kron(made, one)
        return made

    def _prepare(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        Z = self._vectors()
        HZ = self.system(Z.reshape(-1, *self.domain.shape)).reshape(Z.shape)
        coarse = Z.conj() @ HZ.mT
        inverse = torch.linalg.pinv((coarse + coarse.mH) / 2, hermitian=True)
        return Z, HZ, inverse, middle(self.system)

    def _solve(self, parts: tuple[Tensor, Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        Z, HZ, inverse, scale = parts
        c = (x @ Z.mH) @ inverse.mT
        r = (x - c @ HZ) / scale
        return c @ Z + r - ((r @ HZ.mH) @ inverse.mT) @ Z


@preconditioner(
    "Deflation",
    name="deflation",
    equation=r"M = Q + (I - QH) \tfrac1c (I - HQ),\quad Q = Z (Z^* H Z)^{-1} Z^*",
    papers=[
        "Nicolaides 1987: Deflation of conjugate gradients with applications to boundary value problems",
        "Mandel 1993: Balancing domain decomposition",
        "Tang, Nabben, Vuik & Erlangga 2009: Comparison of two-level preconditioners derived from deflation, domain "
        "decomposition and multigrid methods",
    ],
    works="Differential equations, whose small eigenvalues belong to slow waves or near-constants.",
    fails="Blurs and other smoothing operators, whose small eigenvalues belong to fast waves outside its space.",
)
def deflation(
    A: LinearOperator,
    *,
    system: System = "A",
    space: Annotated[Literal["blocks", "cosines"], Help("what Z spans: constants on blocks, or the slowest waves")] = (
        "blocks"
    ),
    parts: Annotated[int, Linear(1, 32, help="blocks or waves in each dimension")] = 4,
) -> LinearOperator:
    """Solve for a few slow components at once and leave the others as they are, in the form that stays positive.

    It helps where the small eigenvalues belong to slow components, as in differential equations; where H smooths, its
    small ones are the fast components, and the polynomial or Nyström is the one to take.
    """
    return _Deflation(positive_system(A, system), space, parts)
