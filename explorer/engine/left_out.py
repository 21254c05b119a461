"""Methods on data of which parts are left out, for cross-validation: iterations without any matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import Component
from explorer.linalg import Rng, Space
from explorer.operators.algebra import Composition
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.mask import Mask
from explorer.solvers.steps import Step


def without(A: LinearOperator, rest: Tensor) -> LinearOperator:
    """Return the operator to the data of these indices, shape ``(r,)``, alone; A has a single set of data."""
    return Composition(Mask(A.codomain, rest), A)


def folded(
    component: Component, offers: Mapping[str, Any], params: Mapping[str, Any], folds: int, seed: int
) -> Iterator[Step]:
    """Run an iteration, and once more without each part of the data; tell how well these predict what they lack.

    It costs ``folds + 1`` runs, and ``folds`` applications of A a step for the predictions.

    Parameters
    ----------
    component, offers, params : Component, mapping, mapping
        An iterative solver with what it is bound to; ``A`` and ``y`` are among the offers.
    folds, seed : int
        Number of parts, and the seed by which data fall into them.
    """
    A, y, rng = offers["A"], offers["y"], offers["rng"]
    size = A.codomain.size
    data = y.reshape(*A.codomain.batch(y), size)
    order = Rng(seed, "folds").permutation(size, data.device)
    parts, mates = order.tensor_split(min(folds, size)), []
    for fold in parts:
        rest = torch.ones_like(order).index_fill(0, fold, 0).nonzero().squeeze(-1)
        less = without(A, rest)
        own = {"A": less, "F": less, "codomain": less.codomain, "y": data[..., rest], "bases": False, "probe": None}
        if offers.get("noise_norm") is not None:
            own["noise_norm"] = offers["noise_norm"] * math.sqrt(len(rest) / size)
        own["rng"] = Rng(rng.seed, rng.component, rng.draws)
        mates.append(component.bind({**offers, **own}, params)())
    for step, *others in zip(component.bind(offers, params)(), *mates, strict=False):
        missed = [(A(o.x).reshape(data.shape) - data)[..., f] for o, f in zip(others, parts, strict=True)]
        step.scalars["left_out"] = torch.stack([m.abs().square().sum(-1) for m in missed]).sum(0)
        yield step


def predicted(
    component: Component, offers: Mapping[str, Any], params: Mapping[str, Any], values: Tensor, folds: int, seed: int
) -> Tensor:
    """Tell how well a direct method predicts each part of the data from the others, for values of its parameter.

    Parameters
    ----------
    component, offers, params : Component, mapping, mapping
        A direct method with what it is bound to; ``A`` and ``y`` are among the offers.
    values : Tensor
        Shape ``(number, *batch)``.
    folds, seed : int
        Number of parts, and the seed by which data fall into them.

    Returns
    -------
    Tensor
        Sum of squared errors over all parts, shape of `values`.
    """
    A, knob = offers["A"], component.traits["tunes"][0]
    data, total = offers["y"].reshape(*A.codomain.batch(offers["y"]), -1), torch.zeros_like(values)
    for fold, rest, rows, less in _parts(A, min(folds, A.codomain.size), seed):
        own = {"A": less, "F": less, "codomain": less.codomain, "details": False}
        own["y"] = less.codomain.expand(data[..., rest], values.shape)
        x = component.bind({**offers, **own}, {**params, knob: values})().x
        total = total + (x.flatten(values.ndim) @ rows.mT - data[..., fold]).abs().square().sum(-1)
    return total


def _parts(A: LinearOperator, folds: int, seed: int) -> list[tuple[Tensor, Tensor, Tensor, LinearOperator]]:
    """Return the data of each part, the others, the rows of the part, and the operator to the others; made once."""
    cached = A.__dict__.setdefault("_cache_folds", {})
    if (folds, seed) not in cached:
        matrix, made = A.to_dense(), []
        order = Rng(seed, "folds").permutation(len(matrix), matrix.device)
        for fold in order.tensor_split(folds):
            rest = torch.ones_like(order).index_fill(0, fold, 0).nonzero().squeeze(-1)
            data = Space((len(rest),), A.codomain.dtype, A.codomain.device)
            made.append((fold, rest, matrix[fold], DenseMatrix(A.domain, data, matrix[rest])))
        cached.clear()
        cached[folds, seed] = made
    return cached[folds, seed]
