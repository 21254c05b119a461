"""Krylov methods that hand what they have learnt to the next system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, solver
from explorer.linalg import safe_divide
from explorer.operators.base import LinearOperator
from explorer.solvers.steps import Step

SQUARE = Capability(
    "a sequence of systems with an operator from a space to itself",
    lambda systems: all(A.domain == A.codomain for A, _ in systems),
)


@solver(
    "GCRO-DR: GMRES with recycling",
    papers=["row 148", "Parks et al. 2006: Recycling Krylov subspaces for sequences of linear systems"],
    equation=r"A_i x_i = b_i,\quad i = 1, 2, \dots",
    reports=("residual", "iteration"),
    per_step={"A": 1},
    reads=2,
    solves="systems",
    works="Sequences of like systems: what was learnt of one helps with the next.",
    fails="Systems that differ much from one to the next; it keeps the vectors of a subspace.",
)
def recycled_gmres(
    systems: Annotated[Sequence[tuple[LinearOperator, Tensor]], SQUARE],
    *,
    restart: Annotated[int, Linear(2, 200, help="largest dimension m of the space of a cycle")] = 30,
    recycle: Annotated[int, Linear(0, 100, help="dimension k of what is kept; 0: GMRES(m)")] = 10,
    tolerance: Annotated[float, Log(1e-15, 0.1, help="‖r‖ / ‖b‖ at which a system is solved")] = 1e-8,
    limit: Annotated[int, Log(1, 100_000, unit="steps", help="largest number of steps a system")] = 1000,
) -> Iterator[Step]:
    """Solve one system after the other, keeping the harmonic Ritz vectors of least modulus from cycle to cycle.

    With U the kept space and ``C = A U`` orthonormal, Arnoldi runs with ``(I − C Cᴴ) A``, so that a cycle minimises the
    residual over U and ``m − k`` new directions. For the next system C is made anew, at k products. Steps carry the
    number of their system and the residual by recurrence; `iteration` counts from 0 in each. Before a cycle and at the
    end the residual is computed afresh, so that a system ends only when it is solved or at its limit.

    Bases are stored as rows. The tolerance is compared on the host, once a step and once more a cycle.
    """
    U: Tensor | None = None
    for number, (A, b) in enumerate(systems):
        X, goal = A.domain, tolerance * A.domain.norm(b)
        flat = lambda x, X=X: x.reshape(*X.batch(x), X.size)  # noqa: E731
        apply = lambda v, A=A, X=X, flat=flat: flat(A(v.reshape(*v.shape[:-1], *X.shape)))  # noqa: E731
        x, r = flat(X.zeros()), flat(b)
        C, cost = x.new_empty(0, X.size), {}
        if U is None:
            U = C
        if len(U):
            C, U = _orthonormal(apply(U), U)
            cost = {"A": len(U) - 1}  # one call applies A to all of U
            c = C.conj() @ r
            x, r = c @ U, r - c @ C
        residual, iteration = r.norm(), 0
        yield Step(x.reshape(X.shape), system=number, cost=cost, residual=residual, iteration=float(iteration))
        while iteration < limit:
            if iteration:
                r = flat(b) - apply(x)
                c = C.conj() @ r
                x, r = x + c @ U, r - c @ C
            if r.norm() <= goal:
                break
            start, k, m = x, len(U), restart - min(len(U), restart - 1)
            V, H, B = x.new_zeros(m + 1, X.size), x.new_zeros(m + 1, m), x.new_zeros(k, m)
            e = torch.zeros_like(H[:, 0])
            e[0] = r.norm()
            V[0] = r / e[0]
            for j in range(m):
                w = apply(V[j])
                B[:, j] = C.conj() @ w
                w = w - B[:, j] @ C
                for _ in range(2):  # classical Gram–Schmidt, twice
                    h = V[: j + 1].conj() @ w
                    w = w - h @ V[: j + 1]
                    H[: j + 1, j] += h
                H[j + 1, j] = w.norm()
                V[j + 1] = safe_divide(w, H[j + 1, j].expand_as(w))
                y = _least_squares(H[: j + 2, : j + 1], e[: j + 2, None])[:, 0]
                x = start + y @ V[: j + 1] - (B[:, : j + 1] @ y) @ U
                residual = (e[: j + 2] - H[: j + 2, : j + 1] @ y).norm()
                iteration += 1
                yield Step(x.reshape(X.shape), system=number, residual=residual, iteration=float(iteration))
                if residual <= goal or iteration >= limit:
                    break
            if recycle:
                U, C = _refresh(U, C, V[: j + 2], H[: j + 2, : j + 1], B[:, : j + 1], recycle)


def _least_squares(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve by QR; the default driver of `lstsq` on the CPU pivots by memory that it has not set."""
    return torch.linalg.lstsq(matrix, right, driver="gels").solution


def _orthonormal(images: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return orthonormal rows C of the same span as `images`, and `vectors` combined so that A maps them on C."""
    q, triangular = torch.linalg.qr(images.T)
    return q.T, torch.linalg.solve_triangular(triangular.T, vectors, upper=False)


def _refresh(U: Tensor, C: Tensor, V: Tensor, H: Tensor, B: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Return the kept space after a cycle, and its image: harmonic Ritz vectors of ``A [Ũ V] = [C V₊] G``."""
    lengths = U.norm(dim=1)
    zero = H.new_zeros(len(H), len(U))
    G = torch.cat((torch.cat((torch.diag(1 / lengths).to(B.dtype), B), 1), torch.cat((zero, H), 1)))
    space, image = torch.cat((U / lengths[:, None], V[:-1])), torch.cat((C, V))
    # Gᴴ G z = θ Gᴴ (Wᴴ V̂) z: the smallest θ are the largest 1/θ
    inverse, vectors = torch.linalg.eig(_least_squares(G, image.conj() @ space.T))
    P: Any = vectors[:, inverse.abs().argsort(descending=True)[:keep]]
    if not G.is_complex():  # a real basis of pairs of conjugate vectors
        P = torch.linalg.svd(torch.cat((P.real, P.imag), 1), full_matrices=False)[0][:, : P.shape[1]]
    coefficients, U = _orthonormal((G @ P).T, P.T @ space)
    return U, coefficients @ image
