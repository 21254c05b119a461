"""Spectral densities and traces of functions of a self-adjoint operator, by Lanczos quadrature and by moments.

Golub & Meurant 1994: Matrices, moments and quadrature.
Ubaru, Chen & Saad 2017: Fast estimation of tr(f(A)) via stochastic Lanczos quadrature.
Weiße, Wellein, Alvermann & Fehske 2006: The kernel polynomial method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.linalg.rng import Rng
from explorer.linalg.spaces import Blocks, ProductSpace, Space

Map = Callable[[Tensor], Tensor]


def random_signs(space: Space | ProductSpace, rng: Rng) -> Any:
    """Return a probe: entries ±1, for complex spaces ±1 ± i, so that data count as pairs of real numbers."""
    signs = lambda w: torch.complex(w.real.sign(), w.imag.sign()) if w.is_complex() else w.sign()  # noqa: E731
    w = space.random(rng)
    return w.map(signs) if isinstance(w, Blocks) else signs(w)


def lanczos(apply: Map, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the tridiagonal matrices of Lanczos' process with full reorthogonalisation.

    Parameters
    ----------
    apply : callable
        A self-adjoint map of flat vectors, shape ``(*batch, n)``.
    start : Tensor
        Shape ``(batch, n)``.
    steps : int
        At most n.

    Returns
    -------
    diagonal, below : Tensor
        Shapes ``(batch, k)`` and ``(batch, k − 1)``, real. Where a process ends early, `below` is zero from then on.
    """
    k = min(steps, start.shape[-1])
    v = start / torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    basis, diagonal, below = [v], [], []
    eps = torch.finfo(start.dtype).eps
    largest = torch.zeros(len(start), dtype=v.real.dtype, device=v.device)
    for j in range(k):
        w = apply(v)
        diagonal.append(torch.linalg.vecdot(v, w).real)
        known = torch.stack(basis, 1)  # (batch, j + 1, n)
        for _ in range(2):
            w = w - (torch.linalg.vecdot(known, w.unsqueeze(1)).unsqueeze(-1) * known).sum(1)
        if j == k - 1:
            break
        norm = torch.linalg.vector_norm(w, dim=-1)
        largest = torch.maximum(largest, torch.maximum(diagonal[-1].abs(), norm))
        alive = norm > 100 * eps * largest
        norm = torch.where(alive, norm, 0.0)
        below.append(norm)
        v = torch.where(alive[:, None], w / torch.where(alive, norm, 1.0)[:, None], 0.0)
        basis.append(v)
    rest = torch.stack(below, -1) if below else diagonal[0][:, None][:, :0]
    return torch.stack(diagonal, -1), rest


def quadrature(diagonal: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of Gauß' quadrature, shapes ``(batch, k)``: eigenvalues, squared first components."""
    side = below.double()
    matrix = torch.diag_embed(diagonal.double()) + torch.diag_embed(side, 1) + torch.diag_embed(side, -1)
    nodes, vectors = torch.linalg.eigh(matrix)
    return nodes, vectors[:, 0, :].square()


def chebyshev_moments(apply: Map, start: Tensor, count: int, low: float, high: float) -> Tensor:
    """Return ``⟨v, T_j(B) v⟩ / ‖v‖²`` with B the map shifted to [−1, 1], shape ``(batch, count)``."""
    centre, half = (high + low) / 2, (high - low) / 2
    scaled: Map = lambda x: (apply(x) - centre * x) / half  # noqa: E731
    before, now = start, scaled(start)
    rows = [torch.linalg.vecdot(start, before).real, torch.linalg.vecdot(start, now).real]
    while len(rows) < count:
        before, now = now, 2 * scaled(now) - before
        rows.append(torch.linalg.vecdot(start, now).real)
    return torch.stack(rows, -1).double() / rows[0][:, None].double()


def kernel_density(moments: Tensor, at: Tensor, low: float, high: float) -> Tensor:
    """Return the density with these Chebyshev moments, damped by Jackson's kernel, positive and of no overshoot."""
    n = moments.shape[-1]
    j = torch.arange(n, dtype=torch.float64, device=moments.device)
    q = math.pi / (n + 1)
    jackson = ((n - j + 1) * torch.cos(q * j) + torch.sin(q * j) / math.tan(q)) / (n + 1)
    x = (2 * at.double() - high - low) / (high - low)
    inside = x.abs() < 1
    angle = torch.acos(x.clamp(-1, 1))
    weights = jackson * moments * torch.where(j == 0, 1.0, 2.0)
    series = torch.cos(angle[:, None] * j) @ weights
    root = torch.where(inside, (1 - x**2).clamp(min=1e-300).sqrt(), 1.0)
    return torch.where(inside, series / (math.pi * root), 0.0) * 2 / (high - low)
