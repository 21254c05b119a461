"""Drawings of experiments tell the truth about the operator: a datum's ray, frequency or pixel is its row of A."""

import math

import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError
from explorer.engine.build import build
from explorer.figures.experiments import drawn_experiment, experiment
from explorer.operators.drawing import drawings, spread

PHANTOM = {"name": "shepp_logan", "params": {"size": 32}}


def problem(name, truth=PHANTOM, **params):
    return build(ex.RunSpec(problem=truth, operator={"name": name, "params": params}, dtype="float64"))


def grid(size):
    return torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")


def row_of(A, datum):
    unit = A.codomain.zeros()
    unit.view(-1)[datum] = 1
    return A.adjoint(unit)


def chosen(drawing):
    return next(s for s in drawing.strokes if s.kind == "chosen")


def away(points, places):
    """Return the distance of pixels from the line through two points."""
    start, way = points[0], points[1] - points[0]
    normal = torch.stack((-way[1], way[0])) / torch.linalg.vector_norm(way)
    return ((places - start) @ normal).abs()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("radon", {"angles": 7, "arc": 170.0}),
        ("radon", {"angles": 7, "centre": 2.5, "spacing": 1.5}),
        ("fan_beam", {"angles": 7}),
        ("fan_beam", {"angles": 7, "centre": -3.0, "detector": 20.0}),
        ("travel_time", {"sources": 5, "receivers": 14}),
    ],
)
def test_a_ray_is_drawn_where_its_weights_are(name, params):
    A = problem(name, **params).A
    for datum in range(1, A.codomain.size, 37):
        used = row_of(A, datum).nonzero()
        (drawing,) = drawings(A, datum)
        ray = chosen(drawing)
        assert ray.datum == datum
        if len(used):
            assert float(away(ray.points, used.double()).max()) < 1.0 + 1e-9
        others = [s for s in drawing.strokes if s.kind == "ray"]
        assert {s.datum // A.codomain.shape[1] for s in others} == {datum // A.codomain.shape[1]}


@pytest.mark.parametrize("size", [32, 31])
def test_a_frequency_is_drawn_where_its_wave_says(size):
    A = problem("masked_fourier", {"name": "shepp_logan", "params": {"size": size}}).A
    for datum in range(0, A.codomain.size, 41):
        (drawing,) = drawings(A, datum)
        row, column = (chosen(drawing).points[0] - size // 2).tolist()
        i, j = grid(size)
        wave = torch.cos(2 * math.pi * (row * i + column * j) / size) / size
        torch.testing.assert_close(row_of(A, datum), wave, atol=1e-12, rtol=0)
        assert drawing.index[tuple(chosen(drawing).points[0].long())] == datum
        assert drawing.image.sum() == A.codomain.size


def test_radial_lines_are_drawn_where_their_waves_say():
    pytest.importorskip("finufft")
    found = problem("radial_mri", coils=2, spokes=5)
    A = found.A
    datum = 2 * 64 + 40  # of the first coil
    first, coil = drawings(A, datum)
    row, column = (chosen(first).points[0] - 16).tolist()
    i, j = grid(32)
    wave = torch.polar(torch.ones_like(i), -2 * math.pi * (row * (i - 16) + column * (j - 16)) / 32) / 32
    expected = (A.coils.maps[0].conj() * wave.conj()).real
    torch.testing.assert_close(row_of(A, datum), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(coil.image, A.coils.maps[0].abs())
    assert sum(s.kind == "spoke" for s in first.strokes) == 5
    scene = experiment(found, (0, 2, 40)).scenes[0]
    assert scene.nearest(*chosen(first).points[0].tolist()) == datum


def test_antennas_make_the_frequencies_that_are_drawn():
    found = problem("radio_interferometer", number=5, snapshots=3)
    seen, ground = drawings(found.A, 0)
    assert len(ground.strokes[0].points) == 5
    assert seen.image.sum() == found.A.codomain.size <= 2 * 10 * 3
    assert seen.image[16, 16] == 0  # the mean is not seen


@pytest.mark.parametrize("pattern", ["entries", "rows"])
def test_missing_data_keep_the_geometry_of_the_whole(pattern):
    A = problem("missing_data", operator={"name": "radon", "params": {"angles": 6}}, pattern=pattern).A
    rays, kept = drawings(A, 11)
    assert chosen(rays).datum == int(A.left.kept[11])
    assert kept.image.shape == A.right.codomain.shape
    assert int(kept.image.sum()) == A.codomain.size


@pytest.mark.parametrize("name", [*ex.catalogue.operators])
def test_every_experiment_is_told_in_words_and_its_nearest_datum_is_the_one_marked(name):
    told = 0
    for truth in (PHANTOM, {"name": "blocks", "params": {"size": 16}}):
        try:
            found = build(ex.RunSpec(problem=truth, operator=name))
        except SpecError:
            continue
        if isinstance(found.codomain, ex.linalg.ProductSpace) or "exponential" in name:
            continue  # blocks have no single datum; the Jacobian is seen below
        made = experiment(found)
        told += 1
        assert f"{found.domain.size:,} {'complex ' * found.domain.is_complex}numbers" in made.notes[0].text
        assert f"{found.codomain.size:,}" in made.notes[0].text
        assert made.shape == found.codomain.shape
        assert len(made.axes) == found.codomain.ndim
        assert made.sensitivity.array is not None
        for scene in made.scenes[:1]:
            marked = [s for s in scene.strokes if s.kind == "chosen"]
            if marked and (scene.index is not None or len(scene.strokes) > 4):
                place = marked[0].points.mean(0)
                assert scene.nearest(*place.tolist()) == marked[0].datum or name == "radial_mri"  # all lines cross
    assert told or name in WITHOUT, name


#: operators that no phantom and no signal goes into, or whose data are blocks, or that are seen below
WITHOUT = {"gain_calibration", "exponential", "dense_matrix", "near_field_radar", "spectral_mixing", "parallax"}


def test_a_kernel_is_cut_out_and_a_sensitivity_is_a_row():
    found = problem("motion_blur", length=5.0, angle=90.0)
    made = experiment(found, (3, 30))
    (kernel,) = made.scenes
    assert kernel.panel.array.shape == (9, 9)
    assert kernel.panel.array.argmax() // 9 in range(2, 7)
    assert kernel.panel.array.sum() == pytest.approx(1.0)
    torch.testing.assert_close(torch.as_tensor(made.sensitivity.array.copy()), row_of(found.A, 3 * 32 + 30))
    assert "5 of 1,024 unknowns" in made.notes[-1].text


def test_a_nonlinear_model_is_seen_through_its_jacobian_and_what_has_no_experiment_says_so():
    made = experiment(problem("exponential", {"name": "blocks", "params": {"size": 16}}))
    assert made.notes[0].title == "y = F(x) + n"
    assert "Jacobian" in made.sensitivity.title
    with pytest.raises(SpecError, match="no datum"):
        experiment(problem("radon", angles=4), (4, 0))
    with pytest.raises(SpecError, match="no forward model"):
        experiment(build(ex.RunSpec(problem="matrix_inverse", operator=None, solver="newton_schulz")))


def test_the_experiment_is_drawn_on_paper_too():
    figure = drawn_experiment(problem("fan_beam", angles=6), (2, 20))
    assert figure.axes[0].get_title() == "Rays and detector"
    assert len(figure.axes[0].lines) > 10
    assert figure.png().startswith(b"\x89PNG")
    assert ex.figures.experiment is experiment


def test_spread_takes_the_ends():
    assert spread(3, 10) == [0, 1, 2]
    assert spread(101, 5) == [0, 25, 50, 75, 100]
