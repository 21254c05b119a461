"""Elliptic equations against SciPy, manufactured solutions and their orders of accuracy."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LaplacianNd

import explorer as ex
from explorer.linalg import Space
from tests.support import assert_close, normal

DOUBLE = torch.float64
ops = ex.operators
every_edge = pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic"])


@every_edge
@pytest.mark.parametrize("shape", [(2,), (9,), (7, 7), (4, 4, 4)], ids=str)
def test_poissons_matrix_is_scipys(boundary, shape):
    if boundary == "periodic" and min(shape) < 3:
        pytest.skip("the wrapped stencil meets itself, which the reference counts once")
    cells = shape[0] + (boundary == "dirichlet")
    theirs = -LaplacianNd(shape, boundary_conditions=boundary, dtype=np.float64).toarray() * cells**2
    assert_close(ops.poisson_equation(Space(shape, DOUBLE), boundary=boundary).to_dense(), torch.from_numpy(theirs), 8)


@every_edge
def test_the_diagonalized_form_and_the_diagonal_are_those_of_the_matrix(boundary):
    A = ops.helmholtz_equation(Space((6, 9), DOUBLE), waves=1.3, boundary=boundary)
    x = normal((2, 6, 9))
    assert_close(A.diagonalized()(x), A(x), 64)
    assert_close(A.main_diagonal().reshape(-1), A.to_dense().diagonal(), 1)


def points(n):
    return torch.arange(1, n + 1, dtype=DOUBLE) / (n + 1)


def test_poissons_equation_is_solved_to_second_order():
    errors = []
    for n in (15, 31, 63):
        x, y = points(n)[:, None], points(n)
        u = torch.sin(math.pi * x) * torch.sin(2 * math.pi * y)
        d = ops.poisson_equation(Space((n, n), DOUBLE)).svd()
        found = d.V(d.U.adjoint(5 * math.pi**2 * u) / d.s)
        errors.append(float((found - u).abs().max()))
    assert abs(errors[0] / errors[1] - 4) < 0.1
    assert abs(errors[1] / errors[2] - 4) < 0.03


def test_helmholtz_has_a_negative_eigenvalue_for_every_longer_standing_wave():
    n, waves = 63, 2.2
    A = ops.helmholtz_equation(Space((n,), DOUBLE), waves=waves)
    assert A.self_adjoint
    assert not A.positive
    # standing waves have m/2 wavelengths in the box
    assert (torch.linalg.eigvalsh(A.to_dense()) < 0).sum() == 4


def exact(x, diffusion):
    """Return the solution of ``−ε u″ + u′ = 1``, 0 at both ends."""
    return x - (torch.exp((x - 1) / diffusion) - math.exp(-1 / diffusion)) / (1 - math.exp(-1 / diffusion))


def solved(n, **knobs):
    A = ops.advection_diffusion(Space((n,), DOUBLE), **knobs)
    return torch.linalg.solve(A.to_dense(), torch.ones(n, dtype=DOUBLE))


@pytest.mark.parametrize(("scheme", "order"), [("upwind", 1), ("central", 2)])
def test_a_stream_is_solved_to_the_order_of_its_scheme(scheme, order):
    errors = [float((solved(n, diffusion=0.1, scheme=scheme) - exact(points(n), 0.1)).abs().max()) for n in (255, 511)]
    assert abs(math.log2(errors[0] / errors[1]) - order) < 0.05


def test_a_boundary_layer_thinner_than_a_cell_makes_central_differences_oscillate():
    n, diffusion = 20, 0.005  # cell Péclet number 9.5
    steps = {scheme: solved(n, diffusion=diffusion, scheme=scheme).diff() for scheme in ("upwind", "central")}
    assert (steps["upwind"][:-1] > 0).all()
    assert steps["central"].min() < -0.5


def test_the_stream_goes_where_its_angle_says():
    n = 31
    source = torch.zeros(n, n, dtype=DOUBLE)
    source[15, 15] = 1
    for angle, (row, column) in {0: (15, 25), 90: (5, 15), 180: (15, 5), 270: (25, 15)}.items():
        A = ops.advection_diffusion(Space((n, n), DOUBLE), angle=float(angle))
        u = torch.linalg.solve(A.to_dense(), source.reshape(-1)).reshape(n, n)
        assert u.min() > -1e-15
        assert u[row, column] > 10 * u[30 - row, 30 - column]


@pytest.mark.parametrize("shape", [(11,), (5, 8)], ids=str)
def test_the_symmetric_part_is_diffusion_for_central_differences(shape):
    domain = Space(shape, DOUBLE)
    M = ops.advection_diffusion(domain, diffusion=0.3, speed=7.0, scheme="central").to_dense()
    assert_close((M + M.T) / 2, 0.3 * ops.poisson_equation(domain).to_dense(), 8)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic"])
def test_the_spectral_laplacian_differentiates_waves_exactly(boundary):
    """Products of the two slowest waves of each kind, by their formulas."""
    n = 16
    t = (
        (torch.arange(n, dtype=DOUBLE) + 1) / (n + 1)
        if boundary == "dirichlet"
        else (torch.arange(n, dtype=DOUBLE) + 0.5) / n
    )
    wave, unit = {
        "dirichlet": (torch.sin, math.pi),
        "neumann": (torch.cos, math.pi),
        "periodic": (torch.sin, 2 * math.pi),
    }[boundary]
    u = torch.outer(wave(3 * unit * t), wave(5 * unit * t))
    A = ops.poisson_equation(Space((n, n), DOUBLE), boundary=boundary, scheme="spectral")
    assert_close(A(u), (9 + 25) * unit**2 * u, 100)
    B = ops.helmholtz_equation(Space((n, n), DOUBLE), boundary=boundary, scheme="spectral", waves=2.0)
    assert_close(B(u), ((9 + 25) * unit**2 - (4 * math.pi) ** 2) * u, 100)


def test_differences_come_to_the_spectral_laplacian_with_the_square_of_the_step():
    errors = []
    for n in (16, 32, 64):
        domain = Space((n,), DOUBLE)
        lowest = [ops.poisson_equation(domain, scheme=s).svd().s.min() for s in ("differences", "spectral")]
        errors.append(float(1 - lowest[0] / lowest[1]) * (n + 1) ** 2)
    assert max(errors) / min(errors) < 1.01
