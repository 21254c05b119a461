"""What a person has chosen outlives the kernel, and the notebook shows the last picture without one."""

import pytest

from tests.browser.server import SESSION, open_notebook, run_all, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PATIENCE = 90_000
CELL = """import explorer as ex
w = ex.Explorer(problem={"name": "blocks", "params": {"size": 64}}, operator="gaussian_blur", solver="cgls")
w"""
#: seed of the settings that the notebook on the page keeps, as it would be saved now
SEED = """JSON.parse(window.jupyterapp.shell.currentWidget.content.model.cells.get(0).outputs.toJSON()
    .map(output => output.data?.["application/vnd.explorer.state+json"]).find(Boolean)?.spec ?? "{}").seed"""


@pytest.fixture(scope="module")
def page(lab, browser):
    """Open a notebook of its own and run its cell."""
    write_notebook(lab.folder / "kept.ipynb", CELL)
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    open_notebook(page, f"{lab.url}/doc/tree/kept.ipynb")
    run_all(page)
    yield page
    page.close()


def _until(page, condition):
    page.wait_for_function(condition, timeout=PATIENCE)


def _seed(page):
    return page.get_by_label("Seed, exact value", exact=True)


def _seed_is(page, seed):
    """Wait until the form shows a seed and the notebook keeps it."""
    _until(page, f"document.querySelector('[aria-label=\"Seed, exact value\"]').value === '{seed}'")
    _until(page, f"{SEED} === {seed}")


def test_the_notebook_keeps_what_was_chosen_and_the_last_picture(page):
    page.locator(".ex-rest > summary", has_text="seed").click()
    _seed(page).fill("7")
    page.keyboard.press("Enter")
    _seed_is(page, 7)
    assert page.locator(".ex-saved").count() == 1
    assert not page.locator(".ex-saved").is_visible()  # as long as the widget is there


def test_after_a_restart_of_the_kernel_the_cell_restores_the_choices(page):
    page.evaluate(f"() => {{ {SESSION}.session.kernel.restart(); }}")
    page.wait_for_selector(".explorer.jupyter-widgets-disconnected")
    notice = "getComputedStyle(document.querySelector('.explorer'), '::before').content"
    assert "Run this cell again" in page.evaluate(notice)
    _until(page, f"{SESSION}.session.kernel.status === 'idle'")
    run_all(page)
    page.wait_for_selector(".ex-message >> text=Restored what was chosen")
    _seed_is(page, 7)
    assert page.locator(".ex-rest > summary", has_text="seed 7").count() == 1  # folded, and not unsaid
    page.get_by_label("Reset Noise: go back to what it began with").click()
    _seed_is(page, 0)
    page.get_by_role("button", name="↶ Undo").click()
    _seed_is(page, 7)


def test_without_a_kernel_the_notebook_shows_the_last_picture_and_running_it_restores(page, lab):
    page.wait_for_selector(".ex-saved img", state="attached")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate(f"() => {SESSION}.shutdown()")
    page.goto(f"{lab.url}/doc/tree/kept.ipynb")
    picture = page.locator(".ex-saved img")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 400
    _until(page, "!document.querySelector('.jp-OutputArea').innerText.includes('Loading widget')")
    assert "Error displaying widget" not in page.locator(".jp-OutputArea").inner_text()
    _until(page, f"{SESSION}?.session?.kernel?.status === 'idle'")
    run_all(page)
    page.wait_for_selector(".ex-message >> text=Restored what was chosen")
    _seed_is(page, 7)
    assert not picture.is_visible()
