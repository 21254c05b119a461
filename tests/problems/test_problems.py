"""Every problem gives a finite truth of the size asked for, the same for the same seed."""

import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Rng
from explorer.problems.images import middle_square, resized

# Problems that need data of their own are tested with their family.
SIZED = [
    name
    for name, c in ex.catalogue.problems.items()
    if "size" in c.knobs and c.function.__module__.startswith("explorer.problems") and name != "own_file"
]
RANDOM = [name for name in SIZED if "rng" in [n.name for n in ex.catalogue.problems[name].needs]]
IMAGES = ["camera", "coins", "shepp_logan", "random_ellipses", "blocks_image"]


def truth(name, seed=0, **params):
    component = ex.catalogue.problems[name]
    needs = {"rng": Rng(seed, name)} if name in RANDOM else {}
    return component.build(**needs, **params).x


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("size", [16, 61])
def test_a_problem_is_finite_of_its_size_and_the_same_each_time(name, size):
    x = truth(name, size=size)
    assert set(x.shape) == {size}
    assert x.dtype == torch.float64
    assert x.isfinite().all()
    assert x.std() > 0
    assert torch.equal(x, truth(name, size=size))


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_values_from_0_to_1(name):
    x = truth(name, size=64)
    assert x.shape == (64, 64)
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.max() - x.min() > 0.5


@pytest.mark.parametrize("name", SIZED)
def test_a_problem_builds_without_data(name):
    domain = build(
        ex.RunSpec(problem={"name": name, "params": {"size": 32}}, operator="identity", device="meta")
    ).domain
    assert domain.device.type == "meta"
    assert set(domain.shape) == {32}


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_problem_differs_between_seeds(name):
    made = [truth(name, seed=s, size=32) for s in range(5)]
    assert all(not torch.equal(a, b) for i, a in enumerate(made) for b in made[:i])


@pytest.mark.parametrize("seed", range(5))
def test_spikes_are_as_many_as_asked_for(seed):
    x = truth("spikes", seed=seed, size=100, count=17)
    heights = x[x != 0].abs()
    assert len(heights) == 17
    assert heights.min() >= 0.5
    assert heights.max() <= 1


def test_more_spikes_than_samples_are_refused():
    with pytest.raises(ex.SpecError, match="is 20, and must be at most the 10 samples"):
        truth("spikes", size=10, count=20)


@pytest.mark.parametrize("seed", range(5))
def test_random_ellipses_stay_inside_the_unit_disc(seed):
    x = truth("random_ellipses", seed=seed, size=64, count=100)
    grid = (torch.arange(64, dtype=torch.float64) + 0.5) / 32 - 1
    assert x[grid[:, None] ** 2 + grid**2 > 1].abs().max() == 0


def test_shrinking_averages_what_it_drops():
    checks = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).to(torch.float64)
    small = resized(checks, 16, 16)
    assert (small - 0.5).abs().max() < 0.02
    assert resized(checks, 64, 64) is checks
    assert resized(checks[0], 16).shape == (16,)


def test_a_photograph_keeps_its_mean_when_it_is_resized():
    small, full = (float(truth("camera", size=n).mean()) for n in (64, 512))
    assert small == pytest.approx(full, abs=2e-3)


def test_the_middle_square_is_the_middle():
    image = torch.arange(20.0).reshape(4, 5)
    assert torch.equal(middle_square(image), image[:, :4])
    assert torch.equal(middle_square(image.T[:, :2]), image.T[1:3, :2])
