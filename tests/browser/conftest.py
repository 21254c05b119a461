"""One JupyterLab and one Chromium for all tests of the browser."""

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
