"""What a click on a picture explains, in a real JupyterLab."""

import pytest

from tests.browser.console import errors_of
from tests.browser.server import open_notebook, run_all
from tests.browser.test_explorer import (
    CLIPPED,
    NAMES,
    PAINTED,
    PATIENCE,
    _named,
    _settle,
    _shot,
    _theme,
    _unfold,
    _until,
)

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

DRAWN = "document.querySelectorAll('.explorer svg.ex-drawing path').length"


@pytest.fixture(scope="module")
def page(lab, browser):
    """Open the notebook, run its cell, and wait for the pictures."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.said = errors_of(page)
    open_notebook(page, f"{lab.url}/doc/tree/explorer.ipynb")
    run_all(page)
    _until(page, f"({PAINTED})() === 4")
    yield page
    page.close()


def _wide(page, width):
    page.set_viewport_size({"width": width, "height": 1000})
    _settle(page, f"document.querySelector('.explorer').getBoundingClientRect().right <= {width}")


def test_a_point_and_a_datum_are_looked_at_by_keys_and_clicks(page):
    _wide(page, 1400)
    page.locator(".explorer .ex-pictures canvas").nth(2).focus()
    for key in ("ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("[role=tab][aria-selected=true] >> text=Point")
    page.wait_for_selector(".ex-look >> text=comes back with")
    assert page.locator(".ex-look:visible canvas").count() == 2
    names = page.evaluate(NAMES)
    assert all(names)
    assert len(set(names)) == len(names)
    _shot(page, "point")
    row = _named(page, "Point: row, exact value")
    row.fill("40")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ex-look >> text=pixel (40,")
    page.locator(".explorer .ex-pictures canvas").nth(1).click(position={"x": 30, "y": 40})
    page.wait_for_selector("[role=tab][aria-selected=true] >> text=Experiment")
    page.wait_for_selector(".ex-look >> text=y = A x + n")
    page.wait_for_selector(".ex-look >> text=16,384 numbers")
    _shot(page, "experiment-blur")
    _named(page, "Preset").click()
    page.locator("[role=option]", has_text="Tomography from 30 angles").click()
    _until(page, f"{DRAWN} > 20")
    notes, drawing = page.locator(".ex-look:visible .ex-notes"), page.locator("svg.ex-drawing:visible").first
    for look, x, y in ((drawing.hover, 100, 70), (drawing.click, 60, 60)):  # a cursor that rests chooses as well
        before = notes.inner_text()
        page.wait_for_timeout(200)
        look(position={"x": x, "y": y})
        page.wait_for_function(
            "before => document.querySelectorAll('.ex-look .ex-notes')[1].innerText !== before", arg=before
        )
    for width in (1400, 900):
        _wide(page, width)
        assert page.evaluate(CLIPPED) == []
        _shot(page, f"experiment-{width}")
    _theme(page, "JupyterLab Dark")
    page.wait_for_timeout(500)
    _shot(page, "experiment-dark")
    _theme(page, "JupyterLab Light")
    _wide(page, 1400)


def test_two_pictures_take_turns(page):
    page.locator(".ex-bar button", has_text="↺ Reset").click()
    _until(page, r"/^200\ssteps · 200\sA, 201/.test(document.querySelector('.ex-progress').innerText)")
    page.locator("[role=tab]", has_text="Compare").press("Enter")
    page.keyboard.press("k")
    page.wait_for_selector(".ex-table tbody tr")
    _unfold(page, "Method")
    slider = _named(page, "Stop: Steps, exact value in steps")
    slider.fill("3")
    page.keyboard.press("Enter")
    page.locator("button", has_text="▶ Run").click()
    _until(page, r"/^3\ssteps/.test(document.querySelector('.ex-progress').innerText)")
    page.locator("button", has_text="☆ Keep").click()
    shown = page.locator(".ex-turns:visible").locator("xpath=../div[@class='ex-caption']/b").first
    assert shown.inner_text() == "A: CGLS"
    picture = page.locator(".ex-picture:has(.ex-turns:visible) canvas")
    first = picture.evaluate("node => node.toDataURL()")
    page.get_by_label("Show the other of the two pictures").focus()
    page.keyboard.press("Enter")
    turning = "document.querySelector('.ex-picture:has(.ex-turns)')"
    _until(page, f"{turning}.innerText.includes('B: CGLS')")
    page.wait_for_function(f"first => {turning}.querySelector('canvas').toDataURL() !== first", arg=first)
    flicker = page.get_by_label("Let the two pictures take turns, twice a second")
    flicker.click()
    _until(page, "[...document.querySelectorAll('.ex-caption b')].some(n => n.textContent === 'A: CGLS')")
    _until(page, "[...document.querySelectorAll('.ex-caption b')].some(n => n.textContent === 'B: CGLS')")
    _shot(page, "pair")
    page.emulate_media(reduced_motion="reduce")
    _until(page, "[...document.querySelectorAll('.ex-turns button')].some(n => n.disabled)")
    assert flicker.get_attribute("aria-pressed") == "false"
    names = page.evaluate(NAMES)
    assert len(set(names)) == len(names)
    _wide(page, 900)
    assert page.evaluate(CLIPPED) == []
    page.emulate_media(reduced_motion="no-preference")


def test_values_and_colours(page):
    _wide(page, 1400)
    page.locator("[role=tab]", has_text="Values").click()
    page.wait_for_selector(".ex-notes >> text=Values of the reconstruction")
    _named(page, "Pictures: colours").select_option("viridis")
    middle = "c => [...c.getContext('2d').getImageData(64, 64, 1, 1).data]"
    _until(
        page,
        f"(() => {{ const [r, g, b] = ({middle})(document.querySelector('.explorer canvas')); "
        "return r !== g || g !== b; })()",
    )
    _named(page, "Pictures: range").select_option("chosen")
    page.wait_for_selector("[aria-label='Pictures: white at, exact value']")
    page.wait_for_timeout(500)
    _shot(page, "values")
    _wide(page, 900)
    assert page.evaluate(CLIPPED) == []
    _shot(page, "values-900")


def test_a_part_of_a_phantom_is_dragged_and_steered(page):
    _wide(page, 1400)
    _named(page, "Preset").click()
    page.locator("[role=option]", has_text="Drag a phantom").click()
    handle = _named(page, "Part 3 of 5: rectangle")
    handle.wait_for()
    _unfold(page, "Problem")
    field = _named(page, "Truth: Parts")
    written = "document.querySelector(\"[aria-label='Truth: Parts']\").value"
    start = field.input_value()
    _until(page, "document.querySelector('.ex-progress progress').value === 1")
    truth = page.locator(".explorer .ex-pictures canvas").first
    before = truth.evaluate("c => c.toDataURL()")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y + 60, steps=8)
    page.wait_for_selector(".ex-outline .ex-ghost", state="attached")
    page.mouse.up()
    page.wait_for_selector(".ex-outline .ex-ghost", state="detached")
    moved = handle.bounding_box()
    assert abs(moved["x"] - box["x"] + 40) < 2
    assert abs(moved["y"] - box["y"] - 60) < 2
    _shot(page, "drag")
    page.wait_for_selector(".ex-said >> text=Part 3, rectangle at (")
    assert truth.evaluate("c => c.toDataURL()") != before
    dropped = field.input_value()
    assert dropped != start
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"dropped => {written} !== dropped", arg=dropped)
    page.keyboard.press("u")
    page.wait_for_function(f"dropped => {written} === dropped", arg=dropped)
    page.keyboard.press("u")
    page.wait_for_function(f"start => {written} === start", arg=start)
    grip = page.locator(".ex-grip")
    box = grip.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y - 10, steps=5)
    page.mouse.up()
    page.wait_for_selector(".ex-outline .ex-ghost", state="detached")
    moved = grip.bounding_box()
    assert abs(moved["x"] - box["x"] - 30) < 2
    assert abs(moved["y"] - box["y"] + 10) < 2
    _shot(page, "resize")
    page.keyboard.press("u")
    page.wait_for_function(f"start => {written} === start", arg=start)
    page.keyboard.press("PageUp")
    page.wait_for_selector(".ex-said >> text=intensity 0.55")
    intensity = _named(page, "Chosen part: intensity, exact value")
    assert intensity.input_value() == "0.55"
    intensity.fill("0.5")
    page.keyboard.press("Enter")
    page.wait_for_function(f"start => {written} === start", arg=start)
    names = page.evaluate(NAMES)
    assert all(names)
    assert len(set(names)) == len(names)


def test_the_console_is_silent(page):
    assert page.said == []
