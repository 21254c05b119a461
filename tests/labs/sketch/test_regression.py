"""Sketch and solve: near the exact answer, and coordinate by coordinate only where the sketch is dense (row 111)."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses, problems, solvers
from explorer.labs.sketch.regression import smallest_solution
from explorer.linalg import Rng
from tests import support
from tests.support import eps

ROWS = 4096


def errors(draws, **knobs):
    """Return the errors on the hard instance, one row a seed.

    A sparse sketch treats every equation alone, so that those that are zero may be left out.
    """
    rows = 128 if knobs.get("sketch") == "sparse" else 16_384
    hard = problems["colliding_regression"].build(rows=rows, size=64).offers
    made = [
        analyses["sketched_errors"].build(A=hard["A"], y=hard["y"], rows=ROWS, draws=draws, seed=seed, **knobs)
        for seed in support.SEEDS
    ]
    return np.stack([m.coordinate for m in made]), np.stack([m.euclidean for m in made])


def test_a_dense_sketch_spreads_the_error_over_all_coordinates():
    coordinate, euclidean = errors(1)
    assert np.median(coordinate) <= 0.3
    assert coordinate.max() <= 0.45
    assert euclidean.max() <= 0.2


def test_countsketch_puts_it_into_one_as_soon_as_two_equations_collide():
    coordinate, euclidean = errors(20, sketch="sparse")
    # 64² pairs among 4096 buckets collide once on average, so that 1 − 1/e of the sketches have a collision
    assert abs((coordinate > 0.9).mean() - (1 - np.exp(-1))) <= 3 * np.sqrt(0.63 * 0.37 / coordinate.size)
    assert np.median(coordinate) == pytest.approx(1, abs=0.1)
    assert (coordinate.max(1) > 0.9).all()
    assert np.median(euclidean) <= 0.2


def test_more_entries_a_column_dilute_collisions_without_reaching_a_dense_sketch():
    one, _ = errors(4, sketch="sparse")
    eight, euclidean = errors(4, sketch="sparse", nonzeros=8)
    dense, _ = errors(1)
    assert np.mean(dense) < np.mean(eight) < np.mean(one)
    assert euclidean.max() <= 0.2


@pytest.mark.parametrize("sketch", ["cosine", "gaussian", "sparse", "fast"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64], ids=str)
def test_the_error_falls_as_one_over_the_root_of_the_rows(sketch, dtype):
    A = support.operator(support.decay(8, 10), 512, dtype=dtype)
    y = support.normal((3, 512), 1, dtype)
    found = [
        np.mean([
            analyses["sketched_errors"].build(A=A, y=y, sketch=sketch, rows=m, draws=2, nonzeros=4, seed=seed).euclidean
            for seed in support.SEEDS
        ])
        for m in (24, 384)
    ]  # fmt: skip
    # dense independent sketches give a ratio of √16 = 4 and more; a transform without replacement gains further
    assert found[0] > 2.5 * found[1]
    assert found[1] < 0.2


@support.every_seed
def test_of_all_rows_the_cosine_sketch_gives_the_exact_answer(seed):
    A = support.operator(support.decay(8, 10), 50, seed=seed)
    y = support.normal((3, 50), seed)
    solution = ex.solvers.sketch_and_solve(A, y, Rng(seed, "s"), rows=50)
    support.assert_close(solution.x, torch.linalg.lstsq(A.matrix, y.mT).solution.mT, 10 * 10**2)
    support.assert_close(solution.scalars["residual"], (y - solution.x @ A.matrix.mT).norm(dim=-1), 10)


def test_other_samples_change_no_bit_and_scaling_scales():
    A = support.operator(support.decay(8, 10), 50)
    y = support.normal((3, 50), 0)
    solve = lambda data: solvers["sketch_and_solve"].build(A=A, y=data, rng=Rng(0, "s"), rows=32).x  # noqa: E731
    spoilt = y.clone()
    spoilt[0], spoilt[2] = torch.nan, 1e20
    support.assert_same_bits(solve(spoilt)[1], solve(y)[1])
    support.assert_same_bits(solve(y * 2.0**20), solve(y) * 2.0**20)


def test_lost_rank_gives_the_smallest_answer():
    hard = problems["colliding_regression"].build(rows=128, size=64).offers
    solution = ex.solvers.sketch_and_solve(hard["A"], hard["y"], Rng(0, "s"), rows=64, sketch="sparse")
    assert solution.x.isfinite().all()


def test_a_run_of_it_and_what_is_refused():
    spec = ex.RunSpec(problem="colliding_regression", operator=None, solver="sketch_and_solve", dtype="float64")
    run = ex.run(spec)
    assert run.costs == {"A": 65}  # the columns and the residual
    assert 0 < run.x.norm() < 0.5
    assert run.history["residual"][-1] == pytest.approx(float(torch.hypot(run.x.norm(), torch.tensor(1.0))))
    with pytest.raises(ex.SpecError, match="at least as many rows as there are unknowns, 64"):
        ex.run(spec.replace(solver={"name": "sketch_and_solve", "params": {"rows": 10}}))
    with pytest.raises(ex.SpecError, match="at least 128 equations"):
        problems["colliding_regression"].build(rows=100)
    assert "more data than unknowns" in ex.compatible(ex.RunSpec(problem="blocks"))["sketch_and_solve"]


def test_the_matrix_of_the_hard_instance_and_its_adjoint():
    A = problems["colliding_regression"].build(rows=24, size=6).offers["A"]
    M = A.to_dense()
    support.assert_same_bits(M, torch.eye(24, 6, dtype=torch.float64))
    y = support.normal((2, 24))
    support.assert_same_bits(A.adjoint(y), y @ M)


@pytest.mark.soak
@support.every_seed
def test_ten_dense_sketches_a_seed(seed):
    hard = problems["colliding_regression"].build(rows=16_384, size=64).offers
    made = analyses["sketched_errors"].build(A=hard["A"], y=hard["y"], rows=ROWS, draws=10, seed=seed)
    assert np.median(made.coordinate) <= 0.45
    assert made.euclidean.max() <= 0.2


@support.every_dtype
@pytest.mark.parametrize("shape", [(4, 9), (9, 9), (9, 4)])
def test_the_smallest_solution_is_that_of_the_pseudo_inverse_where_rank_is_lost_too(shape, dtype):
    y = support.normal((3, shape[1]), 1, dtype)
    for columns in (support.normal(shape, 2, dtype), support.normal(shape, 2, dtype)[[0, 0, 1, 1]]):
        wide = torch.complex128 if dtype.is_complex else torch.float64
        expected = y.to(wide) @ torch.linalg.pinv(columns.mT.to(wide), rtol=1e-5).mT
        support.assert_close(smallest_solution(columns, y).to(wide), expected, 1000 * eps(dtype) / eps(wide))
