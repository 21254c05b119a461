"""Direct methods against dense algebra, and many values of a knob in one solve."""

import pytest
import torch

from explorer.linalg import Space
from explorer.operators import gaussian_blur
from explorer.solvers import tikhonov, tsvd
from tests import support


@support.every_seed
@support.every_dtype
def test_tikhonov_solves_the_damped_normal_equations(dtype, seed):
    A = support.operator(support.decay(12, 10.0), 16, 12, seed, dtype)
    y, matrix = support.normal((16,), seed, dtype), A.to_dense()
    wide = torch.complex128 if dtype.is_complex else torch.float64
    for weight in (1e-3, 0.1, 10.0):
        system = matrix.mH.to(wide) @ matrix.to(wide) + weight * torch.eye(12, dtype=wide)
        expected = torch.linalg.solve(system, matrix.mH.to(wide) @ y.to(wide))
        found = tikhonov(A, y, regularization=weight)
        support.assert_close(found.x, expected, 500)
        support.assert_close(found.scalars["residual"], (matrix.to(wide) @ expected - y.to(wide)).norm(), 500)
        support.assert_close(found.scalars["solution_norm"], expected.norm(), 500)
        influence = matrix.to(wide) @ torch.linalg.solve(system, matrix.mH.to(wide))
        dof = influence.trace().real * (2 if dtype.is_complex else 1)
        support.assert_close(found.scalars["dof"], dof, 500)


@support.every_seed
def test_tsvd_inverts_what_lies_above_the_threshold(seed):
    A = support.operator(support.decay(12, 1e3), 16, 12, seed)
    y = support.normal((16,), seed)
    u, s, v = A.factors
    for threshold, kept in ((0.0, 12), (0.05, int((s > 0.05).sum())), (1.0, 0)):
        found = tsvd(A, y, threshold=threshold)
        expected = v[:, :kept] @ ((u[:, :kept].T @ y) / s[:kept])
        support.assert_close(found.x, expected, 100 * 1e3, scale=max(support.norm(expected), 1.0))
        support.assert_close(found.scalars["residual"], (y - u[:, :kept] @ (u[:, :kept].T @ y)).norm(), 100)
        assert float(found.scalars["dof"]) == kept


@pytest.mark.parametrize(("method", "knob"), [(tikhonov, "regularization"), (tsvd, "threshold")])
def test_zero_gives_the_pseudo_inverse_of_a_singular_matrix(method, knob):
    A = support.operator(torch.cat([support.decay(6, 10.0), torch.zeros(2)]).double(), 10, 8)
    y = support.normal((10,), 1)
    found = method(A, y, **{knob: 0.0})
    expected = torch.linalg.pinv(A.matrix, rtol=1e-10) @ y
    support.assert_close(found.x, expected, 1000)
    support.assert_close(found.scalars["residual"], (y - A.matrix @ expected).norm(), 1000)
    assert float(found.scalars["dof"]) == 6


@pytest.mark.parametrize(("method", "knob"), [(tikhonov, "regularization"), (tsvd, "threshold")])
@pytest.mark.parametrize("shape", [(64,), (16, 16)], ids=["dense", "blur"])
def test_two_hundred_values_in_one_solve_are_a_loop(method, knob, shape):
    space = Space(shape, torch.float64)
    A = gaussian_blur(space, sigma=1.0) if len(shape) == 2 else support.operator(support.decay(64, 1e4))
    y = support.normal((3, *shape), 2)
    values = torch.logspace(-6, 1, 200, dtype=torch.float64)
    together = method(A, y.expand(200, 3, *shape), **{knob: values[:, None].expand(200, 3)})
    assert together.x.shape == (200, 3, *shape)
    for i, value in enumerate(values.tolist()):
        alone = method(A, y, **{knob: value})
        support.assert_close(together.x[i], alone.x, 100, scale=max(support.norm(alone.x), 1.0))
        for name, scalar in alone.scalars.items():
            support.assert_close(together.scalars[name][i], scalar, 100, scale=max(support.norm(scalar), 1.0))


def test_repeated_data_are_analysed_once():
    A = support.operator(support.decay(12, 10.0), 16, 12)
    y, batches = support.normal((16,), 1), []
    adjoint = A.svd().U._adjoint
    A.svd().U._adjoint = lambda data: batches.append(data.shape) or adjoint(data)
    tikhonov(A, y.expand(200, 16), regularization=torch.logspace(-6, 1, 200, dtype=torch.float64))
    assert batches == [(1, 16)]


@support.every_seed
def test_derivatives_with_respect_to_the_weight_are_right(seed):
    A = support.operator(support.decay(6, 10.0), 8, 6, seed)
    y = support.normal((2, 8), seed)
    weight = torch.tensor([0.1, 1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: tikhonov(A, y, regularization=w).x, weight)
    assert torch.autograd.gradcheck(lambda w: tikhonov(A, y, regularization=w).scalars["residual"], weight)


@pytest.mark.parametrize(("method", "knob"), [(tikhonov, "regularization"), (tsvd, "threshold")])
def test_many_values_at_once_are_those_one_by_one(method, knob):
    """Images of this size are solved for a few values at a time."""
    A = gaussian_blur(Space((160, 160)), sigma=1.0)
    y = A(torch.randn(160, 160, generator=torch.Generator().manual_seed(0)))
    values = torch.logspace(-4, -1, 12)
    with torch.no_grad():
        both = method(A, y.expand(12, 160, 160), **{knob: values})
        for k, value in enumerate(values):
            alone = method(A, y, **{knob: value})
            assert torch.equal(both.x[k], alone.x)
            for name in ("residual", "dof", "solution_norm"):
                support.assert_close(both.scalars[name][k], alone.scalars[name], 100)
