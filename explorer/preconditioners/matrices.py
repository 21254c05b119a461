"""Approximate inverses from the entries of the matrix: SSOR and incomplete factorisations."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, preconditioner
from explorer.operators.algebra import Composition
from explorer.operators.base import LinearOperator
from explorer.operators.rows import MAX_ENTRIES, dense
from explorer.operators.sparse import SparseMatrix
from explorer.preconditioners.diagonal import System, positive_system


def matrix_at_hand(H: LinearOperator, sparse: bool = False) -> LinearOperator:
    """Return an operator whose matrix can be made: of at most :data:`MAX_ENTRIES` entries, or stored and `sparse`.

    Raises
    ------
    SpecError
        If it cannot.
    """
    if (sparse and _stored(H) is not None) or H.domain.size**2 <= MAX_ENTRIES:
        return H
    raise SpecError(
        f"the matrix of {H.title} would have {H.domain.size**2:,} entries, and at most {MAX_ENTRIES:,} are made: "
        "use a smaller size, or the preconditioner 'fourier'",
        "precond",
    )


def _stored(H: LinearOperator) -> SparseMatrix | None:
    """Return the sparse matrix that H is, or whose Gram operator."""
    factor = H.right if isinstance(H, Composition) and H._is_gram else H
    return factor if isinstance(factor, SparseMatrix) and not getattr(factor, "matrix_free", False) else None


class Inverse(LinearOperator):
    """A positive self-adjoint inverse that is prepared when first used.

    A family implements `_prepare`, which returns tensors or what else `_solve` needs; both act on flat elements.
    """

    self_adjoint = True
    positive = True

    def __init__(self, H: LinearOperator) -> None:
        super().__init__(H.domain)
        self.system = H

    def _prepare(self) -> Any:
        raise NotImplementedError

    def _solve(self, parts: Any, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _forward(self, x: Tensor) -> Tensor:
        parts = self.__dict__.get("_cache_parts")
        if parts is None:
            with torch.no_grad():
                parts = self.__dict__["_cache_parts"] = self._prepare()
        flat = x.reshape(-1, self.domain.size)
        return self._solve(parts, flat).reshape(x.shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)


class _SSOR(Inverse):
    """The inverse of :func:`ssor`, with the factor ``D/ω + L``; what the operator does not see gives 0."""

    def __init__(self, H: LinearOperator, relaxation: float) -> None:
        super().__init__(H)
        self.relaxation = relaxation
        self.title = f"the SSOR inverse of {H.title}"

    def _prepare(self) -> tuple[Tensor, Tensor]:
        matrix = dense(self.system)
        diagonal = matrix.diagonal().real
        seen = diagonal > 0
        lower = matrix.tril(-1) + torch.diag_embed(torch.where(seen, diagonal / self.relaxation, 1)).to(matrix.dtype)
        middle = torch.where(seen, (2 - self.relaxation) / self.relaxation * diagonal, 0)
        return lower, middle

    def _solve(self, parts: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        lower, middle = parts
        z = torch.linalg.solve_triangular(lower, x.mT, upper=False)
        return torch.linalg.solve_triangular(lower.mH, middle[:, None] * z, upper=True).mT


@preconditioner(
    "SSOR",
    name="ssor",
    equation=r"M = \tfrac{2-\omega}{\omega} (\tfrac{1}{\omega} D + L)^{-*} D\, (\tfrac{1}{\omega} D + L)^{-1}",
    papers=["Axelsson 1972: A generalized SSOR method", "Young 1971: Iterative solution of large linear systems"],
    works="Small positive matrices whose neighbours are coupled, such as equations on a grid.",
    fails="More than 1024 unknowns are refused; smooth error that spans the grid stays slow.",
)
def ssor(
    A: LinearOperator,
    *,
    system: System = "A",
    relaxation: Annotated[float, Linear(0.05, 1.95, help="ω; 1 is symmetric Gauss–Seidel")] = 1.0,
) -> LinearOperator:
    """One sweep of relaxation forwards and one backwards, with ``H = L + D + Lᴴ``; needs the matrix."""
    return _SSOR(matrix_at_hand(positive_system(A, system)), relaxation)


class _Incomplete(Inverse):
    """The inverse of ``Pᵀ L D Lᴴ P`` with sparse unit lower triangular L and positive diagonal D."""

    def __init__(self, H: LinearOperator, drop: float, fill: float, shift: float) -> None:
        super().__init__(H)
        self.drop, self.fill, self.shift = drop, fill, shift
        self.title = f"an incomplete inverse of {H.title}"

    def _prepare(self) -> Any:
        if self.domain.device.type == "meta":
            return None
        from scipy.sparse import csc_array, diags_array
        from scipy.sparse.linalg import spilu

        matrix = csc_array(_sparse(self.system))
        scale = float(abs(matrix.diagonal()).max()) or 1.0
        shifted = csc_array(matrix / scale + self.shift * diags_array(np.ones(self.domain.size)))
        factors = spilu(
            shifted,
            drop_tol=self.drop,
            fill_factor=self.fill,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        pivots = factors.U.diagonal()
        if not (np.array_equal(factors.perm_r, factors.perm_c) and (pivots.real > 0).all()):
            raise SpecError(
                f"the incomplete factors of {self.system.title} are not positive: raise the shift or the fill",
                "precond.params.shift",
            )
        return factors.L.tocsr(), scale * pivots.real, np.argsort(factors.perm_r)

    def _solve(self, parts: Any, x: Tensor) -> Tensor:
        if parts is None:
            return torch.empty_like(x)
        from scipy.sparse.linalg import spsolve_triangular

        lower, pivots, order = parts
        b = x.detach().cpu().numpy().astype(lower.dtype).T[order]
        z = spsolve_triangular(lower, b, lower=True, unit_diagonal=True) / pivots[:, None]
        z = spsolve_triangular(lower.conj().T.tocsr(), z, lower=False, unit_diagonal=True)
        made = np.empty_like(z)
        made[order] = z
        return torch.from_numpy(np.ascontiguousarray(made.T)).to(x)


def _sparse(H: LinearOperator) -> Any:
    """Return the matrix of an operator in double precision, for SciPy."""
    from scipy.sparse import csr_array

    wide = np.complex128 if H.domain.is_complex else np.float64
    factor = _stored(H)
    if factor is None:
        return csr_array(dense(H).cpu().numpy().astype(wide))
    stored = factor._pair()[0]
    parts = (stored.values(), stored.col_indices(), stored.crow_indices())
    made = csr_array(tuple(p.cpu().numpy() for p in parts), tuple(stored.shape)).astype(wide)
    return made if factor is H else (made.conj().T @ made).tocsr()


@preconditioner(
    "Incomplete factors",
    name="incomplete",
    equation=r"M = (P^{\mathsf T} L D L^* P)^{-1},\quad P^{\mathsf T} L D L^* P \approx H + \mu I",
    papers=[
        "Meijerink & van der Vorst 1977: An iterative solution method for linear systems of which the coefficient "
        "matrix is a symmetric M-matrix",
        "Li & Shao 2011: A supernodal approach to incomplete LU factorization with partial pivoting",
    ],
    works="Sparse positive matrices, such as diffusion on a grid with coefficients that vary.",
    fails="Wide blurs: the factors fill up or, with much dropped, are no longer positive and ask for a larger shift.",
)
def incomplete(
    A: LinearOperator,
    *,
    system: System = "A",
    drop: Annotated[float, Log(0, 1, help="entries below this part of their column are dropped")] = 1e-2,
    fill: Annotated[float, Linear(1, 100, help="most entries of the factors, in units of those of the matrix")] = 10.0,
    shift: Annotated[float, Log(0, 1, help="μ, added to the diagonal, relative to its largest entry")] = 1e-3,
) -> LinearOperator:
    """Sparse factors of the matrix, small entries dropped, by SciPy's SuperLU without pivoting; needs the matrix.

    SuperLU gives incomplete ``L U``; for a self-adjoint H the diagonal of U and L alone make the self-adjoint product
    ``L D Lᴴ`` that conjugate gradients need, an incomplete factorisation of Cholesky's kind. It runs on the CPU.
    """
    return _Incomplete(matrix_at_hand(positive_system(A, system), sparse=True), drop, fill, shift)


__all__ = ["Inverse", "incomplete", "matrix_at_hand", "ssor"]
