"""How a parameter rule chooses: one scoring function, three ways to use it.

A rule scores candidates from what it needs by name (``residual``, ``dof``, ``noise_norm``, …), elementwise over any
shape. It declares whether it ``picks`` the candidate of least score or the first with score ≤ 0, counted from the
strongest regularisation. The same rule thereby serves a direct method (candidates are parameter values, refined
until they are resolved) and an iterative one (candidates are steps; see the driver).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Component, SpecError


def score(rule: Component, params: Mapping[str, Any], offers: Mapping[str, Any]) -> Tensor:
    """Return the rule's score of each candidate in `offers`."""
    needs = {}
    for need in rule.needs:
        if offers.get(need.name) is None:
            if need.optional:
                continue
            raise SpecError(f"{rule.title} needs {need.says}, which is not known here", "rule")
        needs[need.name] = offers[need.name]
    return rule.function(**needs, **params)


def choose(rule: Component, scores: NDArray[np.floating]) -> NDArray[np.integer]:
    """Return the index of the choice of each sample, −1 where there is none."""
    if rule.traits["picks"] == "minimum":
        known = np.where(np.isnan(scores), np.inf, scores)
        return np.where(np.isfinite(known).any(0), known.argmin(0), -1)
    found = scores <= 0
    return np.where(found.any(0), found.argmax(0), -1)


def select_parameter(
    rule: Component,
    params: Mapping[str, Any],
    evaluate: Callable[[Tensor], Mapping[str, Tensor]],
    strongest: Tensor,
    weakest: Tensor,
    *,
    candidates: int = 33,
    rounds: int = 4,
) -> tuple[Tensor, Tensor]:
    """Choose a positive parameter per sample by `rounds` of ever finer logarithmic grids.

    Parameters
    ----------
    rule, params : Component, mapping
        The rule and its knobs.
    evaluate : callable
        ``values -> {"residual": …, "dof": …, …}`` for values of shape ``(candidates, *batch)``.
    strongest, weakest : Tensor
        Ends of the range, shape ``(*batch,)``.
    candidates, rounds : int
        Grid size and number of grids; the default resolves a range of 16 decades to a relative 1e-3.

    Returns
    -------
    chosen : Tensor
        Shape ``(*batch,)``.
    resolved : Tensor
        False for a sample where a rule that looks for the first candidate found none: the weakest is then taken.
    """
    high, low = strongest.log(), weakest.log()
    fraction = torch.linspace(0, 1, candidates, dtype=high.dtype, device=high.device)
    fraction = fraction.reshape(-1, *(1,) * high.ndim)
    resolved = torch.ones_like(high, dtype=torch.bool)
    for _ in range(rounds):
        grid = high + fraction * (low - high)
        scores = score(rule, params, evaluate(grid.exp()))
        if rule.traits["picks"] == "first":
            found = scores <= 0
            resolved = resolved & found.any(0)
            best = torch.where(found.any(0), found.to(torch.int8).argmax(0), candidates - 1)
            first, last = best - 1, best
        else:
            best = scores.nan_to_num(nan=torch.inf).argmin(0)
            first, last = best - 1, best + 1
        at = lambda i, grid=grid: grid.gather(0, i.clamp(0, candidates - 1).unsqueeze(0)).squeeze(0)  # noqa: E731
        chosen, high, low = at(best), at(first), at(last)
    return chosen.exp(), resolved
