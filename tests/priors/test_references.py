"""Proximal maps against SciPy, NumPy and brute force."""

import numpy as np
import pytest
import scipy.fft
import scipy.optimize
import scipy.special
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.linalg.special import wright_omega
from explorer.operators.base import DenseMatrix
from explorer.operators.gradient import Gradient, SymmetricGradient
from explorer.operators.transforms import Cosine
from explorer.operators.wavelets import Wavelet
from tests.support import SEEDS, assert_close, every_precision, normal

STEP = 0.7


def make(name, domain, **params):
    component = ex.catalogue.priors[name]
    return component.bind({"domain": domain}, component.check(params))()


def line(n):
    return Space((n,), torch.float64)


def scalars():
    """Return numbers, and a fine grid that holds what minimises an objective in one dimension."""
    return torch.linspace(-4, 4, 81, dtype=torch.float64), torch.arange(-45_000, 45_001, dtype=torch.float64) / 1e4


SCALAR = {
    "l1": ({"weight": 0.8}, lambda u: 0.8 * u.abs()),
    "l0": ({"weight": 0.9}, lambda u: 0.9 * (u != 0)),
    "mcp": (
        {"weight": 0.9, "concavity": 2.0},
        lambda u: torch.where(u.abs() < 1.8, 0.9 * u.abs() - u**2 / 4, 0.9**2),
    ),
    "elastic_net": ({"weight": 0.6, "ridge": 1.5}, lambda u: 0.6 * u.abs() + 0.75 * u**2),
    "entropy": (
        {"weight": 0.8, "level": 0.5},
        lambda u: torch.where(u < 0, torch.inf, 0.8 * (torch.xlogy(u, u.clamp(min=0) / 0.5) - u + 0.5)),
    ),
    "nonnegative": ({}, lambda u: torch.where(u < 0, torch.inf, 0.0)),
    "group_l1": ({"weight": 0.8, "block": 1}, lambda u: 0.8 * u.abs()),
    "sum": (
        {"first": {"name": "l1", "params": {"weight": 0.8}}, "second": "nonnegative"},
        lambda u: torch.where(u < 0, torch.inf, 0.8 * u),
    ),
}


@pytest.mark.parametrize("step", [0.5, 3.0])
@pytest.mark.parametrize("name", SCALAR)
def test_no_number_of_a_fine_grid_is_better(name, step):
    params, penalty = SCALAR[name]
    x, grid = scalars()
    made = make(name, line(len(x)), **params).prox(x, step)
    objective = lambda u: (u - x[:, None]) ** 2 / 2 + step * penalty(u)  # noqa: E731
    best = objective(grid[None]).min(1).values
    ours = objective(made[:, None])[:, 0]
    assert (ours <= best + 1e-12).all()
    assert (ours >= best - 1e-4).all()  # and the penalty is what the prior says it is


def test_the_concave_penalty_beyond_its_range_is_a_hard_threshold():
    x, grid = scalars()
    made = make("mcp", line(len(x)), weight=0.9, concavity=0.5).prox(x, 2.0)
    assert set(made[made != 0].tolist()) <= set(x.tolist())
    assert ((made != 0) == (x.abs() > 0.9)).all()
    assert len(grid) > len(x)


@every_precision
def test_wrights_function_is_scipys(dtype):
    x = torch.cat((torch.linspace(-60, 80, 4001), torch.tensor([1e6, 1e9, 1e20]))).to(dtype)
    expected = torch.from_numpy(scipy.special.wrightomega(x.double().numpy()))
    assert (
        (wright_omega(x).double() - expected).abs() <= 20 * torch.finfo(dtype).eps * expected * x.abs().clamp(min=1)
    ).all()
    leaf = torch.linspace(-40, 40, 33, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(wright_omega, leaf)


def test_the_simplex_is_where_a_threshold_leaves_the_total():
    x = 2 * normal((5, 30))
    made = make("simplex", line(30), total=3.0).prox(x, 1.0)
    for row, ours in zip(x.numpy(), made.numpy(), strict=True):
        excess = lambda theta, row: np.maximum(row - theta, 0).sum() - 3  # noqa: E731
        theta = scipy.optimize.brentq(excess, row.min() - 3, row.max(), args=(row,), xtol=1e-14)
        assert np.abs(ours - np.maximum(row - theta, 0)).max() <= 1e-12


def test_the_simplex_keeps_its_total_far_away():
    x = torch.tensor([[1e7, 1e7 + 0.25, -3.0], [1e30, 0.0, 0.0]], dtype=torch.float32)
    prior = make("simplex", Space((3,)))
    assert (prior.value(prior.prox(x, 1.0)) == 0).all()
    assert prior.prox(x, 1.0)[1].tolist() == [1, 0, 0]


def test_blocks_are_squares_of_pixels():
    x = normal((7, 5))
    made = make("group_l1", Space((7, 5), torch.float64), weight=1.0, block=3).prox(x, STEP)
    expected = x.clone()
    for i in range(0, 7, 3):
        for j in range(0, 5, 3):
            length = x[i : i + 3, j : j + 3].norm()
            expected[i : i + 3, j : j + 3] *= max(0.0, 1 - STEP / float(length))
    assert_close(made, expected, 20)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_singular_values_are_thresholded(dtype):
    x = normal((5, 7, 9), dtype=dtype)
    prior = make("nuclear", Space((7, 9), dtype), weight=2.0)
    for one, made in zip(x, prior.prox(x, STEP), strict=True):
        u, s, vh = np.linalg.svd(one.numpy(), full_matrices=False)
        assert_close(made, torch.from_numpy((u * np.maximum(s - 2 * STEP, 0)) @ vh), 100)
        assert 0 < torch.linalg.matrix_rank(made) < 7
    assert_close(prior.value(x), 2 * torch.linalg.matrix_norm(x, "nuc"), 20)


@pytest.mark.parametrize("delta", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(20,), (6, 5)])
def test_anisotropic_variation_is_least_squares_with_bounds_in_the_dual(shape, delta):
    """min ½‖x − Kᵀq‖² + δ/2tλ ‖q‖² over |q| ≤ tλ, by SciPy's active sets."""
    domain, weight = Space(shape, torch.float64), 0.5
    K, x = Gradient(domain).to_dense(), normal((3, *shape))
    K = K[K.abs().sum(1) > 0]
    more = {"threshold": delta} if delta else {}
    made = make("huber_tv" if delta else "tv", domain, weight=weight, inner=1000, kind="anisotropic", **more)
    t = STEP * weight
    system = np.vstack([K.T.numpy(), (delta / t) ** 0.5 * np.eye(len(K))])
    for one, ours in zip(x, made.prox(x, STEP), strict=True):
        right = np.concatenate([one.reshape(-1).numpy(), np.zeros(len(K))])
        q = scipy.optimize.lsq_linear(system, right, bounds=(-t, t), method="bvls", tol=1e-15).x
        expected = one - torch.from_numpy(K.T.numpy() @ q).reshape(shape)
        assert (ours - expected).norm() <= 1e-5 * one.norm()


def test_huber_variation_lies_between_smoothing_and_total_variation():
    domain, x = line(40), normal((5, 40)).cumsum(-1)
    tv = make("tv", domain, weight=0.5, inner=1000).prox(x, 1.0)
    sharp = make("huber_tv", domain, weight=0.5, threshold=1e-9, inner=1000).prox(x, 1.0)
    assert_close(sharp, tv, 1, scale=1e-4 / torch.finfo(torch.float64).eps * float(tv.norm()))
    smooth = make("huber_tv", domain, weight=50.0, threshold=100.0, inner=1000).prox(x, 1.0)  # no difference is above δ
    expected = make("tikhonov", domain, weight=0.5, operator="gradient").prox(x, 1.0)
    assert (smooth - expected).norm() <= 1e-6 * expected.norm()


def test_the_fused_lasso_is_one_map_after_the_other():
    """For variation in one dimension and l1 the proximal map of the sum is the product. Friedman et al. 2007."""
    domain, x = line(30), normal((5, 30)).cumsum(-1)
    tv, l1 = {"weight": 0.6, "inner": 1000}, {"weight": 0.3}
    together = make("sum", domain, first={"name": "tv", "params": tv}, second={"name": "l1", "params": l1}, rounds=3)
    apart = make("l1", domain, **l1).prox(make("tv", domain, **tv).prox(x, STEP), STEP)
    assert (together.prox(x, STEP) - apart).norm() <= 1e-5 * apart.norm()


def test_a_sum_alternates_to_the_projection_onto_both_sets():
    """Ball and non-negativity: cut first, then scale down."""
    x = 3 * normal((5, 12))
    both = make("sum", line(12), first="nonnegative", second={"name": "ball", "params": {"radius": 2.0}}, rounds=200)
    cut = x.clamp(min=0)
    assert (both.prox(x, 1.0) - cut * (2 / cut.norm(dim=-1, keepdim=True)).clamp(max=1)).norm() <= 1e-9


@pytest.mark.parametrize("order", [-1.0, 1.5])
def test_sobolev_priors_weigh_frequencies(order):
    x = normal((12, 9))
    k = lambda n: np.fft.fftfreq(n, 1 / n)  # noqa: E731
    weights = (1 + k(12)[:, None] ** 2 + k(9) ** 2) ** order
    periodic = make("sobolev", Space((12, 9), torch.float64), weight=2.0, order=order, boundary="periodic")
    spectrum = np.fft.fft2(x.numpy(), norm="ortho")
    assert_close(periodic.value(x), torch.tensor((weights * np.abs(spectrum) ** 2).sum()), 100)
    expected = np.fft.ifft2(spectrum / (1 + 2 * STEP * weights), norm="ortho").real
    assert_close(periodic.prox(x, STEP), torch.from_numpy(expected), 100)
    weights = (1 + (np.arange(12)[:, None] ** 2 + np.arange(9) ** 2) / 4) ** order
    spectrum = scipy.fft.dctn(x.numpy(), norm="ortho") / (1 + 2 * STEP * weights)
    mirrored = make("sobolev", Space((12, 9), torch.float64), weight=2.0, order=order)
    assert_close(mirrored.prox(x, STEP), torch.from_numpy(scipy.fft.idctn(spectrum, norm="ortho")), 100)


def test_given_weights_are_those_of_the_entries():
    weights, x = torch.tensor([0.0, 1.0, 2.0, 10.0], dtype=torch.float64), torch.full((4,), 3.0, dtype=torch.float64)
    component = ex.catalogue.priors["weighted_l1"]
    prior = component.build(domain=line(4), weights=weights, basis="entries", weight=1.0)
    assert prior.prox(x, 1.0).tolist() == [3, 2, 1, 0]
    assert prior.value(x) == 39


def test_wavelet_shrinkage_keeps_the_averages_and_raises_the_cost_of_fine_scales():
    x = 5 + normal((16,))
    prior = make("wavelet_l1", line(16), weight=1e3, wavelet="haar", levels=4)
    assert_close(prior.prox(x, 1.0), x.mean().expand(16), 20)
    steep = make("wavelet_l1", line(16), weight=1.0, wavelet="haar", levels=2, growth=2.0)
    assert steep.weights.tolist() == [0] * 4 + [1] * 4 + [4] * 8


# --- row 355 ---


def envelope_prox(v, lam, k):
    """Row 355 as it is written: bisection for the scale s, in NumPy; `v` has one row a group."""
    a = np.linalg.norm(v, axis=1)
    shares = lambda s: np.clip(a / s - lam, 0, 1)  # noqa: E731
    low, high = 1e-12, a.max() * 1e3
    for _ in range(200):
        s = (low * high) ** 0.5
        low, high = (s, high) if shares(s).sum() > k else (low, s)
    u = shares(s)[:, None]
    return v * u / (u + lam)


@pytest.mark.parametrize("weight", [0.1, 1.0, 30.0])
def test_the_envelopes_proximal_map_is_that_of_row_355(weight):
    x = normal((5, 40))
    prior = make("group_envelope", line(40), weight=weight, block=4, groups=3)
    for one, ours in zip(x, prior.prox(x, STEP), strict=True):
        expected = envelope_prox(one.reshape(10, 4).numpy(), STEP * weight, 3)
        assert np.abs(ours.reshape(10, 4).numpy() - expected).max() <= 1e-12


def test_the_envelope_is_half_the_square_where_there_are_few_groups_and_more_elsewhere():
    prior = make("group_envelope", line(40), weight=1.0, block=4, groups=3)
    few = torch.zeros(40, dtype=torch.float64)
    few[:12] = normal((12,))
    assert_close(prior.value(few), few.square().sum() / 2, 10)
    assert (prior.value(normal((9, 40))) > normal((9, 40)).square().sum(-1) / 2).all()
    # for one group it is half the square of the sum of all lengths
    one = make("group_envelope", line(40), weight=1.0, block=4, groups=1)
    lengths = normal((9, 40)).reshape(9, 10, 4).norm(dim=-1)
    assert_close(one.value(normal((9, 40))), lengths.sum(-1) ** 2 / 2, 20)


def supports(prior, A, y, steps=150):
    """Return how many groups of four the solution has, one number a weight."""
    solve = ex.catalogue.solvers["fista"](A, y, prior)
    with torch.no_grad():
        for _ in range(steps):
            x = next(solve).x
    return (x.reshape(*x.shape[:-1], -1, 4).norm(dim=-1) > 1e-6 * x.norm(dim=-1, keepdim=True)).sum(-1)


def test_the_envelope_keeps_k_groups_for_any_large_weight_where_group_sparsity_loses_them():
    """Row 355: 50 groups, k = 5."""
    for seed in SEEDS:
        A = DenseMatrix(line(200), line(150), normal((150, 200), seed) / 150**0.5)
        truth = torch.zeros(50, 4, dtype=torch.float64)
        truth[torch.randperm(50, generator=torch.Generator().manual_seed(seed))[:5]] = normal((5, 4), seed + 50)
        y = A(truth.reshape(-1)) + 0.1 * normal((150,), seed + 99)
        many = torch.tensor([10.0, 100.0, 1000.0], dtype=torch.float64)
        envelope = ex.catalogue.priors["group_envelope"].build(domain=A.domain, weight=many, groups=5)
        counts = supports(envelope, A, y.expand(3, -1))
        assert counts.min() >= 5
        assert counts.max() <= 6
        range_ = torch.logspace(-2, 1.5, 6, dtype=torch.float64)
        lasso = ex.catalogue.priors["group_l1"].build(domain=A.domain, weight=range_)
        counts = supports(lasso, A, y.expand(6, -1))
        assert counts[0] >= 30
        assert counts[-1] == 0


# --- total generalised variation ---


def test_affine_images_cost_nothing_and_stay():
    x = torch.arange(9, dtype=torch.float64)[:, None] * 2 - torch.arange(7)
    prior = make("tgv", Space((9, 7), torch.float64), weight=1.0)
    length = Gradient(prior.domain)(x).norm()
    assert prior.value(x) <= 1e-12 * length
    assert_close(prior.prox(x, 1.0), x, 100)


def test_the_symmetric_gradient_vanishes_for_fields_without_variation():
    E = SymmetricGradient(Gradient(Space((6, 5), torch.float64)).codomain)
    dense = E.to_dense()
    w, e = normal((2, 6, 5)), normal((2, 2, 6, 5))
    assert_close((E(w) * e).sum(), (w * E.adjoint(e)).sum(), 100, scale=10.0)
    assert torch.linalg.matrix_norm(dense, 2) <= 8**0.5
    inside = torch.ones(2, 6, 5, dtype=torch.float64)
    inside[0, -1] = inside[1, :, -1] = 0
    constant = inside * torch.tensor([2.0, -1.0], dtype=torch.float64)[:, None, None]
    assert (E(constant) == 0).all()


def test_generalised_variation_in_one_dimension_is_a_quadratic_program():
    """min ½‖u − x‖² + t‖∇u − w‖₁ + αt‖w'‖₁ by the dual: ½‖x − Kᵀp‖² over |p| ≤ αt and |Eᵀp| ≤ t, by SciPy."""
    n, t = 12, 0.3
    prior = make("tgv", line(n), weight=t, bending=1.5, inner=1500)
    K, E = prior.operator.to_dense().numpy(), prior.bend.to_dense().numpy()
    rows = np.abs(K).sum(1) > 0
    K, E = K[rows], E[rows]
    x = normal((n,)).cumsum(0)
    target = x.numpy()
    bounds = scipy.optimize.LinearConstraint(np.vstack([np.eye(len(K)), E.T]), *_both(1.5 * t, len(K), t, E.shape[1]))
    answer = scipy.optimize.minimize(
        lambda p: 0.5 * np.sum((target - K.T @ p) ** 2),
        np.zeros(len(K)),
        jac=lambda p: -K @ (target - K.T @ p),
        hess=lambda _: K @ K.T,
        method="trust-constr",
        constraints=[bounds],
        options={"gtol": 1e-10, "xtol": 1e-12, "maxiter": 3000},
    )
    expected = torch.from_numpy(target - K.T @ answer.x)
    assert (prior.prox(x, 1.0) - expected).norm() <= 1e-3 * x.norm()


def _both(first, m, second, n):
    bound = np.concatenate([np.full(m, first), np.full(n, second)])
    return -bound, bound


def test_it_keeps_slopes_where_total_variation_makes_stairs():
    """Both denoise a ramp with a step, each at its best weight of a few: the slope is told from noise by one alone."""
    n = 64
    ramp = 3 * torch.linspace(0, 1, n, dtype=torch.float64) + (torch.arange(n) >= 32)
    for seed in SEEDS:
        x = ramp + 0.05 * normal((n,), seed)
        weights = torch.tensor([0.04, 0.08, 0.16, 0.32, 0.64], dtype=torch.float64)
        error = {}
        for name, more in (("tv", {}), ("tgv", {"bending": 5.0})):
            prior = ex.catalogue.priors[name].build(domain=line(n), weight=weights, inner=400, **more)
            error[name] = float((prior.prox(x.expand(5, n), 1.0) - ramp).norm(dim=-1).min())
        assert error["tgv"] <= 0.7 * error["tv"]


@pytest.mark.parametrize("basis", ["cosine", "wavelet"])
def test_groups_of_coefficients_are_groups_of_entries_in_that_basis(basis):
    domain = Space((8, 8), torch.float64)
    transform = Cosine(domain) if basis == "cosine" else Wavelet(domain, "db4")
    x = normal((5, 8, 8), 4)
    entries, made = (make("group_l1", domain, weight=0.6, block=2, **knobs) for knobs in ({}, {"basis": basis}))
    assert_close(made.value(x), entries.value(transform(x)), 32)
    assert_close(made.prox(x, 3.0), transform.adjoint(entries.prox(transform(x), 3.0)), 64)
    assert ((transform(made.prox(x, 3.0)).abs() < 1e-12).sum() > 20).all()


def sequence(shape=(4, 6, 5), dtype=torch.float64):
    """Return noisy sequences of images in which an edge moves once."""
    clean = torch.zeros(shape, dtype=torch.float64)
    clean[:2, :, 2:] = 1
    clean[2:, :, 3:] = 1
    return torch.stack([clean + 0.1 * normal(shape, seed, dtype) for seed in SEEDS])


@every_precision
def test_double_variation_is_that_of_frames_and_of_pixels(dtype):
    """Row 217: "double_tv" by differences in NumPy, forward, and none beyond the last entry."""
    x = sequence(dtype=torch.promote_types(torch.float64, dtype)).to(dtype)
    a = x.numpy()
    space = sum(np.abs(np.diff(a, axis=k, append=a.take([-1], k))) ** 2 for k in (2, 3))
    expected = 0.3 * (np.sqrt(space).sum((1, 2, 3)) + 2.5 * np.abs(np.diff(a, axis=1)).sum((1, 2, 3)))
    made = make("double_tv", Space(x.shape[1:], dtype), weight=0.3, temporal=2.5).value(x)
    assert_close(made, torch.as_tensor(expected), 100)


def test_double_variation_needs_time_and_space():
    with pytest.raises(ex.SpecError, match="two or more dimensions, the first of them time"):
        ex.catalogue.priors["double_tv"].build(domain=line(5))
