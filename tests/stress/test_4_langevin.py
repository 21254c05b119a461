"""A sampler (unadjusted_langevin) on a Gaussian posterior: its draws against the closed form.

For ``f(x) = ½‖Ax − y‖² + λ/2 ‖x‖²`` with Hessian H the chains are autoregressions, one a mode of H: with step τ and
eigenvalue h the mean is that of the posterior, the variance ``σ² / (h (1 − τh/2))``, and the correlation of
neighbouring draws ``ρ = 1 − τh``. Errors of averages follow from these exactly, so that they are judged in their units.
"""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Rng
from tests import support

WEIGHT, SIZE, CHAINS, STEP = 0.1, 12, 4, 0.8
WARMUP, KEPT = 100, 700
SPEC = ex.RunSpec(
    problem={"name": "blocks", "params": {"size": SIZE}},
    operator={"name": "gaussian_blur", "params": {"sigma": 1.0}},
    noise={"name": "gaussian", "params": {"level": 0.1}},
    prior={"name": "tikhonov", "params": {"weight": WEIGHT}},
    solver={"name": "unadjusted_langevin", "params": {"chains": CHAINS, "step_size": STEP}},
    stop={"name": "budget", "params": {"steps": WARMUP + KEPT}},
    record={"warmup": WARMUP, "snapshots": 1000},
    draws=len(support.SEEDS),
    dtype="float64",
)


class Posterior:
    """The closed form, in the basis of the Hessian's eigenvectors."""

    def __init__(self, problem) -> None:
        matrix = problem.A.to_dense()
        self.h, self.modes = torch.linalg.eigh(matrix.T @ matrix + WEIGHT * torch.eye(SIZE, dtype=matrix.dtype))
        self.mean = (problem.y @ matrix @ self.modes) / self.h
        self.sigma = problem["noise_norm"][:, None] / math.sqrt(problem.codomain.size)
        self.tau = STEP / self.h[-1]
        self.rho = 1 - self.tau * self.h
        self.variance = self.sigma**2 / self.h
        self.stationary = self.variance / (1 - self.tau * self.h / 2)


@pytest.fixture(scope="module")
def run():
    return ex.run(SPEC)


def test_the_mean_is_that_of_the_posterior_within_its_error(run):
    exact = Posterior(run.problem)
    number = CHAINS * KEPT
    error = (exact.stationary / number * (1 + exact.rho) / (1 - exact.rho)).sqrt()
    z = (run.x @ exact.modes - exact.mean) / error
    assert z.abs().max() < 4.5
    assert 0.5 < z.square().mean() < 1.6  # 60 values


def test_the_covariance_is_the_stationary_one_of_the_algorithm_within_its_error(run):
    exact = Posterior(run.problem)
    u = run.samples @ exact.modes - exact.mean
    draws, chains = u.shape[:2]
    rho = exact.rho ** (KEPT // draws)
    number = draws * chains
    scale = exact.stationary.sqrt()
    v = u / scale
    found = torch.einsum("tcbi,tcbj->bij", v, v) / number
    both = rho[:, None] * rho
    error = ((1 + torch.eye(SIZE)) / number * (1 + both) / (1 - both)).sqrt()
    z = (found - torch.eye(SIZE)) / error
    assert z.abs().max() < 5
    assert 0.7 < z.square().mean() < 1.4


def test_the_bias_of_the_step_is_seen(run):
    """Without the correction the stiffest mode is off by 1 / (1 − 0.8 / 2) = 5/3."""
    exact = Posterior(run.problem)
    u = run.samples @ exact.modes - exact.mean
    ratio = (u**2).mean((0, 1))[:, -1] / exact.variance[:, -1]
    assert ((ratio - 5 / 3).abs() < 0.2).all()


def test_the_variance_of_the_entries_covers_all_draws(run):
    exact = Posterior(run.problem)
    expected = exact.stationary @ (exact.modes**2).T
    slowest = exact.rho[0] ** 2
    error = (2 / (CHAINS * KEPT) * (1 + slowest) / (1 - slowest)) ** 0.5
    assert ((run.variance / expected - 1).abs() < 5 * error).all()


def test_r_hat_is_near_one_only_after_the_chains_have_met(run):
    assert run.r_hat.shape == (len(support.SEEDS), SIZE)
    assert run.r_hat.max() < 1.1
    early = ex.run(SPEC.replace(stop={"name": "budget", "params": {"steps": 4}}, record={"warmup": 0}))
    assert (early.r_hat.amax(-1) > 1.2).all()


def test_a_run_of_a_sampler_has_samples_and_no_best(run):
    assert run.best is None
    assert run.stopped is None
    assert run.samples.shape[1:] == (CHAINS, len(support.SEEDS), SIZE)
    assert run.reason[0] is ex.Reason.STEPS
    assert run.history["energy"].shape == (WARMUP + KEPT, CHAINS, len(support.SEEDS))
    assert np.isfinite(run.history["error"]).all()


def chains_of(spec, steps=5, **knobs):
    problem = build(spec)
    component = ex.catalogue.solvers["unadjusted_langevin"]
    offers = {**problem.offers, "rng": Rng(spec.seed, "solver/unadjusted_langevin", spec.draws)}
    draws = component.bind(offers, {**spec.solver.params, **knobs})()
    with torch.no_grad():
        return [draw.x for draw, _ in zip(draws, range(steps), strict=False)][-1]


def test_a_draw_and_a_chain_are_the_same_alone_and_among_others():
    everything = chains_of(SPEC)
    support.assert_close(chains_of(SPEC.replace(draws=None)), everything[:, 0], 100)
    support.assert_close(chains_of(SPEC, chains=2), everything[:2], 100)
    gaps = (everything[:, None] - everything[None]).norm(dim=(-2, -1))
    assert (gaps + 10 * torch.eye(CHAINS) > 0.1).all()


def test_scaling_the_data_scales_every_draw_bit_for_bit():
    problem = build(SPEC)
    call = ex.solvers.unadjusted_langevin

    def draw(factor):
        parts = problem.A, factor * problem.y, problem.prior, Rng(0, "x", SPEC.draws), factor * problem["noise_norm"]
        return [step.x for step, _ in zip(call(*parts), range(4), strict=False)][-1]

    with torch.no_grad():
        for k in (-20, 20):
            support.assert_same_bits(draw(2.0**k), 2.0**k * draw(1.0))


@pytest.mark.parametrize("other", [0.0, math.nan, 1e20])
def test_what_else_is_in_the_batch_changes_no_bit_of_a_sample(other):
    problem = build(SPEC)
    component = ex.catalogue.solvers["unadjusted_langevin"]

    def answer(y):
        offers = {**problem.offers, "y": y, "rng": Rng(0, "x", SPEC.draws)}
        with torch.no_grad():
            draws = component.bind(offers, SPEC.solver.params)()
            return [draw.x for draw, _ in zip(draws, range(5), strict=False)][-1]

    y = problem.y.clone()
    y[1::2] = other
    support.assert_same_bits(answer(y)[:, ::2], answer(problem.y)[:, ::2])


def test_nothing_is_read_on_the_host():
    assert chains_of(SPEC.replace(device="meta")).is_meta


def test_a_prior_without_gradient_is_refused_in_one_sentence():
    assert ex.compatible(SPEC)["unadjusted_langevin"] is None
    assert "a prior with a gradient" in ex.compatible(SPEC.replace(prior="box"))["unadjusted_langevin"]
