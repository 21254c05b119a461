"""An exercise and a single panel, each in a cell of its own, in a real JupyterLab."""

import pytest

from tests.browser.console import errors_of
from tests.browser.server import open_notebook, write_notebook
from tests.browser.test_explorer import CLIPPED, NAMES, PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

CELL = """import explorer as ex
spec = ex.RunSpec(problem={"name": "blocks", "params": {"size": 64}}, solver="cgls", rule="discrepancy")
ex.Exercise(spec, hide=("truth", "operator.sigma"), ask="How wide is the blur?")"""


@pytest.fixture(scope="module")
def page(lab, browser):
    """Open a notebook with both, and run it."""
    write_notebook(lab.folder / "alone.ipynb", CELL, "ex.panels.Convergence(ex.run(spec))")
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.said = errors_of(page)
    open_notebook(page, f"{lab.url}/doc/tree/alone.ipynb")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_selector(".explorer .ex-play >> nth=1")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line")
    yield page
    page.close()


def test_a_prediction_is_asked_for_checked_and_all_is_revealed(page):
    task = page.locator(".explorer", has=page.locator("h3"))
    assert "the truth is not known" in task.inner_text()
    page.get_by_label("Your prediction", exact=True).fill("5")
    page.keyboard.press("Enter")
    task.get_by_role("button", name="Check").click()
    task.locator(".ex-note >> text=Not yet").wait_for()
    task.get_by_role("button", name="Reveal").click()
    task.locator(".ex-note >> text=The answer is 2").wait_for()
    assert "the truth is not known" not in task.inner_text()


@pytest.mark.parametrize("width", [1400, 600])
def test_nothing_is_cut_off_and_every_control_has_a_name(page, width):
    page.set_viewport_size({"width": width, "height": 1000})
    page.wait_for_function(f"document.querySelector('.explorer').getBoundingClientRect().right <= {width}")
    assert page.evaluate(CLIPPED) == []
    assert all(page.evaluate(NAMES))
    plays = page.locator(".explorer .ex-play")
    assert all(plays.nth(i).bounding_box()["width"] < 60 for i in range(plays.count()))  # the slider has the room
    assert page.locator(".ex-to-tab:visible").count() == 0  # there is no tab to lead to
    assert page.said == []
