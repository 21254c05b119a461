"""Row 257: prior precisions by the evidence, exact and from blocks: the solver "evidence_ridge"."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import solvers
from explorer.engine.build import build
from explorer.labs.statistics.evidence import log_determinant, sensitivity
from explorer.linalg import Rng
from tests import support

LEVEL = 0.3


def problem(seed=0, **params):
    noise = {"name": "gaussian", "params": {"level": LEVEL}}
    spec = ex.RunSpec(problem={"name": "grouped_regression", "params": params}, operator=None, noise=noise)
    return build(spec.replace(seed=seed, dtype="float64"))


@torch.no_grad()
def tuned(P, block, seed=0, steps=40, **knobs):
    made = solvers["evidence_ridge"].function(P["A"], P.y, Rng(seed, "blocks"), P["noise_norm"], block=block, **knobs)
    return next(itertools.islice(made, steps - 1, None))


def error(P, x):
    """Return the mean squared error of predictions at fresh features, relative to the signal."""
    return float((x - P.x_true).square().sum() / P.x_true.square().sum())


def best_single(P):
    x = ex.solvers.tikhonov(P["A"], P.y.expand(60, -1), regularization=torch.logspace(-4, 3, 60).double()).x
    return min(error(P, one) for one in x)


def test_row_257_blocks_tune_the_groups_nearly_as_well_as_the_exact_evidence():
    """Measured .062/.052 (blocks of 100 and 250) against .053 (exact) and .107 (best single λ); the noise is known.

    Blocks of 250 hold 1.25 at every seed, blocks of 100 only on average: their worst of five is 1.30.
    """
    small = []
    for seed in support.SEEDS:
        P = problem(seed)
        exact, single = error(P, tuned(P, 0, known=True).x), best_single(P)
        found = {block: error(P, tuned(P, block, seed, known=True).x) for block in (100, 250)}
        assert found[250] <= 1.25 * exact
        assert max(found.values()) <= 0.65 * single
        small.append(found[100] / exact)
    assert np.mean(small) <= 1.25
    assert max(small) <= 1.35


def test_where_the_noise_is_learned_too_blocks_must_be_larger():
    """The regime where 1.25 does not hold for blocks of 100: their bound also pushes the noise level up."""
    for seed in support.SEEDS:
        P = problem(seed)
        made = {block: tuned(P, block, seed) for block in (0, 100, 500)}
        exact, small, large = (error(P, step.x) for step in made.values())
        assert large <= 1.1 * exact
        assert small > large
        assert made[100].scalars["noise"] > made[0].scalars["noise"]


def test_row_257_the_bound_holds_and_tightens_with_the_blocks():
    for seed in support.SEEDS:
        found = ex.analyse(problem(seed), "determinant_bounds", smallest=50, seed=seed)
        assert found.sizes.tolist() == [50, 100, 200, 400, 800, 1000]
        assert (found.bounds >= found.exact).all()
        assert (np.diff(found.bounds) < 0).all()


def test_the_determinant_in_both_its_forms_and_its_derivative():
    """Against NumPy and automatic differentiation."""
    for m, d in ((6, 9), (9, 6)):
        J, noise = support.normal((m, d), m), torch.tensor(0.3, dtype=torch.float64)
        log_p = support.normal((d,), 1).requires_grad_()
        value = log_determinant(J, log_p.exp(), noise)
        dense = torch.eye(m, dtype=torch.float64) + J @ (J / log_p.detach().exp()).mT / noise
        assert value.item() == pytest.approx(np.linalg.slogdet(dense.numpy())[1], rel=1e-12)
        (gradient,) = torch.autograd.grad(value, log_p)
        support.assert_close(sensitivity(J, log_p.detach().exp(), noise), -gradient, 100)


def test_gradients_of_blocks_are_unbiased_for_the_bound():
    """Their mean over a partition is the gradient of ``Σ_b log det K_bb``, by automatic differentiation."""
    J, noise = support.normal((12, 5)), torch.tensor(0.3, dtype=torch.float64)
    log_p = support.normal((5,), 1).requires_grad_()
    bound = sum(log_determinant(part, log_p.exp(), noise) for part in J.split(4))
    (gradient,) = torch.autograd.grad(bound, log_p)
    each = torch.stack([12 / 4 * sensitivity(part, log_p.detach().exp(), noise) for part in J.split(4)])
    support.assert_close(each.mean(0), -gradient, 100)


def test_the_exact_evidence_is_maximal_at_the_end():
    """The density of the data under the chosen hyperparameters falls in whatever direction these are moved."""
    P = problem(0, data=200, size=40, decay=2.0)
    step = tuned(P, 0, steps=300)
    J, x, s = P["A"].to_dense(), step.x, float(step.scalars["noise"]) ** 2
    # at the maximum p_g ‖x_g‖² is the number of degrees of freedom of the group, which gives p
    H0 = J.mT @ J / s

    def evidence(log_p):
        p = torch.as_tensor(log_p).exp().repeat_interleave(20)
        K = s * torch.eye(200, dtype=torch.float64) + (J / p) @ J.mT
        normal = torch.distributions.MultivariateNormal(torch.zeros(200, dtype=torch.float64), K)
        return float(normal.log_prob(P.y))

    log_p = np.zeros(2)
    for _ in range(500):
        p = torch.as_tensor(np.exp(log_p)).repeat_interleave(20)
        inverse = torch.linalg.inv(H0 + torch.diag(p))
        fixed = (inverse @ (J.mT @ P.y)) / s
        share = (1 - p * inverse.diagonal()).reshape(2, 20).sum(1)
        log_p = np.log((share / fixed.reshape(2, 20).square().sum(1)).numpy()).clip(-20, 20)
    assert float((fixed - x).norm() / x.norm()) < 2e-3
    for direction in ([0.3, 0], [-0.3, 0], [0, 0.3], [0, -0.3]):
        assert evidence(log_p) > evidence(log_p + np.array(direction))


def test_a_batch_of_data_is_tuned_as_a_loop():
    P = problem(0, data=60, size=12)
    y = P.y + support.normal((3, 60))

    def run(y):
        return next(itertools.islice(solvers["evidence_ridge"].function(P["A"], y, Rng(0, "b"), block=20), 20, None)).x

    with torch.no_grad():
        together = run(y)
        for i in range(3):
            support.assert_close(together[i], run(y[i]), 1e5)


def test_a_run_of_it_and_a_block_that_is_too_large():
    spec = ex.RunSpec(problem="grouped_regression", operator=None, solver="evidence_ridge", dtype="float64")
    run = ex.run(spec.replace(stop={"name": "budget", "params": {"steps": 30}}))
    assert run.metrics["relative_error"] < 0.2
    with pytest.raises(ex.SpecError, match="only 1000 data"):
        ex.analyse(run.problem, "determinant_bounds", smallest=1000)
