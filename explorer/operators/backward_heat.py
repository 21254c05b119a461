"""The backward heat equation: temperatures of the past from those of today."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import SIGNAL
from explorer.operators.transforms import Cosine, Diagonalized

Signal = Annotated[Space, SIGNAL]


@operator(
    "Backward heat equation",
    papers=["John 1955: Numerical solution of the equation of heat conduction for preceding times"],
    finer={},
    equation=r"u_t = u_{xx},\ u_x = 0 \text{ at the ends},\ A u(0) = u(T)",
    works="Short times.",
    fails="Longer times: singular values fall faster than exponentially, and only the coarse course remains.",
)
def backward_heat(
    domain: Signal,
    *,
    time: Annotated[float, Log(1e-6, 1, help="time T that has passed, for a rod of length 1")] = 1e-3,
) -> LinearOperator:
    """Temperatures after a while from those at the start: each cosine falls by e^{−(kπ)²T}. As ill-posed as can be."""
    k = torch.arange(domain.size, dtype=torch.float64, device=domain.device)
    fall = torch.exp(-((math.pi * k) ** 2) * time).to(real_dtype(domain.dtype))
    made = Diagonalized(Cosine(domain), fall, positive=True)
    made.title = "Backward heat equation"
    return made


def heat_profile(n: int) -> Tensor:
    """Return a hot spot and a warm plateau, shape ``(n,)``, float64."""
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.exp(-(((x - 0.3) / 0.06) ** 2)) + 0.5 * ((x > 0.55) & (x < 0.85)).to(x.dtype)
