"""Gaussian mixtures whose components are diagonal in the cosine basis: every quantity has a closed form."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Linear, Log, prior, problem, solver
from explorer.linalg import Rng, Space, count, expand
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import LinearOperator
from explorer.operators.capabilities import REAL, REAL_ONLY
from explorer.operators.transforms import Cosine
from explorer.priors.base import Prior
from explorer.problems.base import Truth
from explorer.solvers.steps import Solution

#: largest number of components
MOST = 64


class GaussianMixture(Prior):
    """``p(x) = Σ_c w_c N(C x; m_c, diag v_c)`` with the orthonormal cosine transform C.

    Parameters
    ----------
    domain : Space
        Real.
    weights : Tensor
        Shape ``(components,)``, sum 1.
    means, variances : Tensor
        Of the cosine coefficients, shape ``(components, *domain.shape)``; variances positive.
    """

    says = "a Gaussian mixture as prior"
    title = "the Gaussian mixture"
    has_denoiser = True

    def __init__(self, domain: Space, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        super().__init__(domain)
        self.weights, self.means, self.variances = weights, means, variances
        self.transform = Cosine(domain)

    def _components(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return deviations ``C x − m_c``, variances ``v_c + σ²`` and log-densities, components before the entries."""
        u = self.transform(x).unsqueeze(-1 - self.domain.ndim) - self.means
        variances = self.variances + expand(sigma**2, u)
        squares = u**2 / variances + (2 * math.pi * variances).log()
        return u, variances, self.weights.log() - squares.flatten(u.ndim - self.domain.ndim).sum(-1) / 2

    def _mix(self, log_weights: Tensor, elements: Tensor) -> Tensor:
        shares = log_weights.softmax(-1)
        return self.transform.adjoint((expand(shares, elements) * elements).sum(-1 - self.domain.ndim))

    def log_density(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the log-density at `x` of a sample with white noise of standard deviation `sigma` added."""
        return self._components(x, sigma)[2].logsumexp(-1)

    def value(self, x: Tensor) -> Tensor:
        """Return ``−log p(x)``."""
        return -self.log_density(x)

    def score(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the gradient of :meth:`log_density`."""
        u, variances, log_weights = self._components(x, sigma)
        return self._mix(log_weights, -u / variances)

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the posterior mean of the clean element, given `x` with white noise of standard deviation `sigma`."""
        count("denoise")
        u, variances, log_weights = self._components(x, sigma)
        return self._mix(log_weights, self.means + self.variances / variances * u)

    def sample(self, rng: Rng) -> Tensor:
        """Return elements drawn from the mixture, shape ``(*draws, *domain.shape)``."""
        u = rng.uniform((), torch.float64, self.domain.device)
        c = torch.searchsorted(self.weights.double().cumsum(0), u, right=True).clamp(max=len(self.weights) - 1)
        return self.transform.adjoint(self.means[c] + self.variances[c].sqrt() * self.domain.random(rng))


@prior(
    "Gaussian mixture in the cosine basis",
    equation=r"p(x) = \sum_c w_c\, N(C x;\, m_c, \mathrm{diag}\, v_c)",
    works="Textures of one narrow band of frequencies, for which the exact posterior mean is at hand to compare.",
    fails="Anything else, edges and photographs above all: it pulls them towards bands that they do not have.",
)
def gaussian_mixture(
    domain: Annotated[Space, REAL],
    *,
    components: Annotated[int, Linear(1, MOST, help="number of components")] = 8,
) -> GaussianMixture:
    """Textures of a few frequencies: component c has its energy in a narrow band, and a little everywhere else.

    Bands have a root mean square of about one; their centres are spread over the lower half of the frequencies, and
    the mean of component c is half a cosine of c + 1 half periods.
    """
    n = max(domain.shape)
    squares = sum(
        torch.arange(m, dtype=torch.float64).reshape(-1, *(1,) * (domain.ndim - 1 - i)) ** 2
        for i, m in enumerate(domain.shape)
    )
    frequency = torch.as_tensor(squares).sqrt() / n
    c = torch.arange(components, dtype=torch.float64).reshape(-1, *(1,) * domain.ndim)
    variances = 1e-3 + torch.exp(-(((frequency - (c + 0.25) / (2 * components)) / 0.012) ** 2) / 2)
    variances = variances * (domain.size / variances.flatten(1).sum(1)).reshape(c.shape)
    means = torch.zeros_like(variances)
    lowest = torch.arange(components) + 1
    means.flatten(1)[torch.arange(components), lowest.clamp(max=domain.size - 1)] = math.sqrt(domain.size) / 2
    weights = torch.full((components,), 1 / components, dtype=torch.float64)
    made = (t.to(domain.device, domain.dtype) for t in (weights, means, variances))
    return GaussianMixture(domain, *made)


@problem("Sample of a Gaussian mixture")
def mixture_signal(
    rng: Rng,
    *,
    size: Annotated[int, Log(8, 65_536, unit="samples", help="number of samples")] = 256,
    components: Annotated[int, Linear(1, MOST, help="number of components")] = 8,
) -> Truth:
    """A signal drawn from the prior of the same name, so that the exact posterior is known."""
    return Truth(gaussian_mixture(Space((size,), torch.float64), components=components).sample(rng))


@solver(
    "Exact posterior mean of a Gaussian mixture",
    equation=r"\mathbb{E}[x \mid y] = \sum_c r_c\, \mathbb{E}[x \mid y, c]",
    reports=("residual",),
    solves="posterior_mean",
    homogeneous=False,
    works="Small operators and unknowns from the Gaussian mixture: no other estimate has less mean squared error.",
    fails="Large operators, as it factors a dense matrix a component; between two likely components it shows neither.",
)
def mixture_posterior_mean(
    A: Annotated[LinearOperator, REAL_ONLY], y: Tensor, prior: GaussianMixture, noise_norm: Tensor | float
) -> Solution:
    """The estimate of least mean squared error, by dense algebra in double precision: for small operators.

    Component c has ``y ~ N(B m_c, S_c)`` with ``S_c = B diag(v_c) Bᵀ + σ² I`` and ``B = A Cᵀ``.
    """
    X, Y = A.domain, A.codomain
    m = Y.size
    B = prior.transform(A.to_dense().reshape(m, *X.shape)).reshape(m, X.size).double()
    variance = torch.as_tensor(noise_norm, dtype=torch.float64, device=X.device) ** 2 / m
    means, variances = (t.flatten(1).double() for t in (prior.means, prior.variances))
    data = y.reshape(*Y.batch(y), 1, m).double() - means @ B.mT
    noise = expand(variance, data.unsqueeze(-1)) * torch.eye(m, dtype=torch.float64, device=X.device)
    S = (B * variances.unsqueeze(-2)) @ B.mT + noise
    factor = torch.linalg.cholesky(S)
    white = torch.linalg.solve_triangular(factor, data.unsqueeze(-1), upper=False)
    evidence = -white.square().sum((-2, -1)) / 2 - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    back = torch.linalg.solve_triangular(factor.mT, white, upper=True).squeeze(-1)
    each = means + variances * (back @ B)
    shares = (prior.weights.double().log() + evidence).softmax(-1)
    u = (shares.unsqueeze(-1) * each).sum(-2).to(real_dtype(X.dtype))
    x = prior.transform.adjoint(u.reshape(*Y.batch(y), *X.shape))
    return Solution(x, cost={"A": X.size}, residual=Y.norm(y - A(x)))


__all__: list[Any] = ["GaussianMixture", "gaussian_mixture", "mixture_posterior_mean", "mixture_signal"]
