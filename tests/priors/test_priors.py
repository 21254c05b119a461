"""Every registered prior: proximal maps that minimise, gradients that differentiate, duals that agree with Moreau."""

import math

import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Blocks, ProductSpace, Rng, Space
from explorer.priors.sparse import onto_ball, soft_threshold
from tests.support import SEEDS, assert_close, assert_same_bits, every_precision, norm

DOMAINS = {"image": ((9, 7), torch.float64), "complex signal": ((24,), torch.complex128)}
#: further settings of some priors, beside the defaults of every one
SETTINGS = {
    "none": [],
    "tikhonov": [{"operator": "gaussian_blur"}, {"weight": 3.0, "operator": "gradient"}],
    "l1": [{"weight": 0.5}, {"weight": 0.3, "basis": "cosine"}],
    "tv": [{"weight": 0.4, "inner": 150}, {"weight": 0.3, "inner": 150, "kind": "anisotropic"}],
    "double_tv": [{"weight": 0.4, "temporal": 0.5, "inner": 150}, {"weight": 0.1, "temporal": 3.0, "inner": 150}],
    "huber_tv": [{"weight": 0.4, "threshold": 0.3, "inner": 150}],
    "box": [{"lower": -0.5, "upper": 0.25}],
    "weighted_l1": [{"weight": 0.05, "growth": 1.5}, {"weight": 0.5, "basis": "entries", "growth": -1.0}],
    "elastic_net": [{"weight": 0.3, "ridge": 2.0}, {"weight": 0.3, "ridge": 0.5, "basis": "cosine"}],
    "group_l1": [{"weight": 1.0, "block": 3}, {"weight": 1.0, "block": 2, "basis": "cosine"}],
    "group_envelope": [{"weight": 0.5, "block": 2, "groups": 3}, {"weight": 20.0, "block": 3, "groups": 2}],
    "l0": [{"weight": 0.4}, {"weight": 0.3, "basis": "cosine"}],
    "mcp": [{"weight": 0.6, "concavity": 2.0}, {"weight": 0.8, "concavity": 0.5, "basis": "cosine"}],
    "entropy": [{"weight": 0.5, "level": 2.0}, {"weight": 5.0, "level": 0.1}],
    "simplex": [{"total": 5.0}],
    "ball": [{"radius": 3.0}],
    "nuclear": [{"weight": 1.0}],
    "sobolev": [{"weight": 2.0, "order": -1.0, "boundary": "periodic"}, {"order": 2.0}],
    "wavelet_l1": [{"weight": 0.3, "wavelet": "haar", "levels": 2, "growth": 0.5, "averages": True}],
    "sum": [
        {"first": {"name": "l1", "params": {"weight": 0.4}}, "second": {"name": "box"}},
        {"first": {"name": "sobolev", "params": {"weight": 0.3}}, "second": {"name": "tikhonov"}, "rounds": 60},
        {"first": {"name": "tv"}, "second": "l1", "rounds": 1},
    ],
}
CASES = [
    pytest.param(name, params, shape, dtype, id=f"{name} {i} {kind}")
    for name in ex.catalogue.priors
    for i, params in enumerate([{}, *SETTINGS.get(name, [])])
    for kind, (shape, dtype) in DOMAINS.items()
] + [
    pytest.param("nuclear", {"weight": 1.0}, (5, 8), torch.complex128, id="nuclear complex image"),
    pytest.param("wavelet_l1", {"weight": 0.2}, (8, 6), torch.float64, id="wavelet_l1 even image"),
]


def make(name, params, domain, **values):
    """Build a prior; `values` are knobs beyond what a specification may say, such as one weight a sample."""
    component = ex.catalogue.priors[name]
    offers = {"domain": domain, "rng": Rng(0, name)}
    return component.bind(offers, component.check(params) | values)()


def admits(name, params, domain):
    try:
        make(name, params, domain)
    except ex.SpecError:
        return False
    return True


def every(*abilities):
    """Run over every setting that has the abilities, on real images and complex signals."""

    def able(case):
        name, params, shape, dtype = case.values
        domain = Space(shape, dtype)
        return admits(name, params, domain) and all(getattr(make(name, params, domain), a, False) for a in abilities)

    return pytest.mark.parametrize(("name", "params", "shape", "dtype"), [case for case in CASES if able(case)])


def elements(domain, stream, *batch):
    """Return one element for each of five seeds, behind further batch dimensions."""
    if isinstance(domain, ProductSpace):
        return Blocks(elements(s, f"{stream} {i}", *batch) for i, s in enumerate(domain.spaces))
    drawn = [Rng(seed, stream).normal((*batch, *domain.shape), domain.dtype) for seed in SEEDS]
    return torch.stack(drawn, dim=len(batch))


def gap(prior, x, step):
    """Return how far the objective of an iterative proximal map may be above its least value; 0 for closed forms."""
    if not hasattr(prior, "dual"):
        return torch.zeros(x.shape[:1], dtype=torch.float64)
    q = prior.dual(x, step)
    u = x - prior.operator.adjoint(q)
    primal = prior.domain.norm2(u - x) / 2 + step * prior.value(u)
    dual = (prior.domain.norm2(x) - prior.domain.norm2(u)) / 2
    if hasattr(prior, "threshold"):
        dual = dual - prior.threshold / (2 * step * prior.weight) * prior.operator.codomain.norm2(q)
    return (primal - dual).clamp(min=0)


# --- proximal maps ---


STEP = 0.7


def approximate(name, params):
    """Say whether few rounds leave the proximal map of a sum inexact."""
    return name == "sum" and params.get("rounds") == 1


@every("has_prox", "dual")
def test_the_duality_gap_is_small(name, params, shape, dtype):
    prior = make(name, params, Space(shape, dtype))
    x = elements(prior.domain, "x")
    assert (gap(prior, x, STEP) <= 1e-5 * prior.domain.norm2(x)).all()


@every("has_prox")
def test_the_proximal_map_minimises_its_objective(name, params, shape, dtype):
    """By strong convexity every v has an objective at least ½‖v − u‖² above that of the minimiser u.

    Where the prior is not convex the least that can be said is that no v is better.
    """
    if approximate(name, params):
        pytest.skip("the proximal map is iterative and has no dual to bound its error")
    prior = make(name, params, Space(shape, dtype))
    domain = prior.domain
    x, directions = elements(domain, "x"), elements(domain, "directions", 40)
    # few inner steps give a total generalised variation that is too large, so that what holds with many must hold
    rough = make(name, quick(name, params), domain) if name == "tgv" else prior
    objective = lambda v: domain.norm2(v - x) / 2 + STEP * (prior if v is u else rough).value(v)  # noqa: E731
    u, above = prior.prox(x, STEP), gap(prior, x, STEP)
    assert objective(u).isfinite().all()
    scales = torch.logspace(-4, 1, 40, dtype=torch.float64).reshape(-1, *(1,) * x.ndim)
    units = torch.eye(domain.size, dtype=dtype).reshape(-1, 1, *shape)
    feasible = prior.prox(directions[:5], STEP)
    for v in (
        u + scales * directions,
        u + 1e-3 * units,
        u - 1e-3 * units,
        u + scales[:35:7] * (feasible - u),
        feasible,
    ):
        distance = domain.norm(v - u)
        slack = 1e3 * domain.eps * objective(v).clamp(max=1e6) + above + (2 * above).sqrt() * distance
        assert (objective(v) - objective(u) >= prior.convex * distance**2 / 2 - slack).all()


@every("has_prox", "convex")
def test_the_proximal_map_is_firmly_nonexpansive(name, params, shape, dtype):
    if approximate(name, params):
        pytest.skip("after one round it is a product of proximal maps, which need not be firm")
    prior = make(name, params, Space(shape, dtype))
    domain = prior.domain
    x, z = elements(domain, "x"), elements(domain, "z")
    p, q = prior.prox(x, STEP), prior.prox(z, STEP)
    error = sum((2 * gap(prior, v, STEP)).sqrt() + 100 * domain.eps * domain.norm(v) for v in (x, z))
    assert (domain.norm2(p - q) <= domain.inner(p - q, x - z).real + 2 * error * domain.norm(x - z)).all()


@every("has_prox")
def test_the_proximal_map_of_step_zero_changes_nothing_that_is_allowed(name, params, shape, dtype):
    prior = make(name, params, Space(shape, dtype))
    x = prior.prox(elements(prior.domain, "x"), STEP)
    assert_close(prior.prox(x, 0.0), x, 50)


# --- gradients ---


@every("has_gradient")
def test_the_gradient_is_the_derivative_of_the_value(name, params, shape, dtype):
    prior = make(name, params, Space(shape, dtype))
    x = elements(prior.domain, "x").requires_grad_()
    (expected,) = torch.autograd.grad(prior.value(x).sum() + 0 * x.abs().sum(), x)
    assert_close(prior.gradient(x.detach()), expected, 100, scale=float(x.detach().norm() * (1 + prior.weight)))
    assert torch.autograd.gradcheck(prior.value, x, fast_mode=True)


@every("has_gradient")
def test_the_gradient_is_lipschitz_with_the_constant_it_says(name, params, shape, dtype):
    prior = make(name, params, Space(shape, dtype))
    a, b = elements(prior.domain, "a", 20), elements(prior.domain, "b", 20)
    rise = prior.domain.norm(prior.gradient(a) - prior.gradient(b))
    assert (rise <= prior.gradient_lipschitz() * prior.domain.norm(a - b) * (1 + 1e3 * prior.domain.eps)).all()


# --- splittings ---


def outer_prox(prior, z, step):
    """Return the proximal map of ``step · weight · g`` in closed form, where g is not the prior itself."""
    if isinstance(prior.operator.codomain, ProductSpace):
        parts = zip((prior.first, prior.second), z, strict=True)
        return Blocks(outer(p, part, step) for p, part in parts)
    if isinstance(prior, ex.catalogue.priors["tikhonov"].function):
        return z / (1 + step * prior.weight)
    if isinstance(prior, ex.catalogue.priors["double_tv"].function):  # time, then space
        parts, radii = (z[:, :1], z[:, 1:]), (prior.temporal * prior.weight, prior.weight)
        return torch.cat(
            [p * (1 - step * r / p.norm(dim=1, keepdim=True)).clamp(min=0) for p, r in zip(parts, radii, strict=True)],
            1,
        )
    t, delta = step * prior.weight, getattr(prior, "threshold", 0.0)
    modulus = z.abs() if prior.kind == "anisotropic" else z.abs().square().sum(-1 - prior.domain.ndim, True).sqrt()
    return z * torch.where(modulus <= t + delta, delta / (delta + t), 1 - t / modulus)


def outer(prior, z, step):
    """Return the proximal map of ``step · weight · g``."""
    K = prior.operator
    return K(prior.prox(K.adjoint(z), step)) if K.isometry and K.coisometry else outer_prox(prior, z, step)


@every("splits")
def test_the_dual_proximal_map_satisfies_moreau(name, params, shape, dtype):
    prior = make(name, params, Space(shape, dtype))
    K = prior.operator
    z = elements(K.codomain, "z")
    for step in (0.3, 4.0):
        expected = z - step * outer(prior, z / step, 1 / step)
        assert_close(prior.dual_prox(z, step), expected, 100, scale=norm(z))


LENGTHS = ("l1", "tv", "double_tv", "weighted_l1", "wavelet_l1", "group_l1", "nuclear")
HOMOGENEOUS = [c for c in CASES if c.values[0] in LENGTHS and admits(*c.values[:2], Space(*c.values[2:]))]


@pytest.mark.parametrize(("name", "params", "shape", "dtype"), HOMOGENEOUS)
def test_the_value_is_the_product_with_a_subgradient(name, params, shape, dtype):
    """For f of degree one, f(a) = ⟨p, a⟩ with p ∈ ∂f(a), which the dual proximal map gives as its step vanishes."""
    prior = make(name, params, Space(shape, dtype))
    x = elements(prior.domain, "x")
    z = prior.operator(x)
    p = prior.dual_prox(1e9 * z, 1e-9)
    assert_close(prior.value(x), prior.operator.codomain.inner(p, z).real, 1e3)


# --- batches, precision, devices ---


def calls(prior, x, z):
    """Return everything that the prior can do, by name."""
    made = {"value": prior.value(x)}
    if prior.has_prox:
        made["prox"] = prior.prox(x, STEP)
        made["prox by sample"] = prior.prox(x, torch.full(x.shape[:1], STEP, dtype=x.real.dtype, device=x.device))
    if prior.has_gradient:
        made["gradient"] = prior.gradient(x)
    if prior.splits:
        made["dual_prox"] = prior.dual_prox(z, STEP)
    return made


def parts(x):
    return tuple(x) if isinstance(x, Blocks) else (x,)


def each(x, change):
    """Apply a function to a tensor, or to every block."""
    return x.map(change) if isinstance(x, Blocks) else change(x)


def batch_of(prior):
    return elements(prior.domain, "x"), elements(prior.operator.codomain, "z")


def quick(name, params):
    """Return settings for tests that need no exact proximal map."""
    few = {"inner": 15, "rounds": 3}
    return {**params, **{n: few[n] for n in ex.catalogue.priors[name].knobs if n in few}}


@every()
def test_a_batch_is_a_loop_with_one_weight_a_sample(name, params, shape, dtype):
    domain = Space(shape, dtype)
    batched = {n for n, k in ex.catalogue.priors[name].knobs.items() if k.batched}
    weights = torch.tensor([0.0, 0.01, 0.5, 4.0, 0.1], dtype=torch.float64)
    prior = make(name, quick(name, params), domain, **dict.fromkeys(batched, weights))
    x, z = batch_of(prior)
    together = calls(prior, x, z)
    for i, weight in enumerate(weights.tolist()):
        prior = make(name, quick(name, params), domain, **dict.fromkeys(batched, weight))
        alone = calls(prior, x[i : i + 1], each(z, lambda part, i=i: part[i : i + 1]))
        for what, value in together.items():
            if what == "value" and value[i].isinf():
                assert alone[what][0] == value[i]
                continue
            ours, its = (each(v, lambda part, j=j: part[j]) for v, j in ((value, i), (alone[what], 0)))
            assert_close(ours, its, 100, scale=norm(x[i]) + norm(z) + norm(its))


@every()
def test_what_else_is_in_the_batch_changes_no_bit_of_a_sample(name, params, shape, dtype):
    domain = Space(shape, torch.complex64 if dtype.is_complex else torch.float32)
    prior = make(name, quick(name, params), domain)
    x, z = batch_of(prior)
    before = calls(prior, x, z)
    for other in (0.0, math.nan, 1e20):
        for part in (x, *parts(z)):
            part[1::2] = other
        for what, value in calls(prior, x, z).items():
            for ours, its in zip(parts(value), parts(before[what]), strict=True):
                assert_same_bits(ours[::2], its[::2])


def scaled(component, knobs, factor):
    """Return knobs, also those of nested priors, times the factor to the power of their degree."""
    made = {n: v * factor ** component.knobs[n].degree if component.knobs[n].degree else v for n, v in knobs.items()}
    for n, knob in component.knobs.items():
        if knob.type == "part" and knob.kind == "prior":
            part = ex.catalogue.priors[knobs[n]["name"]]
            made[n] = {"name": part.name, "params": scaled(part, knobs[n]["params"], factor)}
    return made


@every("has_prox")
def test_scaling_the_data_and_the_knobs_by_their_degree_scales_bit_for_bit(name, params, shape, dtype):
    component = ex.catalogue.priors[name]
    domain = Space(shape, torch.complex64 if dtype.is_complex else torch.float32)
    knobs = component.check(quick(name, params))
    prior = make(name, knobs, domain)
    x, z = batch_of(prior)
    for factor in (2.0**-20, 2.0**20):
        other = make(name, {}, domain, **scaled(component, knobs, factor))
        assert_same_bits(other.prox(factor * x, STEP), factor * prior.prox(x, STEP))
        if prior.splits:
            made = parts(other.dual_prox(factor * z, STEP))
            for ours, its in zip(made, parts(factor * prior.dual_prox(z, STEP)), strict=True):
                assert_same_bits(ours, its)


@every()
def test_precision_is_kept(name, params, shape, dtype):
    coarse = torch.complex64 if dtype.is_complex else torch.float32
    prior = make(name, quick(name, params), Space(shape, dtype))
    x, z = batch_of(prior)
    fine, rough = calls(prior, x, z), calls(prior.to(dtype=torch.float32), x.to(coarse), z.to(coarse))
    for what, value in rough.items():
        assert {p.dtype for p in parts(value)} == {torch.float32 if what == "value" else coarse}
        if what != "value" or fine[what].isfinite().all():
            assert_close(value, fine[what], 200, scale=norm(x) ** 2 + norm(z))


@every()
def test_every_prior_builds_and_works_without_data(name, params, shape, dtype):
    prior = make(name, quick(name, params), Space(shape, dtype, "meta"))
    x = torch.empty((5, *shape), dtype=dtype, device="meta")
    z = each(prior.operator.codomain.zeros((5,)), lambda part: part.to("meta"))
    for what, value in calls(prior, x, z).items():
        assert all(p.is_meta for p in parts(value))
        shapes = [(5,)] if what == "value" else [p.shape for p in parts(z if what == "dual_prox" else x)]
        assert [p.shape for p in parts(value)] == shapes


@every()
def test_the_input_is_left_alone(name, params, shape, dtype):
    prior = make(name, quick(name, params), Space(shape, dtype))
    x, z = batch_of(prior)
    before = [part.clone() for part in (x, *parts(z))]
    calls(prior, x, z)
    for part, its in zip((x, *parts(z)), before, strict=True):
        assert_same_bits(part, its)


@every("has_prox")
def test_the_proximal_map_can_be_differentiated(name, params, shape, dtype):
    prior = make(name, quick(name, params), Space(shape, dtype))
    x = elements(prior.domain, "x").requires_grad_()
    assert torch.autograd.gradcheck(lambda v: prior.prox(v, STEP) * 1, x, fast_mode=True)


@pytest.mark.parametrize("name", ex.catalogue.priors)
def test_every_prior_builds_in_the_engine(name):
    problem = build(ex.RunSpec(prior=name, device="meta"))
    assert problem.prior.domain == problem.domain


# --- single functions ---


@every_precision
def test_soft_thresholds_keep_signs_and_phases(dtype):
    x = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0], dtype=dtype)
    assert_close(soft_threshold(x, 1.0), torch.tensor([-2.0, 0, 0, 0, 0, 0, 2], dtype=dtype), 2)
    assert_close(soft_threshold(x * 1j, 1.0), soft_threshold(x, 1.0) * 1j, 2)
    assert_same_bits(soft_threshold(x, 0.0), x)


@every_precision
def test_a_point_inside_the_ball_stays_bit_for_bit(dtype):
    z = torch.tensor([[0.3, 0.4], [3.0, 4.0], [0.0, 0.0]], dtype=dtype)
    made = onto_ball(z, z.norm(dim=-1, keepdim=True), 1.0)
    assert_same_bits(made[0], z[0])
    assert_close(made[1], z[1] / 5, 2)
    assert (onto_ball(z, z.norm(dim=-1, keepdim=True), 0.0) == 0).all()


@every_precision
@pytest.mark.parametrize("weight", [0.5, 4.0])
def test_total_variation_lowers_a_step_by_the_weight_over_its_length_down_to_the_mean(dtype, weight):
    domain = Space((12,), dtype)
    prior = make("tv", {"weight": weight, "inner": 500}, domain)
    x = torch.cat((torch.zeros(1, 8, dtype=dtype), torch.ones(1, 4, dtype=dtype)), dim=1)
    low, high = (weight / 8, 1 - weight / 4) if weight < 1 else (x.mean(), x.mean())
    error = prior.prox(x, 1.0) - torch.where(x == 0, low, high)
    left_open = gap(prior, x, 1.0)
    assert left_open <= 1e-3
    assert domain.norm2(error) <= 2 * left_open + (100 * domain.eps) ** 2


def test_total_variation_is_the_length_of_the_border_for_a_half_plane():
    x = torch.zeros(9, 7)
    x[:, 3:] = 2
    assert make("tv", {"weight": 0.5}, Space((9, 7))).value(x) == 0.5 * 2 * 9


def test_crossed_bounds_are_refused():
    with pytest.raises(ex.SpecError, match="lower bound 2 is above the upper bound 1"):
        make("box", {"lower": 2.0}, Space((4,)))


def test_bounds_need_an_order():
    with pytest.raises(ex.SpecError, match="Box needs a real space"):
        ex.catalogue.priors["box"].build(domain=Space((4,), torch.complex64))


def test_tikhonov_without_a_cheap_decomposition_has_a_gradient_only():
    prior = make("tikhonov", {"operator": "gradient"}, Space((8, 8)))
    assert prior.has_prox == prior.operator.has_gram_svd
    assert prior.has_gradient
