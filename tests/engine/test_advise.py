"""Advice can be followed and helps; estimates are near the truth; what cannot fit is refused before it is built."""

import itertools
import time

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import solvers
from explorer.engine import advise as room
from explorer.engine.build import build
from explorer.engine.presets import presets
from explorer.engine.quickest import quickest
from explorer.engine.run import prepare

GAUSSIAN = {"name": "gaussian", "params": {"level": 0.05}}


def small(**choices):
    return ex.RunSpec(
        **{
            "problem": {"name": "camera", "params": {"size": 32}},
            "noise": {"name": "gaussian", "params": {"level": 0.05}},
        }
        | choices
    )


@pytest.mark.parametrize("title", list(presets()))
def test_every_preset_gets_three_methods_that_can_run(title):
    """Three where the model is linear, at least one where few methods exist."""
    spec = presets()[title]
    offers = build(spec.replace(device="meta")).offers
    found = ex.advise(spec)
    count = len(found.suggestions)
    assert count == 3 if "A" in offers and "y" in offers else 1 <= count <= 3
    assert len({s.spec.solver.name for s in found.suggestions}) == count
    for suggestion in found.suggestions:
        assert (suggestion.spec.problem, suggestion.spec.noise) == (spec.problem, spec.noise)
        assert suggestion.why.endswith(".")
        prepare(suggestion.spec.replace(device="meta"))
    assert not found.estimate.refusal


@pytest.mark.parametrize("operator", ["gaussian_blur", "radon", "masked_fourier"])
def test_suggestions_beat_least_squares_run_to_its_end(operator):
    """At least one does; where least squares is harmless, no other loses more than a twentieth."""
    spec = small(operator=operator, stop={"name": "budget", "params": {"steps": 150}})
    naive = ex.run(spec.replace(draws=5)).metrics["relative_error"]
    found = [ex.run(s.spec.replace(draws=5)).metrics["relative_error"] for s in ex.advise(spec).suggestions]
    assert np.all(np.array(found) < 1.05 * naive)
    assert np.all(np.min(found, 0) < naive)


def test_reasons_follow_the_properties():
    counts = ex.advise(small(operator="radon", noise={"name": "poisson"}))
    assert counts.suggestions[0].spec.solver.name == "mlem"
    spikes = ex.RunSpec(
        problem="spikes", operator={"name": "gaussian_matrix", "params": {"rows": 100}}, noise="gaussian"
    )
    first = ex.advise(spikes).suggestions[0].spec
    assert (first.solver.name, first.prior.name) == ("fista", "l1")
    assert ex.run(first).metrics["relative_error"] < 0.5 * ex.run(spikes).metrics["relative_error"]
    split = ex.advise(small(prior={"name": "tv", "params": {"weight": 0.01}}, solver="fista"))
    assert split.suggestions[0].spec.solver.name == "admm"
    assert split.suggestions[0].spec.prior.params["weight"] == 0.01
    inverse = ex.RunSpec(problem="matrix_inverse", operator=None, noise="none", solver="newton_schulz")
    assert ex.advise(inverse).suggestions[0].spec.solver.name == "newton_schulz"


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("identity", "accelerated_pdhg"),
        ({"name": "random_mask", "params": {"observed": 0.5}}, "accelerated_pdhg"),
        ("gaussian_blur", "admm"),
        ("radon", "pdhg"),
    ],
)
def test_total_variation_is_suggested_with_the_quickest_method(operator, expected):
    """Chosen before, and as an idea; its reason is said."""
    chosen = ex.advise(small(operator=operator, prior="tv", solver="fista")).suggestions[0]
    assert chosen.spec.solver.name == expected
    assert ("quickest of ours" in chosen.why) == (expected != "pdhg")
    ideas = [s.spec for s in ex.advise(small(operator=operator)).suggestions if s.spec.prior.name == "tv"]
    assert [spec.solver.name for spec in ideas] == [expected]


@pytest.mark.parametrize(("operator", "weight", "level"), [("identity", 0.1, 0.1), ("gaussian_blur", 1e-3, 0.01)])
@torch.no_grad()
def test_the_quickest_method_gets_further_with_fewer_products(operator, weight, level):
    """With A, K and their adjoints: 100 steps against 550 of 'pdhg', of which five and a half are one of ADMM."""
    noise, prior = ({"name": "gaussian", "params": {"level": level}}, {"name": "tv", "params": {"weight": weight}})
    spec = small(operator=operator, noise=noise, prior=prior, solver="pdhg", dtype="float64")
    problem = build(spec)
    reached = {}
    for name, steps in ((quickest(problem.A)[0][0], 100), ("pdhg", 550)):
        x = next(itertools.islice(solvers[name].function(problem.A, problem.y, problem.prior), steps - 1, None)).x
        reached[name] = float(problem.A.codomain.norm2(problem.A(x) - problem.y) / 2 + problem.prior.value(x))
    quick, plain = reached.values()
    assert quick < (1 - 1e-4) * plain


def test_the_estimated_time_is_near_the_true_one():
    spec = small(problem={"name": "camera", "params": {"size": 256}}, stop={"name": "budget", "params": {"steps": 150}})
    ex.run(spec)
    taken = ex.estimate(spec)
    begun = time.perf_counter()
    run = ex.run(spec)
    whole = time.perf_counter() - begun
    assert taken.steps == len(run.history["error"]) == 150
    assert 0.2 * run.history["seconds"][-1] < taken.seconds < 5 * whole  # machines that check are busy


def test_the_estimate_tries_a_few_steps_only(monkeypatch):
    tried = []

    def watched(*parts):
        for snapshot in prepare(*parts):
            tried.append(snapshot.step)
            yield snapshot

    monkeypatch.setattr(room, "prepare", watched)
    spec = small(
        problem={"name": "camera", "params": {"size": 128}},
        prior={"name": "tv", "params": {"weight": 0.05}},
        solver="fista",
        stop={"name": "budget", "params": {"steps": 100000}},
    )
    taken = ex.estimate(spec)
    assert 0 < len(tried) <= room.TRIED
    assert taken.seconds > 60
    assert "make it shorter" in taken.sentence


def test_memory_counts_snapshots_and_draws():
    assert ex.estimate(small(draws=8)).memory > 6 * ex.estimate(small()).memory
    more = ex.estimate(small(record={"snapshots": 200})).memory - ex.estimate(small(record={"snapshots": 100})).memory
    assert more == 100 * 32 * 32 * 4


def test_what_cannot_fit_is_refused_before_it_is_built(monkeypatch):
    monkeypatch.setattr(room, "available", lambda _: 2**20)
    built = []
    original = room.build
    monkeypatch.setattr(room, "build", lambda spec: built.append(spec.device) or original(spec))
    spec = small(problem={"name": "camera", "params": {"size": 512}})
    found = ex.advise(spec)
    assert built == ["meta"]
    assert found.suggestions == ()
    assert found.estimate.sentence.startswith("It cannot fit: about ")
    assert "1 MiB are free; choose a smaller size" in found.estimate.sentence


def test_a_run_that_cannot_fit_does_not_begin(monkeypatch):
    spec = small(problem={"name": "camera", "params": {"size": 512}})
    assert ex.start(spec.replace(stop={"name": "budget", "params": {"steps": 1}})).result(60).x is not None
    monkeypatch.setattr(room, "available", lambda _: 2**20)
    with pytest.raises(ex.SpecError, match=r"It cannot fit: about [\d.]+ MiB are needed and 1 MiB are free"):
        ex.start(spec).result(60)


def test_the_memory_that_is_free_is_known_here():
    assert 2**20 < room.available("cpu") < 2**50


@pytest.mark.parametrize(("size", "says"), [(100, "100 bytes"), (2**20, "1 MiB"), (3 * 2**39, "1.5e+03 GiB|1.5 TiB")])
def test_sizes_in_words(size, says):
    assert room._bytes(size) in says.split("|")


def test_what_cannot_be_built_is_one_sentence():
    with pytest.raises(ex.SpecError):
        ex.advise(small(operator="shaw"))


def test_advice_reads_well():
    text = repr(ex.advise(small()))
    assert "1,024 unknowns and 1,024 data" in text
    assert "1. " in text
    assert np.all([len(line) < 300 for line in text.splitlines()])
