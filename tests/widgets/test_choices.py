"""What can be chosen beside the other choices, and what else changes with it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import explorer as ex
from explorer.catalogue import SHELVES
from explorer.widgets import choices
from tests.widgets.page import report, rows


@pytest.mark.parametrize("field", list(ex.RunSpec.kinds))
def test_what_cannot_be_chosen_says_why(make, field):
    w = make()
    found = w.options(field)
    assert {option.value for option in found} >= set(SHELVES[ex.RunSpec.kinds[field]])
    refused = [option.why for option in found if option.why]
    assert all(why[0].isupper() and why.endswith(".") and "Error" not in why for why in refused)
    present = getattr(w.spec, field)
    assert next(option for option in found if option.value == (present.name if present else "")).why == ""


def test_the_options_reach_the_page(make):
    w = make()
    report(w, open="solver", kind="solver")
    assert w.wait(60)
    found = {option["value"]: option["why"] for option in w._controls.options["solver"]}
    assert found["cgls"] == ""
    assert "needs a prior" in found["pdhg"]
    report(w, id="seed", value="1")
    assert w._controls.options == {}  # judged anew for other choices


def test_a_disabled_choice_can_be_taken_with_the_changes_that_it_needs(make):
    w = make()
    report(w, id="solver", value="pdhg", fit=True)
    assert w.wait(60)
    assert w.spec.solver.name == "pdhg"
    assert w.spec.prior.name != "none"
    assert "Changed to fit: prior to " in w._message.value
    assert 'role="status"' in w._message.value


@pytest.mark.parametrize(
    ("operator", "quickest"), [("identity", "accelerated_pdhg"), ("gaussian_blur", "admm"), ("radon", "pdhg")]
)
def test_total_variation_comes_with_the_quickest_solver_for_the_operator(make, operator, quickest):
    w = make(problem={"name": "blocks_image", "params": {"size": 32}}, operator=operator)
    report(w, id="prior", value="tv", fit=True)
    assert w.wait(60)
    assert (w.spec.prior.name, w.spec.solver.name) == ("tv", quickest), w._message.value
    assert "Changed to fit: solver to " in w._message.value


def _shelves():
    """Yield the names of every kind, a dozen at a time: the search for what goes with a choice takes a while."""
    for kind in sorted(set(ex.RunSpec.kinds.values())):
        shelf = list(SHELVES[kind])
        for start in range(0, len(shelf), 12):
            yield pytest.param(kind, shelf[start : start + 12], id=f"{kind}-{shelf[start]}")


@pytest.mark.parametrize(("kind", "names"), [*_shelves()])
def test_every_choice_of_every_kind_can_be_selected(make, kind, names):
    """With the parts that it needs; those that need what no single other choice gives say so in one sentence."""
    field = next(f for f, k in ex.RunSpec.kinds.items() if k == kind)
    w = make()
    for name in names:
        report(w, id="seed", value="0")
        w.spec = w._first
        report(w, id=field, value=name, fit=True)
        assert w.wait(120), name
        if w.spec.__getattribute__(field).name != name:
            assert w._message.value.count('role="alert"') == 1, name
        assert "Traceback" not in w._message.value
        assert rows(w), name


def test_choices_are_judged_after_the_first_run_and_hold_no_lock(make, monkeypatch):
    judge, after = choices.options, []

    def judged(*given):
        with ThreadPoolExecutor(1) as other:  # the page, which must not wait
            assert other.submit(w._lock.acquire, timeout=60).result()
            after.append(w.result is not None)
            other.submit(w._lock.release).result()
        return judge(*given)

    monkeypatch.setattr(choices, "options", judged)
    w = make()
    report(w, opened=True, dark=False)
    assert w.wait(60)
    assert w._asking.wait(60)
    assert after == [True]
    assert "solver" in w._controls.options
    w.run().wait(60)
    assert w._asking.wait(60)
    assert len(after) == 1
