"""Rules that choose the step of an iteration, or the parameter of a hybrid method, against dense linear algebra."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import rules, solvers
from explorer.engine.freedom import probed
from explorer.linalg import Rng, Space
from explorer.linalg.quadrature import random_signs
from explorer.operators.base import DenseMatrix
from explorer.rules.select import select_parameter
from explorer.solvers import tikhonov
from explorer.solvers.bidiagonal import Bidiagonal
from tests import support

STEPS = 12


def spec(solver, rule="fixed", **more):
    fields = {
        "problem": {"name": "phillips", "params": {"size": 64}},
        "noise": {"name": "gaussian", "params": {"level": 0.03}},
        "solver": solver,
        "rule": rule,
        "draws": len(support.SEEDS),
        "dtype": "float64",
        "stop": {"name": "budget", "params": {"steps": 60}},
        "record": {"keep_going": True, "snapshots": 200},
    }
    return ex.RunSpec(**{**fields, **more})


def picked(run):
    """Return the error at the step that was chosen over the least error, per draw."""
    error = run.history["error"]
    return np.take_along_axis(error, run.stopped.step[None] - 1, 0)[0] / error.min(0)


def after(number, steps):
    """Return a step."""
    return next(itertools.islice(steps, number - 1, None))


def iterates(run):
    """Return all iterates, shape ``(steps, draws, size)``, with a zero before the first."""
    x = np.stack([kept.x.numpy() for kept in run.snapshots])
    assert len(x) == len(run.history["seconds"])
    return np.concatenate((np.zeros_like(x[:1]), x))


# --- degrees of freedom -----------------------------------------------------------------------------------------------


def influence(A, solver, k, **knobs):
    """Return the matrix from data to the fit after k steps of a method that is linear in the data."""
    offers = {"A": A, "y": torch.eye(A.codomain.size, dtype=A.codomain.dtype), "rng": Rng(0, "solver")}
    return A(after(k, solvers[solver].bind(offers, knobs)()).x).mT


LINEAR = [("landweber", {}), ("chebyshev", {}), ("kaczmarz", {"order": "random"}), ("cimmino", {}), ("nesterov", {})]


@pytest.mark.parametrize(("solver", "knobs"), LINEAR, ids=[solver for solver, _ in LINEAR])
def test_degrees_of_freedom_by_two_runs_are_the_trace_of_the_influence_matrix(solver, knobs):
    """Their mean over 4000 probes, to four standard errors; every one is ``⟨w, K w⟩``."""
    A, draws = support.operator(support.decay(10, 50.0), 14, 10), 4000
    w = random_signs(A.codomain, Rng(0, "probe", draws))
    offers = {"A": A, "y": support.normal((14,), 1).expand(draws, 14), "rng": Rng(0, "solver")}
    knobs = solvers[solver].check(knobs)
    K = influence(A, solver, 4, **knobs)
    dof = after(4, probed(solvers[solver], offers, knobs, w)).scalars["dof"]
    each = ((w @ K.mT) * w).sum(-1)
    support.assert_close(dof, each, 1e-3 / support.eps(dof), scale=1.0 * draws**0.5)
    assert abs(dof.mean() - K.trace()) < 4 * dof.std() / draws**0.5


def test_of_soft_thresholding_they_are_the_entries_that_are_not_zero():
    """Stein 1981; with a probe of signs every one of them is exact."""
    y = support.normal((5, 40), 2)
    case = ex.RunSpec(problem={"name": "blocks", "params": {"size": 40}}, operator="identity", dtype="float64")
    problem = ex.build(case.replace(prior={"name": "l1", "params": {"weight": 0.7}}))
    offers = {**problem.offers, "y": y, "rng": Rng(0, "solver")}
    w = random_signs(problem.codomain, Rng(0, "probe", 5))
    step = after(3, probed(solvers["ista"], offers, {"step_size": 1.0}, w))
    support.assert_close(step.scalars["dof"], (step.x != 0).sum(-1).double(), 1e7)


@pytest.mark.parametrize(
    ("solver", "rule"),
    [
        ("landweber", "gcv"),
        ("landweber", "upre"),
        ("sirt", "weighted_gcv"),
        ("chebyshev", "gcv"),
        ("chebyshev", "upre"),
    ],
)
def test_methods_that_know_no_degrees_of_freedom_are_stopped_near_the_best_step(solver, rule):
    image = {"name": "camera", "params": {"size": 32}}
    run = ex.run(spec(solver, rule, problem=image, operator="gaussian_blur"))
    assert (picked(run) <= 1.1).all()


def test_it_costs_as_much_again_and_one_adjoint():
    five = {"name": "budget", "params": {"steps": 5}}
    costs = {rule: ex.run(spec("landweber", rule, stop=five)).costs for rule in ("fixed", "gcv")}
    assert costs["gcv"] == {"A": 2 * costs["fixed"]["A"], "Aᴴ": 2 * costs["fixed"]["Aᴴ"] + 1}


# --- change, corner ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["landweber", "heavy_ball", "chebyshev"])
def test_the_least_change_is_that_of_the_iterates_that_were_kept(solver):
    run = ex.run(spec(solver, "quasi_optimality", stop={"name": "budget", "params": {"steps": 20}}))
    changes = np.linalg.norm(np.diff(iterates(run), axis=0), axis=-1) * np.arange(1, 21)[:, None]
    np.testing.assert_array_equal(run.stopped.step, changes[1:].argmin(0) + 2)  # the first step has no change


@pytest.mark.parametrize("solver", ["cgls", "lsqr", "landweber", "hybrid_lsqr", "sirt"])
def test_the_corner_of_an_iteration_is_the_first_point_that_a_line_of_slope_minus_one_meets(solver):
    run = ex.run(spec(solver, "l_curve", stop={"name": "budget", "params": {"steps": 20}}))
    x, A = iterates(run)[1:], run.problem.A.to_dense().numpy()
    residual = np.linalg.norm(x @ A.T - run.y.numpy(), axis=-1)
    along = np.log(residual) + np.log(np.linalg.norm(x, axis=-1))
    np.testing.assert_array_equal(run.stopped.step, along.argmin(0) + 1)


@pytest.mark.parametrize(("solver", "rule"), [("cgls", "l_curve"), ("chebyshev", "quasi_optimality")])
@pytest.mark.parametrize("problem", ["phillips", "gravity", "shaw", "baart", "heat", "deriv2"])
def test_on_the_problems_of_the_literature_the_choice_is_near_the_best(problem, solver, rule):
    """Within a factor of 3.3 for the corner, which stops late on phillips and heat, and of 2.2 for the least change."""
    case = spec(solver, rule, problem={"name": problem, "params": {"size": 64}}, operator=problem)
    run = ex.run(case.replace(stop={"name": "budget", "params": {"steps": 60 if solver == "cgls" else 300}}))
    assert (picked(run) <= (3.3 if solver == "cgls" else 2.2)).all()


def test_changes_tell_nothing_of_conjugate_gradients():
    with pytest.raises(ex.SpecError, match="which CGLS does not report"):
        ex.run(spec("cgls", "quasi_optimality"))


def test_one_draw_is_the_same_alone_and_among_others():
    for rule in ("l_curve", "quasi_optimality", "gcv"):
        batch, alone = (ex.run(spec("landweber", rule, draws=n)) for n in (5, None))
        assert batch.stopped.step[0] == alone.stopped.step


# --- monotone error ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["cgls", "landweber"])
def test_what_is_compared_with_the_noise_is_that_of_the_step_as_the_image_of_an_adjoint(solver):
    """``⟨r_k + r_{k+1}, z⟩ / (2 ‖z‖)`` with the z of least norm where A has full row rank: there is only one."""
    A, y = support.operator(support.decay(9, 30.0), 9, 15), support.normal((5, 9), 3)
    steps = itertools.islice(solvers[solver].function(A, y, details=True), 6)
    made = [(step.x.clone(), step.scalars["iterated"]) for step in steps]
    back = torch.linalg.pinv(A.to_dense().mT)
    for (x, told), (following, _) in itertools.pairwise(made):
        z, r, then = (following - x) @ back.mT, y - A(x), y - A(following)
        expected = ((r + then) * z).sum(-1) / (2 * z.norm(dim=-1))
        support.assert_close(told, expected, 1e6)


@pytest.mark.parametrize("solver", ["cgls", "landweber"])
@pytest.mark.parametrize("problem", ["phillips", "shaw"])
def test_until_the_monotone_error_rule_stops_the_error_falls(solver, problem):
    """With the exact norm of the noise it is a theorem."""
    case = spec(solver, "monotone_error", problem={"name": problem, "params": {"size": 64}}, operator=problem)
    run = ex.run(case.replace(stop={"name": "budget", "params": {"steps": 300}}))
    exact = (run.y - run.problem.clean).norm(dim=-1).numpy()
    told, error = run.history["iterated"], run.history["error"]
    for j in range(len(exact)):
        until = np.argmax(told[:, j] <= exact[j]) if (told[:, j] <= exact[j]).any() else len(told)
        assert (np.diff(error[: until + 1, j]) < 0).all()
    reached = told <= run.problem["noise_norm"].numpy()
    expected = np.where(reached.any(0), reached.argmax(0) + 1, len(told))
    np.testing.assert_array_equal(run.stopped.step, expected)


def test_it_needs_plain_conjugate_gradients():
    with pytest.raises(ex.SpecError, match="set it to 0"):
        ex.run(spec({"name": "cgls", "params": {"damping": 0.1}}, "monotone_error"))


# --- hybrid methods ---------------------------------------------------------------------------------------------------

NOISE = 0.05


@support.every_seed
@pytest.mark.parametrize("rule", ["monotone_error", "discrepancy", "l_curve"])
@pytest.mark.parametrize("shape", [(16, 12), (12, 12)])
def test_in_the_whole_space_a_hybrid_method_chooses_what_the_rule_chooses_for_tikhonov(seed, rule, shape):
    A = support.operator(support.decay(12, 1e3), *shape, seed=seed)
    x = torch.linspace(0, 3, 12).double().sin()
    clean = A(x)
    noise_norm = NOISE * clean.norm()
    y = clean + support.normal(shape[:1], seed + 9) * noise_norm / shape[0] ** 0.5

    def evaluate(values):
        found = tikhonov(A, y.expand(*values.shape, -1), details=True, regularization=values)
        return {**found.scalars, "noise_norm": noise_norm}

    ends = (1.0, 1e-6) if rule == "l_curve" else (1.0, 1e-12)
    params = {"tau": 1.02} if "tau" in rules[rule].knobs else {}
    expected, _ = select_parameter(rules[rule], params, evaluate, *map(torch.tensor, ends))
    step = after(12, solvers["hybrid_lsqr"].function(A, y, noise_norm, choice=rule))
    # two grids of 48 values over 31 decades leave 3.3 %
    assert float(step.scalars["regularization"]) == pytest.approx(float(expected), rel=0.034)


@pytest.mark.parametrize("solver", ["hybrid_lsqr", "hybrid_gmres", "flexible_lsqr", "mmgks"])
@pytest.mark.parametrize("choice", ["l_curve", "quasi_optimality", "monotone_error"])
def test_every_choice_comes_near_the_best_fixed_weight(solver, choice):
    image = {"name": "camera", "params": {"size": 32}}
    blur = {"name": "gaussian_blur", "params": {"sigma": 1.5}}
    thirty = {"name": "budget", "params": {"steps": 30}}
    case = spec("cgls", problem=image, operator=blur, stop=thirty)
    least = ex.run(spec("tikhonov", "oracle", problem=image, operator=blur)).history["error"][-1]
    run = ex.run(case.replace(solver={"name": solver, "params": {"choice": choice}}))
    most = {"l_curve": 2.3, "quasi_optimality": 1.6, "monotone_error": 1.2}[choice]
    assert (run.history["error"][-1] <= most * least).all()


@support.every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_in_the_whole_space_the_evidence_of_a_hybrid_method_is_that_of_tikhonov(seed, dtype):
    """Signs give the determinant exactly where A Aᴴ is diagonal."""
    values, space = support.decay(12, 1e3), Space((12,), dtype)
    A = DenseMatrix(space, space, torch.diag(values).to(dtype))
    clean = values * torch.linspace(0, 3, 12).double().sin() * (1 + 1j if dtype.is_complex else 1)
    noise = NOISE * clean.abs().square().mean().sqrt() * support.normal((12,), seed + 9, dtype)
    y = clean + noise
    matrix, size = A.to_dense().numpy(), 24 if dtype.is_complex else 12

    def score(weight):
        """Return twice the negative log-likelihood of the data with the best noise variance, dense."""
        covariance = np.eye(12) + matrix @ matrix.conj().T / weight
        inner = np.vdot(y.numpy(), np.linalg.solve(covariance, y.numpy())).real
        return size * np.log(inner) + size / 12 * np.linalg.slogdet(covariance)[1]

    grid = np.geomspace(1e-12, 1, 3000)
    expected = grid[np.argmin([score(weight) for weight in grid])]
    step = after(12, solvers["hybrid_lsqr"].function(A, y, rng=Rng(seed, "probe"), choice="evidence"))
    assert float(step.scalars["regularization"]) == pytest.approx(expected, rel=0.04)  # the grid of the method: 3.3 %


@support.every_seed
def test_the_quadrature_beside_a_hybrid_method_estimates_the_determinant(seed):
    """Its mean over 2000 probes, to four standard errors, is ``log det(I + A Aᴴ/λ)``; five steps of twelve suffice."""
    A, weight = support.operator(support.decay(12, 30.0), 14, 12, seed=seed), 0.05
    beside = Bidiagonal(A, random_signs(A.codomain, Rng(seed, "probe", 2000)))
    for _ in range(5):
        squares, number, size = beside.spectrum()
    found = (number * torch.log1p(squares / weight)).sum(-1)
    matrix = A.to_dense()
    expected = torch.logdet(torch.eye(14).double() + matrix @ matrix.mT / weight)
    assert size == 14
    assert abs(found.mean() - expected) < 4 * found.std() / 2000**0.5 + 1e-3 * expected


@pytest.mark.parametrize("problem", ["camera", "shepp_logan"])
def test_on_images_the_evidence_of_thirty_steps_is_near_that_of_the_direct_method(problem):
    """λ within a fifth, for every one of five draws; every step takes a product of its own and one for the probe."""
    image, blur = {"name": problem, "params": {"size": 48}}, {"name": "gaussian_blur", "params": {"sigma": 1.5}}
    case = spec("tikhonov", "evidence", problem=image, operator=blur)
    direct = ex.run(case).history["regularization"][-1]
    hybrid = case.replace(
        solver={"name": "hybrid_lsqr", "params": {"choice": "evidence"}},
        rule="fixed",
        stop={"name": "budget", "params": {"steps": 30}},
    )
    run = ex.run(hybrid)
    assert (abs(run.history["regularization"][-1] / direct - 1) < 0.2).all()
    assert run.costs == {"A": 2 * 30, "Aᴴ": 2 * 31}


def test_without_a_random_stream_the_evidence_is_refused_in_a_sentence():
    A = support.operator(support.decay(12, 10.0))
    with pytest.raises(ex.SpecError, match="pass rng, or use 'weighted_gcv'"):
        next(ex.solvers.hybrid_lsqr(A, support.normal((12,)), choice="evidence"))


# --- evidence of steps ------------------------------------------------------------------------------------------------


@support.every_seed
@pytest.mark.parametrize("solver", ["landweber", "richardson"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_evidence_of_a_step_is_the_likelihood_of_the_data_under_its_prior(seed, solver, dtype):
    """``y ~ N(0, σ² (I − H)⁻¹)`` with the influence matrix H of k steps; signs are exact where A is diagonal."""
    values, space = support.decay(10, 30.0), Space((10,), dtype)
    A = DenseMatrix(space, space, torch.diag(values).to(dtype), self_adjoint=True, positive=True)
    y, probe = support.normal((3, 10), seed, dtype), random_signs(space, Rng(seed, "probe"))
    knob = {"landweber": "step_size", "richardson": "relaxation"}[solver]
    steps = solvers[solver].bind({"A": A, "y": y, "details": True, "probe": probe}, solvers[solver].check({knob: 0.7}))
    size = 20 if dtype.is_complex else 10
    for k, step in enumerate(itertools.islice(steps(), 6), 1):
        H = influence(A, solver, k, **{knob: 0.7}).numpy()
        precision = np.eye(10) - H
        inner = [np.vdot(one, precision @ one).real for one in y.numpy()]
        found = rules["evidence"].function(step.scalars["inner"], step.scalars["log_lost"], size)
        expected = size * np.log(inner) - size / 10 * np.linalg.slogdet(precision)[1]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(("operator", "off"), [("gaussian_blur", 0.0), ("radon", 0.2)])
def test_landweber_is_stopped_early_by_its_evidence_and_where_the_dense_likelihood_is_largest(operator, off):
    """Exactly with a decomposition, to a fifth of the steps by one probe; and before the best step, every draw."""
    run = ex.run(
        spec(
            {"name": "landweber", "params": {"step_size": 0.5}},
            "evidence",
            problem={"name": "shepp_logan", "params": {"size": 24}},
            operator=operator,
            stop={"name": "budget", "params": {"steps": 300}},
        )
    )
    data = run.y.flatten(1).numpy()
    U, s, _ = np.linalg.svd(run.problem.A.to_dense().reshape(data.shape[1], 576).numpy(), full_matrices=False)
    share, k = 0.5 * (s / s[0]) ** 2, np.arange(1, 301)[:, None]
    seen = (data @ U) ** 2
    inner = (1 - share) ** k @ seen.T + (data**2).sum(1) - seen.sum(1)
    least = (data.shape[1] * np.log(inner) - k * np.log1p(-share).sum()).argmin(0) + 1
    assert (abs(run.stopped.step - least) <= off * least).all()
    assert (run.stopped.step < run.history["error"].argmin(0) + 1).all()


WITHOUT = {
    "cgls": "its filter factors depend on the data",
    "chebyshev": "its filter factors pass 1",
    "tsvd": "it keeps directions whole",
    "kaczmarz": "is no symmetric matrix",
    "hybrid_lsqr": "set its choice to 'evidence'",
    "hybrid_gmres": "use Hybrid LSQR",
    "landweber": "filter factors below 1, and the step_size of Landweber is 1: set it below 1",
}


@pytest.mark.parametrize("solver", WITHOUT)
def test_a_method_without_a_likelihood_says_why(solver):
    with pytest.raises(ex.SpecError, match=WITHOUT[solver]):
        ex.run(spec(solver, "evidence", operator="phillips"))
