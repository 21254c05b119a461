"""An iteration beside itself on data of which parts are left out, for cross-validation without any matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.catalogue import Component
from explorer.linalg import Rng
from explorer.operators.algebra import Composition
from explorer.operators.base import LinearOperator
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
