r"""Which measurement made which part of a regularised solution, exactly.

Row 311: Tsai, Yeh & Ravikumar 2023: Representer point selection for explaining regularized high-dimensional models.
At a minimiser of ``½‖A x − y‖² + λ Ω(x)`` the data's gradient is −λ times a subgradient of Ω. For the l1 norm,
multiplied by ``|x|``, and for the nuclear norm, between the square roots of ``(X Xᵀ)^½`` and ``(Xᵀ X)^½``, the
subgradient gives x back: a sum with one term a measurement. The paper divides λ by the number of samples n: its λ is
λ/n here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Help, Log, SpecError, analysis
from explorer.linalg import Space
from explorer.operators.base import LinearOperator

#: largest number of entries of an operator whose solution is attributed
MAX_ENTRIES = 2**20
ATTRIBUTABLE = Capability(
    f"a real operator between single spaces of at most {MAX_ENTRIES:,} entries in all",
    lambda A: (
        isinstance(A.domain, Space)
        and isinstance(A.codomain, Space)
        and not A.domain.is_complex | A.codomain.is_complex
        and A.domain.size * A.codomain.size <= MAX_ENTRIES
    ),
)


def lasso(A: Tensor, y: Tensor, regularization: float) -> Tensor:
    """Return the minimiser of ``½‖A x − y‖² + λ‖x‖₁`` by following it from its zero at large λ.

    Between events x is linear in λ: one entry joins where its correlation reaches λ, or leaves where it reaches zero
    (Osborne, Presnell & Turlach 2000: A new approach to variable selection in least squares problems).

    Parameters
    ----------
    A, y : Tensor
        Shapes ``(m, n)`` and ``(m,)``, columns in general position.
    regularization : float
        λ > 0.
    """
    a, target = A.double().cpu().numpy(), y.double().cpu().numpy()
    x, correlation = np.zeros(a.shape[1]), a.T @ target
    active = [int(np.abs(correlation).argmax())]
    level = float(np.abs(correlation).max())
    left = -1
    for _ in range(20 * (len(target) + len(active))):
        if level <= regularization:
            break
        columns, signs = a[:, active], np.sign(correlation[active])
        move = np.linalg.solve(columns.T @ columns, signs)  # dx/d(−λ) on the support
        slope = a.T @ (columns @ move)
        with np.errstate(divide="ignore", invalid="ignore"):
            joins = np.minimum(_ahead((level - correlation) / (1 - slope)), _ahead((level + correlation) / (1 + slope)))
            leaves = _ahead(-x[active] / move)
        joins[active] = np.inf
        if left >= 0:
            joins[left] = np.inf  # it has just left: its correlation is still λ
        step = min(joins.min(), leaves.min(), level - regularization)
        x[active] += step * move
        correlation, level = a.T @ (target - a @ x), level - step
        left = -1
        if step == leaves.min():
            left = active.pop(int(leaves.argmin()))
            x[left] = 0.0
        elif step == joins.min():
            active.append(int(joins.argmin()))
        else:
            break
    return torch.as_tensor(x, dtype=torch.float64, device=A.device)


def _ahead(distance: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the distances that are ahead, and infinity for the others."""
    return np.where(distance > 0, distance, np.inf)


def nuclear(A: Tensor, y: Tensor, regularization: float, shape: tuple[int, int], steps: int = 5000) -> Tensor:
    """Return the minimiser of ``½‖A X − y‖² + λ‖X‖_*`` by accelerated proximal gradients with restarts.

    Parameters
    ----------
    A : Tensor
        Shape ``(m, p q)``, its rows flattened matrices of the given shape ``(p, q)``.
    """
    A, y = A.double(), y.double()
    size = torch.linalg.matrix_norm(A, 2) ** 2
    x = ahead = A.new_zeros(A.shape[1])
    t = 1.0
    for _ in range(steps):
        gradient = A.mT @ (A @ ahead - y)
        u, s, vh = torch.linalg.svd((ahead - gradient / size).reshape(shape), full_matrices=False)
        new = ((u * (s - regularization / size).clamp(min=0)) @ vh).reshape(-1)
        if float((ahead - new) @ (new - x)) > 0:
            t = 1.0
        following = (1 + (1 + 4 * t * t) ** 0.5) / 2
        move = new - x
        ahead, x, t = new + (t - 1) / following * move, new, following
        if float(move.norm()) <= 100 * torch.finfo(x.dtype).eps * float(x.norm()):  # rounding alone moves it as much
            break
    return x


def contributions(
    A: Tensor, y: Tensor, x: Tensor, regularization: float, shape: tuple[int, int] | None = None
) -> Tensor:
    """Return each measurement's share of a solution; they sum to it, as exactly as it is a minimiser.

    Parameters
    ----------
    A, y, x : Tensor
        Shapes ``(m, n)``, ``(m,)`` and ``(n,)``.
    shape : tuple of int, optional
        Shape of the matrix that x is, for the nuclear norm; without one the norm is l1.

    Returns
    -------
    Tensor
        ``r_i/λ |x| a_i``, or ``r_i/λ P A_i Q`` with ``P⁴ = X Xᵀ`` and ``Q⁴ = Xᵀ X``, shape ``(m, n)``, where
        ``r = y − A x``. The prediction at new features b is explained by ``contributions @ b``.
    """
    weight = ((y - A @ x) / regularization).unsqueeze(-1)
    if shape is None:
        return weight * x.abs() * A
    u, s, vh = torch.linalg.svd(x.reshape(shape), full_matrices=False)
    P, Q = (u * s.sqrt()) @ u.mT, (vh.mT * s.sqrt()) @ vh
    return weight * (P @ A.reshape(-1, *shape) @ Q).reshape(A.shape)


@dataclass(frozen=True)
class SampleImportance:
    """The solution of a regularised problem as a sum over its measurements.

    Attributes
    ----------
    solution : NDArray
        x, in the shape of the domain.
    weight : NDArray
        ``(y − A x)_i / λ``, in the shape of the codomain.
    importance : NDArray
        Each measurement's share of each entry of x, shape ``(*codomain.shape, *domain.shape)``.
    mismatch : float
        ``‖sum of the shares − x‖ / ‖x‖``.
    sentence : str
        What this means.
    """

    solution: NDArray[np.floating]
    weight: NDArray[np.floating]
    importance: NDArray[np.floating]
    mismatch: float
    sentence: str


@analysis(
    "Importance of each measurement",
    papers=[
        "row 311",
        "Tsai, Yeh & Ravikumar 2023: Representer point selection for explaining regularized high-dimensional models",
    ],
    equation=r"x_j = \sum_i \frac{(y - A x)_i}{\lambda}\, |x_j|\, a_{ij}",
)
@torch.no_grad()
def sample_importance(
    A: Annotated[LinearOperator, ATTRIBUTABLE],
    y: Tensor,
    *,
    regularization: Annotated[float, Log(1e-4, 1, help="λ as a part of the smallest one whose solution is zero")] = 0.1,
    norm: Annotated[Literal["l1", "nuclear"], Help("sparse entries, or a matrix of low rank")] = "l1",
) -> SampleImportance:
    """Solve a sparse or low-rank problem accurately, and say what each measurement adds to each entry of the answer.

    Raises
    ------
    SpecError
        If the data are a batch or zero, or the nuclear norm is asked of what is not a matrix.
    """
    if y.ndim != A.codomain.ndim:
        raise SpecError(f"has batch dimensions {A.codomain.batch(y)}, and one set of data is explained at a time", "y")
    if norm == "nuclear" and A.domain.ndim != 2:
        raise SpecError(f"is 'nuclear', and the unknown has shape {tuple(A.domain.shape)}, which is no matrix", "norm")
    matrix, data = A.to_dense().double(), y.reshape(-1).double()
    back = matrix.mT @ data
    shape = (A.domain.shape[0], A.domain.shape[1]) if norm == "nuclear" else None
    most = float(back.abs().max() if shape is None else torch.linalg.matrix_norm(back.reshape(shape), 2))
    if not most:
        raise SpecError("have no part in the range of the operator, and their solution is zero", "y")
    lam = regularization * most
    x = lasso(matrix, data, lam) if shape is None else nuclear(matrix, data, lam, shape)
    share = contributions(matrix, data, x, lam, shape)
    size = float(x.norm())
    mismatch = float((share.sum(0) - x).norm()) / size if size else 0.0
    total = share.norm(dim=1)
    first = total.argsort(descending=True)[: max(1, len(total) // 10)]
    part = float(total[first].sum() / total.sum()) if size else 0.0
    return SampleImportance(
        x.reshape(A.domain.shape).cpu().numpy(),
        ((data - matrix @ x) / lam).reshape(A.codomain.shape).cpu().numpy(),
        share.reshape(*A.codomain.shape, *A.domain.shape).cpu().numpy(),
        mismatch,
        f"A tenth of the measurements makes {100 * part:.0f} % of what all of them contribute; the shares sum to the "
        f"solution up to {mismatch:.1g}.",
    )
