"""Graphs: kernel systems ``(α I + D − W) x = y``, solved near where the data are, and labels that arrive one by one.

Zhou, Sun & Babanezhad 2023: Fast Online Node Labeling for Very Large Graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, analysis, problem, solver
from explorer.linalg import Rng, Space, clone
from explorer.operators.sparse import SharedMatrix, SparseMatrix
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

_PAPERS = ["row 97", "Zhou, Sun & Babanezhad 2023: Fast Online Node Labeling for Very Large Graphs"]
#: columns of the kernel made at a time
_AT_ONCE = 64
Tolerance = Annotated[float, Log(1e-14, 1, help="ε: a node is pushed while |r| ≥ ε · degree · max|y|")]


class GraphSystem(SparseMatrix):
    """``α I + D − W``, the inverse of a kernel on an undirected graph; D are the degrees, the row sums of W.

    Parameters
    ----------
    domain : Space
        One number a node, shape ``(n,)``.
    weights : SciPy sparse array
        Symmetric, entries ≥ 0, zero diagonal.
    shift : float
        α > 0.
    """

    title = "the kernel system of a graph"
    says = "the kernel system of a graph"
    counts_as = "A"
    self_adjoint = True
    positive = True

    def __init__(self, domain: Space, weights: Any, shift: float) -> None:
        from scipy.sparse import diags_array

        weights = weights.tocsr()
        degree = np.asarray(weights.sum(axis=1)).ravel()
        super().__init__(domain, domain, SharedMatrix(lambda: (diags_array(degree + shift) - weights).tocsr()))
        self.shift = shift
        self.degree = torch.from_numpy(degree).to(domain.device, domain.dtype)
        self.start = torch.from_numpy(weights.indptr.astype(np.int64)).to(domain.device)
        self.neighbour = torch.from_numpy(weights.indices.astype(np.int64)).to(domain.device)
        self.weight = torch.from_numpy(weights.data).to(domain.device, domain.dtype)

    def main_diagonal(self) -> Tensor:
        """Return the degrees plus α."""
        return self.degree + self.shift


@solver(
    "Local push",
    papers=_PAPERS,
    equation=r"x_u \mathrel{+}= d,\; r_u = 0,\; r_v \mathrel{+}= w_{uv}\, d\ (v \sim u),\quad d = r_u / (\alpha + d_u)",
    reports=("residual", "touched"),
    reads=3,
    works="A few labelled nodes on a huge graph: only their neighbourhood is touched.",
    fails="With a small shift α the push spreads over the graph; with a large tolerance it reaches no neighbour.",
)
def local_push(A: GraphSystem, y: Tensor, *, tolerance: Tolerance = 1e-4) -> Iterator[Step]:
    """Push the residual of a node to its neighbours, for the nodes alone where it is large; in place.

    Always ``r = y − A x``. A step is one generation of the queue: all nodes that wait are pushed at once, where the
    source takes them one after the other; what is pushed meanwhile to a node that waits goes on in the next one.
    It ends when no node has ``|r| ≥ ε · degree · max|y|``; then ``|x − A⁻¹y| ≤ (ε / α) max degree · max|y|``, since the
    rows of ``A⁻¹ ≥ 0`` sum to 1/α. The work, booked as `edge`, is the degrees of the nodes pushed, whatever the size of
    the graph; only the reports `residual` and `touched` (nodes with x ≠ 0) look at all nodes.
    """
    X, n = A.domain, A.domain.size
    x, r = X.zeros(X.batch(y)), clone(y)
    flat_x, flat_r = x.view(-1), r.view(-1)  # entry b n + u is node u of sample b
    level = (tolerance * y.abs().amax(-1, keepdim=True) * A.degree).reshape(-1)
    waiting = flat_r.nonzero().squeeze(-1)
    while True:
        pushed = waiting[flat_r[waiting].abs() >= level[waiting]]
        node = pushed % n
        d = flat_r[pushed] / (A.shift + A.degree[node])
        flat_x[pushed] += d
        flat_r[pushed] = 0
        many = A.start[node + 1] - A.start[node]
        edges = int(many.sum())
        spread = lambda t, many=many, edges=edges: t.repeat_interleave(many, output_size=edges)  # noqa: E731
        edge = torch.arange(edges, device=r.device) + spread(A.start[node] - many.cumsum(0) + many)
        reached = spread(pushed - node) + A.neighbour[edge]
        flat_r.index_add_(0, reached, spread(d) * A.weight[edge])
        waiting = reached.unique()
        touched = (x != 0).sum(-1).to(x.dtype)
        yield Step(x, residual=X.norm(r), touched=touched, cost={"edge": edges})
        if not edges:
            return


# --- problems -----------------------------------------------------------------------------------------------------


@problem("Labels on a graph", papers=_PAPERS, equation=r"(\alpha I + D - W)\, x = y")
def graph_labels(
    rng: Rng,
    *,
    graph: Annotated[
        Literal["grid", "communities"], Help("a square grid, or two random communities with few edges between them")
    ] = "grid",
    side: Annotated[int, Log(2, 1000, help="the graph has side² nodes")] = 32,
    shift: Annotated[float, Log(1e-6, 1e3, help="α: how local the kernel is; smaller reaches farther")] = 0.5,
    labelled: Annotated[int, Log(1, 10_000, unit="nodes", help="how many labels are known; one is in the middle")] = 1,
    mixing: Annotated[float, Linear(0, 0.5, help="fraction of the edges between the communities")] = 0.1,
) -> Truth:
    """Spread the labels ±1 of a few nodes over a graph; the true solution comes from a sparse direct method.

    The classes are the left and the right half of the grid, or the communities, where a node has 12 edges on average.
    Offered are the system ``A``, the known labels ``y`` and, for methods that learn them one by one, all ``labels``.

    Raises
    ------
    SpecError
        If there are more labels than nodes.
    """
    from scipy.sparse.linalg import spsolve

    n = side**2
    if labelled > n:
        raise SpecError(f"is {labelled}, and the graph has {n} nodes: choose fewer", "problem.params.labelled")
    weights, labels = _grid(side) if graph == "grid" else _communities(n, mixing, rng.fork("edges"))
    domain = Space((n,), torch.float64)
    A = GraphSystem(domain, weights, shift)
    middle = torch.tensor([side // 2 * side + side // 2])
    known = middle if labelled == 1 else rng.fork("known").permutation(n)[:labelled]
    y = domain.zeros()
    y[known] = labels[known]
    matrix = A._pair()[0]
    x = spsolve(_csc(matrix), y.numpy())
    offers = {"A": A, "y": y, "codomain": domain, "data_norm": y.norm(), "labels": labels}
    return Truth(torch.from_numpy(x), offers, domain=domain)


def _csc(rows: Tensor) -> Any:
    """Return a symmetric matrix of compressed rows as compressed columns."""
    from scipy.sparse import csc_array

    return csc_array(tuple(t.numpy() for t in (rows.values(), rows.col_indices(), rows.crow_indices())), rows.shape)


def _grid(side: int) -> tuple[Any, Tensor]:
    """Return the weights of a square grid, and −1 for its left half, 1 for its right half."""
    from scipy.sparse import diags_array, kronsum

    path = diags_array([np.ones(side - 1)] * 2, offsets=[-1, 1], shape=(side, side))
    columns = torch.arange(side, dtype=torch.float64).repeat(side)
    return kronsum(path, path), torch.where(columns < side / 2, -1.0, 1.0).to(torch.float64)


def _communities(n: int, mixing: float, rng: Rng) -> tuple[Any, Tensor]:
    """Return the weights of two random communities, and their labels −1 and 1."""
    from scipy.sparse import coo_array

    first = n // 2
    labels = torch.where(torch.arange(n) < first, -1.0, 1.0).to(torch.float64)
    u, v, crosses = rng.uniform((3, 6 * n), torch.float64).numpy()
    u = (u * n).astype(int)
    right = (u >= first) ^ (crosses < mixing)
    v = np.where(right, first + (v * (n - first)).astype(int), (v * first).astype(int))
    keep = u != v
    weights = coo_array((np.ones(keep.sum()), (u[keep], v[keep])), shape=(n, n)).tocsr()
    weights = weights + weights.T
    weights.data[:] = 1
    return weights, labels


# --- labels that arrive one by one --------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnlineLabels:
    """Predictions of labels before each was revealed.

    Attributes
    ----------
    order : NDArray of int
        Nodes in order of arrival, shape ``(n,)``.
    predicted : NDArray of int
        ±1 in that order.
    mistakes : NDArray of int
        Mistakes so far, in that order.
    edges : int
        Edges followed; 0 for exact columns.
    sentence : str
        What came of it.
    """

    order: NDArray[np.integer]
    predicted: NDArray[np.integer]
    mistakes: NDArray[np.integer]
    edges: int
    sentence: str


@analysis(
    "Online node labelling",
    papers=[
        *_PAPERS,
        "Rakhlin & Sridharan 2017: Efficient online multiclass prediction on graphs via surrogate losses",
    ],
    equation=r"\psi_t = -G K_{v_t} / \sqrt{a_t + 2 \tau_t},\quad \hat y_t = \arg\max \psi_t",
)
def online_labelling(
    A: GraphSystem,
    labels: Tensor,
    *,
    tolerance: Annotated[
        float, Log(0, 1, help="ε of the local push for each column of the kernel; 0: exact columns by a factorisation")
    ] = 1e-4,
    seed: Annotated[int, Linear(0, 1_000_000, help="seed of the order of arrival")] = 0,
) -> OnlineLabels:
    """Predict the label of each node as it arrives, from the kernel and the labels before it: online relaxation.

    The kernel is ``K = 2 α n (α I + D − W)⁻¹``. G has one row a class and the gradient of the hinge loss of each past
    prediction as a column; ``a`` is ``tr(G K Gᵀ)`` and τ what is left of a bound on the trace of K, at first 2n². The
    regret against the best smooth labelling grows slower than n. Exact columns cost a factorisation and memory of n²
    in the worst case, approximate ones a neighbourhood each; too large an ε leaves columns that reach no one.
    """
    n, edges, local = A.domain.size, 0, A.to("cpu", torch.float64)
    order = Rng(seed, "online_labelling").permutation(n)
    factors = _factors(local) if tolerance == 0 else None

    def columns(nodes: Tensor) -> NDArray[Any]:
        """Return columns of the inverse as rows, shape ``(len(nodes), n)``."""
        nonlocal edges
        unit = local.domain.zeros((len(nodes),))
        unit[torch.arange(len(nodes)), nodes] = 1
        if factors is not None:
            return np.asarray(factors.solve(unit.numpy().T).T)
        for step in local_push(local, unit, tolerance=tolerance):
            edges += (step.cost or {})["edge"]
        return np.asarray(step.x)

    truth = (labels.cpu().numpy() > 0).astype(int)
    G, a, left = np.zeros((2, n)), 0.0, 2.0 * n**2
    predicted = np.zeros(n, dtype=int)
    for nodes in order.split(_AT_ONCE):
        for v, column in zip(nodes.tolist(), columns(nodes), strict=True):
            k = 2 * A.shift * n * column
            score = G @ k
            psi = -score / np.sqrt(a + 2 * left)
            predicted[v] = psi[1] > psi[0]
            gradient = G[:, v] = _hinge_gradient(psi, truth[v])
            a += 2 * gradient @ score + k[v] * gradient @ gradient
            left -= k[v]
    arrived = order.numpy()
    wrong = (predicted != truth)[arrived]
    said = f"{wrong.sum()} of {n} labels were wrong before they were revealed"
    said += f"; {edges / n:.0f} edges were followed for each" if edges else ""
    return OnlineLabels(arrived, 2 * predicted[arrived] - 1, wrong.cumsum(), edges, said + ".")


def _factors(A: GraphSystem) -> Any:
    from scipy.sparse.linalg import splu

    return splu(_csc(A._pair()[0]))


def _hinge_gradient(psi: NDArray[Any], label: int) -> NDArray[Any]:
    """Return the gradient of the surrogate loss for two classes, by the classes that water filling gives weight to."""
    margin = psi[1 - label] - psi[label]
    sign = np.where(np.arange(2) == label, -1.0, 1.0)
    # both classes have weight where |margin| < 1; else the larger has it all
    if abs(margin) < 1:
        return 0.5 * sign
    return 0.5 * sign if margin > 0 else 0.0 * sign
