"""A real unknown seen through complex data: inner products are real parts, and what looks at single rows cannot."""

import pytest
import torch

import explorer as ex
from explorer.linalg import Rng, Space
from explorer.operators.rows import has_entries, has_rows

SPEC = ex.RunSpec(
    problem=ex.Choice("blocks", size=16), operator="masked_fourier", solver="cgls", stop=ex.Choice("budget", steps=3)
)
OFFERED = [name for name, why in ex.compatible(SPEC).items() if why is None]


@pytest.mark.parametrize("name", OFFERED)
def test_every_solver_that_is_offered_runs(name):
    run = ex.run(SPEC.replace(solver=name))
    assert run.x.dtype == torch.float32
    assert run.x.isfinite().all()


def test_rows_are_of_one_kind():
    mixed, real = (
        ex.catalogue.operators[name].build(domain=Space((16,)), rng=Rng(0, "test"))
        for name in ("masked_fourier", "random_mask")
    )
    assert has_entries(mixed)
    assert not has_rows(mixed)
    assert has_rows(real)
    assert "both sides real or both complex" in ex.compatible(SPEC)["kaczmarz"]
    assert "both real or both complex" in ex.compatible(SPEC)["omp"]
    assert ex.compatible(SPEC)["sirt"] is None
