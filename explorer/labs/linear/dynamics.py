r"""Linear dynamical systems, identified by regression on past inputs after a filter has shortened their memory.

Marsden & Hazan 2025: Universal Sequence Preconditioning (first as: Dimension-free Regret for Learning Asymmetric Linear
Dynamical Systems).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, problem, solver
from explorer.linalg import Rng, Space, axpy, clone, safe_divide
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.rows import HAS_ROWS, dense
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

_PAPERS = ["row 159", "Marsden & Hazan 2025: Dimension-free Regret for Learning Asymmetric Linear Dynamical Systems"]
#: largest number of entries of the matrix of past inputs
MAX_ENTRIES = 2**24


def chebyshev_coefficients(degree: int) -> Tensor:
    """Return c with c₀ = 1 such that ``Σ c_i z^{n−i}`` is the monic Chebyshev polynomial of degree n, float64.

    Of all monic polynomials of its degree it is the smallest on [−1, 1], of modulus at most ``2^{1−n}``.
    """
    power = np.polynomial.chebyshev.cheb2poly(np.eye(degree + 1)[degree])
    return torch.from_numpy((power / power[-1])[::-1].copy())


def precondition(sequence: Tensor, coefficients: Tensor) -> Tensor:
    """Return ``Σ_i c_i y_{t−i}`` for every t, with zeros before the start; shape ``(*batch, T)``."""
    total = torch.zeros_like(sequence)
    for i, c in enumerate(coefficients.tolist()):
        total[..., i:] += c * sequence[..., : sequence.shape[-1] - i]
    return total


def lagged(inputs: Tensor, lags: int) -> Tensor:
    """Return the matrix of past inputs, ``u_{t−j}`` in row t and column j < lags, zero before the start."""
    padded = torch.cat((inputs.new_zeros(lags - 1), inputs))
    return padded.unfold(0, lags, 1).flip(-1)


def sector_gram(lags: int, angle: float) -> Tensor:
    r"""Return ``∫ μ μᴴ`` over ``|λ| ≤ 1, |arg λ| ≤ angle`` for ``μ = (1, λ, λ², …)``, symmetric, float64.

    In polar coordinates ``Z_jk = ∫ r^{j+k+1} dr ∫ cos((j − k)θ) dθ = 2 sin((j − k) β) / ((j − k)(j + k + 2))``. Its
    eigenvalues fall fast where the angle β is small: a few eigenvectors carry the memory of all such systems.
    """
    i = torch.arange(lags, dtype=torch.float64)
    gap, total = i[:, None] - i, i[:, None] + i + 2
    return 2 * angle * torch.sinc(gap * angle / math.pi) / total


def spectral_filters(lags: int, count: int, angle: float) -> Tensor:
    """Return the leading eigenvectors of :func:`sector_gram` as columns, shape ``(lags, count)``."""
    return torch.linalg.eigh(sector_gram(lags, angle))[1].flip(-1)[:, :count].contiguous()


@problem("Linear dynamical system", name="dynamics", papers=_PAPERS, equation=r"y_t = \textstyle\sum_j g_j u_{t-j}")
def dynamics(
    rng: Rng,
    *,
    steps: Annotated[int, Log(32, 100_000, unit="samples", help="length T of inputs and outputs")] = 1000,
    states: Annotated[int, Log(2, 4096, help="dimension of the hidden state")] = 100,
    angle: Annotated[float, Linear(0, 3.2, unit="rad", help="standard deviation of the eigenvalues' angles")] = 0.01,
    memory: Annotated[float, Log(1, 1e6, unit="samples", help="longest memory 1/(1 − |λ|) of a state")] = 1e3,
    degree: Annotated[int, Linear(0, 20, help="degree of the Chebyshev filter; 0: none")] = 5,
    lags: Annotated[int, Log(1, 1024, help="past inputs that the regression sees")] = 32,
    filters: Annotated[
        int, Linear(0, 64, help="regress on so many spectral filters of the past inputs; 0: on the inputs themselves")
    ] = 0,
) -> Truth:
    r"""Inputs and outputs of a large system; the unknown is what the regression on past inputs should find.

    ``x_{t+1} = Λ x_t + b u_t, y_t = Re cᴴx_t + …`` with eigenvalues of modulus below 1, near the real axis and some
    near 1, in pairs: an asymmetric matrix. The outputs are filtered by the monic Chebyshev coefficients, so that
    ``Σ c_i y_{t−i}`` depends through ``p_n(Λ)``, which is tiny on [−1, 1], on all inputs but the last few. The truth is
    the filtered impulse response up to the last lag, or its part in the spectral filters. Offered are the matrix ``A``
    of (filtered) past inputs and the filtered outputs ``y``.

    The filter is of use where the eigenvalues are within about ``1/degree²`` of the real interval [−1, 1]; elsewhere
    its coefficients, which grow like ``1.2^n``, amplify.

    Raises
    ------
    SpecError
        If there are more lags than samples, more filters than lags, or too large a matrix.
    """
    if lags > steps or filters > lags:
        raise SpecError(f"there are {steps} samples, {lags} lags and {filters} filters: each may be at most the former")
    if steps * max(lags, states) > MAX_ENTRIES:
        raise SpecError(
            f"there would be {steps * max(lags, states):,} entries, and at most {MAX_ENTRIES:,} fit", "steps"
        )
    inputs = rng.fork("inputs").normal((steps,), torch.float64)
    response = impulse_response(rng, steps, states, angle, memory)
    outputs = convolved(response, inputs)
    filter_ = chebyshev_coefficients(degree)
    y, matrix, truth = precondition(outputs, filter_), lagged(inputs, lags), precondition(response, filter_)[:lags]
    if filters:
        basis = spectral_filters(lags, filters, 3 * angle)
        matrix, truth = matrix @ basis, basis.T @ truth
    domain, codomain = Space(truth.shape, torch.float64), Space((steps,), torch.float64)
    A = DenseMatrix(domain, codomain, matrix.contiguous())
    A.title, A.counts_as = "past inputs", "A"
    offers = {"A": A, "y": y, "codomain": codomain, "data_norm": y.norm()}
    return Truth(truth, offers, domain=domain)


def impulse_response(rng: Rng, steps: int, states: int, angle: float, memory: float) -> Tensor:
    """Return ``g_j = Re Σ_k c_k b_k λ_k^j`` of a random system, shape ``(steps,)``, scaled to norm 1."""
    place, sign = rng.fork("moduli").uniform((2, states), torch.float64)
    modulus = 1 - memory**-place
    turn = angle * rng.fork("angles").normal((states,), torch.float64) + math.pi * (sign >= 0.5).to(sign)
    gains = rng.fork("gains").normal((states,), torch.complex128)
    powers = torch.polar(modulus, turn)[:, None] ** torch.arange(steps, dtype=torch.float64)
    response = (gains @ powers).real
    return response / response.norm()


def convolved(response: Tensor, inputs: Tensor) -> Tensor:
    """Return ``Σ_j g_j u_{t−j}``, shape ``(T,)``."""
    n = 2 * len(inputs)
    return torch.fft.irfft(torch.fft.rfft(response, n) * torch.fft.rfft(inputs, n), n)[: len(inputs)]


@solver(
    "Online gradient descent",
    papers=[*_PAPERS, "Zinkevich 2003: Online convex programming and generalized infinitesimal gradient ascent"],
    equation=r"x \leftarrow x - \tfrac{\eta}{\sqrt t \max\|a\|^2} (\langle a_t, x\rangle - y_t)\, a_t^*",
    reports=("loss", "mean_loss"),
    works="Data that come one by one and are not kept: its mean loss nears that of the best fixed answer.",
    fails="One pass teaches it little along small singular values, and one huge row makes all later steps short.",
)
def online_gradient(
    A: Annotated[LinearOperator, HAS_ROWS],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    step_size: Annotated[float, Log(1e-4, 100, help="η, in units of one over the largest squared row so far")] = 1.0,
) -> Iterator[Step]:
    """Predict each datum from its row before it is learnt from, then take one gradient step; it ends with the data.

    `loss` is the squared error of the prediction, `mean_loss` its mean so far, whose excess over that of the best fixed
    x is the regret a datum. The source projects on a ball besides, which a step this short does not need. A step counts
    no application of A, as it looks at one row. Out of place.
    """
    matrix, batch = dense(A), A.codomain.batch(y)
    x = A.domain.zeros(batch) if x0 is None else clone(x0)
    data = y.reshape(*batch, -1)
    largest, total = matrix.new_zeros((), dtype=A.domain.norm2(A.domain.zeros()).dtype), 0.0
    for t, row in enumerate(matrix, 1):
        largest = torch.maximum(largest, torch.linalg.vector_norm(row) ** 2)
        miss = data[..., t - 1] - x.reshape(*batch, -1) @ row
        step = safe_divide(torch.full_like(largest, step_size / math.sqrt(t)), largest)
        direction = (miss.unsqueeze(-1) * row.conj()).reshape(x.shape)
        x = axpy(step, direction, x)
        loss = miss.abs() ** 2
        total = total + loss
        yield Step(x, loss=loss, mean_loss=total / t)
