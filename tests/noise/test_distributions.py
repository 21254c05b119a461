"""The noise models against SciPy's distributions, dense covariances and sums over counts."""

import numpy as np
import pytest
import scipy.stats
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Blocks, Rng, Space
from tests.support import assert_close, assert_same_bits, every_seed

SPACE = Space((5, 6), torch.float64)
NOISES = ex.catalogue.noises


def data(seed, *batch, low=0.5):
    """Return values from `low` to `low` + 1."""
    return low + Rng(seed, "data").uniform((*batch, *SPACE.shape), torch.float64)


def as_float(x):
    return np.asarray(x, dtype=np.float64)


def real_and_imaginary(logpdf):
    return lambda y, x, s: logpdf(y.real, x.real, s / 2**0.5) + logpdf(y.imag, x.imag, s / 2**0.5)


def normal(y, x, s):
    return scipy.stats.norm.logpdf(y, x, s)


def mixed(y, x, s):
    return np.logaddexp(np.log(0.95) + normal(y, x, s), np.log(0.05) + normal(y, x, 10 * s))


def poisson_gaussian(y, x, gain, read):
    counts = np.arange(3000)
    logs = scipy.stats.poisson.logpmf(counts, gain * x[..., None]) + normal(gain * y[..., None], counts, read)
    return scipy.special.logsumexp(logs, -1)


def levels(y, x, least=0.0, step=0.1, top=15, dither=0.5):
    """Return the logarithm of the probability of each datum: of a normal variable between two thresholds."""
    k = np.round((y - least) / step)
    high = np.where(k == top, np.inf, least + step * (k + 0.5))
    low = np.where(k == 0, -np.inf, least + step * (k - 0.5))
    cdf, sf = (lambda t: scipy.stats.norm.cdf(t, x, dither * step)), lambda t: scipy.stats.norm.sf(t, x, dither * step)
    return np.log(np.where(low > x, sf(low) - sf(high), cdf(high) - cdf(low)))


ABSOLUTE = {"level": 0.3, "scale": "absolute"}
#: name, knobs, what is known of the clean data, log-density of SciPy
REFERENCES = {
    "gaussian": (ABSOLUTE, (), lambda y, x: normal(y, x, 0.3)),
    "laplace": (ABSOLUTE, (), lambda y, x: scipy.stats.laplace.logpdf(y, x, 0.3 / 2**0.5)),
    "heteroscedastic": ({**ABSOLUTE, "growth": 0.2}, (), lambda y, x: normal(y, x, 0.3 + 0.2 * abs(x))),
    "outliers": (ABSOLUTE, (), lambda y, x: mixed(y, x, 0.3)),
    "rician": (ABSOLUTE, (), lambda y, x: scipy.stats.rice.logpdf(y, x / 0.3, scale=0.3)),
    "speckle": ({"looks": 3.5}, (), lambda y, x: scipy.stats.gamma.logpdf(y, 3.5, scale=x / 3.5)),
    "poisson_gaussian": ({"read": 2.0}, (7.0,), lambda y, x: poisson_gaussian(y, x, 7.0, 2.0)),
    "quantised": ({}, (0.0, 0.1, 15.0), levels),
}


@every_seed
@pytest.mark.parametrize("name", REFERENCES)
def test_the_likelihood_is_scipys_up_to_a_constant(name, seed):
    params, known, logpdf = REFERENCES[name]
    model = NOISES[name].build(**params)
    if known:
        model = model.known(*(torch.tensor(value, dtype=torch.float64) for value in known))
    x, far = data(seed), data(seed + 10, low=0.01)
    y = model.sample(x, Rng(seed, name))
    found = model.nll(y, far, SPACE) - model.nll(y, x, SPACE)
    expected = logpdf(as_float(y), as_float(x)).sum() - logpdf(as_float(y), as_float(far)).sum()
    assert_close(found, torch.tensor(expected), 1e3, scale=abs(expected) + SPACE.size)


@every_seed
@pytest.mark.parametrize("name", ["gaussian", "outliers", "heteroscedastic"])
def test_complex_noise_has_the_likelihood_of_its_real_and_imaginary_parts(name, seed):
    space = Space(SPACE.shape, torch.complex128)
    x, far, n = (torch.complex(data(seed + s), data(seed + s + 1)) for s in (0, 5, 10))
    model, y = NOISES[name].build(level=0.3, scale="absolute"), x + n - (1 + 1j)
    deviation = 0.3 + 0.05 * abs(as_float_complex(x)), 0.3 + 0.05 * abs(as_float_complex(far))
    if name != "heteroscedastic":
        deviation = 0.3, 0.3

    def logpdf(z, s):
        def gaussian(factor):
            part = factor * s / 2**0.5
            a, b = as_float_complex(y), as_float_complex(z)
            return normal(a.real, b.real, part) + normal(a.imag, b.imag, part)

        return (
            np.logaddexp(np.log(0.95) + gaussian(1), np.log(0.05) + gaussian(10)) if name == "outliers" else gaussian(1)
        )

    expected = (logpdf(x, deviation[0]) - logpdf(far, deviation[1])).sum()
    found = model.nll(y, far, space) - model.nll(y, x, space)
    assert_close(found, torch.tensor(expected), 1e3, scale=abs(expected) + 1)


def as_float_complex(x):
    return np.asarray(x, dtype=np.complex128)


# --- correlated noise ---


def covariance(model, space):
    """Return the covariance that a model states, from its root applied to unit vectors."""
    unit = torch.eye(space.size, dtype=torch.float64).reshape(-1, *space.shape)
    root = model.root(unit, space).reshape(space.size, space.size)
    return root.T @ root


@pytest.mark.parametrize("along", ["columns", "rows"])
def test_stripes_have_the_covariance_of_an_offset_and_white_noise(along):
    model = NOISES["stripes"].build(share=0.7, along=along)
    i, j = (index.flatten() for index in torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij"))
    shared = j[:, None] == j if along == "columns" else i[:, None] == i
    assert_close(covariance(model, SPACE), 0.7 * shared.double() + 0.3 * torch.eye(30, dtype=torch.float64), 50)


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("shape", [(30,), (5, 6), (3, 4, 2)])
def test_coloured_noise_has_the_circulant_covariance_of_its_spectrum(exponent, shape):
    model, space = NOISES["coloured"].build(exponent=exponent, length=2.0), Space(shape, torch.float64)
    squared = sum(np.fft.fftfreq(n).reshape(-1, *(1,) * (len(shape) - a - 1)) ** 2 for a, n in enumerate(shape))
    power = (1 + (2 * np.pi * 2.0) ** 2 * squared) ** (-exponent / 2)
    correlation = np.fft.ifftn(power / power.mean()).real
    offsets = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    away = (offsets[:, None] - offsets) % shape
    expected = correlation[tuple(np.moveaxis(away, -1, 0))]
    assert np.allclose(np.diag(expected), 1)
    assert_close(covariance(model, space), torch.from_numpy(expected), 100)


@pytest.mark.parametrize("name", ["coloured", "stripes"])
@every_seed
def test_correlated_noise_has_its_covariance_and_the_likelihood_of_a_normal_vector(name, seed):
    model, x = NOISES[name].build(level=0.3, scale="absolute"), data(seed)
    expected = 0.09 * as_float(covariance(model, SPACE))
    draws = (model.sample(x, Rng(seed, name, 4000)) - x).flatten(1)
    products = draws[:, :, None] * draws[:, None, :]
    error = abs(as_float(products.mean(0)) - expected) / (as_float(products.std(0)) / 4000**0.5)
    assert error.max() < 5.5  # of 900 entries
    y, far = x + draws[0].reshape(SPACE.shape), data(seed + 1)
    normal_vector = scipy.stats.multivariate_normal(cov=expected)
    theirs = normal_vector.logpdf(as_float(y - x).ravel()) - normal_vector.logpdf(as_float(y - far).ravel())
    assert_close(model.nll(y, far, SPACE) - model.nll(y, x, SPACE), torch.tensor(theirs), 1e4)


@every_seed
def test_a_power_law_is_a_straight_line_in_the_periodogram(seed):
    space = Space((1024,), torch.float64)
    noise = NOISES["coloured"].build(level=1.0, scale="absolute", exponent=1.5, length=100.0)
    power = torch.fft.rfft(noise.sample(space.zeros(), Rng(seed, "pink", 50))).abs().square().mean(0)[10:400]
    slope = np.polyfit(np.log(np.arange(10, 400)), np.log(as_float(power)), 1)[0]
    assert abs(slope + 1.5) < 0.08


def test_stripes_need_rows_and_columns():
    with pytest.raises(ex.SpecError, match="needs data with rows and columns"):
        NOISES["stripes"].build().at(torch.ones(9), Space((9,)))
    with pytest.raises(ex.SpecError, match="rows and columns"):
        build(ex.RunSpec(problem="blocks", operator="deriv2", noise="stripes", device="meta"))


# --- moments that are known exactly ---


@every_seed
@pytest.mark.parametrize("level", [1e-5, 1e-3, 0.3, 3.0])
def test_rician_moments_are_scipys(seed, level):
    model, x = NOISES["rician"].build(level=level, scale="absolute"), data(seed)
    x[0, 0] = 0
    b = as_float(x) / level
    if level > 1e-2:
        mean, variance = scipy.stats.rice.stats(b, scale=level)
        bias = mean - as_float(x)
        assert_close(model.bias(x, SPACE), torch.from_numpy(bias), 1e4)
        expected = (variance + bias**2).sum() ** 0.5
    else:  # SciPy's exponentials overflow: the noise is Gaussian but for terms of order σ² / x²
        assert_close(model.bias(x, SPACE)[1:], level**2 / (2 * x[1:]), level**2 / SPACE.eps)
        expected = (((level**2 * (1 - 1 / (4 * b[b > 0] ** 2))).sum()) + 2 * level**2) ** 0.5
    assert abs(float(model.expected_norm(x, SPACE)) / expected - 1) < 1e-9


def test_the_mean_of_rician_noise_without_signal_is_rayleighs():
    zero, model = torch.zeros(100, 100, dtype=torch.float64), NOISES["rician"].build(level=0.5, scale="absolute")
    y = model.sample(zero, Rng(0, "rician", 20))
    assert scipy.stats.kstest(as_float(y).ravel(), scipy.stats.rayleigh(scale=0.5).cdf).pvalue > 1e-3
    assert abs(float(model.bias(zero, Space(zero.shape, torch.float64))[0, 0]) - 0.5 * (np.pi / 2) ** 0.5) < 1e-12


@every_seed
@pytest.mark.parametrize(
    ("name", "params", "distribution"),
    [
        ("laplace", ABSOLUTE, scipy.stats.laplace(1, 0.3 / 2**0.5)),
        ("rician", ABSOLUTE, scipy.stats.rice(1 / 0.3, scale=0.3)),
        ("speckle", {"looks": 3.5}, scipy.stats.gamma(3.5, scale=1 / 3.5)),
        ("heteroscedastic", {**ABSOLUTE, "growth": 0.2}, scipy.stats.norm(1, 0.5)),
    ],
)
def test_samples_have_the_distribution_that_the_name_says(name, params, distribution, seed):
    y = NOISES[name].build(**params).sample(torch.ones(50, 50, dtype=torch.float64), Rng(seed, name, 4))
    assert scipy.stats.kstest(as_float(y).ravel(), distribution.cdf).pvalue > 1e-3


@every_seed
def test_the_score_of_laplace_noise_is_a_sign_of_known_size(seed):
    x = data(seed).requires_grad_()
    model = NOISES["laplace"].build(level=0.3, scale="absolute")
    y = model.sample(x.detach(), Rng(seed, "laplace"))
    (score,) = torch.autograd.grad(model.nll(y, x, SPACE), x)
    assert_close(score, 2**0.5 / 0.3 * (x.detach() - y).sign(), 10)


@every_seed
@pytest.mark.parametrize("read", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("peak", [0.05, 3.0, 2000.0])
def test_the_sum_over_counts_is_complete_also_far_from_the_data(seed, peak, read):
    gain = torch.tensor(peak, dtype=torch.float64)
    model = NOISES["poisson_gaussian"].build(read=read).known(gain)
    x, y = data(seed, low=0.0), data(seed + 1, low=-0.1)
    x[0], y[0] = 0.3 / peak, 1 + 20 / peak
    y = (y * peak).round() / peak  # with little read noise, the logarithm between two counts is far from all
    expected = -poisson_gaussian(as_float(y), as_float(x), peak, read).sum()
    constant = SPACE.size * np.log(read * (2 * np.pi) ** 0.5)
    assert_close(model.nll(y, x, SPACE) + constant, torch.tensor(expected), 1e5, scale=abs(expected) + 100)


def test_read_noise_of_bright_data_is_that_of_a_normal_density():
    gain, read = torch.tensor(1e8, dtype=torch.float64), 10.0
    model, x = NOISES["poisson_gaussian"].build(read=read).known(gain), data(0).requires_grad_()
    y = model.sample(x.detach(), Rng(0, "bright"))
    (score,) = torch.autograd.grad(model.nll(y, x, SPACE), x)
    variance = x.detach() / gain + (read / gain) ** 2
    assert_close(score, (x.detach() - y) / variance, 1e-3 / SPACE.eps)


# --- impulses, outliers, levels ---


@every_seed
def test_impulses_are_as_frequent_as_they_should_be_and_leave_the_rest_alone(seed):
    x, space = data(seed).repeat(20, 20), Space((100, 120), torch.float64)
    model = NOISES["impulse"].build(fraction=0.2, level=1e-3).at(x, space)
    y = model.sample(x, Rng(seed, "impulse"))
    pepper, salt = (y == x.min()).sum().item(), (y == x.max()).sum().item()
    for count in (pepper, salt):
        assert scipy.stats.binomtest(count, space.size, 0.1).pvalue > 1e-3
    hit = (y == x.min()) | (y == x.max())
    assert (y - x)[~hit].abs().max() < 6e-3
    assert_close(model.nll(y, x, space), 0.5 * ((y - x)[~hit] / model.level).square().sum(), 100)
    found = model.estimate(y, space)
    assert_close(found.fraction, hit.double().mean(), 10)
    assert [float(t) for t in found.known_extremes] == [x.min(), x.max()]


@every_seed
def test_as_many_outliers_are_drawn_as_said(seed):
    x = torch.zeros(100, 100, dtype=torch.float64)
    model = NOISES["outliers"].build(level=1.0, scale="absolute", fraction=0.1, factor=50.0)
    y = model.sample(x, Rng(seed, "outliers"))
    expected = 0.9 * scipy.stats.norm.sf(5) * 2 + 0.1 * scipy.stats.norm.sf(0.1) * 2
    assert scipy.stats.binomtest(int((y.abs() > 5).sum()), 10_000, expected).pvalue > 1e-3


@every_seed
def test_a_converter_gives_its_levels_and_clips(seed):
    x = data(seed) * 10 - 7
    model = NOISES["quantised"].build(bits=4, span=0.8).at(x, SPACE)
    least, step, top = model.known_scale
    assert least == x.min()
    assert_close(least + step * top, least + 0.8 * (x.max() - least), 10)
    y = model.sample(x, Rng(seed, "converter", 50))
    k = (y - least) / step
    assert_close(k, k.round(), 100)
    assert k.min().round() == 0
    assert k.max().round() == top == 15


@every_seed
def test_dither_makes_the_mean_of_many_data_right_between_two_levels(seed):
    x = data(seed)
    x[0, 0] = 2.5
    means = {}
    for dither in (0.05, 0.5):
        model = NOISES["quantised"].build(bits=3, span=1.0, dither=dither).at(x, SPACE)
        error = (model.sample(x, Rng(seed, "dither", 4000)).mean(0) - x)[1:]
        means[dither] = float(error.square().mean().sqrt() / model.known_scale[1])
    assert means[0.05] > 0.15
    assert means[0.5] < 0.03


# --- missing data ---


@every_seed
@pytest.mark.parametrize("pattern", ["entries", "columns", "rows"])
def test_as_much_is_missing_as_said_and_the_rest_has_the_likelihood_of_a_normal_density(seed, pattern):
    x, space = data(seed).repeat(20, 20), Space((100, 120), torch.float64)
    model = NOISES["missing"].build(fraction=0.2, level=0.03, pattern=pattern).at(x, space)
    y = model.sample(x, Rng(seed, "missing"))
    gone = as_float(y) == 0
    lines = {"entries": gone.ravel(), "columns": gone.all(0), "rows": gone.all(1)}[pattern]
    assert scipy.stats.binomtest(int(lines.sum()), lines.size, 0.2).pvalue > 1e-3
    assert gone.mean() == pytest.approx(lines.mean(), abs=1e-15)  # whole lines, and nothing else
    sigma = float(model.level)
    assert abs((as_float(y) - as_float(x))[~gone].std() / sigma - 1) < 5 / (2 * (~gone).sum()) ** 0.5
    far = x + 0.1
    expected = normal(as_float(y), as_float(x), sigma)[~gone] - normal(as_float(y), as_float(far), sigma)[~gone]
    assert_close(model.nll(y, far, space) - model.nll(y, x, space), torch.tensor(expected.sum()), 1e4)
    white = as_float(model.whiten(y, x, space))
    assert (white[gone] == 0).all()
    assert_close(torch.from_numpy(white[~gone]), torch.from_numpy((as_float(y) - as_float(x))[~gone] / sigma), 10)


@every_seed
@pytest.mark.parametrize("pattern", ["entries", "columns"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_what_is_missing_and_the_level_of_the_rest_are_found_in_the_data(seed, pattern, dtype):
    ramp = torch.linspace(1, 2, 120, dtype=torch.float64).expand(100, 120).to(dtype)
    space = Space((100, 120), dtype)
    model = NOISES["missing"].build(fraction=0.2, level=0.03, pattern=pattern).at(ramp, space)
    y = model.sample(ramp, Rng(seed, "missing"))
    found = model.estimate(y, space)
    assert_close(found.fraction, (y == 0).double().mean(), 10)
    assert_same_bits(model.tells(y), y != 0)
    assert abs(float(found.level / model.level) - 1) < 0.1


def test_a_line_is_missing_only_of_data_that_have_lines():
    with pytest.raises(ex.SpecError, match="the data have one dimension: choose 'entries'"):
        NOISES["missing"].build(pattern="rows").at(torch.ones(9), Space((9,)))


def test_a_method_that_takes_missing_data_for_zeros_fits_them():
    """The same loss as a part of the operator is known to the method: its error is far less, for every draw."""
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 32}}, operator="radon", noise="missing", solver="cgls",
        stop={"name": "budget", "params": {"steps": 30}}, draws=5, dtype="float64",
    )  # fmt: skip
    known = spec.replace(
        noise={"name": "gaussian", "params": {"level": 0.01}},
        operator={"name": "missing_data", "params": {"operator": "radon"}},
    )
    assert (ex.run(known).history["error"].min(0) < 0.5 * ex.run(spec).history["error"].min(0)).all()


# --- refusals ---


@pytest.mark.parametrize("name", ["rician", "speckle", "poisson_gaussian", "poisson"])
def test_intensities_and_magnitudes_are_not_negative(name):
    with pytest.raises(ex.SpecError, match="needs data that are not negative, and their least value is -0"):
        NOISES[name].build().at(data(0) - 1, SPACE)


@pytest.mark.parametrize("name", ["rician", "speckle", "poisson_gaussian", "laplace", "impulse", "quantised"])
def test_real_noise_refuses_complex_data(name):
    with pytest.raises(ex.SpecError, match=r"needs a single set of real data, and these are complex: use Gaussian"):
        NOISES[name].build().sample(data(0) + 0j, Rng(0, name))


@pytest.mark.parametrize("name", ["coloured", "stripes", "heteroscedastic", "outliers", "laplace"])
def test_blocks_are_refused(name):
    with pytest.raises(ex.SpecError, match="and these are blocks: use Gaussian noise"):
        NOISES[name].build().at(Blocks([data(0)]), None)
