"""Singular values and Picard's condition against matrices of a prescribed spectrum."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import explorer as ex
from explorer.analyses import spectrum
from explorer.catalogue import SpecError, analyses
from explorer.linalg import Rng, Space
from explorer.operators.algebra import Kronecker, Stack
from explorer.operators.base import Identity, LinearOperator
from tests import support


class Opaque(LinearOperator):
    """A matrix whose structure is hidden."""

    def __init__(self, matrix: Tensor, domain: Space, codomain: Space) -> None:
        super().__init__(domain, codomain)
        self.matrix = matrix

    def _forward(self, x: Tensor) -> Tensor:
        return (x.to(self.matrix.dtype) @ self.matrix.mT).to(self.codomain.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        x = y @ self.matrix.conj()
        return x if self.domain.is_complex else x.real


def hidden(matrix: Tensor) -> Opaque:
    return Opaque(matrix, Space((matrix.shape[1],), matrix.dtype), Space((matrix.shape[0],), matrix.dtype))


@support.every_dtype
def test_structure_and_the_dense_matrix_give_the_prescribed_values(dtype):
    prescribed = support.decay(20, 1e2)
    A = support.operator(prescribed, 30, seed=3, dtype=dtype)
    for operator in (A, hidden(A.matrix)):
        found = ex.analyses.singular_values(operator)
        assert isinstance(found.values, np.ndarray)
        support.assert_close(torch.from_numpy(found.values), prescribed.to(torch.from_numpy(found.values).dtype), 60)
        assert found.condition == pytest.approx(1e2, rel=1e4 * support.eps(dtype))
        assert found.rank == 20


def test_values_of_a_grid_are_sorted_and_zeros_are_counted():
    factor = torch.diag(torch.tensor([1.0, 3.0, 0.0, 2.0], dtype=torch.float64))
    found = ex.analyses.singular_values(Kronecker(Space((4, 4), torch.float64), (factor, factor)))
    assert np.array_equal(found.values, [9, 6, 6, 4, 3, 3, 2, 2, 1, *[0] * 7])
    assert found.rank == 9
    assert found.condition == math.inf
    assert "7 of 16 directions are lost" in found.sentence


def test_a_complex_observation_of_a_real_unknown_counts_real_directions():
    matrix = support.matrix(support.decay(8, 10), 12, dtype=torch.complex128)
    A = Opaque(matrix, Space((8,), torch.float64), Space((12,), torch.complex128))
    gram = torch.stack([A.gram(e) for e in torch.eye(8, dtype=torch.float64)])
    found = ex.analyses.singular_values(A)
    support.assert_close(torch.from_numpy(found.values**2), torch.linalg.eigvalsh(gram).flip(0), 100)


def test_an_operator_on_blocks_is_refused_in_one_sentence():
    space = Space((4,), torch.float64)
    A = Stack(Identity(space), Identity(space)) @ Identity(space)
    with pytest.raises(SpecError, match="Singular values needs an operator between two single spaces"):
        analyses["singular_values"].build(A=A)
    with pytest.raises(SpecError, match="too large for a dense decomposition: choose a size"):
        spectrum.decompose(A)


LARGE = 1100


class Mirrored(LinearOperator):
    """``H₁ diag(s) H₂`` with reflections H: above the size that is decomposed, with a known decomposition."""

    def __init__(self, s, seed):
        super().__init__(Space((len(s),), torch.float64))
        self.s, self.u, self.v = s, *(w / w.norm() for w in support.normal((2, len(s)), seed))

    def mirror(self, w, x):
        return x - 2 * (x @ w)[..., None] * w

    def _forward(self, x):
        return self.mirror(self.u, self.s * self.mirror(self.v, x))

    def _adjoint(self, y):
        return self.mirror(self.v, self.s * self.mirror(self.u, y))


@pytest.fixture(scope="module")
def large():
    """Return five large operators and their values."""
    s = support.decay(LARGE, 1e9)
    return s.numpy(), [Mirrored(s, seed) for seed in support.SEEDS]


def test_the_leading_values_of_a_large_operator_are_within_the_stated_error(large):
    s, operators = large
    for A in operators:
        found = ex.analyses.singular_values(A)
        k = len(found.values)
        assert 60 < k <= 128
        assert (found.values <= s[:k] + 1e-13).all()
        assert (s[:k] <= found.values + found.error + 1e-13).all()
        assert (np.abs(found.values - s[:k]) <= found.nearby + 1e-13).all()
        assert (found.nearby <= spectrum.SHOWN * found.values).all()
        assert f"The first {k} of 1,100 singular values" in found.sentence
        assert found.total == LARGE


def test_picard_of_a_large_operator_looks_at_its_leading_directions(large):
    _, operators = large
    for seed, A in enumerate(operators):
        y = support.normal((2, LARGE), seed)
        found = ex.analyses.picard(A, y, noise_norm=0.1)
        dense = A.mirror(A.u, y)[:, :30].abs().numpy()
        np.testing.assert_allclose(found.coefficients[:, :30], dense, atol=1e-4 * float(y.norm()))
        assert found.error.shape == found.values.shape
        assert "leading directions" in found.sentence


def test_a_large_tomography_has_a_picard_plot():
    spec = ex.RunSpec(
        problem={"name": "shepp_logan", "params": {"size": 64}}, operator={"name": "radon", "params": {"angles": 60}}
    )
    problem = ex.build(spec)
    found = ex.analyse(problem, "picard", vectors=64)
    assert len(found.values) >= 5
    assert (found.error > 0).all()
    assert "Krylov space of 64 dimensions" in found.sentence


DECAYS = [
    ("severe", lambda i: np.exp(-0.3 * i), 0.3), ("mild", lambda i: i**-0.5, 0.5), ("moderate", lambda i: i**-2.0, 2.0),
    ("severe", lambda i: np.exp(-0.05 * i**2), None), ("none", lambda i: 1 + 0 * i, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "law", "rate"), DECAYS)
def test_the_class_of_decay_is_that_of_the_law(kind, law, rate):
    for seed in support.SEEDS:
        noise = np.exp(0.1 * np.random.default_rng(seed).standard_normal(200))
        found = spectrum.fitted_decay(-np.sort(-law(np.arange(1.0, 201)) * noise), 1e-16)
        assert found.kind == kind
        assert rate is None or found.rate == pytest.approx(rate, rel=0.15)
        assert kind == "none" or found.sentence.startswith(kind.capitalize())


@pytest.mark.parametrize(("name", "kind"), [("shaw", "severe"), ("deriv2", "moderate")])
def test_known_problems_have_their_known_class(name, kind):
    spec = ex.RunSpec(problem={"name": name, "params": {"size": 64}}, operator=name, dtype="float64")
    assert ex.analyse(ex.build(spec), "singular_values").decay.kind == kind


def test_picard_coefficients_are_those_of_the_dense_decomposition():
    u, s, v = support.factors(support.decay(20, 1e2), 30, seed=1)
    y = support.normal((5, 30), 2)
    for operator in (support.operator(s, 30, seed=1), hidden((u * s) @ v.mT)):
        found = ex.analyses.picard(operator, y, noise_norm=0.3)
        assert found.coefficients.shape == (5, 20)
        support.assert_close(torch.from_numpy(found.coefficients), (y @ u).abs(), 2000)
        assert np.allclose(found.ratio, found.coefficients / found.values)
        assert found.floor == pytest.approx(0.3 / math.sqrt(30))


@pytest.mark.parametrize("level", [1e-2, 1e-4, 1e-6])
def test_the_condition_fails_where_the_signal_sinks_below_the_noise(level):
    n, seeds = 200, 8
    u, s, _ = support.factors(support.decay(n, 1e8), seed=4)
    sigma = level / math.sqrt(n)
    signal = s  # coefficients that decay like the singular values
    truth = int((signal > sigma).sum())
    noise = Rng(0, "noise", seeds).normal((n,), torch.float64)
    found = ex.analyses.picard(support.operator(s, seed=4), (u * signal).sum(1) + sigma * noise, level)
    decade = n / 8
    assert np.all(np.abs(found.fails - truth) <= decade / 2)
    assert f"of {n} directions" in found.sentence
    assert "outweighs signal" in found.sentence


def test_without_noise_the_floor_is_rounding():
    n = 64
    u, s, _ = support.factors(support.decay(n, 1e4), seed=5)
    found = ex.analyses.picard(support.operator(s, seed=5), (u * s).sum(1))
    assert found.fails == n
    assert "determine all 64" in found.sentence


def test_coefficients_under_the_identity_are_the_data_themselves():
    y = support.normal((6,), 0)
    found = ex.analyses.picard(Identity(Space((6,), torch.float64)), y, noise_norm=torch.tensor(1e-3))
    assert np.array_equal(found.coefficients, y.abs().numpy())
    assert found.fails.shape == ()


def test_both_are_offered_by_the_catalogue():
    component = analyses["picard"]
    assert [(n.name, n.optional) for n in component.needs] == [("A", False), ("y", False), ("noise_norm", True)]
    assert set(ex.catalogue.analyses) >= {"singular_values", "picard"}
