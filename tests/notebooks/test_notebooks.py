"""Every notebook runs, says nothing on stderr, and gives the numbers of its baseline.

``EXPLORER_UPDATE_BASELINES=1`` writes the values anew and keeps the tolerances; read the diff before committing it.
"""

import json
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest

from explorer import SpecError
from explorer.engine.notebooks import execute, numbers

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BASELINES = ROOT / "tests" / "baselines"
TOLERANCE = {"rtol": 1e-3, "atol": 0.0}


@pytest.fixture(
    scope="module",
    params=[pytest.param(p, id=p.stem, marks=pytest.mark.xdist_group(f"notebook {p.stem}")) for p in NOTEBOOKS],
)
def executed(request, tmp_path_factory):
    """Return a notebook's name and an executed copy."""
    notebook = request.param
    return notebook.stem, execute(notebook, tmp_path_factory.mktemp("executed") / notebook.name)


def test_numbers_agree_with_the_baseline(executed):
    name, copy = executed
    found = numbers(copy)
    assert found, f"{name} records no numbers: end a cell with ex.record(…)"
    file = BASELINES / f"{name}.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if os.environ.get("EXPLORER_UPDATE_BASELINES"):
        updated = {key: {**TOLERANCE, **known.get(key, {}), "value": value} for key, value in found.items()}
        file.write_text(json.dumps(updated, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    assert found.keys() == known.keys()
    for key, entry in known.items():
        if isinstance(entry["value"], str):
            assert found[key] == entry["value"], key
        else:
            np.testing.assert_allclose(found[key], entry["value"], rtol=entry["rtol"], atol=entry["atol"], err_msg=key)


def test_says_nothing_on_stderr(executed):
    name, copy = executed
    for cell in nbformat.read(str(copy), as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", f"{name}: {output.get('text', '')}"


def test_every_widget_leaves_a_picture(executed):
    name, copy = executed
    for cell in nbformat.read(str(copy), as_version=4).cells:
        every = [output.get("data", {}) for output in cell.get("outputs", [])]
        for data in every:
            if "application/vnd.jupyter.widget-view+json" in data:
                beside = any('src="data:image/png;base64,iVBOR' in other.get("text/html", "") for other in every)
                assert "image/png" in data or beside, f"{name}: a widget shows nothing on a static page"
                assert data.get("text/plain"), f"{name}: a widget has no text"


def test_every_figure_is_shown_as_one(executed):
    name, copy = executed
    for cell in nbformat.read(str(copy), as_version=4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if re.match(r"<\w+ size \d+x\d+", data.get("text/plain", "")):
                assert "image/png" in data, f"{name}: {data['text/plain']} is no picture without a plotting back end"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_parameters_have_help(notebook):
    parameters = papermill.inspect_notebook(str(notebook))
    assert parameters, f"{notebook.stem} has no cell tagged 'parameters'"
    assert all(p["help"] for p in parameters.values()), f"{notebook.stem}: write `name: type = value  # help`"


def test_an_unknown_parameter_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no parameter 'sise'"):
        execute(NOTEBOOKS[0], tmp_path / "out.ipynb", {"sise": 3})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_is_committed_without_outputs(notebook):
    for cell in nbformat.read(str(notebook), as_version=4).cells:
        assert not cell.get("outputs"), f"{notebook.stem} carries outputs: run nbstripout"
