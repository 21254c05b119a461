"""The polynomial of a run over the spectrum, against the dense eigenbasis and the textbook Lanczos process."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import explorer as ex
from explorer import figures
from explorer.analyses.polynomial import _chebyshev, _least, harmonic_values
from tests import support

PROBLEM = {"name": "camera", "params": {"size": 16}}
BLUR = {"name": "gaussian_blur", "params": {"sigma": 0.6}}
SPEC = ex.RunSpec(problem=PROBLEM, operator=BLUR, dtype="float64")
METHODS = [
    {"name": "cgls"}, {"name": "cgls", "params": {"damping": 1e-2}}, {"name": "lsqr"},
    {"name": "lsqr", "params": {"damping": 1e-2}}, {"name": "conjugate_gradient"},
]  # fmt: skip
every_method = pytest.mark.parametrize(
    "solver", METHODS, ids=lambda s: s["name"] + ("-damped" if "params" in s else "")
)


def driven(solver, steps, **changes):
    return ex.run(SPEC.replace(solver=solver, stop={"name": "budget", "params": {"steps": steps}}, **changes))


def operator_of(run, solver):
    """Return the dense matrix of the recurrence and the gradient at the start."""
    M, y = run.problem.A.to_dense(), run.y.reshape(*run.problem.batch, -1)
    if solver["name"] == "conjugate_gradient":
        return M, y
    damping = solver.get("params", {}).get("damping", 0.0)
    return M.T @ M + damping * torch.eye(len(M)), y @ M


@support.every_seed
@every_method
def test_the_polynomial_makes_the_error_that_was_measured_and_that_the_iterate_has(solver, seed):
    run = driven(solver, 6, draws=2, seed=seed)
    found = ex.analyse(run, "solver_polynomial")
    predicted = np.sqrt(((found.weights * found.values) ** 2).sum(-1))
    np.testing.assert_allclose(found.measured[-1], predicted, rtol=1e-7)
    H, g = operator_of(run, solver)
    solution = torch.linalg.solve(H, g.T).T
    error = run.x.reshape(2, -1) - solution
    energy = ((error @ H) * error).sum(-1) / ((solution @ H) * solution).sum(-1)
    np.testing.assert_allclose(found.measured[-1], energy.sqrt(), rtol=1e-7)


@every_method
def test_no_bound_is_below_what_was_measured(solver):
    for seed in support.SEEDS:
        found = ex.analyse(driven(solver, 30, seed=seed), "solver_polynomial")
        assert (found.measured <= found.minimax * (1 + 1e-10) + 1e-7).all()
        assert (found.minimax <= found.chebyshev).all()
        assert found.steps[0] == 0
        assert found.steps[-1] == found.step == 30
        assert found.measured[0] == pytest.approx(1, rel=1e-14)
        assert found.minimax[0] == found.chebyshev[0] == 1


def lanczos(H, v, k):
    """Return V and T of k steps with full reorthogonalisation; V has one more row."""
    V = [v / v.norm()]
    for _ in range(k):
        w = H @ V[-1]
        for _ in range(2):
            for u in V:
                w = w - (u @ w) * u
        V.append(w / w.norm())
    return torch.stack(V)


@support.every_seed
@every_method
def test_ritz_and_harmonic_ritz_values_are_those_of_the_textbook(solver, seed):
    run = driven(solver, 9, seed=seed)
    found = ex.analyse(run, "solver_polynomial", step=7)
    H, g = operator_of(run, solver)
    V = lanczos(H, g, 7)[:7]
    T = V @ H @ V.T
    damping = solver.get("params", {}).get("damping", 0.0) if solver["name"] == "lsqr" else 0.0
    np.testing.assert_allclose(found.ritz, torch.linalg.eigvalsh(T).flip(0), rtol=1e-8, atol=1e-10)
    if damping:
        H = H - damping * torch.eye(len(H))  # harmonic values depend on the shift; LSQR's are those of AᴴA
        T = V @ H @ V.T
    pencil = torch.linalg.solve(T, V @ H @ H @ V.T)
    harmonic = torch.linalg.eigvals(pencil).real.sort(descending=True).values + damping
    np.testing.assert_allclose(found.harmonic, harmonic, rtol=1e-7, atol=1e-9)


def test_the_least_polynomial_of_an_interval_is_chebyshevs_and_few_values_need_few_steps():
    values = np.linspace(0.1, 1, 400)
    for degree in (1, 3, 8, 15):
        bound = _chebyshev(1.0, 0.1, np.array([degree]))[0]
        assert 0.97 * bound <= _least(values, degree) <= 1.03 * bound
    three = np.array([1e-3, 0.5, 1.0])
    assert _least(three, 3) == 0.0
    assert _least(np.array([0.5, 1.0]), 1) == pytest.approx(1 / 3, rel=0.02)  # the best is 1 − 4λ/3
    clusters = np.concatenate((np.linspace(1, 1.001, 20), np.linspace(100, 100.1, 20)))
    assert _least(clusters, 4) < 1e-3 < 0.1 < _chebyshev(100.1, 1.0, np.array([4]))[0]


def test_the_bound_with_every_eigenvalue_is_certified_by_the_weighted_least_squares():
    for seed in support.SEEDS:
        values = np.sort(np.exp(-6 * np.random.default_rng(seed).random(40)))
        for degree in (2, 5, 10):
            found = _least(values, degree)
            powers = (values[:, None] / values[-1]) ** np.arange(1, degree + 1)
            # any choice of coefficients is above the least one; a linear programme finds it
            k = degree
            rows = np.block([[powers, -np.ones((40, 1))], [-powers, -np.ones((40, 1))]])
            least = linprog(
                np.eye(k + 1)[-1], A_ub=rows, b_ub=np.concatenate((-np.ones(40), np.ones(40))), bounds=(None, None)
            )
            assert least.fun * (1 - 1e-6) <= found <= 1.1 * least.fun


@pytest.mark.parametrize("solver", ["cgls", "lsqr"])
def test_orthogonality_is_lost_when_a_ritz_value_has_converged(solver):
    short = driven(solver, 6, record={"bases": True})
    found = ex.analyse(short, "orthogonality")
    V = torch.stack([row["v"].reshape(-1) / row["v"].norm() for row in short.arrays])
    dense = torch.linalg.matrix_norm(V @ V.T - torch.eye(6), 2)
    assert found.loss[-1] == pytest.approx(float(dense), rel=1e-6, abs=1e-15)
    assert found.lost == 0
    assert found.loss.max() < 1e-10
    wide = SPEC.replace(operator={"name": "gaussian_blur", "params": {"sigma": 1.2}}, solver=solver)
    for seed in support.SEEDS:
        budget = {"name": "budget", "params": {"steps": 60}}
        run = ex.run(wide.replace(stop=budget, record={"bases": True}, seed=seed))
        lost = ex.analyse(run, "orthogonality")
        assert lost.loss[-1] > 0.5
        assert lost.lost > 6
        ritz = ex.analyse(run, "ritz_values").values
        assert (np.diff(-ritz[:8]) < 1e-6).any()  # copies
    assert "copies of eigenvalues" in lost.sentence


@support.every_seed
def test_directions_below_rounding_have_no_error_to_lower(seed):
    spec = SPEC.replace(operator={"name": "gaussian_blur", "params": {"sigma": 2.0}}, dtype="float32", seed=seed)
    run = ex.run(spec.replace(solver="cgls", stop={"name": "budget", "params": {"steps": 8}}))
    found = ex.analyse(run, "solver_polynomial")
    assert len(found.eigenvalues) < run.problem.domain.size
    assert found.measured[-1] < 0.2
    assert (found.measured <= found.minimax + 1e-3).all()


def test_a_run_that_kept_nothing_says_how_to_keep():
    with pytest.raises(ex.SpecError, match="record=\\{'bases': True\\}"):
        ex.analyse(driven("cgls", 3), "orthogonality")


def test_a_preconditioned_method_is_refused_in_a_sentence():
    with pytest.raises(ex.SpecError, match="a Krylov method on the operator itself"):
        ex.analyse(driven("preconditioned_cgls", 3), "solver_polynomial")


def test_both_figures_draw_what_the_report_says():
    found = ex.analyse(driven("cgls", 12), "solver_polynomial")
    figure = figures.polynomial(found)
    drawn = {t.name: t for t in figure.data}
    np.testing.assert_array_equal(drawn["Ritz value"].x, found.ritz)
    np.testing.assert_allclose(drawn["at the eigenvalues"].y, np.abs(found.values), atol=1e-8)
    assert drawn["error left"].y[0] == found.measured[-1]
    assert drawn["bound: spectrum"].y[0] == found.minimax[-1]
    assert drawn["bound: condition number"].y[0] == found.chebyshev[-1]
    assert [len(t.x) for t in figures.bounds(found).data] == [len(found.steps)] * 3
    assert harmonic_values(driven("cgls", 12).history, "cgls", 12).shape == (12,)
