"""Square operators that are not self-adjoint, beside GMRES: short recurrences, and flexible inner solves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import axpy, clone, safe_divide, where
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import LINEAR_SQUARE
from explorer.solvers.minimal_residual import gmres
from explorer.solvers.projected import Basis, flattened
from explorer.solvers.steps import Step

Square = Annotated[LinearOperator, LINEAR_SQUARE]


@solver(
    "BiCGStab",
    name="bicgstab",
    papers=[
        "van der Vorst 1992: Bi-CGSTAB: A fast and smoothly converging variant of Bi-CG for the solution of "
        "nonsymmetric linear systems"
    ],
    solves="least_squares",
    equation=r"r_k = (I - \omega_k A)\, (\text{residual of BiCG})",
    reports=("residual",),
    per_step={"A": 2},
    works="Square operators that are not symmetric, at fixed memory.",
    fails="Its residual jumps, and it can break down.",
)
def bicgstab(A: Square, y: Tensor, x0: Tensor | None = None) -> Iterator[Step]:
    """Biconjugate gradients, each step smoothed by one of least residual; constant memory. Out of place.

    It need not converge, and may break down; a sample that breaks down, or whose residual is rounding of its data,
    stays where it is. The residual comes from recurrences.
    """
    X = A.domain
    x = X.zeros(X.batch(y)) if x0 is None else clone(x0)
    r = clone(y) if x0 is None else y - A(x)
    shadow, p = r, clone(r)
    rho, floor2 = X.norm2(r).to(X.dtype), (X.eps * X.norm(y)) ** 2
    active = X.norm2(r) > floor2
    while True:
        v = A(p)
        alpha = safe_divide(rho, X.inner(shadow, v))
        s = axpy(-alpha, v, r)
        t = A(s)
        omega = safe_divide(X.inner(t, s), X.norm2(t).to(X.dtype))
        new = axpy(omega, s, axpy(alpha, p, x))
        left = axpy(-omega, t, s)
        active = active & (alpha != 0)
        x, r = where(active, new, x), where(active, left, r)
        rho, before = X.inner(shadow, r), rho
        beta = safe_divide(rho, before) * safe_divide(alpha, omega)
        p = axpy(beta, axpy(-omega, v, p), r)
        norm2 = X.norm2(r)
        active = active & (norm2 > floor2)
        yield Step(x, residual=norm2.sqrt())


@solver(
    "Flexible GMRES",
    name="fgmres",
    papers=["Saad 1993: A flexible inner-outer preconditioned GMRES algorithm"],
    solves="least_squares",
    equation=r"\min_{x \in \mathrm{span}\{z_1, \dots, z_k\}} \|Ax-y\|_2,\quad z_j \approx A^{-1} v_j",
    reports=("residual",),
    per_step={"A": 5},
    works="Square operators on which GMRES takes many steps: inner solves keep the outer space small.",
    fails="Noisy ill-posed data: every step fits much of the noise at once, which leaves no fine choice of a stop.",
)
def fgmres(
    A: Square,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    inner: Annotated[int, Log(1, 100, unit="steps", help="steps of GMRES that solve for every direction")] = 4,
    restart: Annotated[int, Log(1, 500, unit="steps", help="length of a cycle: so many directions are kept")] = 30,
) -> Iterator[Step]:
    """Least residual over directions that an inner GMRES has found, each a different approximate inverse. Out of place.

    A step costs ``inner + 1`` products, 5 with the default, and one more at every restart.
    """
    X, (flat, _) = A.domain, flattened(A)
    x, floor = X.zeros(X.batch(y)) if x0 is None else clone(x0), X.eps * X.norm(y)
    r = flat(clone(y) if x0 is None else y - A(x))
    while True:
        start, residual = x, torch.linalg.vector_norm(r, dim=-1)
        V, Z, W = Basis(r), Basis(r), Basis(r)  # W: an orthonormal basis of the images A z_j
        V.append(safe_divide(torch.ones_like(residual), residual)[..., None] * r)
        columns: list[Tensor] = []
        for _ in range(restart):
            active = residual > floor
            z = next(itertools.islice(gmres(A, flat.back(V.vectors[..., -1, :]), restart=inner), inner - 1, None)).x
            Z.append(flat(z))
            image = flat(A(z))
            inside, size = W.extend(image)
            V.extend(image)
            columns.append(torch.cat((inside, size[..., None].to(inside.dtype)), -1))
            k = len(columns)
            R = torch.stack([torch.nn.functional.pad(c, (0, k - c.shape[-1])) for c in columns], -1)
            right = (W.vectors.conj() @ r[..., None])[..., 0]
            x = where(active, axpy(1.0, flat.back(Z.combine(_back_substituted(R, right))), start), x)
            left = torch.linalg.vector_norm(r - W.combine(right), dim=-1)
            residual = torch.where(active, left, residual)
            yield Step(x, residual=residual)
        r = flat(y - A(x))


def _back_substituted(R: Tensor, right: Tensor) -> Tensor:
    """Solve with an upper triangle; a zero pivot, of a direction that adds nothing, gives a zero."""
    found: list[Tensor] = []
    for j in reversed(range(R.shape[-1])):
        known = sum((R[..., j, j + 1 + i] * t for i, t in enumerate(reversed(found))), torch.zeros_like(right[..., j]))
        found.append(safe_divide(right[..., j] - known, R[..., j, j]))
    return torch.stack(found[::-1], -1)
