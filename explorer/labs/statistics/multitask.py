r"""Ridge regression of several tasks that share a part, with its risk foretold by random matrix theory.

Row 275: Ilbert et al. 2024: Analysing multi-task regression via random matrix theory with application to time series
forecasting. Weights ``w_t = w_0 + v_t`` with the penalty ``‖w_0‖²/λ + Σ_t ‖v_t‖²/γ`` have the prior covariance
``(λ 1 1ᵀ + γ I) ⊗ I`` and a closed form. The theory here is the isotropic case: features of variance one, independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis, problem, solver
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.problems.base import Truth
from explorer.solvers.steps import Solution

_PAPERS = [
    "row 275",
    "Ilbert et al. 2024: Analysing multi-task regression via random matrix theory with application to time series "
    "forecasting",
]
#: most samples of all tasks together: their kernel matrix is factored densely
MAX_SAMPLES = 4096
#: steps of the fixed points, which contract
_STEPS = 200


class TaskFeatures(LinearOperator):
    """Predictions of every task, one after another: ``(X_1 w_1, …, X_T w_T)``.

    Parameters
    ----------
    domain : Space
        Weights, shape ``(T, d)``.
    features : sequence of Tensor
        ``X_t``, shapes ``(n_t, d)``.
    """

    title = "the features of the tasks"

    def __init__(self, domain: Space, features: Sequence[Tensor]) -> None:
        self.features = tuple(features)
        super().__init__(domain, Space((sum(map(len, self.features)),), domain.dtype, domain.device))

    @property
    def samples(self) -> list[int]:
        """Number of samples of every task."""
        return [len(X) for X in self.features]

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([w @ X.mT for w, X in zip(x.unbind(-2), self.features, strict=True)], -1)

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.stack([part @ X for part, X in zip(self.parts(y), self.features, strict=True)], -2)

    def parts(self, y: Tensor) -> tuple[Tensor, ...]:
        """Return the data of every task."""
        return y.split(self.samples, -1)


TASKS = Capability(
    f"the features of several tasks, with at most {MAX_SAMPLES} samples in all",
    lambda A: isinstance(A, TaskFeatures) and A.codomain.size <= MAX_SAMPLES,
)


def coupling(shared: Tensor, own: Tensor, tasks: int) -> Tensor:
    """Return ``λ 1 1ᵀ + γ I``, shape ``(*batch, T, T)``."""
    ones = torch.ones(tasks, tasks, dtype=shared.dtype, device=shared.device)
    return shared[..., None, None] * ones + own[..., None, None] * torch.eye(tasks, dtype=own.dtype, device=own.device)


def predicted_risk(prior: Tensor, samples: Tensor, unknowns: int, signal: Tensor, noise: Tensor | float) -> Tensor:
    """Return the mean squared test error of every task, noise included, for infinitely many unknowns.

    With ``M = (A⁻¹ + D)⁻¹``, ``D = diag(n_t / (1 + δ_t))`` and ``δ_t = d M_tt`` the mean estimate is ``K = M D`` times
    the truth, and the errors r solve ``r = diag((K − I) C (K − I)ᵀ) + σ² + V r``, ``V_ts = d M_ts² n_s / (1 + δ_s)²``.

    Parameters
    ----------
    prior : Tensor
        A, shape ``(*batch, T, T)``; may be singular.
    samples : Tensor
        n, shape ``(T,)``.
    unknowns : int
        d.
    signal : Tensor
        ``C_ts = ⟨w_t, w_s⟩``, shape ``(T, T)``.
    noise : Tensor or float
        σ².

    Returns
    -------
    Tensor
        Shape ``(*batch, T)``.
    """
    identity = torch.eye(len(samples), dtype=prior.dtype, device=prior.device)
    delta = torch.zeros_like(prior[..., 0])
    for _ in range(_STEPS):
        D = samples / (1 + delta)
        M = torch.linalg.solve(identity + prior * D.unsqueeze(-2), prior)
        delta = unknowns * M.diagonal(dim1=-2, dim2=-1)
    D = samples / (1 + delta)
    away = M * D.unsqueeze(-2) - identity
    bias = (away @ signal @ away.mT).diagonal(dim1=-2, dim2=-1)
    V = unknowns * M**2 * (samples / (1 + delta) ** 2).unsqueeze(-2)
    return torch.linalg.solve(identity - V, (bias + noise).unsqueeze(-1)).squeeze(-1)


def moments(A: TaskFeatures, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return estimates of ``⟨w_t, w_s⟩`` and of the noise variance from the data alone, for independent features.

    ``z_t = X_tᵀ y_t / n_t`` has mean w_t; products of two tasks are unbiased, and the square of one exceeds ``‖w‖²`` by
    ``(d + 1)/n ‖w‖² + d/n σ²``, where the data's power is ``‖w‖² + σ²``.
    """
    d = A.domain.shape[-1]
    n = torch.tensor(A.samples, dtype=y.dtype, device=y.device)
    z = A.adjoint(y) / n.unsqueeze(-1)
    power = torch.stack([part.square().mean(-1) for part in A.parts(y)], -1)
    C = z @ z.mT
    own = ((C.diagonal(dim1=-2, dim2=-1) - d / n * power) / (1 + 1 / n)).clamp(min=0)
    own = torch.minimum(own, power)
    noise = ((power - own) * n).sum(-1) / n.sum()
    C = C - torch.diag_embed(C.diagonal(dim1=-2, dim2=-1)) + torch.diag_embed(own)
    values, vectors = torch.linalg.eigh(C)  # products of few samples may exceed what sizes allow
    return (vectors * values.clamp(min=0).unsqueeze(-2)) @ vectors.mT, noise


def candidates(signal: Tensor, noise: Tensor, unknowns: int) -> tuple[Tensor, Tensor]:
    """Return λ and γ on a grid about what would suit a signal of this size, and zero, each of shape ``(c,)``."""
    size = signal.diagonal().mean() / unknowns / noise.clamp(min=1e-6 * signal.diagonal().mean())
    line = torch.cat((size.new_zeros(1), size * torch.logspace(-3, 1.5, 19, dtype=size.dtype, device=size.device)))
    shared, own = torch.meshgrid(line, line[1:], indexing="ij")
    return shared.reshape(-1), own.reshape(-1)


@solver(
    "Multi-task ridge regression",
    papers=_PAPERS,
    equation=r"\min_{w_0, v}\; \sum_t \|y_t - X_t (w_0 + v_t)\|^2 + \|w_0\|^2 / \lambda + \sum_t \|v_t\|^2 / \gamma",
    reports=("residual", "shared", "own"),
    works="Several regressions with weights that are alike, some of them with few samples.",
    fails="Features that are correlated or of unequal size, for which λ and γ of least predicted risk are wrong.",
)
def multi_task_ridge(
    A: Annotated[LinearOperator, TASKS],
    y: Tensor,
    *,
    choose: Annotated[Literal["risk", "given"], Help("risk: λ and γ of least predicted risk")] = "risk",
    shared: Annotated[float | Tensor, Log(0, 1e6, help="λ, size of the part that tasks share", batched=True)] = 1.0,
    own: Annotated[float | Tensor, Log(0, 1e6, help="γ, size of what each task has for itself", batched=True)] = 1.0,
) -> Solution:
    """Ridge regression with one part for all tasks and one for each, in closed form.

    The predicted risk takes the signal's and the noise's sizes from the data: nothing is held out.
    """
    assert isinstance(A, TaskFeatures)
    T = A.domain.shape[0]
    batch = A.codomain.batch(y)
    lam, gam = (torch.as_tensor(v, dtype=y.dtype, device=y.device).expand(batch) for v in (shared, own))
    if choose == "risk":
        flat = [_chosen(A, one) for one in y.reshape(-1, y.shape[-1])]
        lam, gam = (torch.stack(column).reshape(batch) for column in zip(*flat, strict=True))
    prior = coupling(lam, gam, T)
    X = torch.cat(A.features)
    task = torch.arange(T, device=y.device).repeat_interleave(torch.tensor(A.samples, device=y.device))
    kernel = (X @ X.mT) * prior[..., task, :][..., task]
    identity = torch.eye(len(X), dtype=y.dtype, device=y.device)
    alpha = torch.linalg.solve(kernel + identity, y.unsqueeze(-1)).squeeze(-1)
    x = prior @ A._adjoint(alpha)
    return Solution(x, residual=A.codomain.norm(y - A(x)), shared=lam, own=gam)


def _chosen(A: TaskFeatures, y: Tensor) -> tuple[Tensor, Tensor]:
    signal, noise = moments(A, y)
    lam, gam = candidates(signal, noise, A.domain.shape[-1])
    n = torch.tensor(A.samples, dtype=y.dtype, device=y.device)
    risk = predicted_risk(coupling(lam, gam, len(n)), n, A.domain.shape[-1], signal, noise).mean(-1)
    best = risk.nan_to_num(nan=torch.inf).argmin()
    pick = lambda values: values.gather(0, best.unsqueeze(0)).squeeze(0)  # noqa: E731
    return pick(lam), pick(gam)


@dataclass(frozen=True)
class MultiTaskRisk:
    """The predicted risk over a grid of parameters.

    Attributes
    ----------
    shared, own : NDArray
        λ and γ, shape ``(c,)``.
    risk : NDArray
        Predicted mean squared error at fresh features, noise included, shape ``(c, T)``.
    best : tuple of float
        The pair of least mean risk.
    joint, single : float
        Least mean risk of all pairs, and of those without a shared part.
    sentence : str
        What this means.
    """

    shared: NDArray[np.floating]
    own: NDArray[np.floating]
    risk: NDArray[np.floating]
    best: tuple[float, float]
    joint: float
    single: float
    sentence: str


@analysis(
    "Risk of multi-task ridge",
    papers=_PAPERS,
    equation=r"r = \mathrm{diag}((K - I) C (K - I)^T) + \sigma^2 + V r",
)
@torch.no_grad()
def multi_task_risk(
    A: Annotated[LinearOperator, TASKS],
    y: Tensor,
    x_true: Tensor | None = None,
    noise_norm: Tensor | None = None,
    *,
    known: Annotated[bool, Help("use the true weights' products and the noise's size, where there are any")] = True,
) -> MultiTaskRisk:
    """Foretell the test error for every pair of parameters, from sizes and angles of the tasks' weights alone.

    Raises
    ------
    SpecError
        If there is a batch of data and they are what the sizes are to be estimated from.
    """
    assert isinstance(A, TaskFeatures)
    d = A.domain.shape[-1]
    if known and x_true is not None and noise_norm is not None:
        signal, noise = x_true @ x_true.mT, noise_norm.double().mean() ** 2 / A.codomain.size
    elif A.codomain.batch(y):
        raise SpecError(f"needs one set of data, not a batch of {A.codomain.batch(y)}", "draws")
    else:
        signal, noise = moments(A, y)
    lam, gam = candidates(signal, noise.to(signal.dtype), d)
    n = torch.tensor(A.samples, dtype=signal.dtype, device=signal.device)
    risk = predicted_risk(coupling(lam, gam, len(n)), n, d, signal, noise)
    mean = risk.mean(-1)
    best, alone = int(mean.argmin()), float(mean[lam == 0].min())
    return MultiTaskRisk(
        lam.cpu().numpy(),
        gam.cpu().numpy(),
        risk.cpu().numpy(),
        (float(lam[best]), float(gam[best])),
        float(mean[best]),
        alone,
        f"Together the tasks reach a test error of {float(mean[best]):.3g}, each on its own {alone:.3g}.",
    )


@problem("Regression of related tasks", papers=_PAPERS)
def related_tasks(
    rng: Rng,
    *,
    unknowns: Annotated[int, Log(1, 1000, help="number d of weights of a task")] = 100,
    tasks: Annotated[int, Linear(1, 20, help="number of tasks")] = 2,
    fewest: Annotated[int, Log(1, 2000, help="samples of the first task")] = 60,
    most: Annotated[int, Log(1, 2000, help="samples of the last task; others lie between, geometrically")] = 240,
    correlation: Annotated[float, Linear(-1, 1, help="cosine between the weights of two tasks, on average")] = 0.9,
) -> Truth:
    """Independent normal features and weights of norm about one, which tasks have in common to some extent.

    Raises
    ------
    SpecError
        If more than two tasks are to be opposed to each other.
    """
    if correlation < 0 and tasks > 2:
        raise SpecError(f"is {correlation:g}, and {tasks} tasks cannot all oppose each other", "correlation")
    fraction = torch.linspace(0, 1, tasks, dtype=torch.float64)
    samples = (fewest * (most / fewest) ** fraction).round().long().tolist()
    common = rng.fork("common").normal((unknowns,), torch.float64)
    own = rng.fork("own").normal((tasks, unknowns), torch.float64)
    sign = torch.ones(tasks, 1, dtype=torch.float64)
    sign[1:] *= 1 if correlation >= 0 else -1
    weights = (sign * abs(correlation) ** 0.5 * common + (1 - abs(correlation)) ** 0.5 * own) / unknowns**0.5
    features = [rng.fork(f"features {t}").normal((n, unknowns), torch.float64) for t, n in enumerate(samples)]
    return Truth(weights, {"A": TaskFeatures(Space((tasks, unknowns), torch.float64), features)})
