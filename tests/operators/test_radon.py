"""The Radon transform against an analytic projection and another program; its two ways of application."""

import math
import threading

import pytest
import torch
from skimage.transform import radon as reference

import explorer as ex
from explorer.linalg import Space
from explorer.operators.radon import MEMORY_LIMIT, Radon, Rays
from tests.support import assert_close, every_dtype, normal

DEGREES = torch.arange(0, 180, 12, dtype=torch.float64)


def grid(n):
    t = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    return t, -t[:, None]


def test_a_disc_has_the_chords_of_a_circle_at_every_angle():
    n, radius, (cx, cy) = 128, 40.0, (9.0, -14.0)
    x, y = grid(n)
    # smoothed over a pixel at its edge
    disc = (radius + 0.5 - torch.hypot(x - cx, y - cy)).clamp(0, 1)
    A = ex.operators.radon(Space((n, n), torch.float64), angles=15)
    theta = torch.deg2rad(DEGREES)[:, None]
    s = torch.arange(A.codomain.shape[1]) - (A.codomain.shape[1] - 1) / 2
    offset = s - (cx * theta.cos() + cy * theta.sin())
    chord = 2 * (radius**2 - offset**2).clamp(min=0).sqrt()
    assert torch.linalg.vector_norm(A(disc) - chord) < 0.01 * torch.linalg.vector_norm(chord)
    # away from the rim, where a chord changes by less than a pixel a bin
    inside = offset.abs() < 0.9 * radius
    assert (A(disc) - chord)[inside].abs().max() < 0.75


def test_a_smooth_phantom_agrees_with_scikit_image_in_size_and_orientation():
    n = 65
    x, y = (t / 32 for t in grid(n))
    bump = lambda a, b, width: torch.exp(-((x - a) ** 2 + (y - b) ** 2) / width)  # noqa: E731
    image = bump(0.3, 0.1, 0.05) + 0.5 * bump(-0.2, -0.4, 0.02)
    theirs = torch.from_numpy(reference(image.numpy(), theta=DEGREES.numpy(), circle=False)).T
    # their detector has 92 bins, the origin at the 47th
    ours = Radon(Space((n, n), torch.float64), DEGREES, 93)(image)[:, :92]
    assert torch.linalg.vector_norm(ours - theirs) < 2e-3 * torch.linalg.vector_norm(theirs)


@every_dtype
@pytest.mark.parametrize("size", [9, 16])
def test_the_matrix_and_the_rays_are_the_same_operator(dtype, size):
    domain = Space((size, size), dtype)
    A = Radon(domain, DEGREES, size + 4)
    B = Radon(domain, DEGREES, size + 4, matrix_free=True)
    assert (A.matrix_free, B.matrix_free) == (False, True)
    x, y = normal((2, size, size), 0, dtype), normal((2, 15, size + 4), 1, dtype)
    assert_close(B(x), A(x), 32)
    assert_close(B.adjoint(y), A.adjoint(y), 32)
    assert_close(B(x[0]), A(x[0]), 32)
    assert_close(B.gram_diagonal(), A.gram_diagonal(), 32)
    gap = B.codomain.inner(B(x), y) - B.domain.inner(x, B.adjoint(y))
    assert (gap.abs() <= 32 * domain.eps * B.codomain.norm(B(x)) * B.codomain.norm(y)).all()


def test_rays_along_rows_and_columns_are_plain_sums():
    A = Radon(Space((5, 5), torch.float64), torch.tensor([0.0, 90.0]), 5)
    x = normal((5, 5))
    # at 90° the detector points upwards
    assert_close(A(x), torch.stack((x.sum(0), x.sum(1).flip(0))), 32)


def test_the_mass_is_the_same_at_every_angle():
    A = ex.operators.radon(Space((64, 64), torch.float64), angles=90)
    x, y = grid(64)
    blob = torch.exp(-((x - 5) ** 2 + (y + 3) ** 2) / 60)
    assert (A(blob).sum(1) / blob.sum() - 1).abs().max() < 1e-4


def test_the_arc_is_divided_evenly_and_its_end_left_out():
    A = ex.operators.radon(Space((8, 8)), angles=6, arc=60.0)
    assert A.rays.angles.tolist() == [0, 10, 20, 30, 40, 50]
    assert A.codomain.shape == (6, 8 + 4)


def plain(A):
    """Return the matrix of all angles, each on its own."""
    return torch.from_numpy(A.rays.matrix().toarray())


@pytest.mark.parametrize("source", [None, 20.0])
@pytest.mark.parametrize("centre", [0.0, 1.3])
@pytest.mark.parametrize("arc", [90.0, 180.0, 270.0, 360.0, -60.0])
@pytest.mark.parametrize("count", [1, 5, 8, 24])
def test_related_angles_are_the_same_operator(source, centre, arc, count):
    n = 7 if count == 8 else 10
    angles = (arc < 0) * arc / 2 + torch.arange(count, dtype=torch.float64) * (abs(arc) / count)
    A = Radon(Space((n, n), torch.float64), angles, 13, source=source, centre=centre)
    assert_close(A.to_dense(), plain(A), 64)
    assert_close(A.H.to_dense(), plain(A).T, 64)
    assert_close(A.gram_diagonal().reshape(-1), (plain(A) ** 2).sum(0), 64)


@pytest.mark.parametrize(
    ("name", "knobs", "turns", "kept"),
    [
        ("radon", {"angles": 180}, 4, 46),
        ("radon", {"angles": 45}, 2, 23),
        ("radon", {"angles": 180, "centre": 2.0}, 1, 180),
        ("radon", {"angles": 180, "centre": 2.0, "arc": 360.0}, 4, 45),
        ("radon", {"angles": 50, "arc": 70.0, "start": 3.0}, 1, 50),
        ("fan_beam", {"angles": 120}, 8, 16),
        ("fan_beam", {"angles": 90}, 4, 23),
        ("fan_beam", {"angles": 120, "centre": 2.0}, 4, 30),
    ],
)
def test_angles_are_kept_once_where_nearly_all_their_relatives_are_asked_for(name, knobs, turns, kept):
    A = getattr(ex.operators, name)(Space((16, 16)), **knobs)
    assert (len(A.symmetry.turns), len(A.symmetry.kept.angles)) == (turns, kept)


def test_an_angle_that_comes_twice_is_measured_twice():
    A = Radon(Space((6, 6), torch.float64), torch.tensor([0.0, 90, 180, 270, 0, 90, 180, 270]).double(), 9)
    assert len(A.symmetry.kept.angles) == 1
    assert_close(A.H.to_dense(), plain(A).T, 64)
    assert_close(A.gram_diagonal().reshape(-1), (plain(A) ** 2).sum(0), 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_above_the_memory_limit_no_matrix_is_made(dtype):
    bytes_each = 8 * 256**2 / 2 * (dtype.itemsize + 4)
    most = math.floor(MEMORY_LIMIT / bytes_each)
    domain = Space((256, 256), dtype, torch.device("meta"))
    assert not ex.operators.radon(domain, angles=most).matrix_free
    assert ex.operators.radon(domain, angles=most + 1).matrix_free


def test_the_matrix_is_made_once_at_first_use_and_never_on_meta(monkeypatch):
    made, before = [], Rays.matrix
    monkeypatch.setattr(Rays, "matrix", lambda self: made.append(1) or before(self))
    A = ex.operators.radon(Space((16, 16)))
    meta = A.to("meta")
    meta.adjoint(meta(torch.zeros(16, 16, device="meta")))
    assert not made
    threads = [threading.Thread(target=A, args=(torch.ones(16, 16),)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    A.adjoint(A(torch.ones(16, 16)))
    assert len(made) == 1
    double = A.to(dtype=torch.float64)
    double(torch.ones(16, 16, dtype=torch.float64))
    A.to(dtype=torch.float64)(torch.ones(16, 16, dtype=torch.float64))
    assert len(made) == 2


def test_an_image_that_is_not_square_is_refused():
    component = ex.catalogue.operators["radon"]
    with pytest.raises(ex.SpecError, match="needs a square image"):
        component.build(domain=Space((8, 9)))


@pytest.mark.gpu
def test_the_same_on_a_gpu():
    A = ex.operators.radon(Space((32, 32)), angles=20)
    x = normal((3, 32, 32), dtype=torch.float32)
    y = A(x)
    moved = A.to("cuda:0")
    assert_close(moved(x.cuda()).cpu(), y, 32)
    assert_close(moved.adjoint(y.cuda()).cpu(), A.adjoint(y), 32)
