"""Pseudospectra and the field of values against dense singular values and known shapes."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer import figures
from explorer.analyses.nonnormal import _least_singular_value, pseudospectrum
from tests import support
from tests.analyses.test_spectrum import hidden


@support.every_seed
@pytest.mark.parametrize("n", [3, 12, 60])
def test_the_distance_is_the_least_singular_value(seed, n):
    matrix = support.normal((n, n), seed)
    found = pseudospectrum(hidden(matrix), points=10)
    z = found.real[None, :] + 1j * found.imaginary[:, None]
    dense = torch.linalg.svdvals(torch.from_numpy(z)[..., None, None] * torch.eye(n) - matrix.to(torch.complex128))
    np.testing.assert_allclose(found.distance, dense[..., -1], rtol=1e-6)


def test_of_a_jordan_block_the_field_is_a_disc_and_eigenvalues_mislead():
    n = 16
    found = pseudospectrum(hidden(torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)))
    radius = math.cos(math.pi / (n + 1))
    np.testing.assert_allclose(np.abs(found.field), radius, rtol=1e-12)
    assert found.numerical_radius == pytest.approx(radius)
    assert found.departure == 1
    near = np.hypot(found.real[None, :], found.imaginary[:, None]) < 0.4
    assert found.distance[near].max() < 1e-5  # tiny perturbations have eigenvalues far from zero


@support.every_seed
def test_of_a_normal_matrix_the_field_is_the_hull_and_the_distance_that_to_the_eigenvalues(seed):
    q = support.isometry(14, 14, seed, torch.complex128)
    eigenvalues = support.normal((14,), seed + 50, torch.complex128)
    found = pseudospectrum(hidden((q * eigenvalues) @ q.mH), points=12)
    z = found.real[None, :] + 1j * found.imaginary[:, None]
    nearest = np.abs(z[..., None] - eigenvalues.numpy()).min(-1)
    np.testing.assert_allclose(found.distance, nearest, rtol=1e-6)
    assert found.numerical_radius == pytest.approx(float(eigenvalues.abs().max()), rel=1e-3)
    assert found.departure == 0.0
    assert found.growth == 1
    assert "normal to rounding" in found.sentence


@support.every_seed
def test_powers_grow_as_the_kreiss_constant_says(seed):
    n = 20
    matrix = torch.diag(torch.linspace(0.1, 0.9, n).double()) + torch.triu(support.normal((n, n), seed), 1)
    found = pseudospectrum(hidden(matrix), margin=1.0)
    scaled = matrix / 0.9
    powers = [torch.linalg.matrix_norm(torch.linalg.matrix_power(scaled, k), 2) for k in range(1, 60)]
    assert 1 < found.growth <= float(max(powers)) * (1 + 1e-6)


def test_a_large_operator_is_refused_and_the_figure_has_both():
    problem = ex.build(ex.RunSpec(problem={"name": "camera", "params": {"size": 64}}))
    with pytest.raises(ex.SpecError, match="of at most 512 entries"):
        ex.analyse(problem, "pseudospectrum")
    small = pseudospectrum(hidden(support.normal((9, 9), 1)))
    assert figures.pseudospectra(small).png().startswith(b"\x89PNG")
    zero = torch.zeros(1, 1, dtype=torch.complex128)
    assert float(_least_singular_value(zero, torch.tensor([2.0 + 0j]))) == pytest.approx(2)
