"""Sequences of linear systems that change from one to the next."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import torch

from explorer.catalogue import Linear, Log, problem
from explorer.linalg import Rng, Space
from explorer.operators.darcy import diffusion_matrix, smooth_field
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.problems.base import Truth


@problem(
    "Darcy flow, a sequence",
    papers=["row 148", "Parks et al. 2006: Recycling Krylov subspaces for sequences of linear systems"],
    equation=r"-\nabla \cdot (e^{s g_i} \nabla u_i) = 1,\quad u_i = 0 \text{ on the boundary}",
)
def darcy_sequence(
    rng: Rng,
    *,
    count: Annotated[int, Linear(1, 200, unit="systems", help="number of systems")] = 8,
    cells: Annotated[int, Log(4, 128, help="unknowns a side")] = 24,
    contrast: Annotated[float, Linear(0, 3, help="standard deviation s of the log-permeability")] = 1.0,
    change: Annotated[float, Linear(0, 1, help="what is new in each field: 0 the same, 1 independent")] = 0.3,
) -> Truth:
    """Pressure in porous media whose log-permeability g is a smooth random field that changes step by step.

    The systems are scaled by their diagonals (Jacobi), so that they are not symmetric. The true solutions come from a
    sparse direct method.
    """
    from scipy.sparse.linalg import spsolve

    domain = Space((cells, cells), torch.float64)
    systems, solutions, field = [], [], smooth_field(rng, (cells + 2, cells + 2))
    for i in range(count):
        if i:
            field = math.sqrt(1 - change**2) * field + change * smooth_field(rng, (cells + 2, cells + 2))
        matrix, load = _darcy(np.exp(contrast * field.numpy()))
        solutions.append(torch.from_numpy(spsolve(matrix, load)).reshape(domain.shape))
        A = SparseMatrix(domain, domain, SharedMatrix(matrix.copy))
        A.title, A.counts_as = "the Darcy operator", "A"
        systems.append((A, torch.from_numpy(load).reshape(domain.shape)))
    return Truth(torch.stack(solutions), {"systems": tuple(systems)}, domain=domain)


def _darcy(permeability: Any) -> tuple[Any, Any]:
    """Return the five-point matrix of ``−∇·(k ∇u)`` on the inner nodes and the load 1, both over the diagonal."""
    from scipy.sparse import diags_array

    n = len(permeability) - 2
    matrix = diffusion_matrix(permeability, unit=False)
    diagonal = matrix.diagonal()
    load = np.full(n * n, 1 / (n + 1) ** 2) / diagonal
    return (diags_array(1 / diagonal) @ matrix).tocsr(), load
