"""The command line passes JupyterLab its arguments and answers mistakes with a sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jupyterlab.labapp import LabApp

from explorer import cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lab_arguments(monkeypatch) -> list[str]:
    """What JupyterLab is started with, instead of starting it."""
    arguments: list[str] = []
    monkeypatch.setattr(LabApp, "launch_instance", arguments.extend)
    return arguments


@pytest.mark.parametrize(("user", "as_root"), [(0, ["--allow-root"]), (1000, [])])
def test_lab_opens_the_first_notebook_of_the_checkout(user, as_root, lab_arguments, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    assert cli.main(["lab"]) == 0
    start_page = "/lab/tree/notebooks/00-start-here.ipynb"
    assert lab_arguments == [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url={start_page}", *as_root]


def test_lab_passes_on_what_it_does_not_know(lab_arguments):
    theirs = ["--no-browser", "--port=8899", "--ip", "0.0.0.0"]
    assert cli.main(["lab", *theirs]) == 0
    assert lab_arguments[-4:] == theirs


def test_an_installed_package_without_a_checkout_finds_its_own_notebooks(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "explorer"
    (package / "notebooks").mkdir(parents=True)
    (package / "notebooks/00-start-here.ipynb").touch()
    monkeypatch.setattr(cli, "__file__", str(package / "cli.py"))
    assert cli._home() == package


def test_a_missing_first_notebook_is_said_in_one_sentence(monkeypatch, tmp_path, capsys, lab_arguments):
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "explorer/cli.py"))
    assert cli.main(["lab"]) == 1
    assert "00-start-here.ipynb is missing" in capsys.readouterr().err
    assert lab_arguments == []


@pytest.mark.parametrize("argv", [[], ["no-such-command"]])
def test_a_wrong_command_is_refused_with_a_message(argv, capsys):
    with pytest.raises(SystemExit) as refusal:
        cli.main(argv)
    assert refusal.value.code == 2
    assert re.search(r"explorer: error: .*command", capsys.readouterr().err)


@pytest.mark.parametrize("program", [["-m", "explorer"], ["-c", "from explorer.cli import main; main()"]])
def test_the_program_shows_its_commands(program):
    shown = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "lab" in shown.stdout
