"""Integral equations against independent quadrature, and against the data that go with their solutions."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.operators import fredholm
from tests import support

KERNELS = {
    "baart": (lambda s, t: math.exp(s * math.cos(t)), (0, math.pi / 2), (0, math.pi)),
    "foxgood": (math.hypot, (0, 1), (0, 1)),
    "wing": (lambda s, t: t * math.exp(-s * t * t), (0, 1), (0, 1)),
    "ursell": (lambda s, t: 1 / (s + t + 1), (0, 1), (0, 1)),
}
#: the data that go with the published solutions
DATA = {
    "baart": lambda s: 2 * np.sinh(s) / s,
    "foxgood": lambda s: ((1 + s**2) ** 1.5 - s**3) / 3,
    "wing": lambda s: (np.exp(-s / 9) - np.exp(-4 * s / 9)) / (2 * s),
}


def make(name, n, **knobs):
    component = ex.catalogue.operators[name]
    return component.bind({"domain": Space((n,), torch.float64)}, component.check(knobs))()


@pytest.mark.parametrize("name", KERNELS)
def test_entries_are_integrals_over_pairs_of_boxes(name):
    kernel, (a, b), (c, d) = KERNELS[name]
    n, matrix = 8, make(name, 8).to_dense().numpy()
    hs, ht = (b - a) / n, (d - c) / n
    for i, j in ((0, 0), (0, 7), (3, 4), (7, 2), (7, 7)):
        cell = (c + j * ht, c + (j + 1) * ht, a + i * hs, a + (i + 1) * hs)
        value = scipy.integrate.dblquad(lambda t, s: kernel(s, t), cell[2], cell[3], cell[0], cell[1], epsabs=1e-13)[0]
        corner = 1e-3 if name == "foxgood" and i == j == 0 else 1e-9  # its kernel has a kink there
        assert matrix[i, j] == pytest.approx(value / math.sqrt(hs * ht), rel=corner)


@pytest.mark.parametrize("name", DATA)
def test_the_solution_gives_the_published_data_to_the_order_of_the_boxes(name):
    _, (a, b), _ = KERNELS[name]
    gaps = []
    for n in (16, 64):
        edges = np.linspace(a, b, n + 1)
        expected = [scipy.integrate.quad(DATA[name], u, v)[0] for u, v in itertools.pairwise(edges)]
        expected = np.array(expected) * math.sqrt(n / (b - a))
        found = make(name, n)(getattr(fredholm, f"{name}_solution")(n)).numpy()
        gaps.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    assert gaps[1] < 1e-3
    assert gaps[1] < gaps[0] / 8


@pytest.mark.parametrize(
    ("case", "data"),
    [
        (1, lambda s: 1 / (s + 0.5)), (2, lambda s: 1 / s - 1 / (s + 0.5)),
        (3, lambda s: 2 / (s + 0.5) ** 3), (4, lambda s: np.exp(-2 * s) / s),
    ],
)  # fmt: skip
def test_laplace_transforms_are_the_tables(case, data):
    n = 64
    s = 10 * np.arange(1, n + 1) / n
    found = make("laplace", n)(fredholm.laplace_solution(n, case)).numpy()
    gap = np.abs(found - data(s)) / np.abs(data(s)).max()
    middle = (s > 0.5) & (s < 4)  # a rule of Gauss and Laguerre is exact near s = 1
    assert gap[middle].max() < (0.1 if case == 4 else 1e-6)


def test_the_abel_transform_of_a_ball_and_of_a_shell_are_chords():
    A = make("abel", 32)
    s = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
    support.assert_close(A(torch.ones(32, dtype=torch.float64)), 2 * (1 - s**2).sqrt(), 100)
    half = (torch.arange(32) < 16).double()
    support.assert_close(A(half), 2 * (0.25 - s**2).clamp(min=0).sqrt(), 100)


def test_heat_flows_backwards_mode_by_mode_and_keeps_its_total():
    n, time = 40, 2e-3
    A = make("backward_heat", n, time=time)
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    for k in (0, 1, 5):
        mode = torch.cos(math.pi * k * x)
        support.assert_close(A(mode), math.exp(-((math.pi * k) ** 2) * time) * mode, 100)
    warm = fredholm.heat_profile(n)
    assert float(A(warm).sum()) == pytest.approx(float(warm.sum()))
    support.assert_close(A(A(warm)), make("backward_heat", n, time=2 * time)(warm), 100)


@pytest.mark.parametrize("name", ["baart", "foxgood", "wing", "laplace", "abel", "backward_heat"])
def test_each_is_ill_posed_and_solved_by_regularisation(name):
    spec = ex.RunSpec(
        problem={"name": name, "params": {"size": 48}}, operator=name, dtype="float64", draws=5,
        noise={"name": "gaussian", "params": {"level": 1e-3}}, solver="tikhonov", rule="oracle",
    )  # fmt: skip
    condition = ex.analyse(ex.build(spec.replace(draws=None)), "singular_values").condition
    assert condition > (30 if name == "abel" else 1e6)
    best = ex.run(spec).history["error"][-1]
    naive = ex.run(spec.replace(rule="fixed", solver={"name": "tikhonov", "params": {"regularization": 1e-30}}))
    assert (best < 0.65).all()
    assert (naive.history["error"][-1] >= (1 if name == "abel" else 100) * best * (1 - 1e-6)).all()


def test_sizes_that_cannot_be_built_are_refused():
    with pytest.raises(ex.SpecError, match="at most 128"):
        make("laplace", 200)
    with pytest.raises(ex.SpecError, match="at most 1024"):
        make("baart", 2000)
