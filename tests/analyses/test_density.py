"""Densities and traces against dense eigenvalues."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.analyses.density import density_of_states
from explorer.linalg.quadrature import chebyshev_moments, lanczos, quadrature
from tests import support
from tests.analyses.test_spectrum import hidden

SPECTRA = [support.decay(300, 50, "arithmetic"), support.decay(300, 200, "geometric")]


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_counts_and_traces_are_within_four_standard_errors(spectrum):
    for seed in support.SEEDS:
        A = hidden(support.matrix(spectrum, 330, seed=seed))
        found = density_of_states(A, seed=seed, probes=12, shift=0.01)
        true = spectrum**2
        assert abs(found.trace - float(true.sum())) <= 4 * found.trace_error
        log = float((true + 0.01).log().sum())
        assert abs(found.log_determinant - log) <= 4 * found.log_determinant_error
        assert found.log_determinant_error < 0.03 * abs(log)
        above = np.array([(true > g).sum() for g in found.grid])
        # the count is a step function, of which the quadrature makes steps at its nodes: one node's weight more
        assert (np.abs(found.above - above) <= 4 * found.above_error + 300 / 60).all()
        assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("method", ["lanczos", "kernel_polynomial"])
def test_the_density_of_a_flat_spectrum_is_flat(method):
    eigenvalues = torch.linspace(-1, 1, 400, dtype=torch.float64)
    for seed in support.SEEDS:
        A = support.self_adjoint_operator(eigenvalues, seed)
        found = density_of_states(A, seed=seed, steps=20, probes=20, method=method)
        assert found.of == "A"
        inner = np.abs(found.grid) < 0.8
        assert np.abs(found.density[inner] - 0.5).max() < 0.12
        assert (found.density > -1e-9).all()


@support.every_dtype
def test_lanczos_makes_the_tridiagonal_matrix_of_the_basis_and_quadrature_is_exact_for_polynomials(dtype):
    H = support.hermitian(torch.linspace(-1, 2, 40), 1, dtype)
    v = support.normal((3, 40), 2, dtype)
    nodes, weights = quadrature(*lanczos(lambda x: x @ H.mT, v, 8))
    values, vectors = torch.linalg.eigh(H)
    parts = (v @ vectors.conj()).abs().double() ** 2
    parts = parts / parts.sum(-1, keepdim=True)
    for power in range(16):
        exact = (parts * values.double() ** power).sum(-1)
        assert (exact - (weights * nodes**power).sum(-1)).abs().max() < 1e5 * support.eps(dtype) * 2**power


def test_a_process_that_ends_early_gives_the_rest_no_weight():
    D = torch.diag(torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=torch.float64))
    nodes, weights = quadrature(*lanczos(lambda x: x @ D, torch.ones(1, 4, dtype=torch.float64), 4))
    heavy = weights[0] > 1e-12
    assert nodes[0][heavy] == pytest.approx(np.array([1, 2]))
    assert weights[0][heavy] == pytest.approx(np.array([0.5, 0.5]))


def test_moments_are_those_of_chebyshev_polynomials():
    values = torch.linspace(0.2, 3, 30, dtype=torch.float64)
    found = chebyshev_moments(lambda x: x * values, torch.ones(1, 30, dtype=torch.float64), 12, 0.0, 4.0)
    angle = torch.acos(values / 2 - 1)
    exact = torch.stack([torch.cos(j * angle).mean() for j in range(12)])
    support.assert_close(found[0], exact, 1000)


def test_densities_are_told_in_a_sentence():
    problem = ex.build(ex.RunSpec(problem={"name": "camera", "params": {"size": 16}}, dtype="float64"))
    assert "standard errors" in ex.analyse(problem, "density_of_states", steps=20).sentence
