"""The reference is written from the catalogue: every component, with what a reader asks for."""

import runpy
from pathlib import Path

import pytest

import explorer as ex
from explorer.catalogue import SHELVES

REFERENCE = runpy.run_path(str(Path(__file__).resolve().parents[2] / "docs/reference.py"))


def test_every_kind_has_a_page():
    assert list(REFERENCE["PAGES"]) == list(SHELVES)


@pytest.mark.parametrize("kind", list(SHELVES))
def test_a_page_tells_of_every_component(kind):
    text = REFERENCE["page"](kind, {})
    for name, component in SHELVES[kind].items():
        assert f"## {component.title}\n\n`{name}`\n" in text
        assert component.summary.replace("``", "`") in text
        assert component.equation in text
        for knob in component.knobs:
            assert f"| `{knob}` |" in text
    assert "``" not in text
    assert "\n---" not in text


def test_a_section_has_equation_knobs_needs_cost_and_source():
    text = REFERENCE["section"](ex.catalogue.solvers["cgls"], "cgls.png")
    for piece in (
        "![CGLS](cgls.png)",
        "$$\n",
        "| `damping` | 0.0 |",
        "Needs `A`",
        "A step costs 1 A, 1 Aᴴ.",
        "* Hestenes",
    ):
        assert piece in text
    assert "A solution costs one product with each" in REFERENCE["section"](ex.catalogue.solvers["tikhonov"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("problem", "blocks"), ("problem", "parallax"), ("operator", "radon"), ("operator", "shaw"),
        ("operator", "hilbert"), ("solver", "lsqr"), ("solver", "gauss_seidel"), ("solver", "local_push"),
        ("prior", "tv"), ("preconditioner", "ssor"), ("rule", "evidence"), ("stop", "stagnation"),
        ("analysis", "picard"), ("analysis", "lanczos_rates"),
    ],
)  # fmt: skip
def test_a_thumbnail_shows_something(kind, name, tmp_path):
    panel = REFERENCE["thumbnail"](kind, name)
    assert panel.array.std() > 0
    REFERENCE["save"](panel, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 500


@pytest.mark.soak
@pytest.mark.parametrize("kind", list(SHELVES))
def test_every_component_has_a_thumbnail(kind):
    """But what has nothing to show without a file of the person's own, and a family of tasks, which is no array."""
    lacking = {name for name in SHELVES[kind] if REFERENCE["thumbnail"](kind, name) is None}
    assert lacking <= ({"own_file", "own_matrix", "ridge_family"} if kind == "problem" else set())
