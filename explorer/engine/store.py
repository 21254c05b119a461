"""Runs on disk: JSON and plain arrays; nothing is ever unpickled."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from explorer.catalogue import SpecError
from explorer.engine.build import build, device_of
from explorer.engine.problem import Problem
from explorer.engine.reasons import reasons
from explorer.engine.run import Picked, Run
from explorer.engine.spec import MAX_CHARACTERS, RunSpec
from explorer.linalg import Blocks

#: largest size of a file that is read, in bytes; of the arrays, unpacked
MAX_BYTES = {"spec.json": 4 * MAX_CHARACTERS, "run.json": 2**24, "arrays.npz": 2**31}


def save(run: Run, folder: str | Path) -> None:
    """Write a run into `folder`, which is made if need be.

    Raises
    ------
    SpecError
        If the folder cannot be written.
    """
    arrays: dict[str, Any] = {f"history/{name}": column for name, column in run.history.items()}
    for name in ("x", "samples", "variance", "r_hat"):
        _pack(arrays, name, getattr(run, name))
    for name, picked in [("stopped", run.stopped), ("best", run.best)]:
        _pack_picked(arrays, name, picked)
    for i, picked in enumerate(run.snapshots):
        _pack_picked(arrays, f"snapshot/{i}", picked)
    for i, kept in enumerate(run.arrays):
        for name, array in kept.items():
            _pack(arrays, f"array/{i}/{name}", array)
    arrays["reason"] = np.asarray(run.reason, dtype=np.int8)
    metrics = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in run.metrics.items()}
    about = {"key": run.spec.key(), "costs": run.costs, "watching": run.watching, "metrics": metrics}
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "arrays.npz", **arrays)
        (folder / "spec.json").write_text(run.spec.to_json(), encoding="utf-8")
        (folder / "run.json").write_text(json.dumps(about, indent=2, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{folder.name!r} cannot be written: {error.strerror}", "folder") from None


def data(run: Run) -> bytes:
    """Return the numbers of a run as an npz file: answer, picked iterates, truth, data, history and specification.

    Snapshots are left out; :func:`save` keeps those as well.
    """
    arrays: dict[str, Any] = {f"history/{name}": column for name, column in run.history.items()}
    for name, x in [("x", run.x), ("x_true", run.x_true), ("y", run.y)]:
        _pack(arrays, name, x)
    for name, picked in [("stopped", run.stopped), ("best", run.best)]:
        _pack_picked(arrays, name, picked)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays, spec=np.array(run.spec.to_json()))
    return file.getvalue()


def load(folder: str | Path) -> Run:
    """Read a run back; on a machine without its device, onto the CPU.

    Raises
    ------
    SpecError
        If a file is missing, truncated or not what :func:`save` wrote.
    """
    folder = Path(folder)
    for name, limit in MAX_BYTES.items():
        if not (folder / name).is_file():
            raise SpecError(f"{folder.name!r} has no {name}: it does not hold a saved run", "folder")
        if (folder / name).stat().st_size > limit:
            raise SpecError(f"{name} is larger than {limit:,} bytes, and is not read", "folder")
    try:
        spec = RunSpec.from_json((folder / "spec.json").read_text(encoding="utf-8"))
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        arrays = _arrays(folder / "arrays.npz")
        return _assemble(spec, about, arrays)
    except SpecError:
        raise
    except Exception as error:  # a file from a stranger can be wrong in any way
        why = f"lacks {error}" if isinstance(error, KeyError) else f"is damaged ({type(error).__name__})"
        raise SpecError(f"the saved run in {folder.name!r} {why}", "folder") from None


def _arrays(path: Path) -> dict[str, Any]:
    """Read plain arrays, unless a small file would unpack to a huge one."""
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > MAX_BYTES["arrays.npz"]:
        raise SpecError(f"the arrays take {size:,} bytes, and at most {MAX_BYTES['arrays.npz']:,} are read", "folder")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _assemble(spec: RunSpec, about: Mapping[str, Any], arrays: dict[str, Any]) -> Run:
    problem = build(_here(spec))
    counts = {name: {str(k): int(v) for k, v in about[name].items()} for name in ("costs", "watching")}
    x = _unpack(arrays, "x", problem)
    if x is not None:
        problem.domain.check(x, "the saved answer")
    kept: dict[int, dict[str, Any]] = {}
    for name in arrays:
        if name.startswith("array/"):
            _, i, key = name.split("/", 2)
            kept.setdefault(int(i), {})[key] = _unpack(arrays, name, problem)
    snapshots: list[Picked] = []
    while (picked := _unpack_picked(arrays, f"snapshot/{len(snapshots)}", problem)) is not None:
        snapshots.append(picked)
    return Run(
        spec=spec,
        problem=problem,
        x=x,
        history={name.removeprefix("history/"): v for name, v in arrays.items() if name.startswith("history/")},
        **counts,
        reason=reasons(arrays["reason"]),
        stopped=_unpack_picked(arrays, "stopped", problem),
        best=_unpack_picked(arrays, "best", problem),
        snapshots=snapshots,
        samples=_unpack(arrays, "samples", problem),
        variance=_unpack(arrays, "variance", problem),
        r_hat=_unpack(arrays, "r_hat", problem),
        arrays=[kept[i] for i in sorted(kept)],
    )


def _here(spec: RunSpec) -> RunSpec:
    """Return the specification with a device that this machine has."""
    try:
        device_of(spec)
    except SpecError:
        return spec.replace(device="cpu")
    return spec


def _pack(arrays: dict[str, Any], name: str, x: Any) -> None:
    if isinstance(x, Blocks | list):
        for i, block in enumerate(x):
            _pack(arrays, f"{name}/{i}", block)
    elif x is not None:
        arrays[name] = x.cpu().numpy()


def _unpack(arrays: Mapping[str, Any], name: str, problem: Problem) -> Any:
    """Return the tensor or the blocks of that name on the problem's device, None where there are none."""
    if name in arrays:
        return torch.from_numpy(arrays[name]).to(problem.domain.device)
    blocks: list[Any] = []
    while (block := arrays.get(f"{name}/{len(blocks)}")) is not None:
        blocks.append(torch.from_numpy(block).to(problem.domain.device))
    return Blocks(blocks) if blocks else None


def _pack_picked(arrays: dict[str, Any], name: str, picked: Picked | None) -> None:
    if picked is not None:
        _pack(arrays, f"{name}/x", picked.x)
        arrays[f"{name}/step"] = np.asarray(picked.step)


def _unpack_picked(arrays: Mapping[str, Any], name: str, problem: Problem) -> Picked | None:
    step = arrays.get(f"{name}/step")
    if step is None:
        return None
    return Picked(_unpack(arrays, f"{name}/x", problem), int(step) if step.ndim == 0 else step)
