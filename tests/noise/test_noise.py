"""Every registered noise: moments against theory, likelihood against its own samples, streams, devices."""

import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Blocks, ProductSpace, Rng, Space
from explorer.noise.base import NoiseModel
from tests.support import assert_close, assert_same_bits, every_precision, every_seed

NAMES = list(ex.catalogue.noises)
NOISY = [name for name in NAMES if name != "none"]
TRAITS = {name: component.traits for name, component in ex.catalogue.noises.items()}
#: the defaults, each alternative of each choice, and levels at which a likelihood looks different
SETTINGS = [
    *((name, {}) for name in NAMES),
    *(
        (name, {knob.name: value})
        for name, component in ex.catalogue.noises.items()
        for knob in component.knobs.values()
        for value in knob.choices
        if value != knob.default
    ),
    ("gaussian", {"level": 0.3, "scale": "absolute"}),
    ("poisson", {"peak": 30.0}),
    ("poisson_gaussian", {"peak": 30.0, "read": 0.5}),
    ("speckle", {"looks": 1.5}),
    ("rician", {"level": 0.7}),
    ("quantised", {"bits": 3, "span": 1.0, "dither": 0.2}),
]
SPACE = Space((15, 20), torch.float64)
every_noise = pytest.mark.parametrize("name", NAMES)
every_setting = pytest.mark.parametrize(("name", "params"), SETTINGS)
every_noisy_setting = pytest.mark.parametrize(("name", "params"), [s for s in SETTINGS if s[0] != "none"])


def every_setting_that(holds):
    """Parametrize over the noisy settings whose traits say so."""
    return pytest.mark.parametrize(("name", "params"), [s for s in SETTINGS if s[0] != "none" and holds(TRAITS[s[0]])])


unbiased, smooth = lambda t: not t.get("biased"), lambda t: t.get("smooth", True)
whitens, estimates = lambda t: t.get("whitening", 0) is not None, lambda t: t.get("estimates", 0.15) is not None
DRAWS = 400


def clean(seed=0, dtype=torch.float64, batch=()):
    """Return clean data that every noise accepts, values 0.5 to 1.5."""
    return 0.5 + Rng(seed, "clean").uniform((*batch, *SPACE.shape), dtype)


def make(name, params=None, x=None):
    model = ex.catalogue.noises[name].build(**(params or {}))
    return model if x is None else model.at(x, SPACE)


def near(values, expected):
    """Whether the mean of independent values is within five standard errors of what theory expects."""
    error = values.std() / len(values) ** 0.5
    return abs(values.mean() - expected) <= 5 * error


# --- moments ---


@every_setting_that(unbiased)
@every_seed
def test_the_noise_has_mean_zero(name, params, seed):
    x = clean(seed)
    noise = make(name, params).sample(x, Rng(seed, name, DRAWS)) - x
    assert near(noise.mean((-1, -2)), 0)
    assert near((noise * x).mean((-1, -2)), 0)


@every_noisy_setting
@every_seed
def test_the_expected_norm_is_the_root_mean_square_norm(name, params, seed):
    x = clean(seed)
    model = make(name, params)
    noise = model.sample(x, Rng(seed, name, DRAWS)) - x
    assert near(SPACE.norm2(noise), float(model.expected_norm(x, SPACE)) ** 2)


@every_seed
def test_the_variance_of_gaussian_noise_is_the_same_everywhere(seed):
    x = clean(seed)
    for params, sigma in (
        ({"level": 0.3, "scale": "absolute"}, 0.3),
        ({"level": 0.1}, 0.1 * float(x.square().mean()) ** 0.5),
    ):
        noise = make("gaussian", params).sample(x, Rng(seed, "noise", DRAWS)) - x
        assert near((noise**2).flatten(), sigma**2)
        assert near((noise**4).flatten(), 3 * sigma**4)
        assert near((noise**2 * x).mean((-1, -2)), float(sigma**2 * x.mean()))


@every_seed
@pytest.mark.parametrize("peak", [3.0, 1000.0])
def test_poisson_noise_is_a_count_whose_variance_is_its_mean(seed, peak):
    x = clean(seed)
    gain = peak / float(x.max())
    counts = make("poisson", {"peak": peak}).sample(x, Rng(seed, "noise", DRAWS)) * gain
    assert_close(counts, counts.round(), 10)
    deviation = counts - gain * x
    assert near((deviation**2 / (gain * x)).mean((-1, -2)), 1)
    assert near((deviation**3 / (gain * x)).mean((-1, -2)), 1)


@every_seed
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_gaussian_noise_is_circular(seed, dtype):
    x = torch.complex(clean(seed), clean(seed + 1)).to(dtype)
    space = Space(SPACE.shape, dtype)
    model = make("gaussian", {"level": 0.3, "scale": "absolute"})
    noise = model.sample(x, Rng(seed, "noise", DRAWS)) - x
    assert noise.dtype == dtype
    assert near((noise.real**2).double().mean((-1, -2)), 0.045)
    assert near((noise.imag**2).double().mean((-1, -2)), 0.045)
    assert near((noise.real * noise.imag).double().mean((-1, -2)), 0)
    assert near(space.norm2(noise).double(), float(model.expected_norm(x, space)) ** 2)


@every_setting_that(whitens)
@every_seed
def test_whitened_noise_has_unit_variance(name, params, seed):
    x = 10 + clean(seed)
    model = make(name, params, x)
    white = model.whiten(model.sample(x, Rng(seed, name, DRAWS)), x, SPACE)
    error = (white**2).mean((-1, -2)).std() / DRAWS**0.5
    assert abs((white**2).mean() - 1) <= TRAITS[name].get("whitening", 0) + 5 * error


@every_setting_that(lambda traits: not whitens(traits))
def test_noise_that_cannot_be_whitened_says_why(name, params):
    with pytest.raises(ex.SpecError, match=": "):
        make(name, params).whiten(clean(), clean(), SPACE)


# --- the level ---


def picture(batch=()):
    """Return a picture of smooth shading, edges and a texture, values 0.5 to 2."""
    u, v = (torch.linspace(0, 1, 96, dtype=torch.float64)[(slice(None), None)[:k]] for k in (2, 1))
    shading = 1 + 0.5 * torch.sin(5 * u + 3 * v) + 0.1 * torch.sin(20 * u * v)
    edges = 0.4 * ((u - 0.5) ** 2 + (v - 0.4) ** 2 < 0.09)
    return (shading + edges).expand(*batch, 96, 96)


@every_setting_that(estimates)
@every_seed
def test_the_level_is_found_in_the_noisy_data(name, params, seed):
    x, space = picture(), Space((96, 96), torch.float64)
    model = make(name, params).at(x, space)
    y = model.sample(x, Rng(seed, name, 4))
    found, expected = model.estimate(y, space).expected_norm(x.expand_as(y), space), model.expected_norm(x, space)
    assert found.shape == (4,)
    assert (abs(found / expected - 1) <= TRAITS[name].get("estimates", 0.15)).all()
    assert_close(model.estimate(y[1], space).expected_norm(x, space), found[1], 20)


def test_noise_without_an_estimate_says_what_to_do():
    with pytest.raises(ex.SpecError, match="this noise cannot be told from the data alone: give its level"):
        NoiseModel().estimate(clean(), SPACE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("shape", [(4000,), (60, 70), (2, 60, 40), (16, 16, 17)])
@every_seed
def test_the_level_of_white_noise_is_found_on_any_ramp(dtype, shape, seed):
    space = Space(shape, dtype)
    ramp = sum(torch.arange(n).reshape(-1, *(1,) * (len(shape) - i - 1)) for i, n in enumerate(shape)).to(dtype)
    y = ramp + 0.1 * space.random(Rng(seed, "noise", 3))
    assert (abs(make("gaussian").estimate(y, space).level / 0.1 - 1) < 0.1).all()
    assert make("gaussian").estimate(ramp, space).level < 1e3 * space.eps


def test_too_few_data_do_not_tell_their_noise():
    with pytest.raises(ex.SpecError, match="an axis of at least 3 entries"):
        make("gaussian").estimate(torch.ones(2, 2), Space((2, 2)))


# --- likelihood ---


@every_setting
@every_seed
def test_the_gradient_of_the_likelihood_is_its_derivative(name, params, seed):
    x = clean(seed, batch=(2,))
    y = make(name, params, x[0]).sample(x[0], Rng(seed, name))
    model = make(name, params, x[0])
    assert torch.autograd.gradcheck(lambda z: model.nll(y, z, SPACE), x.requires_grad_(), fast_mode=True)


@every_setting_that(smooth)
@every_seed
def test_the_score_has_mean_zero_and_the_variance_that_information_says(name, params, seed):
    x = clean(seed)
    model = make(name, params, x)
    y = model.sample(x, Rng(seed, name, DRAWS))
    at = x.expand_as(y).clone().requires_grad_()
    (score,) = torch.autograd.grad(model.nll(y, at, SPACE).sum(), at, create_graph=True)
    signs = 2 * Rng(seed, "signs").permutation(y.numel()).remainder(2).reshape(y.shape) - 1  # for the trace
    (curvature,) = torch.autograd.grad((signs * score).sum(), at)
    assert near(score.mean((-1, -2)).detach(), 0)
    assert near((score**2 - signs * curvature).mean((-1, -2)).detach(), 0)


@every_seed
def test_the_complex_likelihood_is_that_of_its_real_and_imaginary_parts(seed):
    x, y = (torch.complex(clean(s), clean(s + 1)) for s in (seed, seed + 7))
    whole = make("gaussian", {"level": 0.3, "scale": "absolute"}).nll(y, x, Space(SPACE.shape, torch.complex128))
    parts = make("gaussian", {"level": 0.3 / 2**0.5, "scale": "absolute"}).nll(
        torch.view_as_real(y), torch.view_as_real(x), Space((*SPACE.shape, 2), torch.float64)
    )
    assert_close(whole, parts, 50)


def test_the_poisson_likelihood_is_the_textbook_one_up_to_a_constant():
    x = clean()
    model = make("poisson", {"peak": 5.0}, x)
    y = model.sample(x, Rng(0, "noise"))
    counts, gain = y * model.known_gain, model.known_gain
    textbook = lambda z: -torch.distributions.Poisson(gain * z).log_prob(counts.round()).sum()  # noqa: E731
    other = clean(1)
    assert_close(model.nll(y, other, SPACE) - model.nll(y, x, SPACE), textbook(other) - textbook(x), 1e3)
    assert (y == 0).any()
    assert abs(float(model.nll(y, y, SPACE))) <= 1e3 * SPACE.eps
    assert model.nll(y, torch.zeros_like(x), SPACE) == torch.inf


@every_setting
def test_values_are_one_a_sample(name, params):
    x = clean(batch=(3,))
    model = make(name, params)
    y = x + 0.01
    functions = [model.nll, lambda _, clean, space: model.expected_norm(clean, space)]
    for function in (*functions, *([model.whiten] if whitens(TRAITS[name]) else ())):
        single = [function(b, a, SPACE) for a, b in zip(x, y, strict=True)]
        assert_close(function(y, x, SPACE), torch.stack(single), 20)


# --- streams ---


@every_noise
@every_precision
def test_a_draw_is_the_same_alone_and_in_a_batch(name, dtype):
    x = clean(dtype=dtype)
    five = make(name).sample(x, Rng(3, "noise", 5))
    assert five.shape == (5, *SPACE.shape)
    assert five.dtype == dtype
    assert_same_bits(make(name).sample(x, Rng(3, "noise")), five[0])
    for count in range(1, 5):
        assert_same_bits(make(name).sample(x, Rng(3, "noise", count))[-1], five[count - 1])


@every_setting
@every_seed
def test_both_precisions_round_the_same_noise(name, params, seed):
    fine, coarse = (
        make(name, params).sample(clean(seed, d), Rng(seed, "noise", 3)) for d in (torch.float64, torch.float32)
    )
    assert_close(coarse, fine, 10)


@pytest.mark.parametrize("name", NOISY)
def test_draws_and_seeds_differ(name):
    x = clean()
    drawn = [*make(name).sample(x, Rng(0, "noise", 3)), make(name).sample(x, Rng(1, "noise"))]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


@every_noise
@pytest.mark.parametrize("k", [-20, 20])
def test_relative_noise_scales_with_the_data_bit_for_bit(name, k):
    x = clean(dtype=torch.float32)
    assert_same_bits(make(name).sample(x * 2.0**k, Rng(0, "n", 2)), make(name).sample(x, Rng(0, "n", 2)) * 2.0**k)


@every_noise
def test_clean_data_of_zero_stay_zero(name):
    x = torch.zeros(SPACE.shape)
    assert make(name).sample(x, Rng(0, "noise")).abs().max() == 0
    assert make(name).expected_norm(x, Space(SPACE.shape)) == 0


@every_noise
def test_the_input_is_left_alone(name):
    x = clean()
    before = x.clone()
    make(name).sample(x, Rng(0, "noise")).zero_()
    assert_same_bits(x, before)


# --- the engine ---


@every_noise
def test_every_noise_builds_without_data(name):
    problem = build(ex.RunSpec(noise=name, device="meta", draws=2))
    assert problem.y.shape == (2, 128, 128)
    assert problem.offers["noise_norm"].shape == (2,)


@every_setting
def test_the_engine_fixes_the_level_by_the_clean_data(name, params):
    choice = {"name": name, "params": params}
    problem = build(ex.RunSpec(problem="camera", noise=choice, dtype="float64"))
    space, doubled = problem.codomain, 2 * problem.clean
    raw = make(name, params)
    assert_close(problem.noise.expected_norm(problem.clean, space), raw.expected_norm(problem.clean, space), 10)
    if name != "none":
        known = problem.noise.at(doubled, space)
        assert_same_bits(known.nll(problem.y, doubled, space), problem.noise.nll(problem.y, doubled, space))


@every_setting
def test_a_fixed_level_moves_with_the_model(name, params):
    model = make(name, params, clean()).to(dtype=torch.float32)
    x = clean(dtype=torch.float32)
    assert model.nll(x, x + 0.1, Space(SPACE.shape)).dtype == torch.float32
    assert model.to("meta").nll(x.to("meta"), x.to("meta"), Space(SPACE.shape, device="meta")).is_meta


def test_relative_noise_on_blocks_is_relative_to_all_of_them():
    x = Blocks([clean(), 3 * clean(1)])
    space = ProductSpace((SPACE, SPACE))
    model = make("gaussian", {"level": 0.1}).at(x, space)
    assert_close(model.expected_norm(x, space), 0.1 * space.norm(x), 10)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (clean() - 1, "needs data that are not negative, and their least value is -0.4"),
        (clean() * 1j, "these are complex: use Gaussian noise"),
    ],
)
def test_poisson_noise_refuses_what_it_cannot_count(data, says):
    for refuse in (lambda m: m.at(data, SPACE), lambda m: m.sample(data, Rng(0, "noise"))):
        with pytest.raises(ex.SpecError, match=says):
            refuse(make("poisson"))


def test_poisson_noise_takes_rounding_below_zero_for_zero():
    x = clean()
    x[0, 0] = -1e-6
    assert make("poisson").sample(x, Rng(0, "noise"))[0, 0] == 0
