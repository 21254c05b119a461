"""Row 91: "near_field_radar", the problem "reflectors", the prior "sparse_tv" and the solver "magnitude_admm"."""

import itertools
import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError, operators, problems, solvers
from explorer.labs.linear.radar import SparseTotalVariation, magnitude_admm
from explorer.linalg import Rng, Space
from explorer.operators.base import phase
from explorer.priors import Prior
from tests import support


def radar(shape=(32, 32), dtype=torch.complex64, **params):
    return operators["near_field_radar"].build(domain=Space(shape, dtype), **params)


def scenes(size=32):
    return torch.stack([problems["reflectors"].build(rng=Rng(seed, "scene"), size=size).x for seed in support.SEEDS])


@torch.no_grad()
def solved(A, y, steps=60, weight=4e-4, variation=2e-4, inner=6, **knobs):
    norm2 = float(A.norm()) ** 2
    prior = SparseTotalVariation(A.domain, weight=weight * norm2, variation=variation * norm2, inner=inner)
    return next(itertools.islice(magnitude_admm(A, y, prior, **knobs), steps - 1, None)).x


def psnr(x, magnitude):
    return 10 * torch.log10(magnitude.amax((-1, -2)) ** 2 / (x - magnitude).square().mean((-1, -2)))


# --- the operator ---


def test_entries_are_those_of_the_definition():
    """By the distances of every voxel to every antenna, one by one."""
    A = radar(
        (3, 2, 4),
        torch.complex128,
        transmitters=3,
        receivers=2,
        frequencies=2,
        lowest=5,
        highest=7,
        aperture=0.4,
        distance=0.6,
        width=0.2,
    )
    assert A.codomain.shape == (3, 2, 2)
    step = 0.2 / 4
    send = [(-0.2, -0.2), (0.2, 0.0), (-0.2, 0.2)]
    hear = [(-0.2, -0.2), (0.2, 0.2)]
    entries = A.matrix.reshape(3, 2, 2, 3, 2, 4)
    for s, h, f, p, r, c in itertools.product(range(3), range(2), range(2), range(3), range(2), range(4)):
        voxel = ((c - 1.5) * step, -(r - 0.5) * step, 0.6 + (p - 1) * step)
        d_send = math.dist((*send[s], 0), voxel)
        d_hear = math.dist((hear[h][1], hear[h][0], 0), voxel)
        k = 2 * math.pi * (5e9, 7e9)[f] / 299_792_458
        expected = 0.36 / (d_send * d_hear) * np.exp(-1j * k * (d_send + d_hear))
        assert abs(complex(entries[s, h, f, p, r, c]) - expected) < 1e-10


def test_scenes_are_plates_of_random_phase():
    x = scenes()
    moduli = x.abs()
    assert 0.4 - 1e-12 <= moduli[moduli > 0].min() <= moduli.max() <= 1
    assert ((moduli > 0).double().mean((-1, -2)) > 0.02).all()
    angles = x[moduli > 0].angle()
    assert abs(float(angles.cos().mean())) < 0.1
    assert problems["reflectors"].build(rng=Rng(0, "scene"), planes=4).x.shape == (4, 32, 32)


def test_what_does_not_fit_is_said():
    with pytest.raises(SpecError, match="choose fewer antennas"):
        radar((128, 128), transmitters=100, receivers=100)
    with pytest.raises(SpecError, match="above the highest frequency"):
        radar(lowest=30.0)
    with pytest.raises(SpecError, match="a complex scene"):
        radar(dtype=torch.float32)


# --- the identity and the method ---


def test_the_proximal_map_of_a_prior_of_the_modulus_keeps_the_phase():
    """No other complex element has a lower ``½ ‖w − v‖² + R(|w|)`` than the prox of the modulus at the old phase."""
    domain, v = Space((6, 5), torch.complex128), support.normal((5, 6, 5), 0, torch.complex128)
    prior = SparseTotalVariation(domain, weight=0.2, variation=0.3, inner=400)
    w = prior.prox(v.abs().to(v.dtype), 1.0).real.clamp(min=0) * phase(v)
    objective = lambda w: domain.norm2(w - v) / 2 + prior.value(w.abs().to(w.dtype))  # noqa: E731
    for k in range(100):
        for size in (1e-3, 1e-2, 1.0):
            assert (objective(w + size * support.normal(v.shape, k, v.dtype)) >= objective(w) - 1e-6).all()


def test_the_prior_with_one_weight_is_the_prior_of_that_name():
    domain, x = Space((9, 7), torch.complex128), support.normal((5, 9, 7), 0, torch.complex128)
    for knobs, name in (({"variation": 0.0, "weight": 0.3}, "l1"), ({"variation": 0.3, "weight": 0.0}, "tv")):
        both = SparseTotalVariation(domain, **knobs, inner=600)
        other = getattr(ex.priors, name)(domain, weight=0.3, **({"inner": 600} if name == "tv" else {}))
        support.assert_close(both.value(x), other.value(x), 10)
        support.assert_close(both.prox(x, 0.7), other.prox(x, 0.7), 1e11)


class Ridge(Prior):
    """``weight/2 ‖x‖²``, whose answer has a closed form."""

    title, has_prox = "ridge", True

    def value(self, x):
        return self.weight / 2 * self.domain.norm2(x)

    def prox(self, x, step):
        return x / (1 + step * self.weight)


@pytest.mark.parametrize("on", ["modulus", "parts", "complex"])
@support.every_dtype
def test_a_ridge_on_the_modulus_is_tikhonov(on, dtype):
    """|x|² is that of both parts together: all three ways end at ``(AᴴA + λI)⁻¹ Aᴴy``."""
    A = support.operator(support.decay(8, 3.0), 10, 8, dtype=dtype)
    y = support.normal((5, 10), 1, dtype)
    M = A.to_dense()
    expected = torch.linalg.solve(M.mH @ M + 0.3 * torch.eye(8, dtype=dtype), M.mH @ y.mT).mT
    steps = magnitude_admm(A, y, Ridge(A.domain, 0.3), on=on, penalty=0.3)
    with torch.no_grad():
        last = next(itertools.islice(steps, 199, None))
    support.assert_close(last.x, expected, 200)
    assert (last.scalars["gap"] <= 200 * support.eps(dtype) * y.norm()).all()
    support.assert_close(last.scalars["residual"], A.codomain.norm(A(last.x) - y), 10)


@pytest.fixture(scope="module")
def measured():
    """Five scenes, 500 complex data of each (49 %), 25 dB."""
    A, truth = radar(), scenes().to(torch.complex64)
    clean = A(truth)
    noise = torch.stack([support.normal(A.codomain.shape, seed, torch.complex64) for seed in support.SEEDS])
    level = 10**-1.25 * A.codomain.norm(clean) / A.codomain.size**0.5
    return A, clean + level[:, None, None, None] * noise, truth.abs()


def test_row_91_a_prior_of_the_magnitude_is_better(measured):
    """Measured 33.8 (modulus), 28.9 (parts), 28.3 (l1), 11.3 dB (back-projection), each at its best weight.

    Seen: 33.7, 32.7, 33.3, 35.2, 33.4 against 30, 29, 27, 34, 30 and 31, 29, 29, 33, 30 and 12. The gain of 3 dB holds
    on average: a scene of few small plates, the fourth, gains 1.4 dB over the parts and 2 dB over l1 alone.
    """
    A, y, truth = measured
    back = A.adjoint(y).abs()
    back *= ((back * truth).sum((-1, -2)) / (back * back).sum((-1, -2)))[:, None, None]
    modulus = psnr(solved(A, y).abs(), truth)
    parts = psnr(solved(A, y, on="parts").abs(), truth)
    sparse = torch.stack([psnr(solved(A, y, weight=w, variation=0.0).abs(), truth) for w in (8e-4, 1.2e-3)]).amax(0)
    assert (modulus - parts).mean() >= 3
    assert (modulus - sparse).mean() >= 2.5
    assert (modulus >= torch.maximum(parts, sparse) + 1).all()
    assert (modulus >= psnr(back, truth) + 15).all()


def test_variation_of_the_modulus_without_sparsity_collapses(measured):
    """The regime where it fails, as the problem is not convex: both weights are needed."""
    A, y, truth = measured
    both, variation = (psnr(solved(A, y, weight=w, variation=8e-4).abs(), truth) for w in (8e-4, 0.0))
    assert (variation <= both - 10).all()


@pytest.mark.soak
def test_row_91_on_a_grid_of_weights(measured):
    A, y, truth = measured
    grid = list(itertools.product((2e-4, 4e-4, 8e-4, 1.6e-3), (0.0, 2e-4, 4e-4)))
    best = {
        on: torch.stack([psnr(solved(A, y, 150, w, v, on=on).abs(), truth) for w, v in grid]).amax(0)
        for on in ("modulus", "parts")
    }
    assert (best["modulus"] - best["parts"]).mean() >= 3
    assert (best["modulus"] > best["parts"]).all()


# --- promises ---


@pytest.mark.parametrize("on", ["modulus", "parts"])
def test_other_samples_change_no_bit_and_scaling_scales(on):
    A = radar((8, 8), torch.complex128, transmitters=3, receivers=3)
    y = A(support.normal((3, 8, 8), 0, torch.complex128))
    prior = SparseTotalVariation(A.domain, weight=0.5, variation=0.3)

    def last(y, prior=prior):
        with torch.no_grad():
            return next(itertools.islice(magnitude_admm(A, y, prior, on=on), 9, None)).x

    plain = last(y)
    for mate in (0.0, torch.nan, 1e20):
        crowd = y.clone()
        crowd[0] = crowd[2] = mate
        support.assert_same_bits(last(crowd)[1], plain[1])
    for factor in (2.0**-20, 2.0**20):
        scaled = SparseTotalVariation(A.domain, weight=0.5 * factor, variation=0.3 * factor)
        support.assert_same_bits(last(factor * y, scaled), factor * plain)


def test_any_proximable_prior_is_plugged_in_and_meta_reads_nothing():
    spec = ex.RunSpec(problem=ex.Choice("reflectors", size=16), operator="near_field_radar", solver="magnitude_admm")
    small = spec.replace(stop=ex.Choice("budget", steps=20))
    for prior in ("l1", "tv", "sparse_tv"):
        run = ex.run(small.replace(prior=prior))
        assert run.x.is_complex()
        assert np.isfinite(run.history["residual"]).all()
    assert ex.compatible(spec.replace(prior="sparse_tv"))["magnitude_admm"] is None
    A = radar((8, 8), transmitters=3, receivers=3).to("meta")
    steps = solvers["magnitude_admm"].function(
        A, torch.empty(2, *A.codomain.shape, dtype=torch.complex64, device="meta"), SparseTotalVariation(A.domain)
    )
    assert next(itertools.islice(steps, 2, None)).x.shape == (2, 8, 8)
