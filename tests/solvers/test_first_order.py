"""Landweber, FISTA and PDHG: what their papers claim."""

import itertools

import pytest
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.operators import gaussian_blur
from explorer.operators.base import Identity
from explorer.solvers import fista, landweber, pdhg
from tests import support


def last(steps, count):
    return next(itertools.islice(steps, count - 1, None))


def prior(name, domain, **params):
    return ex.catalogue.priors[name].build(domain=domain, **params)


@support.every_seed
@pytest.mark.parametrize("step_size", [0.5, 1.0, 1.9])
def test_landwebers_filter_factors(step_size, seed):
    """After k steps: ``1 − (1 − ω σ²/‖A‖²)^k``."""
    A = support.operator(support.decay(12, 10.0), 16, 12, seed)
    y = support.normal((16,), seed)
    u, s, v = A.factors
    for k, step in zip(range(1, 30), landweber(A, y, step_size=step_size), strict=False):
        factors = 1 - (1 - step_size * s**2) ** k
        support.assert_close(step.x, v @ (factors / s * (u.T @ y)), 500)


def test_fistas_objective_keeps_the_bound_of_beck_and_teboulle():
    """``F(x_k) − F* ≤ 2 ‖A‖² ‖x_0 − x*‖² / (k + 1)²``, which proximal gradients without momentum break here."""
    A = support.operator(support.decay(40, 1e3), 50, 40)
    y, l1 = A.factors[0].T[12:17], prior("l1", A.domain, weight=1e-4)
    best = last(fista(A, y, l1, restart=True), 700)
    bound = 2 * A.domain.norm2(best.x) * (1 + 1e-12)
    broken, plain = torch.zeros(5, dtype=torch.bool), A.domain.zeros((5,))
    for k, step in zip(range(1, 200), fista(A, y, l1), strict=False):
        assert (step.scalars["objective"] - best.scalars["objective"] <= bound / (k + 1) ** 2).all()
        plain = l1.prox(plain - A.adjoint(A(plain) - y), 1.0)
        gap = (A(plain) - y).square().sum(-1) / 2 + l1.value(plain) - best.scalars["objective"]
        broken |= gap > bound / (k + 1) ** 2
    assert broken.all()


def test_restarting_reaches_the_minimum_sooner_and_every_sample_by_itself():
    A = support.operator(support.decay(12, 10.0), 16, 12)
    y, l1 = support.normal((5, 16), 1), prior("l1", A.domain, weight=0.05)
    least = last(fista(A, y, l1, restart=True), 500).scalars["objective"]
    restarted, plain = (last(fista(A, y, l1, restart=r), 150).scalars for r in (True, False))
    assert (restarted["objective"] - least < 1e-2 * (plain["objective"] - least)).all()
    for i in range(5):
        alone = last(fista(A, y[i], l1, restart=True), 150).scalars["momentum"]
        support.assert_close(restarted["momentum"][i], alone, 1000)


def test_pdhg_denoises_a_step_by_total_variation_in_closed_form():
    """The levels of a step of height h on n + n samples move towards each other by weight / n; to 1e-6 h."""
    space, weight = Space((16,), torch.float64), 2.0
    height = torch.arange(1.0, 6.0, dtype=torch.float64)[:, None]
    half, other = torch.zeros(5, 8, dtype=torch.float64), torch.ones(5, 8, dtype=torch.float64)
    y = torch.cat([half, height * other], -1)
    expected = torch.cat([half + weight / 8, height * other - weight / 8], -1)
    end = last(pdhg(Identity(space), y, prior("tv", space, weight=weight)), 1500)
    assert (space.norm(end.x - expected) < 1e-6 * height[:, 0]).all()


def test_pdhg_and_fista_agree_on_total_variation_deblurring():
    """Different methods, one minimiser: objectives within 1e-4 of each other."""
    space = Space((16, 16), torch.float64)
    A = gaussian_blur(space, sigma=1.0)
    y = A(torch.kron(torch.eye(2), torch.ones(8, 8)).double()) + 0.05 * support.normal((5, 16, 16), 1)
    tv = prior("tv", space, weight=0.02, inner=50)
    one, other = last(fista(A, y, tv, restart=True), 60), last(pdhg(A, y, tv), 500)
    objective = other.scalars["residual"] ** 2 / 2 + tv.value(other.x)
    assert ((one.scalars["objective"] - objective).abs() < 1e-4 * objective).all()


@pytest.mark.parametrize("name", ["l1", "tikhonov", "tv"])
def test_one_weight_a_sample_is_a_loop(name):
    A = support.operator(support.decay(12, 3.0), 16, 12)
    y, weights = support.normal((16,), 1), [0.01, 0.1, 1.0]
    for method in (fista, pdhg):
        many = prior(name, A.domain)
        many.weight = torch.tensor(weights, dtype=torch.float64)
        together = last(method(A, y.expand(3, 16), many), 20)
        for i, weight in enumerate(weights):
            alone = last(method(A, y, prior(name, A.domain, weight=weight)), 20)
            support.assert_close(together.x[i], alone.x, 100, scale=1.0)
            if "objective" in alone.scalars:
                support.assert_close(together.scalars["objective"][i], alone.scalars["objective"], 100)
