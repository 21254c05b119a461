"""Randomised matrix products: unbiased, with the variance of theory, and better with levels (rows 57, 77 and 273)."""

import itertools

import pytest
import torch

import explorer as ex
from explorer.catalogue import problems
from explorer.linalg import Ledger, Rng
from tests import support

DRAWS = 30


def factors(seed=0, **knobs):
    return problems["matrix_product"].build(rng=Rng(seed, "matrix_product"), **knobs).offers["factors"]


def step(solver, given, seed=0, steps=1, draws=DRAWS, **knobs):
    made = getattr(ex.solvers, solver)(given, Rng(seed, solver, draws), **knobs)
    return next(itertools.islice(made, steps - 1, None))


def error(x, given):
    """Return the root mean square of the relative errors over the draws."""
    exact = given[0] @ given[1]
    return float(((x - exact).square().sum((-2, -1)).mean() / exact.square().sum()).sqrt())


ALL = [("sampled_product", {"terms": terms}) for terms in ("both", "right", "uniform", "gaussian")]
for coupling, levels in itertools.product(("centred", "difference"), (1, 2)):
    ALL.append(("multilevel_product", {"coupling": coupling, "levels": levels, "refinement": 8}))
every_method = pytest.mark.parametrize(("solver", "knobs"), ALL, ids=str)


@every_method
def test_the_mean_is_the_product_and_the_bound_bounds_the_error(solver, knobs):
    left, right = (f + 0.2 for f in factors(inner=200, size=6))
    for seed in support.SEEDS:
        found = step(solver, (left, right), seed, draws=400, samples=20, **knobs)
        exact = left @ right
        variance = (found.x - exact).square().sum((-2, -1)).mean()
        mean = (found.x.mean(0) - exact).square().sum()
        # the squared error of the mean of 400 draws is a 400th of the variance, up to its own scatter
        assert mean <= 3 * variance / 400
        assert 0.2 * found.scalars["bound"] < variance.sqrt() <= 1.15 * found.scalars["bound"]


@every_method
def test_the_error_falls_as_one_over_the_root_of_the_steps(solver, knobs):
    given = factors(inner=512, size=6)
    first, later = (error(step(solver, given, steps=k, draws=100, samples=8, **knobs).x, given) for k in (1, 16))
    assert later == pytest.approx(first / 4, rel=0.25)


@support.every_seed
@pytest.mark.parametrize("budget", [256, 512])
def test_two_levels_halve_the_error_of_sampling_as_many_terms(budget, seed):
    given = factors(seed)
    two = error(step("multilevel_product", given, seed, samples=budget - 64).x, given)
    for terms in ("uniform", "both"):
        assert two <= 0.5 * error(step("sampled_product", given, seed, samples=budget, terms=terms).x, given)


@support.every_seed
def test_the_plain_difference_does_so_for_smooth_factors_only(seed):
    gain = {}
    for noise in (0.05, 0.5):
        given = factors(seed, noise=noise)
        uniform = error(step("sampled_product", given, seed, samples=256, terms="uniform").x, given)
        levels = step("multilevel_product", given, seed, samples=192, coupling="difference")
        gain[noise] = uniform / error(levels.x, given)
    assert gain[0.05] > 2
    assert gain[0.5] < 1.3


@support.every_seed
def test_noise_as_large_as_the_curves_leaves_little_to_gain(seed):
    given = factors(seed, noise=1.0)
    two = error(step("multilevel_product", given, seed, samples=192).x, given)
    assert two > 0.5 * error(step("sampled_product", given, seed, samples=256, terms="uniform").x, given)


@pytest.mark.parametrize(("solver", "knobs"), ALL[4:], ids=str)
def test_what_has_no_detail_is_exact_at_the_first_level(solver, knobs):
    left, right = (f[..., :3, :3].repeat_interleave(64, d) for f, d in zip(factors(), (1, 0), strict=True))
    found = step(solver, (left, right), draws=None, samples=4, **knobs)
    support.assert_close(found.x, left @ right, 64)


def test_terms_are_counted():
    given = factors(inner=130, size=4)  # not a multiple of the cell: 3 cells of 64
    for coupling, expected in (("centred", 3 + 20), ("difference", 3 + 2 * 10)):
        ledger = Ledger()
        with ledger.open():
            step("multilevel_product", given, draws=None, samples=20, coupling=coupling)
        assert ledger.costs == {"terms": expected}


def test_zero_factors_give_zero():
    left, right = torch.zeros(3, 70), torch.zeros(70, 2)
    for solver, knobs in ALL:
        found = step(solver, (left, right), draws=None, **knobs)
        assert torch.equal(found.x, torch.zeros(3, 2))
        assert found.scalars["bound"] == 0


@support.every_precision
def test_runs_of_both_from_a_specification(dtype):
    for solver in ("sampled_product", "multilevel_product"):
        stop = {"name": "budget", "params": {"steps": 20}}
        spec = ex.RunSpec(problem="matrix_product", operator=None, solver=solver, stop=stop, dtype=str(dtype)[6:])
        run = ex.run(spec)
        assert run.x.dtype == dtype
        assert run.history["error"][-1] < 0.5 * run.history["error"][0]


def test_a_cell_larger_than_the_product_is_refused():
    with pytest.raises(ex.SpecError, match="a cell of 4,096 terms is above the 200"):
        step("multilevel_product", factors(inner=200, size=2), levels=2)
