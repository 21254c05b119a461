"""Links and downloads of an Explorer, as its page asks for them."""

import io

import numpy as np
import pytest

import explorer as ex
from explorer.catalogue import SpecError
from explorer.widgets.screen import TABS
from explorer.widgets.share import FILES
from tests.widgets.page import SMALL


def ask(widget, **message):
    """Say what the page would, and return what it is sent."""
    share, sent = widget._screen.share, []
    share.send = lambda content, buffers=None: sent.append((content, buffers))
    share._receive(share, message, None)
    assert share.wait(60)
    return sent


def test_the_link_follows_the_controls_and_restores_them(make):
    w = make()
    w._screen.tabs.selected = TABS.index("Code")
    assert ex.from_link(w._screen.share.fragment) == w.spec
    w.change(seed=9)
    assert ex.from_link(w._screen.share.fragment).seed == 9
    other = make("https://example.org/" + w._screen.share.fragment)
    assert other.spec == w.spec


def test_a_page_opened_with_a_link_shows_and_solves_it(make):
    w = make()
    spec = ex.RunSpec(**SMALL, seed=4)
    link = ex.to_link(spec).removeprefix("#")
    ask(w, link=link)
    assert w.spec == spec
    assert w._job.result(60).spec == spec
    assert w._screen.share.taken == link
    w.undo()
    assert w.spec.seed == 0


def test_a_damaged_link_is_a_sentence_and_changes_nothing(make):
    w = make()
    before = w.spec
    ask(w, link="explorer=nonsense")
    assert "The link is damaged: copy all of it again." in w._message.value
    assert w.spec == before


@pytest.mark.parametrize("ending", list(FILES))
def test_every_file_of_the_run_on_the_screen_downloads(make, ending):
    w = make()
    assert not w._screen.share.ready
    assert ask(w, download=ending) == []
    assert "press Run first" in w._screen.share.said
    run = w.run().result(60)
    assert w._screen.share.ready
    ((content, (made,)),) = ask(w, download=ending)
    assert content == {"file": f"explorer-cgls.{ending}", "type": FILES[ending][1]}
    assert "KiB" in w._screen.share.said
    if ending == "png":
        assert made.startswith(b"\x89PNG")
    elif ending == "npz":
        np.testing.assert_array_equal(np.load(io.BytesIO(made))["x"], run.x.numpy())
    else:
        assert b"</svg>" in made or b"</html>" in made


def test_a_kind_of_file_that_does_not_exist_is_a_sentence(make):
    w = make()
    assert ask(w, download="exe") == []
    assert "must be one of png, svg, npz, html" in w._screen.share.said
    with pytest.raises(SpecError):
        w._screen.share.file("exe")


def test_settings_too_long_for_a_link_say_so(make):
    w = make()
    w.change(solver={"name": "tikhonov", "params": {"regularization": [1 / k**0.123 for k in range(1, 4000)]}})
    w._screen.tabs.selected = TABS.index("Code")
    assert w._screen.share.fragment == ""
    assert "share the JSON" in w._screen.share.said
