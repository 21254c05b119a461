"""Elliptic equations on the unit interval and the unit square, by finite differences and by spectral methods.

LeVeque 2007: Finite Difference Methods for Ordinary and Partial Differential Equations.
Trefethen 2000: Spectral Methods in MATLAB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import SVD, LinearOperator
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.operators.transforms import Cosine, Diagonalized, Fourier, Hartley, Sine

LEVEQUE = "LeVeque 2007: Finite Difference Methods for Ordinary and Partial Differential Equations"
TREFETHEN = "Trefethen 2000: Spectral Methods in MATLAB"

Edge = Literal["dirichlet", "neumann", "periodic"]
Waves = Annotated[
    Literal["differences", "spectral"],
    Help("second differences, or the exact derivatives of the waves that the grid can hold"),
]
EdgeKnob = Annotated[Edge, Help("at the edge the unknown is 0, its slope is 0, or it goes round to the other side")]


def second_difference(n: int, boundary: Edge) -> Any:
    """Return ``−d²/dx²`` on [0, 1] by three points, a SciPy sparse array of shape ``(n, n)``.

    Points are ``i/(n+1)`` where the unknown is 0 at the ends, else the middles of n cells.
    """
    from scipy.sparse import csr_array, eye_array

    right = eye_array(n, k=1, format="csr")
    made = 2 * eye_array(n, format="csr") - right - right.T
    if boundary == "dirichlet":
        return made * (n + 1) ** 2
    ends = [0, n - 1]
    corners = csr_array(([1.0, 1.0], (ends, ends if boundary == "neumann" else ends[::-1])), (n, n))
    return (made - corners) * n**2


def along_each(matrices: Sequence[Any]) -> Any:
    """Return the Kronecker sum: each matrix acts along its own dimension of an element, and the results are added."""
    from scipy.sparse import csr_array, eye_array, kron

    total = csr_array(matrices[0])
    for matrix in matrices[1:]:
        total = kron(total, eye_array(matrix.shape[0]), "csr") + kron(eye_array(total.shape[0]), matrix, "csr")
    return total


class Elliptic(SparseMatrix):
    """``−Δ − c`` by second differences, diagonal in the sine, cosine or Fourier transform.

    Parameters
    ----------
    domain : Space
        Grid functions on the unit interval, square, ….
    boundary : {"dirichlet", "neumann", "periodic"}
    shift : float
        c; the operator is positive where it is not above 0.
    """

    title = "this elliptic operator"
    has_svd = True

    def __init__(self, domain: Space, boundary: Edge, shift: float = 0.0) -> None:
        super().__init__(domain, domain, SharedMatrix(self._stencil))
        self.boundary, self.shift = boundary, shift
        self.self_adjoint, self.positive = True, shift <= 0

    def _stencil(self) -> Any:
        from scipy.sparse import eye_array

        minus_laplacian = along_each([second_difference(n, self.boundary) for n in self.domain.shape])
        return minus_laplacian - self.shift * eye_array(self.domain.size, format="csr")

    def svd(self) -> SVD:
        """Return the decomposition by the transform; signs go left."""
        return self.diagonalized().svd()

    def diagonalized(self, *, spectral: bool = False) -> Diagonalized:
        """Return the same operator by its transform: its inverse is as cheap. Or with the derivatives of its waves."""
        basis: LinearOperator
        if self.boundary == "dirichlet":
            basis = Sine(self.domain)
        elif self.boundary == "neumann":
            basis = Cosine(self.domain)
        else:
            basis = Fourier(self.domain) if self.domain.is_complex else Hartley(self.domain)
        values = (self.eigenvalues(spectral=spectral) - self.shift).to(real_dtype(self.domain.dtype))
        return Diagonalized(basis, values, positive=self.positive)

    def eigenvalues(self, *, spectral: bool = False) -> Tensor:
        """Return those of −Δ by differences, or of −Δ itself, in the shape of the domain, float64."""
        values = torch.zeros((), dtype=torch.float64, device=self.domain.device)
        for n in self.domain.shape:
            k = torch.arange(n, dtype=torch.float64, device=self.domain.device)
            cells, waves = {
                "dirichlet": (n + 1, (k + 1) / (2 * (n + 1))),
                "neumann": (n, k / (2 * n)),
                "periodic": (n, k / n),
            }[self.boundary]
            if spectral:  # waves beyond half the grid's are those of the other direction
                each = 2 * math.pi * cells * torch.minimum(waves, 1 - waves)
            else:
                each = 2 * cells * torch.sin(math.pi * waves)
            values = values.unsqueeze(-1) + each**2
        return values

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the largest modulus of an eigenvalue."""
        return self.diagonalized().values.abs().max()


def _discretised(made: Elliptic, scheme: str, title: str) -> LinearOperator:
    chosen: LinearOperator = made if scheme == "differences" else made.diagonalized(spectral=True)
    chosen.title = title
    return chosen


@operator(
    "Poisson equation",
    name="poisson_equation",
    papers=[LEVEQUE, TREFETHEN],
    equation=r"Au = -\Delta u",
    works="Finding a potential from its sources, which smooths: noise of fine scale is damped.",
    fails="Slopes of 0 or a periodic edge leave the level of the potential free; fine grids slow iterations down.",
)
def poisson_equation(
    domain: Space, *, boundary: EdgeKnob = "dirichlet", scheme: Waves = "differences"
) -> LinearOperator:
    """From a potential to its sources, on the unit interval or square; solving it is Poisson's equation."""
    return _discretised(Elliptic(domain, boundary), scheme, "Poisson equation")


@operator(
    "Helmholtz equation",
    papers=[LEVEQUE, TREFETHEN],
    equation=r"Au = -\Delta u - k^2 u",
    works="Waves in a box at a frequency that is far from its resonances.",
    fails="Nearly singular close to a resonance, and indefinite: conjugate gradients on it may break down.",
)
def helmholtz_equation(
    domain: Space,
    *,
    waves: Annotated[float, Log(0.1, 1e3, help="wavelengths across the domain, k/2π")] = 3.0,
    boundary: EdgeKnob = "dirichlet",
    scheme: Waves = "differences",
) -> LinearOperator:
    """Waves of one frequency in a box and their sources; indefinite as soon as a standing wave is longer."""
    return _discretised(Elliptic(domain, boundary, (2 * math.pi * waves) ** 2), scheme, "Helmholtz equation")


Scheme = Literal["upwind", "central"]


@operator(
    "Advection–diffusion equation",
    name="advection_diffusion",
    papers=[LEVEQUE, "Elman, Silvester & Wathen 2014: Finite Elements and Fast Iterative Solvers"],
    equation=r"Au = -\varepsilon \Delta u + b \cdot \nabla u",
    works="Tests of solvers that need no symmetry, such as GMRES and BiCGStab.",
    fails="Weak diffusion: central differences oscillate, upwind ones smear fronts, and eigenvalues foretell no speed.",
)
def advection_diffusion(
    domain: Space,
    *,
    diffusion: Annotated[float, Log(1e-6, 10, help="diffusion ε, with a domain of length 1")] = 0.02,
    speed: Annotated[float, Linear(0, 100, help="length of the velocity b")] = 1.0,
    angle: Annotated[float, Linear(0, 360, unit="°", help="direction of b, counter-clockwise from the right")] = 30.0,
    scheme: Annotated[
        Scheme, Help("differences against the stream, of first order and stable; or central ones, of second order")
    ] = "upwind",
) -> SparseMatrix:
    """What is carried along by a stream and spreads, 0 at the edge: not symmetric, the less so the weaker diffusion.

    Central differences oscillate where a cell is longer than 2ε/|b|. In one dimension the stream goes to the right.
    """
    if domain.ndim not in (1, 2):
        raise SpecError(f"the stream has 1 or 2 dimensions, and the domain has {domain.ndim}")
    theta = math.radians(angle)
    # rows run downwards
    velocity = [speed] if domain.ndim == 1 else [-speed * math.sin(theta), speed * math.cos(theta)]

    def stencil() -> Any:
        return along_each([_stream(n, diffusion, b, scheme) for n, b in zip(domain.shape, velocity, strict=True)])

    made = SparseMatrix(domain, domain, SharedMatrix(stencil))
    made.title = "Advection–diffusion equation"
    return made


def _stream(n: int, diffusion: float, b: float, scheme: Scheme) -> Any:
    """Return ``−ε d²/dx² + b d/dx`` with zeros at both ends, a SciPy sparse array of shape ``(n, n)``."""
    from scipy.sparse import eye_array

    right, here = eye_array(n, k=1, format="csr"), eye_array(n, format="csr")
    forward, backward = right - here, here - right.T
    ahead, behind = (b / 2, b / 2) if scheme == "central" else (min(b, 0.0), max(b, 0.0))
    return diffusion * second_difference(n, "dirichlet") + (n + 1) * (ahead * forward + behind * backward)
