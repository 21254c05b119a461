"""Row 348: Hessians of trained networks of growing width."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from explorer.catalogue import SpecError, analyses
from explorer.labs.spectra.overparametrized import Shape, blobs, curvature, train
from explorer.linalg import Rng
from tests import support


def found(**knobs):
    return analyses["network_hessian"].build(**knobs)


def test_curvature_is_that_of_automatic_differentiation():
    shape = Shape(3, 4, 3)
    X, labels = (part[0] for part in blobs(shape, 7, 1.0, Rng(0, "data", 1)))
    p = support.normal((shape.weights,), 1)

    def scores(q):
        W, b, V, c = q[:12].reshape(4, 3), q[12:16], q[16:28].reshape(3, 4), q[28:]
        return torch.tanh(X @ W.T + b) @ V.T + c

    H, G, C = curvature(shape, p, X, labels)
    support.assert_close(shape.scores(p, X), scores(p), 10)
    dense = torch.autograd.functional.hessian(lambda q: cross_entropy(scores(q), labels), p)
    support.assert_close(H, dense, 1e3)
    # the Gauss–Newton part is the Hessian of the loss of the linearised network
    J = torch.autograd.functional.jacobian(scores, p)
    linear = torch.autograd.functional.hessian(lambda q: cross_entropy(scores(p).detach() + J @ (q - p), labels), p)
    support.assert_close(G, linear, 1e3)
    slopes = [
        torch.autograd.functional.jacobian(lambda q, i=i: cross_entropy(scores(q)[i : i + 1], labels[i : i + 1]), p)
        for i in range(7)
    ]
    support.assert_close(C, sum(g[:, None] * g for g in slopes) / 7, 1e3)


def test_batches_of_all_draws_train_as_each_alone():
    shape = Shape(2, 3, 2)
    data, begin = blobs(shape, 20, 1.0, Rng(0, "data", 3)), shape.start(Rng(0, "start", 3))
    together = train(shape, begin, data, 30, 0.5)
    alone = train(shape, begin[1:2], (data[0][1:2], data[1][1:2]), 30, 0.5)
    support.assert_close(together[1:2], alone, 1e4)
    assert (shape.loss(together, *data) < 0.8 * shape.loss(begin, *data)).all()


def test_row_348_the_bulk_grows_with_the_width_and_outliers_do_not():
    """Five networks a width; a single one's number of outliers moves by up to six, their mean by less than three."""
    narrow, middle, wide = (found(width=width) for width in (8, 16, 32))
    assert (narrow.weights, wide.weights) == (106, 418)
    for less, more in ((narrow, middle), (middle, wide)):
        assert (more.bulk - less.bulk >= 0.08).all()
        assert abs(more.outliers.mean() - less.outliers.mean()) <= 3
    # large eigenvalues are a matter of the data
    assert (found(width=16, classes=4, draws=3).outliers >= 2 * middle.outliers[:3]).all()
    assert (found(width=16, separation=1.0, draws=3).outliers > middle.outliers[:3]).all()
    for one in (narrow, middle, wide):
        assert (one.gauss_newton < 0.3).all()
        assert (one.alignment > 0.8).all()
    hills = [float((one.path.max(1) - np.maximum(one.path[:, 0], one.path[:, -1])).max()) for one in (narrow, wide)]
    assert hills[0] < 0.1
    assert hills[1] < 0.02


def test_row_348_between_solutions_of_different_starts_there_is_a_hill():
    shape = Shape(10, 16, 2)
    data = blobs(shape, 200, 2.0, Rng(0, "data", 5))
    ends = [train(shape, shape.start(Rng(seed, "start", 5)), data, 300, 0.6) for seed in (0, 1)]
    middle = shape.loss((ends[0] + ends[1]) / 2, *data)
    worst = torch.maximum(*(shape.loss(p, *data) for p in ends))
    assert float((middle - worst).max()) > 0.05


def test_what_is_too_large_is_said():
    with pytest.raises(SpecError, match="at most 2000"):
        found(width=128, inputs=50)
    with pytest.raises(SpecError, match="at most 2 centres"):
        found(inputs=2, classes=3)
