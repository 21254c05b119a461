"""The recorded counts, one line a solver."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from explorer.catalogue import solvers
from tests.benchmarks.counting import counts

FILE = Path(__file__).with_name("counts.json")


def recorded() -> dict[str, dict[str, Any]]:
    """Return the recorded counts by solver."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def record(names: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Count the given solvers (by default all) anew and write the file; those that are gone leave it."""
    known = {name: row for name, row in recorded().items() if name in solvers}
    known |= {name: counts(name) for name in names or solvers if own(name)}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(known[name], ensure_ascii=False)}" for name in sorted(known))
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    return known


def own(name: str) -> bool:
    """Say whether a solver is one of ours."""
    return solvers[name].function.__module__.startswith("explorer.")
