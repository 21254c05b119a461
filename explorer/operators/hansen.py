"""Discrete ill-posed problems in one dimension, as Regularization Tools defines them.

Hansen 1994: Regularization Tools: a Matlab package for analysis and solution of discrete ill-posed problems.
Hansen 2007: Regularization Tools version 4.0 for Matlab 7.3. Each operator has the solution that goes with it.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, SpecError, operator
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from explorer.operators.capabilities import SIGNAL

PAPER = "Hansen 2007: Regularization Tools version 4.0 for Matlab 7.3"

#: longest signal for which the matrix is built
MAX_SIZE = 4096

Signal = Annotated[Space, SIGNAL]


def index(domain: Space) -> Tensor:
    """Return 1 … n in double precision, where the domain is."""
    n = domain.size
    if n > MAX_SIZE:
        raise SpecError(f"the signal has {n} samples, and the matrix is built for at most {MAX_SIZE}: choose fewer")
    return torch.arange(1, n + 1, dtype=torch.float64, device=domain.device)


def dense(
    domain: Space, matrix: Tensor, title: str, *, self_adjoint: bool = False, positive: bool = False
) -> DenseMatrix:
    """Return a square matrix in the precision of the domain as an operator."""
    made = DenseMatrix(domain, domain, matrix.to(domain.dtype), self_adjoint=self_adjoint, positive=positive)
    made.title = title
    return made


# --- shaw ---------------------------------------------------------------------------------------------------------


@operator(
    "Shaw",
    papers=["Shaw 1972: Improvement of the resolution of an instrument by numerical solution", PAPER],
    finer={},
    equation=r"K(s,t) = (\cos s + \cos t)^2 \left(\frac{\sin u}{u}\right)^2,\ u = \pi(\sin s + \sin t)",
    works="Lessons: a tiny problem that shows Picard's condition.",
    fails="About ten of its singular values are above rounding noise of a millionth.",
)
def shaw(domain: Signal) -> DenseMatrix:
    """Image restoration in one dimension on [−π/2, π/2], by the midpoint rule; severely ill-posed, symmetric."""
    t = (index(domain) - 0.5) * (math.pi / domain.size) - math.pi / 2
    cosines = t.cos()[:, None] + t.cos()
    matrix = (cosines * torch.sinc(t.sin()[:, None] + t.sin())) ** 2 * (math.pi / domain.size)
    return dense(domain, matrix, "Shaw", self_adjoint=True)


def shaw_solution(n: int) -> Tensor:
    """Return two Gaussian bumps, shape ``(n,)``, float64."""
    t = (torch.arange(n, dtype=torch.float64) + 0.5) * (math.pi / n) - math.pi / 2
    return 2 * torch.exp(-6 * (t - 0.8) ** 2) + torch.exp(-2 * (t + 0.5) ** 2)


# --- phillips -----------------------------------------------------------------------------------------------------


@operator(
    "Phillips",
    papers=["Phillips 1962: A technique for the numerical solution of certain integral equations", PAPER],
    equation=r"K(s,t) = \varphi(s-t),\ \varphi(x) = 1 + \cos(\pi x/3)\ \text{for}\ |x| < 3",
    works="Smooth humps: mildly ill-posed, with ten singular values above a hundredth of the largest.",
    fails="Singular values fall as i⁻³: details much finer than the kernel, 6 wide, drown in noise.",
)
def phillips(domain: Signal) -> DenseMatrix:
    """Convolution with a raised cosine on [−6, 6], by Galerkin with boxes; mildly ill-posed, symmetric Toeplitz."""
    n = domain.size
    refuse_not_multiple(n, 4, "Phillips")
    h = 12 / n
    k = index(domain) - 1
    # second difference of the cosine, 2 cos θ_k − cos θ_{k−1} − cos θ_{k+1} = 4 sin²(θ_1/2) cos θ_k
    bend = 18 / (h * math.pi**2) * math.sin(2 * math.pi / n) ** 2
    first = torch.where(k < n // 4, h + 2 * bend * torch.cos(4 * math.pi / n * k), 0)
    first = torch.where(k == n // 4, h / 2 - bend, first)
    matrix = first[(k[:, None] - k).abs().long()]
    return dense(domain, matrix, "Phillips", self_adjoint=True)


def phillips_solution(n: int) -> Tensor:
    """Return the box coefficients of φ itself, shape ``(n,)``, float64."""
    t = (torch.arange(n + 1, dtype=torch.float64) * 12 / n - 6).clamp(-3, 3)
    return (t + torch.sin(math.pi / 3 * t) * 3 / math.pi).diff() / math.sqrt(12 / n)


def phillips_data(n: int) -> Tensor:
    """Return the box coefficients of the exact right-hand side, shape ``(n,)``, float64.

    It is ``(6 − |s|)(1 + ½ cos(πs/3)) + 9/(2π) sin(π|s|/3)``.
    """
    s = torch.arange(n + 1, dtype=torch.float64) * 12 / n - 6
    a, angle = s.abs(), s.abs() * math.pi / 3
    waves = (6 - a) * torch.sin(angle) * 3 / (2 * math.pi) + 18 / math.pi**2 * (1 - torch.cos(angle))
    return (s.sign() * (6 * a - a**2 / 2 + waves)).diff() / math.sqrt(12 / n)


# --- deriv2 -------------------------------------------------------------------------------------------------------


@operator(
    "Second derivative",
    papers=["Delves & Mohamed 1985: Computational Methods for Integral Equations", PAPER],
    equation=r"K(s,t) = s(t-1)\ \text{for}\ s < t,\ \text{else}\ t(s-1)",
    works="Lessons on mild ill-posedness: singular values fall as i⁻², and many stand above the noise.",
    fails="Solutions that are not 0 at both ends: singular vectors are, so that truncation rings there.",
)
def deriv2(domain: Signal) -> DenseMatrix:
    """Green's function of the second derivative on [0, 1], by Galerkin with boxes; mildly ill-posed, symmetric."""
    h = 1 / domain.size
    i = index(domain)
    lower = torch.minimum(i[:, None], i)
    upper = torch.maximum(i[:, None], i)
    matrix = h**2 * (lower - 0.5) * ((upper - 0.5) * h - 1)
    matrix = torch.where(i[:, None] == i, torch.diag(h**2 * ((i**2 - i + 0.25) * h - (i - 2 / 3))), matrix)
    return dense(domain, matrix, "Second derivative", self_adjoint=True)


def deriv2_solution(n: int, case: Literal[1, 2, 3] = 1) -> Tensor:
    """Return the box coefficients of t (case 1), exp t (case 2) or a hat (case 3), shape ``(n,)``, float64."""
    t = torch.arange(n + 1, dtype=torch.float64) / n
    if case == 1:
        integral = t**2 / 2
    elif case == 2:
        integral = torch.exp(t)
    else:
        integral = torch.where(t < 0.5, t**2 / 2, t - t**2 / 2 - 0.25)
    return integral.diff() * math.sqrt(n)


def deriv2_data(n: int, case: Literal[1, 2, 3] = 1) -> Tensor:
    """Return the box coefficients of the function whose second derivative is that case's; ``(n,)``, float64."""
    s = torch.arange(n + 1, dtype=torch.float64) / n
    if case == 1:  # (s³ − s)/6
        integral = s**4 / 24 - s**2 / 12
    elif case == 2:  # eˢ + (1 − e)s − 1
        integral = torch.exp(s) + (1 - math.e) * s**2 / 2 - s
    else:  # (4s³ − 3s)/24, then (−4s³ + 12s² − 9s + 1)/24
        integral = torch.where(s < 0.5, s**4 - 1.5 * s**2, -(s**4) + 4 * s**3 - 4.5 * s**2 + s - 0.125) / 24
    return integral.diff() * math.sqrt(n)


# --- heat ---------------------------------------------------------------------------------------------------------


@operator(
    "Inverse heat equation",
    papers=["Carasso 1982: Determining surface temperatures from interior observations", PAPER],
    finer={},
    equation=r"K(s,t) = k(s-t),\ k(t) = \frac{t^{-3/2}}{2\kappa\sqrt\pi} e^{-1/(4\kappa^2 t)}",
    works="Temperatures of a surface that change slowly, measured inside; a larger kappa makes it milder.",
    fails="The last moments are lost, since their heat has not arrived; sudden changes are blurred with the delay.",
)
def heat(
    domain: Signal,
    *,
    kappa: Annotated[float, Linear(0.5, 5, help="1 is ill-posed, 5 mild but for the last moments")] = 1.0,
) -> DenseMatrix:
    """Find the temperature of a surface from inside: a Volterra equation on [0, 1] by the midpoint rule."""
    i = index(domain)
    t = (i - 0.5) / domain.size
    k = t**-1.5 * torch.exp(-1 / (4 * kappa**2 * t)) / (2 * kappa * math.sqrt(math.pi) * domain.size)
    lag = (i[:, None] - i).long()
    matrix = torch.where(lag >= 0, k[lag.clamp(min=0)], 0)
    return dense(domain, matrix, "Inverse heat equation")


def heat_solution(n: int) -> Tensor:
    """Return a pulse in the first half, a parabola, a hump and a decay; shape ``(n,)``, float64."""
    i = torch.arange(1, n + 1, dtype=torch.float64)
    t = 20 * i / n
    pulse = torch.where(t < 2, 0.75 * t**2 / 4, torch.where(t < 3, 0.75 + (t - 2) * (3 - t), 0))
    pulse = torch.where(t >= 3, 0.75 * torch.exp(-2 * (t - 3)), pulse)
    return torch.where(i <= n // 2, pulse, 0)


# --- gravity ------------------------------------------------------------------------------------------------------


@operator(
    "Gravity surveying",
    papers=["Wing & Zahrt 1991: A Primer on Integral Equations of the First Kind", PAPER],
    finer={},
    equation=r"K(s,t) = d\,(d^2 + (s-t)^2)^{-3/2}",
    works="Shallow masses, and broad ones at any depth.",
    fails="Detail finer than the depth: singular values fall exponentially, the faster the deeper the mass.",
)
def gravity(
    domain: Signal,
    *,
    depth: Annotated[float, Log(0.01, 2, help="depth d of the mass; the deeper, the more ill-posed")] = 0.25,
) -> DenseMatrix:
    """Vertical gravity at the surface from a mass at some depth, on [0, 1] by the midpoint rule.

    Symmetric Toeplitz, and positive: the kernel's Fourier transform is ``2ω K_1(ωd) > 0``.
    """
    t = (index(domain) - 0.5) / domain.size
    matrix = depth / domain.size * (depth**2 + (t[:, None] - t) ** 2) ** -1.5
    return dense(domain, matrix, "Gravity surveying", self_adjoint=True, positive=True)


def gravity_solution(n: int, case: Literal[1, 2, 3] = 1) -> Tensor:
    """Return two sines (case 1), a piecewise linear (case 2) or constant (case 3) density; ``(n,)``, float64."""
    i = torch.arange(1, n + 1, dtype=torch.float64)
    if case == 1:
        t = (i - 0.5) / n
        return torch.sin(math.pi * t) + 0.5 * torch.sin(2 * math.pi * t)
    rise, fall = math.floor(n / 3 + 0.5), math.floor(n * 7 / 8 + 0.5)
    if case == 3:
        return torch.where(i <= rise, 2.0, 1.0).to(torch.float64)
    middle = (2 * fall - rise - i) / (fall - rise)
    return torch.where(i <= rise, 2 * i / rise, torch.where(i <= fall, middle, (n - i) / (n - fall)))


def refuse_not_multiple(n: int, factor: int, title: str) -> None:
    """Refuse a number of samples that the discretisation cannot have."""
    if n % factor:
        raise SpecError(
            f"{title} needs a number of samples that is a multiple of {factor}, and there are {n}:"
            f" choose {max(factor, round(n / factor) * factor)}"
        )
