"""Total generalised variation."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Log, prior
from explorer.linalg import Space, expand, lengths
from explorer.linalg.spaces import real_dtype
from explorer.operators.gradient import Gradient, SymmetricGradient
from explorer.priors.base import Prior
from explorer.priors.sparse import onto_ball

#: over-relaxation of the primal–dual steps, below 2
_RELAXATION = 1.9
#: primal over dual step, in units of gradients over weights
_BALANCE = 0.25


@prior(
    "Total generalised variation",
    name="tgv",
    equation=r"R(x) = \lambda \min_w \sum_p \|(\nabla x - w)_p\|_2 + \alpha \|(E w)_p\|_F",
    papers=[
        "Bredies, Kunisch & Pock 2010: Total generalized variation",
        "Knoll, Bredies, Pock & Stollberger 2011: Second order total generalized variation (TGV) for MRI",
        "Condat 2013: A primal-dual splitting method for convex optimization with Lipschitzian, proximable and linear "
        "composite terms",
    ],
    works="Edges and slopes side by side.",
    fails="Texture goes; there are two weights to choose.",
)
class TotalGeneralizedVariation(Prior):
    """Total variation after the best slope w has been taken off: edges stay, and slopes are as cheap as plateaus.

    Value and proximal map split off the field w and run a fixed number of over-relaxed primal–dual steps, from the mean
    slope. The step lengths follow the data: primal over dual as gradients over weights. The proximal map is the image
    of an admissible dual variable, so that a duality gap bounds what the steps leave open: with the default number
    1e-5 ``‖x‖²`` for weak denoising, more for strong. The value is that of the w found, a little above the least.
    """

    title = "the total generalised variation prior"
    has_prox = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        bending: Annotated[float, Log(1e-2, 1e2, help="weight α of the change of slope, beside that of slope")] = 2.0,
        inner: Annotated[int, Log(1, 10_000, unit="steps", help="primal–dual steps in each map")] = 300,
    ) -> None:
        self.gradient_of, field = Gradient(domain), Gradient(domain).codomain
        self.bend = SymmetricGradient(field)
        super().__init__(domain, weight, self.bend @ self.gradient_of)
        self.bending, self.inner = bending, inner
        self.inside = torch.ones(field.shape, dtype=real_dtype(field.dtype), device=field.device)
        for j, n in enumerate(domain.shape):  # no difference beyond the last entry
            self.inside[j].narrow(j, n - 1, 1).zero_()

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ (Σ‖∇x − w‖ + α Σ‖E w‖)`` with the field w that the steps find."""
        G, E = self.gradient_of, self.bend
        g = G(x)
        step, dual_step = self._steps(g, torch.ones_like(self.domain.norm(x)))
        tau, sigma = expand(step, g), expand(dual_step, g)
        w, q = self._mean_slope(g), torch.zeros_like(g)
        p = E.codomain.zeros(self.domain.batch(x))
        for _ in range(self.inner):
            w_new = w - tau * (E.adjoint(p) - self.inside * q)
            bar = 2 * w_new - w
            q_new = self._cut(q + sigma * (g - self.inside * bar), 1, 1.0)
            p_new = self._cut(p + expand(dual_step, p) * E(bar), 2, self.bending)
            w, q, p = _relax((w, q, p), (w_new, q_new, p_new))
        total = self._lengths(g - self.inside * w, 1).sum(self._axes(1))
        return self.weight * (total + self.bending * self._lengths(E(w), 2).sum(self._axes(2)))

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return ``x − (E∇)ᴴ p`` with the dual variable that `inner` steps find."""
        return x - self.operator.adjoint(self.dual(x, step))

    def dual(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the dual variable p, shape ``(*batch, d, d, *shape)``: ``‖p‖ ≤ step λ α`` and ``‖Eᴴp‖ ≤ step λ``."""
        G, E, v = self.gradient_of, self.bend, x
        t = torch.as_tensor(step * self.weight, dtype=x.real.dtype, device=x.device).expand(self.domain.batch(x))
        g = G(v)
        w, q, p = self._mean_slope(g), torch.zeros_like(g), E.codomain.zeros(self.domain.batch(x))
        step, dual_step = self._steps(g, t)
        tau_x, tau, sigma = expand(step, v), expand(step, w), expand(dual_step, w)
        for _ in range(self.inner):
            x_new = (x - tau_x * (G.adjoint(q) - v)) / (1 + tau_x)
            w_new = w - tau * (E.adjoint(p) - self.inside * q)
            x_bar, w_bar = 2 * x_new - x, 2 * w_new - w
            q_new = self._cut(q + sigma * (G(x_bar) - self.inside * w_bar), 1, t)
            p_new = self._cut(p + expand(dual_step, p) * E(w_bar), 2, self.bending * t)
            x, w, q, p = _relax((x, w, q, p), (x_new, w_new, q_new, p_new))
        return self._admissible(p, t)

    def _mean_slope(self, g: Tensor) -> Tensor:
        """Return the field of the mean gradient, where the steps begin: exact for an affine image."""
        axes = self._axes(0)
        return self.inside * (g.sum(axes, keepdim=True) / self.inside.sum(axes, keepdim=True).clamp(min=1))

    def _steps(self, g: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return primal and dual step, ``τσ‖K‖² = 1``, one a sample; τ is 1/‖K‖ where nothing sets a scale."""
        norm2 = (8 * self.domain.ndim + 1 + math.sqrt(16 * self.domain.ndim + 1)) / 2
        scale = self.gradient_of.codomain.norm(g) / math.sqrt(self.domain.size)
        known = (scale > 0) & (t > 0)
        tau = torch.where(known, _BALANCE * scale / torch.where(known, t, 1), 1) / math.sqrt(norm2)
        return tau, 1 / (tau * norm2)

    def _admissible(self, p: Tensor, t: Tensor) -> Tensor:
        """Return p, scaled down per sample as far as the bounds ask."""
        too_long = self._lengths(p, 2).amax(self._axes(2)) / self.bending
        too_steep = self._lengths(self.bend.adjoint(p), 1).amax(self._axes(1))
        largest = torch.maximum(torch.maximum(too_long, too_steep), t)
        return p * expand(torch.where(largest > t, t / largest, 1), p)

    def _cut(self, z: Tensor, components: int, radius: float | Tensor) -> Tensor:
        return onto_ball(z, self._lengths(z, components), radius)

    def _lengths(self, z: Tensor, components: int) -> Tensor:
        """Return the length of every pixel's vector or matrix, one entry for each dimension of components."""
        d = self.domain.ndim
        return lengths(z, tuple(range(-d - components, -d)))

    def _axes(self, components: int) -> tuple[int, ...]:
        return tuple(range(-self.domain.ndim - components, 0))


def _relax(old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a + _RELAXATION * (b - a) for a, b in zip(old, new, strict=True))
