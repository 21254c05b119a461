"""What axe-core, the usual checker of accessibility, finds in the Explorer: nothing serious, in either theme."""

import pytest
from axe_playwright_python.sync_playwright import Axe

import explorer as ex

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PATIENCE = 60_000
SPEC = ex.RunSpec(
    problem={"name": "blocks", "params": {"size": 64}},
    noise={"name": "gaussian", "params": {"level": 0.05}},
    rule="discrepancy",
    record={"keep_going": True},
)


@pytest.fixture(scope="module")
def page(lab, browser):
    """Open the notebook with a small problem, so that every tab is quick."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(ex.to_link(SPEC, f"{lab.url}/doc/tree/explorer.ipynb"))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
    page.wait_for_function(f"{kernel}?.status === 'idle'", timeout=PATIENCE)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_selector(".ex-controls fieldset")
    page.wait_for_function("document.querySelector('.ex-progress').innerText.startsWith('200 steps')")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line")
    yield page
    page.close()


def serious(page):
    """Return what axe finds in the Explorer that keeps somebody out: the rule, the element and why."""
    found = Axe().run(page, context=".explorer", options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {node['target']}: {node['html'][:150]} {node['failureSummary'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_nobody_is_kept_out(page, theme):
    page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
                  f"JupyterLab {theme}")  # fmt: skip
    page.wait_for_function(f"document.body.dataset.jpThemeLight === '{'true' if theme == 'Light' else 'false'}'")
    tabs = page.locator(".explorer .ex-tabs [role=tab]")
    found = {}
    for name in tabs.all_inner_texts():
        page.get_by_role("tab", name=name, exact=True).click()
        if name == "Compare":
            page.keyboard.press("k")
            page.wait_for_selector(".ex-table tbody tr")
        if name == "Parameter":
            page.wait_for_selector(".ex-walk input[type=range]")
        page.wait_for_timeout(300)
        found[name] = serious(page)
    assert {name: bad for name, bad in found.items() if bad} == {}
