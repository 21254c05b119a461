"""The other integral equations against quadrature of their kernels and their exact right-hand sides."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import torch
from scipy.integrate import dblquad, quad

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Space
from explorer.operators import hansen, integral
from tests.support import assert_close

CASES = {"i_laplace": (1, 2, 3, 4), "abel": (1, 2, 3), "deriv2": (1, 2, 3)}
WITH_DATA = ["baart", "foxgood", "i_laplace", "wing", "abel", "phillips", "deriv2"]


def operator(name, n, **knobs):
    return ex.catalogue.operators[name].build(domain=Space((n,), torch.float64), **knobs)


def entry(kernel, row, column, scale):
    """Return the Galerkin entry: the kernel over two cells, divided by the root of their widths."""
    value = dblquad(lambda t, s: kernel(s, t), *row, *column, epsabs=1e-13, epsrel=1e-12)[0]
    return value / math.sqrt((row[1] - row[0]) * (column[1] - column[0])) * scale


def edges(low, high, n):
    return list(itertools.pairwise(np.linspace(low, high, n + 1)))


PLACES = [(0, 0), (1, 9), (5, 2), (9, 9)]


@pytest.mark.parametrize(
    ("name", "kernel", "row", "column", "error"),
    [
        # Simpson's rule in t: the fourth derivative of e^{s cos t} is at most e^{π/2} · 15 or so, times h⁴/2880
        ("baart", lambda s, t: math.exp(s * math.cos(t)), (0, math.pi / 2), (0, math.pi), 1e-4),
        ("ursell", lambda s, t: 1 / (s + t + 1), (0, 1), (0, 1), 1e-12),
    ],
)
def test_galerkin_entries_are_double_integrals_of_the_kernel(name, kernel, row, column, error):
    M, n = operator(name, 10).matrix, 10
    for i, j in PLACES:
        expected = entry(kernel, edges(*row, n)[i], edges(*column, n)[j], 1)
        assert abs(M[i, j] / expected - 1) < error


def test_parallax_is_the_galerkin_matrix_of_its_kernel():
    sigma = 0.014234
    kernel = lambda s, t: math.exp(-(((s - t) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))  # noqa: E731
    M = operator("parallax", 26).matrix
    assert M.shape == (26, 26)
    for i, j in ((6, 0), (10, 12), (20, 20), (25, 25)):
        assert abs(M[i, j] / entry(kernel, edges(-0.03, 0.1, 26)[i], edges(0, 0.1, 26)[j], 1) - 1) < 1e-4


def test_the_midpoint_ones_are_their_kernels():
    n = 9
    t = (np.arange(n) + 0.5) / n
    assert_close(operator("foxgood", n).matrix, torch.from_numpy(np.sqrt(t[:, None] ** 2 + t**2) / n), 4)
    assert_close(operator("wing", n).matrix, torch.from_numpy(t * np.exp(-t[:, None] * t**2) / n), 4)


def test_ursell_keeps_its_digits_for_small_cells():
    """For n = 4096 the textbook's differences of u log u lose six digits."""
    n = 4096
    M = integral.ursell(Space((n,), torch.float64)).matrix
    u = 1 + 1 / n  # the first entry is the integral of (1 − |x|)/(u + hx)/n over [−1, 1]
    expected = quad(lambda x: (1 - abs(x)) / (u + x / n) / n, -1, 1, points=[0])[0]
    assert abs(M[0, 0] / expected - 1) < 1e-11


def test_abel_entries_are_lengths_of_chords_in_rings():
    n = 8
    M = operator("abel", n).matrix
    for i, j in ((0, 0), (2, 2), (2, 5), (5, 7)):
        s, low, high = (i + 0.5) / n, j / n, (j + 1) / n
        # with r = s + u² the integrand 2 r / √(r² − s²) dr has no singularity left
        u = [math.sqrt(max(r - s, 0)) for r in (low, high)]
        expected = quad(lambda u, s=s: 4 * (s + u**2) / math.sqrt(2 * s + u**2), *u)[0]
        assert abs(M[i, j] - expected) < 1e-13
    assert not M.tril(-1).any()


@pytest.mark.parametrize("n", [8, 64, 128])
def test_the_laguerre_rule_is_that_of_scipy(n):
    t, log_weight = integral.laguerre(n)
    nodes, weights = scipy.special.roots_laguerre(n)
    assert np.abs(t.numpy() / nodes - 1).max() < 1e-10
    large = weights > 1e-250
    assert np.abs(log_weight.numpy() - np.log(np.where(large, weights, 1)))[large].max() < 1e-9


def test_the_laguerre_rule_is_finite_where_its_weights_underflow():
    M = operator("i_laplace", 512).matrix
    assert M.isfinite().all()
    assert_close(
        operator("i_laplace", 512)(integral.i_laplace_solution(512))[100:], integral.i_laplace_data(512)[100:], 1e6
    )


def test_spikes_have_the_published_entries_and_heights():
    M = operator("spike_train", 10).matrix  # t = 0.5, 1, …
    s, t = 1.5, 2.5
    assert abs(M[2, 4] - s / (2 * math.sqrt(math.pi * t**3)) * math.exp(-(s**2) / 4 / t)) < 1e-16
    expected = [25, 1, 9, 1, 5, 1, 4, 1, 3, 1]
    assert integral.spike_train_solution(10).tolist() == expected
    long = integral.spike_train_solution(70, 7)  # a spike every ten samples, from the fifth on
    assert long[4::10].tolist() == [25, 9, 5, 4, 3, 2, 2]
    assert not long[:4].any()
    assert long.sum() == 50 + 66 - 7


def gaps(name, sizes, case=None):
    """Return ‖A x − b‖ / ‖b‖ of the publication's data for each size."""
    where = hansen if hasattr(hansen, f"{name}_data") else integral
    more = () if case is None else (case,)
    found = []
    for n in sizes:
        x, b = getattr(where, f"{name}_solution")(n, *more), getattr(where, f"{name}_data")(n, *more)
        found.append(float((operator(name, n)(x) - b).norm() / b.norm()))
    return found


@pytest.mark.parametrize(
    ("name", "case", "ratio", "last"),
    [
        ("baart", None, 0.26, 1e-3),  # the solution's boxes are of second order
        ("foxgood", None, 0.26, 1e-3),
        ("phillips", None, 0.27, 1e-2),
        ("deriv2", 2, 0.27, 1e-3),
        ("deriv2", 3, 0.27, 1e-3),
        ("wing", None, 0.6, 0.06),  # a step is resolved to first order
        ("abel", 1, 0.55, 2e-2),
        ("abel", 2, 0.36, 1e-3),  # order 3/2: the root in the kernel meets the slope of the density
    ],
)
def test_the_solution_gives_the_data_of_the_publication(name, case, ratio, last):
    coarse, fine = gaps(name, (32, 64) if name != "wing" else (32, 128), case)
    assert fine < ratio * coarse
    assert fine < last


def test_a_disc_is_exact_under_the_abel_transform():
    assert gaps("abel", (32,), 3)[0] < 1e-14


@pytest.mark.parametrize("case", [1, 3])
def test_laplace_transforms_of_smooth_functions_converge_geometrically(case):
    """For f = e^{−t/2} n nodes leave an error of about ((s − ½)/(s + 3/2))^{2n}: the worst is s = 10."""
    for n in (16, 32, 64):
        b = integral.i_laplace_data(n, case)
        gap = (operator("i_laplace", n)(integral.i_laplace_solution(n, case)) - b).abs()
        s = torch.arange(1, n + 1, dtype=torch.float64) * (10 / n)
        rate = ((s - 0.5) / (s + 1.5)).abs() ** (2 * n)
        # t² is two derivatives in s, each of which brings down a factor of n at most
        assert (gap <= 10 * (n if case == 3 else 1) ** 2 * rate + 1e-11).all()


def test_laplace_transforms_of_the_others_converge():
    n = 128  # a constant at infinity takes s > 0 of some size; a step is resolved to first order
    for case, error in ((2, 1e-8), (4, 0.3)):
        b = integral.i_laplace_data(n, case)[16:]
        gap = operator("i_laplace", n)(integral.i_laplace_solution(n, case))[16:] - b
        assert gap.norm() < error * b.norm()


@pytest.mark.parametrize(
    ("name", "g", "high", "error"),
    [
        ("baart", lambda s: 2 * math.sinh(s) / s if s else 2, math.pi / 2, 1e-9),
        ("wing", lambda s: (math.exp(-s / 9) - math.exp(-4 * s / 9)) / (2 * s) if s else 1 / 6, 1, 1e-5),
        ("deriv2", lambda s: (s**3 - s) / 6, 1, 1e-12),
    ],
)
def test_data_are_box_coefficients_of_the_right_hand_side(name, g, high, error):
    n = 64
    boxes = [quad(g, a, b)[0] / math.sqrt(high / n) for a, b in edges(0, high, n)]
    where = hansen if name == "deriv2" else integral
    assert np.abs(getattr(where, f"{name}_data")(n).numpy() / boxes - 1).max() < error


def test_phillips_data_are_box_coefficients():
    def g(s):
        a = abs(s)
        return (6 - a) * (1 + math.cos(a * math.pi / 3) / 2) + 9 / (2 * math.pi) * math.sin(a * math.pi / 3)

    boxes = [quad(g, a, b)[0] / math.sqrt(12 / 16) for a, b in edges(-6, 6, 16)]
    assert_close(hansen.phillips_data(16), torch.tensor(boxes, dtype=torch.float64), 64)


def test_baart_refuses_an_odd_number():
    with pytest.raises(ex.SpecError, match="multiple of 2, and there are 33"):
        operator("baart", 33)


@pytest.mark.parametrize("name", WITH_DATA)
def test_published_data_take_the_place_of_simulated_ones(name):
    for case in CASES.get(name, (None,)):
        knobs = {"size": 32, **({} if case is None else {"case": case})}
        spec = ex.RunSpec(problem={"name": name, "params": knobs}, operator=name, dtype="float64")
        published = build(spec.replace(problem={"name": name, "params": {**knobs, "published": True}}))
        assert_close(published.x_true, build(spec).x_true, 0)
        where = hansen if hasattr(hansen, f"{name}_data") else integral
        expected = getattr(where, f"{name}_data")(32, *(() if case is None else (case,)))
        assert_close(published.y, expected, 0)


@pytest.mark.parametrize(("name", "cells"), [("ursell", 40), ("parallax", 30)])
def test_data_without_a_solution_can_be_inverted(name, cells):
    run = ex.run(ex.RunSpec(problem={"name": name, "params": {"cells": cells}}, operator=name, solver="tikhonov"))
    assert run.x.shape == (cells,)
    assert run.x.isfinite().all()
