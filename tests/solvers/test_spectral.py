"""Spectral filters: the published factors on every kind of decomposition, and what each filter is best at."""

import numpy as np
import pytest
import scipy.linalg
import torch

import explorer as ex
from explorer.catalogue import solvers
from explorer.linalg import Space
from explorer.operators import gaussian_blur
from explorer.solvers import landweber, nuclear_bias, spectral_bias, tikhonov
from tests import support

#: φ(σ, λ, ‖A‖) with the default knobs, from the definitions
FACTORS = {
    "showalter": lambda s, w, _norm: 1 - np.exp(-(s**2) / w),
    "landweber_filter": lambda s, w, norm: 1 - (1 - s**2 / norm**2) ** (norm**2 / w),
    "wiener": lambda s, w, norm: s**4 / (s**4 + w * norm**2),
    "nuclear_bias": lambda s, w, _norm: np.minimum(1, s**2 / w),
    "spectral_bias": lambda s, w, norm: np.full_like(s, norm**2 / (norm**2 + w)),
}
every_filter = pytest.mark.parametrize("name", FACTORS)
WEIGHTS = (1e-3, 0.05, 2.0)


def operators():
    """A dense matrix, and blurs whose decompositions are Fourier, cosine and Kronecker."""
    yield support.operator(support.decay(8, 30.0), 12, 8)
    for boundary in ("periodic", "reflexive", "zero"):
        yield gaussian_blur(Space((6, 5), torch.float64), sigma=0.7, boundary=boundary)


@every_filter
def test_the_filter_is_the_published_one_whatever_the_decomposition(name):
    for A in operators():
        matrix = A.to_dense().numpy()
        u, s, vh = np.linalg.svd(matrix, full_matrices=False)
        y = support.normal(A.codomain.shape, 1)
        for weight in WEIGHTS:
            factors = FACTORS[name](s, weight, s[0])
            expected = vh.T @ (factors / s * (u.T @ y.numpy().ravel()))
            found = getattr(ex.solvers, name)(A, y, regularization=weight)
            condition = s[0] / s[-1]  # what lies between equal values may turn by eps · condition
            support.assert_close(found.x.reshape(-1), torch.from_numpy(expected), 100 * condition)
            residual = np.linalg.norm(matrix @ expected - y.numpy().ravel())
            support.assert_close(found.scalars["residual"], torch.tensor(residual), 100, scale=support.norm(y))
            support.assert_close(found.scalars["dof"], torch.tensor(factors.sum()), 1000)
            told = solvers[name].traits["filter"](s, 1, s[0], {"regularization": weight, "smoothness": 1.0})
            np.testing.assert_allclose(told, factors, rtol=1e-9, atol=1e-14)


@every_filter
def test_zero_gives_the_pseudo_inverse_of_a_singular_matrix(name):
    A = support.operator(torch.cat([support.decay(6, 10.0), torch.zeros(2)]).double(), 10, 8)
    y = support.normal((10,), 1)
    found = getattr(ex.solvers, name)(A, y, regularization=0.0)
    expected = torch.linalg.pinv(A.matrix, rtol=1e-10) @ y
    support.assert_close(found.x, expected, 1000)
    support.assert_close(found.scalars["residual"], (y - A.matrix @ expected).norm(), 1000)
    assert float(found.scalars["dof"]) == 6


@every_filter
def test_many_weights_in_one_solve_are_a_loop(name):
    A = support.operator(support.decay(24, 1e3), 30, 24)
    y, values = support.normal((3, 30), 2), torch.logspace(-6, 1, 40, dtype=torch.float64)
    method = getattr(ex.solvers, name)
    together = method(A, y.expand(40, 3, 30), regularization=values[:, None].expand(40, 3))
    for i, value in enumerate(values.tolist()):
        alone = method(A, y, regularization=value)
        support.assert_close(together.x[i], alone.x, 100)
        support.assert_close(together.scalars["residual"][i], alone.scalars["residual"], 100)


@every_filter
def test_derivatives_by_data_and_weight_are_right(name):
    A = support.operator(support.decay(6, 10.0), 8, 6)
    y = support.normal((2, 8), 1).requires_grad_()
    weight = torch.tensor([0.013, 0.7], dtype=torch.float64, requires_grad=True)
    method = getattr(ex.solvers, name)
    assert torch.autograd.gradcheck(lambda y, w: method(A, y, regularization=w).x, (y, weight))


#: GCV of a factor that is the same everywhere has no minimum inside where data and unknowns are as many
RULED = [
    (name, rule) for name in FACTORS for rule in ("gcv", "discrepancy") if (name, rule) != ("spectral_bias", "gcv")
]


@pytest.mark.parametrize(("name", "rule"), RULED)
def test_rules_choose_the_weight(name, rule):
    spec = ex.RunSpec(
        problem={"name": "camera", "params": {"size": 32}}, operator="gaussian_blur",
        noise={"name": "gaussian", "params": {"level": 0.02}}, solver=name, rule=rule, draws=5, dtype="float64",
    )  # fmt: skip
    run = ex.run(spec)
    best = ex.run(spec.replace(rule="oracle"))
    assert (run.metrics["relative_error"] <= 2.5 * best.metrics["relative_error"]).all()


def test_the_landweber_filter_is_landwebers_iteration():
    A = support.operator(support.decay(12, 20.0), 16, 12)
    y = support.normal((16,), 1)
    made = landweber(A, y)
    for k in range(1, 40):
        support.assert_close(ex.solvers.landweber_filter(A, y, regularization=1 / k).x, next(made).x, 20 * k)


def test_showalter_is_the_gradient_flow():
    A = support.operator(support.decay(8, 5.0), 10, 8)
    y, time = support.normal((10,), 1), 3.0
    gram = (A.matrix.T @ A.matrix).numpy()
    flow = np.zeros((9, 9))
    flow[:8, :8], flow[:8, 8] = -gram, (A.matrix.T @ y).numpy()
    expected = torch.from_numpy(scipy.linalg.expm(time * flow)[:8, 8])
    support.assert_close(ex.solvers.showalter(A, y, regularization=1 / time).x, expected, 200)


# --- row 39 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "order"), [(nuclear_bias, "nuc"), (spectral_bias, 2), (tikhonov, "fro")])
def test_no_estimator_of_as_little_bias_makes_less_noise(method, order):
    """Row 39: 2000 random estimators of the same bias, near and far, never beat the analytic one."""
    A, n = support.operator(support.decay(8, 30.0)), 8
    eye = torch.eye(n, dtype=torch.float64)
    K = method(A, eye, regularization=0.05).x.T
    bias = K @ A.matrix - eye
    size = torch.linalg.matrix_norm(bias, order)
    step = torch.logspace(-4, 0.5, 2000, dtype=torch.float64)[:, None, None]
    other = bias + step * size * support.normal((2000, n, n), 1)
    other = other * (size / torch.linalg.matrix_norm(other, order))[:, None, None]
    noise = ((eye + other) @ torch.linalg.inv(A.matrix)).square().sum((1, 2))
    assert (noise >= K.square().sum() * (1 - 1e-12)).all()


def risks(x, seed, level=0.05, draws=200):
    """Return the least mean square error over λ of each method, for a truth with coefficients `x`."""
    n = len(x)
    A = support.operator(support.decay(n, 100.0), seed=seed)
    _, _, v = A.factors
    y = A(v @ x) + level * support.normal((draws, n), seed + 100)
    values = torch.logspace(-6, 3, 60, dtype=torch.float64)[:, None]
    found = {}
    for method in (tikhonov, nuclear_bias, spectral_bias):
        made = method(A, y.expand(60, draws, n), regularization=values.expand(60, draws)).x
        found[method] = float((made - v @ x).square().sum(-1).mean(1).min())
    return found


@support.every_seed
def test_each_filter_wins_where_theory_says(seed):
    s = support.decay(30, 100.0)
    signs = support.normal((30,), seed).sign()
    smooth = risks(signs * s, seed)
    assert smooth[nuclear_bias] <= 0.9 * smooth[tikhonov]
    weak = risks(0.03 * signs / s, seed)  # in the weakest directions as strong as the noise there, 0.05 / s
    assert weak[spectral_bias] <= 0.95 * weak[tikhonov]
    isotropic = risks(signs, seed)
    assert isotropic[tikhonov] <= isotropic[spectral_bias]
