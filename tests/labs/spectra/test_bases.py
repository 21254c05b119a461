"""Row 295: few bases for the features of all frames of a video."""

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError, analyses
from explorer.labs.spectra.bases import em_bases, responsibilities
from tests import support


def bases(**knobs):
    return analyses["feature_bases"].build(**knobs)


def test_row_295_32_bases_reconstruct_20_prototypes():
    for seed in support.SEEDS:
        found = bases(seed=seed)
        at = dict(zip(found.count.tolist(), found.error.tolist(), strict=True))
        assert at[32] <= 0.2
        assert at[8] > at[16] > at[32]
        assert found.storage[-1] == 0.005
        assert (found.error >= found.best * (1 - 1e-12)).all()


def test_row_295_a_random_start_misses_prototypes():
    """Of 20 kinds 20 (1 − 1/20)³² = 3.9 have no feature among 32, so that the error is about √(3.9/20) = 0.44."""
    error = [bases(seed=seed, start="random", temperature=0.02).error[-1] for seed in support.SEEDS]
    spread = [bases(seed=seed, temperature=0.02).error[-1] for seed in support.SEEDS]
    assert np.mean(error) > 0.2
    assert np.mean(error) > 2 * np.mean(spread)


@support.every_seed
def test_a_small_temperature_is_k_means_on_directions(seed):
    F, start = support.normal((200, 5), seed), support.normal((6, 5), 50 + seed)
    found, Z = em_bases(F, start, 1e-8, 3)
    mu = start
    for _ in range(3):
        nearest = (F @ torch.nn.functional.normalize(mu, dim=-1).mT).argmax(-1)
        mu = torch.stack([F[nearest == k].mean(0) for k in range(6)])
    support.assert_close(found, mu, 1e6)
    support.assert_close(Z.sum(-1), torch.ones(200, dtype=torch.float64), 100)


def test_responsibilities_ignore_the_length_of_a_feature():
    F, mu = support.normal((20, 5)), support.normal((3, 5), 1)
    support.assert_close(responsibilities(7 * F, 0.1 * mu, 0.3), responsibilities(F, mu, 0.3), 100)


def test_impossible_settings_are_refused():
    with pytest.raises(SpecError, match="4 pixels"):
        bases(frames=2, pixels=2)
    with pytest.raises(SpecError, match="above"):
        bases(frames=256, pixels=16_384)
