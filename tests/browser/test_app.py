"""The Explorer as a page of its own, by Voila."""

import sys

import pytest

import explorer as ex
from tests.browser.server import free_port, own_environment, serving

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PATIENCE = 90_000  # milliseconds; a page of Voila begins with a kernel
SPEC = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, solver="lsqr", seed=7)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """Yield the address of ``explorer app`` on a free port; it and its kernels are gone afterwards."""
    base, port = tmp_path_factory.mktemp("app"), free_port()
    command, url = (
        [sys.executable, "-m", "explorer", "app", "--no-browser", f"--port={port}"],
        f"http://127.0.0.1:{port}",
    )
    with serving(command, base, own_environment(base), base / "server.log", f"{url}/api"):
        yield url


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
