r"""Back-propagation through a linear layer from a sketch of its input (row 77).

The gradient of the weights of ``Y = X W`` is the matrix product ``Xᵀ G``. With ``Sᵀ X`` kept instead of X, and S drawn
again from its seed, ``(Sᵀ X)ᵀ (Sᵀ G)`` is unbiased where ``E S Sᵀ = I``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, Log, analysis
from explorer.labs.sketch.products import Factors, term_sizes2
from explorer.linalg import Rng

Kind = Literal["gaussian", "rows"]


class _SketchedLinear(torch.autograd.Function):
    """``Y = X W`` that keeps a sketch of X for its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, kept: int, kind: Kind, seed: int) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(_sketched(flat, kept, kind, seed), weight)
        ctx.settings = kept, kind, seed
        return x @ weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (g,) = gradients
        sketch, weight = ctx.saved_tensors
        return g @ weight.mT, sketch.mT @ _sketched(g.reshape(-1, g.shape[-1]), *ctx.settings), None, None, None


def sketched_linear(x: Tensor, weight: Tensor, *, kept: int, kind: Kind = "gaussian", seed: int = 0) -> Tensor:
    """Return ``x @ weight``, whose gradient by the weights is estimated from `kept` numbers a feature.

    The gradient by x is exact. Take another seed in every step of a training.

    Parameters
    ----------
    x : Tensor
        Input, shape ``(*batch, features)``; the batch dimensions together are the rows that are sketched.
    weight : Tensor
        Shape ``(features, outputs)``.
    kept : int
        Rows of the sketch.
    kind : str
        ``gaussian`` mixes all rows, ``rows`` draws some uniformly with replacement.
    seed : int
        Of the sketch.
    """
    return _SketchedLinear.apply(x, weight, kept, kind, seed)


def _sketched(x: Tensor, kept: int, kind: Kind, seed: int) -> Tensor:
    """Return ``Sᵀ x``, shape ``(kept, columns)``, with S from its seed."""
    rng = Rng(seed, "sketched linear")
    if kind == "rows":
        i = (rng.uniform((kept,), torch.float64, x.device) * len(x)).long()
        return x[i] * math.sqrt(len(x) / kept)
    return rng.normal((kept, len(x)), x.dtype, x.device) @ x / math.sqrt(kept)


@dataclass(frozen=True)
class GradientVariance:
    """Variance that a sketch adds to a gradient, beside the one it has already.

    Attributes
    ----------
    sketch : float
        ``E ‖(Sᵀ X)ᵀ (Sᵀ G) − Xᵀ G‖²``.
    batch : float
        Variance of ``Xᵀ G`` itself, where its rows are a mini-batch of independent data.
    enough : int
        Rows of a sketch whose variance is that of the mini-batch.
    memory : float
        Fraction of the activations that is kept.
    sentence : str
        What this means.
    """

    sketch: float
    batch: float
    enough: int
    memory: float
    sentence: str


@analysis(
    "Variance of a sketched gradient",
    papers=["row 77"],
    equation=r"\mathrm{Var} = \tfrac1s \left(\|X\|^2 \|G\|^2 + \|X^T G\|^2\right)\ \text{or}\ "
    r"\tfrac1s \left(B \sum_k \|x_k\|^2 \|g_k\|^2 - \|X^T G\|^2\right)",
)
@torch.no_grad()
def gradient_variance(
    factors: Factors,
    *,
    kept: Annotated[int, Log(1, 65_536, help="rows s of the sketch")] = 64,
    kind: Annotated[Kind, Help("gaussian: mixtures of all rows; rows: some of them, uniformly")] = "gaussian",
) -> GradientVariance:
    """Compare what a sketch of the activations costs in variance with the variance of the mini-batch itself.

    Parameters
    ----------
    factors : (Tensor, Tensor)
        Xᵀ and G, of shapes ``(features, B)`` and ``(B, outputs)``.
    """
    left, right = factors
    B = len(right)
    terms = float(term_sizes2(left, right).sum())
    product2 = float((left @ right).square().sum())
    one = B * terms - product2
    if kind == "gaussian":
        one = float(left.square().sum() * right.square().sum()) + product2
    batch = (B * terms - product2) / max(B - 1, 1)
    enough = math.ceil(one / batch * (1 - 1e-9)) if batch > 0 else 1  # rounding adds no row
    return GradientVariance(
        one / kept,
        batch,
        enough,
        kept / B,
        f"A sketch of {kept} for {B} rows keeps {100 * kept / B:.3g} % of the activations and adds "
        f"{one / kept / batch if batch > 0 else math.inf:.3g} times the variance of the mini-batch; "
        f"{enough} rows would add as much.",
    )
