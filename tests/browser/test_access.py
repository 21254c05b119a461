"""What axe-core, the usual checker of accessibility, finds in the Explorer: nothing serious; and a failing upload."""

import pytest
from axe_playwright_python.sync_playwright import Axe

import explorer as ex
from tests.browser.server import open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PATIENCE = 90_000
SPEC = ex.RunSpec(
    problem={"name": "blocks", "params": {"size": 64}},
    noise={"name": "gaussian", "params": {"level": 0.05}},
    rule="discrepancy",
    record={"keep_going": True},
)
#: what the tabs open
PANELS = ".explorer :has(> .ex-tabs) ~ *"
#: what shows that a tab has something to say that is not there at once
OPENED = {
    "Parameter": ".ex-walk input[type=range]",
    "Compare": ".ex-table tbody tr",
    "About": ".ex-about >> text=Hestenes",
}
#: rules of axe whose answer depends on colours
THEMED = ["color-contrast", "link-in-text-block"]


@pytest.fixture(scope="module")
def page(lab, browser):
    """Open the notebook with a small problem, so that every tab is quick."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    open_notebook(page, ex.to_link(SPEC, f"{lab.url}/doc/tree/explorer.ipynb"))
    run_all(page)
    page.wait_for_function("document.querySelector('.ex-progress').innerText.startsWith('200 steps')")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line")
    page.evaluate(Axe().axe_script)
    yield page
    page.close()


def serious(page, part=".explorer", rules=None):
    """Return what axe finds in a part of the Explorer that keeps somebody out: the rule, the element and why."""
    options = {"resultTypes": ["violations"], "preload": False} | ({"runOnly": rules} if rules else {})
    found = page.evaluate("([part, options]) => axe.run(part, options)", [part, options])["violations"]
    return [
        f"{rule['id']}: {node['target']}: {node['html'][:150]} {node['failureSummary'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_the_checker_sees_a_control_without_a_name(page):
    page.evaluate("document.querySelector('.ex-bar').append(document.createElement('button'))")
    assert any(bad.startswith("button-name") for bad in serious(page))
    page.evaluate("document.querySelector('.ex-bar > button:last-child').remove()")


def test_a_failing_upload_is_one_sentence_and_the_picture_stays(page):
    combo = page.get_by_label("Truth", exact=True)
    combo.click()
    page.locator("[role=option] >> text=Own file").first.click()
    field = page.locator(".ex-controls input[type=file]")
    field.wait_for()
    field.set_input_files({"name": "broken.npy", "mimeType": "application/octet-stream", "buffer": b"no array"})
    page.wait_for_selector(".ex-message[role=alert] >> text=broken.npy is not")
    assert "Traceback" not in page.locator(".explorer").inner_text()
    assert page.locator(".ex-caption b").nth(2).inner_text().startswith("Reconstruction, step")
    page.get_by_label("Reset Problem: go back to what it began with").click()
    page.wait_for_selector(".ex-message", state="detached")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_nobody_is_kept_out(page, theme):
    """The whole page once, then below the tabs what each of them opens: in the dark only what a theme can change."""
    page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
                  f"JupyterLab {theme}")  # fmt: skip
    page.wait_for_function(f"document.body.dataset.jpThemeLight === '{'true' if theme == 'Light' else 'false'}'")
    page.get_by_label("Preset", exact=True).click()
    page.wait_for_selector(".ex-cards img >> nth=12")
    found = {"all, presets open": serious(page)}
    page.keyboard.press("Escape")
    rules = None if theme == "Light" else THEMED
    for name in page.locator(".explorer .ex-tabs [role=tab]").all_inner_texts():
        page.get_by_role("tab", name=name, exact=True).click()
        if name == "Compare":
            page.keyboard.press("k")
        if name in OPENED:
            page.wait_for_selector(OPENED[name])
        page.wait_for_timeout(300 if theme == "Light" else 100)  # the second time everything is computed
        found[name] = serious(page, PANELS, rules)
    assert {name: bad for name, bad in found.items() if bad} == {}
