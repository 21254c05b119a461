"""Gauss–Newton for nonlinear least squares, with Levenberg–Marquardt damping."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Log, solver
from explorer.linalg import Blocks, safe_divide, where
from explorer.operators.base import ForwardModel
from explorer.solvers.cgls import cgls
from explorer.solvers.steps import Step


@solver(
    "Gauss–Newton",
    papers=[
        "Levenberg 1944: A method for the solution of certain non-linear problems in least squares",
        "Marquardt 1963: An algorithm for least-squares estimation of nonlinear parameters",
    ],
    solves="least_squares",
    equation=r"x \leftarrow x + \arg\min_h \|J h - (y - F(x))\|_2^2 + \mu \|h\|_2^2",
    reports=("residual", "gain", "damping"),
    per_step={"F": 2, "J": 30, "Jᴴ": 31},
    works="Smooth nonlinear models with a start near the answer.",
    fails="Far from the answer a step can lead astray; run on, it fits the noise.",
)
def gauss_newton(
    F: ForwardModel,
    y: Tensor | Blocks,
    x0: Tensor | Blocks | None = None,
    *,
    damping: Annotated[
        float | Tensor, Log(0, 1e6, help="first μ relative to ‖J‖²; 0: undamped, every step taken", batched=True)
    ] = 1e-3,
    inner: Annotated[int, Log(1, 1000, unit="steps", help="CGLS steps on each linearised problem")] = 30,
) -> Iterator[Step]:
    """Linearise, solve the linear least-squares problem by CGLS, and step where the misfit falls.

    The gain compares the decrease of ‖y − F(x)‖² with the one that the linearisation foretold. A sample whose misfit
    grew stays where it is, and its μ is quadrupled; where the model was good μ falls, at most tenfold.
    """
    X, Y = F.domain, F.codomain
    x = X.zeros(Y.batch(y)) if x0 is None else x0.clone()
    Fx, J = F.linearize(x)
    r = y - Fx
    g = J.adjoint(r)
    size = safe_divide(Y.norm2(J(g)), X.norm2(g))
    mu, largest = damping * size, size / X.eps
    while True:
        step = next(islice(cgls(J, r, damping=mu), inner - 1, None))
        trial = x + step.x
        misfit, residual = Y.norm2(r), y - F(trial)
        gain = safe_divide(misfit - Y.norm2(residual), misfit - step.scalars["residual"] ** 2)
        better = (gain > 0) | (damping == 0)
        x, r = where(better, trial, x), where(better, residual, r)
        mu = torch.where(better, mu * (1 - (2 * gain - 1) ** 3).clamp(0.1, 1), torch.minimum(4 * mu, largest))
        _, J = F.linearize(x)
        yield Step(x, residual=Y.norm(r), gain=gain, damping=mu)
