r"""A basis of a layer that does not depend on how the layer is parametrised.

Row 286: Bushnaq, Mendel, Heimersheim, Braun, Goldowsky-Dill, Hänni, Wu & Hobbhahn 2024: Using degeneracy in the loss
landscape for mechanistic interpretability. A network is degenerate where activations are linearly dependent, where the
Jacobian of what follows is, and where units fall into groups that do not interact. The interaction basis leaves out the
first two and lets the third be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, SpecError, analysis
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator

#: most units of a layer, and most entries of its activations
MAX_UNITS, MAX_ENTRIES = 1024, 2**22


@dataclass(frozen=True)
class Interaction:
    """Directions of a layer's activations that both vary and matter.

    Attributes
    ----------
    values : Tensor
        Singular values of ``Λ^½ Vᵀ J``, descending, shape ``(k,)``; unchanged by any invertible map of the layer whose
        inverse goes to what follows.
    to_basis : Tensor
        The map B from activations to the basis, shape ``(h, k)``: ``A B`` has uncorrelated columns whose mean squares
        are the squared values.
    from_basis : Tensor
        The map back, shape ``(k, h)``; ``A B (from_basis) J = A J``.
    activation_rank, jacobian_rank : int
        Directions that vary, and directions that what follows looks at.
    """

    values: Tensor
    to_basis: Tensor
    from_basis: Tensor
    activation_rank: int
    jacobian_rank: int


def interaction_basis(activations: Tensor, jacobian: Tensor, rtol: float = 1e-10) -> Interaction:
    """Return the interaction basis of a layer, ``G = Aᵀ A / N = V Λ Vᵀ`` and ``U S Wᵀ = Λ^½ Vᵀ J``.

    Parameters
    ----------
    activations : Tensor
        A, shape ``(N, h)``.
    jacobian : Tensor
        J, shape ``(h, m)``: derivatives of m outputs, or of outputs of several samples side by side.
    rtol : float
        Singular values below this part of the largest one count as zero.
    """
    root = torch.linalg.svd(activations / activations.shape[0] ** 0.5, full_matrices=False)
    kept = root.S > rtol * root.S[0]
    V, spread = root.Vh[kept].mT, root.S[kept]
    svd = torch.linalg.svd(spread.unsqueeze(-1) * (V.mT @ jacobian), full_matrices=False)
    both = svd.S > rtol * svd.S[0]
    U, S = svd.U[:, both], svd.S[both]
    s = torch.linalg.svdvals(jacobian)
    to_basis = (V / spread) @ U * S
    from_basis = (U / S).mT @ (V * spread).mT
    return Interaction(S, to_basis, from_basis, int(kept.sum()), int((s > rtol * s[0]).sum()))


def modules(interactions: Tensor, tolerance: float) -> Tensor:
    """Return the number of the module of each row and column of a square matrix: parts that do not interact.

    Parameters
    ----------
    interactions : Tensor
        Shape ``(k, k)``; entries of at most `tolerance` in size do not connect.
    """
    joined = (interactions.abs() > tolerance) | (interactions.mT.abs() > tolerance)
    label = torch.arange(len(joined), device=joined.device)
    for _ in range(len(joined)):
        label = torch.where(joined, label, len(joined)).amin(-1).minimum(label)
    return label.unique(return_inverse=True)[1]


def _layers(A: LinearOperator) -> bool:
    X, Y = A.domain, A.codomain
    single = isinstance(X, Space) and isinstance(Y, Space) and not (X.is_complex or Y.is_complex)
    return single and X.size <= MAX_UNITS and X.size * Y.size <= MAX_ENTRIES


LAYER = Capability(f"a real operator between single spaces whose unknown has at most {MAX_UNITS} entries", _layers)


@dataclass(frozen=True)
class LayerReport:
    """How many of a layer's directions vary, how many matter, and how many do both.

    Attributes
    ----------
    values : NDArray
        Singular values of the interaction basis, shape ``(k,)``.
    activation_rank, jacobian_rank, dimension : int
    sentence : str
        What this means.
    """

    values: NDArray[np.floating]
    activation_rank: int
    jacobian_rank: int
    dimension: int
    sentence: str


@analysis(
    "Interaction basis",
    papers=[
        "row 286",
        "Bushnaq, Mendel, Heimersheim et al. 2024: Using degeneracy in the loss landscape for mechanistic "
        "interpretability",
    ],
    equation=r"A^T A / N = V \Lambda V^T,\quad \Lambda^{1/2} V^T J = U S W^T",
)
@torch.no_grad()
def interaction(
    A: Annotated[LinearOperator, LAYER],
    *,
    latent: Annotated[int, Log(1, MAX_UNITS, help="random directions that the activations are made of")] = 8,
    samples: Annotated[int, Log(2, 4096, help="number of activations")] = 200,
    seed: Annotated[int, Linear(0, 2**31, help="seed of the activations")] = 0,
) -> LayerReport:
    """Take the operator as what follows a layer whose activations vary in a few directions only, and find its basis.

    Directions in which the activations do not vary, and those that the operator does not see, are left out: the
    inverse problem's null space and the prior's, in one decomposition.

    Raises
    ------
    SpecError
        If more directions are asked for than there are units.
    """
    h = A.domain.size
    if latent > h:
        raise SpecError(f"is {latent}, and the layer has {h} units", "latent")
    rng = Rng(seed, "analysis/interaction")
    J = A.to_dense().double().mT
    directions = rng.fork("directions").normal((latent, h), J.dtype, J.device)
    drawn = rng.fork("samples").normal((samples, latent), J.dtype, J.device)
    eps = max(torch.finfo(A.domain.dtype).eps * h, 1e-10)
    found = interaction_basis(drawn @ directions, J, eps)
    k = len(found.values)
    return LayerReport(
        found.values.cpu().numpy(),
        found.activation_rank,
        found.jacobian_rank,
        k,
        f"Of {h} units {found.activation_rank} directions vary, {found.jacobian_rank} matter to what follows, and {k} "
        "do both.",
    )
