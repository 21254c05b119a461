"""What a person waits for at the Explorer, measured in a real JupyterLab by a real Chromium."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import explorer as ex
from explorer.engine.spec import Choice, RunSpec
from tests.benchmarks.aims import Aim
from tests.browser.server import ROOT, SESSION, Lab, chromium_browser, jupyterlab, open_notebook, run_all

START = "00-start-here.ipynb"
#: 256² unknowns and more steps than anybody waits for
HEAVY = RunSpec(
    problem=Choice("shepp_logan", size=256),
    stop=Choice("budget", steps=100_000),
    record={"keep_going": True},
)
#: every drawing of the reconstruction: when, and what its caption said then
PAINTED = """
window.painted = [];
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    put.apply(this, given);
    const title = this.canvas.closest(".ex-picture")?.querySelector(".ex-caption b")?.textContent ?? "";
    if (title.startsWith("Reconstruction")) painted.push([performance.now(), title]);
};
window.named = (name) => [...document.querySelectorAll(".ex-bar button")].find((b) => b.innerText.includes(name));
window.until = async (condition) => {
    while (!condition()) await new Promise(requestAnimationFrame);
    return performance.now();
};
"""
#: milliseconds from Run until the first of its steps is on the screen; that of a finished run says why it is shown
FIRST = """async () => {
    painted.length = 0;
    const begun = performance.now();
    named("Run").click();
    return await until(() => painted.some(([, title]) => /step [0-9]+$/.test(title))) - begun;
}"""
#: milliseconds between frames of different steps, while the solver runs
FRAMES = """async (seconds) => {
    painted.length = 0;
    await new Promise((done) => setTimeout(done, 1000 * seconds));
    const first = new Map(painted.map(([at, title]) => [title, at]).reverse());
    const times = [...first.values()].sort((a, b) => a - b);
    return (times.at(-1) - times[0]) / (times.length - 1);
}"""
#: milliseconds from Cancel until the page says that the run has ended
CANCEL = """async () => {
    const begun = performance.now();
    named("Cancel").click();
    return await until(() => named("Cancel").disabled) - begun;
}"""
#: what the kernel prints when it executes a piece of code
ASK = f"""async (code) => {{
    const future = {SESSION}.session.kernel.requestExecute({{ code, store_history: false }});
    let said = "";
    future.onIOPub = (message) => {{ said += message.content.text ?? ""; }};
    await future.done;
    return said;
}}"""
#: the kernel notes what drawing the snapshots of a run takes of the solver's thread
BOOKED = """
import time
_drawn, _draw = [], w._updated
def _timed(job, snapshot):
    begun = time.perf_counter()
    _draw(job, snapshot)
    _drawn.append(time.perf_counter() - begun)
w._updated = _timed
"""
SHARE = 'with w._lock: print(sum(_drawn) / float(w.result.history["seconds"][-1])); _drawn.clear()'
PEAK = "print(next(int(s.split()[1]) for s in open('/proc/self/status') if s.startswith('VmHWM')) / 1e3)"


def measured(cancels: int = 20) -> Iterator[Aim]:
    """The figures of the interface; nothing where there is no Chromium."""
    path = shutil.which("chromium")
    if path is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        with jupyterlab(base) as lab, chromium_browser(path, base / "profile") as context:
            context.add_init_script(PAINTED)
            yield from _start(lab, context)
            page, sent = _page(context)
            open_notebook(page, ex.to_link(HEAVY, f"{lab.url}/doc/tree/explorer.ipynb"))
            run_all(page)
            yield from _heavy(page, cancels)
            page.close()
            yield Aim("KiB of the largest change of a widget's state, 256²", max(sent) / 1024, 300.0)


def _page(context: Any) -> tuple[Any, list[int]]:
    """Return a page, and the bytes of every change of a widget's state that it is sent."""
    page, sent = context.new_page(), [0]
    page.set_default_timeout(60_000)

    def listen(socket: Any) -> None:
        socket.on("framereceived", note)

    def note(frame: str | bytes) -> None:
        if isinstance(frame, bytes) and b'"comm_msg"' in _header(frame):
            sent.append(len(frame))

    page.on("websocket", listen)
    return page, sent


def _header(frame: bytes) -> bytes:
    """Return the header of a kernel's message: 8 bytes say how many places follow; the header is the second part."""
    begin, end = (int.from_bytes(frame[at : at + 8], "little") for at in (16, 24))
    return frame[begin:end]


def _start(lab: Lab, context: Any) -> Iterator[Aim]:
    """The notebook that a newcomer opens, with nothing loaded before."""
    shutil.copy(ROOT / "notebooks" / START, lab.folder / START)
    page, sent = _page(context)
    begun = time.perf_counter()
    open_notebook(page, f"{lab.url}/doc/tree/{START}")
    run_all(page)
    page.wait_for_function("painted.length && document.querySelector('.ex-progress').innerText.includes('steps · ')")
    yield Aim("s from opening the start notebook to its first result, cold", time.perf_counter() - begun, 12.0)
    page.wait_for_selector(".explorer .js-plotly-plot .scatterlayer .js-line", timeout=60_000)
    yield Aim("MB of the kernel's memory at most, default session", float(page.evaluate(ASK, PEAK)), 700.0)
    yield Aim("KiB of the largest change of a widget's state, default session", max(sent) / 1024, 300.0)
    page.evaluate(f"() => {SESSION}.shutdown()")
    page.close()


def _heavy(page: Any, cancels: int) -> Iterator[Aim]:
    """A run that goes on until it is cancelled."""
    page.wait_for_function("painted.some(([, title]) => /step [0-9]{4}/.test(title))")  # warm, and what the link says
    page.evaluate(CANCEL)
    page.evaluate(ASK, BOOKED)
    first, apart, share, ended = [], [], [], []
    for _ in range(5):
        page.wait_for_timeout(1500)  # what follows a run has come to rest
        first.append(page.evaluate(FIRST))
        apart.append(page.evaluate(FRAMES, 3))
        page.evaluate(CANCEL)
        share.append(float(page.evaluate(ASK, SHARE)))
    yield Aim("s from Run to the first picture, 256², warm", statistics.median(first) / 1e3, 1.0)
    yield Aim("ms from one painted frame to the next, 256² (125: 8 a second)", statistics.median(apart), 125.0)
    yield Aim("drawing the frames / solver, 256²", statistics.median(share), 0.1)
    for k in range(cancels):
        page.evaluate(FIRST)
        page.wait_for_function("painted.length > 2")
        _meanwhile(page, k % 4)
        ended.append(page.evaluate(CANCEL))
    yield Aim(f"ms from Cancel to the end, the longest of {cancels}, 256²", max(ended), 250.0)
    yield Aim(f"ms from Cancel to the end, median of {cancels}, 256²", statistics.median(ended), 250.0)


def _meanwhile(page: Any, which: int) -> None:
    """Do something else while a run is under way: a list, a slider, a tab, or nothing."""
    if which == 1:
        page.get_by_label("Prior", exact=True).click()
        page.keyboard.press("Escape")
    if which == 2:
        page.get_by_label("Noise model: Level", exact=True).focus()
        page.keyboard.press("ArrowRight")
    if which == 3:
        page.get_by_role("tab", name="Profile", exact=True).click()
        page.get_by_role("tab", name="Convergence", exact=True).click()
