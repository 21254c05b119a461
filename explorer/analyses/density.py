"""The spectrum as a density: how many values are where, and traces of functions of an operator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.spectrum import SINGLE
from explorer.catalogue import Help, Linear, Log, analysis
from explorer.linalg import Rng
from explorer.linalg.block_krylov import Flat
from explorer.linalg.quadrature import chebyshev_moments, kernel_density, lanczos, quadrature
from explorer.operators.base import LinearOperator

#: points of a density, and entries of the Lanczos vectors that are held at a time
GRID, AT_ONCE = 400, 2**26


@dataclass(frozen=True)
class Density:
    """The density of an operator's eigenvalues.

    Attributes
    ----------
    of : str
        ``A`` where it is self-adjoint, else ``AᴴA``.
    grid, density : NDArray
        Eigenvalues λ and their density, of integral one, shape ``(400,)``.
    above, above_error : NDArray
        Estimated number of eigenvalues above each grid point, and its standard error.
    size : int
        Number of eigenvalues.
    trace, log_determinant : float
        Of the operator, and of the operator + λI.
    trace_error, log_determinant_error : float
        Standard errors over the probes.
    sentence : str
    """

    of: str
    grid: NDArray[np.floating]
    density: NDArray[np.floating]
    above: NDArray[np.floating]
    above_error: NDArray[np.floating]
    size: int
    trace: float
    trace_error: float
    log_determinant: float
    log_determinant_error: float
    sentence: str


@analysis(
    "Density of states",
    papers=[
        "Ubaru, Chen & Saad 2017: Fast estimation of tr(f(A)) via stochastic Lanczos quadrature",
        "Lin, Saad & Yang 2016: Approximating spectral densities of large matrices",
        "Weiße, Wellein, Alvermann & Fehske 2006: The kernel polynomial method",
    ],
    equation=r"\mathrm{tr} f(A) \approx \tfrac{n}{p} \sum_{l=1}^p \sum_k \tau_{kl}^2 f(\theta_{kl})",
)
@torch.no_grad()
def density_of_states(
    A: Annotated[LinearOperator, SINGLE],
    *,
    steps: Annotated[int, Log(4, 1000, help="Lanczos steps a probe, or half the number of moments")] = 60,
    probes: Annotated[int, Log(2, 1000, help="random probes")] = 8,
    method: Annotated[
        Literal["lanczos", "kernel_polynomial"], Help("how the density is drawn; traces are always Lanczos'")
    ] = "lanczos",
    shift: Annotated[float, Log(0, 1e12, help="λ of the log-determinant, added to the operator")] = 1e-3,
    seed: Annotated[int, Linear(0, 2**31 - 1, help="seed of the probes")] = 0,
) -> Density:
    """How many eigenvalues lie where, without computing any: from a few random probes.

    Each probe gives a quadrature with as many nodes as steps, exact for polynomials of twice that degree. The spread
    over the probes is the standard error that is stated; the quadrature's own error falls exponentially with the steps
    for functions smooth on the spectrum (a log-determinant wants about ``√(‖A‖/λ)`` of them).
    """
    flat = Flat(A)
    X, plain = flat.domain, A.self_adjoint
    apply = flat.forward if plain else lambda x: flat.adjoint(flat.forward(x))
    rng = Rng(seed, "analysis/density")
    steps = min(steps, X.size, max(2, AT_ONCE // X.size))
    chunk = max(1, AT_ONCE // (X.size * steps))
    nodes, weights, moments = [], [], []
    signs = (rng.uniform((probes, X.size), torch.float64, X.device) < 0.5) * 2.0 - 1
    for part in signs.to(X.dtype).split(chunk):
        theta, tau = quadrature(*lanczos(apply, part, steps))
        nodes.append(theta)
        weights.append(tau)
    theta, tau = torch.cat(nodes), torch.cat(weights)
    low, high = float(theta.min()), float(theta.max())
    if not plain:
        theta, low = theta.clamp(min=0), 0.0
    margin = 0.01 * (high - low) or 1.0
    grid = torch.linspace(low - (margin if plain else 0.0), high + margin, GRID, dtype=torch.float64, device=X.device)
    if method == "kernel_polynomial":
        ends = float(grid[0]) - (0.0 if plain else margin), float(grid[-1]) + margin
        for part in signs.to(X.dtype).split(chunk):
            moments.append(chebyshev_moments(apply, part, 2 * steps, *ends))
        density = kernel_density(torch.cat(moments).mean(0), grid, *ends)
    else:
        width = max((high - low) / steps, margin / 10)
        bell = torch.exp(-0.5 * ((grid[:, None, None] - theta) / width) ** 2)
        if not plain:  # nothing is below zero: what a bell has there is folded back
            bell = bell + torch.exp(-0.5 * ((grid[:, None, None] + theta) / width) ** 2)
        bell = bell / (width * math.sqrt(2 * math.pi))
        density = (bell * tau).sum(-1).mean(-1)
    counts = X.size * ((theta > grid[:, None, None]) * tau).sum(-1)
    above, above_error = counts.mean(-1), counts.std(-1) / math.sqrt(probes)
    trace, trace_error = _mean(X.size * (tau * theta).sum(-1))
    level = max(shift, float(torch.finfo(torch.float64).tiny))
    log, log_error = _mean(X.size * (tau * (theta + level).clamp(min=1e-300).log()).sum(-1))
    of = "A" if plain else "AᴴA"
    said = (
        f"Of {X.size:,} eigenvalues of {of}, {float(above[GRID // 2]):,.0f} ± {float(above_error[GRID // 2]):,.0f} are "
        f"in the upper half of [{low:.3g}, {high:.3g}]; trace {trace:.6g} ± {trace_error:.2g}, log-determinant of "
        f"{of} + {shift:.3g} I: {log:.6g} ± {log_error:.2g} (standard errors of {probes} probes)."
    )
    lines, drawn, more, off = (t.cpu().numpy() for t in (grid, density, above, above_error))
    return Density(of, lines, drawn, more, off, X.size, trace, trace_error, log, log_error, said)


def _mean(values: Tensor) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
