r"""Near-field radar with sparse arrays: complex reflectivities of which only the magnitude is simple.

After "Plug-and-Play Regularization on Magnitude with Deep Priors for 3D Near-Field MIMO Imaging".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, operator, prior, problem, solver
from explorer.linalg import Blocks, Rng, Space, axpy, clone, lengths
from explorer.operators.algebra import Stack
from explorer.operators.base import DenseMatrix, Identity, LinearOperator, phase
from explorer.operators.gradient import Gradient
from explorer.priors.base import PROXIMABLE, Prior
from explorer.priors.sparse import onto_ball
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

_PAPERS = ["row 91"]
#: metres a second
SPEED_OF_LIGHT = 299_792_458.0
#: largest number of entries of the matrix
MAX_ENTRIES = 2**24
SCENE = Capability(
    "a complex scene of two or three dimensions", lambda s: isinstance(s, Space) and s.is_complex and s.ndim in (2, 3)
)
GRAM = Capability("an operator on a single space whose AᴴA is diagonalised", lambda A: A.has_gram_svd)


@operator(
    "Near-field radar",
    papers=_PAPERS,
    equation=r"A_{mn} = \frac{z^2}{d^T_{mn} d^R_{mn}}\, e^{-i k_m (d^T_{mn} + d^R_{mn})}",
    works="Scenes close to a sparse array of antennas, as in body scanners or synthetic apertures.",
    fails="Fewer data than voxels leave a null space, which shows as side lobes in the back-projection.",
)
def near_field_radar(
    domain: Annotated[Space, SCENE],
    *,
    transmitters: Annotated[int, Linear(1, 100, help="antennas that send, along two vertical edges")] = 10,
    receivers: Annotated[int, Linear(1, 100, help="antennas that receive, along two horizontal edges")] = 10,
    frequencies: Annotated[int, Linear(1, 200, help="frequencies, evenly spaced")] = 5,
    lowest: Annotated[float, Linear(0.1, 100, unit="GHz", help="lowest frequency")] = 8.0,
    highest: Annotated[float, Linear(0.1, 100, unit="GHz", help="highest frequency")] = 24.0,
    aperture: Annotated[float, Log(0.01, 10, unit="m", help="side of the square of antennas")] = 0.6,
    distance: Annotated[float, Log(0.01, 10, unit="m", help="z: from the antennas to the middle of the scene")] = 0.4,
    width: Annotated[float, Log(0.01, 10, unit="m", help="width of the scene, and its height and depth alike")] = 0.5,
) -> DenseMatrix:
    """Every antenna of one array sends, every one of another hears the scene: bistatic, in the near field, no far one.

    d are the distances from each voxel to both antennas. An image is a plane across the line of sight, a volume has
    its planes one behind the other, the nearest first. Data have the shape transmitters, receivers, frequencies. The
    factor z² makes the entries about 1 in modulus. The same matrix serves for synthetic-aperture radar.

    Raises
    ------
    SpecError
        If the matrix would be too large, or the frequencies are in the wrong order.
    """
    if lowest > highest:
        raise SpecError(f"is {lowest:g} GHz, above the highest frequency {highest:g} GHz", "lowest")
    measured = (transmitters, receivers, frequencies)
    if math.prod(measured) * domain.size > MAX_ENTRIES:
        raise SpecError(
            f"the matrix would have {math.prod(measured)} × {domain.size} entries, and at most {MAX_ENTRIES:,} are "
            "made: choose fewer antennas or frequencies, or a smaller scene"
        )
    exact: Any = {"dtype": torch.float64, "device": domain.device}
    voxels = _voxels(domain, distance, width, exact)
    send, hear = _edges(transmitters, aperture, exact), _edges(receivers, aperture, exact).flip(-1)
    d_send, d_hear = _reach(send, voxels)[:, None, None], _reach(hear, voxels)[None, :, None]
    k = torch.linspace(lowest, highest, frequencies, **exact) * (2e9 * math.pi / SPEED_OF_LIGHT)
    modulus = (distance**2 / (d_send * d_hear)).expand(*measured, -1)
    matrix = torch.polar(modulus, -k[:, None] * (d_send + d_hear)).reshape(-1, domain.size)
    made = DenseMatrix(domain, Space(measured, domain.dtype, domain.device), matrix.to(domain.dtype))
    made.title = "Near-field radar"
    return made


def _voxels(domain: Space, distance: float, width: float, exact: Any) -> Tensor:
    """Return the places of the voxels in metres, across, up, away, shape ``(voxels, 3)``."""
    step = width / max(domain.shape[-2:])
    axes = [(torch.arange(n, **exact) - (n - 1) / 2) * step for n in domain.shape]
    away = axes[0] if domain.ndim == 3 else torch.zeros(1, **exact)
    z, y, x = torch.meshgrid(away, -axes[-2], axes[-1], indexing="ij")
    return torch.stack((x, y, z + distance), -1).reshape(-1, 3)


def _reach(antennas: Tensor, voxels: Tensor) -> Tensor:
    """Return the distances from antennas at depth 0 to the voxels, shape ``(antennas, voxels)``."""
    places = torch.cat((antennas, torch.zeros_like(antennas[:, :1])), 1)
    return torch.linalg.vector_norm(places[:, None] - voxels, dim=-1)


def _edges(count: int, aperture: float, exact: Any) -> Tensor:
    """Return places on two vertical edges of the aperture in turns, shape ``(count, 2)``."""
    along = torch.linspace(-0.5, 0.5, count, **exact) if count > 1 else torch.zeros(1, **exact)
    side = torch.where(torch.arange(count, device=along.device) % 2 == 0, -0.5, 0.5).to(along)
    return aperture * torch.stack((side, along), 1)


@problem("Reflectors of random phase", name="reflectors", papers=_PAPERS)
def reflectors(
    rng: Rng,
    *,
    size: Annotated[int, Log(8, 128, unit="px", help="rows and columns of the scene")] = 32,
    planes: Annotated[int, Linear(1, 32, help="planes of a volume; 1: an image")] = 1,
    count: Annotated[int, Linear(1, 20, help="number of plates")] = 4,
) -> Truth:
    """Plates of constant magnitude, 0.4 to 1, on nothing; the phase of every voxel is random: complex.

    Rough surfaces do that, as their depth within a voxel changes by more than a wavelength.
    """
    kind, x, y, a, b, level, depth = rng.fork("plates").uniform((7, count), torch.float64)
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    rows, columns = torch.meshgrid(grid, grid, indexing="ij")
    magnitude = torch.zeros(planes, size, size, dtype=torch.float64)
    for i in range(count):
        u, v = (columns - 1.1 * (x[i] - 0.5)) / (0.15 + 0.2 * a[i]), (rows - 1.1 * (y[i] - 0.5)) / (0.15 + 0.2 * b[i])
        inside = u**2 + v**2 <= 1 if kind[i] < 0.5 else torch.maximum(u.abs(), v.abs()) <= 0.9
        plane = int(depth[i] * planes)
        magnitude[plane] = torch.where(inside, 0.4 + 0.6 * level[i], magnitude[plane])
    angle = 2 * math.pi * rng.fork("phases").uniform((planes, size, size), torch.float64)
    scene = torch.polar(magnitude, angle)
    return Truth(scene[0] if planes == 1 else scene)


@prior(
    "Sparsity and total variation",
    name="sparse_tv",
    equation=r"R(x) = \lambda \sum_p |x_p| + \mu \sum_p \|(\nabla x)_p\|_2",
    papers=[*_PAPERS, "Tibshirani et al. 2005: Sparsity and smoothness via the fused lasso"],
    works="A few flat plates on an empty background, as in radar scenes.",
    fails="Slopes become stairs and values shrink; of unknowns with random phases it must see the modulus alone.",
)
class SparseTotalVariation(Prior):
    """The sum of moduli and the total variation, with a weight each: few plates on nothing.

    The proximal map runs a fixed number of fast projected gradient steps on the dual of both terms.
    """

    title = "the sparse total variation prior"
    has_prox = True

    def __init__(
        self,
        domain: Space,
        *,
        weight: Annotated[float | Tensor, Log(0, 1e6, help="weight λ of the moduli", degree=1, batched=True)] = 1e-2,
        variation: Annotated[float, Log(0, 1e6, help="weight μ of the total variation", degree=1)] = 1e-2,
        inner: Annotated[int, Log(1, 10_000, unit="steps", help="dual steps in each proximal map")] = 20,
    ) -> None:
        super().__init__(domain, weight, Stack(Identity(domain), Gradient(domain)))
        self.variation, self.inner = variation, inner

    def value(self, x: Tensor) -> Tensor:
        """Return ``λ Σ |x| + μ Σ_p ‖(∇x)_p‖``."""
        d = self.domain.ndim
        moduli, fields = self.operator(x)
        edges = lengths(fields, -1 - d).flatten(-1 - d).sum(-1)
        return self.weight * moduli.abs().flatten(-d).sum(-1) + self.variation * edges

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """Return the minimiser but for what `inner` steps leave open, of order ``1/inner²`` in the objective."""
        return x - self.operator.adjoint(self.dual(x, step))

    def dual(self, x: Tensor, step: float | Tensor) -> Blocks:
        """Return the dual variables of both terms in the proximal map."""
        K, norm2 = self.operator, 1 + 4 * self.domain.ndim  # ‖K‖² ≤ 1 + 4 d
        q = r = K.codomain.zeros(self.domain.batch(x))
        t = 1.0
        for _ in range(self.inner):
            q_old, t_old = q, t
            p, z = axpy(1 / norm2, K(x - K.adjoint(r)), r)
            q = Blocks(
                (
                    onto_ball(p, p.abs(), step * self.weight),
                    onto_ball(z, lengths(z, -1 - self.domain.ndim), step * self.variation),
                )
            )
            t = (1 + math.sqrt(1 + 4 * t**2)) / 2
            r = axpy((t_old - 1) / t, q - q_old, q)
        return q


@solver(
    "Plug-and-play on the magnitude",
    name="magnitude_admm",
    papers=_PAPERS,
    equation=r"\min_x \tfrac12 \|Ax - y\|^2 + R(|x|):\quad w = \mathrm{prox}_{R/\rho}(|x + u|)\, e^{i \angle (x + u)}",
    reports=("residual", "gap"),
    per_step={"A": 1},
    works="Complex scenes of random phase whose modulus is sparse and flat.",
    fails="It is not convex: with total variation alone, without sparsity, it ends in poor local minima.",
)
def magnitude_admm(
    A: Annotated[LinearOperator, GRAM],
    y: Tensor,
    prior: Annotated[Prior, PROXIMABLE],
    x0: Tensor | None = None,
    *,
    on: Annotated[
        Literal["modulus", "parts", "complex"],
        Help("what the prior sees: the modulus, real and imaginary part on their own, or the complex unknown"),
    ] = "modulus",
    penalty: Annotated[float, Log(1e-5, 1e3, unit="‖A‖²", help="weight ρ of the constraint x = w")] = 0.03,
) -> Iterator[Step]:
    """ADMM in which a prior of real images acts on the magnitude alone and the phase is left as it is; out of place.

    The proximal map of ``R(|x|)`` is that of R on the modulus, times the old phase: for any w of modulus m,
    ``|w − v| ≥ |m − |v||``, with equality at the phase of v. So any prior here, or denoiser written as one, can be
    plugged in; it is not convex then in x, and pure total variation of the modulus, without sparsity, tends to end in
    poor local minima. The quadratic step ``(AᴴA + ρI)⁻¹`` is exact by the decomposition of AᴴA, which for few data is
    Woodbury's formula; scaled multipliers u. `gap` is ``‖x − w‖``; the estimate is w.
    """
    X = A.domain
    w = X.zeros(A.codomain.batch(y)) if x0 is None else clone(x0)
    u = w - w
    gram, back, rho = A.gram_svd(), A.adjoint(y), penalty * A.norm() ** 2
    kept = gram.s / (gram.s + rho)

    def shrunk(v: Tensor) -> Tensor:
        return prior.prox(v.to(X.dtype), 1 / rho).real if X.is_complex else prior.prox(v, 1 / rho)

    while True:
        b = axpy(1 / rho, back, w - u)
        x = b - gram.V(kept * gram.V.adjoint(b))
        v = x + u
        if on == "complex" or (on == "parts" and not X.is_complex):
            w = prior.prox(v, 1 / rho)
        elif on == "parts":
            w = torch.complex(shrunk(v.real), shrunk(v.imag))
        else:
            w = shrunk(v.abs()).clamp(min=0) * phase(v)
        u = v - w
        yield Step(w, residual=A.codomain.norm(A(w) - y), gap=X.norm(x - w))
