"""Row 198: relaxation parameters learnt over a sequence, "learned_relaxation"."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError, problems, solvers
from explorer.engine.build import build
from explorer.labs.linear.relaxation import ChebyshevBandit, SymmetricSweep, TsallisInf, best_relaxation, drawn
from explorer.linalg import Rng
from tests import support

LOW, HIGH, LIMIT = 2e-3, 0.4, 1000
RELAXATIONS = np.linspace(1, 1.95, 8)
SEEDS = len(support.SEEDS)


def spec(seed=0, solver=None, **problem):
    return ex.RunSpec(
        problem={"name": "shifted_sequence", "params": {"count": 6, "size": 40, **problem}},
        operator=None,
        solver={"name": "learned_relaxation", "params": solver or {}},
        stop={"name": "budget", "params": {"steps": 100_000}},
        dtype="float64",
        seed=seed,
    )


def iterations(run):
    """Return how many iterations each system took."""
    system = run.history["system"]
    return np.array([np.sum(system == i) for i in range(int(system[-1]) + 1)])


def sor_counts(shifts, data, relaxations, tolerance, limit):
    """Return the iterations of SOR from zero by the textbook's loop over unknowns, shape ``(shifts, relaxations)``."""
    c, omega = (a.ravel() for a in np.meshgrid(shifts, relaxations, indexing="ij"))
    b = np.repeat(data, len(relaxations), axis=1)
    x, counts, live, goal = (
        np.zeros_like(b),
        np.full(len(c), limit),
        np.arange(len(c)),
        tolerance * np.linalg.norm(b, axis=0),
    )
    for k in range(1, limit + 1):
        for i in range(len(b)):
            known = b[i] + (x[i - 1] if i else 0) + (x[i + 1] if i + 1 < len(b) else 0)
            x[i] += omega * (known / (2 + c) - x[i])
        r = b - (2 + c) * x
        r[1:] += x[:-1]
        r[:-1] += x[1:]
        going = np.linalg.norm(r, axis=0) > goal
        counts[live[~going]] = k
        live, x, b, omega, c, goal = live[going], x[:, going], b[:, going], omega[going], c[going], goal[going]
        if not len(live):
            break
    return counts.reshape(len(shifts), len(relaxations))


@pytest.fixture(scope="module")
def costs():
    """Shifts of 2000 systems a seed, and the iterations of every arm, interpolated from a table of 48 shifts."""
    grid = np.geomspace(LOW, HIGH, 48)
    table = sor_counts(grid, np.random.default_rng(0).standard_normal((64, 48)), RELAXATIONS, 1e-4, LIMIT)
    shifts = np.stack([LOW * (HIGH / LOW) ** np.random.default_rng(s).random(2000) for s in support.SEEDS])
    place = np.log(shifts / LOW) / np.log(HIGH / LOW) * 47
    left = np.minimum(place.astype(int), 46)
    part = (place - left)[..., None]
    return shifts, table[left] * (1 - part) + table[left + 1] * part


def played(learner, shifts, costs):
    """Return the costs that a learner has paid, all seeds side by side."""
    paid, seeds = np.zeros(shifts.shape), np.arange(SEEDS)
    uniform = np.stack([np.random.default_rng(100 + s).random(shifts.shape[1]) for s in support.SEEDS])
    for t in range(shifts.shape[1]):
        p = learner.probabilities(shifts[:, t])
        arm = drawn(p, uniform[:, t])
        paid[:, t] = costs[seeds, t, arm]
        learner.learn(arm, paid[:, t] / LIMIT, p[seeds, arm], shifts[:, t])
    return paid


# --- the policies ---


def test_row_198_the_bandit_finds_the_best_fixed_relaxation(costs):
    """Seen: Gauss–Seidel 385, best fixed 77, last quarter 1.01 to 1.05 times the best fixed."""
    shifts, table = costs
    last = played(TsallisInf(8, (SEEDS,), rate=30.0), shifts, table)[:, -500:].mean(1)
    best = table[:, -500:].mean(1).min(1)
    assert (last <= 1.1 * best).all()
    assert (best <= 0.3 * table[..., 0].mean(1)).all()


@pytest.mark.parametrize("rate", [30.0, 300.0])
def test_row_198_the_contextual_bandit_approaches_the_best_for_each_system(costs, rate):
    """Seen: last quarter 1.07 to 1.13 times the instance optimum for γ = 30, 1.01 to 1.07 for γ = 300."""
    shifts, table = costs
    paid = played(ChebyshevBandit(8, LOW, HIGH, (SEEDS,), exploitation=rate), shifts, table)
    last = paid[:, -500:].mean(1)
    assert (last <= 1.15 * table[:, -500:].min(-1).mean(1)).all()
    assert (paid.mean(1) < table.mean(1).min(1)).all()


def test_young_gives_nearly_the_best_of_the_table():
    """For this consistently ordered matrix ρ = 2 cos(π/(n+1)) / (2 + c)."""
    shifts = np.array([0.002, 0.02, 0.2])
    omega = best_relaxation(2 * np.cos(np.pi / 65) / (2 + shifts))
    data = np.random.default_rng(1).standard_normal((64, 3))
    dense_grid = sor_counts(shifts, data, np.linspace(1.5, 1.95, 19), 1e-6, LIMIT).min(1)
    young = sor_counts(shifts, data, omega, 1e-6, LIMIT).diagonal()
    assert (young <= 1.25 * dense_grid + 1).all()


def test_the_probabilities_minimise_the_regularised_losses():
    """``p = argmin ⟨p, L⟩ − (4/η) Σ √p``: no other distribution is better."""
    learner = TsallisInf(6, (3,), rate=2.0)
    learner.losses, learner.time = np.abs(np.random.default_rng(0).standard_normal((3, 6))) * 10, 24
    p = learner.probabilities()
    assert np.allclose(p.sum(-1), 1, rtol=0, atol=1e-14)
    value = lambda q: (q * learner.losses).sum(-1) - 4 / (2 / 5) * np.sqrt(q).sum(-1)  # noqa: E731
    for k in range(200):
        q = np.random.default_rng(k).dirichlet(np.ones(6), 3)
        assert (value(p) <= value(0.99 * p + 0.01 * q)).all()


def test_losses_are_unbiased_and_predictions_exact_where_the_cost_is_a_polynomial():
    learner = TsallisInf(3)
    learner.learn(1, 0.5, 0.25)
    assert np.array_equal(learner.losses, [0, 2, 0])
    bandit, random = ChebyshevBandit(2, 1.0, 3.0, degree=3, ridge=1e-12), np.random.default_rng(0)
    for c in random.uniform(1, 3, 40):
        for arm in (0, 1):
            bandit.learn(arm, (c**3 - c, 2 * c)[arm], 0.5, c)
    for c in (1.2, 2.9):
        weights = np.linalg.solve(bandit.gram, bandit.moments[..., None])[..., 0]
        assert np.allclose(weights @ bandit._features(c), [c**3 - c, 2 * c], atol=1e-6)
        p = bandit.probabilities(c)
        assert p.argmax() == np.argmin([c**3 - c, 2 * c])
        assert np.isclose(p.sum(), 1)


# --- the method ---


@pytest.mark.parametrize("policy", ["tsallis", "chebyshev", "fixed"])
@pytest.mark.parametrize("method", ["sor", "ssor_cg"])
def test_every_system_is_solved(policy, method):
    for seed in support.SEEDS:
        run = ex.run(
            spec(
                seed,
                {"policy": policy, "method": method, "tolerance": 1e-9, "limit": 5000},
                count=2,
                size=16,
                smallest=0.05,
            )
        )
        assert run.reason is ex.Reason.FINISHED
        assert run.metrics["relative_error"].max() < 1e-7
        for (A, b), x in zip(run.problem["systems"], run.x, strict=True):
            assert A.codomain.norm(b - A(x)) <= 1.01e-9 * A.codomain.norm(b)
        tried = run.history["relaxation"]
        assert np.isin(tried.round(12), [1.0] if policy == "fixed" else RELAXATIONS.round(12)).all()


@pytest.mark.parametrize("omega", [1.0, 1.5, 1.8])
def test_its_iterations_are_those_of_the_loop(omega):
    run = ex.run(spec(1, {"policy": "fixed", "relaxation": omega, "tolerance": 1e-4}, count=4))
    shifts, systems = run.problem["contexts"], run.problem["systems"]
    data = torch.stack([b for _, b in systems], 1)
    expected = sor_counts(shifts.numpy(), data.numpy(), [omega], 1e-4, 1000)[:, 0]
    assert np.array_equal(iterations(run), expected)


@pytest.mark.parametrize("policy", ["tsallis", "chebyshev"])
def test_the_learner_is_told_the_iterations_and_followed(policy):
    """The choices replayed with the same random numbers and the iterations that the run has counted."""
    problem = build(spec(count=8, size=12, smallest=0.05))
    systems, shifts = problem.offers["systems"], problem.offers["contexts"]
    chosen, counted = {}, {}
    for step in ex.solvers.learned_relaxation(systems, Rng(3, "test"), shifts, policy=policy, tolerance=1e-3):
        chosen[step.system], counted[step.system] = step.scalars["relaxation"], step.scalars["iteration"]
    low, high, rng = float(shifts.min()), float(shifts.max()), Rng(3, "test")
    learner = TsallisInf(8, rate=30.0) if policy == "tsallis" else ChebyshevBandit(8, low, high, exploitation=30.0)
    for t, c in enumerate(shifts.tolist()):
        p = learner.probabilities(c)
        arm = int(drawn(p, float(rng.uniform((), torch.float64))))
        assert chosen[t] == RELAXATIONS[arm]
        learner.learn(arm, counted[t] / 1000, p[arm], c)
    assert len(set(chosen.values())) > 2


def test_the_preconditioner_is_the_symmetric_sweep():
    A = build(spec(size=12)).offers["systems"][0][0]
    M, omega = A.to_dense(), 1.3
    D, L = torch.diag(M.diagonal()), M.tril(-1)
    expected = omega / (2 - omega) * (D / omega + L) @ torch.linalg.inv(D) @ (D / omega + L).T
    B = SymmetricSweep(A, omega)
    support.assert_close(B.to_dense(), torch.linalg.inv(expected), 100)
    x = support.normal((2, 12), 1)
    support.assert_close(B.adjoint(x), B(x), 0)


def test_scaling_the_data_scales_every_solution_bit_for_bit():
    problem = build(spec(size=20))

    def solve(factor):
        systems = [(A, factor * b) for A, b in problem.offers["systems"]]
        with torch.no_grad():
            steps = solvers["learned_relaxation"].function(systems, Rng(0, "test"))
            return [step.x.clone() for step in steps]

    once = solve(1.0)
    for k in (-20, 20):
        for scaled, plain in zip(solve(2.0**k), once, strict=True):
            support.assert_same_bits(scaled, 2.0**k * plain)


def test_the_truth_solves_the_systems_and_limits_hold():
    problem = build(spec())
    for (A, b), x in zip(problem.offers["systems"], problem.x_true, strict=True):
        support.assert_close(A(x), b, 1e4)
        assert torch.linalg.eigvalsh(A.to_dense()).min() > 0
    assert iterations(ex.run(spec(0, {"limit": 7}))).tolist() == [7] * 6


def test_what_does_not_fit_is_said():
    assert ex.compatible(spec(count=1))["learned_relaxation"] is None
    darcy = ex.RunSpec(problem="darcy_sequence", operator=None, solver="recycled_gmres")
    assert "a sequence of positive systems" in ex.compatible(darcy)["learned_relaxation"]
    steps = ex.solvers.learned_relaxation(build(spec()).offers["systems"], Rng(0, "test"), policy="chebyshev")
    with pytest.raises(SpecError, match="needs a context of every system"):
        next(steps)
    with pytest.raises(SpecError, match="above the largest shift"):
        problems["shifted_sequence"].build(rng=Rng(0, "test"), smallest=1.0)
