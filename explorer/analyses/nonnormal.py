"""Where eigenvalues mislead: pseudospectra and the field of values of small square operators."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, analysis
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator

#: largest side
MAX_SIDE = 512

SQUARE = Capability(
    f"an operator of a single space into itself, of at most {MAX_SIDE} entries",
    lambda A: isinstance(A.domain, Space) and A.domain == A.codomain and A.domain.size <= MAX_SIDE,
)


@dataclass(frozen=True)
class Pseudospectrum:
    """How near a matrix is to having an eigenvalue at z, for z of a grid.

    Attributes
    ----------
    real, imaginary : NDArray
        The grid, shapes ``(n,)`` each.
    distance : NDArray
        ``σ_min(zI − A)``: the size of the least perturbation with eigenvalue z, shape ``(n, n)``, rows along the
        imaginary axis.
    eigenvalues : NDArray
        Complex, shape ``(k,)``.
    field : NDArray
        Boundary of the field of values ``{xᴴAx : ‖x‖ = 1}``, complex, shape ``(angles,)``.
    numerical_radius : float
        ``max |xᴴAx|``; at least half the norm.
    departure : float
        ``√(‖A‖_F² − Σ|λ|²) / ‖A‖_F``: 0 for a normal matrix (Henrici).
    growth : float
        Kreiss constant of powers, from below over the grid: ``sup (|z| − 1) / σ_min(zI − A)`` over |z| > 1, of the
        matrix divided by its spectral radius; powers grow at least so much, 1 for a normal matrix.
    sentence : str
    """

    real: NDArray[np.floating]
    imaginary: NDArray[np.floating]
    distance: NDArray[np.floating]
    eigenvalues: NDArray[np.complexfloating]
    field: NDArray[np.complexfloating]
    numerical_radius: float
    departure: float
    growth: float
    sentence: str


@analysis(
    "Pseudospectrum and field of values",
    name="pseudospectrum",
    papers=[
        "Trefethen 1999: Computation of pseudospectra",
        "Johnson 1978: Numerical determination of the field of values of a general complex matrix",
        "Henrici 1962: Bounds for iterates, inverses, spectral variation and fields of values of non-normal matrices",
    ],
    equation=r"\sigma_\varepsilon(A) = \{z : \sigma_{\min}(zI - A) \le \varepsilon\}",
)
@torch.no_grad()
def pseudospectrum(
    A: Annotated[LinearOperator, SQUARE],
    *,
    points: Annotated[int, Linear(8, 200, help="grid points a side")] = 48,
    angles: Annotated[int, Linear(8, 720, help="directions of the field of values")] = 90,
    margin: Annotated[float, Log(0.01, 10, help="how far beyond the field of values, in parts of its size")] = 0.3,
) -> Pseudospectrum:
    """Eigenvalues under perturbation, and the values of the quadratic form; from the dense matrix.

    The matrix is made triangular once; ``σ_min`` at each z then comes from inverse Lanczos steps with two triangular
    solves each.
    """
    from scipy.linalg import schur

    matrix = A.to_dense().to(torch.complex128)
    n = len(matrix)
    made, _ = schur(matrix.cpu().numpy(), output="complex")
    triangle = torch.from_numpy(made)
    eigenvalues = triangle.diagonal()
    field = _field_of_values(matrix.cpu(), angles)
    everything = torch.cat((eigenvalues, field))
    scale = float(torch.linalg.matrix_norm(matrix)) / math.sqrt(n) or 1.0
    spans = []
    for part in (everything.real, everything.imag):
        low, high = float(part.min()), float(part.max())
        spans.append((low, high))
    room = margin * max(max(b - a for a, b in spans), 0.1 * scale)
    real, imaginary = (torch.linspace(a - room, b + room, points, dtype=torch.float64) for a, b in spans)
    z = torch.complex(*torch.meshgrid(real, imaginary, indexing="xy")).reshape(-1)
    chunk = max(1, 2**22 // n**2)
    distance = torch.cat([_least_singular_value(triangle, part) for part in z.split(chunk)]).reshape(points, points)
    frobenius2 = float(torch.linalg.matrix_norm(matrix) ** 2)
    off = max(frobenius2 - float(eigenvalues.abs().square().sum()), 0.0)
    departure = math.sqrt(off / frobenius2) if frobenius2 else 0.0
    departure = departure if departure > math.sqrt(n * 1e-15) else 0.0
    radius, spectral = float(field.abs().max()), float(eigenvalues.abs().max())
    outside = z.reshape(points, points).abs() > spectral
    ratio = (z.reshape(points, points).abs() - spectral) / distance
    growth = max(1.0, float(ratio[outside].max())) if spectral > 0 and outside.any() else 1.0
    said = (
        f"Departure from normality {departure:.2g}, numerical radius {radius:.3g} against a spectral radius of "
        f"{spectral:.3g}: "
        + (
            "normal to rounding, so that eigenvalues tell everything."
            if departure == 0
            else f"powers of the matrix grow by a factor of {growth:.2g} at least before eigenvalues show."
        )
    )
    return Pseudospectrum(
        real.numpy(), imaginary.numpy(), distance.numpy(), eigenvalues.numpy(), field.numpy(), radius, departure,
        growth, said,
    )  # fmt: skip


def _field_of_values(matrix: Tensor, angles: int) -> Tensor:
    """Return points of the boundary: ``xᴴAx`` with the top eigenvector x of the self-adjoint part of ``e^{iθ} A``."""
    found = []
    for theta in torch.arange(angles, dtype=torch.float64) * (2 * math.pi / angles):
        turned = torch.exp(1j * theta) * matrix
        x = torch.linalg.eigh((turned + turned.mH) / 2)[1][:, -1]
        found.append(torch.vdot(x, matrix @ x))
    return torch.stack(found)


def _least_singular_value(triangle: Tensor, z: Tensor, steps: int = 20) -> Tensor:
    """Return ``σ_min(zI − T)`` for several z by Lanczos' process on ``(zI − T)⁻¹ (zI − T)⁻ᴴ``, shape of `z`."""
    n = len(triangle)
    steps = min(steps, n)
    shifted = z[:, None, None] * torch.eye(n, dtype=triangle.dtype) - triangle
    scale = torch.linalg.matrix_norm(triangle) + z.abs().max()
    tiny = shifted.diagonal(dim1=-2, dim2=-1)
    shifted = shifted + torch.diag_embed(torch.where(tiny.abs() < 1e-300, 1e-17 * scale, 0.0).to(triangle.dtype))
    v = Rng(0, "pseudospectrum").normal((n,), torch.complex128).expand(len(z), n)
    v = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    basis, diagonal, below = [v], [], []
    for j in range(steps):
        w = torch.linalg.solve_triangular(shifted.mH, v.unsqueeze(-1), upper=False)
        w = torch.linalg.solve_triangular(shifted, w, upper=True).squeeze(-1)
        diagonal.append(torch.linalg.vecdot(v, w).real)
        known = torch.stack(basis, 1)
        for _ in range(2):
            w = w - (torch.linalg.vecdot(known, w.unsqueeze(1)).unsqueeze(-1) * known).sum(1)
        if j < steps - 1:
            norm = torch.linalg.vector_norm(w, dim=-1)
            below.append(norm)
            v = w / torch.where(norm > 0, norm, 1.0).unsqueeze(-1)
            basis.append(v)
    side = torch.stack(below, -1) if below else diagonal[0][:, None][:, :0]
    small = torch.diag_embed(torch.stack(diagonal, -1)) + torch.diag_embed(side, 1) + torch.diag_embed(side, -1)
    return 1 / torch.linalg.eigvalsh(small)[:, -1].sqrt()
