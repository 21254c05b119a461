"""The curvature of a loss that is not quadratic: its Hessian as an operator, and the spectrum of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.density import Density, density_of_states
from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis, noises
from explorer.linalg import Space
from explorer.noise.base import NoiseModel
from explorer.operators.base import ForwardModel, LinearOperator
from explorer.priors.base import Prior

#: most unknowns for which all eigenvalues are computed
MAX_SIDE = 512
#: parts of the largest eigenvalue's size: below is the bulk at zero, above are outliers
BULK, OUTLIER = 0.01, 0.1

REAL_UNKNOWN = Capability(
    "a forward model between single spaces with a real unknown",
    lambda F: isinstance(F.domain, Space) and isinstance(F.codomain, Space) and not F.domain.is_complex,
)


class Hessian(LinearOperator):
    """The derivative of a gradient at a point, by differentiating that once more along with the vectors it meets.

    A product costs about as much as two gradients. The tape of the last batch shape is kept.

    Parameters
    ----------
    gradient : callable
        From elements of the space, shape ``(*batch, *domain.shape)``, to their gradients, of the same shape; each
        sample's of itself alone.
    x : Tensor
        The point, real, shape ``domain.shape``.
    domain : Space
    """

    title = "the Hessian"
    self_adjoint = True

    def __init__(self, gradient: Callable[[Tensor], Tensor], x: Tensor, domain: Space) -> None:
        if domain.is_complex:
            raise SpecError(f"a Hessian is taken with respect to a real unknown, and {domain} is complex", "domain")
        super().__init__(domain)
        self.gradient, self.x = gradient, x

    def _forward(self, v: Tensor) -> Tensor:
        batch, kept = self.domain.batch(v), self.__dict__.setdefault("_cache_tape", {})
        if batch not in kept:
            kept.clear()
            kept[batch] = torch.func.vjp(self.gradient, self.domain.expand(self.x, batch))[1]
        return kept[batch](v)[0]

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)


def hessian(loss: Callable[[Tensor], Tensor], x: Tensor) -> Hessian:
    """Return the Hessian of a loss at a point as a self-adjoint operator.

    Parameters
    ----------
    loss : callable
        From shape ``(*batch, *x.shape)`` to one value a sample, shape ``(*batch,)``, written in PyTorch; one that takes
        a single element becomes such by :func:`torch.func.vmap`.
    x : Tensor
        Real.

    Examples
    --------
    >>> import torch
    >>> H = hessian(lambda x: (x**4).sum(-1), torch.tensor([1.0, 2.0]))
    >>> H(torch.tensor([1.0, 1.0])).tolist()
    [12.0, 48.0]
    """
    return Hessian(_gradient(loss), x, Space(tuple(x.shape), x.dtype, x.device))


def _gradient(loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return torch.func.grad(lambda x: loss(x).sum())


@dataclass(frozen=True)
class HessianSpectrum:
    """How a loss curves at a point.

    Attributes
    ----------
    hessian, gauss_newton : Density
        Densities of the Hessian, and of its part ``Jᴴ L″ J`` that is positive where the misfit is convex.
    values : NDArray or None
        All eigenvalues of the Hessian, descending, of a small unknown.
    smallest, largest : float
        Least and largest eigenvalue; of a large unknown as Lanczos' process found them, which are within the spectrum.
    bulk : float
        Part of the eigenvalues that are smaller in size than a hundredth of the largest in size.
    outliers, negative : float
        Number of eigenvalues above a tenth of that size, and of those below minus a hundredth of it.
    nonlinearity : float
        ``‖H − Jᴴ L″ J‖ / ‖H‖``, of what the model's own curvature adds, times the misfit.
    gradient : float
        Norm of the gradient.
    sentence : str
        What this means.
    """

    hessian: Density
    gauss_newton: Density
    values: NDArray[np.floating] | None
    smallest: float
    largest: float
    bulk: float
    outliers: float
    negative: float
    nonlinearity: float
    gradient: float
    sentence: str


def shares(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the part of eigenvalues in the bulk at zero, the number of outliers and of negative ones.

    Parameters
    ----------
    values : Tensor
        Shape ``(*batch, n)``.
    """
    top = values.abs().amax(-1, keepdim=True)
    bulk = (values.abs() < BULK * top).double().mean(-1)
    return bulk, (values > OUTLIER * top).sum(-1), (values < -BULK * top).sum(-1)


def _estimated(found: Density) -> tuple[float, float, float]:
    """Return the same from counts above the points of a grid."""
    size = max(abs(found.grid[0]), abs(found.grid[-1]))

    def above(level: float) -> float:
        return float(np.interp(level * size, found.grid, found.above, left=found.size, right=0.0))

    return (above(-BULK) - above(BULK)) / found.size, above(OUTLIER), found.size - above(-BULK)


@analysis(
    "Hessian spectrum",
    papers=[
        "Pearlmutter 1994: Fast exact multiplication by the Hessian",
        "Ghorbani, Krishnan & Xiao 2019: An investigation into neural net optimization via Hessian eigenvalue density",
    ],
    equation=r"H = J^H L'' J + \sum_i L'_i \nabla^2 F_i",
)
@torch.no_grad()
def hessian_spectrum(
    F: Annotated[ForwardModel, REAL_UNKNOWN],
    y: Tensor,
    noise: NoiseModel | None = None,
    prior: Prior | None = None,
    x_true: Tensor | None = None,
    x0: Tensor | None = None,
    iterates: Sequence[tuple[int, Any]] | None = None,
    *,
    at: Annotated[
        Literal["truth", "start", "iterate"],
        Help("the true unknown, the starting point (zero if none), or a run's last iterate kept"),
    ] = "truth",
    steps: Annotated[int, Log(4, 1000, help="Lanczos steps a probe")] = 60,
    probes: Annotated[int, Log(2, 1000, help="random probes")] = 8,
    seed: Annotated[int, Linear(0, 2**31 - 1, help="seed of the probes")] = 0,
) -> HessianSpectrum:
    """How the loss curves at a point: steep directions, flat ones, and those that go down.

    The loss is the noise's negative log-likelihood, or half the squared misfit without noise, and the prior where that
    has a gradient. It is a bowl where no eigenvalue is negative; what Gauss–Newton methods leave out is the
    nonlinearity that is told.

    Raises
    ------
    SpecError
        If the data are a batch, the noise has no second derivative, or there is no such point.
    """
    X, Y = F.domain, F.codomain
    if y.ndim != Y.ndim:
        raise SpecError(f"has batch dimensions {Y.batch(y)}, and one loss is looked at", "y")
    start = X.zeros() if x0 is None else x0
    point = {"truth": x_true, "start": start, "iterate": iterates[-1][1] if iterates else None}[at]
    if point is None:
        raise SpecError(f"is {at!r}, and there is none: choose another point", "at")
    x = point if point.ndim == X.ndim else point.reshape(-1, *X.shape)[0]
    z, J = F.linearize(x)
    misfit = _misfit(noise, y, z, Y)
    smooth = prior if prior is not None and prior.has_gradient else None
    data = _gradient(lambda u: misfit(F._forward(u)))
    whole = Hessian(data if smooth is None else lambda u: data(u) + smooth.gradient(u), x, X)
    linear = _gradient(lambda u: misfit(z + J(u - x)))
    plain = Hessian(linear if smooth is None else lambda u: linear(u) + smooth.gradient(u), x, X)
    found, part = (density_of_states(H, steps=steps, probes=probes, seed=seed) for H in (whole, plain))
    values, said = None, "about "
    bulk, outliers, negative = _estimated(found)
    margin = 0.01 / 1.02 * (found.grid[-1] - found.grid[0])
    smallest, largest = float(found.grid[0] + margin), float(found.grid[-1] - margin)
    if X.size <= MAX_SIDE:
        matrix = whole.to_dense().double()
        eigenvalues = torch.linalg.eigvalsh((matrix + matrix.mT) / 2).flip(0)
        bulk, outliers, negative = (float(t) for t in shares(eigenvalues))
        values, said = eigenvalues.cpu().numpy(), ""
        smallest, largest = float(values[-1]), float(values[0])
    size = float(whole.norm())
    nonlinearity = float((whole - plain).norm()) / size if size else 0.0
    slope = float(X.norm(whole.gradient(x)))
    left_out = f"; {prior.title}, which has no gradient, is left out" if prior is not None and smooth is None else ""
    sentence = (
        f"Eigenvalues from {smallest:.3g} to {largest:.3g}: {said}{outliers:.0f} of {X.size:,} are above a tenth of "
        f"the largest, {said}{100 * bulk:.0f} % nearly zero and {said}{negative:.0f} negative; the model's own "
        f"curvature makes {100 * nonlinearity:.2g} % of the Hessian{left_out}."
    )
    counted = (bulk, outliers, negative)
    return HessianSpectrum(found, part, values, smallest, largest, *counted, nonlinearity, slope, sentence)


def _misfit(noise: NoiseModel | None, y: Tensor, z: Tensor, Y: Space) -> Callable[[Tensor], Tensor]:
    """Return the loss of predicted data; a level that is relative is taken at the prediction z."""
    if noise is None:
        return lambda clean: 0.5 * Y.norm2(clean - y)
    if any(c.function is type(noise) and not c.traits.get("smooth", True) for c in noises.values()):
        raise SpecError(f"{noise.title} has a likelihood without a second derivative", "noise")
    absolute = noise.at(z, Y)
    return lambda clean: absolute.nll(y, clean, Y)
