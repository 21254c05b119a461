"""The command line: ``explorer lab`` opens the notebooks in JupyterLab."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

Command = Callable[[argparse.Namespace, list[str]], int]
FIRST_NOTEBOOK = "notebooks/00-start-here.ipynb"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        0 when the command did what it was asked to do.
    """
    parser = argparse.ArgumentParser(prog="explorer", description="Inverse problems, live.", allow_abbrev=False)
    parser.set_defaults(passes_on=False)
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    for add in (_add_lab,):
        add(commands)
    options, rest = parser.parse_known_args(argv)
    if rest and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    command: Command = options.command
    return command(options, rest)


# A command is one `_add_<name>`, which declares its arguments, and one `_<name>`, which runs it.


def _add_lab(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "lab",
        help=f"open {FIRST_NOTEBOOK} in JupyterLab",
        description=f"Open {FIRST_NOTEBOOK} in JupyterLab.",
        epilog="All other arguments go to `jupyter lab`, for example --no-browser --port=8899.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=_lab, passes_on=True)


def _lab(_options: argparse.Namespace, rest: list[str]) -> int:
    home = _home()
    if home is None:
        sys.stderr.write(f"explorer: {FIRST_NOTEBOOK} is missing: install explorer again.\n")
        return 1
    from jupyterlab.labapp import LabApp

    arguments = [f"--ServerApp.root_dir={home}", f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")  # in a container the only user is often root
    LabApp.launch_instance(arguments + rest)
    return 0


def _home() -> Path | None:
    """Return the folder that holds the notebooks: the checkout, or the installed package."""
    package = Path(__file__).resolve().parent
    return next((home for home in (package.parent, package) if (home / FIRST_NOTEBOOK).is_file()), None)
