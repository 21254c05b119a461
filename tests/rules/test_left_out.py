"""Cross-validation against solving again without the data left out."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import operators, solvers
from explorer.engine.left_out import folded, predicted, without
from explorer.linalg import Rng
from tests import support

FORTY = {"stop": {"name": "budget", "params": {"steps": 40}}}
WEIGHTS = torch.tensor([1e-3, 1e-2, 1e-1, 1.0], dtype=torch.float64)


@support.every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_it_is_the_error_of_what_was_left_out(seed, dtype):
    A = support.operator(support.decay(8, 50.0), 13, 8, seed, dtype)
    y = support.normal((3, 13), seed, dtype)
    found = predicted(solvers["tikhonov"], {"A": A, "y": y}, {}, WEIGHTS.unsqueeze(-1).expand(4, 3), folds=4, seed=seed)
    order, matrix = Rng(seed, "folds").permutation(13).numpy(), A.to_dense().numpy()
    expected = np.zeros((4, 3))
    for fold in np.array_split(order, 4):
        rest = np.setdiff1d(np.arange(13), fold)
        for i, weight in enumerate(WEIGHTS.numpy()):
            part = matrix[rest]
            x = np.linalg.solve(part.conj().T @ part + weight * np.eye(8), part.conj().T @ y.numpy()[:, rest].T)
            expected[i] += (np.abs(matrix[fold] @ x - y.numpy()[:, fold].T) ** 2).sum(0)
    assert found.numpy() == pytest.approx(expected, rel=1e-9)


def test_with_one_datum_a_fold_it_is_allens_formula():
    """``Σ (r_i / (1 − h_ii))²`` with the influence matrix."""
    A, y = support.operator(support.decay(8, 50.0), 13, 8), support.normal((13,))
    found = predicted(solvers["tikhonov"], {"A": A, "y": y}, {}, WEIGHTS, folds=100, seed=0)
    M = A.to_dense()
    for weight, value in zip(WEIGHTS, found, strict=True):
        H = M @ torch.linalg.solve(M.mT @ M + weight * torch.eye(8).double(), M.mT)
        support.assert_close(value, (((y - H @ y) / (1 - H.diagonal())) ** 2).sum(), 1e4)


@support.every_seed
def test_what_is_left_out_is_predicted_by_the_method_itself(seed):
    """A penalty on slopes, and truncation, against NumPy on the rows that are left."""
    A, y = support.operator(support.decay(8, 50.0), 13, 8, seed), support.normal((13,), seed)
    L = operators["gradient"].bind({"domain": A.domain, "rng": Rng(0, "test")}, {"boundary": "neumann"})()
    matrix, slopes, data = A.to_dense().numpy(), L.to_dense().numpy(), y.numpy()
    offers = {"A": A, "y": y}
    smooth = predicted(solvers["general_tikhonov"], offers, {"operator": L}, WEIGHTS, folds=4, seed=seed)
    few = predicted(solvers["tsvd"], offers, {}, WEIGHTS, folds=4, seed=seed)
    order, expected = Rng(seed, "folds").permutation(13).numpy(), np.zeros((2, 4))
    for fold in np.array_split(order, 4):
        rest = np.setdiff1d(np.arange(13), fold)
        part = matrix[rest]
        U, s, Vh = np.linalg.svd(part, full_matrices=False)
        for i, value in enumerate(WEIGHTS.numpy()):
            penalised = np.linalg.solve(part.T @ part + value * slopes.T @ slopes, part.T @ data[rest])
            truncated = Vh.T @ (np.where(s > value, 1 / s, 0) * (U.T @ data[rest]))
            for k, x in enumerate((penalised, truncated)):
                expected[k, i] += ((matrix[fold] @ x - data[fold]) ** 2).sum()
    np.testing.assert_allclose(smooth.numpy(), expected[0], rtol=1e-8)
    np.testing.assert_allclose(few.numpy(), expected[1], rtol=1e-8)


@pytest.mark.parametrize("solver", ["general_tikhonov", "tsvd", "tgsvd", "showalter", "wiener"])
def test_every_direct_method_can_be_cross_validated(solver):
    """Within three times the least error on the median of five draws."""
    run = ex.run(spec(0, rule="cross_validation", solver=solver, draws=5))
    best = ex.run(spec(0, rule="oracle", solver=solver, draws=5))
    assert np.median(run.history["error"][-1] / best.history["error"][-1]) <= 3


def spec(seed, **more):
    fields = {
        "problem": {"name": "phillips", "params": {"size": 64}},
        "noise": {"name": "gaussian", "params": {"level": 0.05}},
        "solver": "tikhonov",
        "dtype": "float64",
    }
    return ex.RunSpec(**{**fields, **more}).replace(seed=seed)


def test_it_chooses_nearly_as_well_as_the_truth_would():
    for seed in support.SEEDS:
        chosen, best = (
            ex.run(spec(seed, rule=rule)).metrics["relative_error"] for rule in ("cross_validation", "oracle")
        )
        assert chosen <= 2.5 * best


def test_what_it_cannot_do_is_said():
    large = {"name": "blocks", "params": {"size": 2048}}
    with pytest.raises(ex.SpecError, match="for data to be left out"):
        ex.run(spec(0, rule="cross_validation", problem=large))
    blur = {"problem": large, "operator": {"name": "gaussian_blur", "params": {"boundary": "reflexive"}}}
    with pytest.raises(ex.SpecError, match="leaves out data, and then MINRES needs"):
        ex.run(spec(0, rule="cross_validation", solver="minres", **blur))


@support.every_seed
def test_an_iteration_is_judged_by_what_it_predicts_of_what_was_left_out(seed):
    """Every step of Landweber's iteration against NumPy, without each of the parts."""
    A = support.operator(support.decay(8, 50.0), 13, 8, seed)
    y, steps = support.normal((3, 13), seed), 6
    offers = {"A": A, "y": y, "rng": Rng(0, "solver")}
    told = folded(solvers["landweber"], offers, {"step_size": 1.0}, folds=4, seed=seed)
    found = np.stack([step.scalars["left_out"].numpy() for step in itertools.islice(told, steps)])
    order, matrix, expected = Rng(seed, "folds").permutation(13).numpy(), A.to_dense().numpy(), np.zeros((steps, 3))
    for fold in np.array_split(order, 4):
        rest = np.setdiff1d(np.arange(13), fold)
        part, x = matrix[rest], np.zeros((8, 3))
        # the norm is that of the whole operator's power iteration on fewer rows
        step_size = 1 / float(without(A, torch.from_numpy(rest)).norm()) ** 2
        for k in range(steps):
            x = x + step_size * part.T @ (y.numpy().T[rest] - part @ x)
            expected[k] += ((matrix[fold] @ x - y.numpy().T[fold]) ** 2).sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("solver", ["landweber", "hybrid_lsqr", "sirt"])
def test_an_iteration_is_stopped_near_its_best_step(solver):
    """White noise on an image, where a pixel is predicted from its neighbours: within a fifth of the least error."""
    image = {"problem": {"name": "camera", "params": {"size": 20}}, "operator": "gaussian_blur", "draws": 5}
    few = FORTY if solver != "hybrid_lsqr" else {"stop": {"name": "budget", "params": {"steps": 20}}}
    run = ex.run(spec(0, rule="cross_validation", solver=solver, record={"keep_going": True}, **image, **few))
    error = run.history["error"]
    picked = np.take_along_axis(error, run.stopped.step[None] - 1, 0)[0]
    assert (picked <= 1.2 * error.min(0)).all()


def test_a_run_costs_as_many_more_as_there_are_parts():
    costs = ex.run(spec(0, rule={"name": "cross_validation", "params": {"folds": 3}}, solver="cgls", **FORTY))
    steps = len(costs.history["seconds"])
    assert costs.costs["A"] == 4 * steps + 3 * steps
