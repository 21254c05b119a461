"""Every preset is a specification that runs, and is written out in full."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import explorer as ex
from explorer.engine.presets import presets
from explorer.figures.thumbnail import thumbnail

PRESETS = sorted((Path(__file__).parents[1] / "data" / "presets").glob("*.json"))


@pytest.mark.parametrize("file", PRESETS, ids=lambda f: f.stem)
def test_a_preset_runs_and_beats_the_back_projection(file):
    text = file.read_text(encoding="utf-8")
    spec = ex.RunSpec.from_json(text)
    assert text == spec.to_json() + "\n"
    assert ex.compatible(spec)[spec.solver.name] is None
    run = ex.run(spec.replace(stop={"name": "budget", "params": {"steps": min(40, spec.stop.params["steps"])}}))
    if "A" not in run.problem.offers or run.problem.y is None:  # nothing to project back
        assert run.metrics["relative_error"] < 0.5
        return
    A = run.problem.A
    back = A.adjoint(run.y)
    scale = A.codomain.inner(A(back), run.y).real / A.codomain.norm2(A(back))
    assert run.metrics["relative_error"] < 0.8 * float(run.problem.distance(scale * back))


@pytest.mark.parametrize("file", PRESETS, ids=lambda f: f.stem)
def test_a_preset_has_a_small_picture(file):
    """``EXPLORER_UPDATE_THUMBNAILS=1`` draws them again."""
    stored = file.with_suffix(".png")
    if os.environ.get("EXPLORER_UPDATE_THUMBNAILS"):
        stored.write_bytes(thumbnail(ex.run(ex.RunSpec.from_json(file.read_text(encoding="utf-8")))))
    picture = Image.open(stored)
    assert picture.size == (96, 72)
    assert len(picture.convert("RGB").getcolors()) > 4
    assert stored.stat().st_size < 6000


def test_a_thumbnail_shows_what_was_found():
    run = ex.run(ex.RunSpec(problem={"name": "blocks_image", "params": {"size": 32}}, solver="cgls"))
    shown = np.asarray(Image.open(io.BytesIO(thumbnail(run))).convert("L"), float).ravel()
    x = np.asarray(Image.fromarray(run.x.numpy().clip(0, 1)).crop((0, 4, 32, 28)).resize((96, 72), 2), float).ravel()
    assert np.corrcoef(shown, x)[0, 1] > 0.98


def test_presets_have_titles_for_people():
    found = presets()
    assert len(found) == len(PRESETS)
    assert "MRI with a quarter of the data" in found
    assert all(title[0].isupper() and "-" not in title.split()[0] for title in found)
