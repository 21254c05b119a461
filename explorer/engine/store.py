"""Runs on disk: JSON and plain arrays; nothing is ever unpickled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from explorer.catalogue import SpecError
from explorer.engine.build import build
from explorer.engine.reasons import Reason
from explorer.engine.run import Picked, Run
from explorer.engine.spec import RunSpec
from explorer.linalg import Blocks

#: largest file that is read
MAX_BYTES = 2**31


def save(run: Run, folder: str | Path) -> None:
    """Write a run into `folder`, which is made if need be."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"history/{k}": v for k, v in run.history.items()}
    _pack(arrays, "x", run.x)
    for name in ("stopped", "best"):
        if (picked := getattr(run, name)) is not None:
            _pack(arrays, f"{name}/x", picked.x)
            arrays[f"{name}/step"] = np.asarray(picked.step)
    for i, picked in enumerate(run.snapshots):
        _pack(arrays, f"snapshot/{i}/x", picked.x)
        arrays[f"snapshot/{i}/step"] = np.asarray(picked.step)
    for name in ("samples", "variance", "r_hat"):
        if getattr(run, name) is not None:
            _pack(arrays, name, getattr(run, name))
    arrays["reason"] = np.asarray(run.reason, dtype=np.int8)
    np.savez_compressed(folder / "arrays.npz", **arrays)
    (folder / "spec.json").write_text(run.spec.to_json(), encoding="utf-8")
    about = {
        "key": run.spec.key(),
        "costs": run.costs,
        "watching": run.watching,
        "metrics": _plain(run.metrics),
    }
    (folder / "run.json").write_text(json.dumps(about, indent=2, ensure_ascii=False), encoding="utf-8")


def load(folder: str | Path) -> Run:
    """Read a run back.

    Raises
    ------
    SpecError
        If a file is missing, truncated or not what :func:`save` wrote.
    """
    folder = Path(folder)
    for name in ("spec.json", "run.json", "arrays.npz"):
        if not (folder / name).is_file():
            raise SpecError(f"the folder {folder.name!r} has no {name}: it does not hold a saved run")
        if (folder / name).stat().st_size > MAX_BYTES:
            raise SpecError(f"{name} is larger than {MAX_BYTES // 2**30} GiB, and is not read")
    spec = RunSpec.from_json((folder / "spec.json").read_text(encoding="utf-8"))
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _assemble(spec, about, arrays)
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"the saved run in {folder.name!r} cannot be read: {error}") from None


def _assemble(spec: RunSpec, about: dict[str, Any], arrays: dict[str, Any]) -> Run:
    codes = arrays["reason"]
    reason: Any = (
        Reason(int(codes)) if codes.ndim == 0 else np.vectorize(lambda c: Reason(int(c)), otypes=[object])(codes)
    )
    picks = {
        n: Picked(_unpack(arrays, f"{n}/x"), _step(arrays[f"{n}/step"]))
        for n in ("stopped", "best")
        if f"{n}/step" in arrays
    }
    count = sum(1 for name in arrays if name.startswith("snapshot/") and name.endswith("/step"))
    return Run(
        spec=spec,
        problem=build(spec),
        x=_unpack(arrays, "x"),
        history={n.removeprefix("history/"): v for n, v in arrays.items() if n.startswith("history/")},
        costs=dict(about["costs"]),
        watching=dict(about["watching"]),
        reason=reason,
        snapshots=[
            Picked(_unpack(arrays, f"snapshot/{i}/x"), _step(arrays[f"snapshot/{i}/step"])) for i in range(count)
        ],
        **{n: _unpack(arrays, n) for n in ("samples", "variance", "r_hat")},
        **picks,
    )


def _pack(arrays: dict[str, Any], name: str, x: Any) -> None:
    if isinstance(x, Blocks):
        for i, block in enumerate(x):
            arrays[f"{name}/{i}"] = block.cpu().numpy()
    elif x is not None:
        arrays[name] = x.cpu().numpy()


def _unpack(arrays: dict[str, Any], name: str) -> Any:
    if name in arrays:
        return torch.from_numpy(arrays[name])
    blocks = []
    while f"{name}/{len(blocks)}" in arrays:
        blocks.append(torch.from_numpy(arrays[f"{name}/{len(blocks)}"]))
    return Blocks(blocks) if blocks else None


def _step(value: Any) -> Any:
    return int(value) if value.ndim == 0 else value


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
