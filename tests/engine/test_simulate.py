"""Data from another operator than the solver's, and from a finer grid."""

import pytest
import torch

import explorer as ex
from explorer.engine.simulate import averaged
from explorer.linalg import Space
from tests.support import assert_close, assert_same_bits

BLUR = {"name": "gaussian_blur", "params": {"sigma": 2.0}}
SPEC = ex.RunSpec(
    problem={"name": "shepp_logan", "params": {"size": 32}}, operator=BLUR, noise="none", solver="cgls", dtype="float64"
)


def test_the_same_operator_as_simulator_changes_no_bit():
    assert_same_bits(ex.build(SPEC.replace(simulator=BLUR)).y, ex.build(SPEC).y)


def test_data_from_another_width_are_that_operators_and_the_method_keeps_its_own():
    other = {"name": "gaussian_blur", "params": {"sigma": 3.0}}
    wrong, right = ex.build(SPEC.replace(simulator=other)), ex.build(SPEC.replace(operator=other))
    assert_same_bits(wrong.y, right.y)
    assert_same_bits(wrong.A(wrong.x_true), ex.build(SPEC).y)


def test_a_wrong_model_leaves_an_error_that_no_number_of_steps_removes():
    other = {"name": "gaussian_blur", "params": {"sigma": 3.0}}
    spec = SPEC.replace(stop={"name": "budget", "params": {"steps": 500}})
    right, wrong = (ex.run(spec.replace(simulator=s)).history["error"].min() for s in (None, other))
    assert wrong > 1.3 * right


def test_data_of_another_shape_are_refused_in_a_sentence():
    with pytest.raises(ex.SpecError, match=r"simulator: it does not fit .* another number of dimensions"):
        ex.build(SPEC.replace(simulator="masked_fourier"))


def test_means_over_cells_are_those_of_a_loop():
    x = torch.arange(2 * 6 * 3.0).reshape(2, 6, 3)
    expected = torch.stack([x[:, 2 * i : 2 * i + 2].mean(1) for i in range(3)], 1)
    assert_close(averaged(x, Space((3, 3)), 2), expected, 1)


@pytest.mark.parametrize("finer", [2, 4])
def test_the_truth_is_the_mean_of_the_finer_one(finer):
    fine = ex.build(SPEC.replace(problem={"name": "shepp_logan", "params": {"size": 32 * finer}}))
    coarse = ex.build(SPEC.replace(finer=finer))
    assert_same_bits(coarse.x_true, averaged(fine.x_true, coarse.domain, finer))
    assert coarse.y.shape == (32, 32)


@pytest.mark.parametrize("operator", ["gaussian_blur", "motion_blur", "identity"])
def test_the_finer_model_is_near_the_coarse_one_and_not_the_same(operator):
    gap = []
    for size in (32, 128):
        problem = {"name": "shepp_logan", "params": {"size": size}}
        spec = SPEC.replace(problem=problem, operator=operator, finer=2)
        built = ex.build(spec)
        gap.append(float((built.y - built.A(built.x_true)).norm() / built.y.norm()))
    assert gap[1] < gap[0] or operator == "identity"
    assert max(gap) < 0.1
    assert (max(gap) == 0) == (operator == "identity")


@pytest.mark.parametrize("name", ["shaw", "gravity", "heat", "foxgood", "abel", "backward_heat"])
def test_data_of_an_integral_equation_from_a_finer_grid_differ_by_the_error_of_the_rule(name):
    """It falls to less than 0.6 with every doubling: of first order for heat, of second or so for the others."""

    def difference(size):
        problem = {"name": name, "params": {"size": size}}
        made = ex.build(ex.RunSpec(problem=problem, operator=name, noise="none", dtype="float64", finer=4))
        return float((made.A(made.x_true) - made.y).norm() / made.y.norm())

    errors = [difference(size) for size in (32, 64, 128)]
    assert 0 < errors[0] < 0.06
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_what_has_no_finer_grid_says_so():
    with pytest.raises(ex.SpecError, match="finer: is 2, and Random mask has no finer grid: set it to 1"):
        ex.build(SPEC.replace(operator="random_mask", finer=2))
    with pytest.raises(ex.SpecError, match="has no size that could be finer"):
        ex.build(SPEC.replace(problem="darcy_sequence", operator="identity", finer=2))


def test_nothing_is_computed_on_the_meta_device():
    assert ex.build(SPEC.replace(finer=2, device="meta")).y.is_meta
