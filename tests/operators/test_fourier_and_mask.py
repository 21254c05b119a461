"""What is sampled, and how much of it."""

import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.fourier import masked_fourier
from explorer.operators.mask import random_mask, random_subset
from tests.support import SEEDS, assert_close, every_dtype, every_seed, normal

IMAGE = Space((32, 24), torch.float64)


@every_dtype
@pytest.mark.parametrize("shape", [(9,), (6, 7)], ids=str)
def test_with_all_frequencies_it_is_unitary(dtype, shape):
    A = masked_fourier(Space(shape, dtype), Rng(0, "mask"), acceleration=1.0)
    x = normal((2, *shape), dtype=dtype)
    expected = torch.fft.fftn(x, dim=tuple(range(1, x.ndim)), norm="ortho")
    assert_close(A(x), expected.reshape(2, -1), 16)
    assert_close(A.gram(x), x, 16)


@every_seed
@pytest.mark.parametrize("pattern", ["random", "cartesian", "radial"])
@pytest.mark.parametrize("acceleration", [2.0, 4.0, 8.0])
def test_about_the_wanted_share_is_kept_and_the_lowest_frequencies_are(pattern, acceleration, seed):
    A = masked_fourier(IMAGE, Rng(seed, "mask"), acceleration=acceleration, pattern=pattern)
    kept = A.mask.kept
    assert torch.equal(kept, kept.unique())
    wanted = IMAGE.size / acceleration
    # lines through the origin overlap there
    assert (0.6 * wanted if pattern == "radial" else 0.99 * wanted) <= len(kept) <= 1.01 * wanted
    assert kept[0] == 0
    if pattern == "cartesian":
        assert torch.equal(kept.reshape(-1, 24) % 24, torch.arange(24).expand(len(kept) // 24, 24))


@every_seed
def test_random_frequencies_are_denser_near_the_origin(seed):
    A = masked_fourier(IMAGE, Rng(seed, "mask"), centre=0.0)
    row, column = A.mask.kept // 24, A.mask.kept % 24
    low = (torch.minimum(row, 32 - row) < 8) & (torch.minimum(column, 24 - column) < 6)
    assert low.float().mean() > 0.4  # a quarter of the plane


def test_seeds_draw_different_masks_and_each_the_same_again():
    drawn = [random_mask(IMAGE, Rng(seed, "mask")).kept for seed in (*SEEDS, 0)]
    assert torch.equal(drawn[0], drawn[-1])
    assert all(not torch.equal(drawn[0], other) for other in drawn[1:-1])


def test_radial_lines_need_an_image():
    with pytest.raises(ex.SpecError, match="pattern: radial lines need an image"):
        masked_fourier(Space((8,)), Rng(0, "mask"), pattern="radial")


def test_a_mask_shows_zeros_where_nothing_is_observed():
    A = random_mask(IMAGE, Rng(0, "mask"), observed=0.3)
    assert A.codomain.shape == (round(0.3 * IMAGE.size),)
    x = normal(IMAGE.shape)
    picture = A.picture(A(x))
    seen = picture != 0
    assert seen.sum() == A.codomain.size
    assert torch.equal(picture[seen], x[seen])


def test_a_weighted_subset_is_drawn_in_proportion():
    # without replacement: P(0 first) = w_0 / Σ w, and one of two draws misses it with the product of the rest
    weight = torch.tensor([2.0, 1.0, 1.0])
    drawn = [0 in random_subset(weight, 2, Rng(seed, "subset")).tolist() for seed in range(2000)]
    expected = 1 - 2 * (1 / 4) * (1 / 3)
    assert abs(sum(drawn) / 2000 - expected) < 4 * (expected * (1 - expected) / 2000) ** 0.5
    certain = random_subset(torch.tensor([1.0, float("inf"), 1.0, 1.0]), 1, Rng(0, "subset"))
    assert certain.tolist() == [1]
