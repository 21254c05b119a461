"""Hessians as operators against dense second derivatives and closed forms."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.analyses.hessian import Hessian, hessian, hessian_spectrum, shares
from explorer.labs.nonlinear.exponential import Exponential
from explorer.linalg import Space
from tests import support


def test_products_are_those_of_the_dense_hessian():
    C = support.normal((4, 6), 1)

    def loss(x):
        """Of a matrix x."""
        return torch.tanh(C @ x.flatten(-2).unsqueeze(-1)).square().sum((-2, -1)) + x.pow(4).sum((-2, -1))

    x = support.normal((2, 3), 2)
    dense = torch.autograd.functional.hessian(loss, x).reshape(6, 6)
    for H in (hessian(loss, x), hessian(torch.func.vmap(loss), x)):
        assert H.self_adjoint
        support.assert_close(H.to_dense(), dense, 100)
    H, v = hessian(loss, x), support.normal((2, 5, 2, 3), 3)
    support.assert_close(H(v), (v.flatten(-2) @ dense).reshape(v.shape), 100)
    support.assert_close(H(v[0, 0]), H(v)[0, 0], 10)
    assert ex.analyses.density_of_states(H, steps=6, probes=64).trace == pytest.approx(float(dense.trace()), rel=0.2)


def test_a_complex_unknown_is_refused():
    with pytest.raises(ex.SpecError, match="complex"):
        Hessian(lambda x: x, torch.zeros(2, dtype=torch.complex64), Space((2,), torch.complex64))


def curved(noise, noise_norm=0.05, seed=0, size=40):
    """Return an exponential model, its matrix, the truth and noisy data."""
    A = support.operator(support.decay(size, 20.0), seed=seed)
    F, x = Exponential(A, 0.8), support.normal((size,), seed)
    y = F(x) + noise_norm * support.normal((size,), 10 + seed)
    return (
        F,
        A.matrix,
        x,
        y,
        ex.catalogue.noises[noise].build(**({"level": 0.1, "scale": "absolute"} if noise == "gaussian" else {})),
    )


@support.every_seed
def test_of_an_exponential_model_it_has_the_closed_form(seed):
    F, matrix, truth, y, noise = curved("gaussian", 0.5, seed)
    x = truth + 0.3 * support.normal((40,), 20 + seed)
    found = hessian_spectrum(F, y, noise, x_true=x)
    z = (0.8 * matrix @ x).exp()
    plain, whole = (matrix.mT @ (64 * w[:, None] * matrix) for w in (z**2, z**2 + (z - y) * z))
    expected = torch.linalg.eigvalsh(whole).flip(0)
    support.assert_close(torch.from_numpy(found.values), expected, 1e3)
    assert found.hessian.trace == pytest.approx(float(whole.trace()), abs=4 * found.hessian.trace_error)
    assert found.gauss_newton.trace == pytest.approx(float(plain.trace()), abs=4 * found.gauss_newton.trace_error)
    norm = float(torch.linalg.matrix_norm(whole - plain, 2) / torch.linalg.matrix_norm(whole, 2))
    assert found.nonlinearity == pytest.approx(norm, rel=1e-3)
    gradient = 0.8 / 0.01 * matrix.mT @ ((z - y) * z)
    assert found.gradient == pytest.approx(float(gradient.norm()))
    assert (found.bulk, found.outliers, found.negative) == tuple(float(t) for t in shares(expected))


def test_counts_of_a_known_spectrum():
    values = torch.tensor([[10.0, 1.5, 0.5, 0.05, -0.05, -2.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    bulk, outliers, negative = shares(values)
    assert bulk.tolist() == pytest.approx([2 / 6, 0])
    assert outliers.tolist() == [2, 6]
    assert negative.tolist() == [1, 0]


def test_without_a_misfit_or_curvature_it_is_that_of_gauss_and_newton():
    F, _, x, _, noise = curved("gaussian")
    found = hessian_spectrum(F, F(x), noise, x_true=x)
    assert found.nonlinearity < 1e-10
    assert found.negative == 0
    assert found.gradient < 1e-10
    A = support.operator(support.decay(40, 20.0))
    found = hessian_spectrum(A, support.normal((40,)), x_true=x)
    support.assert_close(torch.from_numpy(found.values), support.decay(40, 20.0).square(), 1e3)
    assert found.nonlinearity < 1e-10


def test_of_poisson_data_the_likelihood_curves_by_counts_over_squares():
    F, matrix, x, _, noise = curved("poisson")
    y = F(x).round()
    found = hessian_spectrum(F, y, noise.at(F(x), F.codomain), x_true=x)
    fraction = hessian(lambda z: noise.at(F(x), F.codomain).nll(y, z, F.codomain), F(x)).to_dense()
    assert float(fraction.fill_diagonal_(0).abs().max()) < 1e-12
    # Σ z − y log z with z = exp(c A x) has the second derivative c² Aᵀ diag(z) A, whatever the counts
    z = F(x)
    expected = torch.linalg.eigvalsh(0.64 * matrix.mT @ (z[:, None] * matrix)).flip(0)
    ratio = found.values / expected.numpy()
    assert ratio.std() / ratio.mean() < 1e-8  # counts a unit of data are a factor


@pytest.mark.parametrize("name", ["tikhonov", "huber_tv"])
def test_a_smooth_prior_is_part_of_the_loss(name):
    F, _, x, y, noise = curved("gaussian")
    prior = ex.catalogue.priors[name].build(domain=F.domain)
    found, bare = (hessian_spectrum(F, y, noise, p, x_true=x) for p in (prior, None))
    step = 1e-5
    units = step * torch.eye(40, dtype=torch.float64)
    dense = (prior.gradient(x + units) - prior.gradient(x - units)) / (2 * step)
    added = float(found.values.sum() - bare.values.sum())
    assert added == pytest.approx(float(dense.trace()), rel=1e-4)
    assert found.nonlinearity == pytest.approx(bare.nonlinearity * bare.largest / found.largest, rel=0.02)


def test_of_a_large_unknown_counts_are_estimates():
    for seed in support.SEEDS:
        F, matrix, x, y, noise = curved("gaussian", 0.5, seed, size=520)
        found = hessian_spectrum(F, y, noise, x_true=x, probes=10, steps=40, seed=seed)
        assert found.values is None
        z = F(x)
        true = torch.linalg.eigvalsh(matrix.mT @ (64 * (z**2 + (z - y) * z)[:, None] * matrix))
        assert found.largest == pytest.approx(float(true[-1]), rel=1e-3)
        assert found.smallest == pytest.approx(float(true[0]), abs=1e-3 * found.largest)
        bulk, outliers, negative = shares(true)
        assert abs(found.bulk - float(bulk)) < 0.05
        assert abs(found.outliers - int(outliers)) < 10
        assert abs(found.negative - int(negative)) < 10


def test_it_follows_a_run_and_says_what_is_missing():
    spec = ex.RunSpec(
        problem="blocks",
        operator="exponential",
        noise="gaussian",
        solver="gauss_newton",
        stop={"name": "budget", "params": {"steps": 2}},
    )
    run = ex.run(spec)
    report = ex.analyse(run, "hessian_spectrum", at="start")
    assert report.largest > 0
    assert ex.analyse(run.problem, "hessian_spectrum").gradient > 0
    F, _, x, y, noise = curved("gaussian")
    with pytest.raises(ex.SpecError, match="there is none"):
        hessian_spectrum(F, y, noise, x_true=x, at="iterate")
    with pytest.raises(ex.SpecError, match="batch"):
        hessian_spectrum(F, y.expand(2, -1), noise, x_true=x)
    with pytest.raises(ex.SpecError, match="second derivative"):
        hessian_spectrum(F, y, ex.catalogue.noises["laplace"].build(), x_true=x)
    kept = hessian_spectrum(F, y, noise, x_true=0 * x, iterates=[(0, 0 * x), (3, x)], at="iterate")
    assert np.array_equal(kept.values, hessian_spectrum(F, y, noise, x_true=x).values)
    assert (
        "is left out"
        in hessian_spectrum(F, y, noise, ex.catalogue.priors["l1"].build(domain=F.domain), x_true=x).sentence
    )


def test_complex_data_of_a_real_unknown_count_twice():
    space = Space((8, 8), torch.float64)
    A = ex.catalogue.operators["masked_fourier"].build(domain=space, rng=ex.linalg.Rng(0, "mask"))
    noise = ex.catalogue.noises["gaussian"].build(level=0.5, scale="absolute")
    found = hessian_spectrum(A, A(support.normal((8, 8))), noise, x_true=space.zeros())
    M = A.to_dense()
    expected = torch.linalg.eigvalsh((M.mH @ M).real).flip(0) * 2 / 0.25  # |r|² / σ²
    support.assert_close(torch.from_numpy(found.values), expected, 1e3)
    assert found.nonlinearity < 1e-10
