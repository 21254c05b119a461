"""Each diagnosis is made of a run that has it, and not of one that has not."""

import pytest

import explorer as ex
from explorer.figures.diagnoses import diagnoses
from explorer.figures.words import explain
from explorer.widgets.panels import UNBROKEN, notes_html, set_well
from explorer.widgets.screen import TABS

SIGNAL = {"problem": {"name": "blocks", "params": {"size": 64}}, "dtype": "float64"}
GAUSSIAN = {"name": "gaussian", "params": {"level": 0.02}}


def blur(sigma):
    return {"name": "gaussian_blur", "params": {"sigma": sigma}}


def steps(count):
    return {"name": "budget", "params": {"steps": count}}


def titles(run):
    return [note.title for note in diagnoses(run)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("field", ["rule", "stop"])
def test_the_discrepancy_principle_is_never_reached_with_a_wrong_model(seed, field):
    """The axis of rotation is not where the model has it, so no image explains the data to the level of the noise."""
    chosen = {"rule": "discrepancy"} if field == "rule" else {"stop": {"name": "or", "params": {
        "first": steps(60), "second": {"name": "discrepancy", "params": {}}}}}  # fmt: skip
    if field == "rule":
        chosen["stop"] = steps(60)
    radon = {"name": "radon", "params": {"angles": 60}}
    image = {"name": "shepp_logan", "params": {"size": 32}}
    spec = ex.RunSpec(problem=image, **chosen, operator=radon, noise=GAUSSIAN, solver="cgls", seed=seed)
    title = "The discrepancy principle was never reached"
    assert title not in titles(ex.run(spec))
    wrong = ex.run(spec.replace(simulator={"name": "radon", "params": {"angles": 60, "centre": 2.0}}))
    assert title in titles(wrong)
    note = next(n for n in explain(wrong) if n.title == title)
    assert "or the model is not the one that made the data" in note.text
    assert "penalty" not in note.text
    heavy = ex.run(spec.replace(prior={"name": "tv", "params": {"weight": 100.0}}, solver="pdhg", stop=steps(300)))
    if field == "rule":
        assert "the penalty weighs too much" in next(n for n in explain(heavy) if n.title == title).text
    few = ex.run(spec.replace(solver="landweber", noise={"name": "gaussian", "params": {"level": 1e-4}}))
    assert "it still falls: give it more steps" in next(n for n in diagnoses(few) if n.title == title).text


def test_a_step_above_two_over_l_is_recognised(monkeypatch):
    """No knob allows such a step, but an operator whose norm is under-stated does."""
    spec = ex.RunSpec(**SIGNAL, operator=blur(1.0), noise=GAUSSIAN, solver="landweber", stop=steps(40))
    good = ex.run(spec)
    assert "Step size above 2 / L" not in titles(good)
    kind = type(good.problem.A)
    true = kind.norm
    monkeypatch.setattr(kind, "norm", lambda self: 0.6 * true(self))
    run = ex.run(spec)
    assert run.history["residual"][-1] > 10 * run.history["residual"][0]
    note = next(n for n in explain(run) if n.title == "Step size above 2 / L")
    assert "lower the step size" in note.text


@pytest.mark.parametrize("seed", range(5))
def test_a_method_may_overshoot_at_first_without_diverging(seed):
    spec = ex.RunSpec(
        **SIGNAL, operator=blur(1.0), noise=GAUSSIAN, stop=steps(40), seed=seed,
        solver={"name": "heavy_ball", "params": {"step_size": 1.95}},
    )  # fmt: skip
    assert "Step size above 2 / L" not in titles(ex.run(spec))


@pytest.mark.parametrize("seed", range(5))
def test_stairs_are_told_from_what_is_flat_in_truth(seed):
    tv = {"name": "tv", "params": {"weight": 1.0}}
    common = {"operator": blur(1.5), "noise": GAUSSIAN, "prior": tv, "solver": "pdhg", "stop": steps(800), "seed": seed}
    smooth = {"name": "gravity", "params": {"size": 64}}
    run = ex.run(ex.RunSpec(problem=smooth, dtype="float64", **common))
    assert "TV staircasing likely" in titles(run)
    assert "TV staircasing likely" not in titles(ex.run(ex.RunSpec(**SIGNAL, **common)))
    assert "TV staircasing likely" not in titles(ex.run(run.spec.replace(prior="tikhonov", solver="fista")))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("solver", ["cgls", "lsqr"])
def test_copies_of_ritz_values_show_that_orthogonality_is_lost(solver, seed):
    spec = ex.RunSpec(**SIGNAL, operator=blur(2.0), noise=GAUSSIAN, solver=solver, seed=seed)
    assert "Orthogonality is lost" in titles(ex.run(spec.replace(stop=steps(200))))
    assert "Orthogonality is lost" not in titles(ex.run(spec.replace(stop=steps(10))))


@pytest.mark.parametrize("seed", range(5))
def test_the_picard_condition_fails_where_the_noise_begins(seed):
    spec = ex.RunSpec(problem="shaw", operator="shaw", noise=GAUSSIAN, dtype="float64", solver="tsvd", seed=seed)
    index = [int(t.split()[-1]) for t in titles(ex.run(spec)) if t.startswith("The Picard condition fails")]
    less = spec.replace(noise={"name": "gaussian", "params": {"level": 1e-6}})
    later = [int(t.split()[-1]) for t in titles(ex.run(less)) if t.startswith("The Picard condition fails")]
    assert 2 <= index[0] < later[0] <= 20
    well = ex.RunSpec(**SIGNAL, operator="identity", noise={"name": "gaussian", "params": {"level": 1e-4}}, seed=seed)
    blocks = well.replace(problem={"name": "camera", "params": {"size": 32}}, solver="cgls", stop=steps(5))
    assert not any(t.startswith("The Picard condition fails") for t in titles(ex.run(blocks)))
    drowned = ex.run(blocks.replace(noise={"name": "gaussian", "params": {"level": 3.0}}))
    assert not any(t.startswith("The Picard condition fails") for t in titles(drowned))  # σ = 1 amplifies nothing
    assert "nothing amplifies it" in ex.analyse(drowned, "picard").sentence


def test_the_inverse_crime_is_named_unless_the_data_come_from_elsewhere():
    spec = ex.RunSpec(**SIGNAL, operator=blur(2.0), noise=GAUSSIAN, solver="cgls", stop=steps(5))
    assert "Inverse crime" in titles(ex.run(spec))
    assert "Inverse crime" not in titles(ex.run(spec.replace(finer=2)))
    assert "Inverse crime" not in titles(ex.run(spec.replace(simulator=blur(2.1))))


def test_what_to_beware_of_comes_first_and_says_where_it_is_seen():
    spec = ex.RunSpec(
        **SIGNAL, operator=blur(3.0), simulator=blur(1.0), noise=GAUSSIAN, solver="cgls", rule="discrepancy"
    )
    notes = explain(ex.run(spec))
    kinds = [note.kind for note in notes]
    assert "warn" not in kinds[kinds.index("plain") :]
    assert all(note.tab in ("", *TABS) for note in notes)
    page = notes_html(notes, most=2)
    assert page.index("<details") > page.index(notes[1].title)
    assert f"{len(notes) - 2} more" in page
    assert "<details" not in notes_html(notes[:2], most=2)
    assert 'data-ex-tab="Convergence"' in page
    assert 'data-ex-tab="Convergence"' not in notes_html(notes, here="Convergence")


def test_sentences_are_set_as_print_sets_them():
    said = set_well("from -0.5 to 3e-07 of ‖Ax − y‖: a re-run of 1e+10, not α-4").replace(UNBROKEN, "_")
    assert said == "from −0.5 to 3_×_10⁻⁷ of ‖Ax_−_y‖: a re-run of 1_×_10¹⁰, not α-4"
