r"""Self-calibration: unknown gains of the sensors, and the unknown that they look at.

``y_l = diag(d) A_l x`` for snapshots l = 1 … p, with the same gains d in each. The scale of d against x is open.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, operator, problem
from explorer.labs.bilinear.model import BilinearModel
from explorer.linalg import Blocks, ProductSpace, Rng, Space, safe_divide
from explorer.operators.base import SVD, DenseMatrix, Identity, LinearOperator
from explorer.problems.base import Truth

#: largest number of matrix entries that are made
MAX_ENTRIES = 2**24
_PAPERS = ["row 317", "row 327"]
GAINS_AND_SIGNAL = Capability(
    "gains and a signal of one dtype",
    lambda domain: (
        len(domain.spaces) == 2
        and all(space.ndim == 1 for space in domain.spaces)
        and domain.spaces[0].dtype == domain.spaces[1].dtype
    ),
)


class GainModel(BilinearModel):
    """``F(d, x)_l = d · (A_l x)``.

    Parameters
    ----------
    gains : Space
        Shape ``(channels,)``.
    A : LinearOperator
        From the signal to data of shape ``(snapshots, channels)``.
    """

    title = "self-calibration"

    def __init__(self, gains: Space, A: LinearOperator) -> None:
        self.domain, self.codomain, self.A = ProductSpace((gains, A.domain)), A.codomain, A

    def _forward(self, x: Blocks) -> Tensor:
        return x[0].unsqueeze(-2) * self.A._forward(x[1])

    def partial(self, block: int, at: Blocks) -> LinearOperator:
        """Return ``d ↦ d · (A x)`` or ``x ↦ d · (A x)``."""
        return Gains(self.domain.spaces[0], self.codomain, self.A(at[1])) if block == 0 else Gained(at[0], self.A)


class Gains(LinearOperator):
    """``d ↦ d · z`` for data `z` without gains, shape ``(*batch, snapshots, channels)``."""

    title = "the gains of known signals"
    has_svd = True

    def __init__(self, domain: Space, codomain: Space, z: Tensor) -> None:
        super().__init__(domain, codomain)
        self.z = z

    def _forward(self, d: Tensor) -> Tensor:
        return d.unsqueeze(-2) * self.z

    def _adjoint(self, y: Tensor) -> Tensor:
        return (self.z.conj() * y).sum(-2)

    def svd(self) -> SVD:
        """Normalise `z` channel by channel; the columns do not overlap."""
        s = torch.linalg.vector_norm(self.z, dim=-2)
        return SVD(Gains(self.domain, self.codomain, safe_divide(self.z, s.unsqueeze(-2))), s, Identity(self.domain))


class Gained(LinearOperator):
    """``x ↦ d · (A x)`` for known gains d, shape ``(*batch, channels)``."""

    title = "the signal seen with known gains"
    counts_as = "A"

    def __init__(self, d: Tensor, A: LinearOperator) -> None:
        super().__init__(A.domain, A.codomain)
        self.d, self.A = d.unsqueeze(-2), A

    def _forward(self, x: Tensor) -> Tensor:
        return self.d * self.A._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.A._adjoint(self.d.conj() * y)


@operator(
    "Self-calibration",
    papers=_PAPERS,
    equation=r"y_l = \mathrm{diag}(d)\, A_l x",
    works="Sensors of unknown gains that see one signal several times, each time through another known matrix.",
    fails="The scale between gains and signal is open; with too few snapshots the two cannot be told apart.",
)
def gain_calibration(
    domain: Annotated[ProductSpace, GAINS_AND_SIGNAL],
    rng: Rng,
    *,
    snapshots: Annotated[int, Log(1, 1000, help="measurements by every channel")] = 8,
) -> GainModel:
    """See the signal through random matrices, every channel with its own gain.

    The matrices have independent normal entries of variance 1 / (number of data).
    """
    gains, signal = domain.spaces
    codomain = Space((snapshots, gains.size), signal.dtype, signal.device)
    if codomain.size * signal.size > MAX_ENTRIES:
        raise SpecError(
            f"the matrices would have {codomain.size * signal.size:,} entries, and at most {MAX_ENTRIES:,} are made: "
            "choose fewer snapshots or channels, or a shorter signal"
        )
    entries = rng.normal((codomain.size, signal.size), signal.dtype, signal.device) / math.sqrt(codomain.size)
    A = DenseMatrix(signal, codomain, entries)
    A.counts_as = "A"
    return GainModel(gains, A)


@problem("Gains and signal", papers=_PAPERS)
def gains_and_signal(
    rng: Rng,
    *,
    channels: Annotated[int, Log(2, 4096, help="number of gains")] = 32,
    size: Annotated[int, Log(2, 4096, unit="samples", help="length of the signal")] = 64,
    spread: Annotated[float, Linear(0, 0.9, help="largest deviation of a gain from 1")] = 0.4,
    phases: Annotated[bool, Help("complex gains and signal")] = False,
) -> Truth:
    """Gains within `spread` of 1 and a signal of independent normal entries; start: gains 1, signal 0."""
    dtype = torch.complex128 if phases else torch.float64
    d = rng.fork("gains").normal((channels,), dtype)
    d = 1 + spread * d / d.abs().clamp_min(1)
    x = rng.fork("signal").normal((size,), dtype)
    start = Blocks((torch.ones_like(d), torch.zeros_like(x)))
    return Truth(Blocks((d, x)), {"x0": start}, align_scale)


def align_scale(x: Blocks, reference: Blocks) -> Blocks:
    """Return ``(c d, x / c)`` with the scalar c that brings it nearest to the reference, per sample.

    Notes
    -----
    With ``c = ρ e^{iφ}`` the squared distance is ``ρ² a + p / ρ² − 2 Re(e^{iφ} w)`` up to a constant, where
    ``a = ‖d‖²``, ``p = ‖x‖²`` and ``w = ρ ⟨d_0, d⟩ + ⟨x, x_0⟩ / ρ``. The best phase turns w positive; ln ρ is looked
    for on a grid around where either block has the norm of its reference, then refined by Newton's method.
    """
    (d, v), (d0, v0) = x, reference
    inner, norm = torch.linalg.vecdot, torch.linalg.vector_norm
    a, p, b, q = inner(d, d).real, inner(v, v).real, inner(d0, d), inner(v, v0)

    def parts(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        rho = t.exp()
        c = rho * torch.sgn(b * rho + q / rho).conj()
        return c, a * rho**2, p / rho**2, (c * b).real, (q * c / rho**2).real

    ends = torch.stack([(norm(d0) / norm(d, dim=-1)).log(), (norm(v, dim=-1) / norm(v0)).log()])
    ends = ends.nan_to_num(0, 0, 0)
    step = torch.linspace(-4, 4, 33, dtype=a.dtype, device=a.device).reshape(-1, *(1,) * a.ndim)
    grid = torch.cat([end + step for end in ends])
    _, up, down, right, left = parts(grid)
    t = grid.gather(0, (up + down - 2 * (right + left)).argmin(0, keepdim=True)).squeeze(0)
    for _ in range(6):
        _, up, down, right, left = parts(t)
        slope, bend = up - down - right + left, 2 * (up + down) - right - left
        t = t - safe_divide(slope, bend.abs()).clamp(-1, 1)
    c = parts(t)[0].unsqueeze(-1)
    return Blocks((c * d, v / c))
