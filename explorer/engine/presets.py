"""Specifications to begin with: the files in ``data/presets``."""

from __future__ import annotations

import functools
from pathlib import Path

from explorer.engine.spec import RunSpec

_WORDS = {"mri": "MRI", "picard": "Picard"}


@functools.cache
def presets() -> dict[str, RunSpec]:
    """Return the presets by their titles.

    Examples
    --------
    >>> presets()["Deblur a photo"].operator.name
    'gaussian_blur'
    """
    package = Path(__file__).resolve().parents[1]
    homes = [package.parent / "data" / "presets", package / "presets"]
    files = sorted(next((home for home in homes if home.is_dir()), package).glob("*.json"))
    return {_title(file.stem): RunSpec.from_json(file.read_text(encoding="utf-8")) for file in files}


def _title(name: str) -> str:
    first, *rest = (_WORDS.get(word, word) for word in name.split("-"))
    return " ".join([first[:1].upper() + first[1:], *rest])
