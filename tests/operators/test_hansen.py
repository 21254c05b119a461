"""Hansen's problems against the integral equations that they discretise."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

import explorer as ex
from explorer.linalg import Space
from explorer.operators import hansen
from tests.support import assert_close

NAMES = ["shaw", "phillips", "deriv2", "heat", "gravity"]


def operator(name, n, **knobs):
    return getattr(hansen, name)(Space((n,), torch.float64), **knobs)


def boxes(function, low, high, n):
    """Return the Galerkin coefficients of a function: its integral over each cell, divided by the root of its width."""
    edges = np.linspace(low, high, n + 1)
    cells = [quad(function, a, b, epsabs=1e-14, epsrel=1e-13)[0] for a, b in itertools.pairwise(edges)]
    return torch.tensor(cells, dtype=torch.float64) / math.sqrt((high - low) / n)


def convergence(name, right_hand_side, low, high, solution):
    """Return ‖A x − b‖ / ‖b‖ at 32 and at 64 samples, with b by quadrature."""
    errors = []
    for n in (32, 64):
        b = boxes(right_hand_side, low, high, n)
        errors.append(float(torch.linalg.vector_norm(operator(name, n)(solution(n)) - b) / torch.linalg.vector_norm(b)))
    return errors


@pytest.mark.parametrize("name", ["shaw", "phillips", "deriv2", "gravity"])
def test_symmetric_ones_are_symmetric(name):
    A = operator(name, 16)
    assert A.self_adjoint
    assert_close(A.matrix, A.matrix.T, 0)


@pytest.mark.parametrize("name", ["phillips", "heat", "gravity"])
def test_convolutions_are_toeplitz(name):
    M = operator(name, 16).matrix
    assert_close(M[1:, 1:], M[:-1, :-1], 4)


def test_shaw_has_the_published_entries():
    n = 20
    M = operator("shaw", n).matrix
    s = (torch.arange(n, dtype=torch.float64) + 0.5) * math.pi / n - math.pi / 2
    for i, j in ((0, 0), (3, 7), (12, 4), (19, 18)):
        u = math.pi * (math.sin(s[i]) + math.sin(s[j]))
        expected = math.pi / n * ((math.cos(s[i]) + math.cos(s[j])) * math.sin(u) / u) ** 2
        assert abs(M[i, j] - expected) < 1e-13
    # on the antidiagonal u = 0, and the quotient is 1
    assert_close(M.flip(1).diagonal(), math.pi / n * (2 * s.cos()) ** 2, 16)


def test_phillips_is_the_galerkin_matrix_of_its_kernel():
    n = 16
    h = 12 / n
    kernel = lambda x: 1 + math.cos(math.pi * x / 3) if abs(x) < 3 else 0.0  # noqa: E731
    M = operator("phillips", n).matrix
    for k in range(n):
        # the double integral over two cells at distance k h is one over a hat
        hat = lambda x, k=k: kernel(x) * (1 - abs(x - k * h) / h)  # noqa: E731
        expected = sum(quad(hat, (k + a) * h, (k + a + 1) * h)[0] for a in (-1, 0))
        assert abs(M[0, k] - expected) < 1e-12
    assert_close(hansen.phillips_solution(n), boxes(kernel, -6, 6, n), 64)


def test_phillips_maps_its_solution_to_its_right_hand_side():
    def g(s):
        s = abs(s)
        return (6 - s) * (1 + 0.5 * math.cos(s * math.pi / 3)) + 9 / (2 * math.pi) * math.sin(s * math.pi / 3)

    coarse, fine = convergence("phillips", g, -6, 6, hansen.phillips_solution)
    assert fine < 0.27 * coarse < 0.27 * 1e-2  # second order


@pytest.mark.parametrize("case", [1, 2, 3])
def test_deriv2_maps_its_solutions_to_their_right_hand_sides(case):
    g = {
        1: lambda s: (s**3 - s) / 6,
        2: lambda s: math.exp(s) + (1 - math.e) * s - 1,
        3: lambda s: (4 * s**3 - 3 * s) / 24 if s < 0.5 else (-4 * s**3 + 12 * s**2 - 9 * s + 1) / 24,
    }[case]
    f = {1: lambda t: t, 2: math.exp, 3: lambda t: min(t, 1 - t)}[case]
    assert_close(hansen.deriv2_solution(32, case), boxes(f, 0, 1, 32), 64)
    coarse, fine = convergence("deriv2", g, 0, 1, lambda n: hansen.deriv2_solution(n, case))
    if case == 1:  # exact: over a cell, a linear function and its projection have the same second integrals
        assert max(coarse, fine) < 1e-14
    else:
        assert fine < 0.27 * coarse < 0.27 * 1e-3  # second order


def test_deriv2_has_the_singular_values_of_the_second_derivative():
    s = operator("deriv2", 256).svd().s[:5]
    expected = 1 / (math.pi * torch.arange(1, 6, dtype=torch.float64)) ** 2
    assert (s / expected - 1).abs().max() < 1e-3


def test_deriv2_has_the_published_entries():
    M = operator("deriv2", 8).matrix * 8**2
    # one-based i = 3: (i² − i + ¼) h − (i − 2/3); and i = 5, j = 2: (j − ½)((i − ½) h − 1)
    assert_close(M[2, 2], torch.tensor((9 - 3 + 0.25) / 8 - (3 - 2 / 3), dtype=torch.float64), 4)
    assert_close(M[4, 1], torch.tensor(1.5 * (4.5 / 8 - 1), dtype=torch.float64), 4)
    assert (torch.linalg.eigvalsh(M) < 0).all()


@pytest.mark.parametrize("kappa", [1.0, 3.0])
def test_heat_integrates_a_step_to_the_temperature_inside(kappa):
    # a constant surface temperature gives erfc(1 / (2 κ √s)) inside
    n = 2000
    A = operator("heat", n, kappa=kappa)
    s = torch.arange(1, n + 1, dtype=torch.float64) / n
    expected = torch.erfc(1 / (2 * kappa * s.sqrt()))
    assert (A(torch.ones(n, dtype=torch.float64)) - expected).abs().max() < 1e-4
    assert_close(A.matrix.triu(1), torch.zeros(n, n, dtype=torch.float64), 0)


def test_heat_has_the_published_solution():
    x = hansen.heat_solution(40)
    # ti = i/2: the parabola, its join, the hump's top, the decay, and zero in the second half
    assert_close(
        x[[0, 2, 3, 4, 5, 7]],
        torch.tensor([0.75 / 16, 0.75 * 2.25 / 4, 0.75, 1.0, 0.75, 0.75 / math.e**2]).double(),
        1e8,
    )
    assert x[:20].min() > 0
    assert not x[20:].any()


@pytest.mark.parametrize("depth", [0.1, 0.25, 1.0])
def test_gravity_integrates_a_constant_mass_in_closed_form(depth):
    n = 400
    A = operator("gravity", n, depth=depth)
    s = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    primitive = lambda x: x / (depth * torch.hypot(torch.tensor(depth).double(), x))  # noqa: E731
    expected = primitive(1 - s) + primitive(s)
    assert ((A(torch.ones(n, dtype=torch.float64)) - expected) / expected).abs().max() < 1e-4
    assert A.positive


def test_gravity_has_the_published_densities():
    n = 24
    one, two, three = (hansen.gravity_solution(n, case) for case in (1, 2, 3))
    t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    assert_close(one, torch.sin(math.pi * t) + 0.5 * torch.sin(2 * math.pi * t), 4)
    assert (two[0], two[7], two[20], two[23]) == (0.25, 2.0, 1.0, 0.0)
    assert_close(two[8:21].diff(), torch.full((12,), -1 / 13, dtype=torch.float64), 32)
    assert three.tolist() == [2.0] * 8 + [1.0] * 16


@pytest.mark.parametrize("name", NAMES)
def test_the_problem_of_the_same_name_is_its_solution(name):
    params = {"size": 24}
    problem = ex.catalogue.problems[name]
    assert_close(problem.build(**params).x, getattr(hansen, f"{name}_solution")(24), 0)
    if "case" in problem.knobs:
        solutions = [problem.build(**params, case=case).x for case in (1, 2, 3)]
        assert not torch.equal(solutions[0], solutions[1])
        assert_close(solutions[2], getattr(hansen, f"{name}_solution")(24, 3), 0)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ex.SpecError, match="multiple of 4, and there are 30: choose 32"):
        operator("phillips", 30)
    with pytest.raises(ex.SpecError, match="at most 4096"):
        operator("shaw", 5000)
    with pytest.raises(ex.SpecError, match="one-dimensional signal"):
        ex.catalogue.operators["shaw"].build(domain=Space((8, 8)))
