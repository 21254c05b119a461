"""Histograms of several sets of values in one figure."""

import numpy as np
import pytest

import explorer as ex
from explorer import figures


@pytest.mark.parametrize("dark", [False, True])
def test_outlines_share_their_bins_and_add_up_to_one(dark):
    values = {"a": np.linspace(0, 1, 50).reshape(5, 10), "b": [0.2, 0.2, 2.0, np.nan, np.inf]}
    figure = figures.distribution(values, "ratio", dark, bins=8, marked=1.0)
    a, b = figure.data
    assert [t.name for t in (a, b)] == ["a", "b"]
    np.testing.assert_array_equal(a.x, np.linspace(0, 2, 9))
    np.testing.assert_array_equal(a.x, b.x)
    for trace in (a, b):
        assert sum(trace.y[:-1]) == pytest.approx(1)
    np.testing.assert_allclose(b.y[:-1], [2 / 3, 0, 0, 0, 0, 0, 0, 1 / 3])
    assert a.line.dash != b.line.dash  # told apart without colour
    assert figure.layout.xaxis.title.text == "ratio"
    assert figure.layout.xaxis.type == "linear"
    assert [s.x0 for s in figure.layout.shapes] == [1.0]


def test_it_shows_the_distortion_of_sketches():
    space = ex.linalg.Space((256,))
    sketches = {
        kind: ex.operators.random_sketch(space, ex.linalg.Rng(0, "s"), kind=kind, rows=32)
        for kind in ("cosine", "sparse")
    }
    ratios = {kind: ex.analyses.distance_distortion(S, points=40).ratio for kind, S in sketches.items()}
    figure = figures.distribution(ratios, "distance after / before", marked=1.0)
    assert len(figure.data) == 2


def test_one_value_and_none():
    assert sum(figures.distribution({"one": [3.0]}).data[0].y[:-1]) == 1
    with pytest.raises(ex.SpecError, match="no finite value"):
        figures.distribution({"none": [np.nan]})
