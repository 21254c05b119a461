"""What tests share: matrices from a prescribed spectrum, tolerances as a multiple of eps, seeds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from explorer.linalg import Blocks, Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix

#: a threshold must hold for every one of them
SEEDS = range(5)

every_seed = pytest.mark.parametrize("seed", SEEDS)
every_dtype = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=lambda d: str(d)[6:]
)
every_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda d: str(d)[6:])


def generator(seed: int) -> torch.Generator:
    """Return a seeded generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def normal(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return standard normal entries, rounded from double precision."""
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(shape, generator=generator(seed), dtype=wide).to(dtype)


def decay(n: int, condition: float = 1e3, kind: str = "geometric") -> Tensor:
    """Return `n` singular values from 1 down to 1/condition: geometric, arithmetic, or cliff (two levels)."""
    t = torch.linspace(0, 1, n, dtype=torch.float64)
    if kind == "geometric":
        return condition**-t
    if kind == "arithmetic":
        return 1 - t * (1 - 1 / condition)
    if kind == "cliff":
        return torch.where(t <= 0.5, 1.0, 1 / condition).to(torch.float64)
    raise ValueError(kind)


def isometry(m: int, n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return an m × n matrix with orthonormal columns, uniformly distributed."""
    wide = torch.complex128 if dtype.is_complex else torch.float64
    q, r = torch.linalg.qr(normal((m, n), seed, wide))
    phase = r.diagonal() / r.diagonal().abs()
    return (q * phase).to(dtype)


def matrix(
    spectrum: Tensor, m: int | None = None, n: int | None = None, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Return an m × n matrix (square by default) with these singular values and random singular vectors."""
    u, s, v = factors(spectrum, m, n, seed, torch.complex128 if dtype.is_complex else torch.float64)
    return ((u * s) @ v.mH).to(dtype)


def factors(
    spectrum: Tensor, m: int | None = None, n: int | None = None, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, s, V of :func:`matrix`."""
    k = len(spectrum)
    u, v = isometry(m or k, k, 2 * seed, dtype), isometry(n or k, k, 2 * seed + 1, dtype)
    return u, spectrum.to(real_dtype(dtype)), v


def hermitian(eigenvalues: Tensor, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return a self-adjoint matrix with these eigenvalues and random eigenvectors, symmetric to the last bit."""
    wide = torch.complex128 if dtype.is_complex else torch.float64
    q = isometry(len(eigenvalues), len(eigenvalues), seed, wide)
    made = (q * eigenvalues.to(torch.float64)) @ q.mH
    return ((made + made.mH) / 2).to(dtype)


def operator(
    spectrum: Tensor, m: int | None = None, n: int | None = None, seed: int = 0, dtype: torch.dtype = torch.float64
) -> DenseMatrix:
    """Return :func:`matrix` as a linear operator that knows its decomposition."""
    u, s, v = factors(spectrum, m, n, seed, dtype)
    domain, codomain = Space((len(v),), dtype), Space((len(u),), dtype)
    return DenseMatrix(domain, codomain, matrix(spectrum, m, n, seed, dtype), factors=(u, s, v))


def self_adjoint_operator(eigenvalues: Tensor, seed: int = 0, dtype: torch.dtype = torch.float64) -> DenseMatrix:
    """Return :func:`hermitian` as an operator that declares what it is."""
    space = Space((len(eigenvalues),), dtype)
    positive = bool((eigenvalues >= 0).all())
    return DenseMatrix(space, space, hermitian(eigenvalues, seed, dtype), self_adjoint=True, positive=positive)


def eps(thing: Tensor | torch.dtype) -> float:
    """Return the rounding unit of a dtype or of a tensor's."""
    return torch.finfo(thing.dtype if isinstance(thing, Tensor) else thing).eps


def norm(x: Any) -> float:
    """Return the norm of a whole tensor or of blocks, in double precision."""
    parts = x if isinstance(x, Blocks) else (x,)
    return float(sum(float(p.abs().double().square().sum()) for p in parts)) ** 0.5


def assert_close(actual: Any, expected: Any, multiple: float, *, scale: float | None = None) -> None:
    """Fail unless ‖actual − expected‖ ≤ multiple · eps · scale, with eps of the coarser dtype and scale ‖expected‖."""
    parts = list(zip(*(x if isinstance(x, Blocks) else (x,) for x in (actual, expected)), strict=True))
    for a, b in parts:
        assert a.shape == b.shape, f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}"
    unit = max(eps(p) for pair in parts for p in pair)
    error = sum(norm(a.to(torch.complex128) - b.to(torch.complex128)) ** 2 for a, b in parts) ** 0.5
    bound = multiple * unit * (norm(expected) if scale is None else scale)
    assert error <= bound, f"the difference is {error:.3g}, and at most {bound:.3g} = {multiple:g} eps is allowed"


def assert_same_bits(actual: Tensor, expected: Tensor) -> None:
    """Fail unless both are the same bit for bit, NaN included."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    a, b = (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in (actual, expected))
    different = ~((a == b) | (a.isnan() & b.isnan()))
    assert not different.any(), f"{int(different.sum())} of {a.numel()} values differ"
