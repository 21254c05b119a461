"""A wrong operator is found out, a right one passes, whatever wrote it."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

import explorer as ex
from explorer.catalogue import SpecError
from explorer.linalg import Space

N = 40
MATRIX = np.random.default_rng(0).standard_normal((30, N))
RIGHT = (lambda x: MATRIX @ x, lambda y: MATRIX.T @ y)
OPTIONS = {"domain": N, "codomain": 30, "dtype": torch.float64, "numpy": True}


def test_a_right_operator_passes_and_its_norm_is_right():
    found = ex.check_operator(RIGHT, **OPTIONS)
    assert found.passed
    assert found.norm == pytest.approx(np.linalg.norm(MATRIX, 2), rel=1e-3)
    assert found.sentences[0].startswith("It is linear")
    assert 0 < found.seconds < 1
    assert found.decay is not None


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ((RIGHT[0], lambda y: 1.001 * RIGHT[1](y)), "The adjoint is wrong"),
        ((RIGHT[0], lambda y: -RIGHT[1](y)), "The adjoint is wrong"),
        ((RIGHT[0], lambda y: np.roll(RIGHT[1](y), 1)), "The adjoint is wrong"),
        ((lambda x: RIGHT[0](x) + 1e-6, RIGHT[1]), "It is not linear"),
        ((lambda x: np.abs(RIGHT[0](x)), RIGHT[1]), "It is not linear"),
        ((lambda x: RIGHT[0](x) * np.nan, RIGHT[1]), "It is not linear"),
    ],
    ids=["scaled", "sign", "shifted", "offset", "modulus", "not a number"],
)
def test_a_wrong_one_is_found_out_in_its_first_sentence(pair, says):
    found = ex.check_operator(pair, **OPTIONS)
    assert not found.passed
    assert found.sentences[0].startswith(says)
    assert "is not its adjoint" not in repr(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_rounding_is_no_fault_in_any_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    for size in (3, 300):
        assert ex.check_operator(torch.randn(size, 2 * size, dtype=dtype, generator=generator)).passed


def test_operators_of_this_package_and_of_others_pass():
    run = ex.RunSpec(problem={"name": "camera", "params": {"size": 32}}, operator="radon")
    assert ex.check_operator(ex.build(run).A).passed
    fourier = run.replace(operator="masked_fourier")  # from a real space to a complex one
    assert ex.check_operator(ex.build(fourier).A).passed
    assert ex.check_operator(scipy.sparse.linalg.aslinearoperator(MATRIX)).passed


def test_the_decay_tells_how_ill_posed_it_is():
    blur = ex.build(ex.RunSpec(problem="shaw", operator="shaw", dtype="float64")).A
    found = ex.check_operator(blur)
    assert found.decay.kind == "severe"
    assert found.sentences[-1].startswith("Severely ill-posed")
    assert ex.check_operator(torch.eye(50)).decay.kind == "none"


def test_the_zero_operator_is_no_trouble():
    found = ex.check_operator(torch.zeros(5, 7))
    assert found.passed
    assert found.norm == 0


def test_what_is_no_operator_is_one_sentence():
    with pytest.raises(SpecError, match="is not a linear operator"):
        ex.check_operator("sin")
    from explorer.operators.base import ForwardModel

    class Square(ForwardModel):
        title = "the square"
        domain = codomain = Space((3,))

    with pytest.raises(SpecError):
        ex.check_operator(Square())
