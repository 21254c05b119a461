"""A component nested in a solver as a knob, and 200 values of λ in one solve."""

import numpy as np
import pytest
import torch

import explorer as ex
from tests import support

#: λ from below the smallest to above the largest squared singular value
WEIGHTS = np.geomspace(1e-10, 10, 200).tolist()
BLUR = {"name": "gaussian_blur", "params": {"sigma": 1.0}}
JACOBI = {"name": "jacobi", "params": {"system": "gram"}}
FOURIER = {"name": "fourier", "params": {"system": "gram", "shift": 1e-4}}


def spec(solver, params, *, steps=30, **rest):
    chosen = {
        "problem": {"name": "blocks", "params": {"size": 32}},
        "operator": BLUR,
        "solver": {"name": solver, "params": params},
        "stop": {"name": "budget", "params": {"steps": steps}},
        "dtype": "float64",
    }
    return ex.RunSpec(**chosen | rest)


def descent(preconditioner, **rest):
    return spec("steepest_descent", {"preconditioner": preconditioner}, **rest)


@support.every_seed
def test_a_preconditioner_nested_in_a_solver_saves_steps(seed):
    plain, nested = (ex.run(descent(p, noise="none", seed=seed)) for p in ("none", FOURIER))
    assert nested.history["residual"][-1] < 0.1 * plain.history["residual"][-1]
    assert nested.history["error"][-1] < plain.history["error"][-1]
    assert plain.costs == {"A": 30, "Aᴴ": 31}
    assert nested.costs == {"A": 32, "Aᴴ": 31}  # an impulse through AᴴA, the blur being its own adjoint, makes it


def test_a_perfect_preconditioner_needs_one_step():
    # the Fourier preconditioner inverts a periodic blur but for its shift
    exact = {"name": "fourier", "params": {"system": "gram", "shift": 0.0}}
    mild = {"name": "gaussian_blur", "params": {"sigma": 0.5}}
    run = ex.run(descent(exact, operator=mild, noise="none", steps=2))
    support.assert_close(run.x, run.x_true, 100)


def test_a_nested_component_is_part_of_the_document():
    bare = descent("fourier")
    assert bare.solver.as_dict()["params"]["preconditioner"]["params"]["shift"] == 0.01
    assert ex.RunSpec.from_json(bare.to_json()) == bare
    assert bare.key() == descent({"name": "fourier", "params": {"shift": 0.01}}).key() != descent(FOURIER).key()


@pytest.mark.parametrize(
    ("preconditioner", "says"),
    [
        ("jacoby", r"solver\.params\.preconditioner: there is no preconditioner 'jacoby': did you mean 'jacobi'"),
        ({"name": "fourier", "params": {"shift": 7.0}}, r"preconditioner\.params\.shift: is 7.0"),
        ({"name": "fourier", "params": {"shaft": 0.1}}, r"has no knob 'shaft': did you mean 'shift'"),
        ({"name": "fourier", "parms": {}}, r"must be a name or"),
        (3, r"must be a name or"),
    ],
)
def test_a_slip_in_a_nested_choice_is_named(preconditioner, says):
    with pytest.raises(ex.SpecError, match=says):
        descent(preconditioner)


def test_a_nested_component_that_does_not_fit_is_refused_before_the_run():
    with pytest.raises(ex.SpecError, match="set the preconditioner's system to 'gram'"):
        ex.run(descent("jacobi", problem="spikes", operator="shaw"))


def test_a_person_names_the_nested_component_at_the_keyboard():
    A = support.operator(support.decay(12, 10), 16, 12)
    y = support.normal((16,))
    plain, named = (
        next(ex.solvers.steepest_descent(A, y, preconditioner=p)).scalars["residual"] for p in ("none", JACOBI)
    )
    assert named != plain


@pytest.mark.parametrize(("solver", "knob"), [("tikhonov", "regularization"), ("cgls", "damping")])
def test_two_hundred_values_of_lambda_are_one_solve(solver, knob):
    together = ex.run(spec(solver, {knob: WEIGHTS}, draws=2, steps=6))
    assert together.x.shape == (200, 2, 32)
    assert together.history["error"].shape[1:] == (200, 2)
    for i, weight in enumerate(WEIGHTS):
        alone = ex.run(spec(solver, {knob: weight}, draws=2, steps=6))
        support.assert_close(together.x[i], alone.x, 20)
        assert alone.costs == together.costs


@support.every_seed
def test_the_error_over_lambda_has_its_minimum_inside(seed):
    errors = ex.run(spec("tikhonov", {"regularization": WEIGHTS}, seed=seed)).history["error"][-1]
    best = int(errors.argmin())
    assert 0 < best < 199
    assert errors[best] < 0.9 * min(errors[0], errors[-1])


def test_a_list_for_a_knob_that_takes_one_value_is_refused():
    with pytest.raises(ex.SpecError, match=r"step_size: is \[0.5, 1.0\]"):
        spec("landweber", {"step_size": [0.5, 1.0]})
    with pytest.raises(ex.SpecError, match=r"damping\[1\]: is -1"):
        spec("cgls", {"damping": [1.0, -1.0]})


def test_values_of_lambda_are_isolated():
    clean = ex.run(spec("cgls", {"damping": [1e-3, 1e-2, 1e-1]})).x
    other = ex.run(spec("cgls", {"damping": [1e6, 1e-2, 0.0]})).x
    support.assert_same_bits(other[1], clean[1])
    assert torch.isfinite(other).all()
