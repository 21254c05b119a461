"""Inverse interpolation: values between the points of a grid, from those on it.

Keys 1981: Cubic convolution interpolation for digital image processing.
Gazzola, Hansen & Nagy 2019: IR Tools: a MATLAB package of iterative regularization methods and large-scale test
problems.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.catalogue import Help, Log, SpecError, operator
from explorer.linalg import Rng, Space
from explorer.operators.drawing import Drawing, sampled_places
from explorer.operators.sparse import SharedMatrix, SparseMatrix

Method = Literal["nearest", "linear", "cubic"]
#: half the width of each kernel, in grid steps
WIDTH = {"nearest": 0.5, "linear": 1.0, "cubic": 2.0}


class Interpolation(SparseMatrix):
    """Values at points between those of a grid.

    Parameters
    ----------
    domain : Space
        Grid functions; a grid step is 1 and the first point is at 0 in every dimension.
    number : int
        How many values are taken.
    rng : Rng
        Draws the points, uniformly over the grid.
    method : {"nearest", "linear", "cubic"}
        Kernel of the interpolation; beyond the border the outermost value goes on.
    """

    title = "Interpolation"

    def __init__(self, domain: Space, number: int, rng: Rng, method: Method) -> None:
        super().__init__(domain, Space((number,), domain.dtype, domain.device), SharedMatrix(self._weights))
        self.rng, self.method = rng, method
        self.nonnegative = method != "cubic"

    @property
    def points(self) -> NDArray[np.floating]:
        """Where values are taken, shape ``(m, domain.ndim)``, each from 0 to n − 1."""
        fractions = self.rng.fork("points").uniform((self.codomain.size, self.domain.ndim), torch.float64)
        return fractions.numpy() * (np.array(self.domain.shape) - 1)

    def _weights(self) -> Any:
        """Return the row-wise Kronecker product of the weights along each dimension."""
        from scipy.sparse import csr_array

        m, columns, values = (
            self.codomain.size,
            np.zeros((self.codomain.size, 1), int),
            np.ones((self.codomain.size, 1)),
        )
        for n, t in zip(self.domain.shape, self.points.T, strict=True):
            at, weight = along(t, n, self.method)
            columns = (n * columns[:, :, None] + at[:, None, :]).reshape(m, -1)
            values = (values[:, :, None] * weight[:, None, :]).reshape(m, -1)
        rows = np.arange(m).repeat(columns.shape[1])
        entries = (values.ravel(), (rows, columns.ravel()))
        return csr_array(entries, shape=(self.codomain.size, self.domain.size))

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the grid points nearest to where values are taken."""
        nearest = np.ravel_multi_index(tuple(np.rint(self.points).astype(int).T), self.domain.shape)
        return sampled_places("Where values are taken", "entries", self.domain.shape, torch.as_tensor(nearest), datum)


def along(t: NDArray[np.floating], n: int, method: Method) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """Return the neighbours of points in one dimension and their weights, both of shape ``(m, neighbours)``."""
    reach = math.ceil(WIDTH[method])
    at = np.floor(t).astype(int)[:, None] + np.arange(1 - reach, reach + 1)
    distance = np.abs(t[:, None] - at)
    if method == "nearest":
        weight = (at == np.floor(t + 0.5)[:, None]).astype(float)
    elif method == "linear":
        weight = np.maximum(1 - distance, 0)
    else:
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        weight = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return at.clip(0, n - 1), weight


@operator(
    "Inverse interpolation",
    name="inverse_interpolation",
    papers=[
        "Keys 1981: Cubic convolution interpolation for digital image processing",
        "Gazzola, Hansen & Nagy 2019: IR Tools: a MATLAB package of iterative regularization methods and large-scale "
        "test problems",
    ],
    equation=r"y_i = \sum_j x_j\, k(t_i - j)",
    works="Scattered samples, several for every point of the grid.",
    fails="Gaps: grid points that no sample touches are unknown, and those barely touched amplify noise.",
)
def inverse_interpolation(
    domain: Space,
    rng: Rng,
    *,
    share: Annotated[float, Log(0.01, 100, help="number of points a grid point")] = 1.0,
    method: Annotated[Method, Help("how values between grid points follow from those on them")] = "linear",
) -> Interpolation:
    """Values at scattered points, which interpolate those of a signal or an image on its grid: find the latter.

    Points are uniform at random. Where there are gaps between them, nothing is known of the grid.

    Raises
    ------
    SpecError
        If a side has fewer than two points.
    """
    if not isinstance(domain, Space) or min(domain.shape) < 2:
        raise SpecError(f"needs a grid of at least two points along every side, and {domain} is none", "domain")
    number = max(1, round(share * domain.size))
    return Interpolation(domain, number, rng, method)
