"""Why a run ended, per sample."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Reason(IntEnum):
    """Why a sample's run ended; `sentence` says it in words."""

    RUNNING = 0
    SOLVED = 1
    FINISHED = 2
    RULE = 3
    RESIDUAL = 4
    DISCREPANCY = 5
    STAGNATION = 6
    STEPS = 7
    COST = 8
    SECONDS = 9
    BREAKDOWN = 10
    CANCELLED = 11

    @property
    def sentence(self) -> str:
        """The reason as one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Reason.RUNNING: "The run has not ended.",
    Reason.SOLVED: "The direct method computed its answer.",
    Reason.FINISHED: "The method finished by itself.",
    Reason.RULE: "The rule picked this iterate.",
    Reason.RESIDUAL: "The relative residual reached its tolerance.",
    Reason.DISCREPANCY: "The residual reached the level of the noise.",
    Reason.STAGNATION: "The residual no longer decreased.",
    Reason.STEPS: "The budget of steps was used up.",
    Reason.COST: "The budget of operator applications was used up.",
    Reason.SECONDS: "The time budget was used up.",
    Reason.BREAKDOWN: "The residual became infinite or not a number, so the run was ended.",
    Reason.CANCELLED: "The run was cancelled; the result is the last iterate before that.",
}


def reasons(codes: NDArray[np.integer]) -> Reason | NDArray[np.object_]:
    """Return the reason of one code, or an array of them.

    Raises
    ------
    ValueError
        If a code is not one of a reason.
    """
    made = np.empty(codes.shape, dtype=object)
    for index, code in np.ndenumerate(codes):
        made[index] = Reason(int(code))
    return made if codes.ndim else made[()]
