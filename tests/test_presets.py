"""Every preset is a specification that runs, and is written out in full."""

from pathlib import Path

import pytest

import explorer as ex

PRESETS = sorted((Path(__file__).parents[1] / "data" / "presets").glob("*.json"))


@pytest.mark.parametrize("file", PRESETS, ids=lambda f: f.stem)
def test_a_preset_runs_and_beats_the_back_projection(file):
    text = file.read_text(encoding="utf-8")
    spec = ex.RunSpec.from_json(text)
    assert text == spec.to_json() + "\n"
    assert ex.compatible(spec)[spec.solver.name] is None
    run = ex.run(spec.replace(stop={"name": "budget", "params": {"steps": 40}}))
    A = run.problem.A
    back = A.adjoint(run.y)
    scale = A.codomain.inner(A(back), run.y) / A.codomain.norm2(A(back))
    assert run.metrics["relative_error"] < 0.8 * float(run.problem.distance(scale * back))
