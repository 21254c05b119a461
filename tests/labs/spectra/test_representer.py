"""Row 311: solutions with an l1 or a nuclear norm as sums over their measurements."""

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError, analyses
from explorer.labs.spectra.representer import contributions, lasso, nuclear
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from tests import support

REAL = torch.float64


def regression(seed, n=100, d=300, k=10):
    A = support.normal((n, d), seed)
    truth = torch.zeros(d, dtype=REAL)
    truth[:k] = support.normal((k,), 100 + seed) + 1
    y = A @ truth + 0.5 * support.normal((n,), 200 + seed)
    return A, y, 0.2 * float((A.mT @ y).abs().max())


@support.every_seed
def test_the_path_ends_at_a_minimiser(seed):
    """The optimality conditions of the lasso: the correlation is λ times the sign on the support, and less off it."""
    A, y, lam = regression(seed)
    x = lasso(A, y, lam)
    correlation = A.mT @ (y - A @ x)
    on = x != 0
    assert 5 <= int(on.sum()) < 100
    support.assert_close(correlation[on], lam * x[on].sign(), 1e4)
    assert float(correlation[~on].abs().max()) < lam


@support.every_seed
def test_row_311_predictions_are_sums_over_the_samples(seed):
    A, y, lam = regression(seed)
    x, new = lasso(A, y, lam), support.normal((50, 300), 300 + seed)
    explained = contributions(A, y, x, lam) @ new.mT
    assert float((explained.sum(0) - new @ x).norm()) <= 1e-8 * float((new @ x).norm())


@support.every_seed
def test_row_311_removing_what_raises_a_prediction_lowers_it(seed):
    """Over ten predictions of a seed: the ten samples of highest weight against ten at random."""
    A, y, lam = regression(seed)
    x, new = lasso(A, y, lam), support.normal((10, 300), 300 + seed)
    explained = contributions(A, y, x, lam) @ new.mT

    def refit(removed):
        kept = torch.ones(100, dtype=torch.bool)
        kept[removed] = False
        return lasso(A[kept], y[kept], lam)

    rng = support.generator(seed)
    others = torch.stack([refit(torch.randperm(100, generator=rng)[:10]) for _ in range(10)])
    by_chance = ((others - x) @ new.mT).abs().mean()
    shifts = torch.stack([b @ (refit(e.topk(10).indices) - x) for b, e in zip(new, explained.mT, strict=True)])
    assert float(shifts.mean()) < 0
    assert float(-shifts.mean()) >= 1.5 * float(by_chance)


@support.every_seed
def test_row_311_low_rank_solutions_too(seed):
    truth = support.normal((8, 2), seed) @ support.normal((2, 6), 50 + seed)
    A = support.normal((80, 48), 100 + seed)
    y = A @ truth.reshape(-1) + 0.3 * support.normal((80,), 200 + seed)
    lam = 0.1 * float(torch.linalg.matrix_norm((A.mT @ y).reshape(8, 6), 2))
    x = nuclear(A, y, lam, (8, 6))
    assert int(torch.linalg.matrix_rank(x.reshape(8, 6), rtol=1e-9)) < 6
    shares = contributions(A, y, x, lam, (8, 6))
    assert float((shares.sum(0) - x).norm()) <= 1e-8 * float(x.norm())


def test_the_analysis_says_who_made_which_pixel():
    A = DenseMatrix(Space((5, 6), REAL), Space((40,), REAL), support.normal((40, 30)))
    y = A(support.normal((5, 6), 1))
    for norm in ("l1", "nuclear"):
        found = analyses["sample_importance"].function(A, y, norm=norm)
        assert found.importance.shape == (40, 5, 6)
        assert found.mismatch <= 1e-8, norm
        assert np.abs(found.importance.sum(0) - found.solution).max() <= 1e-7
    with pytest.raises(SpecError, match="one set of data"):
        analyses["sample_importance"].function(A, y.expand(2, 40))
    flat = DenseMatrix(Space((30,), REAL), Space((40,), REAL), A.to_dense())
    with pytest.raises(SpecError, match="no matrix"):
        analyses["sample_importance"].function(flat, y, norm="nuclear")
    with pytest.raises(SpecError, match="is zero"):
        analyses["sample_importance"].function(A, 0 * y)
