"""The Explorer in a real JupyterLab, as a person at the keyboard and mouse meets it."""

import os
import re
from pathlib import Path

import pytest

from tests.browser.console import errors_of
from tests.browser.server import open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SHOTS = Path(os.environ.get("EXPLORER_SCREENSHOTS") or Path(__file__).parent / "artifacts")
README = Path(__file__).resolve().parents[2] / "notebooks/images/explorer.png"
#: milliseconds; machines that check are slow and busy
PATIENCE = 90_000
PAINTED = """() => [...document.querySelectorAll('.ex-pictures canvas')].filter(c => {
    const pixels = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    return c.checkVisibility() && new Set(pixels).size > 3;
}).length"""
#: every visible thing that is clipped by the Explorer's edges or too small to use or to read
CLIPPED = """() => {
    const root = document.querySelector('.explorer').getBoundingClientRect();
    const seen = [...document.querySelectorAll('.explorer :is(button, input, select, canvas, label, pre, summary)')]
        .filter(node => node.checkVisibility() && !node.closest('.ex-scroll')); // which scrolls sideways
    const bad = [];
    for (const node of seen) {
        const box = node.getBoundingClientRect();
        const name = node.getAttribute('aria-label') || node.textContent || node.type;
        if (box.left < root.left - 1 || box.right > root.right + 1) bad.push(`${name} is cut off`);
        if (node.matches('input[type=range], select, button') && box.width < 44) bad.push(`${name} is too narrow`);
        if (node.scrollWidth > node.clientWidth + 2 && node.matches('button, label')) bad.push(`${name} overflows`);
        if (parseFloat(getComputedStyle(node).fontSize) < 12) bad.push(`${name} is set too small`);
    }
    return bad;
}"""
#: what a reader of the screen hears of every control
NAMES = """() => [...document.querySelectorAll('.explorer :is(button, input, select, canvas, progress)')]
    .filter(node => node.checkVisibility())
    .map(node => node.getAttribute('aria-label') || node.textContent.trim())"""

#: how far, in pixels, the labels of marked steps are from the nearest of the vertical lines
LABELS = """() => {
    const plot = document.querySelector('.explorer .js-plotly-plot');
    const lines = [...plot.querySelectorAll('.shapelayer path')].map((n) => n.getBoundingClientRect());
    return [...plot.querySelectorAll('.annotation-text')].map((n) => {
        const box = n.getBoundingClientRect();
        const edges = lines.flatMap((line) => [box.left - line.left, box.right - line.left]);
        return { text: n.textContent, apart: edges.sort((a, b) => Math.abs(a) - Math.abs(b))[0] };
    });
}"""


@pytest.fixture(scope="module")
def page(lab, browser):
    """Open the notebook, run its cell, wait for the curves, and watch the console and the network."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.said, page.asked = errors_of(page), []
    page.on("request", lambda request: page.asked.append(request.url))
    open_notebook(page, f"{lab.url}/doc/tree/explorer.ipynb")
    run_all(page)
    _until(page, f"({PAINTED})() === 4")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line")
    yield page
    page.close()


def _until(page, condition):
    page.wait_for_function(condition, timeout=PATIENCE)


def _named(page, name):
    return page.get_by_label(name, exact=True)


def _unfold(page, group):
    """Open what a group of settings holds back at first."""
    page.locator(f".ex-controls fieldset:has(legend:text-is('{group}')) > .ex-rest:not([open]) > summary").click()


def _theme(page, name):
    page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
    _until(page, f"document.body.dataset.jpThemeLight === '{'false' if 'Dark' in name else 'true'}'")


def _settle(page, condition):
    """Wait for a condition and for what it moves to be painted."""
    _until(page, condition)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _shot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".explorer").screenshot(path=SHOTS / f"{name}.png")


def test_it_opens_with_its_first_problem_solved(page):
    assert page.locator(".ex-explained .ex-notes").inner_text().startswith("Past the best iterate")
    assert page.locator(".ex-progress progress").get_attribute("value") == "1.000"
    assert re.search(r"200\ssteps · 200\sA, 201\sAᴴ · [\d.]+\ss", page.locator(".ex-progress").inner_text())
    lines = page.locator(".explorer .js-plotly-plot .scatterlayer .trace")
    assert lines.count() == 3
    _labelled(page)


def _labelled(page):
    """Wait until the labels of marked steps are at their lines and below the legend, and the legend above the plot."""
    page.wait_for_function(
        f"""() => {{
            const apart = ({LABELS})().map((label) => Math.abs(label.apart));
            const plot = document.querySelector('.explorer .js-plotly-plot');
            const tall = (part) => plot.querySelector(part).getBoundingClientRect();
            const labels = tall('.annotation-text');
            return apart.length && Math.max(...apart) < 8 && tall('.legend').bottom < labels.bottom
                && labels.bottom < tall('.nsewdrag').top + 4;
        }}""",
        timeout=10_000,
    )


def test_every_control_has_a_name_of_its_own(page):
    names = page.evaluate(NAMES)
    assert len(names) > 30
    assert all(names)
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)


@pytest.mark.parametrize("width", [1600, 1400, 900, 600])
def test_nothing_is_cut_off(page, width):
    page.set_viewport_size({"width": width, "height": 1000})
    _settle(page, f"document.querySelector('.explorer').getBoundingClientRect().right <= {width}")
    plot = "document.querySelector('.explorer .js-plotly-plot .main-svg').getBoundingClientRect()"
    place = "document.querySelector('.ex-explained > :first-child').getBoundingClientRect()"
    _settle(page, f"Math.abs({plot}.width - {place}.width) < 2")
    assert page.evaluate(CLIPPED) == []
    _labelled(page)
    _shot(page, f"light-{width}")


def test_the_result_and_its_controls_are_in_one_view(page):
    page.set_viewport_size({"width": 1400, "height": 1000})
    _settle(page, "document.querySelector('.explorer').getBoundingClientRect().width > 1000")
    assert page.locator(".explorer").bounding_box()["height"] <= 1000


def test_a_slider_moves_by_arrow_keys_and_marks_the_result_as_stale(page):
    slider = _named(page, "Forward model: Width σ")
    slider.focus()
    before = slider.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".ex-picture.ex-stale")
    assert slider.get_attribute("aria-valuetext") != before
    assert slider.evaluate("node => node === document.activeElement")
    assert page.locator(".jp-Cell").count() == 1  # the notebook's own shortcuts kept out of it
    assert "press Run" in page.evaluate(
        "getComputedStyle(document.querySelector('.ex-picture.ex-stale .ex-caption'), '::after').content"
    )


def test_a_slider_drags_smoothly_to_where_it_is_let_go(page):
    slider = _named(page, "Noise model: Level")
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    for part in range(50, 80, 2):
        page.mouse.move(box["x"] + part / 100 * box["width"], middle)
    page.mouse.up()
    at = slider.evaluate("node => Number(node.value)")
    exact = _named(page, "Noise model: Level, exact value").input_value()
    page.wait_for_timeout(1500)
    assert slider.evaluate("node => Number(node.value)") == at
    assert _named(page, "Noise model: Level, exact value").input_value() == exact
    _named(page, "Noise model: Level, exact value").fill("0.05")
    page.keyboard.press("Enter")


def test_run_shows_frames_and_ends_with_the_reason_in_words(page):
    page.locator("button", has_text="▶ Run").focus()
    page.keyboard.press("Enter")
    _until(page, "!document.querySelector('.ex-stale')")
    _until(page, "document.querySelector('.ex-notes').innerText.includes('Discrepancy principle: step')")
    assert "× the expected noise norm" in page.locator(".ex-explained .ex-notes").inner_text()
    assert page.locator(".ex-message").count() == 0


def test_bad_input_is_one_sentence_by_its_control(page):
    size = _named(page, "Truth: Size, exact value in px")
    assert not size.is_visible()
    _unfold(page, "Problem")
    size.fill("50000")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ex-message[role=alert]")
    assert page.locator(".ex-message").inner_text() == (
        "Truth: Size is 50000, and must be a whole number from 8 to 2048 px."
    )
    assert size.get_attribute("aria-invalid") == "true"
    assert page.locator(f"#{size.get_attribute('aria-describedby')}").inner_text().startswith("Truth: Size is 50000")
    assert page.evaluate(f"({PAINTED})()") == 4  # the last good result is still there
    size.fill("512")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ex-message", state="detached")


def test_a_heavy_run_can_be_watched_and_cancelled(page):
    _unfold(page, "Method")
    _named(page, "Stop: Steps, exact value in steps").fill("100000")
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    frames = "window.frames_seen = new Set(); new MutationObserver(() => frames_seen.add("
    frames += "document.querySelectorAll('.ex-caption b')[2].textContent)).observe("
    frames += "document.querySelectorAll('.ex-caption b')[2], {childList: true})"
    page.evaluate(frames)
    page.locator("button", has_text="▶ Run").click()
    _until(page, "frames_seen.size >= 5")
    assert re.search(r"step [\d,]+ · [\d,]+ A, [\d,]+ Aᴴ · [\d.]+ s, left ", page.locator(".ex-progress").inner_text())
    _named(page, "Prior").click()  # other controls live meanwhile, and a cancel after them works
    page.keyboard.press("Escape")
    page.locator("button", has_text="■ Cancel").click()
    _until(page, "document.querySelector('.ex-notes').innerText.includes('Cancelled at step')")
    assert page.evaluate(f"({PAINTED})()") == 4


def test_what_cannot_be_chosen_says_why_and_the_keyboard_reaches_the_rest(page):
    solver = _named(page, "Solver")
    solver.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("[role=option] >> text=PDHG")
    disabled = page.locator("[role=option][aria-disabled=true][data-value=pdhg]")
    assert "needs a prior" in disabled.inner_text()
    assert solver.get_attribute("aria-expanded") == "true"
    assert page.locator(f"#{solver.get_attribute('aria-activedescendant')}").inner_text() == "CGLS"
    _shot(page, "choices")
    disabled.click(force=True)  # nothing happens
    assert solver.get_attribute("aria-expanded") == "true"
    page.keyboard.type("lsq")  # to the next that begins so
    page.keyboard.press("Enter")
    _until(page, "!document.querySelector('[role=combobox][aria-expanded=true]')")
    _until(page, "[...document.querySelectorAll('[role=combobox]')].some(b => b.textContent === 'LSQR')")
    page.locator(".ex-bar button", has_text="↺ Reset").click()
    _until(page, "[...document.querySelectorAll('[role=combobox]')].some(b => b.textContent === 'CGLS')")
    _until(page, "document.querySelector('.ex-progress').innerText.startsWith('200 steps')")


def test_tab_reaches_every_control_in_reading_order(page):
    skip = page.locator(".ex-skip")
    skip.focus()
    assert skip.evaluate("node => getComputedStyle(node).opacity") == "1"
    page.keyboard.press("Enter")  # the short way
    assert page.evaluate("document.activeElement.textContent") == "▶ Run"
    skip.focus()
    reached = []
    for _ in range(120):
        name = page.evaluate(
            "document.activeElement.closest('.explorer') && "
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim())"
        )
        if name is None:
            break
        reached.append(name)
        page.keyboard.press("Tab")
    enabled = page.evaluate("""() => [...document.querySelectorAll(
        '.explorer :is(button, input, select, summary)')].filter(n => n.checkVisibility() && !n.disabled
        && n.tabIndex >= 0).map(n => n.getAttribute('aria-label') || n.textContent.trim())""")
    assert [name for name in enabled if name not in reached] == []
    assert reached.index("Truth") < reached.index("Solver") < reached.index("▶ Run") < reached.index("Convergence")


def test_the_tabs_explain(page):
    page.locator("[role=tab]", has_text="Convergence").focus()
    page.keyboard.press("ArrowRight")
    _until(page, "document.querySelector('.ex-notes').innerText.includes('directions')")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .point >> nth=20", state="attached")
    _shot(page, "spectrum")
    page.keyboard.press("ArrowRight")
    _until(page, "document.querySelector('.ex-notes').innerText.includes('Ritz values')")
    page.wait_for_selector(".explorer .js-plotly-plot .ytitle >> text=filter factor", state="attached")
    _shot(page, "filter")
    page.keyboard.press("ArrowRight")
    _until(page, "document.querySelector('.ex-notes').innerText.includes('the eigenvalues allow at most')")
    page.wait_for_selector(".explorer .js-plotly-plot .legendtext >> text=bound: spectrum")
    _shot(page, "polynomial")
    page.keyboard.press("ArrowRight")
    _until(page, "document.querySelector('.ex-notes').innerText.includes('comes nearest')")
    page.wait_for_selector(".explorer .js-plotly-plot .legendtext >> text=L-curve")
    walk = page.locator(".ex-walk input[type=range]")
    walk.focus()
    before = page.locator(".ex-caption b").nth(2).inner_text()
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    page.wait_for_selector(".ex-notes >> text=At step")
    assert before != page.locator(".ex-caption b").nth(2).inner_text()
    page.get_by_label("Walk along", exact=True).select_option("λ of Tikhonov regularisation instead")
    page.wait_for_selector(".explorer .js-plotly-plot .xtitle >> text=regularization λ", state="attached")
    walk.focus()
    page.keyboard.press("PageUp")
    _until(page, "document.querySelectorAll('.ex-caption b')[2].textContent.includes('λ = ')")
    page.wait_for_selector(".ex-notes >> text=At λ =")
    assert page.evaluate(CLIPPED) == []
    _shot(page, "parameter")
    page.locator("[role=tab]", has_text="Parameter").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".explorer .js-plotly-plot .legendtext >> text=noise alone")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".explorer .js-plotly-plot .legendtext >> text=truth")
    page.locator("[role=tab]", has_text="Compare").click()
    page.wait_for_selector(".ex-table >> text=Press Keep")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".ex-code pre >> text=ex.RunSpec")
    assert page.locator(".ex-code h4").all_inner_texts()[:3] == ["Python\nCopy", "JSON\nCopy", "papermill\nCopy"]
    _shot(page, "code")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".ex-about >> text=Hestenes")
    page.wait_for_selector(".ex-about .MathJax, .ex-about mjx-container")
    _shot(page, "about")
    page.keyboard.press("Home")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line >> nth=1")


def test_two_runs_are_compared_by_keys_alone(page):
    page.locator("[role=tab]", has_text="Compare").press("Enter")
    page.wait_for_selector(".ex-table >> text=Press Keep")
    page.keyboard.press("k")
    page.wait_for_selector(".ex-table tbody tr")
    slider = _named(page, "Noise model: Level")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    _until(page, "document.querySelector('.ex-picture.ex-stale')")
    page.keyboard.press("r")
    _until(page, "!document.querySelector('.ex-stale')")
    _until(page, "[...document.querySelectorAll('.ex-bar button')].find(b => b.innerText.includes('Cancel')).disabled")
    page.keyboard.press("k")
    page.wait_for_selector(".ex-table tbody tr >> nth=1")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line >> nth=1")
    assert "level" in page.locator(".ex-table tbody tr").nth(1).inner_text()
    page.get_by_label("Compare the others with run A").click()
    _until(page, "document.querySelector('.ex-table tbody').innerText.includes('(')")
    _shot(page, "compare")
    page.locator(".ex-table thead button", has_text="Error").click()
    page.wait_for_selector(".ex-table th[aria-sort=ascending]")
    page.get_by_label("Show run A and its settings").click()
    page.wait_for_selector(".ex-table tr.ex-shown >> text=A")
    assert page.evaluate(CLIPPED) == []
    page.locator(".ex-bar button", has_text="↺ Reset").click()
    page.locator("[role=tab]", has_text="Convergence").click()
    _until(page, "document.querySelector('.ex-progress').innerText.startsWith('200 steps')")


def test_a_preset_and_live_mode_follow_the_slider(page):
    _named(page, "Preset").click()
    page.wait_for_selector(".ex-cards img >> nth=12")
    _shot(page, "presets")
    page.locator(".ex-cards [role=option]", has_text="Choose the parameter").click()
    _until(page, "document.querySelector('.ex-progress').innerText.startsWith('1 step')")
    page.locator("[role=tab]", has_text="Parameter").click()
    page.wait_for_selector(".explorer .js-plotly-plot .legendtext >> text=L-curve")
    _named(page, "Solver: Regularization λ").focus()
    page.keyboard.press("l")
    page.wait_for_selector(".ex-bar .mod-active")
    for _ in range(3):  # the picture follows, at once or when the slider rests
        page.evaluate("window.before = document.querySelectorAll('.ex-caption')[2].textContent")
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        _until(page, "document.querySelectorAll('.ex-caption')[2].textContent !== before")
    _until(page, "document.querySelector('.ex-progress').innerText.includes('live')")
    _shot(page, "live")
    page.keyboard.press("l")
    page.locator(".ex-bar button", has_text="↺ Reset").click()
    page.locator("[role=tab]", has_text="Convergence").click()
    _until(page, "document.querySelector('.ex-progress').innerText.startsWith('200 steps')")


def test_the_iterates_play(page):
    _named(page, "Iterate shown").focus()
    page.keyboard.press("Home")
    _until(page, "document.querySelectorAll('.ex-caption b')[2].textContent === 'Reconstruction, step 1'")
    _named(page, "Play: Iterate shown").click()
    _until(page, "/step (?!1$)/.test(document.querySelectorAll('.ex-caption b')[2].textContent)")
    _named(page, "Play: Iterate shown").click()


def test_pictures_share_the_cursor_and_the_part_that_is_looked_at(page):
    pictures = page.locator(".ex-pictures canvas")
    full = pictures.nth(0).evaluate("node => node.width")
    box = pictures.nth(0).bounding_box()
    at = lambda fx, fy: (box["x"] + fx * box["width"], box["y"] + fy * box["height"])  # noqa: E731
    page.mouse.move(*at(0.5, 0.5))
    _until(
        page,
        "[...document.querySelectorAll('.ex-pictures .ex-range')]"
        ".every(n => /^\\(\\d+, \\d+\\) [≈≤≥]/.test(n.innerText))",
    )
    page.mouse.move(*at(0.3, 0.3))
    page.mouse.down()
    page.mouse.move(*at(0.5, 0.5), steps=4)
    page.mouse.up()
    _until(page, f"[...document.querySelectorAll('.ex-pictures canvas')].every(n => n.width < {full} / 2)")
    _shot(page, "zoomed")
    pictures.nth(2).focus()
    page.keyboard.press("Escape")
    _until(page, f"[...document.querySelectorAll('.ex-pictures canvas')].every(n => n.width === {full})")
    pictures.nth(0).focus()
    for key in ("ArrowDown", "ArrowRight", "+", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("[role=tab][aria-selected=true] >> text=Profile")
    page.wait_for_selector(".explorer .js-plotly-plot .legendtext >> text=reconstruction")
    _shot(page, "profile")
    page.keyboard.press("Escape")
    page.locator("[role=tab]", has_text="Misfit").click()
    page.wait_for_selector(".explorer .js-plotly-plot .legendtext >> text=noise alone")
    _shot(page, "misfit")
    page.locator("[role=tab]", has_text="Convergence").click()
    page.wait_for_selector(".explorer .js-plotly-plot .annotation-text >> text=best")
    _labelled(page)  # also after linear axes


def test_an_earlier_iterate_can_be_looked_at(page):
    iterate = _named(page, "Iterate shown")
    iterate.focus()
    page.keyboard.press("End")
    _until(page, "document.querySelectorAll('.ex-caption b')[2].textContent === 'Reconstruction, step 200'")
    page.keyboard.press("Home")
    _until(page, "document.querySelectorAll('.ex-caption b')[2].textContent === 'Reconstruction, step 1'")


def test_dark_pages_have_dark_figures(page):
    page.locator(".ex-bar button", has_text="↺ Reset").click()
    _until(page, "document.querySelectorAll('.ex-caption b')[2].textContent.includes('(rule)')")
    _theme(page, "JupyterLab Dark")
    _until(page, "getComputedStyle(document.querySelector('.explorer .xtick text')).fill === 'rgb(230, 232, 235)'")
    middle = page.evaluate("""() => { const c = document.querySelectorAll('.explorer canvas')[3];
        return [...c.getContext('2d').getImageData(0, 0, 1, 1).data].slice(0, 3); }""")
    assert max(middle) < 80  # no error: dark, not white
    for width in (1400, 900):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(1000)
        _shot(page, f"dark-{width}")
    page.set_viewport_size({"width": 1400, "height": 1000})
    _theme(page, "JupyterLab Light")
    _until(page, "getComputedStyle(document.querySelector('.explorer .xtick text')).fill === 'rgb(36, 41, 47)'")
    page.wait_for_timeout(1000)
    _shot(page, "light-1400")
    if os.environ.get("EXPLORER_UPDATE_SCREENSHOT"):
        page.set_viewport_size({"width": 1400, "height": 1250})  # all of it in one view
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(1000)
        page.locator(".explorer").screenshot(path=README)
        page.set_viewport_size({"width": 1400, "height": 1000})


def test_a_page_opened_again_shows_the_same(page):
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1000)
    page.reload()
    page.wait_for_selector(".ex-controls fieldset")
    _until(page, f"({PAINTED})() === 4")
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line >> nth=1")


def test_the_console_is_silent_and_nobody_outside_was_asked(page, lab):
    assert page.said == []
    assert [
        url for url in page.asked if not url.startswith((lab.url, "data:", "blob:", lab.url.replace("http", "ws")))
    ] == []
