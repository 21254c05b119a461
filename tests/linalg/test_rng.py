"""Random streams: independent across components and draws, the same alone or in a batch."""

import pytest
import torch

from explorer.linalg import Rng
from tests.support import assert_same_bits, every_seed

KINDS = {
    "normal": lambda rng: rng.normal((4, 5)),
    "complex": lambda rng: rng.normal((4, 5), torch.complex64),
    "uniform": lambda rng: rng.uniform((4, 5)),
    "permutation": lambda rng: rng.permutation(20),
    "gamma": lambda rng: rng.gamma(torch.full((4, 5), 3.0)),
    "poisson": lambda rng: rng.poisson(torch.full((4, 5), 3.0)),
}


@pytest.mark.parametrize("kind", KINDS)
@every_seed
def test_draw_j_is_the_same_alone_or_in_a_batch(kind, seed):
    many, few, one = (KINDS[kind](Rng(seed, "noise", draws)) for draws in (7, 3, None))
    assert_same_bits(many[:3], few)
    assert_same_bits(few[0], one)
    assert not torch.equal(few[0], few[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_stream_gives_the_same_bits_and_goes_on(kind):
    a, b = Rng(5, "noise", 2), Rng(5, "noise", 2)
    assert_same_bits(KINDS[kind](a), KINDS[kind](b))
    assert not torch.equal(KINDS[kind](a), KINDS[kind](Rng(5, "noise", 2)))


def test_streams_of_different_seeds_components_and_parts_differ():
    streams = [Rng(0, "a"), Rng(0, "b"), Rng(1, "a"), Rng(0, "a").fork("b"), Rng(0, "a").fork("c")]
    drawn = torch.stack([s.normal((1000,), torch.float64) for s in streams])
    correlation = torch.corrcoef(drawn) - torch.eye(len(streams))
    assert correlation.abs().max() < 5 / 1000**0.5  # five standard deviations


def test_no_two_of_many_draws_are_equal():
    drawn = Rng(0, "noise", 4096).uniform((1,), torch.float64)
    assert len(drawn.unique()) == 4096


def test_a_part_has_as_many_draws_as_the_whole():
    assert Rng(0, "a", 3).fork("b").normal((2,)).shape == (3, 2)
    assert_same_bits(Rng(0, "a", 3).fork("b").normal((2,))[0], Rng(0, "a").fork("b").normal((2,)))


def test_normal_entries_have_unit_variance_also_where_complex():
    for dtype in (torch.float64, torch.complex128):
        x = Rng(0, "x").normal((40_000,), dtype)
        assert abs(float((x.abs() ** 2).mean()) - 1) < 5 * (2 / 40_000) ** 0.5
        assert abs(complex(x.mean())) < 5 / 40_000**0.5


def test_uniform_entries_never_reach_one_in_any_precision(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(1 - 2.0**-53, dtype=torch.float64))
    for dtype in (torch.float16, torch.float32, torch.float64):
        assert Rng(0, "x").uniform((), dtype) < 1


@pytest.mark.parametrize("draws", [None, 3])
def test_on_meta_nothing_is_drawn(draws):
    batch = () if draws is None else (draws,)
    rng = Rng(0, "x", draws)
    assert rng.normal((10**6, 10**6), device="meta").shape == (*batch, 10**6, 10**6)
    assert rng.uniform((2,), device="meta").shape == rng.normal((2,), device="meta").shape == (*batch, 2)
    assert rng.permutation(5, "meta").dtype == torch.int64
    assert rng.poisson(torch.ones(2, device="meta")).device.type == "meta"
