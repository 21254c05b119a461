"""A report is one file that shows and tells everything and asks nobody for anything."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import explorer as ex
from explorer.catalogue import SpecError
from explorer.engine.store import data
from explorer.figures.paper import svg
from explorer.figures.report import report_html

SPEC = ex.RunSpec(
    problem={"name": "blocks", "params": {"size": 64}},
    noise={"name": "gaussian", "params": {"level": 0.05}},
    solver="cgls",
    rule="discrepancy",
    record={"keep_going": True},
)


@pytest.fixture(scope="module")
def run():
    return ex.run(SPEC)


class Parts(HTMLParser):
    """Collects the elements of a document and what they point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text += text


def test_a_report_shows_and_tells_everything(run, tmp_path):
    path = ex.report(run, tmp_path / "report.html")
    page = Parts(path.read_text(encoding="utf-8"))
    assert page.open == []
    images = [base64.b64decode(link.removeprefix("data:image/png;base64,")) for link in page.links]
    assert len(images) == 2
    for image in images:
        pixels = np.asarray(Image.open(io.BytesIO(image)).convert("L"))
        assert pixels.shape[1] > 1000
        assert pixels.std() > 5
    for said in (
        "Past the best iterate",
        "Discrepancy principle: step",
        run.reason.sentence,
        "relative error",
        "products or calls: Aᴴ",
        "@misc{hestenes",
        SPEC.to_json(),
        ex.to_link(SPEC),
    ):
        assert said in page.text, said


def test_a_report_asks_nobody_and_runs_nothing(run):
    text = report_html(run)
    page = Parts(text)
    assert {"script", "iframe", "object", "embed", "link", "form", "base"}.isdisjoint(page.tags)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text


def test_what_strangers_wrote_is_text_in_a_report(run, monkeypatch):
    from explorer.figures import report
    from explorer.figures.words import Note

    bad = '"><img src=x onerror=alert(1)><script>'
    monkeypatch.setattr(report, "explain", lambda _: [Note(bad, bad, bad)])
    monkeypatch.setattr(report, "cite", lambda _: bad)
    page = Parts(report_html(run))
    assert page.tags.count("img") == 2
    assert "script" not in page.tags
    assert page.text.count(bad) == 3


def test_a_report_that_cannot_be_written_is_one_sentence(run, tmp_path):
    with pytest.raises(SpecError, match=r"^path: 'r.html' cannot be written: No such file"):
        ex.report(run, tmp_path / "no" / "r.html")


@pytest.mark.parametrize(
    "spec",
    [
        ex.RunSpec(problem="matrix_inverse", operator=None, noise="none", solver="newton_schulz"),
        ex.RunSpec(problem={"name": "camera", "params": {"size": 32}}, solver="tikhonov", rule="gcv", draws=3),
    ],
    ids=["no operator", "draws"],
)
def test_other_kinds_of_runs_have_reports(spec):
    assert Parts(report_html(ex.run(spec))).open == []


def test_the_data_come_back_without_unpickling(run):
    with np.load(io.BytesIO(data(run)), allow_pickle=False) as file:
        assert ex.RunSpec.from_json(str(file["spec"])) == SPEC
        np.testing.assert_array_equal(file["x"], run.x.numpy())
        np.testing.assert_array_equal(file["y"], run.y.numpy())
        np.testing.assert_array_equal(file["best/x"], run.best.x.numpy())
        np.testing.assert_array_equal(file["history/error"], run.history["error"])
        assert int(file["best/step"]) == run.best.step


def test_figures_are_vector_graphics_with_words(run):
    from explorer.figures import summary

    text = svg(summary(run)).decode()
    assert text.startswith("<?xml")
    assert "Reconstruction" in text
    assert "<script" not in text
