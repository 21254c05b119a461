"""Singular vectors as pictures, and generalised singular values against SciPy."""

import numpy as np
import pytest
import scipy.linalg
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


def pair(seed, m=20, p=11, n=12):
    return support.normal((m, n), seed), support.normal((p, n), seed + 100)


@support.every_seed
@pytest.mark.parametrize("shape", [(20, 11), (8, 14), (20, 30)])
def test_generalised_values_are_those_of_the_pencil(seed, shape):
    top, bottom = pair(seed, *shape)
    A, L = hidden(top), hidden(bottom)
    found = ex.analyses.generalised_singular_values(A, operator=L)
    a, b = (top.T @ top).numpy(), (bottom.T @ bottom).numpy()
    c2 = scipy.linalg.eigvalsh(a, a + b)[::-1]
    np.testing.assert_allclose(found.c**2, c2, atol=1e-11)
    np.testing.assert_allclose(found.c**2 + found.s**2, 1, atol=1e-14)
    X = found.patterns.numpy().T
    np.testing.assert_allclose(X.T @ a @ X, np.diag(found.c**2), atol=1e-11)
    np.testing.assert_allclose(X.T @ b @ X, np.diag(found.s**2), atol=1e-11)
    assert found.free == max(0, 12 - shape[1])
    assert found.hidden == 0


def test_tikhonov_with_a_prior_has_the_filter_factors_of_the_generalised_values():
    top, bottom = pair(3, 20, 14)
    y, weight = support.normal((20,), 9), 0.3
    found = ex.analyses.generalised_singular_values(hidden(top), operator=hidden(bottom))
    direct = torch.linalg.solve(top.T @ top + weight * bottom.T @ bottom, top.T @ y)
    X = found.patterns.reshape(-1, 12).T
    # A = U diag(c) X⁻¹, so that Xᴴ Aᴴ y = c · Uᴴ y
    factors = torch.from_numpy(found.c**2 / (found.c**2 + weight * found.s**2))
    rebuilt = X @ (factors * (X.T @ (top.T @ y)) / torch.from_numpy(found.c) ** 2)
    support.assert_close(rebuilt, direct, 1e5)


def test_the_constant_is_free_under_a_gradient_and_what_neither_sees_is_counted():
    problem = ex.build(ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, dtype="float64"))
    found = ex.analyse(problem, "generalised_singular_values")
    assert found.free == 1
    assert np.isinf(found.values[0])
    assert (np.diff(found.values[1:]) <= 0).all()
    constant = found.patterns[0]
    assert float(constant.std() / constant.mean().abs()) < 1e-10
    blind = hidden(torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)))
    lost = ex.analyses.generalised_singular_values(blind, operator=blind)
    assert lost.hidden == 1
    assert "seen by neither" in lost.sentence
