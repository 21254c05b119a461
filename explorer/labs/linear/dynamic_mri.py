r"""Dynamic magnetic resonance imaging: a sequence of images, each seen through other lines of its Fourier transform.

The reconstruction is by total variation in space and in time together with low rank, in the manner of "Robust Depth
Linear Error Decomposition with Double Total Variation and Nuclear Norm for Dynamic MRI Reconstruction".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Capability, Linear, Log, operator, problem, solver
from explorer.linalg import Rng, Space, axpy, clone, lengths, scale
from explorer.linalg.spaces import complex_dtype, real_dtype
from explorer.operators.base import SVD, LinearOperator
from explorer.operators.gradient import Gradient
from explorer.operators.mask import random_subset
from explorer.priors.sparse import onto_ball
from explorer.problems.base import Truth
from explorer.solvers.steps import Step

_PAPERS = ["row 217"]
FRAMES = Capability("one image or a sequence of images", lambda s: isinstance(s, Space) and s.ndim in (2, 3))
SEQUENCE = Capability(
    "an operator on a sequence of images whose AᴴA structure diagonalises",
    lambda A: isinstance(A.domain, Space) and A.domain.ndim == 3 and A.has_gram_svd,
)


class FrameFourier(LinearOperator):
    """``A = M F``: the unitary Fourier transform of every frame, with zeros where a frame was not measured.

    Parameters
    ----------
    domain : Space
        Frames, rows, columns, shape ``(t, m, n)``, or one image.
    mask : Tensor
        1 where a frequency is measured, 0 elsewhere, zero frequency first, shape of the domain.
    """

    title = "Fourier transform of every frame"
    has_gram_svd = True

    def __init__(self, domain: Space, mask: Tensor) -> None:
        super().__init__(domain, Space(domain.shape, complex_dtype(domain.dtype), domain.device))
        self.mask = mask

    def _forward(self, x: Tensor) -> Tensor:
        return self.mask * torch.fft.fft2(x, norm="ortho")

    def _adjoint(self, y: Tensor) -> Tensor:
        x = torch.fft.ifft2(self.mask * y, norm="ortho")
        return x if self.domain.is_complex else x.real

    def gram_svd(self) -> SVD:
        """Return the decomposition of AᴴA: the mask, or its mean with its mirror image where images are real."""
        if self.domain.is_complex:
            basis: LinearOperator = _FrameBasis(self.domain)
            return SVD(basis, self.mask, basis)
        mirrored = self.mask.flip(-1, -2).roll((1, 1), (-1, -2))
        basis = _FrameHartley(self.domain)
        return SVD(basis, (self.mask + mirrored) / 2, basis)

    def gram_diagonal(self) -> Tensor:
        """Return the measured share of each frame, as every entry of F has modulus ``1/√(mn)``."""
        return self.mask.mean((-1, -2), keepdim=True).expand(self.domain.shape).clone()

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the norm: 1 if any frequency and its mirror image are measured."""
        return self.gram_svd().s.max().sqrt()

    def picture(self, y: Tensor) -> Tensor:
        """Return the images with zeros where nothing was measured."""
        return self._adjoint(y)


class _FrameBasis(LinearOperator):
    """The inverse of the unitary Fourier transform of every frame."""

    isometry = coisometry = True

    def _forward(self, x: Tensor) -> Tensor:
        return torch.fft.ifft2(x, norm="ortho")

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.fft.fft2(y, norm="ortho")


class _FrameHartley(LinearOperator):
    """The orthonormal Hartley transform of every real frame; it is its own inverse."""

    isometry = coisometry = self_adjoint = True

    def _forward(self, x: Tensor) -> Tensor:
        z = torch.fft.fft2(x, norm="ortho")
        return z.real - z.imag

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)


@operator(
    "Fourier lines of every frame",
    papers=_PAPERS,
    equation=r"(Ax)_t = M_t F x_t",
    works="Dynamic MRI with other lines in every frame, so that what one frame lacks its neighbours have.",
    fails="Most lines of a frame are missing: alone it aliases, and fast motion leaves little to borrow.",
)
def dynamic_fourier(
    domain: Annotated[Space, FRAMES],
    rng: Rng,
    *,
    acceleration: Annotated[float, Log(1, 50, help="one of so many lines is measured in each frame")] = 4.0,
    centre: Annotated[float, Linear(0, 1, help="share of the lines spent on the lowest frequencies")] = 0.25,
) -> FrameFourier:
    """Fourier transform of every frame along random lines (Cartesian), new ones in each frame, denser near the centre.

    Data are kept on the full grid, with zeros where nothing is measured; noise there has no effect on the adjoint.
    """
    rows = domain.shape[-2]
    frames = math.prod(domain.shape[:-2])
    size = max(1, round(rows / acceleration))
    radius = 2 * torch.fft.fftfreq(rows, dtype=torch.float64, device=domain.device).abs()
    weight = (1 - radius) ** 2 + 0.02
    weight[radius.argsort(stable=True)[: round(centre * size)]] = math.inf
    lines = torch.stack([random_subset(weight, size, rng.fork(str(t))) for t in range(frames)])
    mask = torch.zeros(frames, rows, dtype=real_dtype(domain.dtype), device=domain.device)
    mask = mask.scatter(1, lines, 1.0).reshape(*domain.shape[:-1], 1)
    return FrameFourier(domain, mask.expand(domain.shape).clone())


@problem("Moving phantom", papers=_PAPERS)
def moving_phantom(
    rng: Rng,
    *,
    frames: Annotated[int, Linear(2, 200, unit="frames", help="length of the sequence")] = 16,
    size: Annotated[int, Log(8, 256, unit="px", help="rows and columns of an image")] = 32,
    speed: Annotated[float, Linear(0, 2, help="how far things move during the sequence: 1 a full beat")] = 1.0,
    texture: Annotated[
        float, Linear(0, 1, help="amplitude of a random texture in the body, which fades in and out: of rank one")
    ] = 0.0,
) -> Truth:
    """A still body with an organ that beats, another that moves to and fro, and one that brightens; values 0 to 1."""
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(grid, grid, indexing="ij")

    def ellipse(cx: float, cy: float, a: float, b: float) -> Tensor:
        return (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1).to(torch.float64)

    body = 0.4 * ellipse(0, 0, 0.9, 0.8) + 0.2 * ellipse(0.1, 0.5, 0.5, 0.15) - 0.2 * ellipse(0.45, -0.35, 0.2, 0.25)
    grain = rng.uniform((size, size), torch.float64) * ellipse(0, 0, 0.9, 0.8)
    images = []
    for t in range(frames):
        phase = 2 * math.pi * speed * t / frames
        beat = 0.28 + 0.08 * math.sin(phase)
        image = body + 0.4 * ellipse(-0.3, -0.1, beat, beat) - 0.3 * ellipse(-0.3, -0.1, 0.6 * beat, 0.6 * beat)
        image += 0.3 * ellipse(0.35, 0.1 + 0.15 * math.sin(phase + 1), 0.15, 0.12)
        image = (1 - texture) * image + texture * (1 + math.sin(phase)) / 2 * grain
        images.append(image + 0.15 * (1 - math.cos(phase)) / 2 * ellipse(0.0, -0.55, 0.25, 0.12))
    return Truth(torch.stack(images).clamp(0, 1))


@solver(
    "Double total variation and nuclear norms",
    name="double_tv_nuclear",
    papers=_PAPERS,
    equation=r"\min_{X, E} \tfrac12 \|A(X + E) - y\|^2 + \lambda_s\, TV_s(X) + \lambda_t\, TV_t(X)"
    r" + \mu \|X\|_* + \nu \|E\|_*",
    reports=("residual",),
    per_step={"A": 1},
    works="Dynamic MRI of flat regions that change seldom, with a texture that fades in and out.",
    fails="Without such a texture the nuclear norms cost up to half a decibel; four weights have to be chosen.",
)
def double_tv_nuclear(
    A: Annotated[LinearOperator, SEQUENCE],
    y: Tensor,
    x0: Tensor | None = None,
    *,
    spatial: Annotated[float, Log(0, 1e6, help="λ_s: total variation of every frame, isotropic", degree=1)] = 1e-3,
    temporal: Annotated[float, Log(0, 1e6, help="λ_t: differences from frame to frame", degree=1)] = 5e-3,
    nuclear: Annotated[float, Log(0, 1e6, help="μ: nuclear norm of X as a matrix, a row a frame", degree=1)] = 1e-3,
    background: Annotated[
        float, Log(0, 1e6, help="ν: nuclear norm of a second part E without variation; 0: no second part", degree=1)
    ] = 0.0,
    balance: Annotated[float, Log(1e-3, 1e3, help="primal step τ, in units of 1/‖A‖²")] = 3.0,
) -> Iterator[Step]:
    """Primal–dual steps whose misfit is exact in the Fourier domain; the answer is ``X + E``. Out of place.

    The dual variables are fields cut to balls (spatial), differences cut at λ_t (temporal), and matrices whose singular
    values are cut (nuclear). The primal step solves the misfit frequency by frequency: with ``S = X + E`` and ``AᴴA``
    diagonal, ``(I + 2τ AᴴA) S = P_X + P_E + 2τ Aᴴy``, and both parts move by the same.

    The practical model: the source decomposes the error of the image too, and says of its two nuclear norms only that
    one is of the image and one of the error part. Here E is of low rank but free of the variations, so that it holds a
    still or slowly changing background. A weight of zero leaves a term out.
    """
    X = A.domain
    frame = Gradient(Space(X.shape[1:], X.dtype, X.device))
    batch = A.codomain.batch(y)
    x = X.zeros(batch) if x0 is None else clone(x0)
    e = X.zeros(batch)
    parts = 2 if background > 0 else 1
    gram, back, tau = A.gram_svd(), A.adjoint(y), balance / A.norm() ** 2
    sigma = 1 / (13 * tau)  # ‖K‖² ≤ 8 + 4 + 1 on X
    shrink = tau * parts * gram.s / (1 + tau * parts * gram.s)
    v_space, v_time = x.new_zeros((*batch, X.shape[0], 2, *X.shape[1:])), torch.zeros_like(x[..., 1:, :, :])
    v_rank, w_rank = torch.zeros_like(x), torch.zeros_like(x)
    while True:
        pull = frame._adjoint(v_space) + _since(v_time) + v_rank
        p_x, p_e = axpy(-tau, pull, x), axpy(-tau, w_rank, e)
        s = axpy(parts * tau, back, p_x + p_e if parts == 2 else p_x)
        s = s - gram.V(shrink * gram.V.adjoint(s))
        moved = (s - p_x - p_e) / 2 if parts == 2 else s - p_x
        x_old, e_old = x, e
        x, e = p_x + moved, p_e + moved if parts == 2 else e
        ahead = 2 * x - x_old
        v_space = axpy(sigma, frame._forward(ahead), v_space)
        v_space = onto_ball(v_space, lengths(v_space, -3), spatial)
        v_time = axpy(sigma, ahead[..., 1:, :, :] - ahead[..., :-1, :, :], v_time)
        v_time = onto_ball(v_time, v_time.abs(), temporal)
        if nuclear > 0:
            v_rank = cut_singular_values(axpy(sigma, ahead, v_rank), nuclear)
        if parts == 2:
            w_rank = cut_singular_values(axpy(sigma, 2 * e - e_old, w_rank), background)
        yield Step(x + e, residual=A.codomain.norm(A(x + e) - y))


def _since(v: Tensor) -> Tensor:
    """Return the adjoint of the differences from frame to frame."""
    zero = torch.zeros_like(v[..., :1, :, :])
    return torch.cat((zero, v), -3) - torch.cat((v, zero), -3)


def cut_singular_values(z: Tensor, largest: float) -> Tensor:
    """Return `z`, shape ``(*batch, t, m, n)``, with the singular values of its ``t × mn`` matrices cut at `largest`.

    By the eigenvectors of the small Gram matrix: values that matter are those above `largest`, where squaring does not
    hurt. A sample that is not finite becomes NaN.
    """
    matrix = z.flatten(-2)
    finite = torch.isfinite(matrix).all(-1, keepdim=True).all(-2, keepdim=True)
    matrix = torch.where(finite, matrix, 0)
    size = matrix.abs().amax((-1, -2), keepdim=True)
    size = torch.where(size > 0, size, 1)
    unit = matrix / size
    squares, u = torch.linalg.eigh(unit @ unit.mH)
    s = size.squeeze(-1) * squares.clamp(min=0).sqrt()
    factor = torch.where(s > largest, largest / torch.where(s > 0, s, 1), 1)
    made: Any = (u * factor.unsqueeze(-2)) @ (u.mH @ matrix)
    return scale(1.0, torch.where(finite, made, torch.nan)).reshape(z.shape)
