"""An analysis reads a run's Ritz values from the scalars that Krylov solvers yield."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError, analyses
from explorer.linalg import Space
from explorer.operators.base import Diagonal
from tests import support

STEPS = 8


def lanczos(matrix: torch.Tensor, start: torch.Tensor, k: int) -> torch.Tensor:
    """Return the Ritz values, descending, of k Lanczos steps with full reorthogonalisation, done twice."""
    basis = (start / start.norm())[:, None]
    for _ in range(k - 1):
        w = matrix @ basis[:, -1]
        for _ in range(2):
            w = w - basis @ (basis.T @ w)
        basis = torch.cat((basis, (w / w.norm())[:, None]), 1)
    return torch.linalg.eigvalsh(basis.T @ matrix @ basis).flip(0)


def history(name, A, y, steps=STEPS):
    scalars = [step.scalars for step, _ in zip(getattr(ex.solvers, name)(A, y), range(steps), strict=False)]
    return {key: torch.stack([s[key] for s in scalars]).numpy() for key in ("alpha", "beta")}


@pytest.mark.parametrize("name", ["conjugate_gradient", "cgls", "lsqr"])
def test_ritz_values_are_those_of_lanczos_with_full_reorthogonalisation(name):
    for seed in support.SEEDS:
        if name == "conjugate_gradient":
            A = support.self_adjoint_operator(support.decay(40, 1e2), seed)
            y = support.normal((40,), seed)
            matrix, start = A.matrix, y
        else:
            A = support.operator(support.decay(30, 1e2), 40, seed=seed)
            y = support.normal((40,), seed)
            matrix, start = A.matrix.T @ A.matrix, A.adjoint(y)
        past = history(name, A, y)
        for k in range(1, STEPS + 1):
            found = ex.analyses.ritz_values(past, name, step=k)
            expected = lanczos(matrix, start, k)
            assert found.step == k
            support.assert_close(torch.from_numpy(found.values.copy()), expected, 1000)


def test_samples_of_a_batch_are_apart_and_read_from_a_driven_run():
    spec = ex.RunSpec(
        problem={"name": "blocks", "params": {"size": 64}}, draws=3, dtype="float64",
        stop={"name": "budget", "params": {"steps": STEPS}}, solver="cgls",
    )  # fmt: skip
    run = ex.run(spec)
    component = analyses["ritz_values"]
    found = component.bind({"history": run.history, "solver": run.spec.solver.name}, component.check({}))()
    assert found.values.shape == (3, STEPS)
    assert found.of == "AᴴA + λI"
    A, matrix = run.problem.A, run.problem.A.to_dense()
    for y, values in zip(run.y, found.values, strict=True):
        expected = lanczos(matrix.T @ matrix, A.adjoint(y), STEPS)
        support.assert_close(torch.from_numpy(values.copy()), expected, 1000)


def test_steps_after_convergence_are_left_out():
    space = Space((4,), torch.float64)
    A = Diagonal(space, torch.full((4,), 2.0, dtype=torch.float64), positive=True)
    found = ex.analyses.ritz_values(history("conjugate_gradient", A, support.normal((4,), 1), 6), "conjugate_gradient")
    assert found.step == 1
    assert found.values == pytest.approx([2])


def test_other_solvers_and_empty_histories_are_refused_in_one_sentence():
    past = {"alpha": np.zeros(3), "beta": np.zeros(3)}
    with pytest.raises(SpecError, match="'landweber' is not one: run 'cgls'"):
        ex.analyses.ritz_values(past, "landweber")
    with pytest.raises(SpecError, match="no step before convergence"):
        ex.analyses.ritz_values(past, "cgls")
