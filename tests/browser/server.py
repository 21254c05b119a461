"""A JupyterLab of its own, with fresh settings, and a Chromium that looks at it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
OVERRIDES = ROOT / "share/jupyter/lab/settings/overrides.json"
CELL = "import explorer as ex\n\nw = ex.Explorer()\nw"
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: what the notebook on the page is connected to
SESSION = "window.jupyterapp?.shell.currentWidget?.sessionContext"


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab.

    Attributes
    ----------
    url : str
        Where it listens.
    folder : Path
        Its root, which holds ``explorer.ipynb``.
    log : Path
        What it and its kernels print.
    """

    url: str
    folder: Path
    log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_settings(folder: Path) -> None:
    """Give the fresh Lab the settings that the package ships as overrides."""
    for plugin, values in json.loads(OVERRIDES.read_text("utf-8")).items():
        package, name = plugin.rsplit(":", 1)
        file = folder / package / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")


def _answers(url: str) -> bool:
    """Say whether a server answers, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def own_environment(base: Path) -> dict[str, str]:
    """Return variables by which Jupyter keeps all of its files below a folder."""
    places = {f"JUPYTER_{name}_DIR": base / name.lower() for name in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"IPYTHONDIR": base / "ipython", "EXPLORER_DATA": base / "files", "PYTHONPATH": ROOT}
    kept = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }  # as a person has it
    return {**kept, **{name: str(place) for name, place in places.items()}}


def write_notebook(file: Path, *cells: str) -> None:
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, file)


@contextlib.contextmanager
def jupyterlab(base: Path) -> Iterator[Lab]:
    """Give a JupyterLab on a free port whose files are all below a folder; it and its kernels are gone afterwards."""
    folder = base / "root"
    folder.mkdir()
    write_notebook(folder / "explorer.ipynb", CELL)
    _write_settings(base / "settings")
    port = free_port()
    env = own_environment(base) | {
        "JUPYTERLAB_SETTINGS_DIR": str(base / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(base / "workspaces"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    log = base / "server.log"
    with serving(command, folder, env, log, f"http://127.0.0.1:{port}/api"):
        yield Lab(f"http://127.0.0.1:{port}", folder, log)


@contextlib.contextmanager
def serving(command: list[str], folder: Path, env: dict[str, str], log: Path, probe: str) -> Iterator[None]:
    """Run a server from when it answers at the address `probe`; it is gone afterwards."""
    with log.open("wb") as sink:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=sink, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 90
        while not _answers(probe):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text('utf-8')[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def chromium_browser(path: str, home: Path) -> Iterator[Any]:
    """Give a headless Chromium with a fresh profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            str(home), executable_path=path, args=CHROMIUM, headless=True, viewport={"width": 1400, "height": 1000}
        )
        yield context
        context.close()


def open_notebook(page: Any, url: str) -> None:
    """Open a notebook and wait for its kernel, but run nothing."""
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function(f"{SESSION}?.session?.kernel?.status === 'idle'")


def run_all(page: Any) -> None:
    """Run every cell, and wait for the form of the Explorer of this kernel."""
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")  # not waited for
    page.wait_for_selector(".explorer:not(.jupyter-widgets-disconnected) .ex-controls fieldset")
