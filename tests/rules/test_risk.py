"""Rules of risk, curvature and likelihood against their formulas on dense matrices, and the comparison of all."""

import numpy as np
import pytest
import scipy.stats
import torch

import explorer as ex
from explorer.catalogue import operators, rules, solvers
from explorer.linalg import Rng, Space
from explorer.rules.select import score
from explorer.rules.whiteness import whiteness
from explorer.solvers import tikhonov, tsvd
from tests import support

M, N = 30, 20


class Dense:
    """Noisy data of a small ill-posed matrix, and Tikhonov's method by dense linear algebra."""

    def __init__(self, seed):
        self.A = support.operator(support.decay(N, 1e4), M, N, seed=seed)
        self.matrix = self.A.to_dense().numpy()
        x = np.sin(np.linspace(0, 3, N))
        noise = support.normal((M,), seed + 50).numpy()
        self.noise_norm = 0.05 * np.linalg.norm(self.matrix @ x)
        self.y = self.matrix @ x + noise * self.noise_norm / np.sqrt(M)

    def solve(self, weight):
        """Return the solution and the influence matrix."""
        inverse = np.linalg.inv(self.matrix.T @ self.matrix + weight * np.eye(N)) @ self.matrix.T
        return inverse @ self.y, self.matrix @ inverse

    def scored(self, rule, weights, **params):
        y = torch.from_numpy(self.y).expand(len(weights), -1)
        found = tikhonov(self.A, y, details=True, regularization=torch.tensor(weights))
        told = {**found.scalars, "noise_norm": torch.tensor(self.noise_norm), "data_size": M}
        component = rules[rule]
        return score(component, component.check(params), told).numpy()


WEIGHTS = np.geomspace(1e-5, 1.0, 11)
every_seed = pytest.mark.parametrize("seed", support.SEEDS)


@every_seed
def test_weighted_gcv_and_predictive_risk_are_their_formulas(seed):
    case = Dense(seed)
    weighted, risk = case.scored("weighted_gcv", WEIGHTS, omega=1.3), case.scored("upre", WEIGHTS)
    for i, weight in enumerate(WEIGHTS):
        x, influence = case.solve(weight)
        misfit, trace = np.sum((case.matrix @ x - case.y) ** 2), np.trace(influence)
        assert weighted[i] == pytest.approx(misfit / (M - 1.3 * trace) ** 2, rel=1e-8)
        assert risk[i] == pytest.approx(misfit + 2 * case.noise_norm**2 / M * trace, rel=1e-8)


def test_the_predictive_risk_is_unbiased():
    """Its mean over draws is the mean error of the predicted data, up to the constant ‖n‖²."""
    case, weight, draws = Dense(0), np.array([1e-2]), 4000
    clean = case.matrix @ np.sin(np.linspace(0, 3, N))
    noise = support.normal((draws, M), 9).numpy() * case.noise_norm / np.sqrt(M)
    estimates, errors = [], []
    _, influence = case.solve(weight[0])
    for n in noise:
        predicted = influence @ (clean + n)
        estimates.append(np.sum((predicted - clean - n) ** 2) + 2 * case.noise_norm**2 / M * np.trace(influence))
        errors.append(np.sum((predicted - clean) ** 2) + case.noise_norm**2)
    gap = np.array(estimates) - errors
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(draws)
    case.y = clean + noise[0]
    assert case.scored("upre", weight)[0] == pytest.approx(estimates[0], rel=1e-8)


@every_seed
def test_the_curvature_is_that_of_the_l_curve_by_differences(seed):
    case = Dense(seed)
    t = np.log(WEIGHTS)
    h = 1e-3

    def at(t):
        x, _ = case.solve(np.exp(t))
        return np.array([np.log(np.linalg.norm(case.matrix @ x - case.y)), np.log(np.linalg.norm(x))])

    expected = []
    for s in t:
        low, mid, high = at(s - h), at(s), at(s + h)
        (u, v), (uu, vv) = (high - low) / (2 * h), (high - 2 * mid + low) / h**2
        expected.append((u * vv - uu * v) / (u**2 + v**2) ** 1.5)
    np.testing.assert_allclose(-case.scored("l_curve", WEIGHTS), expected, rtol=1e-3, atol=1e-3)


@every_seed
def test_quasi_optimality_is_the_derivative_by_differences(seed):
    case, h = Dense(seed), 1e-4
    found = case.scored("quasi_optimality", WEIGHTS)
    for i, weight in enumerate(WEIGHTS):
        slope = (case.solve(weight * np.exp(h))[0] - case.solve(weight * np.exp(-h))[0]) / (2 * h)
        enough = 1 <= np.trace(case.solve(weight)[1]) <= N - 1
        assert found[i] == (pytest.approx(np.linalg.norm(slope), rel=1e-5) if enough else np.inf)


@every_seed
def test_the_evidence_is_the_likelihood_under_gaussian_noise_and_prior(seed):
    case = Dense(seed)
    found, expected = case.scored("evidence", WEIGHTS), []
    for weight in WEIGHTS:
        shape = np.eye(M) + case.matrix @ case.matrix.T / weight
        variance = case.y @ np.linalg.solve(shape, case.y) / M
        expected.append(-2 * scipy.stats.multivariate_normal.logpdf(case.y, cov=variance * shape))
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-6, atol=1e-6)


@every_seed
def test_the_monotone_error_rule_stops_while_the_error_still_falls(seed):
    case = Dense(seed)
    grid = np.geomspace(1.0, 1e-6, 200)
    exact = np.linalg.norm(case.y - case.matrix @ np.sin(np.linspace(0, 3, N)))  # the rule is proved for this level
    found = case.scored("monotone_error", grid) + case.noise_norm - exact
    for weight, value in zip(grid[::40], found[::40], strict=True):
        r = case.y - case.matrix @ case.solve(weight)[0]
        twice = r - case.solve(weight)[1] @ r
        assert value == pytest.approx(r @ twice / np.linalg.norm(twice) - exact, rel=1e-8)
    stop = int(np.argmax(found <= 0))
    errors = [np.linalg.norm(case.solve(w)[0] - np.sin(np.linspace(0, 3, N))) for w in grid[: stop + 1]]
    assert (np.diff(errors[:-1]) <= 0).all()


@pytest.mark.parametrize("shape", [(4096,), (64, 64)])
def test_white_noise_looks_white_and_coloured_noise_does_not(shape):
    space = Space(shape, torch.float64)
    white = support.normal((5, *shape), 3)
    smooth = white + white.roll(1, -1)
    assert (whiteness(white, space) < 2 / 64).all()
    assert (whiteness(smooth, space) > 0.1).all()
    support.assert_close(whiteness(7 * white, space), whiteness(white, space), 10, scale=1)


SPEC = ex.RunSpec(
    problem={"name": "camera", "params": {"size": 32}}, operator="gaussian_blur", solver="tikhonov", dtype="float64",
    noise={"name": "gaussian", "params": {"level": 0.03}}, draws=5,
)  # fmt: skip


@pytest.mark.parametrize("rule", [name for name in rules if name != "fixed"])
def test_every_rule_around_tikhonov_is_what_the_comparison_says(rule):
    found = ex.compare_rules(SPEC, {rule: {}}, values=800)
    run = ex.run(SPEC.replace(rule=rule))
    step = found.values[0] / found.values[1]
    ratio = run.history["regularization"][-1] / found.value(rule)
    assert ((ratio < step * 1.01) & (ratio > 0.99 / step)).all()
    np.testing.assert_allclose(run.history["error"][-1], found.error(rule), rtol=0.05)


def test_nothing_beats_the_oracle_and_all_but_the_evidence_come_near():
    found = ex.compare_rules(SPEC)
    assert set(found.chosen) == set(rules) - {"fixed"}
    np.testing.assert_allclose(found.error("oracle"), found.least_error)
    ratio = {name: float(np.median(found.error(name) / found.least_error)) for name in found.chosen}
    assert min(ratio.values()) >= 1
    assert all(value < 2 for name, value in ratio.items() if name != "evidence"), ratio
    # a photograph is no sample of a white Gaussian prior, and the evidence believes in one
    assert ratio["evidence"] > 2
    assert "oracle" in repr(found)


def test_a_comparison_takes_a_problem_and_some_rules_and_says_what_does_not_apply():
    problem = ex.build(SPEC.replace(draws=None))
    found = ex.compare_rules(problem, {"discrepancy": {"tau": 1.5}, "gcv": {}}, values=50)
    assert list(found.chosen) == ["discrepancy", "gcv"]
    assert found.value("discrepancy") > found.value("gcv")
    truncated = ex.compare_rules(SPEC.replace(solver="tsvd"), values=50)
    assert "Truncated SVD does not report" in truncated.refused["l_curve"]
    assert {"gcv", "discrepancy", "upre", "ncp", "oracle", "quasi_optimality"} <= set(truncated.chosen)


@every_seed
def test_of_a_truncated_expansion_the_last_part_is_least(seed):
    """Quasi-optimality of TSVD against NumPy's decomposition, one candidate for every rank."""
    case = Dense(seed)
    u, s, _ = np.linalg.svd(case.matrix, full_matrices=False)
    parts = np.abs(u.T @ case.y) / s
    thresholds = torch.from_numpy(np.sqrt(s[:-1] * s[1:]))  # ranks 1 … N − 1
    found = tsvd(case.A, torch.from_numpy(case.y).expand(N - 1, -1), True, threshold=thresholds).scalars
    quasi = score(rules["quasi_optimality"], {}, found).numpy()
    np.testing.assert_allclose(quasi, parts[:-1], rtol=1e-8)


def test_without_a_decomposition_a_comparison_is_refused():
    with pytest.raises(ex.SpecError, match="and Radon transform is not: compare the rules on an iteration"):
        ex.compare_rules(SPEC.replace(operator="radon"))


@pytest.mark.parametrize("rule", ["upre", "weighted_gcv", "ncp", "oracle"])
def test_iterative_methods_are_stopped_near_the_best_iterate(rule):
    stop = {"name": "budget", "params": {"steps": 60}}
    run = ex.run(SPEC.replace(solver="cgls", rule=rule, record={"keep_going": True}, stop=stop))
    picked = np.take_along_axis(run.history["error"], run.stopped.step[None] - 1, 0)[0]
    assert (picked <= 1.25 * run.history["error"].min(0)).all()
    if rule == "oracle":
        np.testing.assert_array_equal(run.stopped.step, run.best.step)


def test_the_figure_marks_every_choice():
    found = ex.compare_rules(SPEC, values=60)
    figure = ex.figures.rules(found, shown=1e-3)
    names = [trace.name for trace in figure.data]
    assert names[:2] == ["residual ‖Ax − y‖ / ‖y‖", "error ‖x − x*‖ / ‖x*‖"]
    assert len(names) == 2 + len(found.chosen)
    assert len(figure.layout.shapes) == 2  # the noise, and what is looked at


@pytest.mark.parametrize("seed", range(5))
def test_the_corner_of_the_l_curve_is_not_where_rounding_bends_its_end(seed):
    """Below the least singular value squared nothing is filtered, and residuals are rounding."""
    spec = ex.RunSpec(
        problem={"name": "blocks", "params": {"size": 64}},
        operator={"name": "gaussian_blur", "params": {"sigma": 1.5}},
        noise={"name": "gaussian", "params": {"level": 0.02}},
        dtype="float64",
        seed=seed,
    )
    found = ex.compare_rules(spec, {"l_curve": {}, "oracle": {}})
    assert found.error("l_curve") < 2 * found.error("oracle")


# --- other filters than Tikhonov's ------------------------------------------------------------------------------------

FILTERS = ["showalter", "landweber_filter", "wiener", "nuclear_bias", "spectral_bias"]


@every_seed
@pytest.mark.parametrize("solver", FILTERS)
def test_what_rules_need_of_a_filter_is_that_of_its_influence_matrix(seed, solver):
    """Changes by differences, and where no direction is kept whole the likelihood of a normal vector by SciPy."""
    A, y, h = support.operator(support.decay(N, 30.0), M, N, seed=seed), support.normal((M,), seed + 7), 1e-5
    weight = 0.31
    solve = lambda data, weight: solvers[solver].function(A, data, regularization=weight).x  # noqa: E731
    found = solvers[solver].function(A, y, details=True, regularization=weight).scalars
    change = (solve(y, weight * np.exp(h)) - solve(y, weight * np.exp(-h))) / (2 * h)
    assert float(found["sensitivity"]) == pytest.approx(float(change.norm()), rel=1e-6)
    if solver != "nuclear_bias":  # whose filter has a kink
        h, curve = 1e-3, []
        for t in (-h, 0, h):
            x = solve(y, weight * np.exp(-t))
            curve.append((np.log(float((A(x) - y).norm())), np.log(float(x.norm()))))
        (u, v), (uu, vv) = (np.subtract(curve[2], curve[0]) / (2 * h), np.diff(curve, 2, axis=0)[0] / h**2)
        bent = (v * uu - u * vv) / (u**2 + v**2) ** 1.5
        assert float(found["curvature"]) == pytest.approx(bent, rel=1e-3, abs=1e-4)
    H = (A.to_dense() @ solve(torch.eye(M).double(), weight).mT).numpy()
    assert float(found["lost"]) == pytest.approx(N - np.trace(H), rel=1e-9)
    if "inner" not in solvers[solver].traits["on_request"]:
        assert abs(np.linalg.eigvalsh(H)[-1] - 1) < 1e-9  # some direction is whole
        return
    precision = np.eye(M) - H
    inner = y.numpy() @ precision @ y.numpy()
    covariance = np.linalg.inv(precision) * inner / M  # with the noise variance that is most likely
    normal = scipy.stats.multivariate_normal(cov=(covariance + covariance.T) / 2)
    score = rules["evidence"].function(found["inner"], found["log_lost"], M)
    constant = M * (1 + np.log(2 * np.pi) - np.log(M))
    assert float(score) + constant == pytest.approx(-2 * normal.logpdf(y.numpy()), rel=1e-7)


@every_seed
def test_with_a_penalty_on_slopes_the_evidence_is_the_restricted_likelihood(seed):
    """Of data without the mean's direction ``A 1``: ``y ~ N(0, σ² (I + A L⁺ L⁺ᵀ Aᵀ / λ))`` orthogonal to it."""
    A = support.operator(support.decay(N, 1e2), M, N, seed=seed)
    L = operators["gradient"].bind({"domain": A.domain, "rng": Rng(0, "test")}, {"boundary": "neumann"})()
    y, matrix, slopes = support.normal((M,), seed + 7), A.to_dense().numpy(), L.to_dense().numpy()
    mean = matrix @ np.ones((N, 1))
    off = np.linalg.svd(mean)[0][:, 1:]  # orthonormal, orthogonal to the image of what L does not see
    smooth = matrix @ np.linalg.pinv(slopes)
    scores = []
    for weight in (1e-4, 1e-2, 1.0):
        found = solvers["general_tikhonov"].function(A, y, details=True, operator=L, regularization=weight).scalars
        assert int(found["flat"]) == 1
        score = rules["evidence"].function(found["inner"], found["log_lost"], M, found["flat"])
        covariance = off.T @ (np.eye(M) + smooth @ smooth.T / weight) @ off
        data = off.T @ y.numpy()
        inner = data @ np.linalg.solve(covariance, data)
        assert float(found["inner"]) == pytest.approx(inner, rel=1e-7)
        scores.append(float(score) - (M - 1) * np.log(inner) - np.linalg.slogdet(covariance)[1])
        h = 1e-5
        both = [
            L(solvers["general_tikhonov"].function(A, y, operator=L, regularization=weight * np.exp(t)).x)
            for t in (-h, h)
        ]
        assert float(found["sensitivity"]) == pytest.approx(float((both[1] - both[0]).norm()) / (2 * h), rel=1e-6)
    assert np.ptp(scores) < 1e-6  # the same but for a constant, whatever λ


@every_seed
def test_without_smoothness_the_wiener_filter_has_the_corner_of_tikhonov(seed):
    """Both ways to a curvature, that of a general filter and the shorter one, agree."""
    case = Dense(seed)
    y = torch.from_numpy(case.y).expand(len(WEIGHTS), -1)
    found = solvers["wiener"].function(case.A, y, details=True, regularization=torch.tensor(WEIGHTS), smoothness=0.0)
    np.testing.assert_allclose(
        -found.scalars["curvature"].numpy(), case.scored("l_curve", WEIGHTS), rtol=1e-6, atol=1e-9
    )
