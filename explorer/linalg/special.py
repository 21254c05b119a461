"""Special functions, element by element."""

from __future__ import annotations

import torch
from torch import Tensor

#: below it ω(x) = exp(x) in double precision, as ω = exp(x − ω)
_LOW = -50.0


def wright_omega(x: Tensor) -> Tensor:
    """Return the ω > 0 that solves ``ω + log ω = x``, for real `x`: the function W(exp x) without its overflow.

    Three steps of fourth order, from the nearer of ``exp x`` and ``x − log x``. Fritsch, Shafer & Crowley 1973:
    Solution of the transcendental equation w exp(w) = x.
    """
    y = x.clamp(min=_LOW)
    large = y.clamp(min=1.0)
    w = torch.where(y < -2, y.clamp(max=0).exp(), ((y.clamp(max=1) - 1) * (2 / 3)).exp())
    w = torch.where(y > 1, large - large.log() + large.log() / large, w)
    for _ in range(3):
        r = (y - w - w.log()) / (1 + w)  # of order one at most, so that no square of it overflows
        s = 1 + w + r * (1 + w) * (2 / 3)
        w = w * (1 + r * (2 * s - r) / (2 * s - 2 * r))
    return torch.where(x < _LOW, x.clamp(max=_LOW).exp(), w)
