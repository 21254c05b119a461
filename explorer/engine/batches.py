"""Batches: draws of the noise, and lists of values of batched knobs, which make one more leading dimension."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from explorer.catalogue import SHELVES, Component, SpecError
from explorer.engine.spec import RunSpec
from explorer.linalg.spaces import real_dtype


def batch_of(spec: RunSpec) -> tuple[int, ...]:
    """Return the batch dimensions of a run: number of values of batched knobs, number of draws, as far as given.

    Raises
    ------
    SpecError
        If the lists differ in length, or a part has one that is not made once a sample.
    """
    sizes: dict[str, int] = {}
    for field, kind in RunSpec.kinds.items():
        if (choice := getattr(spec, field)) is not None:
            found = dict(_lists(SHELVES[kind][choice.name], choice.params, f"{field}.params"))
            if found and field in ("problem", "operator", "noise", "simulator"):
                raise SpecError("takes one value, since there is one problem for all samples", next(iter(found)))
            sizes |= found
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise SpecError(f"the lists differ in length ({said}), and must have one value a sample", next(iter(sizes)))
    return (*set(sizes.values()), *(() if spec.draws is None else (spec.draws,)))


def _lists(component: Component, params: Mapping[str, Any], where: str) -> Iterator[tuple[str, int]]:
    for name, value in params.items():
        knob = component.knobs[name]
        if knob.type == "part" and value is not None:
            yield from _lists(SHELVES[knob.kind][value["name"]], value["params"], f"{where}.{name}.params")
        elif isinstance(value, tuple):
            yield f"{where}.{name}", len(value)


def shaped(
    component: Component, params: Mapping[str, Any], batch: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> dict[str, Any]:
    """Return `params` with every list as a tensor over the batch, shape ``(*batch,)``, those of nested parts too."""
    made = dict(params)
    for name, value in params.items():
        knob = component.knobs[name]
        if knob.type == "part" and value is not None:
            part = SHELVES[knob.kind][value["name"]]
            made[name] = {**value, "params": shaped(part, value["params"], batch, dtype, device)}
        elif isinstance(value, tuple):
            tensor = torch.tensor(value, dtype=real_dtype(dtype), device=device)
            made[name] = tensor.reshape(-1, *(1,) * (len(batch) - 1)).expand(batch)
    return made
