"""Specifications to begin with, and a picture of each: the files in ``data/presets``."""

from __future__ import annotations

import functools
from pathlib import Path

from explorer.engine.spec import RunSpec

#: what a learner is shown first, in this order; the others follow by their names
_FIRST = (
    "deblur-a-photo", "tomography-from-30-angles", "mri-with-a-quarter-of-the-data", "compressed-sensing-of-spikes",
    "inpaint-half-the-pixels", "shaw-and-the-picard-condition", "choose-the-parameter",
)  # fmt: skip
_WORDS = {"mri": "MRI", "picard": "Picard", "ground": "ground,"}


@functools.cache
def presets() -> dict[str, RunSpec]:
    """Return the presets by their titles, in the order in which they are shown.

    Examples
    --------
    >>> presets()["Deblur a photo"].operator.name
    'gaussian_blur'
    """
    files = sorted(_home().glob("*.json"), key=lambda file: (_place(file.stem), file.stem))
    return {_title(file.stem): RunSpec.from_json(file.read_text(encoding="utf-8")) for file in files}


def thumbnails() -> dict[str, bytes]:
    """Return small pictures of what presets lead to, PNG, by their titles.

    Examples
    --------
    >>> thumbnails()["Deblur a photo"][1:4]
    b'PNG'
    """
    return {_title(file.stem): file.read_bytes() for file in sorted(_home().glob("*.png"))}


def _home() -> Path:
    package = Path(__file__).resolve().parents[1]
    homes = [package.parent / "data" / "presets", package / "presets"]
    return next((home for home in homes if home.is_dir()), package)


def _place(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _title(name: str) -> str:
    first, *rest = (_WORDS.get(word, word) for word in name.split("-"))
    return " ".join([first[:1].upper() + first[1:], *rest])
