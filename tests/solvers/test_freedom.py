"""Degrees of freedom of CGLS and LSQR: what a probe estimates, against the linear map of the data."""

import pytest
import torch

import explorer as ex
from explorer.linalg import Blocks, ProductSpace, Rng, Space
from explorer.linalg.quadrature import random_signs
from tests import support

STEPS, SIGNS = 6, 4000


def scalars(name, A, y, **knobs):
    with torch.no_grad():
        steps = zip(getattr(ex.solvers, name)(A, y, **knobs), range(STEPS), strict=False)
        return [step.scalars for step, _ in steps]


def influence(A, y, damping, steps):
    """Return the matrix from data to fitted data of so many CG steps on y, their lengths held."""
    lengths = [(s["alpha"], s["beta"]) for s in scalars("cgls", A, y, damping=damping)[:steps]]
    matrix, unit = A.matrix, torch.eye(len(y), dtype=y.dtype)
    x = torch.zeros(matrix.shape[1], len(y), dtype=y.dtype)
    p = matrix.mH @ unit
    for alpha, beta in lengths:
        x = x + alpha * p
        p = matrix.mH @ (unit - matrix @ x) - damping * x + beta * p
    return matrix @ x


@pytest.mark.parametrize("damping", [0.0, 0.05])
@pytest.mark.parametrize("name", ["cgls", "lsqr"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=lambda d: str(d)[6:])
def test_one_probe_gives_its_quadratic_form(name, damping, dtype):
    for seed in support.SEEDS:
        A = support.operator(support.decay(16, 50), 20, seed=seed, dtype=dtype)
        y = support.normal((20,), seed, dtype)
        w = random_signs(A.codomain, Rng(seed, "probe"))
        for k, found in enumerate(scalars(name, A, y, damping=damping, probe=w), start=1):
            expected = torch.vdot(w, influence(A, y, damping, k) @ w).real
            support.assert_close(found["dof"], expected, 1e5)


def test_the_mean_over_probes_is_the_trace():
    A = support.operator(support.decay(16, 50), 20)
    y = support.normal((20,), 0)
    w = random_signs(A.codomain, Rng(0, "probe", SIGNS))
    found = scalars("cgls", A, y.expand(SIGNS, -1), probe=w)[-1]["dof"]
    matrix = influence(A, y, 0.0, STEPS)
    symmetric = (matrix + matrix.T) / 2
    error = (2 * (symmetric**2).sum() - 2 * (symmetric.diagonal() ** 2).sum()).sqrt() / SIGNS**0.5
    assert (found.mean() - matrix.trace()).abs() < 4 * error


def test_a_probe_changes_no_bit_of_the_answer():
    A = support.operator(support.decay(16, 50), 20)
    y, w = support.normal((3, 20), 0), random_signs(A.codomain, Rng(0, "probe", 3))
    for name in ("cgls", "lsqr"):
        for plain, probed in zip(scalars(name, A, y), scalars(name, A, y, probe=w), strict=True):
            support.assert_same_bits(probed["residual"], plain["residual"])


def test_probes_are_signs_in_every_space():
    real, complex_ = Space((50,)), Space((50,), torch.complex64)
    assert set(random_signs(real, Rng(0, "p")).tolist()) == {-1, 1}
    assert set(random_signs(complex_, Rng(0, "p")).tolist()) == {1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j}
    assert isinstance(random_signs(ProductSpace((real, real)), Rng(0, "p")), Blocks)
