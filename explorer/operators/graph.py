"""Laplacians of graphs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch

from explorer.catalogue import Help, Linear, Log, operator
from explorer.linalg import Rng, Space
from explorer.operators.capabilities import SIGNAL
from explorer.operators.sparse import SharedMatrix, SparseMatrix

Graph = Literal["neighbours", "ring", "random"]


def adjacency(n: int, graph: Graph, degree: int, rng: Rng) -> Any:
    """Return the symmetric weights of a graph without loops, a SciPy sparse array of shape ``(n, n)``.

    Parameters
    ----------
    n : int
        Number of nodes.
    graph : {"neighbours", "ring", "random"}
        Nearest neighbours of random points in the unit square, with weights ``exp(−d²/2s²)`` and the mean distance s;
        nodes on a ring, joined to the next ones on both sides; or pairs that are drawn (Erdős & Rényi).
    degree : int
        Neighbours that a node chooses (each side half of them on a ring), or mean number of edges at a node.
    """
    from scipy.sparse import coo_array

    reach = min(degree, n - 1)
    if graph == "random":
        pairs = (rng.fork("edges").uniform((round(n * degree / 2), 2), torch.float64) * n).long().numpy()
        start, end = pairs[pairs[:, 0] != pairs[:, 1]].T
        weight = np.ones(len(start))
    elif graph == "ring":
        start = np.repeat(np.arange(n), max(reach // 2, 1))
        end = (start + np.tile(np.arange(1, max(reach // 2, 1) + 1), n)) % n
        weight = np.where(start == end, 0.0, 1.0)
    else:
        from scipy.spatial import KDTree

        points = rng.fork("points").uniform((n, 2), torch.float64).numpy()
        distance, end = (a[:, 1:].ravel() for a in KDTree(points).query(points, k=np.arange(1, reach + 2)))
        start = np.repeat(np.arange(n), reach)
        weight = np.exp(-((distance / distance.mean()) ** 2) / 2) if n > 1 else distance
    directed = coo_array((weight, (start, end)), (n, n)).tocsr()
    if graph == "random":
        directed.data[:] = 1  # a pair that was drawn twice is one edge
    return directed.maximum(directed.T).tocsr()


@operator(
    "Graph Laplacian",
    papers=["Chung 1997: Spectral Graph Theory"],
    equation=r"L = D - W,\quad D = \operatorname{diag}(W \mathbf{1})",
    works="Values at the nodes of a network, when their differences to the neighbours are measured.",
    fails="Without a shift, a level for each connected part is lost; few links between parts make more nearly so.",
)
def graph_laplacian(
    domain: Annotated[Space, SIGNAL],
    rng: Rng,
    *,
    graph: Annotated[
        Graph, Help("nearest neighbours of random points, neighbours on a ring, or random pairs")
    ] = "neighbours",
    degree: Annotated[int, Linear(2, 64, help="edges of a node, about")] = 6,
    normalized: Annotated[bool, Help("divide by the square roots of the degrees, D^{−1/2} L D^{−1/2}")] = False,
    shift: Annotated[float, Log(0, 1e3, help="multiple of the identity that is added")] = 0.0,
) -> SparseMatrix:
    """Differences along the edges of a graph, gathered in its nodes; positive, and zero on what is constant."""

    def laplacian() -> Any:
        from scipy.sparse import csgraph, csr_array, eye_array

        n = domain.size
        L = csgraph.laplacian(adjacency(n, graph, degree, rng), normed=normalized)
        return csr_array(L) + shift * eye_array(n, format="csr")

    made = SparseMatrix(domain, domain, SharedMatrix(laplacian))
    made.self_adjoint = made.positive = True
    made.title = "Graph Laplacian"
    return made
