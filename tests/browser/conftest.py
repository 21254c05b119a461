"""One JupyterLab and one Chromium for all tests of the browser."""

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.browser.server import Lab, chromium_browser, jupyterlab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Yield a JupyterLab on a free port; it and its kernels are gone afterwards."""
    with jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Yield a headless Chromium with a fresh profile."""
    home = tmp_path_factory.mktemp("profile")
    with chromium_browser(chromium, home) as context:
        yield context
    shutil.rmtree(home, ignore_errors=True)


#: what a person would see and where the keyboard is, for the report of a failure
SEEN = """() => ({
    tab: document.querySelector('.ex-tabs [aria-selected=true]')?.textContent,
    focus: document.activeElement?.outerHTML.slice(0, 160),
    bar: document.querySelector('.ex-bar')?.innerText,
    message: document.querySelector('.ex-message')?.innerText,
    notes: document.querySelector('.ex-notes')?.innerText.slice(0, 300),
    legend: [...document.querySelectorAll('.explorer .legendtext')].map((n) => n.textContent),
    table: document.querySelector('.ex-table')?.innerText.slice(0, 300),
    printed: [...document.querySelectorAll('.jp-OutputArea-output pre')].map((n) => n.textContent.slice(-1500)),
    dialog: document.querySelector('.jp-Dialog')?.innerText,
})"""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator:
    """Say with a failure what was on the page: a checking machine keeps no screenshot."""
    outcome = yield
    report, page = outcome.get_result(), getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and hasattr(page, "evaluate"):
        try:
            seen = {**page.evaluate(SEEN), "console": getattr(page, "said", [])}
            if (lab := item.funcargs.get("lab")) is not None:
                seen["kernel"] = lab.log.read_text("utf-8").splitlines()[-12:]
        except Exception as error:
            seen = {"gone": str(error)}
        report.sections.append(("the page", json.dumps(seen, indent=1, ensure_ascii=False)))
