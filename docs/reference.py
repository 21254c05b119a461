"""Pages of the reference, one a kind of component, written from the catalogue alone."""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np

import explorer as ex
from explorer.catalogue import SHELVES, Component, SpecError, source
from explorer.catalogue.signature import Knob
from explorer.figures.panels import Panel, after, before, quantised

#: heading and title of a page, by kind
PAGES = {
    "problem": "Problems",
    "operator": "Operators",
    "noise": "Noise",
    "prior": "Priors",
    "preconditioner": "Preconditioners",
    "solver": "Solvers",
    "rule": "Parameter rules",
    "stop": "Stop rules",
    "analysis": "Analyses",
}
SIZE = 48


def page(kind: str, pictures: dict[str, str]) -> str:
    """Return the page of a kind in Markdown.

    Parameters
    ----------
    kind : str
    pictures : dict
        Component to the path of its thumbnail, relative to the page.
    """
    parts = [f"# {PAGES[kind]}", f"{len(SHELVES[kind])} in alphabetical order of their names."]
    parts += [section(SHELVES[kind][name], pictures.get(name, "")) for name in sorted(SHELVES[kind])]
    return "\n\n".join(parts) + "\n"


def section(component: Component, picture: str = "") -> str:
    """Return what is known of a component: equation, description, knobs, needs, cost of a step, citation."""
    lines = [f"## {component.title}", f"`{component.name}`"]
    if picture:
        lines.append(f"![{component.title}]({picture})")
    if component.equation:
        lines.append(f"$$\n{component.equation}\n$$")
    lines.append(_prose(inspect.getdoc(component.function) or ""))
    if component.knobs:
        rows = [_row(name, knob) for name, knob in component.knobs.items()]
        lines.append("\n".join(["| knob | default | range | |", "| --- | --- | --- | --- |", *rows]))
    if component.needs:
        lines.append("Needs " + "; ".join(f"`{n.name}`: {n.says}{' (optional)' * n.optional}" for n in component.needs))
    if cost := component.traits.get("per_step"):
        lines.append("A step costs " + ", ".join(f"{count} {name}" for name, count in sorted(cost.items())) + ".")
    lines += [f"* {source(paper)}" for paper in component.papers]
    return "\n\n".join(lines)


def _prose(docstring: str) -> str:
    """Return the description of a numpydoc docstring, without its sections, with literals as Markdown has them."""
    text = re.split(r"\n\n?\w[\w ]*\n-{3,}\n", docstring)[0].strip()
    text = text.replace("::\n", ":\n")  # what follows is indented, and code, in both languages
    return re.sub(r"``(.+?)``", r"`\1`", re.sub(r":\w+:`~?(.+?)`", r"`\1`", text))


def _row(name: str, knob: Knob) -> str:
    if knob.choices:
        allowed = ", ".join(f"`{c}`" for c in knob.choices)
    elif knob.low is not None and knob.high is not None:
        allowed = f"{knob.low:g} … {knob.high:g}"
    else:
        allowed = knob.type
    cells = (f"`{name}`", f"{knob.default}", f"{allowed} {knob.unit}".strip(), knob.help)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


# --- thumbnails ---------------------------------------------------------------------------------------------------


def thumbnail(kind: str, name: str) -> Panel | None:
    """Return a small picture of what a component does: a truth, its data, noise, or a reconstruction."""
    try:
        if kind == "problem":
            return before(ex.build(ex.RunSpec(problem=name, operator=None)))[0]
        if kind == "noise":
            return before(ex.build(_spec(noise=name, operator="identity")))[1]
        if kind == "operator":
            return _first(before(ex.build(spec))[1] for spec in _with_operator(name))
        if kind in ("solver", "prior", "preconditioner", "rule"):
            return _reconstruction(kind, name)
    except (SpecError, StopIteration):
        return None
    return None


def _spec(**parts: Any) -> ex.RunSpec:
    phantom = {"name": "shepp_logan", "params": {"size": SIZE}}
    stop = {"name": "budget", "params": {"steps": 30}}
    return ex.RunSpec(**{"problem": phantom, "operator": "gaussian_blur", "stop": stop} | parts)


def _with_operator(name: str) -> Any:
    for problem in ({"name": "shepp_logan", "params": {"size": SIZE}}, *SHELVES["problem"]):
        yield ex.RunSpec(problem=problem, operator=name)


def _first(panels: Any) -> Panel | None:
    while True:
        try:
            return next(p for p in panels if p.array is not None)
        except SpecError:
            continue


def _reconstruction(kind: str, name: str) -> Panel | None:
    field = "precond" if kind == "preconditioner" else kind
    for start in _starts():
        spec = start.replace(**{field: name}) if kind != "solver" else start.replace(solver=name)
        if kind in ("prior", "preconditioner"):
            fits = [s for s, why in ex.compatible(spec).items() if why is None and _uses(s, field)]
            spec = spec.replace(solver=fits[0]) if fits else spec
        try:
            run = ex.run(spec)
        except SpecError:
            continue
        return after(run.problem, run.x)[0]
    return None


def _uses(solver: str, need: str) -> bool:
    return need in {n.name for n in SHELVES["solver"][solver].needs}


@functools.cache
def _starts() -> tuple[ex.RunSpec, ...]:
    """Return problems on which most methods run."""
    signal = {"name": "shaw", "params": {"size": 64}}
    blur = [_spec(prior=prior, precond=p) for prior in ("none", "tikhonov", "tv", "l1") for p in ("none", "jacobi")]
    return (*blur, _spec(operator="radon"), _spec(problem=signal, operator="shaw"))


def save(panel: Panel, path: Path) -> None:
    """Write a panel as a PNG of about 160 pixels."""
    import matplotlib.pyplot as plt

    assert panel.array is not None
    if panel.array.ndim == 2:
        image = quantised(panel)
        times = max(1, 160 // max(image.shape))
        plt.imsave(path, np.kron(image, np.ones((times, times), np.uint8)), cmap="gray", vmin=0, vmax=255)
        return
    figure, axis = plt.subplots(figsize=(1.6, 1.6), dpi=100)
    axis.plot(panel.array, linewidth=1)
    axis.set_axis_off()
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def write(folder: Path, pictures: bool = True) -> dict[str, int]:
    """Write every page, and a thumbnail of every component that has one; return how many have, by kind."""
    found = {}
    folder.mkdir(parents=True, exist_ok=True)
    for kind in PAGES:
        made = {}
        for name in SHELVES[kind] if pictures else ():
            panel = thumbnail(kind, name)
            if panel is not None and panel.array is not None:
                path = folder / "pictures" / f"{kind}-{name}.png"
                path.parent.mkdir(exist_ok=True)
                save(panel, path)
                made[name] = f"pictures/{path.name}"
        (folder / f"{kind}.md").write_text(page(kind, made), encoding="utf-8")
        found[kind] = len(made)
    return found
