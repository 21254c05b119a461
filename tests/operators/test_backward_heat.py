"""The backward heat equation mode by mode, and how ill-posed it is."""

import math

import pytest
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.operators.backward_heat import heat_profile
from tests import support


def make(n, time):
    return ex.operators.backward_heat(Space((n,), torch.float64), time=time)


def test_heat_flows_backwards_mode_by_mode_and_keeps_its_total():
    n, time = 40, 2e-3
    A = make(n, time)
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    for k in (0, 1, 5):
        mode = torch.cos(math.pi * k * x)
        support.assert_close(A(mode), math.exp(-((math.pi * k) ** 2) * time) * mode, 100)
    warm = heat_profile(n)
    assert float(A(warm).sum()) == pytest.approx(float(warm.sum()))
    support.assert_close(A(A(warm)), make(n, 2 * time)(warm), 100)


def test_it_is_as_ill_posed_as_can_be_and_solved_by_regularisation():
    spec = ex.RunSpec(
        problem={"name": "backward_heat", "params": {"size": 48}}, operator="backward_heat", dtype="float64", draws=5,
        noise={"name": "gaussian", "params": {"level": 1e-3}}, solver="tikhonov", rule="oracle",
    )  # fmt: skip
    assert ex.analyse(ex.build(spec.replace(draws=None)), "singular_values").condition > 1e6
    best = ex.run(spec).history["error"][-1]
    naive = ex.run(spec.replace(rule="fixed", solver={"name": "tikhonov", "params": {"regularization": 1e-30}}))
    assert (best < 0.65).all()
    assert (naive.history["error"][-1] > 100 * best).all()
