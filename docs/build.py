"""Build the site: the README, the lessons with their figures, and the reference written from the catalogue.

``python docs/build.py`` writes ``docs/_site``; what it is made of is gathered in ``docs/_source``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main as sphinx

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import reference  # noqa: E402 - the folder is on the path now

SOURCE, SITE = HERE / "_source", HERE / "_site"


def gather() -> None:
    """Put together what Sphinx reads."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir()
    shutil.copy(HERE / "conf.py", SOURCE)
    readme = (HERE.parent / "README.md").read_text("utf-8")
    shutil.copytree(HERE.parent / "notebooks", SOURCE / "notebooks")
    lessons = sorted(path.stem for path in (SOURCE / "notebooks").glob("*.ipynb"))
    pages = [f"reference/{kind}" for kind in reference.PAGES]
    trees = [("Lessons", [f"notebooks/{name}" for name in lessons]), ("Reference", pages)]
    (SOURCE / "index.md").write_text("\n\n".join([readme, *(_tree(*tree) for tree in trees)]) + "\n", "utf-8")
    print("thumbnails:", reference.write(SOURCE / "reference"))


def _tree(caption: str, pages: list[str]) -> str:
    return "\n".join(["```{toctree}", f":caption: {caption}", ":maxdepth: 1", *pages, "```"])


if __name__ == "__main__":
    gather()
    sys.exit(sphinx(["-b", "html", "-q", str(SOURCE), str(SITE)]))
