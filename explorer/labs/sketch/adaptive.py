"""Norms by sketches when each question may depend on the answers before it (row 22)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, analysis
from explorer.linalg import Rng

#: norms of unit vectors that the exponential mechanism chooses from
GRID = torch.arange(0.2, 2.0, 0.02, dtype=torch.float64)


@dataclass(frozen=True)
class AdaptiveQueries:
    """What an adversary has made of an estimator of norms.

    Attributes
    ----------
    estimate : NDArray
        What the sketches say of the norm of the last vector, whose norm is 1, shape ``(draws,)``.
    path : NDArray
        The same along the way, shape ``(points, draws)``.
    queries : NDArray of int
        Questions asked until then, shape ``(points,)``.
    sentence : str
        What this means.
    """

    estimate: NDArray[np.floating]
    path: NDArray[np.floating]
    queries: NDArray[np.integer]
    sentence: str


@analysis(
    "Adaptive questions to a sketch",
    papers=["row 22", "Beimel et al. 2022: Dynamic algorithms against an adaptive adversary"],
    equation=r"\Pr(r) \propto e^{-\frac{\varepsilon}{2} |\#\{\|S_l v\| \le r\} - m/2|}",
)
@torch.no_grad()
def adaptive_queries(
    *,
    estimator: Annotated[
        Literal["one", "median", "private"], Help("one sketch, the median of all, or a private median of some")
    ] = "private",
    copies: Annotated[int, Log(1, 1000, help="independent sketches")] = 60,
    subset: Annotated[int, Log(1, 1000, help="sketches in a private median, drawn anew for each question")] = 25,
    privacy: Annotated[float, Log(1e-3, 100, help="privacy loss ε of an answer: less is noisier and safer")] = 0.5,
    rows: Annotated[int, Log(1, 1000, help="rows of a sketch")] = 20,
    dimension: Annotated[int, Log(2, 1000, help="length of the vectors")] = 50,
    queries: Annotated[int, Log(1, 100_000, help="number of questions")] = 1500,
    step: Annotated[float, Log(1e-3, 1, help="length of the adversary's random steps")] = 0.3,
    draws: Annotated[int, Log(1, 100, help="independent repetitions")] = 5,
    seed: Annotated[int, Linear(0, 2**31, help="seed of sketches, adversary and answers")] = 0,
) -> AdaptiveQueries:
    """Let an adversary look for a unit vector whose norm is underestimated, by keeping what lowers the answer.

    A random step on the unit sphere is kept where the answer is less than the least before. One Gaussian sketch, or
    the median of several, tells so much of itself that the answers end far below 1. A median of a random subset by the
    exponential mechanism (a norm on a grid, likely where as many sketches are below it as above) tells too little: the
    least answer is soon one of noise, which no step can beat.

    Raises
    ------
    SpecError
        If a subset is larger than all sketches.
    """
    if estimator == "private" and subset > copies:
        raise SpecError(f"is {subset}, and there are {copies} copies", "subset")
    number = 1 if estimator == "one" else copies
    shape = (number * rows, dimension)
    sketches = Rng(seed, "sketches", draws).normal(shape, torch.float64) / math.sqrt(rows)
    moves = _each(Rng(seed, "adversary", draws).normal, queries, dimension)
    choices, noises = (
        _each(Rng(seed, name, draws).uniform, queries, size)
        for name, size in (("choices", number), ("noise", len(GRID)))
    )

    def norms(v: Tensor) -> Tensor:
        return (sketches @ v.unsqueeze(-1)).reshape(draws, number, rows).norm(dim=-1)

    def answer(v: Tensor) -> Tensor:
        found = norms(v)
        if estimator != "private":
            return found.median(-1).values
        return private_median(found.gather(-1, next(choices).argsort(-1)[:, :subset]), privacy, next(noises))

    v = _unit(next(moves))
    least, path, asked = answer(v), [norms(v).median(-1).values], [1]
    for k in range(2, queries + 1):
        tried = _unit(v + step / math.sqrt(dimension) * next(moves))
        told = answer(tried)
        better = told < least
        v, least = torch.where(better.unsqueeze(-1), tried, v), torch.where(better, told, least)
        if k % max(1, queries // 50) == 0 or k == queries:
            path.append(norms(v).median(-1).values)
            asked.append(k)
    final = path[-1]
    return AdaptiveQueries(
        final.numpy(),
        torch.stack(path).numpy(),
        np.array(asked),
        f"After {queries} questions the sketches say {float(final.mean()):.3g} of a vector of norm 1.",
    )


def private_median(values: Tensor, privacy: float, u: Tensor) -> Tensor:
    """Draw from the exponential mechanism on :data:`GRID`, whose score is the distance in rank from the median.

    Parameters
    ----------
    values : Tensor
        Shape ``(draws, m)``.
    privacy : float
        ε; one value more or less changes the odds of an answer by a factor of at most ``e^ε``.
    u : Tensor
        Uniform on [0, 1), one a value of the grid, shape ``(draws, len(GRID))``.
    """
    gumbel = -torch.log(-torch.log(u.clamp(min=1e-300)))
    return GRID[(log_odds(values, privacy) + gumbel).argmax(-1)]


def log_odds(values: Tensor, privacy: float) -> Tensor:
    """Return the logarithms of the odds of the grid's values, shape ``(*batch, len(GRID))``."""
    below = torch.searchsorted(values.sort(-1).values, GRID.expand(*values.shape[:-1], -1).contiguous(), right=True)
    return -privacy / 2 * (below - values.shape[-1] / 2).abs()


def _each(draw: Callable[..., Tensor], times: int, size: int) -> Iterator[Tensor]:
    """Draw so many vectors of a size, some at a time, which is faster than one by one."""
    for start in range(0, times, 128):
        yield from draw((min(128, times - start), size), torch.float64).unbind(1)


def _unit(v: Tensor) -> Tensor:
    return v / torch.linalg.vector_norm(v, dim=-1, keepdim=True)
