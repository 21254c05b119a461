"""Row 119: strength of off-diagonal elements by energy filters."""

import functools
import math

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError, analyses, operators
from explorer.labs.spectra.thermalization import exact_strength, filter_moments, filter_series, square_wave
from explorer.linalg import Space
from tests import support


def chain(spins, **knobs):
    return operators["ising_chain"].build(domain=Space((2**spins,), torch.float64), **knobs)


def pauli(name, k, spins):
    """Return a Pauli matrix of spin k, the last factor being spin 0."""
    one = {"Z": [[1.0, 0], [0, -1]], "X": [[0.0, 1], [1, 0]]}[name]
    factors = [np.eye(2)] * spins
    factors[spins - 1 - k] = np.array(one)
    return functools.reduce(np.kron, factors)


def test_the_chain_is_the_sum_of_pauli_matrices():
    L, (J, g, h) = 5, (0.7, -0.3, 1.9)
    expected = sum(J * pauli("Z", k, L) @ pauli("Z", k + 1, L) for k in range(L - 1))
    expected = expected + sum(g * pauli("X", k, L) + h * pauli("Z", k, L) for k in range(L))
    A = chain(L, coupling=J, transverse=g, longitudinal=h)
    support.assert_close(A.to_dense(), torch.from_numpy(expected), 10)
    support.assert_close(A.main_diagonal(), torch.from_numpy(np.diag(expected).copy()), 10)
    support.assert_close(torch.diag(square_wave(32, 3).double()), torch.from_numpy(pauli("Z", 3, L)), 1)
    with pytest.raises(SpecError, match="12 entries"):
        operators["ising_chain"].build(domain=Space((12,), torch.float64))


def test_the_series_is_the_filter():
    energy = torch.tensor([-2.0, 0.3], dtype=torch.float64)
    c = filter_series(energy, 0.5, -4.0, 3.0, 60)
    x = torch.linspace(-4, 3, 101, dtype=torch.float64)
    waves = torch.cos(torch.arange(60, dtype=torch.float64)[:, None] * torch.acos(((x + 0.5) / 3.5).clamp(-1, 1)))
    expected = torch.exp(-0.5 * ((x - energy[:, None]) / 0.5) ** 2)
    assert (c @ waves - expected).abs().max() < 1e-12


def test_with_every_unit_vector_as_a_probe_the_strength_is_exact():
    """Against the definition: traces of products of matrix functions."""
    A = support.self_adjoint_operator(torch.linspace(-1, 2, 32, dtype=torch.float64), 3, torch.complex128)
    H, wave = A.to_dense(), square_wave(32, 2).double()
    values, vectors = torch.linalg.eigh(H)
    above, below = torch.tensor([[0.9, 0.5], [1.5, 0.7]], dtype=torch.float64)
    filtered = [
        [(vectors * torch.exp(-0.5 * ((values - e) / 0.3) ** 2)) @ vectors.mH for e in part] for part in (above, below)
    ]
    flip = torch.diag(wave).to(H)
    traces = [[f.diagonal().sum().real for f in part] for part in filtered]
    expected = torch.stack(
        [(f @ flip @ g @ flip).diagonal().sum().real / (a * b) for f, g, a, b in zip(*filtered, *traces, strict=True)]
    )
    units = math.sqrt(32) * torch.eye(32, dtype=torch.complex128)
    pair, single = filter_moments(lambda v: v @ H.mT, wave, units, -1.1, 2.1, 100)
    left, right = (filter_series(e, 0.3, -1.1, 2.1, 100) for e in (above, below))
    found = ((left @ pair) * right).sum(-1) / ((left @ single) * (right @ single))
    support.assert_close(found, expected, 1e4)
    elements = vectors.mH @ flip @ vectors
    support.assert_close(exact_strength(values, elements, above, below, 0.3), expected, 1e4)


def test_row_119_probes_reproduce_the_decomposition_and_kurtosis_tells_chaos():
    A = chain(10)
    first = analyses["off_diagonal_strength"].build(A=A, exact=True, resolution=0.3)
    for seed in support.SEEDS:
        found = first if seed == 0 else analyses["off_diagonal_strength"].build(A=A, seed=seed, resolution=0.3)
        # the mean and the spread of the spectrum are estimates too: energies are those of this seed's probes
        if seed:
            values, elements = decomposed(A)
            sides = [torch.from_numpy(found.energy[:, None] + s * found.frequency / 2) for s in (1, -1)]
            exact = exact_strength(values, elements, *sides, found.width).numpy()
        else:
            exact = found.exact
        assert np.linalg.norm(found.strength - exact) <= 0.1 * np.linalg.norm(exact)
    assert abs(first.kurtosis - 3) <= 0.5
    solvable = analyses["off_diagonal_strength"].build(A=chain(10, longitudinal=0.0), exact=True, probes=1)
    assert solvable.kurtosis >= 2 * first.kurtosis


@functools.cache
def decomposed(A):
    values, vectors = torch.linalg.eigh(A.to_dense())
    return values, vectors.mT @ (square_wave(A.domain.size, 4)[:, None].double() * vectors)


def test_what_cannot_be_probed_is_said():
    strength = analyses["off_diagonal_strength"]
    with pytest.raises(SpecError, match="8 entries"):
        strength.build(A=chain(3))
    one = support.self_adjoint_operator(torch.ones(64, dtype=torch.float64))
    with pytest.raises(SpecError, match="raise it"):
        strength.build(A=one)
