"""Row 285: what measurements tell of the separation of two incoherent points."""

import math

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError, analyses, operators
from explorer.labs.spectra.superresolution import (
    direct_information,
    information,
    mode_derivative,
    mode_probabilities,
    quantum_information,
    sorting_information,
    two_outcomes,
)
from explorer.linalg import Space
from tests import support

SEPARATIONS = torch.tensor([0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def hermite_gauss(x, count, s):
    """Return modes with ``ψ₀²`` normal of standard deviation s, shape ``(count, len(x))``, by their recurrence."""
    z = x / (math.sqrt(2) * s)
    modes = [torch.exp(-0.5 * z**2) / (2 * math.pi * s**2) ** 0.25]
    modes.append(math.sqrt(2) * z * modes[0])
    for q in range(1, count - 1):
        modes.append(math.sqrt(2 / (q + 1)) * z * modes[q] - math.sqrt(q / (q + 1)) * modes[q - 1])
    return torch.stack(modes)


def amplitudes(d, s, count=40):
    """Return the modes' amplitudes of both points' fields by quadrature, shape ``(2, count)``."""
    x = torch.linspace(-14, 14, 4001, dtype=torch.float64) * s
    modes = hermite_gauss(x, count, s)
    fields = torch.stack([hermite_gauss(x + sign * d / 2, 2, s)[0] for sign in (-1, 1)])
    return torch.trapezoid(fields[:, None] * modes, x)


@pytest.mark.parametrize("s", [1.0, 0.3])
def test_probabilities_of_modes_are_overlaps_with_hermite_gauss_functions(s):
    for d in SEPARATIONS * s:
        overlaps = amplitudes(float(d), s).square().mean(0)
        found = mode_probabilities(d, s, 40)
        support.assert_close(found, overlaps, 1e4)
        step = 1e-4 * s
        sides = [mode_probabilities(d + sign * step, s, 40) for sign in (1, -1)]
        support.assert_close(mode_derivative(d, s, 40), (sides[0] - sides[1]) / (2 * step), 1e9, scale=1 / s)


def test_the_quantum_bound_is_that_of_the_symmetric_logarithmic_derivative():
    """``2 Σ |⟨i|∂ρ|j⟩|² / (λ_i + λ_j)`` over the eigenvectors of the photon's state, in the basis of the modes."""
    s = 0.7
    for d in (0.1, 0.5, 1.0, 2.0):
        states = [torch.einsum("pi,pj->ij", *2 * (amplitudes(at * s, s),)) / 2 for at in (d - 1e-4, d, d + 1e-4)]
        change = (states[2] - states[0]) / (2e-4 * s)
        values, vectors = torch.linalg.eigh(states[1])
        inside = (vectors.mT @ change @ vectors).square()
        total = values[:, None] + values
        known = total > 1e-9
        found = 2 * (inside[known] / total[known]).sum()
        assert float(found) == pytest.approx(quantum_information(s), rel=1e-4)


def test_information_of_an_image_is_that_of_the_plain_integral():
    x = torch.linspace(-14, 14, 20_001, dtype=torch.float64)

    def image(dx, dy):
        """Return the two-dimensional density of the photons on a square grid."""
        t = x[::50]
        bells = [
            torch.exp(-0.5 * ((t[:, None] - sign * dx / 2) ** 2 + (t - sign * dy / 2) ** 2)) / (2 * math.pi)
            for sign in (1, -1)
        ]
        return sum(bells) / 2

    cell, e = (28 / 400) ** 2, 1e-4
    for d in (0.2, 1.0, 4.0):
        p = image(d, 0.0)
        slopes = [(image(d + e, 0) - image(d - e, 0)) / (2 * e), (image(d, e) - image(d, -e)) / (2 * e)]
        safe = p.clamp(min=1e-300)
        along, across = (float((one**2 / safe).sum() * cell) for one in slopes)
        found = direct_information(torch.tensor(d, dtype=torch.float64), 1.0)
        assert [float(f) for f in found] == pytest.approx([along, across], rel=1e-6)
        assert abs(float((slopes[0] * slopes[1] / safe).sum() * cell)) < 1e-9  # no cross term along and across


def test_row_285_sorting_reaches_the_quantum_bound_and_an_image_does_not():
    most = quantum_information(1.0)
    sorting = sorting_information(SEPARATIONS, 1.0) / most
    assert ((sorting - 1).abs() <= 1e-3).all()
    assert float(direct_information(SEPARATIONS[2], 1.0)[0]) / most <= 0.03
    first = two_outcomes(SEPARATIONS, 1.0, "first_mode") / most
    assert (first[SEPARATIONS <= 0.5] >= 0.99).all()
    assert first[-1] < 0.7
    # the interferometer with the mirror image needs points that are closer, and is blind beyond
    inversion = two_outcomes(SEPARATIONS, 1.0, "inversion") / most
    assert (inversion[SEPARATIONS <= 0.2] >= 0.99).all()
    assert 0.96 < inversion[3] < 0.98
    assert inversion[-1] < 0.1


def test_two_outcomes_are_modes_taken_together():
    d = SEPARATIONS
    p, slope = mode_probabilities(d, 1.0, 60), mode_derivative(d, 1.0, 60)
    for scheme, of in (("first_mode", [[0], range(1, 60)]), ("inversion", [range(0, 60, 2), range(1, 60, 2)])):
        merged = [torch.stack([t[:, list(q)].sum(-1) for q in of], -1) for t in (p, slope)]
        support.assert_close(two_outcomes(d, 1.0, scheme), information(*merged), 1e6)


def test_in_two_dimensions_both_axes_are_known_equally_well_and_apart():
    dx, dy = torch.tensor([[0.1, 1.0, 3.0], [0.4, 0.05, 2.0]], dtype=torch.float64)
    p, q = mode_probabilities(dx, 1.0, 40), mode_probabilities(dy, 1.0, 40)
    law = (p[:, :, None] * q[:, None]).flatten(1)
    slopes = [
        (mode_derivative(dx, 1.0, 40)[:, :, None] * q[:, None]).flatten(1),
        (p[:, :, None] * mode_derivative(dy, 1.0, 40)[:, None]).flatten(1),
    ]
    for slope in slopes:
        support.assert_close(information(law, slope), torch.full((3,), 0.25, dtype=torch.float64), 1e4)
    cross = torch.where(law > 0, slopes[0] * slopes[1] / law.clamp(min=1e-300), 0).sum(-1)
    assert cross.abs().max() < 1e-12


def test_estimates_from_photons_keep_to_the_bounds():
    for seed in support.SEEDS:
        found = analyses["two_point_resolution"].build(seed=seed, points=9, closest=0.2)
        clear = found.separation >= 0.4
        assert np.abs(found.sorting_error[clear] / found.bound - 1).max() < 0.25
        assert (found.direct_error[1:3] > 2.5 * found.sorting_error[1:3]).all()  # at 0.29 s and 0.42 s
        far = found.separation >= 2.5
        assert np.abs(found.direct_error[far] * np.sqrt(found.direct[far]) / found.bound - 1).max() < 0.25
    with pytest.raises(SpecError, match="below the largest"):
        analyses["two_point_resolution"].build(closest=5.0)


def test_the_operator_sorts_photons_of_an_object():
    A = operators["mode_sorting"].build(domain=Space((40, 60), torch.float64), extent=3.0, modes=60)
    image = torch.zeros(40, 60, dtype=torch.float64)
    image[4, 50] = 2.0
    t = [(2 * (i + 0.5) / n - 1) * 3.0 for i, n in ((4, 40), (50, 60))]
    rows = [mode_probabilities(torch.tensor(2 * x, dtype=torch.float64), 1.0, 60) for x in t]
    support.assert_close(A(image), 2 * rows[0][:, None] * rows[1], 100)
    support.assert_close(A(image.flip(1)), A(image), 100)
    assert A.nonnegative
    assert float(A(torch.ones_like(image)).sum()) == pytest.approx(2400, rel=1e-9)
