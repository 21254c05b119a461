"""The ranges, the pins, the conda environments, Binder and the installed packages say the same."""

import importlib.metadata
import json
import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SCRIPT = runpy.run_path(str(ROOT / ".ci/environments.py"))
SECTIONS = SCRIPT["pins"]((ROOT / "constraints.txt").read_text("utf-8"))
PINS = {name: version for section in SECTIONS.values() for name, version in section.items()}
EXTRAS = PROJECT["optional-dependencies"]
OVERRIDES = "share/jupyter/lab/settings/overrides.json"


def needed(requirements: list[str]) -> set[str]:
    """Names of the installed packages that the requirements need here, directly or not."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = [(Requirement(line), frozenset[str]()) for line in requirements]
    while todo:
        requirement, extras = todo.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in extras | {""}):
            continue
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key not in found:
            found.add(key)
            lines = importlib.metadata.requires(requirement.name) or []
            todo += [(Requirement(line), key[1]) for line in lines]
    return {name for name, _ in found}


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_a_conda_environment_is_what_the_ranges_and_pins_make_it(path):
    assert not (ROOT / path).is_symlink()
    assert (ROOT / path).read_text("utf-8") == SCRIPT["expected"]()[ROOT / path]


def test_the_check_names_a_file_that_disagrees(tmp_path):
    for path in [
        ".ci/environments.py",
        "pyproject.toml",
        "constraints.txt",
        "environment.yml",
        "binder/environment.yml",
    ]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text("utf-8"), "utf-8")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(constraints.read_text("utf-8").replace("voila==", "voila==9"), "utf-8")
    script = [sys.executable, str(tmp_path / ".ci/environments.py")]
    check = subprocess.run([*script, "--check"], capture_output=True, text=True)
    assert check.returncode == 1
    assert check.stderr.startswith("binder/environment.yml disagree")
    subprocess.run(script, check=True)
    assert subprocess.run([*script, "--check"]).returncode == 0


def test_every_range_admits_its_pin():
    for line in PROJECT["dependencies"] + [line for lines in EXTRAS.values() for line in lines]:
        requirement = Requirement(line)
        if requirement.name != PROJECT["name"]:
            assert PINS[requirement.name] in requirement.specifier, line


def test_every_pinned_package_is_pinned_once():
    assert len(PINS) == sum(map(len, SECTIONS.values()))


def test_every_installed_package_that_running_needs_has_its_pin_in_the_run_part():
    allowed = SECTIONS["run"] | SECTIONS["other"]
    assert needed(PROJECT["dependencies"]) <= allowed.keys()


def test_every_installed_package_that_testing_needs_is_the_pinned_version():
    names = needed(PROJECT["dependencies"] + EXTRAS["test"])
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in names}
    assert installed == {name: PINS.get(name) for name in names}


def test_no_file_of_the_set_up_names_a_package_registry():
    for path in [
        "pyproject.toml",
        "constraints.txt",
        "environment.yml",
        "binder/environment.yml",
        "Makefile",
    ]:
        text = (ROOT / path).read_text("utf-8")
        assert "://" not in text, path
        assert "index" not in text, path


@pytest.mark.filterwarnings("ignore:pythonjsonlogger.jsonlogger has been moved:DeprecationWarning")
def test_binder_builds_our_environment_and_installs_explorer(monkeypatch):
    from repo2docker.app import Repo2Docker
    from repo2docker.buildpacks.conda import CondaBuildPack

    monkeypatch.chdir(ROOT)
    pack = CondaBuildPack(base_image=Repo2Docker().base_image)
    pack.platform = "linux/amd64"
    assert pack.detect()
    assert pack.python_version == SCRIPT["PYTHON"]
    dockerfile = pack.render({})
    steps = [
        "src/binder/environment.yml ${REPO_DIR}/binder/environment.yml",
        'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"',
        "src/ ${REPO_DIR}/\n",
        "RUN ./binder/postBuild",
    ]
    places = [dockerfile.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


def test_binder_runs_a_post_build_that_installs_explorer_and_the_jupyterlab_settings(tmp_path):
    # In an empty prefix, and with the build tools that are here instead of a download.
    apart = {"PIP_PREFIX": str(tmp_path), "PIP_IGNORE_INSTALLED": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([ROOT / "binder/postBuild"], cwd=ROOT, env=os.environ | apart | {"PATH": path}, check=True)
    assert (tmp_path / OVERRIDES).read_bytes() == (ROOT / OVERRIDES).read_bytes()
    (link,) = tmp_path.glob("lib/python*/site-packages/_explorer_inverse.pth")
    assert link.read_text("utf-8") == str(ROOT)


def test_a_wheel_carries_the_notebooks_and_the_jupyterlab_settings(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "explorer/notebooks/00-start-here.ipynb" in names
    assert [name for name in names if name.endswith(f".data/data/{OVERRIDES}")]


def test_the_installed_jupyterlab_keeps_widgets_on_the_main_thread_and_asks_no_server():
    settings = json.loads((Path(sys.prefix) / OVERRIDES).read_text("utf-8"))
    assert settings["@jupyterlab/apputils-extension:kernels-settings"] == {"commsOverSubshells": "disabled"}
    assert settings["@jupyterlab/apputils-extension:notification"] == {
        "checkForUpdates": False,
        "fetchNews": "false",
    }
