"""A sequence of slowly changing systems solved by recycled_gmres (row 148), with a ragged history per system."""

import itertools

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

import explorer as ex
from explorer.catalogue import SpecError, solvers
from explorer.engine.build import build
from explorer.linalg import Ledger, Space
from explorer.operators.base import DenseMatrix
from explorer.problems.sequences import _darcy
from explorer.solvers.recycling import _refresh
from tests import support


def spec(seed=0, solver=None, **problem):
    return ex.RunSpec(
        problem={"name": "darcy_sequence", "params": {"count": 4, "cells": 20, **problem}},
        operator=None,
        solver={"name": "recycled_gmres", "params": {"tolerance": 1e-8, **(solver or {})}},
        stop={"name": "budget", "params": {"steps": 100_000}},
        dtype="float64",
        seed=seed,
    )


def iterations(systems, **knobs):
    """Return the number of Arnoldi steps, one a system, and of all products with A."""
    steps, ledger, hidden = [0] * len(systems), Ledger(), 0
    with torch.no_grad(), ledger.open():
        for step in solvers["recycled_gmres"].function(systems, **knobs):
            steps[step.system] = int(step.scalars["iteration"])
            hidden += (step.cost or {}).get("A", 0)
    return np.array(steps), ledger.costs["A"] + hidden


def dense(matrix):
    space = Space((len(matrix),), matrix.dtype)
    return DenseMatrix(space, space, matrix)


# --- the systems ---


def test_the_five_point_matrix_is_the_textbook_one():
    """Against a loop over nodes and their four neighbours."""
    n = 5
    k = support.normal((n + 2, n + 2), 0).exp().numpy()
    expected = np.zeros((n * n, n * n))
    for i in range(n):
        for j in range(n):
            for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                here, there = k[i + 1, j + 1], k[i + 1 + di, j + 1 + dj]
                flow = 2 * here * there / (here + there)
                expected[i * n + j, i * n + j] += flow
                if 0 <= i + di < n and 0 <= j + dj < n:
                    expected[i * n + j, (i + di) * n + j + dj] -= flow
    matrix, load = _darcy(k)
    diagonal = expected.diagonal()
    assert np.allclose(matrix.toarray(), expected / diagonal[:, None], rtol=1e-13)
    assert np.allclose(load, 1 / (n + 1) ** 2 / diagonal, rtol=1e-13)


def test_neighbours_differ_as_much_as_asked_for():
    def gaps(change):
        systems = build(spec(change=change, cells=8)).offers["systems"]
        matrices = [A.to_dense() for A, _ in systems]
        return [float((a - b).norm() / a.norm()) for a, b in itertools.pairwise(matrices)]

    assert max(gaps(0.0)) == 0
    assert 0 < max(gaps(0.1)) < min(gaps(1.0))


# --- the method ---


@pytest.mark.parametrize("recycle", [0, 8])
def test_solutions_are_those_of_a_sparse_direct_method(recycle):
    for seed in support.SEEDS:
        run = ex.run(spec(seed, {"recycle": recycle, "restart": 20, "tolerance": 1e-10}, count=3, cells=12))
        assert run.reason is ex.Reason.FINISHED
        for (A, b), x in zip(run.problem.offers["systems"], run.x, strict=True):
            matrix = scipy.sparse.csc_array(A.to_dense().numpy())
            expected = torch.from_numpy(scipy.sparse.linalg.spsolve(matrix, b.reshape(-1).numpy())).reshape(b.shape)
            assert A.codomain.norm(b - A(x)) <= 1.01e-10 * A.codomain.norm(b)
            assert (x - expected).norm() <= 1e-8 * expected.norm()
        assert run.metrics["relative_error"].shape == (3,)
        assert run.metrics["relative_error"].max() < 1e-8


def test_without_recycling_it_is_restarted_gmres():
    """Residuals of every step, over four cycles, against SciPy's."""
    for seed in support.SEEDS:
        A = dense(torch.eye(60) + 0.9 * support.matrix(support.decay(60, 1e2), seed=seed))
        b = support.normal((60,), seed)
        found = []
        for step in ex.solvers.recycled_gmres([(A, b)], restart=8, recycle=0, limit=32, tolerance=1e-12):
            found.append(float(step.scalars["residual"] / b.norm()))
        expected = []
        scipy.sparse.linalg.gmres(
            A.matrix.numpy(), b.numpy(), restart=8, maxiter=4, rtol=1e-12,
            callback=lambda norm, kept=expected: kept.append(float(norm)), callback_type="pr_norm",
        )  # fmt: skip
        assert np.allclose(found[1:], expected, rtol=1e-9)


@support.every_dtype
def test_the_image_of_the_kept_space_is_orthonormal(dtype):
    A = support.matrix(support.decay(30, 10), dtype=dtype)
    q, _ = torch.linalg.qr(support.normal((30, 30), 5, dtype))
    U, V, k, m = torch.linalg.solve(A, q[:, :3]).T, torch.zeros((8, 30), dtype=dtype), 3, 7
    C, V[0] = q[:, :k].T, q[:, 10]
    H, B = torch.zeros((m + 1, m), dtype=dtype), torch.zeros((k, m), dtype=dtype)
    for j in range(m):
        w = A @ V[j]
        B[:, j] = C.conj() @ w
        w = w - B[:, j] @ C
        for _ in range(2):
            h = V[: j + 1].conj() @ w
            H[: j + 1, j] += h
            w = w - h @ V[: j + 1]
        H[j + 1, j] = w.norm()
        V[j + 1] = w / w.norm()
    U, C = _refresh(U, C, V, H, B, 4)
    assert len(U) == 4
    support.assert_close(U @ A.T, C, 2000)
    support.assert_close(C.conj() @ C.T, torch.eye(4, dtype=dtype), 1000)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_a_family_of_nonsymmetric_systems_gets_cheaper(dtype):
    """A few small eigenvalues that stay nearly the same are what recycling is for."""
    for seed in support.SEEDS:
        eigenvalues = torch.cat((torch.tensor([1e-3, 2e-3, 4e-3, 8e-3]), torch.linspace(1, 3, 56))).to(dtype)
        basis = torch.eye(60, dtype=dtype) + 0.02 * support.normal((60, 60), seed, dtype)
        systems = []
        for i in range(3):
            turned = basis + 1e-3 * support.normal((60, 60), 100 + i, dtype)
            matrix = turned @ torch.diag(eigenvalues) @ torch.linalg.inv(turned)
            systems.append((dense(matrix), support.normal((60,), 10 * seed + i, dtype)))
        plain, _ = iterations(systems, restart=20, recycle=0)
        kept, _ = iterations(systems, restart=20, recycle=6)
        assert kept[1:].mean() <= 0.5 * plain[1:].mean()


def test_recycling_halves_the_work_of_a_sequence():
    """The small version of row 148. Seen: .40 to .51 of the steps, .46 to .58 of all products with A."""
    for seed in support.SEEDS:
        systems = build(spec(seed, count=3, cells=16)).offers["systems"]
        (plain, plain_products), (kept, kept_products) = (iterations(systems, restart=20, recycle=k) for k in (0, 8))
        assert kept.mean() <= 0.55 * plain.mean()
        assert kept_products <= 0.65 * plain_products


@pytest.mark.soak
@support.every_seed
def test_row_148_sixty_darcy_systems(seed):
    """60 independent fields, 32 × 32, m = 30, k = 10, tolerance 1e-8: mean iterations at most half of GMRES(30)'s."""
    run = spec(seed, count=60, cells=32, change=1.0)
    systems = build(run).offers["systems"]
    (plain, plain_products), (kept, kept_products) = (iterations(systems, recycle=k) for k in (0, 10))
    assert kept.mean() <= 0.5 * plain.mean()
    assert kept_products <= 0.55 * plain_products


# --- its history, limits and refusals ---


def test_the_history_is_ragged_with_one_part_a_system():
    run = ex.run(spec(cells=12, change=0.5))
    system, iteration, residual = (run.history[name] for name in ("system", "iteration", "residual"))
    parts = [iteration[system == i] for i in range(4)]
    assert all(np.array_equal(part, np.arange(len(part))) for part in parts)
    assert len({len(part) for part in parts}) > 1
    assert np.array_equal(np.sort(system), system)
    for i, (A, b) in enumerate(run.problem.offers["systems"]):
        assert residual[system == i][-1] <= 1e-8 * A.codomain.norm(b)
        assert run.history["error"][system == i][-1] < 1e-6
    assert run.costs["A"] >= sum(len(part) - 1 for part in parts)
    assert run.x.shape == (4, 12, 12)
    assert run.best is None


def test_a_system_that_precision_cannot_solve_ends_at_the_limit():
    run = ex.run(spec(0, {"limit": 40}, count=2, cells=8).replace(dtype="float32"))
    assert [run.history["iteration"][run.history["system"] == i].max() for i in range(2)] == [40, 40]
    assert run.metrics["relative_error"].max() < 1e-3


def test_scaling_the_data_scales_every_solution_bit_for_bit():
    systems = build(spec(cells=8)).offers["systems"]

    def solve(factor):
        with torch.no_grad():
            return [s.x.clone() for s in solvers["recycled_gmres"].function([(A, factor * b) for A, b in systems])]

    once = solve(1.0)
    for k in (0, -20, 20):
        for scaled, plain in zip(solve(2.0**k), once, strict=True):
            support.assert_same_bits(scaled, 2.0**k * plain)


def test_an_unsolved_right_hand_side_of_zero_takes_no_step():
    A = dense(support.matrix(support.decay(6, 2)))
    steps = list(ex.solvers.recycled_gmres([(A, torch.zeros(6, dtype=torch.float64))]))
    assert len(steps) == 1
    assert not steps[0].x.any()


def test_it_is_offered_where_it_fits_and_explained_where_not():
    fits = ex.compatible(spec(count=1, cells=4))
    assert fits["recycled_gmres"] is None
    assert "a linear operator" in fits["cgls"]
    with pytest.raises(SpecError, match="needs a sequence of systems"):
        solvers["recycled_gmres"].build()
    tall = DenseMatrix(Space((4,)), Space((5,)), torch.zeros(5, 4))
    with pytest.raises(SpecError, match="an operator from a space to itself"):
        solvers["recycled_gmres"].build(systems=[(tall, torch.zeros(5))])
