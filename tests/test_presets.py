"""Every preset is a specification that runs, and is written out in full."""

from pathlib import Path

import pytest

import explorer as ex
from explorer.engine.presets import presets

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
    scale = A.codomain.inner(A(back), run.y).real / A.codomain.norm2(A(back))
    assert run.metrics["relative_error"] < 0.8 * float(run.problem.distance(scale * back))


def test_presets_have_titles_for_people():
    found = presets()
    assert len(found) == len(PRESETS)
    assert "MRI with a quarter of the data" in found
    assert all(title[0].isupper() and "-" not in title.split()[0] for title in found)
