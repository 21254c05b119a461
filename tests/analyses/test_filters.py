"""Filter factors of a run make its iterate again, and split its error."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.analyses.filters import residual_polynomial
from explorer.catalogue import solvers
from explorer.linalg.quadrature import lanczos, quadrature
from tests import support
from tests.analyses.test_spectrum import hidden

BLUR = {"name": "gaussian_blur", "params": {"sigma": 1.2}}
SPEC = ex.RunSpec(problem={"name": "camera", "params": {"size": 32}}, operator=BLUR, dtype="float64")
#: fewer than it takes for a Ritz value to converge to rounding, after which rounding steers the method
STEPS = 8


def driven(solver, steps=STEPS, **changes):
    return ex.run(SPEC.replace(solver=solver, stop={"name": "budget", "params": {"steps": steps}}, **changes))


def rebuilt(run, report):
    """Return ``Σ φᵢ (uᵢᴴy / σᵢ) vᵢ``."""
    svd = run.problem.A.svd()
    s = svd.s.reshape(-1)
    order = s.argsort(descending=True, stable=True)
    coefficients = torch.zeros((*run.problem.batch, len(s)), dtype=s.dtype)
    data = svd.U.adjoint(run.y).reshape(*run.problem.batch, -1)[..., order]
    coefficients[..., order] = torch.tensor(report.factors) * data / s[order]
    return svd.V(coefficients.reshape(*run.problem.batch, *svd.s.shape))


DAMPED = {"params": {"damping": 1e-3}}
METHODS = [
    {"name": "cgls"}, {"name": "cgls", **DAMPED}, {"name": "lsqr"}, {"name": "lsqr", **DAMPED},
    {"name": "conjugate_gradient"}, {"name": "landweber", "params": {"step_size": 1.7}},
    {"name": "heavy_ball", "params": {"step_size": 1.2, "momentum": 0.6}},
    {"name": "chebyshev", "params": {"lower": 0.05}}, {"name": "nesterov"},
    {"name": "minres"}, {"name": "lsmr"}, {"name": "lsmr", **DAMPED},
    {"name": "hybrid_lsqr"}, {"name": "hybrid_lsqr", "params": {"choice": "fixed", "regularization": 1e-2}},
]  # fmt: skip


@pytest.mark.parametrize("seed", support.SEEDS)
@pytest.mark.parametrize("solver", METHODS, ids=lambda s: s["name"] + ("-set" if "params" in s else ""))
def test_the_factors_make_the_iterate_again(solver, seed):
    run = driven(solver, draws=2, seed=seed)
    report = ex.analyse(run, "filter_factors")
    assert report.factors.shape == (2, 1024)
    condition = report.values[0] / report.values[-1]  # 1 − (1 − q)ᵏ is divided by σ
    support.assert_close(rebuilt(run, report), run.x, 4 * STEPS * condition)


@pytest.mark.parametrize("solver", ["cgls", "lsqr"])
def test_beyond_the_first_converged_ritz_value_rounding_shows_but_the_factors_still_tell_the_iterate(solver):
    for seed in support.SEEDS:
        run = driven(solver, 40, seed=seed)
        report = ex.analyse(run, "filter_factors")
        assert report.ritz[0] - report.ritz[1] < 1e-6  # a second copy: orthogonality is lost
        gap = float(run.problem.domain.norm(rebuilt(run, report) - run.x) / run.problem.domain.norm(run.x))
        assert 1e-13 < gap < 0.05


@pytest.mark.parametrize("seed", support.SEEDS)
def test_minres_on_an_indefinite_operator_has_factors_of_signed_eigenvalues(seed):
    values = torch.cat((torch.linspace(-1, -0.1, 15), torch.linspace(0.05, 2, 25))).double()
    known, y = support.self_adjoint_operator(values, seed), support.normal((2, 40), seed)
    for A in (known, hidden(known.matrix)):
        A.self_adjoint, A.positive = True, False
        rows = []
        for _, step in zip(range(9), ex.solvers.minres(A, y), strict=False):
            rows.append((step.scalars["alpha"].numpy(), step.scalars["beta"].numpy(), step.scalars["residual"].numpy()))
            x = step.x.clone()
        history = dict(zip(("alpha", "beta", "residual"), (np.stack(c) for c in zip(*rows, strict=True)), strict=True))
        found = ex.analyses.filter_factors(A, history, "minres", {})
        u, s, vh = torch.linalg.svd(known.matrix)
        np.testing.assert_allclose(found.values, s, rtol=1e-12)
        again = (torch.from_numpy(found.factors) * (y @ u) / s) @ vh
        support.assert_close(again, x, 1e4)
        # the zeros are the harmonic Ritz values of a Krylov space made with full reorthogonalisation
        Q = torch.linalg.qr(torch.stack([torch.linalg.matrix_power(known.matrix, j) @ y[0] for j in range(9)], 1))[0]
        AQ = known.matrix @ Q
        harmonic = torch.linalg.eigvals(torch.linalg.solve(Q.T @ AQ, AQ.T @ AQ)).real
        np.testing.assert_allclose(found.ritz[0], harmonic.sort(descending=True).values.abs(), rtol=1e-5)


@pytest.mark.parametrize("solver", ["conjugate_gradient", "cgls", "lsqr", "lsmr", "minres", "hybrid_lsqr"])
def test_ritz_values_are_those_of_a_lanczos_process_with_full_reorthogonalisation(solver):
    for seed in support.SEEDS:
        run = driven(solver, seed=seed, problem={"name": "camera", "params": {"size": 16}})
        M, y = run.problem.A.to_dense(), run.y.reshape(-1)
        H, v = (M, y) if solver in ("conjugate_gradient", "minres") else (M.T @ M, M.T @ y)
        nodes, _ = quadrature(*lanczos(lambda x, H=H: x @ H, v[None], STEPS))
        found = ex.analyse(run, "ritz_values")
        assert found.step == STEPS
        np.testing.assert_allclose(found.values, nodes[0].flip(0), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("solver", [{"name": "sirt", "params": {"relaxation": 1.5}}, {"name": "cimmino"}])
def test_sirt_and_cimmino_filter_the_operator_between_their_weights(solver):
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 16}}, operator={"name": "radon", "params": {"angles": 12}},
        stop={"name": "budget", "params": {"steps": 30}}, solver=solver, dtype="float64",
    )  # fmt: skip
    for seed in support.SEEDS:
        run = ex.run(spec.replace(seed=seed))
        report = ex.analyse(run, "filter_factors")
        assert report.of == "A between the weights of the method"
        M = run.problem.A.to_dense()
        left, right = (torch.ones(()) if w is None else w.reshape(-1) for w in report.weights)
        if solver["name"] == "sirt":
            np.testing.assert_allclose(left**2 * M.abs().sum(1), (M.abs().sum(1) > 0).double(), rtol=1e-12)
        u, s, vh = torch.linalg.svd(left[..., None] * M * right, full_matrices=False)
        np.testing.assert_allclose(report.values, s, rtol=1e-9, atol=1e-12)
        data = (left * run.y.reshape(-1)) @ u
        kept = s > 1e-10
        coefficients = torch.where(kept, torch.tensor(report.factors) * data / torch.where(kept, s, 1.0), 0.0)
        again = right * (coefficients @ vh)
        support.assert_close(again, run.x.reshape(-1), 1e5)
        assert report.dof == pytest.approx(report.factors.sum())
    with pytest.raises(ex.SpecError, match="filter of the operator's own singular values"):
        ex.analyse(run, "resolution")
    if solver["name"] == "sirt":
        run = ex.run(spec.replace(solver={"name": "sirt", "params": {"nonnegative": True}}))
        with pytest.raises(ex.SpecError, match="is not linear, and has no filter"):
            ex.analyse(run, "filter_factors")


def test_what_an_iterate_has_of_the_naive_solution_is_the_filter_and_makes_it_again():
    linear = driven("cgls", draws=2)
    told, seen = (ex.analyse(linear, name) for name in ("filter_factors", "effective_filter"))
    assert seen.step == STEPS
    np.testing.assert_allclose(seen.factors, told.factors, rtol=1e-6, atol=1e-9)
    # GMRES and MINRES have the same iterates where A is self-adjoint
    short, long = driven("minres"), driven("gmres")
    np.testing.assert_allclose(
        ex.analyse(short, "filter_factors").factors, ex.analyse(long, "effective_filter").factors, atol=1e-7
    )
    bent = driven("pdhg", 40, prior={"name": "tv", "params": {"weight": 0.01}})
    found = ex.analyse(bent, "effective_filter")
    support.assert_close(rebuilt(bent, found), bent.x, 1e4)
    assert found.factors.min() < 0  # no linear method in these patterns
    early = ex.analyse(bent, "effective_filter", step=3)
    assert early.step == 3
    bare = driven("cgls", record={"snapshots": 0})
    bare.snapshots.clear()
    with pytest.raises(ex.SpecError, match="kept no iterates"):
        ex.analyse(bare, "effective_filter")


def test_an_earlier_step_has_the_factors_of_a_shorter_run():
    short, long = (ex.analyse(driven("cgls", steps), "filter_factors", step=3) for steps in (3, STEPS))
    np.testing.assert_array_equal(short.factors, long.factors)
    assert short.step == long.step == 3


def test_factors_are_one_at_the_ritz_values_and_their_sum_is_the_freedom():
    run = driven("cgls")
    report = ex.analyse(run, "filter_factors")
    assert report.ritz.shape == (STEPS,)
    at = ex.analyses.filters.factors_at(report.ritz, run.history, "cgls", {"damping": 0.0}, STEPS)
    np.testing.assert_allclose(at, 1, atol=1e-10)
    assert report.dof == pytest.approx(report.factors.sum())
    assert f"{int((report.factors > 0.5).sum()):,} of 1,024 directions" in report.sentence


def test_a_polynomial_of_many_zeros_neither_overflows_nor_loses_small_arguments():
    ritz = np.geomspace(1e-12, 1, 600)
    p = residual_polynomial(np.array([0.0, 1e-20, 1e3]), ritz)
    assert p[0] == 1
    assert 0 < 1 - p[1] < 1e-6
    assert np.isfinite(p).all()


@pytest.mark.parametrize("solver", ["cgls", "lsqr", "landweber"])
def test_the_two_parts_of_the_error_make_the_error(solver):
    run = driven(solver, 20, draws=5, noise={"name": "gaussian", "params": {"level": 0.03}})
    split = ex.analyse(run, "error_split")
    whole = np.hypot(split.regularization, split.perturbation)
    # the cross term of signal and noise has mean zero over draws
    np.testing.assert_allclose(whole.mean(1), run.history["error"][split.steps - 1].mean(1), rtol=0.02)
    assert (np.diff(split.regularization.mean(1)) < 0).all()
    assert (np.diff(split.perturbation.mean(1)) > 0).all()


def test_the_split_counts_what_no_data_tell():
    A = support.operator(support.decay(6, 10.0), 6, 12)
    x, zeros = support.normal((12,), 1), {"alpha": np.zeros(1), "seconds": np.zeros(1)}
    y = A(x)
    split = ex.analyses.error_split(A, y, y, x, zeros, "landweber", {"step_size": 1.0}, points=1)
    inside = A.svd().V.adjoint(x)
    outside = (x.norm() ** 2 - inside.norm() ** 2).sqrt() / x.norm()
    assert split.regularization[0] > float(outside)


def test_a_method_that_is_not_linear_is_refused_in_a_sentence():
    run = driven("pdhg", prior={"name": "tv", "params": {"weight": 0.1}})
    with pytest.raises(ex.SpecError, match="a linear method that tells its filter, and 'pdhg' is not"):
        ex.analyse(run, "filter_factors")


def test_every_krylov_solver_on_the_operator_itself_has_factors():
    told = [n for n, c in solvers.items() if c.traits.get("krylov", ("", ""))[1] in ("A", "AᴴA", "AᴴA + λI")]
    assert {"cgls", "lsqr", "conjugate_gradient"} <= set(told)
