"""Dose and time curves of Hill's form, the smallest model of biology whose parameters data may fail to determine."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, operator, problem
from explorer.linalg import Rng, Space
from explorer.operators.base import ForwardModel
from explorer.problems.base import Truth

_PAPERS = [
    "Hill 1910: The possible effects of the aggregation of the molecules of haemoglobin on its dissociation curves"
]


class HillCurves(ForwardModel):
    """``y(t) = b + a / (1 + (K/t)^h)`` for groups of four numbers b, a, log K, log h.

    Parameters
    ----------
    domain : Space
        Real, of a multiple of four entries.
    times : Tensor
        Positive, shape ``(m,)``.
    """

    title = "the Hill curve"

    def __init__(self, domain: Space, times: Tensor) -> None:
        self.domain, self.times = domain, times
        groups = domain.size // 4
        self.codomain = Space((groups, len(times)) if groups > 1 else (len(times),), domain.dtype, domain.device)

    def _forward(self, x: Tensor) -> Tensor:
        batch = self.domain.batch(x)
        base, height, half, power = x.reshape(*batch, -1, 4).unsqueeze(-1).unbind(-2)
        y = base + height * torch.sigmoid(power.exp() * (self.times.log() - half))
        return y.reshape(*batch, *self.codomain.shape)


@operator(
    "Hill curve",
    papers=_PAPERS,
    equation=r"y(t) = b + a\, \frac{t^h}{K^h + t^h}",
    works="Responses to dose or time that are measured from the baseline up to saturation.",
    fails="Data that end far below saturation: height and half-saturation cannot be told apart.",
)
def hill_curve(
    domain: Space,
    *,
    first: Annotated[float, Log(1e-4, 1e4, help="first time or dose")] = 0.05,
    last: Annotated[float, Log(1e-4, 1e4, help="last time or dose")] = 30.0,
    times: Annotated[int, Log(1, 10_000, help="number of times")] = 20,
    spacing: Annotated[Literal["log", "linear"], Help("how the times are spread")] = "log",
) -> HillCurves:
    """Saturating response with baseline b, height a, half-saturation K and steepness h, of which K and h as logarithms.

    Raises
    ------
    SpecError
        If the unknown is complex or not in groups of four, or the last time is before the first.
    """
    if not isinstance(domain, Space) or domain.is_complex or domain.size % 4:
        raise SpecError(
            f"needs real numbers in groups of four (baseline, height, log K, log h), not {domain}", "operator"
        )
    if last <= first:
        raise SpecError(f"is {last:g}, and must be after the first time, {first:g}", "operator.params.last")
    dtype = torch.float64 if domain.device.type != "mps" else domain.dtype
    ends = torch.tensor([first, last], dtype=dtype)
    low, high = (ends.log() if spacing == "log" else ends).tolist()
    grid = torch.linspace(low, high, times, dtype=dtype)
    return HillCurves(domain, (grid.exp() if spacing == "log" else grid).to(domain.device, domain.dtype))


@problem("Parameters of a Hill curve", papers=_PAPERS)
def hill_parameters(
    rng: Rng,
    *,
    half: Annotated[float, Log(1e-3, 1e3, help="half-saturation K")] = 3.0,
    steepness: Annotated[float, Log(0.1, 20, help="Hill coefficient h")] = 2.0,
    spread: Annotated[float, Linear(0, 1, help="relative random deviation of the four parameters")] = 0.0,
) -> Truth:
    """Baseline 0.1, height 1, log K and log h, with the same as start but for 20 % less height and 20 % larger K.

    Early data, ``t`` far below K, show only ``b + a (t/K)^h``: the height a and K cannot be told apart.
    """
    x = torch.tensor([0.1, 1.0, half, steepness], dtype=torch.float64)
    x = x * (1 + spread * (2 * rng.uniform((4,), torch.float64) - 1))
    x[2:] = x[2:].log()
    start = x + torch.tensor([0, -0.2, 0.2, 0], dtype=torch.float64)
    return Truth(x, {"x0": start})
