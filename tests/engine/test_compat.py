"""Which choices go together: sentences, fixes, and agreement with what a run says."""

import time

import pytest
import torch

import explorer as ex
from explorer.catalogue import SHELVES, SpecError
from explorer.engine.compat import compatible
from explorer.engine.run import prepare
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import ledger

IMAGE = RunSpec(problem={"name": "shepp_logan", "params": {"size": 16}})
SPECS = {
    "blur": IMAGE,
    "draws": IMAGE.replace(draws=3, solver=Choice("cgls", damping=[0.0, 1.0])),
    "a prior": IMAGE.replace(prior="tv", solver="pdhg"),
    "a preconditioner": IMAGE.replace(precond="fourier", solver="preconditioned_cg"),
    "a rule": IMAGE.replace(rule="gcv"),
    "a stop rule": IMAGE.replace(stop=Choice("discrepancy") | Choice("budget", steps=9)),
    "a signal": IMAGE.replace(problem={"name": "blocks", "params": {"size": 16}}, operator="deriv2"),
    "complex": IMAGE.replace(dtype="complex64", operator="identity"),
    "no operator": RunSpec(problem={"name": "matrix_inverse", "params": {"size": 8}}, operator=None),
    "blocks": RunSpec(problem="gains_and_signal", operator="gain_calibration", solver="alternating_least_squares"),
}


def refusal(spec):
    try:
        prepare(spec)
    except SpecError as error:
        return error
    return None


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_what_is_said_of_a_solver_is_what_a_run_on_meta_says(spec):
    shadow = spec.replace(device="meta", draws=None)
    for name, why in compatible(spec).items():
        candidate = shadow if name == spec.solver.name else shadow.replace(solver=name)
        error = refusal(candidate)
        assert (why is None) == (error is None), (name, why, error)
        if why is not None:
            assert why.startswith(error.message)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("field", ["rule", "stop", "prior", "precond"])
def test_what_is_said_of_a_part_is_what_a_run_on_meta_says(spec, field):
    shadow = spec.replace(device="meta", draws=None)
    if refusal(shadow.replace(**{field: "fixed" if field == "rule" else "budget" if field == "stop" else "none"})):
        pytest.skip("the other parts do not go together")
    for name, why in compatible(spec, field).items():
        error = refusal(shadow.replace(**{field: name}))
        assert (why is None) == (error is None), (name, why, error)


@pytest.mark.parametrize("field", RunSpec.kinds)
@pytest.mark.parametrize("spec", [SPECS["draws"], SPECS["a signal"]], ids=["an image", "a signal"])
def test_every_answer_is_none_or_one_sentence(spec, field):
    answers = compatible(spec, field)
    assert list(answers) == list(SHELVES[RunSpec.kinds[field]])
    for why in answers.values():
        assert why is None or ("\n" not in why and 10 < len(why) < 300 and "<" not in why.replace("‖", ""))


def test_the_sentence_names_the_fix():
    answers = compatible(IMAGE)
    assert "switch the preconditioner to 'fourier'" in answers["preconditioned_cg"]
    assert "switch it to 'none'" in compatible(IMAGE.replace(prior="tv"))["cgls"]
    assert "set the rule to 'fixed'" in compatible(IMAGE.replace(rule="gcv", prior="tikhonov"))["unadjusted_langevin"]
    assert "needs a bilinear forward model, and Gaussian blur is not" in answers["alternating_least_squares"]


def test_fixes_fix():
    for field, kind in (("prior", "prior"), ("precond", "preconditioner")):
        for name, why in compatible(IMAGE).items():
            marker = f"switch the {kind} to '"
            if why and marker in why:
                fixed = IMAGE.replace(**{field: why.split(marker)[1].rstrip("'")})
                assert compatible(fixed)[name] is None


def test_an_unused_part_is_refused_by_a_run_too():
    with pytest.raises(SpecError, match="CGLS does not use a prior: switch it to 'none'"):
        ex.run(IMAGE.replace(prior="tv"))
    with pytest.raises(SpecError, match="does not use a preconditioner"):
        ex.run(IMAGE.replace(precond="fourier"))
    with pytest.raises(SpecError, match="does not use an operator: switch it to None"):
        ex.run(SPECS["no operator"].replace(operator="identity", solver="newton_schulz"))


def test_a_rule_that_has_nothing_to_choose_is_refused():
    with pytest.raises(SpecError, match="set it below 1"):
        ex.run(IMAGE.replace(solver="landweber", rule="evidence"))
    with pytest.raises(SpecError, match="chooses the regularization: give one value"):
        ex.run(IMAGE.replace(solver=Choice("tikhonov", regularization=[0.1, 1.0]), rule="gcv"))


def test_a_problem_that_cannot_be_built_makes_every_solver_say_why():
    answers = compatible(IMAGE.replace(operator="deriv2"))
    assert set(answers) == set(ex.catalogue.solvers)
    assert all("one-dimensional signal" in why for why in answers.values())


def test_an_unknown_field_is_refused():
    with pytest.raises(SpecError, match="there is no choice of 'colour'"):
        compatible(IMAGE, "colour")


@pytest.mark.parametrize("field", RunSpec.kinds)
def test_nothing_is_computed(field, monkeypatch):
    compatible(IMAGE, field)  # the truths are made once

    def refuse(*_, **__):
        raise AssertionError("something was computed")

    monkeypatch.setattr(ledger.Ledger, "add", refuse)
    for name in ("randn", "rand", "poisson"):
        monkeypatch.setattr(torch, name, refuse)
    for name in ("svd", "eigh", "qr"):
        monkeypatch.setattr(torch.linalg, name, refuse)
    compatible(IMAGE.replace(draws=5), field)


@pytest.mark.parametrize("field", ["solver", "rule", "stop", "prior", "precond"])
def test_an_answer_takes_less_than_fifty_milliseconds(field):
    spec = IMAGE.replace(solver="pdhg", prior="tv")
    compatible(spec, field)
    seconds = []
    for _ in range(7):
        begun = time.thread_time()
        compatible(spec, field)
        seconds.append(time.thread_time() - begun)
    assert min(seconds) < 0.05
