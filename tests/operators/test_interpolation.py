"""Inverse interpolation against SciPy's interpolation, and cubic convolution against polynomials."""

import numpy as np
import pytest
import scipy.interpolate
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from tests.support import every_seed, normal

DOUBLE = torch.float64


@every_seed
@pytest.mark.parametrize("shape", [(20,), (7, 9), (4, 5, 6)])
@pytest.mark.parametrize("method", ["nearest", "linear"])
def test_values_are_those_of_scipy(seed, shape, method):
    x = normal(shape, seed)
    A = ex.operators.inverse_interpolation(Space(shape, DOUBLE), Rng(seed, "test"), share=1.5, method=method)
    grid = [np.arange(n) for n in shape]
    theirs = scipy.interpolate.interpn(grid, x.numpy(), A.points, method=method)
    np.testing.assert_allclose(A(x).numpy(), theirs, atol=1e-13)


@every_seed
@pytest.mark.parametrize("shape", [(20,), (12, 15)])
def test_cubic_convolution_is_exact_for_quadratics_away_from_the_border(seed, shape):
    A = ex.operators.inverse_interpolation(Space(shape, DOUBLE), Rng(seed, "test"), share=4.0, method="cubic")
    quadratic = lambda p: (p**2 - 3 * p).sum(0) + p.prod(0)  # noqa: E731
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij"))
    values, points = A(torch.from_numpy(quadratic(grid))).numpy(), A.points
    inside = ((points >= 1) & (points <= np.array(shape) - 2)).all(1)
    assert inside.sum() > 20
    np.testing.assert_allclose(values[inside], quadratic(points.T)[inside], rtol=1e-12)
    constant = A(torch.ones(shape, dtype=DOUBLE))
    np.testing.assert_allclose(constant.numpy(), 1, rtol=1e-13)


def test_a_smooth_image_comes_back_from_scattered_values():
    spec = ex.RunSpec(
        problem={"name": "gravity", "params": {"size": 64}},
        operator={"name": "inverse_interpolation", "params": {"share": 3.0}},
        noise={"name": "gaussian", "params": {"level": 0.01}},
        solver="cgls",
        rule="discrepancy",
        dtype="float64",
    )
    for seed in range(5):
        assert ex.run(spec.replace(seed=seed)).metrics["relative_error"] < 0.1


def test_a_single_point_has_no_neighbours():
    with pytest.raises(ex.SpecError, match="at least two points along every side"):
        ex.operators.inverse_interpolation(Space((1, 5), DOUBLE), Rng(0, "test"))
