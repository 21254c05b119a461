"""More integral equations of the first kind: those of Regularization Tools beyond its five best known, and Abel's.

Hansen 2007: Regularization Tools version 4.0 for Matlab 7.3. Beside each operator stand the solution that goes with it
and, where the publication has them, its own data: those of the integral equation, not of its matrix.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Linear, operator
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from explorer.operators.hansen import PAPER, Signal, dense, index, refuse_not_multiple

# --- baart --------------------------------------------------------------------------------------------------------


@operator(
    "Baart",
    papers=["Baart 1982: The use of auto-correlation for pseudo-rank determination", PAPER],
    equation=r"K(s,t) = e^{s \cos t},\ 0 \le s \le \pi/2,\ 0 \le t \le \pi",
    works="Lessons on severe ill-posedness: a smooth solution of which two or three coefficients say most.",
    fails="Only about six singular values are above a millionth of the largest: more terms bring in noise.",
)
def baart(domain: Signal) -> DenseMatrix:
    """Galerkin with boxes, exact in s and by Simpson's rule in t; severely ill-posed, not symmetric."""
    n = domain.size
    refuse_not_multiple(n, 2, "Baart")
    i = index(domain)
    low, width = (i - 1) * (math.pi / 2 / n), math.pi / 2 / n
    # cos t on the edges and the middles of the cells in t; the middle edge is exactly π/2
    cosines = torch.cos(torch.arange(2 * n + 1, dtype=torch.float64, device=domain.device) * (math.pi / 2 / n))
    cosines[n] = 0
    # the integral of e^{sc} over a cell is e^{sc} (e^{hc} − 1)/c; the series spares a division by 0
    growth = torch.where(cosines == 0, width, torch.expm1(width * cosines) / torch.where(cosines == 0, 1, cosines))
    inner = torch.exp(low[:, None] * cosines) * growth
    matrix = (inner[:, :-1:2] + 4 * inner[:, 1::2] + inner[:, 2::2]) / (3 * math.sqrt(2))
    return dense(domain, matrix, "Baart")


def baart_solution(n: int) -> Tensor:
    """Return the box coefficients of sin t, shape ``(n,)``, float64."""
    return -torch.cos(torch.arange(n + 1, dtype=torch.float64) * (math.pi / n)).diff() / math.sqrt(math.pi / n)


def baart_data(n: int) -> Tensor:
    """Return the box coefficients of ``2 sinh(s)/s`` by Simpson's rule, shape ``(n,)``, float64."""
    h = math.pi / 2 / n
    s = torch.arange(2 * n + 1, dtype=torch.float64) * (h / 2)
    g = torch.where(s == 0, 2, 2 * torch.sinh(s) / torch.where(s == 0, 1, s))
    return (g[:-1:2] + 4 * g[1::2] + g[2::2]) * math.sqrt(h) / 6


# --- foxgood ------------------------------------------------------------------------------------------------------


@operator(
    "Fox & Goodwin",
    name="foxgood",
    papers=["Fox & Goodwin 1953: The numerical solution of non-singular linear integral equations", PAPER],
    finer={},
    equation=r"K(s,t) = \sqrt{s^2 + t^2}",
    works="Lessons on Picard's condition: data of the integral differ slightly from the matrix's.",
    fails="The integral's data break Picard's condition at small singular values, where inverting only adds error.",
)
def foxgood(domain: Signal) -> DenseMatrix:
    """A kernel on [0, 1] by the midpoint rule; severely ill-posed, symmetric."""
    t = (index(domain) - 0.5) / domain.size
    return dense(domain, torch.hypot(t[:, None], t) / domain.size, "Fox & Goodwin", self_adjoint=True)


def foxgood_solution(n: int) -> Tensor:
    """Return t at the midpoints, shape ``(n,)``, float64."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def foxgood_data(n: int) -> Tensor:
    """Return ``((1 + s²)^{3/2} − s³)/3`` at the midpoints, shape ``(n,)``, float64."""
    s = foxgood_solution(n)
    return ((1 + s**2) ** 1.5 - s**3) / 3


# --- inverse Laplace transform ------------------------------------------------------------------------------------


@operator(
    "Inverse Laplace transform",
    name="i_laplace",
    papers=["Varah 1983: Pitfalls in the numerical solution of linear ill-posed problems", PAPER],
    equation=r"g(s) = \int_0^\infty e^{-st} f(t)\, dt",
    works="Decays that are sums of exponentials, such as relaxation or fluorescence: which rates, and how much.",
    fails="Similar rates run into one; high rates, over before the first datum, are hardly seen.",
)
def i_laplace(domain: Signal) -> DenseMatrix:
    """Collocation at ``s_i = 10 i/n``, Gauss–Laguerre quadrature in t; severely ill-posed, not symmetric."""
    s = index(domain) * (10 / domain.size)
    if domain.device.type == "meta":
        return dense(domain, torch.empty(domain.size, domain.size, device="meta"), "Inverse Laplace transform")
    t, log_weight = (v.to(domain.device) for v in laguerre(domain.size))
    return dense(domain, torch.exp((1 - s[:, None]) * t + log_weight), "Inverse Laplace transform")


def laguerre(n: int) -> tuple[Tensor, Tensor]:
    """Return nodes and logarithms of weights of Gauss–Laguerre quadrature, both of shape ``(n,)``, float64.

    Golub & Welsch 1969: Calculation of Gauss quadrature rules. The weights, ``1 / Σ_k L_k(t)²``, are below the range
    of double precision for n above 200, so the recurrence is rescaled at each step.
    """
    from scipy.linalg import eigvalsh_tridiagonal

    k = torch.arange(1, n + 1, dtype=torch.float64)
    t = torch.from_numpy(eigvalsh_tridiagonal((2 * k - 1).numpy(), k[:-1].numpy()))
    before, value, total, log_scale = torch.zeros(n).double(), torch.ones(n).double(), torch.ones(n).double(), 0 * t
    for j in range(n - 1):
        before, value = value, ((2 * j + 1 - t) * value - j * before) / (j + 1)
        total = total + value**2
        scale = torch.maximum(value.abs(), before.abs())
        before, value, total, log_scale = before / scale, value / scale, total / scale**2, log_scale + scale.log()
    return t, -(total.log() + 2 * log_scale)


def i_laplace_solution(n: int, case: Literal[1, 2, 3, 4] = 1) -> Tensor:
    """Return one of four functions at the nodes of the quadrature, shape ``(n,)``, float64.

    They are ``e^{−t/2}``, ``1 − e^{−t/2}``, ``t² e^{−t/2}`` and a step at ``t = 2``.
    """
    t = laguerre(n)[0]
    decay = torch.exp(-t / 2)
    return {1: decay, 2: 1 - decay, 3: t**2 * decay, 4: (t > 2).to(t)}[case]


def i_laplace_data(n: int, case: Literal[1, 2, 3, 4] = 1) -> Tensor:
    """Return the Laplace transform of the function of that case at ``s_i = 10 i/n``, shape ``(n,)``, float64."""
    s = torch.arange(1, n + 1, dtype=torch.float64) * (10 / n)
    return {1: 1 / (s + 0.5), 2: 1 / s - 1 / (s + 0.5), 3: 2 / (s + 0.5) ** 3, 4: torch.exp(-2 * s) / s}[case]


# --- spikes -------------------------------------------------------------------------------------------------------


@operator(
    "Spike train",
    papers=[PAPER],
    equation=r"A_{ij} = \frac{s_i}{2\sqrt{\pi t_j^3}}\, e^{-s_i^2/(4 t_j)},\ s_i = iT/n,\ t_j = jT/n",
    works="Tests of sparse priors and of step-and-spike solutions under severe blur.",
    fails="Late spikes have nearly the same data as their neighbours, and merge into broad humps.",
)
def spike_train(
    domain: Signal,
    *,
    duration: Annotated[int, Linear(1, 20, help="length T of the time axis; a spike in each unit of it")] = 5,
) -> DenseMatrix:
    """The matrix of the problem "spikes", made up to be ill-posed: a heat kernel without a quadrature weight."""
    t = index(domain) * (duration / domain.size)
    matrix = t[:, None] / (2 * torch.sqrt(math.pi * t**3)) * torch.exp(-(t[:, None] ** 2) / (4 * t))
    return dense(domain, matrix, "Spike train")


def spike_train_solution(n: int, duration: int = 5) -> Tensor:
    """Return a unit step at 0.5 and spikes of heights 25, 9, 5, 4, 3, 2, 2 … at 0.5, 1.5, …; ``(n,)``, float64."""
    places = [max(1, math.floor((2 * k + 1) * n / (2 * duration) + 0.5)) for k in range(duration)]
    heights = [25, 9, 5, 4, 3, *[2] * duration]
    x = torch.zeros(n, dtype=torch.float64)
    x[places[0] :] = 1
    for place, height in zip(places, heights, strict=False):
        x[place - 1] = height
    return x


# --- ursell -------------------------------------------------------------------------------------------------------


@operator(
    "Ursell",
    papers=["Ursell 1974: Introduction to the theory of linear integral equations", PAPER],
    equation=r"K(s,t) = \frac{1}{s + t + 1},\quad g(s) = 1",
    works="Lessons on equations without a solution: the data 1 are not in the range.",
    fails="For the data 1 the norm of the answer grows without bound as regularisation is taken away.",
)
def ursell(domain: Signal) -> DenseMatrix:
    """A Hankel matrix on [0, 1] by Galerkin with boxes; for g = 1 the equation has no square integrable solution.

    Symmetric, and positive: the kernel is ``∫ e^{−u(s+t+1)} du``.
    """
    i = index(domain)
    middle = 1 + (i[:, None] + i - 1) / domain.size
    ratio = 1 / (domain.size * middle)
    # the second difference of u log u, in a form that does not cancel
    bend = torch.log1p(-(ratio**2)) + 2 * ratio * torch.atanh(ratio)
    return dense(domain, domain.size * middle * bend, "Ursell", self_adjoint=True, positive=True)


def ursell_data(n: int) -> Tensor:
    """Return the box coefficients of 1, shape ``(n,)``, float64."""
    return torch.full((n,), 1 / math.sqrt(n), dtype=torch.float64)


# --- wing ---------------------------------------------------------------------------------------------------------


@operator(
    "Wing",
    papers=["Wing & Zahrt 1991: A Primer on Integral Equations of the First Kind", PAPER],
    equation=r"K(s,t) = t\, e^{-s t^2}",
    works="Lessons on a solution with jumps under a kernel that is very smooth.",
    fails="Four singular values are above a millionth of the largest: the box comes back as a smooth hump.",
)
def wing(domain: Signal) -> DenseMatrix:
    """A kernel on [0, 1] by the midpoint rule, with a discontinuous solution; severely ill-posed, not symmetric."""
    t = (index(domain) - 0.5) / domain.size
    return dense(domain, t * torch.exp(-t[:, None] * t**2) / domain.size, "Wing")


def wing_solution(n: int) -> Tensor:
    """Return the box coefficients of 1 between 1/3 and 2/3, by the midpoint rule; shape ``(n,)``, float64."""
    t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return ((t > 1 / 3) & (t < 2 / 3)).to(t) / math.sqrt(n)


def wing_data(n: int) -> Tensor:
    """Return the box coefficients of ``(e^{−s/9} − e^{−4s/9})/(2s)``, by the midpoint rule; ``(n,)``, float64."""
    s = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return (torch.exp(-s / 9) - torch.exp(-4 * s / 9)) / (2 * s) / math.sqrt(n)


# --- parallax -----------------------------------------------------------------------------------------------------

#: stars counted in each of 26 intervals of observed parallax, from −0.03 to 0.1 arc seconds
STARS = (3, 7, 7, 17, 27, 39, 46, 51, 56, 50, 43, 45, 43, 32, 33, 29, 21, 12, 17, 13, 15, 12, 6, 6, 5, 5)


@operator(
    "Stellar parallax",
    papers=["Smart 1938: Stellar Dynamics", PAPER],
    equation=r"K(s,t) = \frac{1}{\sigma\sqrt{2\pi}} e^{-(s-t)^2/(2\sigma^2)},\ \sigma = 0.014234''",
    works="Counts of stars by measured parallax, whose error is Gaussian and known.",
    fails="Peaks narrower than the error merge; there are 26 data, and more unknowns than that have a null space.",
)
def parallax(domain: Signal) -> DenseMatrix:
    """From true to observed parallaxes of stars: Galerkin with boxes by Simpson's rule; always 26 data."""
    n, m, sigma = domain.size, len(STARS), 0.014234
    width, height = 0.1 / n, 0.13 / m
    ends = index(domain).new_tensor([0, 0.5, 1])
    s = -0.03 + height * (torch.arange(m, dtype=torch.float64, device=domain.device)[:, None] + ends)
    t = width * (index(domain)[:, None] - 1 + ends)
    simpson = ends.new_tensor([1, 4, 1]) / 6
    gauss = torch.exp(-(((s[:, None, :, None] - t[None, :, None, :]) / sigma) ** 2) / 2)
    matrix = torch.einsum("ijab,a,b->ij", gauss, simpson, simpson)
    matrix = matrix * math.sqrt(width * height) / (sigma * math.sqrt(2 * math.pi))
    made = DenseMatrix(domain, Space((m,), domain.dtype, domain.device), matrix.to(domain.dtype))
    made.title = "Stellar parallax"
    return made


def parallax_data() -> Tensor:
    """Return the box coefficients of the observed distribution of 640 stars, shape ``(26,)``, float64."""
    return torch.tensor(STARS, dtype=torch.float64) / (640 * math.sqrt(0.13 / len(STARS)))


# --- Abel ---------------------------------------------------------------------------------------------------------


@operator(
    "Abel transform",
    papers=["Dasch 1992: One-dimensional tomography: a comparison of Abel, onion-peeling, and filtered backprojection"],
    finer={},
    equation=r"g(s) = 2 \int_s^1 \frac{f(r)\, r\, dr}{\sqrt{r^2 - s^2}}",
    works="Flames, jets and plasmas that are round: the profile follows from one view.",
    fails="Noise gathers near the axis, where few lines see a ring; what is not round cannot be described.",
)
def abel(domain: Signal) -> DenseMatrix:
    """Line integrals through a disc of radius 1 that depends on the radius alone, for rings of constant density.

    The integrals along the lines through the rings' midpoints are exact; mildly ill-posed, upper triangular.
    """
    i = index(domain)
    s, outer = (i - 0.5) / domain.size, i / domain.size
    reach = (outer**2 - s[:, None] ** 2).clamp(min=0).sqrt()
    matrix = 2 * torch.cat((reach[:, :1], reach.diff(dim=1)), dim=1)
    return dense(domain, matrix, "Abel transform")


def abel_solution(n: int, case: Literal[1, 2, 3] = 1) -> Tensor:
    """Return ``√(1 − r²)``, ``(1 − r²)²`` or a disc of radius 1/2 at the rings' midpoints; ``(n,)``, float64."""
    r = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return {1: (1 - r**2).sqrt(), 2: (1 - r**2) ** 2, 3: (r < 0.5).to(r)}[case]


def abel_data(n: int, case: Literal[1, 2, 3] = 1) -> Tensor:
    """Return the exact transform of the function of that case at the midpoints, shape ``(n,)``, float64."""
    s = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    rest = 1 - s**2
    return {1: math.pi / 2 * rest, 2: 16 / 15 * rest**2.5, 3: 2 * (0.25 - s**2).clamp(min=0).sqrt()}[case]
