"""What came of a sweep: curves, the choices of rules, and the solutions along it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.engine.problem import Problem
from explorer.engine.spec import RunSpec


@dataclass(frozen=True)
class RuleComparison:
    """What every rule chooses, and the error to which it leads.

    Attributes
    ----------
    spec : RunSpec
        What was asked.
    problem : Problem
        On which it was.
    along : str
        ``"parameter"`` of a direct method, ``"steps"``, or the dotted name of a knob.
    parameter : str
        Name of the knob that is chosen, or ``step``.
    values : NDArray
        Candidates, from the strongest regularization to the weakest: a parameter falls, steps rise; shape ``(k,)``.
    curves : dict
        ``residual`` and, with a truth, ``error`` (relative) of every candidate, ``(k, *batch)``; of a parameter
        ``solution_norm`` as well.
    scores : dict
        Rule to its score of every candidate, shape ``(k, *batch)``.
    chosen : dict
        Rule to the index of its choice, shape ``(*batch,)``; −1 where it found none.
    refused : dict
        Rule to the sentence why it does not apply.
    path : Path or None
        The solutions, where they came with the sweep; those of a direct method :func:`path` makes.
    history : mapping
        Of the iteration, where steps are the candidates.
    """

    spec: RunSpec
    problem: Problem
    along: str
    parameter: str
    values: NDArray[np.floating]
    curves: dict[str, NDArray[np.floating]]
    scores: dict[str, NDArray[np.floating]]
    chosen: dict[str, NDArray[np.integer]]
    refused: dict[str, str]
    path: Path | None = None
    history: Mapping[str, Any] = field(default_factory=dict)

    def at(self, value: float) -> str:
        """Say at which value of what is swept, such as ``λ = 0.01`` or ``step 12``."""
        if self.along == "steps":
            return f"step {value:.0f}"
        return f"{'λ' if self.along == 'parameter' else self.parameter.replace('_', ' ')} = {value:.3g}"

    def value(self, rule: str) -> NDArray[np.floating]:
        """Return the parameter that a rule chose, NaN where it found none, shape ``(*batch,)``."""
        return np.where(self.chosen[rule] < 0, np.nan, self.values[self.chosen[rule]])

    def error(self, rule: str) -> NDArray[np.floating]:
        """Return the relative error at a rule's choice, NaN where it found none, shape ``(*batch,)``."""
        at = np.maximum(self.chosen[rule], 0)[None]
        return np.where(self.chosen[rule] < 0, np.nan, np.take_along_axis(self.curves["error"], at, 0)[0])

    @property
    def least_error(self) -> NDArray[np.floating]:
        """The least relative error of any candidate, shape ``(*batch,)``."""
        return np.nanmin(self.curves["error"], axis=0)

    def table(self) -> list[tuple[str, float, float, float]]:
        """Return rule, parameter, error and error over the least one, medians over draws, the best first."""
        rows = []
        for rule in self.chosen:
            value, error = np.nanmedian(self.value(rule)), np.nan
            if "error" in self.curves:
                error = float(np.nanmedian(self.error(rule)))
            rows.append((rule, float(value), error, error / float(np.median(self._least()))))
        return sorted(rows, key=lambda row: (np.isnan(row[2]), row[2]))

    def _least(self) -> NDArray[np.floating]:
        return self.least_error if "error" in self.curves else np.array(np.nan)

    def __repr__(self) -> str:
        lines = [f"{'rule':18} {self.parameter:>16} {'error':>8} {'/ least':>8}"]
        lines += [f"{rule:18} {value:16.4g} {error:8.3f} {ratio:8.3f}" for rule, value, error, ratio in self.table()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Path:
    """Solutions along a swept parameter, for looking at them without solving again.

    Attributes
    ----------
    values : NDArray
        Of the parameter, ascending, shape ``(k,)``.
    indices : NDArray
        Their places among the candidates of the sweep.
    x, fit : Tensor
        Solutions, shape ``(k, *batch, *shape)``, and the data that they predict; on the CPU.
    """

    values: NDArray[np.floating]
    indices: NDArray[np.integer]
    x: torch.Tensor
    fit: torch.Tensor
