"""Somebody else's package adds a solver through the entry point ``explorer.components``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''
"""A solver that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from explorer.catalogue import Linear, solver
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import POSITIVE
from explorer.solvers import Step


@solver("Somebody's Richardson", reports=("residual",), per_step={"A": 1},
        papers=["Richardson 1911: The approximate arithmetical solution by finite differences"])
def somebodys_richardson(
    A: Annotated[LinearOperator, POSITIVE], y: Tensor, *, step_size: Annotated[float, Linear(0, 2)] = 1.0
) -> Iterator[Step]:
    """Step along the residual."""
    x = A.domain.zeros(A.codomain.batch(y))
    while True:
        r = y - A(x)
        x = x + step_size * r
        yield Step(x, residual=A.codomain.norm(r))
'''
ASKS = """
import json, warnings
warnings.simplefilter("error")
import explorer as ex

component = ex.catalogue.solvers["somebodys_richardson"]
spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 32}}, operator="gaussian_blur",
                  solver={"name": "somebodys_richardson", "params": {"step_size": 0.9}},
                  stop={"name": "budget", "params": {"steps": 30}})
run = ex.run(ex.RunSpec.from_json(spec.to_json()))
print(json.dumps({
    "home": component.function.__module__,
    "knob": component.schema()["properties"]["step_size"]["maximum"],
    "fits": ex.compatible(spec)["somebodys_richardson"],
    "refused": ex.compatible(ex.RunSpec(operator="radon"))["somebodys_richardson"],
    "costs": dict(run.costs),
    "residual": run.history["residual"].tolist(),
    "plain": ex.solvers.somebodys_richardson.__doc__,
    "bibtex": ex.cite(run),
    "others": len(ex.catalogue.solvers),
}))
"""


def package(folder: Path, name: str, source: str) -> None:
    """Lay out what an installer would: a module and its metadata."""
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[explorer.components]\nsolvers = {name}\n", encoding="utf-8")


def ask(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(folder), str(root)])
    return subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    package(folder, "somebody_elses", MODULE)
    done = ask(folder, ASKS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_solver_is_in_the_catalogue(answer):
    assert answer["home"] == "somebody_elses"
    assert answer["knob"] == 2
    assert answer["others"] > 5
    assert answer["plain"] == "Step along the residual."


def test_it_is_judged_like_any_other(answer):
    assert answer["fits"] is None
    assert "a positive self-adjoint operator" in answer["refused"]


def test_it_runs_through_the_driver(answer):
    assert answer["costs"] == {"A": 30}
    assert len(answer["residual"]) == 30
    assert answer["residual"][-1] < 0.1 * answer["residual"][0]


def test_its_paper_is_cited(answer):
    assert "Richardson" in answer["bibtex"]


def test_a_broken_package_is_warned_of_and_leaves_the_rest_alone(tmp_path):
    package(tmp_path, "broken", "raise RuntimeError('half installed')\n")
    package(tmp_path, "twice", MODULE.replace("def somebodys_richardson", "def cgls"))
    done = ask(tmp_path, "import explorer as ex; print(ex.catalogue.solvers['cgls'].function.__module__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "explorer.solvers.cgls"
    assert "half installed" in done.stderr
    assert "there is a solver named 'cgls' already" in done.stderr
