"""The names that notebooks and other people's code rely on."""

import itertools

import pytest
import torch

import explorer as ex
from explorer.linalg import Space

SPEC = ex.RunSpec(problem={"name": "blocks", "params": {"size": 16}}, stop=ex.Choice("budget", steps=4))


@pytest.mark.parametrize("name", ex.__all__)
def test_every_public_name_is_there(name):
    assert getattr(ex, name) is not None
    assert name in dir(ex)


@pytest.mark.parametrize(
    "kind",
    ["operators", "noises", "priors", "preconditioners", "solvers", "rules", "analyses", "problems"],
)
def test_the_catalogue_maps_names_to_components(kind):
    for name, component in getattr(ex.catalogue, kind).items():
        assert component.name == name
        assert isinstance(component.title, str)
        assert isinstance(component.summary, str)
        assert isinstance(component.equation, str)
        assert isinstance(component.papers, tuple)
        assert isinstance(component.needs, tuple)
        assert isinstance(component.knobs, dict)
        assert isinstance(component.schema(), dict)
        assert callable(component.build)


def test_a_run_has_everything_that_is_promised_of_it():
    result = ex.run(SPEC)
    for name in ("x", "x_true", "y", "problem", "history", "metrics", "costs", "reason", "stopped", "best", "samples"):
        assert hasattr(result, name)
    assert result.reason.sentence == "The budget of steps was used up."
    assert repr(result).startswith("<Run of cgls: 4 steps; The budget of steps was used up. relative_error ")


def test_json_runs_as_a_specification_does():
    assert torch.equal(ex.run(SPEC.to_json()).x, ex.run(SPEC).x)
    assert [s.step for s in ex.stream(SPEC.to_json())] == [1, 2, 3, 4]


def test_solvers_and_operators_are_plain_callables():
    A = ex.operators.gaussian_blur(Space((16,)), sigma=1.0)
    y = A(torch.ones(16))
    steps = list(itertools.islice(ex.solvers.cgls(A, y), 3))
    assert len({step.x.data_ptr() for step in steps}) == 3
    assert ex.solvers.tikhonov(A, y, regularization=0.1).x.shape == (16,)


def test_stop_rules_compose_as_they_are_said():
    stop = ex.Choice("budget", steps=9) | ex.Choice("discrepancy", tau=1.1) & ex.Choice("stagnation")
    spec = SPEC.replace(stop=stop)
    assert spec.stop.params["first"] == {"name": "budget", "params": {"steps": 9, "cost": 0, "seconds": 0.0}}
    assert ex.RunSpec.from_json(spec.to_json()) == spec
    assert ex.run(spec).reason in (ex.Reason.STEPS, ex.Reason.STAGNATION)


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'explorer' has no attribute 'solvr'"):
        _ = ex.solvr
