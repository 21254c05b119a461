"""Total variation."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Capability, Help, Log, prior
from explorer.linalg import Space, axpy, lengths, scale
from explorer.operators.gradient import Gradient
from explorer.priors.base import Prior
from explorer.priors.sparse import onto_ball

SEQUENCE = Capability(
    "a space of two or more dimensions, the first of them time", lambda s: isinstance(s, Space) and s.ndim > 1
)


@prior(
    "Total variation",
    name="tv",
    equation=r"R(x) = \lambda \sum_p \|(\nabla x)_p\|_2",
    papers=[
        "Rudin, Osher & Fatemi 1992: Nonlinear total variation based noise removal algorithms",
        "Beck & Teboulle 2009: Fast gradient-based algorithms for constrained total variation image denoising and "
        "deblurring problems",
    ],
    works="Flat regions with sharp edges.",
    fails="Slopes become stairs; texture and fine detail go.",
)
class TotalVariation(Prior):
    """The sum over pixels of the length of the gradient, by forward differences: few edges, flat between.

    Isotropic it measures the length of edges in every direction alike; anisotropic, the sum of the moduli of the
    differences, along the axes, which edges then prefer.

    The proximal map runs a fixed number of fast projected gradient steps on the dual problem
    ``min ½‖x − Kᴴq‖²`` over ``‖q_p‖ ≤ step λ``, and returns ``x − Kᴴq``.
    """

    title = "the total variation prior"
    has_prox = splits = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        inner: Annotated[int, Log(1, 10_000, unit="steps", help="dual steps in each proximal map")] = 20,
        kind: Annotated[Literal["isotropic", "anisotropic"], Help("length of a gradient, or sum of its moduli")] = (
            "isotropic"
        ),
    ) -> None:
        super().__init__(domain, weight, Gradient(domain))
        self.inner, self.kind = inner, kind

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ_p ‖(∇x)_p‖``."""
        return self.weight * self._lengths(self.operator(x)).flatten(-1 - self.domain.ndim).sum(-1)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the minimiser but for what `inner` steps leave open, of order ``1/inner²`` in the objective."""
        return x - self.operator.adjoint(self.dual(x, step))

    def dual(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the dual variable q of the proximal map, shape ``(*batch, d, *shape)``."""
        K, radius, norm2 = self.operator, step * self.weight, 4 * self.domain.ndim  # ‖K‖² ≤ 4 d
        q = r = K.codomain.zeros(self.domain.batch(x))
        t = 1.0
        for _ in range(self.inner):
            q_old, t_old = q, t
            q = axpy(1 / norm2, K(x - K.adjoint(r)), r)
            q = self._dual_prox(q, 1 / norm2, radius)
            t = (1 + math.sqrt(1 + 4 * t**2)) / 2
            r = axpy((t_old - 1) / t, q - q_old, q)
        return q

    def dual_prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        """Return `z` with every pixel's vector cut at length λ."""
        return self._dual_prox(z, step, self.weight)

    def _dual_prox(self, z: Tensor, step: float | Tensor, weight: float | Tensor) -> Tensor:
        """Return the proximal map of ``step · (weight · g)*``."""
        return onto_ball(z, self._lengths(z), weight)

    def _lengths(self, z: Tensor) -> Tensor:
        """Return the length of every pixel's vector, shape ``(*batch, 1, *shape)``, or every modulus."""
        if self.kind == "anisotropic":
            return z.abs()
        return lengths(z, -1 - self.domain.ndim)


@prior(
    "Huber total variation",
    name="huber_tv",
    equation=r"R(x) = \lambda \sum_p h_\delta(\|(\nabla x)_p\|_2),\quad h_\delta(t) = \tfrac{t^2}{2\delta}"
    r"\text{ up to } \delta,\; t - \tfrac{\delta}{2} \text{ beyond}",
    papers=[
        "Huber 1964: Robust estimation of a location parameter",
        "Chambolle & Pock 2011: A first-order primal-dual algorithm for convex problems with applications to imaging",
    ],
    works="Flat regions with edges, and gentle slopes.",
    fails="Texture goes; the threshold has to fit the scale of the values.",
)
class HuberTotalVariation(TotalVariation):
    """Total variation whose small gradients count squared: edges stay, and slopes do not turn into stairs.

    The square in the dual problem, ``δ/2λ ‖q‖²``, only shortens q in each of its steps.
    """

    title = "the Huber total variation prior"
    has_gradient = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        threshold: Annotated[float, Log(1e-12, 1e6, help="δ, from which gradients count as edges", degree=1)] = 1e-2,
        inner: Annotated[int, Log(1, 10_000, unit="steps", help="dual steps in each proximal map")] = 20,
        kind: Annotated[Literal["isotropic", "anisotropic"], Help("length of a gradient, or sum of its moduli")] = (
            "isotropic"
        ),
    ) -> None:
        super().__init__(domain, weight=weight, inner=inner, kind=kind)
        self.threshold = threshold

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ_p h(‖(∇x)_p‖)``."""
        lengths, delta = self._lengths(self.operator(x)), self.threshold
        small = lengths.clamp(max=delta)
        return self.weight * (small**2 / (2 * delta) + (lengths - small)).flatten(-1 - self.domain.ndim).sum(-1)

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``λ Kᴴ z`` with the gradients z over their lengths, or over δ where they are shorter."""
        z = self.operator(x)
        return scale(self.weight, self.operator.adjoint(z / self._lengths(z).clamp(min=self.threshold)))

    def gradient_lipschitz(self) -> Tensor | float:
        """Return ``λ ‖K‖² / δ``."""
        return self.weight * self.operator.norm() ** 2 / self.threshold

    def _dual_prox(self, z: Tensor, step: float | Tensor, weight: float | Tensor) -> Tensor:
        shorter = scale(weight / (weight + step * self.threshold), z)
        return super()._dual_prox(shorter, step, weight)


@prior(
    "Double total variation",
    name="double_tv",
    equation=r"R(x) = \lambda \sum_{t,p} \|(\nabla x_t)_p\|_2 + \lambda\beta \sum_{t,p} |x_{t+1,p} - x_{t,p}|",
    papers=["row 217"],
    works="Sequences of flat regions with sharp edges, in which a pixel seldom changes.",
    fails="What brightens slowly or slopes gently turns into steps, in time and in space; texture goes.",
)
class DoubleTotalVariation(TotalVariation):
    """Total variation of every frame of a sequence, isotropic, and that of every pixel in time, with weights apart.

    The first dimension is time. Frames are flat between few edges, and a pixel keeps its value between few changes;
    unlike the variation of the sequence as one body, an edge does not make a change at the same place cheap.
    """

    title = "the double total variation prior"

    def __init__(
        self,
        domain: Annotated[Space, SEQUENCE],
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ", degree=1, batched=True)] = 1e-2,
        temporal: Annotated[float, Log(0, 1e3, help="weight β of changes in time, beside that of edges")] = 5.0,
        inner: Annotated[int, Log(1, 10_000, unit="steps", help="dual steps in each proximal map")] = 20,
    ) -> None:
        super().__init__(domain, weight=weight, inner=inner)
        self.temporal = temporal

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ (Σ ‖∇x_t‖ + β Σ |x_{t+1} − x_t|)``."""
        change, edge = self._parts(self.operator(x))
        first = -1 - self.domain.ndim
        total = lengths(edge, first).flatten(first).sum(-1) + self.temporal * change.abs().flatten(first).sum(-1)
        return self.weight * total

    def _dual_prox(self, z: Tensor, step: float | Tensor, weight: float | Tensor) -> Tensor:
        change, edge = self._parts(z)
        first = -1 - self.domain.ndim
        change = onto_ball(change, change.abs(), self.temporal * weight)
        return torch.cat((change, onto_ball(edge, lengths(edge, first), weight)), first)

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return differences in time, shape ``(*batch, 1, *shape)``, and those in space, one for each dimension."""
        first = -1 - self.domain.ndim
        return z.narrow(first, 0, 1), z.narrow(first, 1, self.domain.ndim - 1)
