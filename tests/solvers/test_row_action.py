"""Row action and stationary methods against their textbook loops, one equation at a time, in NumPy."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix
from explorer.operators.rows import absolute_sums, part, rows, squared_norms
from tests import support

SPACE = Space((10, 10), torch.float64)
#: 8 angles of 10 bins
A = ex.catalogue.operators["radon"].bind(
    {"domain": SPACE}, ex.catalogue.operators["radon"].check({"angles": 8})
)()  # fmt: skip


def iterates(name, operator, y, steps=3, **knobs):
    made = itertools.islice(getattr(ex.solvers, name)(operator, y, **knobs), steps)
    return [step.x.numpy() for step in made]


def positive(seed, n=40):
    """Return a well-conditioned positive matrix."""
    G = Rng(seed, "positive").normal((n, n), torch.float64)
    return G @ G.T / n + torch.eye(n, dtype=torch.float64)


def as_operator(matrix):
    space = Space((len(matrix),), torch.float64)
    return DenseMatrix(space, space, matrix, self_adjoint=True, positive=True)


@pytest.fixture(scope="module")
def matrix():
    return A.to_dense().numpy()


# --- rows ---


def test_rows_are_the_rows(matrix):
    index = torch.tensor([3, 0, 7])
    some = rows(A, index)
    expected = matrix.reshape(*A.codomain.shape, -1)[index.numpy()].reshape(-1, A.domain.size)
    np.testing.assert_array_equal(some.to_dense().numpy(), expected)
    y = support.normal((2, *A.codomain.shape), 0)
    support.assert_same_bits(part(A, y, index), y[:, index])


@pytest.mark.parametrize("sparse", [True, False])
def test_the_sums_over_rows_and_columns(sparse, matrix):
    operator, dense = (A, matrix) if sparse else (as_operator(positive(0)), positive(0).numpy())
    across, down = absolute_sums(operator)
    np.testing.assert_allclose(across.flatten().numpy(), abs(dense).sum(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(down.flatten().numpy(), abs(dense).sum(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(squared_norms(operator).flatten().numpy(), (dense**2).sum(1), rtol=1e-12, atol=1e-12)


# --- row action ---


@pytest.mark.parametrize("order", ["cyclic", "symmetric"])
@pytest.mark.parametrize("relaxation", [0.4, 1.0, 1.7])
def test_kaczmarz_projects_on_one_row_after_the_other(order, relaxation, matrix):
    y = support.normal(A.codomain.shape, 1)
    x, expected = np.zeros(A.domain.size), []
    for sweep in range(3):
        indices = range(len(matrix))
        for i in reversed(indices) if order == "symmetric" and sweep % 2 else indices:
            row = matrix[i]
            if row @ row > 0:
                x = x + relaxation * (y.flatten()[i].item() - row @ x) / (row @ row) * row
        expected.append(x)
    for made, wanted in zip(iterates("kaczmarz", A, y, relaxation=relaxation, order=order), expected, strict=True):
        np.testing.assert_allclose(made.reshape(-1), wanted, rtol=0, atol=1e-9 * abs(wanted).max())


@pytest.mark.parametrize("seed", support.SEEDS)
def test_random_kaczmarz_converges_at_the_rate_of_strohmer_and_vershynin(seed):
    """E‖x_k − x‖² ≤ (1 − 1/κ²)^k ‖x_0 − x‖² with κ² = ‖A‖_F² ‖A⁺‖²: here the mean over 50 truths, per sweep."""
    B = support.operator(support.decay(20, 3.0), seed=seed)
    x = support.normal((50, 20), seed)
    kappa2 = float((1 / B.svd().s.min() ** 2) * (B.svd().s ** 2).sum())
    for k, step in enumerate(itertools.islice(ex.solvers.kaczmarz(B, B(x), Rng(seed, "rows"), order="random"), 20), 1):
        assert float(((step.x - x) ** 2).sum(-1).mean()) <= 1.5 * (1 - 1 / kappa2) ** (20 * k) * float(
            (x**2).sum(-1).mean()
        )


@pytest.mark.parametrize("blocks", [1, 3, 8])
def test_block_kaczmarz_uses_pseudo_inverses(blocks, matrix):
    y = support.normal(A.codomain.shape, 2)
    x, cut = np.zeros(A.domain.size), np.array_split(np.arange(8), blocks)
    angles = matrix.reshape(8, -1, A.domain.size)
    for index in cut:
        block = angles[index].reshape(-1, A.domain.size)
        x = x + np.linalg.pinv(block, rcond=1e-7) @ (y[index].flatten().numpy() - block @ x)
    made = iterates("block_kaczmarz", A, y, 1, blocks=blocks)[0].reshape(-1)
    np.testing.assert_allclose(made, x, rtol=0, atol=1e-6 * abs(x).max())


@pytest.mark.parametrize(("name", "subsets"), [("sart", 8), ("os_sirt", 3), ("os_sirt", 1)])
def test_ordered_subsets_of_sirt(name, subsets, matrix):
    y = support.normal(A.codomain.shape, 3)
    angles = matrix.reshape(8, -1, A.domain.size)
    cut = [np.arange(b, 8, subsets) for b in range(subsets)]
    largest = np.max([angles[i].reshape(-1, A.domain.size).sum(0) for i in cut], axis=0)
    x = np.zeros(A.domain.size)
    for _ in range(2):
        for index in cut:
            block = angles[index].reshape(-1, A.domain.size)
            over = block.sum(1)
            weighted = np.divide(y[index].flatten().numpy() - block @ x, over, where=over > 0, out=np.zeros(len(over)))
            x = x + 0.9 * np.divide(block.T @ weighted, largest, where=largest > 0, out=np.zeros(len(largest)))
    knobs = {} if name == "sart" else {"subsets": subsets}
    made = iterates(name, A, y, 2, relaxation=0.9, **knobs)[-1].reshape(-1)
    np.testing.assert_allclose(made, x, rtol=0, atol=1e-10 * abs(x).max())


def test_one_subset_is_the_simultaneous_method():
    y = support.normal(A.codomain.shape, 4)
    for one, other in zip(iterates("os_sirt", A, y, subsets=1), iterates("sirt", A, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    y = A(support.normal(SPACE.shape, 5).abs())
    for one, other in zip(iterates("osem", A, y, subsets=1), iterates("mlem", A, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("seed", support.SEEDS)
def test_subsets_are_about_as_many_times_faster_at_first(seed):
    x = support.normal(SPACE.shape, seed).abs()
    y = A(x)
    gap = lambda name, k, **knobs: float(  # noqa: E731
        next(itertools.islice(getattr(ex.solvers, name)(A, y, **knobs), k - 1, None)).scalars["divergence"]
    )
    assert gap("osem", 2, subsets=4) < gap("mlem", 6)
    assert gap("osem", 2, subsets=4) > gap("mlem", 16)


# --- stationary ---


@pytest.mark.parametrize("seed", support.SEEDS)
@pytest.mark.parametrize("name", ["jacobi", "gauss_seidel", "sor", "ssor", "richardson"])
def test_stationary_methods_are_their_splittings(name, seed):
    M = positive(seed).numpy()
    y, x, omega = support.normal((40,), seed).numpy(), np.zeros(40), 1.3
    D, L, U = np.diag(np.diag(M)), np.tril(M, -1), np.triu(M, 1)
    rho = np.linalg.eigvals(np.linalg.solve(D, M)).real.max()
    for _ in range(3):
        r = y - M @ x
        if name == "jacobi":
            x = x + omega / rho * np.linalg.solve(D, r)
        elif name == "richardson":
            x = x + omega / np.linalg.norm(M, 2) * r
        elif name == "gauss_seidel":
            x = x + np.linalg.solve(D + L, r)
        else:
            x = x + np.linalg.solve(D / omega + L, r)
            if name == "ssor":
                x = x + np.linalg.solve(D / omega + U, y - M @ x)
    knobs = {} if name == "gauss_seidel" else {"relaxation": omega}
    made = iterates(name, as_operator(torch.from_numpy(M)), torch.from_numpy(y), **knobs)[-1]
    np.testing.assert_allclose(made, x, rtol=0, atol=1e-6 * abs(x).max())


@pytest.mark.parametrize("n", [16, 31])
def test_the_best_relaxation_of_young_has_his_rate(n):
    """For the model problem on n points the spectral radius at ω = 2 / (1 + √(1 − ρ²)) is ω − 1."""
    M = 2 * torch.eye(n) - torch.diag(torch.ones(n - 1), 1) - torch.diag(torch.ones(n - 1), -1)
    rho = np.cos(np.pi / (n + 1))
    omega = 2 / (1 + np.sqrt(1 - rho**2))
    steps = ex.solvers.sor(as_operator(M.double()), torch.zeros(n).double(), support.normal((n,), 0), relaxation=omega)
    sizes = [float(step.x.norm()) for step in itertools.islice(steps, 60)]
    rate = (sizes[-1] / sizes[29]) ** (1 / 30)
    assert abs(rate - (omega - 1)) < 0.04  # the eigenvalue is defective: k (ω − 1)^(k − 1)
    slower = ex.solvers.gauss_seidel(as_operator(M.double()), torch.zeros(n).double(), torch.ones(n).double())
    slow = [float(step.x.norm()) for step in itertools.islice(slower, 60)]
    assert abs((slow[-1] / slow[29]) ** (1 / 30) - rho**2) < 0.01
