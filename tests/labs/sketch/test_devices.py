"""The methods of this lab make nothing on the CPU that belongs on the device of their input."""

import pytest
import torch

import explorer as ex
from explorer.catalogue import problems, solvers
from explorer.linalg import Ledger, Rng, convert

CASES = {
    "sketch_and_solve": ("colliding_regression", {"rows": 200, "size": 20}),
    "sampled_product": ("matrix_product", {"inner": 200}),
    "multilevel_product": ("matrix_product", {"inner": 200}),
    "lookup_product": ("related_rows", {"rows": 20, "training": 50}),
    "maintained_projection": ("kronecker_projections", {"updates": 2}),
}
CHOICES = {
    "sketch_and_solve": [{"sketch": kind, "rows": 40} for kind in ("cosine", "gaussian", "sparse", "fast")],
    "sampled_product": [{"terms": terms} for terms in ("both", "right", "uniform", "gaussian")],
    "multilevel_product": [{"coupling": coupling} for coupling in ("centred", "difference")],
    "lookup_product": [{"splits": splits} for splits in ("product", "rows")],
    "maintained_projection": [{"maintain": True}, {"maintain": False}],
}


@pytest.mark.parametrize(("solver", "knobs"), [(s, k) for s in CHOICES for k in CHOICES[s]], ids=str)
def test_on_meta_everything_is_on_the_device_and_in_its_precision(solver, knobs):
    name, params = CASES[solver]
    component = problems[name]
    needs = {"rng": Rng(0, name)} if component.needs else {}
    offers = convert(dict(component.build(**needs, **params).offers), "meta", torch.float32)
    offers["rng"] = Rng(0, solver)
    made = solvers[solver].bind(offers, solvers[solver].check(knobs))()
    steps = [made] if not hasattr(made, "__next__") else [next(made), next(made)]
    for step in steps:
        for thing in (step.x, *step.scalars.values()):
            assert thing.device.type == "meta"
            assert thing.dtype == torch.float32


def test_a_matrix_costs_no_application_for_its_columns():
    A = ex.operators.dense_matrix(ex.linalg.Space((8,)), Rng(0, "m"), rows=50)
    ledger = Ledger({id(A): "A"})
    with ledger.open():
        step = ex.solvers.sketch_and_solve(A, torch.ones(50), Rng(0, "s"), rows=20)
    assert ledger.costs == {"A": 1}
    assert not step.cost
