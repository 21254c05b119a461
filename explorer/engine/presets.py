"""Specifications to begin with, and a picture of each: the files in ``data/presets``."""

from __future__ import annotations

import functools
from pathlib import Path

from explorer.engine.spec import RunSpec

_WORDS = {"mri": "MRI", "picard": "Picard", "ground": "ground,"}


@functools.cache
def presets() -> dict[str, RunSpec]:
    """Return the presets by their titles.

    Examples
    --------
    >>> presets()["Deblur a photo"].operator.name
    'gaussian_blur'
    """
    files = sorted(_home().glob("*.json"))
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


def _title(name: str) -> str:
    first, *rest = (_WORDS.get(word, word) for word in name.split("-"))
    return " ".join([first[:1].upper() + first[1:], *rest])
