"""Singular vectors as pictures."""

import pytest
import torch

import explorer as ex
from explorer.figures.patterns import modes
from tests import support
from tests.analyses.test_spectrum import hidden


@support.every_dtype
def test_structure_and_the_dense_matrix_give_the_same_vectors(dtype):
    A = support.operator(support.decay(12, 1e2), 15, seed=1, dtype=dtype)
    for operator in (A, hidden(A.matrix)):
        found = ex.analyses.singular_vectors(operator, first=3, count=5)
        assert found.index.tolist() == [3, 4, 5, 6, 7]
        assert found.right.shape == (5, 12)
        u, _, v = A.factors
        overlap = (found.right.conj() @ v[:, 2:7]).abs()
        assert support.norm(overlap - torch.eye(5)) < 1e4 * support.eps(dtype)
        assert found.residual.max() < 100 * support.eps(dtype)
        gram = found.left.conj() @ u[:, 2:7]
        assert support.norm(gram.abs() - torch.eye(5)) < 1e4 * support.eps(dtype)


def test_a_blur_takes_pictures_apart_into_waves_of_rising_frequency():
    problem = ex.build(ex.RunSpec(problem={"name": "camera", "params": {"size": 32}}, dtype="float64"))
    found = ex.analyse(problem, "singular_vectors", count=200)
    assert found.residual.max() < 1e-13
    swings = (found.right.sign().diff(dim=1).abs().sum((1, 2)) + found.right.sign().diff(dim=2).abs().sum((1, 2))) / 2
    assert swings[150:].mean() > 3 * swings[:20].mean()
    with pytest.raises(ex.SpecError, match="is 5000, and 1,024 singular vectors are known here"):
        ex.analyse(problem, "singular_vectors", first=5000)
    figure = modes(ex.analyse(problem, "singular_vectors", count=8))
    assert len(figure.axes) == 12
    assert figure.png().startswith(b"\x89PNG")
