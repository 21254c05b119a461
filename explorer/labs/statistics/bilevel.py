r"""One regulariser for many problems, learned from validation errors: bilevel optimisation block by block.

Row 127: Hu, Qiu, Guo, Zhang & Yang 2023: Blockwise stochastic variance-reduced methods with parallel speedup for
multi-block bilevel optimization. ``min_x Σ_i f_i(θ_i(x))`` with ``θ_i(x) = argmin g_i(x, ·)`` has the gradient
``−∂²g_i/∂x∂θ z_i``, ``z_i = (∂²g_i/∂θ²)⁻¹ ∂f_i/∂θ``. Here g_i is ridge regression on the training data of problem i,
f_i the error on its validation data, and x the logarithms of the ridge weights, one a band of frequencies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Linear, Log, SpecError, problem, solver
from explorer.linalg import Rng, Space
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

_PAPERS = [
    "row 127",
    "Hu, Qiu, Guo, Zhang & Yang 2023: Blockwise stochastic variance-reduced methods with parallel speedup for "
    "multi-block bilevel optimization",
]


Since = Literal["visit", "step"]


@dataclass(frozen=True)
class RidgeFamily:
    """Ridge regressions that share their weights.

    Parameters
    ----------
    features, targets : Tensor
        Training data, shapes ``(m, n, d)`` and ``(m, n)``.
    held_out, answers : Tensor
        Validation data, shapes ``(m, k, d)`` and ``(m, k)``.
    band : Tensor
        Band of each unknown, shape ``(d,)``.
    bands : int
        Number of bands.
    """

    features: Tensor
    targets: Tensor
    held_out: Tensor
    answers: Tensor
    band: Tensor
    bands: int

    says = "a family of ridge regressions"
    _movable = True

    def weights(self, x: Tensor) -> Tensor:
        """Return the ridge weight of each unknown, shape ``(*batch, d)``."""
        return x.exp()[..., self.band]

    def solve(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the exact θ and z of every problem, shapes ``(m, d)``."""
        n, k = self.features.shape[1], self.held_out.shape[1]
        H = self.features.mT @ self.features / n + torch.diag(self.weights(x))
        factor = torch.linalg.cholesky(H)
        theta = torch.cholesky_solve((self.features.mT @ self.targets.unsqueeze(-1)) / n, factor)
        missed = self.held_out @ theta - self.answers.unsqueeze(-1)
        z = torch.cholesky_solve(self.held_out.mT @ missed / k, factor)
        return theta.squeeze(-1), z.squeeze(-1)

    def loss(self, theta: Tensor) -> Tensor:
        """Return the mean squared error on the validation data, over all problems."""
        return (torch.einsum("mkd,md->mk", self.held_out, theta) - self.answers).square().mean()

    def hypergradient(self, x: Tensor, theta: Tensor, z: Tensor) -> Tensor:
        """Return ``−Σ_{j in band} e^x θ_j z_j``, averaged over the problems given, shape ``(bands,)``."""
        each = -(self.weights(x) * theta * z).mean(0)
        return torch.zeros_like(x).index_add_(0, self.band, each)


def some_rows(X: Tensor, y: Tensor, blocks: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return these rows of these problems, shapes ``(I, B, d)`` and ``(I, B)``."""
    return X[blocks.unsqueeze(-1), rows], y[blocks.unsqueeze(-1), rows]


def mean_adjoint(X: Tensor, r: Tensor) -> Tensor:
    """Return ``Xᵀ r / B`` of every problem."""
    return (X.mT @ r.unsqueeze(-1)).squeeze(-1) / X.shape[-2]


@solver(
    "Blockwise variance-reduced bilevel descent",
    papers=_PAPERS,
    equation=r"\min_x \sum_i f_i(\theta_i(x)),\quad \theta_i(x) = \arg\min_\theta g_i(x, \theta)",
    reports=("objective",),
    works="One regulariser for many regressions, of which a step need only look at a few.",
    fails="Corrected as in the paper (since 'step') with few blocks a step: noise builds up and the weights run away.",
)
def blockwise_bilevel(
    tasks: RidgeFamily,
    x0: Tensor,
    rng: Rng,
    *,
    blocks: Annotated[int, Log(1, 10_000, help="problems I that a step samples")] = 16,
    rows: Annotated[int, Log(1, 10_000, help="data B of each that a step samples")] = 16,
    rate: Annotated[float, Log(1e-4, 10, help="step of x along the gradient of the logarithm of the loss")] = 0.3,
    inner: Annotated[float, Linear(0.01, 2, help="step of θ and z, relative to the inverse curvature")] = 1.0,
    memory: Annotated[float, Linear(0, 0.999, help="part of the tracked gradients that is kept")] = 0.9,
    since: Annotated[Since, Help("gradients are corrected for what changed since the last visit, or the last step")] = (
        "visit"
    ),
) -> Iterator[Step]:
    """Track θ, z and the hypergradient of sampled problems by stochastic gradients; nothing is inverted.

    This is the paper's second variant: z descends on ``½ zᵀHz − zᵀb`` with products H z alone. Gradients are tracked by
    recursive averages ``s ← (1 − α) s + α g + γ (g − g_before)`` with the same data in g and g_before. The paper goes
    back one step and makes up for problems sampled only now and then by ``γ = (m − I)/(I (1 − α)) + 1 − α``, which
    suits the small steps of its theory; with steps of practical size and I well below m, that factor lets noise in θ
    and z grow together, and x runs away. By default g_before is therefore that of a problem's own last visit, and
    ``γ = 1 − α``. Step lengths of θ and z follow the curvature of each problem. The objective is the loss with the
    tracked θ.
    """
    m, n, d = tasks.features.shape
    k, chosen, alpha = tasks.held_out.shape[1], min(blocks, m), 1 - memory
    gamma = memory if since == "visit" else (m - chosen) / (chosen * max(memory, 1e-3)) + memory
    curvature = torch.linalg.matrix_norm(tasks.features, 2).square() / n
    x = x0.clone()
    state = x.new_zeros(2, m, d)  # θ and z
    tracked = torch.zeros_like(state)
    last_x, last = x.expand(m, -1), state
    before_x, before, v = x, state, torch.zeros_like(x)
    first = True
    while True:
        some = rng.permutation(m, x.device)[:chosen]
        data = (
            *some_rows(tasks.features, tasks.targets, some, _drawn(rng, chosen, rows, n, x)),
            *some_rows(tasks.held_out, tasks.answers, some, _drawn(rng, chosen, rows, k, x)),
        )
        now, past = state[:, some], (last_x[some], last[:, some])
        if since == "step":
            past = (before_x.expand(chosen, -1), before[:, some])
        g = inner_gradients(tasks.weights(x), now, *data)
        change = g - inner_gradients(tasks.weights(past[0]), past[1], *data)
        h = tasks.hypergradient(x, *now)
        v = h if first else h + memory * (v - tasks.hypergradient(before_x, *before[:, some]))
        new = g if first else memory * tracked[:, some] + alpha * g + gamma * change
        last_x, last = last_x.index_copy(0, some, x.expand(chosen, -1)), last.index_copy(1, some, now)
        before_x, before, first = x, state, False
        tracked = tracked.index_copy(1, some, new)
        step = (inner / (curvature[some] + x.exp().max())).unsqueeze(-1)
        state = state.index_copy(1, some, now - step * new)
        loss = tasks.loss(state[0])
        x = x - rate * 2 * v / loss
        yield Step(x, objective=loss)


def inner_gradients(w: Tensor, state: Tensor, X: Tensor, y: Tensor, V: Tensor, c: Tensor) -> Tensor:
    """Return the gradients of g by θ and of ``½ zᵀHz − zᵀb`` by z, shape ``(2, I, d)``, on some data.

    Parameters
    ----------
    w : Tensor
        Ridge weights, shape ``(d,)`` or ``(I, d)``.
    state : Tensor
        θ and z, shape ``(2, I, d)``.
    X, y, V, c : Tensor
        Training and validation data, shapes ``(I, B, d)`` and ``(I, B)``.
    """
    theta, z = state
    g = mean_adjoint(X, (X @ theta.unsqueeze(-1)).squeeze(-1) - y) + w * theta
    q = mean_adjoint(X, (X @ z.unsqueeze(-1)).squeeze(-1)) + w * z
    b = mean_adjoint(V, (V @ theta.unsqueeze(-1)).squeeze(-1) - c)
    return torch.stack((g, q - b))


def _drawn(rng: Rng, blocks: int, rows: int, n: int, x: Tensor) -> Tensor:
    """Return row numbers with repetition, shape ``(blocks, rows)``; all rows once where as many are asked for."""
    if rows >= n:
        return torch.arange(n, device=x.device).expand(blocks, n)
    return (rng.uniform((blocks, rows), torch.float64, x.device) * n).long()


@solver(
    "Bilevel descent by exact hypergradients",
    papers=_PAPERS,
    equation=r"x \leftarrow x - \eta\, \nabla_x \log \sum_i f_i(\theta_i(x))",
    reports=("objective",),
    works="One regulariser for a family of regressions that can all be solved at every step.",
    fails="Many or large problems, as it factors each at every step; few validation data, which the weights then fit.",
)
def exact_bilevel(
    tasks: RidgeFamily,
    x0: Tensor,
    *,
    rate: Annotated[float, Log(1e-4, 10, help="step of x along the gradient of the logarithm of the loss")] = 0.3,
) -> Iterator[Step]:
    """Solve every problem exactly at every step: what the blockwise method is measured against."""
    x = x0.clone()
    while True:
        theta, z = tasks.solve(x)
        loss = tasks.loss(theta)
        x = x - rate * 2 * tasks.hypergradient(x, theta, z) / loss
        yield Step(x, objective=loss)


@problem("A regulariser for many regressions", papers=_PAPERS)
def ridge_family(
    rng: Rng,
    *,
    problems: Annotated[int, Log(1, 1000, help="number m of problems")] = 40,
    unknowns: Annotated[int, Log(2, 512, help="unknowns of a problem, in order of frequency")] = 24,
    bands: Annotated[int, Linear(1, 32, help="bands of frequencies with a ridge weight each")] = 4,
    data: Annotated[int, Log(2, 4096, help="training data of a problem, and as many for validation")] = 32,
    decay: Annotated[float, Linear(0, 4, help="true coefficients fall as frequency to minus this")] = 1.5,
    noise: Annotated[float, Log(0, 10, help="standard deviation of the noise of the data")] = 0.5,
    start: Annotated[float, Linear(-10, 10, help="logarithm of all ridge weights, to begin with")] = 0.0,
) -> Truth:
    """Regressions on independent features whose coefficients fall alike, so that one regulariser suits all.

    The unknown are the logarithms of the ridge weights of the bands; there is no truth, only validation errors.

    Raises
    ------
    SpecError
        If there are more bands than unknowns.
    """
    if bands > unknowns:
        raise SpecError(f"is {bands}, and there are only {unknowns} unknowns", "problem.params.bands")
    frequency = torch.arange(1, unknowns + 1, dtype=torch.float64)
    weights = rng.fork("weights").normal((problems, unknowns), torch.float64) * frequency**-decay
    made: list[Tensor] = []
    for part in ("training", "validation"):
        X = rng.fork(part).normal((problems, data, unknowns), torch.float64)
        error = rng.fork(f"{part} noise").normal((problems, data), torch.float64)
        made += [X, (X @ weights.unsqueeze(-1)).squeeze(-1) + noise * error]
    band = (torch.arange(unknowns) * bands) // unknowns
    domain = Space((bands,), torch.float64)
    family = RidgeFamily(made[0], made[1], made[2], made[3], band, bands)
    return Truth(None, {"tasks": family, "x0": torch.full((bands,), start, dtype=torch.float64)}, domain=domain)
