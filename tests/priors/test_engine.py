"""Priors and preconditioners in whole runs."""

import pytest
import torch

import explorer as ex
from explorer.engine.build import build

SMALL = {"name": "shepp_logan", "params": {"size": 32}}
BLUR = {"name": "gaussian_blur", "params": {"boundary": "reflexive", "sigma": 1.5}}
#: a well conditioned one, so that there is one answer to agree on
SHARP = {"name": "gaussian_blur", "params": {"boundary": "reflexive", "sigma": 0.4}}


def steps(n):
    return {"name": "budget", "params": {"steps": n}}


@pytest.mark.parametrize("prior", ex.catalogue.priors)
def test_every_prior_runs_with_a_solver_that_asks_for_what_it_can_do(prior):
    spec = ex.RunSpec(problem=SMALL, operator=BLUR, prior=prior, stop=steps(2))
    offered = build(spec.replace(device="meta")).prior
    if not (offered.has_prox or offered.splits):
        pytest.skip(f"{offered.title} has neither a proximal map nor a splitting")
    run = ex.run(spec.replace(solver="fista" if offered.has_prox else "pdhg"))
    assert run.x.isfinite().all()
    assert run.x.shape == (32, 32)


#: Jacobi's needs a diagonal, which a blur does not give
PRECONDITIONERS = [name for name in ex.catalogue.preconditioners if name != "jacobi"]


@pytest.mark.parametrize("precond", PRECONDITIONERS)
def test_every_preconditioner_brings_least_squares_to_the_same_answer(precond):
    choice = {"name": precond, "params": {} if precond == "none" else {"system": "gram"}}
    spec = ex.RunSpec(problem=SMALL, operator=SHARP, dtype="float64", stop=steps(150))
    plain = ex.run(spec.replace(solver="cgls"))
    knobs = {"preconditioner": choice}
    made = ex.run(spec.replace(solver={"name": "preconditioned_cgls", "params": knobs}))
    assert (made.x - plain.x).norm() <= 1e-8 * plain.x.norm()


def test_a_sum_is_the_same_by_its_proximal_map_and_by_splitting():
    sparse = {"name": "l1", "params": {"weight": 0.05, "basis": "cosine"}}
    both = {"name": "sum", "params": {"first": sparse, "second": "nonnegative", "rounds": 40}}
    spec = ex.RunSpec(problem=SMALL, operator=SHARP, prior=both, dtype="float64")
    split = ex.run(spec.replace(solver="pdhg", stop=steps(1500))).x
    mapped = ex.run(spec.replace(solver="fista", stop=steps(20))).x
    assert (split - mapped).norm() <= 1e-3 * mapped.norm()
    free = ex.run(spec.replace(solver="fista", prior=sparse, stop=steps(20))).x
    assert (free - mapped).norm() >= 0.02 * mapped.norm()  # the bound matters


def test_weights_of_nested_priors_may_be_lists():
    weights = [0.01, 0.1, 1.0]
    both = lambda w: {"first": {"name": "l1", "params": {"weight": w}}, "second": {"name": "nonnegative"}}  # noqa: E731
    spec = ex.RunSpec(problem=SMALL, operator=BLUR, solver="fista", dtype="float64", stop=steps(20))
    together = ex.run(spec.replace(prior={"name": "sum", "params": both(weights)})).x
    assert together.shape == (3, 32, 32)
    for weight, x in zip(weights, together, strict=True):
        alone = ex.run(spec.replace(prior={"name": "sum", "params": both(weight)})).x
        assert torch.allclose(x, alone, rtol=0, atol=1e-12 * float(alone.norm() + 1))
