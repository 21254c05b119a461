"""Write environment.yml and binder/environment.yml from pyproject.toml and constraints.txt.

``python .ci/environments.py`` writes both files; ``--check`` writes nothing, names the files that
disagree with the pins and exits with 1.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"  # the version that the pins were resolved for


def pins(constraints: str) -> dict[str, dict[str, str]]:
    """Return the pins of constraints.txt as ``{section: {name: version}}``."""
    sections: dict[str, dict[str, str]] = {}
    for line in constraints.splitlines():
        if head := re.match(r"# \[(\w+)\]", line):
            sections[head[1]] = {}
        elif line and not line.startswith("#"):
            name, version = line.split("==")
            sections[next(reversed(sections))][name] = version
    return sections


def environment(sections: dict[str, dict[str, str]], *parts: str, install: bool) -> str:
    """Return a conda environment: Python and CPU torch from conda-forge, the given sections by pip."""
    packages = {name: version for part in parts for name, version in sections[part].items()}
    torch = packages.pop("torch")
    by_pip = [f"{name}=={version}" for name, version in sorted(packages.items())]
    lines = [
        "# Written by .ci/environments.py from pyproject.toml and constraints.txt; edit those instead.",
        "name: explorer",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        f"  - pytorch-cpu={torch}",
        "  - pip:",
        *(f"      - {requirement}" for requirement in by_pip + ["--editable ."] * install),
    ]
    return "\n".join(lines) + "\n"


def expected(root: Path = ROOT) -> dict[Path, str]:
    """Return the text that each environment file should have."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    sections = pins((root / "constraints.txt").read_text("utf-8"))
    for part, ranges in {"run": project["dependencies"], **project["optional-dependencies"]}.items():
        names = {re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in ranges}
        pinned = {name for section in sections.values() for name in section} | {project["name"]}
        if missing := names - pinned:
            sys.exit(f"constraints.txt has no pin for {', '.join(sorted(missing))} of [{part}]: add them.")
    return {
        root / "environment.yml": environment(sections, "run", install=True),
        # repo2docker builds this one before it has the repository; postBuild installs explorer itself.
        root / "binder/environment.yml": environment(sections, "run", "voila", install=False),
    }


def main() -> int:
    """Write the environment files, or with ``--check`` compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is stale")
    check = parser.parse_args().check
    stale = [
        path
        for path, text in expected().items()
        if not path.is_file() or path.is_symlink() or path.read_text("utf-8") != text
    ]
    if not check:
        for path in stale:
            path.unlink(missing_ok=True)
            path.write_text(expected()[path], "utf-8", newline="\n")
    elif stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.stderr.write(f"{names} disagree with the pins: run `python .ci/environments.py`.\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
