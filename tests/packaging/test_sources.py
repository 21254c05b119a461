"""The sources import what they declare, no more at the start than they need, and carry no outputs."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/*.ipynb"))


def imported(path: Path) -> set[str]:
    """Top-level names of the packages that a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names - {"explorer"}


def declared(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", line)[0] for line in requirements}


def test_every_third_party_import_is_declared():
    extras = PROJECT["optional-dependencies"]
    known = declared(PROJECT["dependencies"] + extras["dask"] + extras["peers"] + extras["mri"] + extras["voila"])
    distributions = packages_distributions()
    files = sorted((ROOT / "explorer").glob("**/*.py"))
    assert files
    for path in files:
        undeclared = {
            name for name in imported(path) if not known & set(map(canonicalize_name, distributions.get(name, [name])))
        }
        assert not undeclared, path


@pytest.mark.parametrize("statement", ["import explorer", "import explorer.cli"])
def test_an_import_leaves_the_heavy_packages_for_their_first_use(statement):
    heavy = ["IPython", "anywidget", "dask", "ipywidgets", "jupyterlab", "matplotlib", "papermill", "plotly"]
    heavy += ["scipy.sparse.linalg", "skimage"]
    code = f"import sys; {statement}; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_there_are_notebooks():
    assert ROOT / "notebooks/00-start-here.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_committed_notebook_carries_no_outputs(path):
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
