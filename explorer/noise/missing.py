"""Data that are not there."""

from __future__ import annotations

import copy
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, noise
from explorer.linalg import Rng, Space
from explorer.noise.base import Levelled, Scale, dims, element
from explorer.noise.levels import roughness

#: the axis along which a whole line is lost
LINES = {"columns": -2, "rows": -1}


@noise(
    "Missing data",
    name="missing",
    equation=r"y_i = (A x)_i + n_i \;\text{or, a share}\; p,\; 0",
    papers=["Rubin 1976: Inference and missing data"],
    biased=True,
    whitening=0.3,  # a datum that is missing tells nothing: the variance of all is 1 − p
    works="Dead pixels, detectors that failed, views that were not taken.",
    fails="Least squares, which fits the zeros as if they were measured: use the operator for missing data instead.",
)
class MissingNoise(Levelled):
    """A share of the data was not measured, and zeros stand in their places; the rest has Gaussian noise.

    A datum of exactly zero is missing, as others almost never are, and tells nothing of the truth: likelihood and
    whitening leave it out. Least squares does not, and fits the zeros. The operator ``missing_data`` has the same loss
    as part of what is measured, so that every method knows of it.
    """

    title = "Missing data"
    accepts: ClassVar[tuple[str, ...]] = ("negative", "complex")
    fraction: float | Tensor

    def __init__(
        self,
        *,
        fraction: Annotated[float, Linear(0, 1, help="p: share of the data that are missing")] = 0.3,
        pattern: Annotated[
            Literal["entries", "columns", "rows"],
            Help("what is missing: single data, or detectors (columns), or views (rows)"),
        ] = "entries",
        level: Annotated[float, Log(1e-6, 10, help="standard deviation of the others' noise")] = 0.01,
        scale: Scale = "relative",
    ) -> None:
        self.fraction, self.pattern, self.level, self.scale = fraction, pattern, level, scale

    def check(self, data: Any, *, noisy: bool = False) -> None:
        """Refuse data without the rows or columns that are to be missing.

        Raises
        ------
        SpecError
            If the data are blocks, or a line of them is to be missing and they have one dimension.
        """
        super().check(data, noisy=noisy)
        if self.pattern != "entries" and data.ndim < 2:
            raise SpecError(f"is {self.pattern!r}, and the data have one dimension: choose 'entries'", "pattern")

    def estimate(self, y: Any, space: Any) -> Self:
        """Return noise of the share of zeros, and of the level of the others where three neighbours are measured."""
        self.check(y, noisy=True)
        made = copy.copy(self)
        there = self.tells(y)
        made.fraction = 1 - there.sum(dims(space)) / space.size
        return made.absolute(roughness(torch.where(there, y, torch.nan), space))

    def sample(self, clean: Tensor, rng: Rng) -> Tensor:
        """Return ``clean + σ n``, and zero where a uniform number, one a datum or a line, is below p."""
        self.check(clean)
        space, lines = element(clean), list(clean.shape)
        y = clean + self.sigma(clean, space) * space.random(rng)
        if self.pattern in LINES:
            lines[LINES[self.pattern]] = 1
        return torch.where(rng.uniform(tuple(lines), torch.float64, clean.device) < self.fraction, 0, y)

    def nll(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``‖y − A x‖² / (2 σ²)`` over the data that are there; for complex data without the 2."""
        return (1 if space.is_complex else 0.5) * space.norm2(self.whiten(y, clean, space))

    def expected_norm(self, clean: Any, space: Any) -> Tensor:
        """Return ``((1 − p) m σ² + p ‖A x‖²)^½``."""
        there = (1 - self.fraction) * space.size * self.sigma(clean, space) ** 2
        return (there + self.fraction * space.norm2(clean)).sqrt()

    def whiten(self, y: Tensor, clean: Tensor, space: Space) -> Tensor:
        """Return ``(y − A x) / σ``, and zero for a datum that is missing."""
        return torch.where(self.tells(y), super().whiten(y, clean, space), 0)

    def tells(self, y: Tensor) -> Tensor:
        """Return which data are not exactly zero."""
        return y != 0
