"""Further integral equations of the first kind with known solutions, by Galerkin's method with boxes or by quadrature.

Hansen 2007: Regularization Tools version 4.0 for Matlab 7.3. Where that package integrates the kernel by Simpson's
rule, Gauss's rule is used here; the functions are the same. Each operator has the solution that goes with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Log, SpecError, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import DenseMatrix, LinearOperator
from explorer.operators.capabilities import SIGNAL
from explorer.operators.hansen import MAX_SIZE, PAPER
from explorer.operators.transforms import Cosine, Diagonalized

Signal = Annotated[Space, SIGNAL]
#: points of Gauss's rule in every box
_POINTS = 4
#: largest size of the inverse Laplace transform: the nodes of more points leave the range of numbers
MAX_LAPLACE = 128


def _nodes(low: float, high: float, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return Gauss's nodes and weights in n boxes, shape ``(n, points)`` and ``(points,)``."""
    at, weight = np.polynomial.legendre.leggauss(_POINTS)
    h = (high - low) / n
    left = low + h * torch.arange(n, dtype=torch.float64, device=device)
    nodes = left[:, None] + h / 2 * (torch.as_tensor(at, device=device) + 1)
    return nodes, torch.as_tensor(weight * h / 2, device=device)


def _galerkin(
    domain: Space,
    kernel: Callable[[Tensor, Tensor], Tensor],
    s_range: tuple[float, float],
    t_range: tuple[float, float],
    title: str,
    *,
    self_adjoint: bool = False,
) -> DenseMatrix:
    """Return ``∫∫ K(s, t) / √(h_s h_t)`` over pairs of boxes."""
    n = domain.size
    if n > MAX_SIZE // 4:
        raise SpecError(
            f"the signal has {n} samples, and the matrix is built for at most {MAX_SIZE // 4}: choose fewer"
        )
    s, s_weight = _nodes(*s_range, n, domain.device)
    t, t_weight = _nodes(*t_range, n, domain.device)
    values = kernel(s.reshape(-1, 1), t.reshape(1, -1)).reshape(n, _POINTS, n, _POINTS)
    matrix = torch.einsum("iajb,a,b->ij", values, s_weight, t_weight)
    matrix = matrix * (n / math.sqrt((s_range[1] - s_range[0]) * (t_range[1] - t_range[0])))
    made = DenseMatrix(domain, domain, matrix.to(domain.dtype), self_adjoint=self_adjoint)
    made.title, made.nonnegative = title, True
    return made


def _boxes(f: Callable[[Tensor], Tensor], low: float, high: float, n: int) -> Tensor:
    """Return the coefficients of f in orthonormal boxes, shape ``(n,)``, float64."""
    t, weight = _nodes(low, high, n, torch.device("cpu"))
    return (f(t) @ weight) * math.sqrt(n / (high - low))


# --- baart --------------------------------------------------------------------------------------------------------


@operator(
    "Baart",
    papers=["Baart 1982: The use of auto-correlation for pseudo-rank determination in noisy problems", PAPER],
    equation=r"K(s,t) = e^{s\cos t},\ s \in [0, \pi/2],\ t \in [0, \pi]",
)
def baart(domain: Signal) -> DenseMatrix:
    """A severely ill-posed equation with a very smooth kernel; the solution is sin t, the data are 2 sinh(s)/s."""
    return _galerkin(domain, lambda s, t: torch.exp(s * t.cos()), (0, math.pi / 2), (0, math.pi), "Baart")


def baart_solution(n: int) -> Tensor:
    """Return the box coefficients of sin t, shape ``(n,)``, float64."""
    return _boxes(torch.sin, 0, math.pi, n)


# --- foxgood ------------------------------------------------------------------------------------------------------


@operator(
    "Fox & Goodwin",
    papers=["Fox & Goodwin 1953: The numerical solution of non-singular linear integral equations", PAPER],
    equation=r"K(s,t) = \sqrt{s^2 + t^2},\ s, t \in [0, 1]",
)
def foxgood(domain: Signal) -> DenseMatrix:
    """Severely ill-posed and symmetric; the solution is t, and no square-integrable one exists for most data."""
    return _galerkin(domain, torch.hypot, (0, 1), (0, 1), "Fox & Goodwin", self_adjoint=True)


def foxgood_solution(n: int) -> Tensor:
    """Return the box coefficients of t, shape ``(n,)``, float64."""
    return _boxes(lambda t: t, 0, 1, n)


# --- wing ---------------------------------------------------------------------------------------------------------


@operator(
    "Wing",
    papers=["Wing & Zahrt 1991: A Primer on Integral Equations of the First Kind", PAPER],
    equation=r"K(s,t) = t\, e^{-s t^2},\ s, t \in [0, 1]",
)
def wing(domain: Signal) -> DenseMatrix:
    """Severely ill-posed with a solution that jumps: 1 from 1/3 to 2/3, else 0."""
    return _galerkin(domain, lambda s, t: t * torch.exp(-s * t**2), (0, 1), (0, 1), "Wing")


def wing_solution(n: int) -> Tensor:
    """Return the box coefficients of the indicator of [1/3, 2/3], shape ``(n,)``, float64."""
    edges = torch.arange(n + 1, dtype=torch.float64) / n
    return edges.clamp(1 / 3, 2 / 3).diff() * math.sqrt(n)


# --- ursell -------------------------------------------------------------------------------------------------------


@operator(
    "Ursell",
    papers=["Ursell 1974: Introduction to the theory of linear integral equations", PAPER],
    equation=r"K(s,t) = \frac{1}{s + t + 1},\ s, t \in [0, 1]",
)
def ursell(domain: Signal) -> DenseMatrix:
    """Severely ill-posed and symmetric; for the data 1 it has no square-integrable solution at all."""
    return _galerkin(domain, lambda s, t: 1 / (s + t + 1), (0, 1), (0, 1), "Ursell", self_adjoint=True)


# --- inverse Laplace transform ------------------------------------------------------------------------------------


@operator(
    "Laplace transform",
    papers=["Varah 1983: Pitfalls in the numerical solution of linear ill-posed problems", PAPER],
    equation=r"(Af)(s) = \int_0^\infty e^{-st} f(t)\, dt,\ s = 10 i/n",
)
def laplace(domain: Signal) -> DenseMatrix:
    """The Laplace transform by Gauss–Laguerre quadrature of values of f at its nodes; severely ill-posed."""
    t, weight = _laguerre(domain.size)
    s = 10 * torch.arange(1, domain.size + 1, dtype=torch.float64) / domain.size
    matrix = weight * torch.exp((1 - s[:, None]) * t)
    made = DenseMatrix(domain, domain, matrix.to(domain.device, domain.dtype))
    made.title, made.nonnegative = "Laplace transform", True
    return made


def _laguerre(n: int) -> tuple[Tensor, Tensor]:
    if n > MAX_LAPLACE:
        raise SpecError(f"the signal has {n} samples, and the quadrature has at most {MAX_LAPLACE} nodes: choose fewer")
    return tuple(map(torch.from_numpy, np.polynomial.laguerre.laggauss(n)))  # type: ignore[return-value]


def laplace_solution(n: int, case: Literal[1, 2, 3, 4] = 1) -> Tensor:
    """Return e^{−t/2}, 1 − e^{−t/2}, t² e^{−t/2} or a step at 2 at the nodes, shape ``(n,)``, float64."""
    t, _ = _laguerre(n)
    fall = torch.exp(-t / 2)
    return {1: fall, 2: 1 - fall, 3: t**2 * fall, 4: (t > 2).to(t.dtype)}[case]


# --- Abel transform -----------------------------------------------------------------------------------------------


@operator(
    "Abel transform",
    papers=["Abel 1826: Auflösung einer mechanischen Aufgabe"],
    equation=r"(Af)(s) = 2 \int_s^1 \frac{f(r)\, r}{\sqrt{r^2 - s^2}}\, dr",
)
def abel(domain: Signal) -> DenseMatrix:
    """Projections of a body of revolution: exact for a profile that is constant in n rings; mildly ill-posed."""
    n = domain.size
    if n > MAX_SIZE:
        raise SpecError(f"the signal has {n} samples, and the matrix is built for at most {MAX_SIZE}: choose fewer")
    r = torch.arange(n + 1, dtype=torch.float64, device=domain.device) / n
    s = (r[:-1] + r[1:]) / 2
    chord = 2 * (r**2 - s[:, None] ** 2).clamp(min=0).sqrt()
    made = DenseMatrix(domain, domain, chord.diff(dim=1).to(domain.dtype))
    made.title, made.nonnegative = "Abel transform", True
    return made


def abel_solution(n: int) -> Tensor:
    """Return a shell and a core, shape ``(n,)``, float64."""
    r = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.exp(-((r / 0.15) ** 2)) + 0.8 * ((r > 0.45) & (r < 0.65)).to(r.dtype)


# --- backward heat equation ---------------------------------------------------------------------------------------


@operator(
    "Backward heat equation",
    papers=["John 1955: Numerical solution of the equation of heat conduction for preceding times"],
    equation=r"u_t = u_{xx},\ u_x = 0 \text{ at the ends},\ A u(0) = u(T)",
)
def backward_heat(
    domain: Signal,
    *,
    time: Annotated[float, Log(1e-6, 1, help="time T that has passed, for a rod of length 1")] = 1e-3,
) -> LinearOperator:
    """Temperatures after a while from those at the start: each cosine falls by e^{−(kπ)²T}. As ill-posed as can be."""
    k = torch.arange(domain.size, dtype=torch.float64, device=domain.device)
    fall = torch.exp(-((math.pi * k) ** 2) * time).to(real_dtype(domain.dtype))
    made = Diagonalized(Cosine(domain), fall, positive=True)
    made.title = "Backward heat equation"
    return made


def heat_profile(n: int) -> Tensor:
    """Return a hot spot and a warm plateau, shape ``(n,)``, float64."""
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.exp(-(((x - 0.3) / 0.06) ** 2)) + 0.5 * ((x > 0.55) & (x < 0.85)).to(x.dtype)
