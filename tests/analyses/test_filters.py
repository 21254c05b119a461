"""Filter factors of a run make its iterate again, and split its error."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.analyses.filters import residual_polynomial
from explorer.catalogue import solvers
from tests import support

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
    {"name": "chebyshev", "params": {"lower": 0.05}},
]  # fmt: skip


@pytest.mark.parametrize("seed", support.SEEDS)
@pytest.mark.parametrize("solver", METHODS, ids=lambda s: s["name"] + ("-damped" if "damping" in str(s) else ""))
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
    with pytest.raises(ex.SpecError, match="a linear method that tells its filter"):
        ex.analyse(run, "filter_factors")


def test_every_krylov_solver_on_the_operator_itself_has_factors():
    told = [n for n, c in solvers.items() if c.traits.get("krylov", ("", ""))[1] in ("A", "AᴴA", "AᴴA + λI")]
    assert {"cgls", "lsqr", "conjugate_gradient"} <= set(told)
