"""The command line: open the notebooks, run a specification, execute a notebook, look things up.

Every error is one sentence on standard error and exit status 2; nothing is written then.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from explorer.catalogue import SHELVES, SpecError, shelf, source

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
    for add in (_add_lab, _add_app, _add_run, _add_notebook, _add_list, _add_describe, _add_file):
        add(commands)
    options, rest = parser.parse_known_args(argv)
    if rest and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    command: Command = options.command
    try:
        return command(options, rest)
    except (SpecError, OSError) as error:
        sys.stderr.write(f"explorer: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("explorer: interrupted\n")
        return 130


#: what a page may load: nothing from another machine, such as the icons that Voila would fetch
_OWN_ONLY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws: wss:"

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


def _add_app(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "app",
        help="open the Explorer as a page of its own, by Voila",
        description="Open the Explorer as a page of its own, by Voila; no cell and no source is shown.",
        epilog="All other arguments go to `voila`, for example --no-browser --port=8866.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=_app, passes_on=True)


def _app(_options: argparse.Namespace, rest: list[str]) -> int:
    import tempfile

    import nbformat

    try:
        from voila.app import Voila
    except ImportError:
        sys.stderr.write("explorer: the page needs Voila: install explorer-inverse[voila].\n")
        return 1
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import explorer as ex\n\nex.Explorer()")])
    page.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    page.metadata.title = "Explorer"
    with tempfile.TemporaryDirectory(prefix="explorer-") as folder:
        notebook = Path(folder) / "explorer.ipynb"
        nbformat.write(page, notebook)
        settings = f"--Voila.tornado_settings={{'headers': {{'Content-Security-Policy': {_OWN_ONLY!r}}}}}"
        Voila.launch_instance([str(notebook), settings, *rest])
    return 0


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "run",
        help="run a specification and save the result",
        usage="explorer run [spec.json] [--out DIR] [--field VALUE] [--field.knob VALUE] …",
        description="Run a specification from a JSON file (or the defaults), changed by flags, and save the result.",
        epilog="Fields and knobs are flags: --solver lsqr --operator.sigma 3 --stop.steps 50 --seed 1 --draws 8.",
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=Path, help="folder to write spec.json, run.json, arrays.npz and summary.png to")
    parser.set_defaults(command=_run, passes_on=True)


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    from explorer.engine.job import Job
    from explorer.engine.spec import RunSpec

    spec = RunSpec()
    if rest and not rest[0].startswith("--"):
        file, *rest = rest
        spec = RunSpec.from_json(Path(file).read_text(encoding="utf-8"))
    spec = RunSpec(**_changed(spec.model_dump(), rest))
    job = Job(spec).start()
    try:
        while not job.wait(0.5):
            _show_progress(job)
    except KeyboardInterrupt:
        job.cancel()
        sys.stderr.write("\nexplorer: cancelling; the last iterate is kept\n")
    result = job.result()
    sys.stdout.write(f"{result!r}\n")
    if options.out is not None:
        from explorer.figures import summary

        result.save(options.out)
        summary(result).savefig(options.out / "summary.png", dpi=100)
        sys.stdout.write(f"saved in {options.out}\n")
    return 0


def _show_progress(job: Any) -> None:
    if sys.stderr.isatty():
        p = job.progress
        sys.stderr.write(f"\r{p.state}: step {p.step}, {p.seconds:.1f} s, about {p.left:.1f} s left ")


def _changed(data: dict[str, Any], flags: Sequence[str]) -> dict[str, Any]:
    """Return specification data with ``--field value`` and ``--field.knob value`` flags applied."""
    for flag, text in _pairs(flags):
        field, _, knob = flag.partition(".")
        if field not in data:
            raise SpecError(f"--{flag} is not a field of a specification; known: {', '.join(data)}")
        if not knob:
            data[field] = text if isinstance(data[field], str | dict) and field != "record" else _value(text)
        elif field == "record":
            data[field] = {**data[field], knob: _value(text)}
        else:
            chosen = data[field] if isinstance(data[field], dict) else {"name": data[field], "params": {}}
            data[field] = {**chosen, "params": {**chosen.get("params", {}), knob: _value(text)}}
    return data


def _pairs(flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = iter(flags)
    for flag in rest:
        if not flag.startswith("--"):
            raise SpecError(f"{flag!r} is not a flag: write --field value or --field.knob value")
        name, equals, value = flag[2:].partition("=")
        given = value if equals else next(rest, None)
        if given is None:
            raise SpecError(f"--{name} has no value")
        yield name, given


def _value(text: str) -> Any:
    """Read a flag's value as JSON where it is, else as text."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text


def _add_notebook(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "notebook",
        help="execute a notebook with parameters",
        description="Execute a copy of a notebook by papermill; a parameter that it does not have is refused.",
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.set_defaults(command=_notebook)


def _notebook(options: argparse.Namespace, _rest: list[str]) -> int:
    from explorer.engine.notebooks import execute, numbers

    executed = execute(options.notebook, options.output, {name: _value(value) for name, value in options.parameter})
    for name, value in numbers(executed).items():
        sys.stdout.write(f"{name}: {value}\n")
    return 0


def _add_list(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("list", help="list the components of a kind")
    parser.add_argument("kind", choices=list(SHELVES))
    parser.set_defaults(command=_list)


def _list(options: argparse.Namespace, _rest: list[str]) -> int:
    for name, component in shelf(options.kind).items():
        sys.stdout.write(f"{name:24} {component.title}\n")
    return 0


def _add_describe(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("describe", help="say what a component is, needs and lets you set")
    parser.add_argument("kind", choices=list(SHELVES))
    parser.add_argument("name")
    parser.set_defaults(command=_describe)


def _describe(options: argparse.Namespace, _rest: list[str]) -> int:
    component = shelf(options.kind)[options.name]
    lines = [f"{component.title}: {component.summary}", f"equation: {component.equation or '–'}"]
    for need in component.needs:
        lines.append(f"needs {need.name}: {need.says}{' (optional)' if need.optional else ''}")
    for knob in component.knobs.values():
        lines.append(f"--{options.kind}.{knob.name} ({knob.allowed}; default {knob.default}) {knob.help}")
    sys.stdout.write("\n".join([*lines, *map(source, component.papers)]) + "\n")
    return 0


def _add_file(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("add-file", help="add your own image or signal; prints its hash for a specification")
    parser.add_argument("file", type=Path)
    parser.set_defaults(command=_file)


def _file(options: argparse.Namespace, _rest: list[str]) -> int:
    from explorer.problems.files import add_file

    sys.stdout.write(f"{add_file(options.file)}\n")
    return 0


def _home() -> Path | None:
    """Return the folder that holds the notebooks: the checkout, or the installed package."""
    package = Path(__file__).resolve().parent
    return next((home for home in (package.parent, package) if (home / FIRST_NOTEBOOK).is_file()), None)
