"""Links restore any specification, and a stranger's link can do no more than that."""

import base64
import json
import random
import tracemalloc
import zlib

import pytest

import explorer as ex
from explorer.catalogue import SHELVES, SpecError
from explorer.engine.links import MAX_LINK, is_link
from explorer.engine.presets import presets


def token(text: bytes, packed: bool = True) -> str:
    raw = zlib.compress(text, 9) if packed else text
    return "#explorer=" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize("title", list(presets()))
def test_every_preset_survives_its_link(title):
    spec = presets()[title]
    for page in ("", "https://example.org/lab/tree/notebooks/00-start-here.ipynb", "http://localhost:8888/voila?a=b"):
        link = ex.to_link(spec, page)
        assert link.startswith(page)
        assert len(link) < 2000
        assert is_link(link)
        assert ex.from_link(link) == ex.from_link(f"See {link} and run it") == spec


@pytest.mark.parametrize("kind", sorted(set(ex.RunSpec.kinds.values())))
def test_every_component_survives_a_link(kind):
    field = next(f for f, k in ex.RunSpec.kinds.items() if k == kind)
    for name in SHELVES[kind]:
        spec = ex.RunSpec(**{field: name})
        assert ex.from_link(ex.to_link(spec)) == spec


def test_a_link_has_no_fragment_before_its_own():
    spec = ex.RunSpec()
    assert ex.to_link(spec, "https://example.org/x#old") == ex.to_link(spec, "https://example.org/x")


def test_what_is_too_long_for_a_link_is_refused():
    rng = random.Random(0)
    spec = ex.RunSpec(solver={"name": "tikhonov", "params": {"regularization": [rng.random() for _ in range(3000)]}})
    with pytest.raises(SpecError, match=r"characters, at most .* are made: share the JSON"):
        ex.to_link(spec)


HOSTILE = {
    "no text": (3, "is a int, and must be text"),
    "empty": ("", "no part '#explorer=…'"),
    "another page": ("https://example.org/#section", "no part '#explorer=…'"),
    "too long": ("#explorer=" + "A" * MAX_LINK, "at most 16,384 are read"),
    "no base64": ("#explorer=<script>", "damaged"),
    "odd base64": ("#explorer=AAAAA", "damaged"),
    "standard base64": ("#explorer=ab+/", "damaged"),
    "not ASCII": ("#explorer=äöü", "damaged"),
    "not packed": (token(b'{"seed": 1}', packed=False), "damaged"),
    "not UTF-8": (token(b"\xff\xfe"), "damaged"),
    "more after it": (
        "#explorer=" + base64.urlsafe_b64encode(zlib.compress(b"{}") + b"more").decode().rstrip("="),
        "damaged",
    ),
    "no JSON": (token(b"import os"), "not JSON"),
    "a list": (token(b"[]"), "must be an object"),
    "unknown field": (token(b'{"code": "1"}'), "not part of a RunSpec"),
    "unknown part": (token(b'{"solver": "no_such"}'), "no solver 'no_such'"),
    "out of range": (token(b'{"seed": -1}'), "is -1, and must be"),
    "nested": (token(b"[" * 10000 + b"]" * 10000), "nested|object"),
    "not a number": (token(b'{"seed": NaN}'), "NaN"),
    "a path": (
        token(json.dumps({"problem": {"name": "own_file", "params": {"file": "/etc/passwd"}}}).encode()),
        "must be the SHA-256 hash",
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_links_are_refused_in_one_sentence(name):
    text, says = HOSTILE[name]
    with pytest.raises(SpecError, match=says) as caught:
        ex.from_link(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_every_truncated_link_is_refused():
    link = ex.to_link(ex.RunSpec())
    for length in range(len("#explorer="), len(link) - 1):
        with pytest.raises(SpecError):
            ex.from_link(link[:length])


def test_a_small_link_does_not_unpack_to_a_huge_document():
    link = token(b" " * 2**23)
    assert len(link) < MAX_LINK
    tracemalloc.start()
    with pytest.raises(SpecError, match="unpacks to more than 1,048,576 characters"):
        ex.from_link(link)
    assert tracemalloc.get_traced_memory()[1] < 2**23  # a fraction of the document
    tracemalloc.stop()
