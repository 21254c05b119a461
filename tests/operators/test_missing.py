"""Missing data: what is left is what the operator within measures there."""

import itertools

import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Rng, Space
from tests.support import assert_same_bits, every_seed, normal

DOMAIN = Space((16, 16), torch.float64)


def missing(seed=0, domain=DOMAIN, **params):
    return ex.catalogue.operators["missing_data"].build(domain=domain, rng=Rng(seed, "missing"), **params)


@every_seed
@pytest.mark.parametrize("pattern", ["entries", "rows", "columns"])
def test_what_is_left_is_what_the_operator_within_measures(pattern, seed):
    A = missing(seed, pattern=pattern, missing=0.25)
    x = normal(DOMAIN.shape, seed)
    whole, seen = A.right(x), A.left.H(torch.ones(A.codomain.shape, dtype=torch.float64)) > 0
    assert_same_bits(A(x), whole[seen])
    assert_same_bits(A.left.picture(A(x)), torch.where(seen, whole, 0))
    if pattern == "entries":
        assert abs(seen.double().mean() - 0.75) < 1 / seen.numel()
        assert 0 < seen.double().mean(0).min() < 1
    else:
        lines = seen if pattern == "columns" else seen.T
        assert (lines == lines[0]).all()
        assert abs(lines[0].double().mean() - 0.75) <= 0.5 / lines.shape[1]


def test_nothing_missing_is_the_operator_itself():
    x = normal(DOMAIN.shape)
    A = missing(missing=0.0, operator={"name": "gaussian_blur", "params": {}})
    assert_same_bits(A(x), A.right(x).flatten())


@every_seed
def test_knowing_what_is_missing_beats_taking_zeros_for_data(seed):
    problem = {"name": "shepp_logan", "params": {"size": 32}}
    radon = {"name": "missing_data", "params": {"operator": "radon", "missing": 0.3, "pattern": "columns"}}
    spec = ex.RunSpec(problem=problem, operator=radon, solver="cgls", seed=seed, dtype="float64")
    known = build(spec)
    whole, zeros = known.A.right, known.A.left.picture(known.y)
    best = []
    for A, y in ((known.A, known.y), (whole, zeros)):
        best.append(min(float(known.distance(step.x)) for step in itertools.islice(ex.solvers.cgls(A, y), 30)))
    assert best[0] < 0.6 * best[1]


def test_other_data_cannot_be_missing():
    with pytest.raises(ex.SpecError, match="the data have one dimension: choose 'entries'"):
        missing(domain=Space((9,)), operator="identity", pattern="rows")
    with pytest.raises(ex.SpecError, match="a linear operator with a single set of data"):
        missing(domain=Space((9, 9)), operator="exponential")
