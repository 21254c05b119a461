"""Rows 56 and 132: eigenvalue counts of pairs of Jacobi matrices from weighted nodes of their Wronskian."""

import itertools
import math

import pytest
import torch

from explorer.catalogue import SpecError, analyses
from explorer.labs.spectra.oscillation import dense, solution, weighted_nodes
from tests import support

INTERVALS = ("(<, <=)", "(<, <)", "(<=, <=)", "(<=, <)")


def counted(first, second, energies, interval, slack=0.0):
    """Return the difference of the counts from both spectra."""
    counts = []
    for (b, a), z, strict in zip(
        (second, first), energies[::-1], ("=" not in part for part in interval.split(",")), strict=True
    ):
        values = torch.linalg.eigvalsh(dense(b, a))
        counts.append((values < z.unsqueeze(-1) + (-slack if strict else slack)).sum(-1))
    return counts[0] - counts[1]


@support.every_seed
def test_row_56_diagonals_and_energies_that_differ(seed):
    b0, b1 = support.normal((2, 300, 30), seed)
    a = -0.2 - support.normal((300, 29), 10 + seed).abs()
    z0, z1 = support.normal((2, 300), 20 + seed)
    found = weighted_nodes((b0, a), (b1, a), (z0, z1))
    expected = counted((b0, a), (b1, a), (z0, z1), "(<, <=)")
    assert torch.equal(found, expected)
    assert len(found.unique()) > 5


@support.every_seed
def test_row_132_all_entries_differ(seed):
    b0, b1 = support.normal((2, 200, 1, 50), seed)
    a0, a1 = -0.1 - support.normal((2, 200, 1, 49), 10 + seed).abs()
    z = 2 * support.normal((200, 5), 20 + seed)
    expected = counted((b0, a0), (b1, a1), (z, z), "(<, <)")  # no energy is an eigenvalue
    for interval in INTERVALS:
        found = weighted_nodes(*(tuple(t.expand(-1, 5, -1) for t in J) for J in ((b0, a0), (b1, a1))), (z, z), interval)
        assert torch.equal(found, expected)


@support.every_seed
def test_row_132_energies_at_eigenvalues(seed):
    """Matrices of small powers of two: the recursion is exact, and zero is often an eigenvalue of either or both."""
    rng = support.generator(seed)
    b0, b1 = (
        torch.randint(-1, 2, (2, 500, 7), generator=rng) * torch.randint(0, 2, (2, 500, 7), generator=rng)
    ).double()
    a0, a1 = -(2.0 ** torch.randint(0, 2, (2, 500, 6), generator=rng)).double()
    z = torch.zeros(500, dtype=torch.float64)
    at = [(torch.linalg.eigvalsh(dense(b, a)).abs() < 1e-9).any(-1) for b, a in ((b0, a0), (b1, a1))]
    assert min(int((one & two).sum()) for one, two in itertools.product(*((m, ~m) for m in at))) >= 5
    for interval in INTERVALS:
        found = weighted_nodes((b0, a0), (b1, a1), (z, z), interval)
        assert torch.equal(found, counted((b0, a0), (b1, a1), (z, z), interval, 1e-9))


@support.every_seed
def test_nodes_agree_with_lifted_angles(seed):
    """The turns of the second Prüfer angle against the first, summed over the lattice."""
    b0, b1 = support.normal((2, 100, 20), seed)
    a = -0.5 - support.normal((100, 19), 10 + seed).abs()
    pairs = (solution(b0, a, 0.0, left=True), solution(b1, a, 0.0, left=False))
    weight = torch.cat((torch.ones(100, 1), -a, torch.ones(100, 1)), -1).double()
    delta = 0
    for sign, (u, after) in zip((-1, 1), pairs, strict=True):
        angle = torch.atan2(u, weight * after)
        # a quarter turn, and then a shear in the half-plane of u's sign: a step lies in (−π/2, 3π/2)
        step = torch.remainder(angle.diff(dim=-1) + math.pi / 2, 2 * math.pi) - math.pi / 2
        delta = delta + sign * torch.cat((angle[:, :1], step), -1).cumsum(-1)
    lifted = (delta[:, -1] / math.pi).ceil() - (delta[:, 0] / math.pi).floor() - 1
    z = torch.zeros(100, dtype=torch.float64)
    assert torch.equal(weighted_nodes((b0, a), (b1, a), (z, z)), lifted.long())


@support.every_seed
def test_one_matrix_alone_counts_its_spectrum_by_sign_flips(seed):
    b, a = support.normal((300, 8), seed), -0.1 - support.normal((300, 7), 10 + seed).abs()
    here, after = solution(b, a, 0.0, left=True)
    flips = (here[:, 1:] * after[:, 1:] < 0).sum(-1)
    assert torch.equal(flips, (torch.linalg.eigvalsh(dense(b, a)) < 0).sum(-1))


def test_long_recursions_do_not_overflow():
    b = support.normal((3, 2000)) + 20
    here, after = solution(b, -torch.ones(1999, dtype=torch.float64), 0.0, left=True)
    assert torch.isfinite(here).all()
    assert float(torch.maximum(here.abs(), after.abs()).max()) <= 1


def test_the_analysis_agrees_with_both_spectra():
    for seed in support.SEEDS:
        found = analyses["relative_oscillation"].build(seed=seed)
        assert (found.count == found.spectra).all()
        assert found.count.min() < 0 < found.count.max()
    with pytest.raises(SpecError, match="the same"):
        analyses["relative_oscillation"].build(perturbation=0.0, hopping=0.0)
