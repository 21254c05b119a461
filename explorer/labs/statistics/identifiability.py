r"""Which parameters data can determine: sensitivities, profile likelihoods, and measurements that settle the rest.

Row 236: Wang, Wang & Wang 2024: A systematic computational framework for practical identifiability analysis in
mathematical models arising from biology. With the sensitivities S (columns of the Jacobian) and the Fisher information
``SᵀS``, parameter i is explained by the others where ``K_i = ‖(I − S₋ᵢ S₋ᵢ⁺) sᵢ‖ / ‖sᵢ‖`` is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, SpecError, analysis, solver
from explorer.linalg import Space
from explorer.operators.base import ForwardModel
from explorer.solvers.steps import Step

_PAPERS = [
    "row 236",
    "Wang, Wang & Wang 2024: A systematic computational framework for practical identifiability analysis in "
    "mathematical models arising from biology",
]
#: most parameters, and most entries of the matrix of sensitivities
MAX_PARAMETERS, MAX_ENTRIES = 256, 2**22
#: rise of twice the negative log-likelihood that a parameter must cause to count as determined: χ²₁ at 95 %
RISE = 3.841


def _few_parameters(F: ForwardModel) -> bool:
    single = isinstance(F.domain, Space) and isinstance(F.codomain, Space) and not F.domain.is_complex
    return single and F.domain.size <= MAX_PARAMETERS and F.domain.size * F.codomain.size <= MAX_ENTRIES


FEW_PARAMETERS = Capability(f"a model of at most {MAX_PARAMETERS} real parameters", _few_parameters)
Threshold = Annotated[float, Log(1e-8, 1, help="a parameter counts as determined where K is above this")]


def sensitivities(F: ForwardModel, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``F(x)``, flat and real, and the Jacobian's columns, shapes ``(*batch, m)`` and ``(*batch, m, d)``."""
    value, J = F.linearize(x)
    batch, d = F.domain.batch(x), F.domain.size
    basis = torch.eye(d, dtype=x.dtype, device=x.device).reshape(d, *F.domain.shape)
    columns = [_real(F.codomain, J(e.expand(x.shape))) for e in basis]
    return _real(F.codomain, value), torch.stack(columns, -1).reshape(*batch, -1, d)


def _real(space: Space, y: Tensor) -> Tensor:
    flat = y.reshape(*space.batch(y), -1)
    return torch.cat((flat.real, flat.imag), -1) if flat.is_complex() else flat


def coordinate_metric(S: Tensor) -> Tensor:
    """Return ``K_i``, what the other columns leave of each one, relative to it; 0 for a column of zeros.

    Parameters
    ----------
    S : Tensor
        Shape ``(m, d)``.
    """
    d, left = S.shape[1], []
    for i in range(d):
        others = S[:, [j for j in range(d) if j != i]]
        u, s, _ = torch.linalg.svd(others, full_matrices=False)
        u = u[:, s > max(others.shape) * torch.finfo(S.dtype).eps * s.amax()] if d > 1 else u
        left.append((S[:, i] - u @ (u.mT @ S[:, i])).norm())
    size = S.norm(dim=0)
    return torch.where(size > 0, torch.stack(left) / torch.where(size > 0, size, 1), 0.0)


@dataclass(frozen=True)
class Identifiability:
    """What the data say of each parameter.

    Attributes
    ----------
    metric : NDArray
        ``K_i`` from 0 (explained by the others) to 1 (orthogonal to them), shape ``(d,)``.
    undetermined : NDArray of int
        Parameters with ``K_i`` at most the threshold.
    eigenvalues, directions : NDArray
        Of the Fisher information, ascending, shapes ``(d,)`` and ``(d, d)``: the columns that belong to small
        eigenvalues are combinations that the data do not determine.
    deviation : NDArray
        Standard deviation of each parameter with the given prior weight on undetermined directions, shape ``(d,)``;
        infinite without it where the Fisher information is singular. Unit noise where its size is not known.
    evaluations : int
        Evaluations of the model, a directional derivative counted as one.
    sentence : str
        What this means.
    """

    metric: NDArray[np.floating]
    undetermined: NDArray[np.integer]
    eigenvalues: NDArray[np.floating]
    directions: NDArray[np.floating]
    deviation: NDArray[np.floating]
    evaluations: int
    sentence: str


@analysis(
    "Practical identifiability",
    papers=_PAPERS,
    equation=r"K_i = \|(I - S_{-i} S_{-i}^+) s_i\| / \|s_i\|,\quad S = \partial F / \partial x",
)
@torch.no_grad()
def identifiability(
    F: Annotated[ForwardModel, FEW_PARAMETERS],
    x_true: Tensor,
    noise_norm: Tensor | float | None = None,
    *,
    threshold: Threshold = 0.01,
    weight: Annotated[float, Log(0, 1e12, help="inverse variance of a prior on undetermined directions alone")] = 0.0,
) -> Identifiability:
    """Say which parameters the data determine near a point, from derivatives there, without any fit.

    All ``K_i`` are positive exactly where the Fisher information is invertible. It is a statement on the linearised
    model: a profile likelihood looks further, at several thousand times the cost.
    """
    _, S = sensitivities(F, x_true)
    metric = coordinate_metric(S).cpu().numpy()
    sigma2 = 1.0
    if noise_norm is not None and float(torch.as_tensor(noise_norm).double().mean()) > 0:
        sigma2 = float(torch.as_tensor(noise_norm).double().mean()) ** 2 / S.shape[0]
    values, vectors = fisher(S)
    lost = values <= threshold**2 * values[-1]
    precision = values / sigma2 + weight * lost
    with np.errstate(divide="ignore"):
        variance = np.where(precision > 0, 1 / precision, np.inf)
    deviation = np.sqrt(np.where(vectors != 0, vectors**2 * variance, 0.0).sum(1))
    undetermined = np.flatnonzero(metric <= threshold)
    d = len(metric)
    said = "The data determine all parameters"
    if len(undetermined):
        named = ", ".join(map(str, undetermined))
        said = f"The data leave {len(undetermined)} of {d} parameters to the others (number {named}, from 0)"
    return Identifiability(
        metric, undetermined, values, vectors, deviation, d + 1, f"{said}; the smallest K is {metric.min():.2g}."
    )


def fisher(S: Tensor) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the eigenvalues of ``SᵀS``, ascending, and its eigenvectors, from the singular values of S."""
    _, s, vh = torch.linalg.svd(S, full_matrices=True)
    values = torch.zeros(S.shape[1], dtype=S.dtype, device=S.device)
    values[: len(s)] = s**2
    return values.flip(0).cpu().numpy(), vh.mT.flip(1).cpu().numpy()


@dataclass(frozen=True)
class Design:
    """Measurements added one by one.

    Attributes
    ----------
    chosen : NDArray of int
        Data entries in the order in which they were added, shape ``(k,)``.
    smallest : NDArray
        Smallest eigenvalue of the Fisher information before the first and after each, shape ``(k + 1,)``.
    metric : NDArray
        Smallest ``K_i`` likewise, shape ``(k + 1,)``.
    reached : bool
        Whether the threshold was reached.
    sentence : str
        What this means.
    """

    chosen: NDArray[np.integer]
    smallest: NDArray[np.floating]
    metric: NDArray[np.floating]
    reached: bool
    sentence: str


@analysis(
    "Measurements that make identifiable",
    papers=_PAPERS,
    equation=r"\max_j\; \lambda_{\min}(S_I^T S_I + s_j s_j^T) \text{ until } \min_i K_i \ge \theta",
)
@torch.no_grad()
def identifying_design(
    F: Annotated[ForwardModel, FEW_PARAMETERS],
    x_true: Tensor,
    *,
    start: Annotated[int, Log(1, 10_000, help="the first so many data are measured already")] = 8,
    threshold: Annotated[float, Log(1e-6, 1, help="every K must reach this")] = 0.1,
    most: Annotated[int, Log(1, 1000, help="at most so many are added")] = 20,
) -> Design:
    """Add, one at a time, the datum that raises the smallest eigenvalue of the Fisher information most.

    While that eigenvalue is zero to rounding, the datum that sees most of the directions not yet seen is taken.
    """
    _, S = sensitivities(F, x_true)
    m = S.shape[0]
    if start > m:
        raise SpecError(f"is {start}, and there are only {m} data", "start")
    information, used, chosen = S[:start].mT @ S[:start], list(range(start)), list[int]()
    smallest, metric = [], []
    while True:
        values, vectors = torch.linalg.eigh(information)
        smallest.append(float(values[0]))
        metric.append(float(coordinate_metric(S[used + chosen]).min()))
        if metric[-1] >= threshold or len(chosen) == min(most, m - start):
            break
        raised = torch.linalg.eigvalsh(information + S.unsqueeze(-1) * S.unsqueeze(-2))[:, 0]
        rounding = 16 * torch.finfo(S.dtype).eps * values[-1]
        if float(raised.max()) <= float(rounding):
            raised = (S @ vectors[:, values <= rounding]).square().sum(-1)
        raised[used + chosen] = -torch.inf
        chosen.append(int(raised.argmax()))
        information = information + S[chosen[-1]].outer(S[chosen[-1]])
    reached = metric[-1] >= threshold
    said = f"{len(chosen)} further data raise the smallest K from {metric[0]:.2g} to {metric[-1]:.2g}"
    return Design(
        np.array(chosen, int),
        np.array(smallest),
        np.array(metric),
        reached,
        said + ("." if reached else f", which is below {threshold:g}: the model itself may leave a combination open."),
    )


@dataclass(frozen=True)
class ProfileLikelihood:
    """How well the data can be fitted with one parameter held fixed.

    Attributes
    ----------
    values : NDArray
        Values at which each parameter was held, shape ``(d, 2 points)``.
    rise : NDArray
        Rise of ``‖F(x) − y‖² / σ²`` over the least value found, the others fitted again, shape ``(d, 2 points)``.
    undetermined : NDArray of int
        Parameters whose rise stays below that of a 95 % interval on one side of the point, or on both.
    evaluations : int
        Evaluations of the model, a directional derivative counted as one.
    sentence : str
        What this means.
    """

    values: NDArray[np.floating]
    rise: NDArray[np.floating]
    undetermined: NDArray[np.integer]
    evaluations: int
    sentence: str


@analysis(
    "Profile likelihood",
    papers=[
        "row 236",
        "Raue et al. 2009: Structural and practical identifiability analysis of partially observed dynamical models by "
        "exploiting the profile likelihood",
    ],
    equation=r"\min_{x :\, x_i = c} \|F(x) - y\|^2 / \sigma^2",
)
@torch.no_grad()
def profile_likelihood(
    F: Annotated[ForwardModel, FEW_PARAMETERS],
    y: Tensor,
    x_true: Tensor,
    noise_norm: Tensor | float,
    *,
    span: Annotated[float, Log(1e-3, 100, help="each parameter is moved by up to this, down and up")] = 1.0,
    points: Annotated[int, Linear(1, 200, help="values of each parameter on either side")] = 4,
    steps: Annotated[int, Log(1, 1000, help="damped Gauss–Newton steps of each fit")] = 15,
) -> ProfileLikelihood:
    """Hold each parameter at a row of values, fit the others, and see whether the misfit rises.

    Parameters
    ----------
    y : Tensor
        One set of data.
    """
    F.codomain.check(y, "the data")
    if F.codomain.batch(y):
        raise SpecError(f"needs one set of data, not a batch of {F.codomain.batch(y)}", "draws")
    d = F.domain.size
    sigma2 = float(torch.as_tensor(noise_norm)) ** 2 / F.codomain.size
    unit = torch.eye(d, dtype=x_true.dtype, device=x_true.device).expand(2, d, d)
    side = x_true.new_tensor([-1.0, 1.0]).reshape(2, 1, 1)
    centre, least = fit(F, y, x_true, torch.ones_like(unit[0, 0]), steps)
    x, misfits = centre.reshape(-1).expand(2, d, d), []
    for _ in range(points):  # outwards from the best fit, each from the one before
        moved = (x + side * unit * span / points).reshape(2, d, *F.domain.shape)
        x, misfit = fit(F, y, moved, 1 - unit, steps)
        x = x.reshape(2, d, d)
        misfits.append(misfit)
    below, above = (torch.stack(misfits, -1) - torch.minimum(least, torch.stack(misfits).min())).div(sigma2).unbind(0)
    offset = torch.arange(1, points + 1, dtype=x_true.dtype, device=x_true.device) * span / points
    undetermined = ((below.amax(-1) < RISE) | (above.amax(-1) < RISE)).nonzero().squeeze(-1).cpu().numpy()
    return ProfileLikelihood(
        (centre.reshape(-1, 1) + torch.cat((-offset.flip(0), offset))).cpu().numpy(),
        torch.cat((below.flip(-1), above), -1).cpu().numpy(),
        undetermined,
        (steps + 1) * (d + 1) * (2 * d * points + 1),
        f"Within ±{span:g} the data leave {len(undetermined)} of {d} parameters open on at least one side.",
    )


def fit(F: ForwardModel, y: Tensor, x: Tensor, free: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the parameters after so many damped steps, and their misfit ``‖F(x) − y‖²``.

    Parameters
    ----------
    x : Tensor
        Starts, shape ``(*batch, *domain.shape)``.
    free : Tensor
        1 where a parameter is fitted and 0 where it is held, shape ``(*batch, d)``.
    """
    made = _damped(F, y, x, free)
    for _ in range(steps):
        x, misfit = next(made)
    return x, misfit


def _damped(
    F: ForwardModel, y: Tensor, x: Tensor, free: Tensor, pull: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Levenberg–Marquardt with dense sensitivities and the penalty ``(x − x₀)ᵀ pull (x − x₀)``."""
    batch, data, x0 = F.domain.batch(x), _real(F.codomain, y), x
    value, S = sensitivities(F, x)
    S = S * free.unsqueeze(-2)
    pull = torch.zeros_like(S.mT @ S) if pull is None else pull

    def objective(value: Tensor, at: Tensor) -> Tensor:
        moved = (at - x0).reshape(*batch, -1, 1)
        return (value - data).square().sum(-1) + (moved * (pull @ moved)).sum((-2, -1))

    misfit, mu = objective(value, x), torch.full_like(free[..., 0], 1e-3)
    while True:
        moved = (x - x0).reshape(*batch, -1, 1)
        gradient = S.mT @ (value - data).unsqueeze(-1) + pull @ moved
        H = S.mT @ S + pull
        diagonal = H.diagonal(dim1=-2, dim2=-1)
        held = torch.where(diagonal > 0, mu.unsqueeze(-1) * diagonal, torch.ones_like(diagonal))
        step = -torch.linalg.solve_ex(H + torch.diag_embed(held), gradient)[0].squeeze(-1) * free
        trial = x + step.reshape(x.shape)
        trial_value, trial_S = sensitivities(F, trial)
        trial_misfit = objective(trial_value, trial)
        better = trial_misfit < misfit
        take = lambda a, b, mask=better: torch.where(mask.reshape(*batch, *(1,) * (a.ndim - len(batch))), a, b)  # noqa: E731
        x, value, S = take(trial, x), take(trial_value, value), take(trial_S * free.unsqueeze(-2), S)
        misfit = torch.where(better, trial_misfit, misfit)
        mu = torch.where(better, mu / 4, (mu * 4).clamp(max=1e12))
        yield x, misfit


@solver(
    "Gauss–Newton, undetermined directions held",
    papers=_PAPERS,
    equation=r"\min_x \|F(x) - y\|^2 + w \|U_0^T (x - x_0)\|^2",
    reports=("objective",),
    per_step={"F": 1},
    works="Models of few parameters, some combinations of which the data leave open.",
    fails="Held combinations stay where they started, right or wrong; which they are is settled at the start alone.",
)
def held_gauss_newton(
    F: Annotated[ForwardModel, FEW_PARAMETERS],
    y: Tensor,
    x0: Tensor,
    *,
    weight: Annotated[
        float | Tensor, Log(0, 1e12, help="strength w with which undetermined directions are held", batched=True)
    ] = 1.0,
    threshold: Threshold = 0.01,
) -> Iterator[Step]:
    """Levenberg–Marquardt with a penalty that acts only on the combinations which the data leave open at the start.

    These are the eigenvectors U₀ of the Fisher information there whose eigenvalues are at most threshold² of the
    largest. Others are fitted as without it: unlike Tikhonov's penalty it biases nothing that the data determine.
    """
    batch = F.codomain.batch(y)
    x = F.domain.expand(x0, batch)
    free = torch.ones(*batch, F.domain.size, dtype=x.dtype, device=x.device)
    _, S = sensitivities(F, x)
    eigenvalues, vectors = torch.linalg.eigh(S.mT @ S)
    lost = (eigenvalues <= threshold**2 * eigenvalues[..., -1:]).to(x.dtype)
    strength = torch.as_tensor(weight, dtype=x.dtype, device=x.device).expand(batch).reshape(*batch, 1, 1)
    pull = strength * (vectors * lost.unsqueeze(-2)) @ vectors.mT
    for fitted, objective in _damped(F, y, x, free, pull):
        yield Step(fitted, objective=objective)
