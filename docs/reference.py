"""Pages of the reference, one a kind of component, written from the catalogue alone."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import explorer as ex
from explorer.catalogue import SHELVES, Component, SpecError, source
from explorer.catalogue.signature import Knob
from explorer.engine.presets import presets
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
    elif "tunes" in component.traits:
        lines.append("A solution costs one product with each factor of a decomposition, which is made once.")
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
    """Return a small picture of what a component does: a truth, its data, a reconstruction, a curve, a report."""
    makers: dict[str, Callable[[str], Iterator[Panel | None]]] = {
        "problem": _truths,
        "operator": _measured,
        "noise": lambda name: iter([before(ex.build(_spec(noise=name, operator="identity")))[1]]),
        "solver": _solved,
        "prior": functools.partial(_with_part, "prior"),
        "preconditioner": functools.partial(_with_part, "precond"),
        "rule": lambda name: (_outcome(start.replace(rule=name)) for start in _starts()),
        "stop": lambda name: iter([_stopped(name)]),
        "analysis": lambda name: (_reported(run, name) for run in _runs()),
    }
    return next((panel for panel in makers[kind](name) if panel is not None and panel.array is not None), None)


def _spec(**parts: Any) -> ex.RunSpec:
    phantom = {"name": "shepp_logan", "params": {"size": SIZE}}
    stop = {"name": "budget", "params": {"steps": 30}}
    return ex.RunSpec(**{"problem": phantom, "operator": "gaussian_blur", "stop": stop} | parts)


def _tried(make: Callable[..., Panel | None], *arguments: Any) -> Panel | None:
    """Return what is made, or nothing where the parts do not go together."""
    try:
        return make(*arguments)
    except SpecError:
        return None


def _truths(name: str) -> Iterator[Panel | None]:
    def shown(**parts: Any) -> Panel | None:
        problem = ex.build(ex.RunSpec(problem=name, **parts))
        panels = before(problem)
        return next((panel for panel in panels if panel.array is not None), None) or _array(problem.offers.values())

    for parts in ({"operator": None}, {}, {"operator": name}):
        if "operator" not in parts or parts["operator"] in (None, *SHELVES["operator"]):
            yield _tried(functools.partial(shown, **parts))


def _measured(name: str) -> Iterator[Panel | None]:
    """Give the data of an operator, of the problem with its name first; then its matrix."""

    def data(problem: Any) -> Panel | None:
        return before(ex.build(ex.RunSpec(problem=problem, operator=name)))[1]

    phantom = {"name": "shepp_logan", "params": {"size": SIZE}}
    own = [name] if name in SHELVES["problem"] else []
    for problem in (*own, phantom, "blocks", *SHELVES["problem"]):
        yield _tried(data, problem)
    for problem in SHELVES["problem"]:
        yield _tried(_matrix, problem, name)


def _matrix(problem: str, operator: str) -> Panel | None:
    model = ex.build(ex.RunSpec(problem=problem, operator=operator)).A
    return None if model is None else _array([model.to_dense()])


def _outcome(spec: ex.RunSpec) -> Panel | None:
    """Return the reconstruction of a run, or else its course; nothing where its parts do not go together."""
    try:
        run = ex.run(spec)
    except SpecError:
        return None
    panel = _tried(lambda: after(run.problem, run.x)[0])
    return panel if panel is not None and panel.array is not None else _array([run.x]) or _course(run)


def _course(run: ex.Run) -> Panel | None:
    """Return the first scalar of a run that is told of many steps."""
    told = (values for name, values in run.history.items() if name not in ("seconds", "step"))
    return _array(values for values in told if np.ndim(values) and len(values) > 4)


def _stopped(name: str) -> Panel | None:
    """Return the residual of a run until a stop rule ends it, or a budget does."""
    few = {"name": "budget", "params": {"steps": 100}}
    if name == "budget":
        stop: dict[str, Any] = few
    elif name in ("or", "and"):
        stop = {"name": name, "params": {"first": few, "second": "discrepancy"}}
    else:
        stop = {"name": "or", "params": {"first": name, "second": few}}
    return _course(ex.run(_spec(solver="landweber", noise="gaussian", stop=stop)))


def _solved(name: str) -> Iterator[Panel | None]:
    for start in _starts():
        yield _outcome(start.replace(solver=name))
    yield from (_outcome(preset) for preset in presets().values() if preset.solver.name == name)
    stop = {"name": "budget", "params": {"steps": 30}}
    priors, operators = (
        ("none", "tikhonov", "gaussian_mixture"),
        (None, "gaussian_blur", "gaussian_sensing", "identity"),
    )
    for problem, operator, prior in itertools.product(SHELVES["problem"], operators, priors):
        made = {"problem": problem, "solver": name, "prior": prior, "stop": stop, "operator": operator}
        yield _tried(lambda made=made: _outcome(ex.RunSpec(**made)))


def _with_part(field: str, name: str) -> Iterator[Panel | None]:
    for start in _starts():
        spec = start.replace(**{field: name})
        fits = [s for s, why in ex.compatible(spec).items() if why is None and _uses(s, field)]
        yield _outcome(spec.replace(solver=fits[0]) if fits else spec)


def _uses(solver: str, need: str) -> bool:
    return need in {n.name for n in SHELVES["solver"][solver].needs}


@functools.cache
def _starts() -> tuple[ex.RunSpec, ...]:
    """Return problems on which most methods run."""
    signal = {"name": "shaw", "params": {"size": 64}}
    blur = [_spec(prior=prior, precond=p) for prior in ("none", "tikhonov", "tv", "l1") for p in ("none", "jacobi")]
    small = {"name": "shepp_logan", "params": {"size": 24}}
    equation = [
        _spec(problem=small, operator="poisson_equation", precond=p, dtype="float64") for p in ("none", "jacobi")
    ]
    more = (_spec(solver="tikhonov"), _spec(operator="radon"), _spec(problem=signal, operator="shaw"))
    return (*blur, *equation, *more)


@functools.cache
def _run(draws: int | None, problem: str) -> ex.Run:
    size = {"name": problem, "params": {"size": 32}}
    return ex.run(
        ex.RunSpec(
            problem=size,
            operator=problem,
            noise="gaussian",
            solver="cgls",
            draws=draws,
            dtype="float64",
            stop={"name": "budget", "params": {"steps": 20}},
            record={"bases": True},
        )
    )


def _runs() -> Iterator[Any]:
    """Give runs, then problems, that an analysis may be of."""
    yield from (_run(None, "phillips"), _run(20, "phillips"))
    for problem in SHELVES["problem"]:
        for operator in (None, "gaussian_blur", "gaussian_sensing", "random_features"):
            try:
                yield ex.build(ex.RunSpec(problem=problem, operator=operator))
            except SpecError:
                continue


def _reported(what: Any, name: str) -> Panel | None:
    """Return a picture or a curve of what a report has, as it is told: the first that is not its axis."""
    try:
        report = ex.analyse(what, name)
    except SpecError:
        return None
    return _array(vars(report).values())


def _array(things: Iterable[Any]) -> Panel | None:
    """Return the first array that is worth a picture: a table, or a curve that is no even axis; else all numbers."""
    found, axes, numbers = [], [], []
    for thing in things:
        for value in thing.values() if isinstance(thing, dict) else [thing]:
            if isinstance(value, int | float):
                numbers.append(float(value))
            elif isinstance(value, np.ndarray | torch.Tensor):
                array = _plain(value)
                numbers += [float(array)] if array.size == 1 else []
                if array.ndim in (1, 2) and array.size > 1 and np.isfinite(array).all() and np.ptp(array) > 0:
                    even = array.ndim == 1 and np.ptp(np.diff(array)) <= 1e-6 * np.ptp(array)
                    (axes if even else found).append(array)
    spare = [np.array(numbers)] if len(numbers) > 1 else []
    array = next(iter((*found, *axes, *spare)), None)
    if array is None:
        return None
    if array.min() > 0 and array.max() > 1e3 * array.min():
        array = np.log10(array)
    return Panel("", array, float(array.min()), float(array.max()))


def _plain(value: Any) -> np.ndarray:
    """Return moduli, without dimensions of length one; of a narrow table, its first line."""
    tensor = torch.as_tensor(value).detach().cpu()
    array = (tensor.abs() if tensor.is_complex() else tensor.double()).squeeze().numpy()
    if array.ndim == 2 and 0 < min(array.shape) < 5:
        return array[:, 0] if array.shape[0] > array.shape[1] else array[0]
    return array


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
