"""The phantom of parts: what a list of parts says, what it draws, and what it refuses."""

import math

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.problems.drawn import KINDS, MAX_PARTS, Shape, image, listed, parse

EPS = torch.finfo(torch.float64).eps


def moments(x):
    """Return the integral of an image over [−1, 1]², its centre, and its matrix of second moments."""
    n = len(x)
    t = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
    mass = x.sum() * (2 / n) ** 2
    at = torch.stack(torch.meshgrid(t, -t, indexing="xy"))
    centre = (at * x).sum((1, 2)) / x.sum()
    off = at - centre[:, None, None]
    return float(mass), centre, torch.einsum("irc,jrc,rc->ij", off, off, x) / x.sum()


@pytest.mark.parametrize(
    ("kind", "area", "spread"),
    [("ellipse", math.pi, 1 / 4), ("rectangle", 4.0, 1 / 3), ("blob", 2 * math.pi, 1.0)],
)
@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0])
def test_a_part_has_the_mass_the_centre_and_the_moments_of_its_formula(kind, area, spread, angle):
    a, b = (0.12, 0.07) if kind == "blob" else (0.4, 0.2)
    x = image([Shape(kind, 0.15, -0.2, a, b, angle, 0.7)], 128)
    mass, centre, second = moments(x)
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    wanted = axes @ np.diag([spread * a**2, spread * b**2]) @ axes.T
    assert mass == pytest.approx(0.7 * area * a * b, rel=5e-3)
    assert centre.tolist() == pytest.approx([0.15, -0.2], abs=1e-3)
    assert np.abs(second.numpy() - wanted).max() < 1e-2 * spread * a**2


def test_parts_add_up_and_stay_where_they_are_on_a_finer_grid():
    parts = parse(ex.catalogue.problems["drawn_phantom"].knobs["parts"].default)
    whole, sum_of_them = image(parts, 64), sum(image([p], 64) for p in parts)
    assert (whole - sum_of_them).abs().max() <= 8 * EPS
    finer = image(parts, 128).reshape(64, 2, 64, 2).mean((1, 3))
    assert (finer - whole).abs().mean() < 2e-3
    assert 0 <= whole.min() < whole.max() <= 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_less_than_a_pixel_is_a_move_as_well(kind):
    part = Shape(kind, 0.0, 0.0, 0.3, 0.2, 10.0, 1.0)
    pixel = 2 / 64
    before, after = (moments(image([p], 64))[1] for p in (part, part.changed(right=0.5 * pixel, up=-0.5 * pixel)))
    assert (after - before).tolist() == pytest.approx([0.5 * pixel, -0.5 * pixel], abs=0.1 * pixel)


def test_a_list_is_read_as_it_is_written():
    text = "ellipse 0 0.5 0.2 0.1 30 1; rectangle -0.3 -0.25 0.1 0.4 -15 -0.5; blob 0 0 0.05 0.05 0 2"
    assert listed(parse(text)) == text
    assert parse(" ellipse  0 .5 2e-1 0.1 30 1 ;\n") == parse(text)[:1]
    assert parse("blob −0.5 0 1 1 0 1")[0].x == -0.5


def test_a_part_that_is_changed_stays_within_what_is_allowed():
    part = Shape("ellipse", 0.9, -0.9, 0.02, 0.8, 170.0, 1.0)
    for change in ({"right": 5.0, "up": -5.0}, {"scale": 0.01}, {"scale": 100.0}, {"turn": 20.0}, {"turn": -2000.0}):
        assert parse(str(part.changed(**change)))
    assert part.changed(turn=20.0).angle == -170.0
    assert part.changed(right=5.0).x == 1.0


ONE = "ellipse 0 0 0.5 0.5 0 1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a list of 0 parts, and must have from 1 to 16"),
        (";".join([ONE] * (MAX_PARTS + 1)), "a list of 17 parts"),
        ("circle 0 0 1 1 0 1", "wrong in part 1, 'circle 0 0 1 1 0 1', which must be ellipse, rectangle or blob and"),
        (f"{ONE}; blob 0 0 1 1 0", "wrong in part 2"),
        (f"{ONE} 1", "wrong in part 1"),
        ("blob nan 0 1 1 0 1", "wrong in part 1"),
        ("blob 0 0 inf 1 0 1", "wrong in part 1"),
        ("blob 1_0 0 1 1 0 1", "wrong in part 1"),
        ("blob 0x1 0 1 1 0 1", "wrong in part 1"),
        ("blob \u0660 0 1 1 0 1", "wrong in part 1"),
        ("blob 0 0 1 1 0 1e999", "its intensity is inf, and must be -10 to 10"),
        ("blob 0 0 0 1 0 1", "its half width is 0, and must be 0.01 to 1"),
        ("blob 2 0 1 1 0 1", "its x is 2, and must be -1 to 1"),
        ("__import__('os').abort()", "wrong in part 1"),
        ("9" * 1000, "wrong in part 1"),
    ],
)
def test_what_is_no_list_is_refused_in_one_sentence(text, says):
    spec = ex.RunSpec(problem={"name": "drawn_phantom", "params": {"size": 16, "parts": text}}, operator="identity")
    with pytest.raises(ex.SpecError) as refused:
        build(spec)
    assert refused.value.field == "problem.params.parts"
    assert says in refused.value.message
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 220


def test_more_than_a_text_may_hold_is_refused_before_it_is_read():
    with pytest.raises(ex.SpecError, match="at most 1000 characters"):
        ex.RunSpec(problem={"name": "drawn_phantom", "params": {"parts": ONE + " " * 1000}})


def test_the_longest_list_of_changed_parts_fits_into_its_knob():
    part = Shape("rectangle", -0.123, -0.123, 0.123, 0.123, -123.456, -0.123).changed()
    assert len(listed([part] * MAX_PARTS)) <= 1000
