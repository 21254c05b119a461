"""A link opened in a real JupyterLab restores what was shared, and files arrive in the downloads."""

import zipfile
from pathlib import Path

import pytest

import explorer as ex
from tests.browser.console import errors_of
from tests.browser.server import CELL, open_notebook, run_all, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PATIENCE = 90_000
SPEC = ex.RunSpec(
    problem={"name": "blocks", "params": {"size": 64}}, solver="lsqr", seed=7, stop=ex.Choice("budget", steps=60)
)


@pytest.fixture(scope="module")
def page(lab, browser):
    """Open a notebook of its own by a link and run its cell."""
    write_notebook(lab.folder / "shared.ipynb", CELL)
    browser.grant_permissions(["clipboard-read", "clipboard-write"])
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.said = errors_of(page)
    open_notebook(page, ex.to_link(SPEC, f"{lab.url}/doc/tree/shared.ipynb"))
    run_all(page)
    yield page
    page.close()


def _named(page, name):
    return page.get_by_label(name, exact=True)


def test_the_page_shows_and_solves_what_the_link_says(page):
    page.wait_for_function("document.querySelector('.ex-progress').innerText.startsWith('60 steps')")
    page.wait_for_function(
        "[...document.querySelectorAll('[role=combobox]')].some(b => b.textContent === 'LSQR')", timeout=PATIENCE
    )


def test_copy_link_gives_the_link(page, lab):
    page.locator("[role=tab]", has_text="Code").click()
    page.locator(".ex-share button", has_text="Copy link").click()
    page.wait_for_selector(".ex-share >> text=in the clipboard")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith(f"{lab.url}/doc/tree/shared.ipynb#explorer=")
    assert ex.from_link(copied) == SPEC


@pytest.mark.parametrize(
    ("label", "begins"),
    [
        ("Figures as PNG", b"\x89PNG"),
        ("Figures as SVG", b"<?xml"),
        ("Data as npz", b"PK"),
        ("Report as HTML", b"<!DOC"),
    ],
)
def test_files_are_downloaded(page, label, begins):
    with page.expect_download() as waiting:
        _named(page, f"Download: {label}").click()
    file = Path(waiting.value.path())
    assert file.read_bytes().startswith(begins)
    assert waiting.value.suggested_filename.startswith("explorer-lsqr.")
    if begins == b"PK":
        assert "x.npy" in zipfile.ZipFile(file).namelist()


def test_the_console_stays_silent(page):
    assert page.said == []
