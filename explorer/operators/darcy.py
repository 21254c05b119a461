"""Flow in porous media: diffusion whose coefficient varies from place to place.

Bear 1972: Dynamics of fluids in porous media. LeVeque 2007: Finite Difference Methods for Ordinary and Partial
Differential Equations.
"""

from __future__ import annotations

import math
import threading
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, operator
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import SINGLE
from explorer.operators.pde import LEVEQUE
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.operators.transforms import idct, on_real_parts


def smooth_field(rng: Rng, shape: tuple[int, ...]) -> Tensor:
    """Return a smooth random field of mean 0 and variance 1, float64: white noise in the cosine basis over |k|² + 9."""
    k2 = torch.zeros((), dtype=torch.float64)
    for n in shape:
        k2 = k2.unsqueeze(-1) + torch.arange(n, dtype=torch.float64) ** 2
    decay = 1 / (k2 + 9)
    decay.view(-1)[0] = 0
    white = rng.normal(shape, torch.float64)
    return idct(white * decay * math.sqrt(decay.numel()) / decay.norm(), len(shape))


def diffusion_matrix(k: np.ndarray, *, unit: bool = True) -> Any:
    """Return ``−∇·(k ∇u)`` on the inner nodes of a grid, u = 0 on its rim, as a SciPy sparse array.

    The flow through a face sees the harmonic mean of its two nodes.

    Parameters
    ----------
    k : ndarray
        Permeability at all nodes, rim included, shape ``(n_1 + 2, n_2 + 2, …)``.
    unit : bool
        Whether the grid covers the unit interval, square, …; else its nodes are 1 apart.
    """
    from scipy.sparse import csr_array, diags_array, eye_array, kron

    inner = [n - 2 for n in k.shape]
    total = csr_array((math.prod(inner), math.prod(inner)))
    for axis, n in enumerate(inner):
        step = diags_array([np.ones(n), -np.ones(n)], offsets=[0, -1], shape=(n + 1, n))
        across = kron(kron(eye_array(math.prod(inner[:axis])), step), eye_array(math.prod(inner[axis + 1 :])))
        ahead = k[tuple(slice(1, None) if i == axis else slice(1, -1) for i in range(k.ndim))]
        behind = k[tuple(slice(None, -1) if i == axis else slice(1, -1) for i in range(k.ndim))]
        faces = diags_array((2 * ahead * behind / (ahead + behind)).ravel() * ((n + 1) ** 2 if unit else 1))
        total = total + across.T @ faces @ across
    return total.tocsr()


class _Factor:
    """The sparse factors of a symmetric matrix, made at first use and shared by every copy of their operator."""

    def __init__(self, matrix: SharedMatrix) -> None:
        self._matrix, self._lock = matrix, threading.Lock()
        self._lu: Any = None

    def solve(self, rhs: np.ndarray) -> np.ndarray:
        """Return the solutions for right-hand sides in the columns, float64."""
        from scipy.sparse.linalg import splu

        with self._lock:
            if self._lu is None:
                made = self._matrix._make().tocsc()
                self._lu = splu(made, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
            return self._lu.solve(rhs)


class InverseDiffusion(LinearOperator):
    """``A f = u`` with ``−∇·(k ∇u) = f``, by sparse factors in double precision (SciPy), on the CPU.

    Parameters
    ----------
    domain : Space
    matrix : SharedMatrix
        Of the differential operator, symmetric and positive.
    """

    title = "this inverse diffusion"
    self_adjoint = True
    positive = True
    nonnegative = True  # the inverse of an M-matrix

    def __init__(self, domain: Space, matrix: SharedMatrix) -> None:
        super().__init__(domain)
        self.factor = _Factor(matrix)

    def _forward(self, x: Tensor) -> Tensor:
        return x.clone() if x.device.type == "meta" else on_real_parts(self._solve, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def _solve(self, x: Tensor) -> Tensor:
        columns = x.detach().to("cpu", torch.float64).reshape(-1, self.domain.size).T.numpy()
        return torch.from_numpy(self.factor.solve(columns)).T.reshape(x.shape).to(x.device, x.dtype)


@operator(
    "Darcy flow",
    papers=["Bear 1972: Dynamics of fluids in porous media", LEVEQUE],
    equation=r"A f = u,\quad -\nabla \cdot (e^{s g} \nabla u) = f,\quad u = 0 \text{ on the boundary}",
    works="Broad sources, seen by the pressure everywhere; measured the other way round, no detail is lost.",
    fails="Fine sources are smoothed away; those in very permeable rock hardly raise the pressure.",
)
def darcy_flow(
    domain: Annotated[Space, SINGLE],
    rng: Rng,
    *,
    contrast: Annotated[float, Linear(0, 3, help="standard deviation s of the log-permeability")] = 1.0,
    measured: Annotated[
        Literal["pressure", "sources"],
        Help("the pressure that sources cause, which is smoothing; or the sources of a pressure, which is its inverse"),
    ] = "pressure",
) -> LinearOperator:
    """Pressure in a porous medium from its sources, which it is linear in: finding the sources is ill-posed.

    The logarithm of the permeability is a smooth random field. Unit interval, square or cube, pressure 0 at the edge.
    """
    shape = tuple(n + 2 for n in domain.shape)

    def make() -> Any:
        field = smooth_field(rng.fork("permeability"), shape).numpy()
        return diffusion_matrix(np.exp(contrast * field))

    made: LinearOperator
    if measured == "pressure":
        made = InverseDiffusion(domain, SharedMatrix(make))
    else:
        made = SparseMatrix(domain, domain, SharedMatrix(make))
        made.self_adjoint = made.positive = True
    made.title = "Darcy flow"
    return made
