"""Slices against a loop, mixtures of spectra against einsum, Darcy flow against resistors and dense inverses."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.darcy import diffusion_matrix, smooth_field
from explorer.operators.hyperspectral import reflectances
from tests.support import SEEDS, assert_close, normal

DOUBLE = torch.float64

# --- slices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["radon", "masked_fourier", "multicoil_mri", "gaussian_blur"])
def test_every_slice_is_measured_as_if_it_were_alone(inner):
    x = normal((3, 10, 10))
    A = ex.operators.slice_wise(Space((3, 10, 10), DOUBLE), Rng(0, "test"), operator=inner)
    B = A.operator
    assert B.domain.shape == (10, 10)
    assert_close(A(x), torch.stack([B(s) for s in x]), 32)
    y = A.codomain.random(Rng(1, "test"))
    assert_close(A.adjoint(y), torch.stack([B.adjoint(s) for s in y]), 32)
    assert A.data_axes[0] == ("slice", "")
    assert A.norm() == B.norm()


def test_it_is_the_kronecker_product_with_an_identity():
    from explorer.operators.algebra import Kronecker
    from explorer.operators.base import Identity

    domain = Space((4, 9), DOUBLE)
    A = ex.operators.slice_wise(domain, Rng(0, "test"), operator={"name": "gaussian_blur", "params": {"sigma": 1.0}})
    assert_close(A.to_dense(), Kronecker(domain, [Identity(Space((4,), DOUBLE)), A.operator]).to_dense(), 16)


def test_what_has_no_slices_is_refused():
    with pytest.raises(ex.SpecError, match="has slices, and"):
        ex.operators.slice_wise(Space((9,), DOUBLE), Rng(0, "test"))


def test_a_volume_is_reconstructed_slice_by_slice():
    spec = ex.RunSpec(
        problem={"name": "head_volume", "params": {"side": 32, "slices": 3}},
        operator={"name": "slice_wise", "params": {"operator": {"name": "radon", "params": {"angles": 40}}}},
        noise={"name": "gaussian", "params": {"level": 0.01}},
        solver="cgls",
        rule="discrepancy",
        dtype="float64",
    )
    assert ex.RunSpec.from_json(spec.to_json()) == spec
    run = ex.run(spec)
    assert run.x.shape == (3, 32, 32)
    assert run.metrics["relative_error"] < 0.35


def test_the_middle_of_the_volume_is_the_flat_phantom_but_for_what_lies_elsewhere():
    volume = ex.problems.head_volume(side=64, slices=1).x
    flat = ex.problems.shepp_logan(size=64).x
    assert volume.shape == (1, 64, 64)
    assert ((volume[0] - flat).abs() > 1e-12).double().mean() < 0.03


# --- hyperspectral mixing ---------------------------------------------------------------------------------------------


def mixing(shape=(4, 5, 6), **knobs):
    return ex.operators.spectral_mixing(Space(shape, DOUBLE), Rng(0, "test"), **{"bands": 20, **knobs})


def test_a_pixel_is_the_sum_of_its_materials_spectra():
    A, x = mixing(), normal((4, 5, 6))
    E = A.operators[0].matrix
    assert_close(A(x), torch.from_numpy(np.einsum("bk,kij->bij", E.numpy(), x.numpy())), 32)
    y = normal((20, 5, 6))
    assert_close(A.adjoint(y), torch.from_numpy(np.einsum("bk,bij->kij", E.numpy(), y.numpy())), 32)
    s = torch.linalg.svdvals(E)
    assert_close(A.svd().s.reshape(4, -1).amax(1).sort(descending=True).values, s, 32)


def test_spectra_lie_between_0_and_1_and_draw_together():
    conditions = []
    for similarity in (0.0, 0.5, 0.9):
        E = reflectances(100, 5, similarity, Rng(0, "test"))
        assert E.min() > 0
        assert E.max() < 1
        conditions.append(float(torch.linalg.cond(E)))
    assert conditions == sorted(conditions)


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_are_found_better_when_they_must_be_shares(seed):
    spec = ex.RunSpec(
        problem={"name": "abundances", "params": {"side": 12}},
        operator={"name": "spectral_mixing", "params": {"bands": 32, "similarity": 0.8}},
        noise={"name": "gaussian", "params": {"level": 0.05}},
        stop={"name": "budget", "params": {"steps": 300}},
        seed=seed,
        dtype="float64",
    )
    shares = ex.run(spec.replace(solver="fista", prior="fractions"))
    free = ex.run(spec.replace(solver={"name": "tikhonov", "params": {"regularization": 0.0}}))
    assert shares.metrics["relative_error"] < 0.7 * free.metrics["relative_error"]
    assert shares.x.min() >= 0
    assert (shares.x.sum(0) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_projection_onto_shares_is_the_quadratic_programme_at_every_pixel(seed):
    """Against the optimality conditions: x = (v − θ)₊ with one θ a pixel, sum one."""
    prior = ex.priors.fractions(Space((5, 3, 2), DOUBLE))
    v = normal((5, 3, 2), seed)
    x = prior.prox(v, 1.0)
    assert_close(x.sum(0), torch.ones(3, 2, dtype=DOUBLE), 8)
    shift = v - x
    theta = torch.where(x > 0, shift, -math.inf).amax(0)
    assert_close(torch.where(x > 0, shift, theta), theta.expand(5, 3, 2), 64)
    assert (v - theta <= 1e-14)[x == 0].all()


def test_abundances_are_shares():
    x = ex.problems.abundances(Rng(0, "test"), side=16, materials=3).x
    assert x.shape == (3, 16, 16)
    assert x.min() > 0
    assert_close(x.sum(0), torch.ones(16, 16, dtype=DOUBLE), 8)


# --- Darcy flow -------------------------------------------------------------------------------------------------------


def darcy(shape, contrast=1.0, **knobs):
    return ex.operators.darcy_flow(Space(shape, DOUBLE), Rng(0, "test"), contrast=contrast, **knobs)


@pytest.mark.parametrize("shape", [(15,), (6, 9), (3, 4, 5)])
def test_pressure_is_the_inverse_of_its_sources(shape):
    A, L = darcy(shape), darcy(shape, measured="sources")
    x = normal((2, *shape))
    assert_close(A(L(x)), x, 1e4)
    assert_close(L(A(x)), x, 1e4)
    assert_close(A.to_dense(), torch.linalg.inv(L.to_dense()), 1e4)
    assert A.to_dense().min() >= 0


@pytest.mark.parametrize("shape", [(15,), (6, 9), (3, 4, 5)])
def test_without_contrast_it_is_the_poisson_equation(shape):
    L = darcy(shape, contrast=0.0, measured="sources")
    poisson = ex.operators.poisson_equation(Space(shape, DOUBLE))
    assert_close(L.to_dense(), poisson.to_dense(), 32)


def test_flow_through_layers_has_the_pressure_of_resistors_in_series():
    """In one dimension the flux through the faces is piecewise constant, and pressure falls by flux over k."""
    n, k = 9, np.exp(normal((11,)).numpy())
    h = 1 / (n + 1)
    L = diffusion_matrix(k).toarray()
    source = np.zeros(n)
    source[3] = 1 / h
    resistance = h * (1 / k[1:] + 1 / k[:-1]) / 2
    left, right = resistance[:4].sum(), resistance[4:].sum()
    top = 1 / (1 / left + 1 / right)  # unit source between two resistors to ground
    expected = np.concatenate((np.cumsum(resistance[:4]) / left, np.cumsum(resistance[:4:-1])[::-1] / right)) * top
    assert np.allclose(np.linalg.solve(L, source), expected, rtol=1e-12)


def test_finer_grids_converge_to_the_smooth_solution_at_second_order():
    errors = []
    for n in (15, 31, 63):
        t = np.linspace(0, 1, n + 2)
        x = t[1:-1]
        k, u = 1 + t**2, np.sin(math.pi * x)
        # −(k u')' with k = 1 + x²
        f = (1 + x**2) * math.pi**2 * u - 2 * x * math.pi * np.cos(math.pi * x)
        errors.append(np.abs(np.linalg.solve(diffusion_matrix(k).toarray(), f) - u).max())
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.5 < errors[1] / errors[2] < 4.5


@pytest.mark.parametrize("seed", SEEDS)
def test_random_fields_have_variance_one(seed):
    field = smooth_field(Rng(seed, "test"), (64, 64))
    assert abs(float(field.mean())) < 1e-12
    assert 0.3 < float(field.var()) < 3
