"""SIRT and MLEM on tomography and blurs: what they minimise, what they keep, and their isolation."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError, operators
from explorer.linalg import Rng, Space
from tests import support

SPACE = Space((12, 12), torch.float64)
A = operators["radon"].bind({"domain": SPACE}, operators["radon"].check({"angles": 20}))()


def positive(seed, *batch):
    return support.normal((*batch, 12, 12), seed).abs()


def run(name, y, steps, **knobs):
    return list(itertools.islice(getattr(ex.solvers, name)(A, y, **knobs), steps))


@pytest.mark.parametrize("name", [n for n, c in operators.items() if c.function.__module__.startswith("explorer.")])
def test_an_operator_that_says_so_has_no_negative_entry(name):
    component = operators[name]
    try:
        made = component.bind({"domain": Space((6, 6), torch.float64), "rng": Rng(0, name)}, component.check({}))()
    except SpecError:
        pytest.skip("does not act on small real images")
    if getattr(made, "nonnegative", False):
        assert (made.to_dense() >= -1e-14).all()


@pytest.mark.parametrize("seed", support.SEEDS)
def test_sirt_solves_the_weighted_least_squares_problem(seed):
    y = support.normal(A.codomain.shape, seed)
    rows = A(torch.ones(12, 12, dtype=torch.float64)).reshape(-1)
    weight = torch.where(rows > 0, 1 / rows, 0).sqrt()
    matrix = weight[:, None] * A.to_dense()
    least = (matrix @ torch.linalg.lstsq(matrix, weight * y.reshape(-1)).solution - weight * y.reshape(-1)).norm()
    x = run("sirt", y, 3000, relaxation=1.9)[-1].x
    found = (matrix @ x.reshape(-1) - weight * y.reshape(-1)).norm()
    assert least <= found * (1 + 1e-12)
    assert found <= least * 1.01


@pytest.mark.parametrize("relaxation", [0.5, 1.0, 1.9])
def test_the_weighted_residual_of_sirt_never_rises(relaxation):
    y = A(positive(1)) + 0.1 * support.normal(A.codomain.shape, 2)
    rows = A(torch.ones(12, 12, dtype=torch.float64))
    weight = torch.where(rows > 0, 1 / rows, 0).sqrt()
    seen = [float((weight * (A(s.x) - y)).norm()) for s in run("sirt", y, 60, relaxation=relaxation)]
    assert (np.diff(seen) <= 1e-12 * seen[0]).all()


def test_sirt_stays_nonnegative_where_it_should():
    y = A(positive(3)) + support.normal(A.codomain.shape, 4)
    assert all((s.x >= 0).all() for s in run("sirt", y, 20, nonnegative=True))
    assert any((s.x < 0).any() for s in run("sirt", y, 20))


@pytest.mark.parametrize("seed", support.SEEDS)
def test_mlem_raises_the_likelihood_keeps_the_sign_and_the_total(seed):
    counts = torch.poisson(10 * A(positive(seed)), generator=torch.Generator().manual_seed(seed))
    made = run("mlem", counts, 40)
    seen = [float(s.scalars["divergence"]) for s in made]
    assert (np.diff(seen) <= 1e-9 * seen[0]).all()
    assert all((s.x >= 0).all() for s in made)
    for step in made:  # Aᴴ1-weighted total of x is that of the data
        support.assert_close(A(step.x).sum(), counts.sum(), 1000)


def test_mlem_finds_the_truth_of_exact_data():
    x = positive(5) + 0.1
    last = run("mlem", A(x), 3000)[-1].x
    assert support.norm(A(last) - A(x)) < 1e-3 * support.norm(A(x))


@pytest.mark.parametrize("name", ["sirt", "mlem", "osem"])
def test_samples_are_apart_and_scale_with_the_data(name):
    y = A(positive(6, 3)).float()
    B = A.to(dtype=torch.float32)
    make = lambda data: [s.x for s in itertools.islice(getattr(ex.solvers, name)(B, data), 5)]  # noqa: E731
    plain = make(y)
    for mate in (0.0, torch.nan, 1e20):
        crowd = y.clone()
        crowd[0] = mate
        for one, other in zip(plain, make(crowd), strict=True):
            support.assert_same_bits(other[1:], one[1:])
    for factor in (2.0**-20, 2.0**20):
        for one, other in zip(plain, make(factor * y), strict=True):
            support.assert_same_bits(other, factor * one)


@pytest.mark.parametrize("name", ["sirt", "mlem", "osem"])
def test_nothing_is_read_and_nothing_leaves_the_device(name):
    B = A.to("meta", torch.float32)
    step = next(iter(getattr(ex.solvers, name)(B, torch.empty(2, *A.codomain.shape, device="meta"))))
    assert step.x.is_meta
    assert all(v.is_meta for v in step.scalars.values())


@pytest.mark.parametrize("name", ["osem", "mlem"])
def test_signs_are_asked_for_in_a_sentence(name):
    spec = ex.RunSpec(problem={"name": "shepp_logan", "params": {"size": 16}}, operator="gradient", solver=name)
    with pytest.raises(SpecError, match="without negative entries"):
        ex.run(spec)


@pytest.mark.parametrize("name", ["sirt", "mlem", "osem"])
def test_they_reconstruct_and_pass_their_best_on_noisy_tomography(name):
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 32}}, operator={"name": "radon", "params": {"angles": 40}},
        noise={"name": "gaussian", "params": {"level": 0.15}}, solver=name, draws=5, record={"keep_going": True},
        stop={"name": "budget", "params": {"steps": 300}},
    )  # fmt: skip
    error = ex.run(spec).history["error"]
    best = error.argmin(0)
    assert (error.min(0) < 0.7 * error[0]).all()
    assert ((best > 5) & (best < 299)).all()
    assert (error[-1] > error.min(0)).all()
