"""The Explorer as a page of its own, by Voila."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import explorer as ex

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90_000  # milliseconds; a page of Voila begins with a kernel
SPEC = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, solver="lsqr", seed=7)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """Yield the address of ``explorer app`` on a free port; it and its kernels are gone afterwards."""
    base = tmp_path_factory.mktemp("app")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    fresh = {name: str(base / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **{f"JUPYTER_{name}_DIR": value for name, value in fresh.items()}}
    env |= {"IPYTHONDIR": str(base / "ipython"), "EXPLORER_DATA": str(base / "files"), "PYTHONPATH": str(ROOT)}
    log = base / "server.log"
    command = [sys.executable, "-m", "explorer", "app", "--no-browser", f"--port={port}"]
    with log.open("wb") as sink:
        server = subprocess.Popen(command, cwd=base, env=env, stdout=sink, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 90
    try:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"Voila did not start:\n{log.read_text('utf-8')[-3000:]}")
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def test_the_page_solves_shows_no_source_and_asks_nobody_outside(app, browser):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    answered = []
    page.on("response", lambda response: answered.append(response.url))
    page.goto(ex.to_link(SPEC, f"{app}/"))
    page.wait_for_selector(".ex-controls fieldset")
    page.wait_for_function(
        "[...document.querySelectorAll('[role=combobox]')].some(b => b.textContent === 'LSQR')", timeout=PATIENCE
    )
    page.wait_for_function("document.querySelector('.ex-progress').innerText.startsWith('200 steps')", timeout=PATIENCE)
    assert "ex.Explorer()" not in page.locator("body").inner_text()
    assert page.locator(".explorer").count() == 1
    page.locator("button", has_text="▶ Run").click()
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line >> nth=1")
    assert [url for url in answered if not url.startswith((app, "data:", "blob:"))] == []
    page.close()
