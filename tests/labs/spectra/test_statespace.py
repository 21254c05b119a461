"""Perturb, then diagonalise: near the transfer function everywhere, which the normal part is not (row 48)."""

import numpy as np
import pytest
import scipy.signal
import torch

import explorer as ex
from explorer.catalogue import analyses, operators
from explorer.labs.spectra.statespace import (
    dense_transfer,
    diagonalized,
    kernel,
    legendre_memory,
    normal_part,
    perturbed,
    transfer,
)
from explorer.linalg import Rng, Space
from tests import support


def compared(seed=0, **knobs):
    return analyses["approximate_diagonalization"].build(seed=seed, **knobs)


def model(method, length=300, seed=0, **knobs):
    domain = Space((length,), torch.float64)
    return operators["state_space"].build(domain=domain, rng=Rng(seed, "model"), method=method, **knobs)


@support.every_seed
def test_row_48_sixty_four_states(seed):
    found = compared(seed)
    assert found.condition[0] > 1e15
    assert found.condition[1] < 1e6
    assert found.perturbed_error <= 1e-2
    assert found.normal_error > 1
    assert found.backward_error == pytest.approx(1e-4, rel=1e-6)


@support.every_seed
def test_row_48_sixteen_states(seed):
    found = compared(seed, states=16)
    assert found.perturbed_error <= 2e-3
    assert found.normal_error == pytest.approx(23.46, abs=0.01)


def test_row_48_the_normal_part_converges_weakly_alone():
    """At every low frequency the error falls with the number of states, while the largest of all grows."""
    low = torch.linspace(0, 0.5, 11, dtype=torch.float64)
    at, high = [], []
    for states in (8, 16, 32, 64, 128):
        A, B = legendre_memory(states)
        C = torch.ones(states, dtype=torch.float64)
        G, H = (dense_transfer(*pair, C, low) for pair in ((A, B), normal_part(A, B)))
        at.append(float(((H - G) / G).abs().max()))
        high.append(compared(states=states, points=20).normal_error)
    assert (np.diff(at) < 0).all()
    assert (np.diff(high) > 0).all()


@support.every_seed
def test_row_48_a_wave_at_a_resonance_is_noise_for_the_normal_part_alone(seed):
    """Contaminated by a wave of the frequency where the normal part resonates, and size 0.1, over many periods."""
    frequency = float(compared(states=16).frequency[np.argmax(compared(states=16).normal)])
    t = torch.arange(8000, dtype=torch.float64) * 2e-3
    wave = 0.1 * torch.sin(frequency * t)
    exact, near, other = (
        model(m, 8000, seed, states=16, step=2e-3)(wave).abs().max() for m in ("exact", "perturbed", "normal")
    )
    assert near == pytest.approx(float(exact), rel=0.02)
    assert other > 10 * exact


@support.every_seed
def test_the_error_falls_with_the_perturbation_and_the_condition_grows(seed):
    found = [compared(seed, perturbation=size, points=50) for size in (1e-2, 1e-4, 1e-6)]
    assert found[0].perturbed_error > 10 * found[1].perturbed_error > 100 * found[2].perturbed_error
    assert 10 * found[0].condition[1] < 10 * found[1].condition[1] < found[2].condition[1]


def test_the_transfer_functions_of_both_differ_by_a_scalar_factor():
    """By the formula of Sherman and Morrison ``1 / (2 − Bᵀ (iω − A)⁻¹ B)``, whatever C is."""
    A, B = legendre_memory(12)
    w, C = torch.linspace(0, 40, 30, dtype=torch.float64), support.normal((12,))
    factor = 1 / (2 - dense_transfer(A, B, B, w))
    support.assert_close(dense_transfer(*normal_part(A, B), C, w), factor * dense_transfer(A, B, C, w), 1e5)


def test_the_normal_part_is_normal():
    A, _ = normal_part(*legendre_memory(20))
    support.assert_close(A @ A.mT, A.mT @ A, 100)
    support.assert_close((A + A.mT) / 2, -torch.eye(20, dtype=torch.float64) / 2, 1e4)


def test_the_memory_holds_legendre_coefficients():
    """In stretched time ``t x' = A x + B u`` the state is ``⟨u(t ·), √(2n+1) P_n(2 · − 1)⟩``; of u = s², exactly."""
    A, B = legendre_memory(5)
    s, weight = np.polynomial.legendre.leggauss(20)
    s, weight = (s + 1) / 2, weight / 2
    basis = np.stack([np.sqrt(2 * n + 1) * np.polynomial.legendre.Legendre.basis(n)(2 * s - 1) for n in range(5)])
    c = basis @ (weight * s**2)  # x(t) = t² c, so that 2 c = A c + B
    np.testing.assert_allclose(2 * c, A.numpy() @ c + B.numpy(), atol=1e-13)


def test_a_diagonal_model_is_the_same_model():
    A, B = legendre_memory(10)
    C, w = support.normal((10,)), torch.logspace(-1, 2, 20, dtype=torch.float64)
    A = perturbed(A, 0.05, Rng(0, "E"))
    *diagonal, condition = diagonalized(A, B, C)
    support.assert_close(transfer(*diagonal, w), dense_transfer(A, B, C, w), 100 * condition)


def test_kernels_against_scipy():
    A, B = legendre_memory(9)
    C, h = torch.ones(9, dtype=torch.float64), 0.03
    system = (A.numpy(), B[:, None].numpy(), C[None].numpy(), np.zeros((1, 1)))
    a, *_ = scipy.signal.cont2discrete(system, h, "bilinear")
    left = np.eye(9) - h / 2 * A.numpy()
    expected = [C.numpy() @ np.linalg.matrix_power(a, k) @ np.linalg.solve(left, h * B.numpy()) for k in range(70)]
    support.assert_close(kernel(A, B, C, h, 70), torch.tensor(np.array(expected)), 1000)
    made = model("exact", 70, states=9, step=h)
    x = support.normal((70,))
    expected = np.convolve(x.numpy(), np.array(expected))[:70]
    support.assert_close(made(x), torch.from_numpy(expected), 1000)
    # a diagonal model of a matrix with well conditioned eigenvectors has the kernel of the matrix itself
    part, half = normal_part(A, B)
    support.assert_close(model("normal", 70, states=9, step=h).impulse_response(), kernel(part, half, C, h, 70), 1e4)
    near = model("perturbed", 70, states=9, step=h, perturbation=1e-3)
    expected = kernel(perturbed(A, 1e-3, Rng(0, "model").fork("perturbation")), B, C, h, 70)
    support.assert_same_bits(near.impulse_response(), near.impulse_response())
    support.assert_close(near.impulse_response(), expected, 1e7)


def test_on_a_problem_and_refused():
    spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, operator="state_space", noise="none")
    A = ex.run(spec).problem["A"]
    assert A.domain.shape == (64,)
    with pytest.raises(ex.SpecError, match="numbers are above"):
        model("exact", 2**20)
