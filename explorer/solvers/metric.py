"""The metric nearest to given dissimilarities: least squares with more constraints than can be listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Capability, Linear, solver
from explorer.linalg import count
from explorer.operators.base import Identity, LinearOperator
from explorer.operators.capabilities import REAL, SQUARE_IMAGE
from explorer.solvers.steps import Step

OBSERVED = Capability(
    "the identity on real square matrices",
    lambda A: isinstance(A, Identity) and SQUARE_IMAGE.admits(A.domain) and REAL.admits(A.domain),
)


@solver(
    "Project and Forget",
    papers=[
        "row 281",
        "Sonthalia & Gilbert 2022: Project and Forget: Solving large-scale metric constrained problems",
    ],
    solves="metric_nearness",
    equation=r"\min_X \|X - D\|_F^2\quad \text{s.t.}\quad x_{ij} \le \textstyle\sum_{e \in \text{path } i \to j} x_e",
    reports=("residual", "violation", "constraints"),
    per_step={"oracle": 1, "sweep": 10},
    works="Noisy distances between all pairs of points, to be mended so that no detour is shorter.",
    fails="Many points: every round finds all shortest paths at a cost of n³, on the CPU.",
)
def project_and_forget(
    A: Annotated[LinearOperator, OBSERVED],
    y: Tensor,
    *,
    sweeps: Annotated[int, Linear(1, 100, help="projections onto every remembered constraint in each round")] = 10,
) -> Iterator[Step]:
    """Find violated inequalities by shortest paths, project onto those remembered, forget those that do not hold on.

    In each round every edge that is longer than the shortest path between its ends adds one constraint, as do negative
    edges. A sweep is Hildreth's: ``c = max(violation/‖a‖², −z)``, ``x ← x − c a``, ``z ← z + c``; afterwards
    constraints with ``z = 0`` are dropped. It works on the symmetric part of the data with zeros on the diagonal, in
    double precision on the host, sample by sample.

    `violation` is the largest excess of an edge over the shortest path before the projections of the round,
    `constraints` the number of those kept after them.
    """
    batch, n = A.domain.batch(y), A.domain.shape[0]
    data = y.detach().to("cpu", torch.float64).reshape(-1, n, n).numpy()
    nearest = [_Nearest(each) for each in data]
    while True:
        found = [each.round(sweeps) for each in nearest]
        x = torch.from_numpy(np.stack([each.matrix() for each in nearest])).reshape(y.shape).to(y)
        violation, kept = (
            torch.tensor(v, dtype=y.dtype, device=y.device).reshape(batch) for v in zip(*found, strict=True)
        )
        yield Step(x, residual=A.codomain.norm(x - y), violation=violation, constraints=kept)


class _Nearest:
    """The state for one matrix: lengths of edges, and constraints ``x_e ≤ Σ x_path`` with their multipliers z ≥ 0."""

    def __init__(self, data: Any) -> None:
        self.n = n = len(data)
        self.upper = np.triu_indices(n, 1)
        symmetric = (data + data.T) / 2
        self.x = symmetric[self.upper].tolist()
        self.number = np.zeros((n, n), dtype=np.int64)  # of the edge between two points
        self.number[self.upper] = np.arange(len(self.x))
        self.number += self.number.T
        self.constraints: dict[tuple[int, ...], float] = {}
        self.floor = np.finfo(np.float64).eps * float(np.abs(symmetric).max())

    def matrix(self) -> Any:
        made = np.zeros((self.n, self.n))
        made[self.upper] = self.x
        return made + made.T

    def round(self, sweeps: int) -> tuple[float, float]:
        """Ask for constraints, project, forget; return the largest violation found and how many are kept."""
        violation = self.ask()
        for _ in range(sweeps):
            self.sweep()
        self.constraints = {key: z for key, z in self.constraints.items() if z > 0}
        return violation, float(len(self.constraints))

    def ask(self) -> float:
        """Remember a constraint for every edge that is longer than its shortest path, or negative."""
        count("oracle")
        lengths = self.matrix()
        distance, following = _shortest_paths(np.maximum(lengths, 0))
        excess = np.maximum(lengths - distance, -lengths)[self.upper]
        for edge in np.flatnonzero(excess > self.floor):
            i, j = self.upper[0][edge], self.upper[1][edge]
            key = [int(edge)]
            while self.x[edge] >= 0 and i != j:
                key.append(int(self.number[i, following[i, j]]))
                i = following[i, j]
            self.constraints.setdefault(tuple(key), 0.0)
        return float(excess.max())

    def sweep(self) -> None:
        """Project onto one constraint after the other, with the correction that its multiplier allows."""
        count("sweep")
        x = self.x
        for key, z in self.constraints.items():
            edge, path = key[0], key[1:]
            # a negative edge has no path: its constraint is −x_e ≤ 0
            excess = x[edge] - sum([x[p] for p in path]) if path else -x[edge]
            c = max(excess / len(key), -z)
            if c:
                x[edge] -= c if path else -c
                for p in path:
                    x[p] += c
                self.constraints[key] = z + c


def _shortest_paths(lengths: Any) -> tuple[Any, Any]:
    """Return distances, and the point after i on the way to j, by Floyd's algorithm."""
    distance = lengths.copy()
    following = np.tile(np.arange(len(lengths)), (len(lengths), 1))
    for k in range(len(lengths)):
        through = distance[:, k, None] + distance[k]
        shorter = through < distance
        distance = np.where(shorter, through, distance)
        following = np.where(shorter, following[:, k, None], following)
    return distance, following
