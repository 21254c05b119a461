"""Matrix inversion ``M X = I`` without an operator: the need is the matrix itself."""

from itertools import islice

import numpy as np
import pytest
import torch

import explorer as ex
from tests import support

EPS = support.eps(torch.float64)
both_kinds = pytest.mark.parametrize("kind", ["general", "positive"])


def spec(*, condition=100.0, kind="general", steps=40, **rest):
    chosen = {
        "problem": {"name": "matrix_inverse", "params": {"size": 24, "condition": condition, "kind": kind}},
        "operator": None,
        "solver": "newton_schulz",
        "stop": {"name": "budget", "params": {"steps": steps}},
        "dtype": "float64",
    }
    return ex.RunSpec(**chosen | rest)


def last(steps, n):
    return next(islice(steps, n - 1, None))


@both_kinds
@pytest.mark.parametrize("condition", [1.0, 100.0, 1e6])
@support.every_seed
def test_the_inverse_is_that_of_the_library(kind, condition, seed):
    run = ex.run(spec(condition=condition, kind=kind, steps=80, seed=seed))
    # both are backward stable up to a factor of the size: relative errors of at most n · eps · condition
    support.assert_close(run.x, torch.linalg.inv(run.problem["M"]), 24 * condition)
    support.assert_close(run.x, run.x_true, 24 * condition)


@both_kinds
@support.every_seed
def test_the_residual_is_squared_at_each_step(kind, seed):
    run = ex.run(spec(kind=kind, seed=seed))
    residual = run.history["residual"]
    before = np.flatnonzero(residual[:-1] < 1)
    # ‖R²‖_F ≤ ‖R‖_F²; the products round at the level of eps · condition
    assert len(before) > 5
    assert (residual[before + 1] <= residual[before] ** 2 + 24 * EPS * 100).all()


@support.every_seed
def test_the_residual_reported_is_the_residual(seed):
    run = ex.run(spec(steps=20, seed=seed))
    M, X = run.problem["M"], run.x
    expected = torch.linalg.matrix_norm(torch.eye(24, dtype=M.dtype) - M @ X)
    support.assert_close(torch.as_tensor(run.history["residual"][-1]), expected, 10, scale=1.0)


def test_every_step_costs_two_products():
    run = ex.run(spec(steps=11))
    assert run.costs == {"matmul": 2 * 11 + 1}
    np.testing.assert_array_equal(np.diff(run.history["matmul"]), 2)


@support.every_seed
def test_a_run_stops_at_its_relative_residual(seed):
    stop = {"name": "relative_residual", "params": {"tolerance": 1e-8}}
    run = ex.run(spec(stop=stop, seed=seed))
    relative = run.history["residual"] / 24**0.5
    assert run.reason is ex.Reason.RESIDUAL
    assert relative[-1] <= 1e-8 < relative[-2]


def test_a_stop_rule_that_needs_data_is_refused():
    with pytest.raises(ex.SpecError, match=r"stop: .* needs the expected norm of the noise"):
        ex.run(spec(stop="discrepancy"))


def test_solvers_of_linear_systems_are_refused_and_newton_schulz_where_there_is_no_matrix():
    found = ex.compatible(spec())
    assert found["newton_schulz"] is None
    assert found["cgls"] == "CGLS needs a linear operator, and there is none"
    assert "a square matrix" in ex.compatible(ex.RunSpec())["newton_schulz"]
    assert "does not use an operator" in ex.compatible(spec(operator="identity"))["newton_schulz"]


@support.every_dtype
def test_a_batch_of_matrices_is_inverted_as_each_alone(dtype):
    matrices = torch.stack([support.matrix(support.decay(12, 30), seed=s, dtype=dtype) for s in support.SEEDS])
    together = last(ex.solvers.newton_schulz(matrices), 30)
    assert together.scalars["residual"].shape == (5,)
    for M, X in zip(matrices, together.x, strict=True):
        support.assert_close(X, last(ex.solvers.newton_schulz(M), 30).x, 12 * 30)
        support.assert_close(X, torch.linalg.inv(M), 12 * 30)


def test_a_spoilt_matrix_spoils_no_other():
    matrices = torch.stack([support.matrix(support.decay(12, 30), seed=s) for s in range(3)])
    clean = last(ex.solvers.newton_schulz(matrices), 25).x
    for value in (0.0, torch.nan, 1e20):
        spoilt = matrices.clone()
        spoilt[1] = value
        x = last(ex.solvers.newton_schulz(spoilt), 25).x
        support.assert_same_bits(x[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("power", [-20, 20])
def test_scaling_the_matrix_scales_its_inverse_bit_for_bit(power):
    M = support.matrix(support.decay(12, 30), seed=3)
    x, scaled = (last(ex.solvers.newton_schulz(m), 25).x for m in (M, M * 2.0**power))
    support.assert_same_bits(scaled, x * 2.0**-power)


def test_single_precision_stays_finite_long_past_convergence():
    run = ex.run(spec(dtype="float32", steps=400))
    assert np.isfinite(run.history["residual"]).all()
    support.assert_close(run.x, run.x_true.float(), 24 * 100)


def test_a_start_near_the_inverse_saves_steps():
    M = support.matrix(support.decay(12, 30), seed=1)
    near = torch.linalg.inv(M) * (1 + 1e-3)
    steps = ex.solvers.newton_schulz(M, near)
    assert last(steps, 3).scalars["residual"] <= 12 * 30 * EPS
    with pytest.raises(ex.SpecError, match="a square matrix"):
        ex.catalogue.solvers["newton_schulz"].build(M=M[:, :5])


def test_a_run_without_an_operator_streams_and_is_written_and_read_back(tmp_path):
    assert sum(1 for _ in ex.stream(spec(steps=7))) == 7
    run = ex.run(spec(steps=7))
    run.save(tmp_path)
    support.assert_same_bits(ex.Run.load(tmp_path).x, run.x)
    assert ex.start(spec(steps=7)).result().costs == run.costs


def test_no_value_is_read_on_the_host():
    step = last(ex.solvers.newton_schulz(torch.empty(3, 8, 8, device="meta")), 3)
    assert step.x.device.type == step.scalars["residual"].device.type == "meta"
