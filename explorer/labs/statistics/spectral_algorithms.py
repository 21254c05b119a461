r"""Learning curves of spectral algorithms: estimators that filter the spectrum of a kernel.

Row 294: Velikanov, Panov & Yarotsky 2024: Generalization error of spectral algorithms. Kernel eigenvalues
``λ_l = l^−ν``, coefficients of the target ``c_l² = l^−κ−1``, N observations with noise of deviation σ. The paper's
abstract model (naive noisy observations) sees every coefficient with noise of variance σ²/N; its concrete ones have
points on a grid of the circle, or Gaussian features. The first two are here, in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, analysis, problem
from explorer.linalg import Rng, Space
from explorer.operators.base import Diagonal
from explorer.problems.base import Truth

Filter = Literal["ridge", "gradient_flow", "cutoff", "optimal"]
Model = Literal["diagonal", "circle"]
Risk = Callable[[Tensor], Tensor]

_PAPER = "row 294"
_YEAR = "Velikanov, Panov & Yarotsky 2024: Generalization error of spectral algorithms"
#: modes of the diagonal model: one by one, then in blocks of this relative width, up to the last
_SINGLE, _WIDTH, _LAST = 512, 0.01, 1e12
#: periods on either side of the base band of the circle that are summed one by one
_ALIASES = 16
#: largest number of points on the circle
MAX_CIRCLE = 2**14


def filtered(kind: Filter, values: Tensor, parameter: Tensor) -> Tensor:
    """Return the filter ``h(λ)``: ridge ``λ/(λ+η)``, gradient flow ``1 − e^{−λ/η}`` (time 1/η), cut-off ``λ ≥ η``."""
    if kind == "ridge":
        return values / (values + parameter)
    if kind == "gradient_flow":
        return -torch.expm1(-values / parameter)
    return (values >= parameter).to(values.dtype)


def blocks_of_modes() -> tuple[Tensor, Tensor]:
    """Return representative modes l and how many modes each stands for: those from 1 to 10¹²."""
    edges = torch.exp(torch.arange(math.log(_SINGLE + 1), math.log(_LAST), _WIDTH, dtype=torch.float64)).round()
    single = torch.arange(1, _SINGLE + 1, dtype=torch.float64)
    middles = (edges[1:] + edges[:-1] - 1) / 2
    return torch.cat((single, middles)), torch.cat((torch.ones_like(single), edges.diff()))


@dataclass(frozen=True)
class SequenceModel:
    """Coefficients ``c_l`` seen with noise of variance `noise`; the estimate is ``h(λ_l) (c_l + noise)``.

    Parameters
    ----------
    values, power, weights : Tensor
        Eigenvalues λ, mean squares c² and number of modes of each block, shape ``(n,)``.
    noise : Tensor
        Variance of an observed coefficient, σ²/N, any shape.
    """

    values: Tensor
    power: Tensor
    weights: Tensor
    noise: Tensor

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the contributions of every block to bias and variance, ``(1−h)² c²`` and ``h² σ²/N``."""
        return self.weights * (1 - h) ** 2 * self.power, self.weights * h**2 * self.noise.unsqueeze(-1)

    def best(self) -> Tensor:
        """Return the filter of least risk, ``c² / (c² + σ²/N)``."""
        return self.power / (self.power + self.noise.unsqueeze(-1))


@dataclass(frozen=True)
class CircleModel:
    """N points on a grid of the circle: frequencies that differ by N look the same on it.

    With the eigenvalue ``Λ_k = Σ_n λ_{k+nN}`` of the kernel matrix and the shares ``a_n = λ_{k+nN} / Λ_k`` the estimate
    is ``a_n h(Λ_k) (Σ_m c_{k+mN} + noise)``; a random shift of the grid makes the aliases independent.

    Parameters
    ----------
    values : Tensor
        Λ_k, shape ``(n,)`` with one entry for each frequency ``k ≥ 0`` of the base band.
    shared, squares, power : Tensor
        ``Σ a_n c_n²``, ``Σ a_n²`` and ``Σ c_n²`` over the aliases of a frequency.
    weights : Tensor
        Frequencies ±k that an entry stands for.
    noise : Tensor
        σ²/N, any shape.
    """

    values: Tensor
    shared: Tensor
    squares: Tensor
    power: Tensor
    weights: Tensor
    noise: Tensor

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the contributions of every frequency: without noise, and by noise."""
        clean = self.power - 2 * h * self.shared + h**2 * self.squares * self.power
        return self.weights * clean, self.weights * h**2 * self.squares * self.noise.unsqueeze(-1)

    def best(self) -> Tensor:
        """Return the filter of least risk."""
        return self.shared / (self.squares * (self.power + self.noise.unsqueeze(-1)))


def circle_model(points: int, nu: float, kappa: float, noise: Tensor) -> CircleModel:
    """Return the model of `points` points, whose modes are l = 1 + 2|k|.

    Sums over aliases beyond the sixteenth are integrals, ``Σ_{n>R} n^−p ≈ (R + ½)^{1−p} / (p − 1)``.
    """
    k = torch.arange(points // 2 + 1, dtype=torch.float64)
    n = torch.arange(-_ALIASES, _ALIASES + 1, dtype=torch.float64).unsqueeze(-1)
    mode = 1 + 2 * (k + n * points).abs()
    tail = lambda p: 2 * (2.0 * points) ** -p * (_ALIASES + 0.5) ** (1 - p) / (p - 1)  # noqa: E731
    total = lambda p: (mode**-p).sum(0) + tail(p)  # noqa: E731
    values = total(nu)
    weights = torch.full_like(k, 2.0)
    weights[0] = 1
    if points % 2 == 0:
        weights[-1] = 1  # k = N/2 and −N/2 are aliases of each other
    mixed = total(nu + kappa + 1) / values
    return CircleModel(values, mixed, total(2 * nu) / values**2, total(kappa + 1), weights, noise)


def least_risk(risk: Risk, low: float, high: float, batch: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the parameter of least risk per sample, and that risk, by four ever finer logarithmic grids.

    Parameters
    ----------
    risk : callable
        Parameters of shape ``(candidates, *batch)`` to risks of that shape.
    low, high : float
        Ends of the range.
    """
    first = torch.full(batch, math.log(low), dtype=torch.float64)
    last = torch.full(batch, math.log(high), dtype=torch.float64)
    fraction = torch.linspace(0, 1, 25, dtype=torch.float64).reshape(-1, *(1,) * len(batch))
    for _ in range(4):
        grid = first + fraction * (last - first)
        found, index = risk(grid.exp()).min(0)
        pick = lambda i, grid=grid: grid.gather(0, i.clamp(0, 24).unsqueeze(0)).squeeze(0)  # noqa: E731
        chosen, first, last = pick(index), pick(index - 1), pick(index + 1)
    return chosen.exp(), found


@dataclass(frozen=True)
class LearningCurve:
    """Risk against the number of observations, with the best parameter for each.

    Attributes
    ----------
    observations : NDArray
        N, shape ``(k,)``.
    risk, parameter : NDArray
        Least risk and its parameter (NaN for the optimal filter), shape ``(k,)``.
    slope : float
        Fitted exponent s of ``risk ~ N^−s``.
    expected : float
        Its asymptotic value with noise, ``m / (m + 1)``: m is κ, for ridge at most 2ν.
    saturated : bool
        Whether the filter is too blunt for so smooth a target (ridge with κ > 2ν).
    bias_scale, variance_scale : NDArray
        Mode l below which half the bias and half the variance lie, shape ``(k,)``: where in the spectrum the loss sits.
    sentence : str
        What this means.
    """

    observations: NDArray[np.floating]
    risk: NDArray[np.floating]
    parameter: NDArray[np.floating]
    slope: float
    expected: float
    saturated: bool
    bias_scale: NDArray[np.floating]
    variance_scale: NDArray[np.floating]
    sentence: str


@analysis(
    "Learning curve of a spectral algorithm",
    papers=[_PAPER, _YEAR],
    equation=r"\sum_l (1 - h(\lambda_l))^2 c_l^2 + \frac{\sigma^2}{N} \sum_l h(\lambda_l)^2",
)
def spectral_learning_curve(
    *,
    kind: Annotated[Filter, Help("how the spectrum is filtered")] = "ridge",
    model: Annotated[Model, Help("noisy coefficients, or points on a grid of the circle")] = "diagonal",
    nu: Annotated[float, Linear(0.2, 10, help="eigenvalues fall as l to the power −ν")] = 1.5,
    kappa: Annotated[float, Linear(0.2, 20, help="squared coefficients fall as l to the power −κ − 1")] = 2.0,
    sigma: Annotated[float, Log(0, 100, help="standard deviation of the noise")] = 1.0,
    first: Annotated[int, Log(2, 2**24, help="smallest number of observations")] = 2**8,
    last: Annotated[int, Log(4, 2**24, help="largest number of observations")] = 2**16,
    points: Annotated[int, Linear(2, 60, help="points of the curve")] = 9,
) -> LearningCurve:
    """Risk of the best-tuned filter as data grow, its exponent, and where in the spectrum the loss sits.

    Ridge treats every mode above its parameter with a relative error η/λ and so cannot use smoothness beyond κ = 2ν;
    gradient flow and cut-off can. Without noise the two models differ: noisy coefficients are then known exactly, and
    points on a grid still cannot tell aliases apart; with noise their risks approach each other (universality).

    Raises
    ------
    SpecError
        If the largest number of observations is below the smallest, or the circle is asked for too many points or for
        eigenvalues without a finite sum.
    """
    if last <= first:
        raise SpecError(f"is {last}, and must be above the smallest number of observations, {first}", "last")
    N = torch.logspace(math.log2(first), math.log2(last), points, base=2.0, dtype=torch.float64).round()
    if model == "diagonal":
        mode, weights = blocks_of_modes()
        families: list[tuple[SequenceModel | CircleModel, Tensor]] = [
            (SequenceModel(mode**-nu, mode ** (-kappa - 1), weights, sigma**2 / N), mode)
        ]
    else:
        if last > MAX_CIRCLE:
            raise SpecError(f"is {last}, and the circle takes at most {MAX_CIRCLE} points", "last")
        if nu <= 1:
            raise SpecError(f"is {nu:g}, and a kernel on the circle needs ν above 1 for a finite sum", "nu")
        each = [circle_model(int(n), nu, kappa, sigma**2 / n.unsqueeze(0)) for n in N]
        families = [(m, 1 + 2 * torch.arange(len(m.values), dtype=torch.float64)) for m in each]
    found = [_tuned(kind, made, mode) for made, mode in families]
    risk, parameter, bias, variance = (torch.cat(column).numpy() for column in zip(*found, strict=True))
    m = min(kappa, 2 * nu) if kind == "ridge" else kappa
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = -float(np.polyfit(np.log(N.numpy()), np.log(risk), 1)[0]) if (risk > 0).all() else math.nan
    saturated = kind == "ridge" and kappa > 2 * nu
    title = kind.replace("_", " ")
    said = f"With the best parameter the risk of the {title} filter falls as N^−{slope:.2f}"
    ends = f": it is saturated, κ = {kappa:g} is above 2ν = {2 * nu:g}, and a sharper filter falls faster."
    return LearningCurve(
        N.numpy(), risk, parameter, slope, m / (m + 1), saturated, bias, variance, said + (ends if saturated else ".")
    )


def _tuned(kind: Filter, made: SequenceModel | CircleModel, mode: Tensor) -> tuple[Tensor, ...]:
    """Return least risk, its parameter and the scales of bias and variance, each of the shape of the noise."""
    low, high = float(made.values.min()) / 10, 10 * float(made.values.max())
    low = max(low, 1e-14 * high)

    def parts(parameter: Tensor) -> tuple[Tensor, Tensor]:
        return made.parts(filtered(kind, made.values, parameter.unsqueeze(-1)))

    if kind == "optimal":
        chosen = torch.full_like(made.noise, math.nan)
        bias, variance = made.parts(made.best())
    else:
        chosen, _ = least_risk(lambda p: torch.stack(parts(p)).sum((0, -1)), low, high, tuple(made.noise.shape))
        bias, variance = parts(chosen)
    scales = [_median(part, mode) for part in (bias, variance.expand_as(bias))]
    return (bias + variance).sum(-1), chosen, *scales


def _median(parts: Tensor, mode: Tensor) -> Tensor:
    """Return the mode below which half of the sum lies."""
    share = parts.cumsum(-1)
    return mode[(share < share[..., -1:] / 2).sum(-1).clamp(max=len(mode) - 1)]


@problem("Power-law coefficients", papers=[_PAPER, _YEAR], equation=r"\lambda_l = l^{-\nu},\quad c_l^2 = l^{-\kappa-1}")
def power_law_coefficients(
    rng: Rng,
    *,
    size: Annotated[int, Log(8, 2**16, help="number of modes")] = 1024,
    nu: Annotated[float, Linear(0.2, 5, help="eigenvalues fall as l to the power −ν")] = 1.5,
    kappa: Annotated[float, Linear(0.2, 20, help="squared coefficients fall as l to the power −κ − 1")] = 2.0,
) -> Truth:
    """Coefficients of random sign in the eigenbasis of a kernel, seen through ``A = diag(√λ)``.

    The unknown is ``x = c / √λ``, so that Tikhonov's ``A x_η`` is the ridge filter λ/(λ+η) on the data, and Landweber's
    the gradient flow: the row's risk is the error of the predicted data.
    """
    mode = torch.arange(1, size + 1, dtype=torch.float64)
    sign = rng.normal((size,), torch.float64).sign()
    A = Diagonal(Space((size,), torch.float64), mode ** (-nu / 2), positive=True)
    return Truth(sign * mode ** ((nu - kappa - 1) / 2), {"A": A})
